"""Prediction heads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn


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


def _tower(channels: int, widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in widths:
        layers.append(
            nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        )
        channels = width
    return nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))


class MLP(nn.Sequential):
    """Linear layers with ReLU between them."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(*layers[:-1])
