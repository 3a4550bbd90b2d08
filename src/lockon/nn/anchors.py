"""Anchors, as SiamRPN (Li et al., CVPR 2018) has them, and moves of boxes in units of their size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def make_anchors(stride: int, ratios: Sequence[float], scale: float, size: int, centre: float = 0.0) -> Tensor:
    """The boxes that the answers of a map of ``size`` x ``size`` cells refer to.

    Args:
        stride: pixels per cell.
        ratios: height to width of each anchor.
        scale: side of a square one in cells; all sides are whole multiples of it.
        centre: where the middle cell lies.

    Returns:
        (N, 4) float64 cx, cy, w, h in pixels, in the order anchor, row, column.
    """
    widths = [int(math.sqrt(stride**2 / ratio)) for ratio in ratios]
    shapes = [(scale * w, scale * int(w * ratio)) for w, ratio in zip(widths, ratios, strict=True)]
    place = (torch.arange(size, dtype=torch.float64) - size // 2) * stride + centre
    y, x = torch.meshgrid(place, place, indexing="ij")
    grid = torch.stack([x, y], -1).expand(len(shapes), -1, -1, -1)
    sides = torch.tensor(shapes, dtype=torch.float64)[:, None, None].expand_as(grid)
    return torch.cat([grid, sides], -1).flatten(0, 2)


def cosine_window(size: int) -> Tensor:
    """(size * size) float64, 1 in the middle and 0 at the border."""
    line = torch.hann_window(size, periodic=False, dtype=torch.float64)
    return torch.outer(line, line).flatten()


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """(B, 4 A, H, W) and anchors (N, 4) to boxes (B, N, 4), centre and size."""
    return move_boxes(anchors, deltas.unflatten(1, (4, -1)).flatten(2).transpose(1, 2))


def move_boxes(boxes: Tensor, moves: Tensor) -> Tensor:
    """Boxes (..., 4), centre and size, moved in units of their size, and multiplied by exponentials."""
    factors = moves[..., 2:].clamp(-20, 20).exp()  # beyond any frame, but finite
    return torch.cat([moves[..., :2] * boxes[..., 2:] + boxes[..., :2], factors * boxes[..., 2:]], -1)


def encode(boxes: Tensor, origins: Tensor) -> Tensor:
    """The moves (..., 4) that take the origins to the boxes, all centre and size: the inverse of ``move_boxes``."""
    sizes = origins[..., 2:]
    return torch.cat([(boxes[..., :2] - origins[..., :2]) / sizes, (boxes[..., 2:] / sizes).log()], -1)
