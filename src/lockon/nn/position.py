"""Position encodings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


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


class LearnedPosition(nn.Module):
    """Learned embeddings of columns and rows (DETR's alternative to sines), for square maps of one size.

    The parameters are those of the official code: ``row_embed`` and ``col_embed``, each (size, channels / 2).
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.row_embed, self.col_embed = nn.Embedding(size, channels // 2), nn.Embedding(size, channels // 2)
        nn.init.uniform_(self.row_embed.weight)
        nn.init.uniform_(self.col_embed.weight)

    def forward(self) -> Tensor:
        """(channels, size, size): the first half depends on the column, the second on the row."""
        rows, columns = self.row_embed.weight, self.col_embed.weight
        size = len(rows)
        row, column = rows.T[:, :, None].expand(-1, size, size), columns.T[:, None, :].expand(-1, size, size)
        return torch.cat([column, row])
