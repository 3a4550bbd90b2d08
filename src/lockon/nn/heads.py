"""Prediction heads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lockon.boxes import xywh_to_xyxy
from lockon.nn.norm import BatchNorm2d
from lockon.nn.precision import full

FLOOR = 0.05  # how likely a corner is far from the last box, by ``expected_boxes``, beside 1 where it was


class Corners(NamedTuple):
    """What a corner head says.

    Attributes:
        boxes: (B, 4) x1, y1, x2, y2 relative to the map, 0 to 1; nothing keeps x1 below x2.
        scores: (B, 2, H, W) of the top-left and the bottom-right corner, before the softmax.
    """

    boxes: Tensor
    scores: Tensor


class CornerHead(nn.Module):
    """Two stacks of convolutions, each giving the expected place of one corner (STARK section 3.1).

    The official code has four convolutions with batch norm and a plain 1x1 where the paper draws five with batch
    norm; the code is followed. Cell (i, j) stands for the point (j, i) / size, its top-left corner.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.tl = _tower(channels, widths)
        self.br = _tower(channels, widths)

    def forward(self, x: Tensor) -> Corners:
        """(B, C, H, W) features to the corners."""
        scores = torch.cat([self.tl(x), self.br(x)], dim=1)  # (B, 2, H, W)
        return Corners(soft_argmax(scores).flatten(1), scores)


def soft_argmax(scores: Tensor, offset: float = 0.0) -> Tensor:
    """(B, N, H, W) score maps to the (B, N, 2) expected x and y, relative to the map; the point that a cell stands
    for lies ``offset`` cells from its top-left corner."""
    height, width = scores.shape[-2:]
    p = scores.flatten(2).float().softmax(-1).unflatten(-1, (height, width))
    x = p.sum(-2) @ ((torch.arange(width, device=p.device, dtype=p.dtype) + offset) / width)
    y = p.sum(-1) @ ((torch.arange(height, device=p.device, dtype=p.dtype) + offset) / height)
    return torch.stack([x, y], dim=-1)


def expected_boxes(scores: Tensor, last: Tensor, spread: float) -> Tensor:
    """The boxes of corner maps, given that a target is mostly near where it was; no tracker's paper has it.

    Without that, one of several like objects gives its top-left corner to a box and another its bottom-right corner. A
    corner's prior is a bell around that of the last box, above a floor: one that is clearly seen elsewhere still wins.

    Args:
        scores: (B, 2, H, W) as in ``Corners``.
        last: (B, 4) x, y, w, h of the boxes before, relative to the map.
        spread: standard deviation of the bell in units of sqrt(w * h).

    Returns:
        (B, 4) x1, y1, x2, y2 relative to the map.
    """
    height, width = scores.shape[-2:]
    corners = xywh_to_xyxy(last).unflatten(1, (2, 2))  # (B, corner, xy)
    across = torch.arange(width) / width - corners[..., :1]  # (B, corner, W)
    down = torch.arange(height) / height - corners[..., 1:]
    reach = spread * last[:, 2:].prod(1).sqrt()[:, None, None, None]
    bell = torch.exp(-0.5 * (across[:, :, None] ** 2 + down[..., None] ** 2) / reach**2)
    return soft_argmax(scores.float() + torch.log(FLOOR + (1 - FLOOR) * bell)).flatten(1)


class Centers(NamedTuple):
    """What a center head says of every cell of an S x S map.

    Attributes:
        scores: (B, S, S) how likely the target's centre lies in the cell, strictly between 0 and 1.
        sizes: (B, 2, S, S) width and height relative to the map, strictly between 0 and 1.
        offsets: (B, 2, S, S) x and y of the centre from the cell's top-left corner, in cells.
    """

    scores: Tensor
    sizes: Tensor
    offsets: Tensor


class CenterHead(nn.Module):
    """Three stacks of convolutions: score, size and offset of a box centred in each cell (OSTrack section 3.3).

    Where numbers are squashed they stay a little away from 0 and 1, so that a logarithm of them is finite.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.ctr = _tower(channels, widths)
        self.size = _tower(channels, widths, 2)
        self.offset = _tower(channels, widths, 2)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Centers:
        """(B, C, S, S) features to the maps."""
        scores, sizes = (full(tower(x)).sigmoid().clamp(1e-4, 1 - 1e-4) for tower in (self.ctr, self.size))
        return Centers(scores[:, 0], sizes, full(self.offset(x)))


def centered_boxes(response: Tensor, sizes: Tensor, offsets: Tensor) -> Tensor:
    """The boxes of the cells with the highest response.

    Args:
        response: (B, S, S) the scores, or the scores after what a tracker did to them.
        sizes, offsets: (B, 2, S, S) of ``Centers``.

    Returns:
        (B, 4) centre and size relative to the map.
    """
    side = response.shape[-1]
    best = response.flatten(1).argmax(1)  # of equals the first, row by row
    size, offset = (x.flatten(2).gather(2, best[:, None, None].expand(-1, 2, 1))[..., 0] for x in (sizes, offsets))
    cell = torch.stack([best % side, best // side], dim=1)
    return torch.cat([(cell + offset) / side, size], dim=1)


def _tower(channels: int, widths: Sequence[int], out: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(
            nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), BatchNorm2d(width), nn.ReLU(inplace=True))
        )
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, out, 1))


class MLP(nn.Sequential):
    """Linear layers with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])
