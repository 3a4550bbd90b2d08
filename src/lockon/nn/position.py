"""Position encodings."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def sine_position(padding: Tensor, channels: int) -> Tensor:
    """Sine position encoding of a feature map (DETR, appendix A.4).

    Positions count the cells that are not padding and are scaled to (0, 2 pi], so that an encoding depends on where
    a cell lies in the visible part of the map, not on the map's size.

    Args:
        padding: (B, H, W) bool, true = padding.
        channels: C, divisible by 4: the first half encodes the row, the second the column.

    Returns:
        (B, C, H, W) float32.
    """
    inside = (~padding).float()
    step = torch.arange(channels // 2, device=padding.device, dtype=torch.float32)
    period = 10000 ** (2 * torch.div(step, 2, rounding_mode="floor") / (channels // 2))
    halves = []
    for axis in (1, 2):
        count = inside.cumsum(axis)
        last = count.narrow(axis, count.shape[axis] - 1, 1)
        angle = (count / (last + 1e-6) * 2 * math.pi)[..., None] / period  # (B, H, W, C/2)
        halves.append(torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(3))
    return torch.cat(halves, dim=-1).permute(0, 3, 1, 2)
