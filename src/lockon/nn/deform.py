"""Deformable convolution and deformable RoI pooling (Dai et al., ICCV 2017, arXiv 1703.06211), in plain PyTorch.

The convolution reads its taps by ``grid_sample``. For the pooling, a feature map is a table with one row of channels
per cell, and a bin's mean a weighted sum of rows: ``embedding_bag`` takes it without holding the samples, on every
device, and is differentiable by rows and weights. Coordinates are those of the original operators: the middle of the
first cell is 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def deform_conv(
    x: Tensor, offsets: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """Convolution whose taps are moved, each at each place, before they read the input bilinearly (section 2.1).

    What lies outside the map is zero, as in an ordinary padded convolution. No modulation (version 1), no bias.

    Args:
        x: (B, C, H, W).
        offsets: (B, G * taps * 2, H', W') in cells: group by group and tap by tap (row by row of the kernel), first
            down, then right. The channels are split evenly among the G groups.
        weight: (O, C, kernel height, kernel width).

    Returns:
        (B, O, H', W').
    """
    height, width = x.shape[2:]
    kernel_height, kernel_width = weight.shape[2:]
    rows, columns = offsets.shape[2:]
    taps = kernel_height * kernel_width
    groups = offsets.shape[1] // (2 * taps)
    exact = _at_least_single(offsets)
    moved = offsets.to(exact).unflatten(1, (groups, taps, 2)).flatten(0, 1)  # (B G, taps, 2, H', W')

    def along(length: int) -> Tensor:  # where the taps of a row or column of the output lie, unmoved
        return torch.arange(length, device=x.device, dtype=exact) * stride - padding

    tap = torch.arange(taps, device=x.device)[:, None, None]
    y = along(rows)[:, None] + tap // kernel_width * dilation + moved[:, :, 0]
    x_ = along(columns) + tap % kernel_width * dilation + moved[:, :, 1]
    y, x_ = y.clamp(-2, height + 1), x_.clamp(-2, width + 1)  # as good as any place further outside
    places = torch.stack([(2 * x_ + 1) / width - 1, (2 * y + 1) / height - 1], -1)  # from -1 to 1, edge to edge
    maps = x.to(exact).unflatten(1, (groups, -1)).flatten(0, 1)
    read = F.grid_sample(maps, places.flatten(1, 2), align_corners=False)  # (B G, C / G, taps H', W')
    result = weight.flatten(1) @ read.to(weight.dtype).view(len(x), -1, rows * columns)  # (B, C taps, H' W')
    return result.unflatten(2, (rows, columns))


def deform_roi_pool(
    features: Tensor,
    rois: Tensor,
    offsets: Tensor | None,
    size: int,
    scale: float,
    samples: int = 4,
    offset_scale: float = 0.1,
    groups: int = 1,
) -> Tensor:
    """Means of features in the bins of regions, the bins moved by offsets (section 2.2).

    The corners are rounded to whole pixels; ``samples`` x ``samples`` points of a bin are read, which lie at the
    upper left of the bin's parts; points more than half a cell outside the map do not count.

    Args:
        features: (B, C * groups * groups, H, W); a bin reads the channels of its group (position sensitivity), of
            which there are ``groups`` x ``groups``.
        rois: (R, 5) index into the batch, x1, y1, x2, y2 in pixels.
        offsets: (R, 2, parts, parts) right and down, in units of ``offset_scale`` of the region's size; None: unmoved.
        size: bins on a side.
        scale: cells per pixel.

    Returns:
        (R, C, size, size), zero where no point counts. The regions get no gradient.
    """
    height, width = features.shape[2:]
    exact = _at_least_single(features)
    corners = _round(rois[:, 1:].detach().to(exact))
    low = corners[:, :2] * scale - 0.5
    extent = ((corners[:, 2:] + 1) * scale - 0.5 - low).clamp(min=0.1)  # (R, 2)
    part = extent / size / samples
    bins, points = torch.arange(size, device=rois.device), torch.arange(samples, device=rois.device)

    def axis(number: int, length: int) -> tuple[Tensor, Tensor, Tensor]:  # (R, size, size, 2 samples), and the count
        along = bins if number == 0 else bins[:, None]
        start = along * (extent / size)[:, number, None, None] + low[:, number, None, None]  # (R, size or 1, size or 1)
        if offsets is not None:
            bin_part = bins * offsets.shape[2] // size
            moved = offsets[:, number, bin_part[:, None], bin_part].to(exact)
            start = start + moved * offset_scale * extent[:, number, None, None]
        place = start[..., None] + points * part[:, number, None, None, None]
        counts = (place >= -0.5) & (place <= length - 0.5)
        cells, shares = _neighbours(place.clamp(0, length - 1), length)
        return cells.flatten(-2), (shares * counts[..., None]).flatten(-2), counts.sum(-1)

    columns, column_shares, in_row = axis(0, width)
    rows, row_shares, in_column = axis(1, height)
    cells, shares = _product((rows, row_shares), (columns, column_shares), width)
    cells, shares = cells.expand(-1, size, size, -1), shares.expand(-1, size, size, -1)
    shares = shares / (in_row * in_column).clamp(min=1)[..., None]
    group = bins * groups // size
    plane = (rois[:, 0].long()[:, None, None] * groups + group[:, None]) * groups + group  # (R, size, size)
    table = features.to(exact).unflatten(1, (-1, groups, groups)).permute(0, 2, 3, 4, 5, 1).flatten(0, 4)
    read = _sums(table, plane[..., None] * (height * width) + cells, shares)
    return read.permute(0, 3, 1, 2)


def _neighbours(place: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """The two cells around each coordinate, which lies between the first and the last, and their shares in a linear
    interpolation, both (..., 2)."""
    low = place.detach().floor()
    cells = torch.stack([low, low + 1], -1)  # the last cell's neighbour has no share
    shares = torch.stack([1 - (place - low), place - low], -1)
    return cells.long().clamp(max=length - 1), shares


def _product(rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor], width: int) -> tuple[Tensor, Tensor]:
    """Cells and shares of rows and columns, each (..., n), to those of a flattened map, each (..., n * n)."""
    cells = rows[0][..., :, None] * width + columns[0][..., None, :]
    return cells.flatten(-2), (rows[1][..., :, None] * columns[1][..., None, :]).flatten(-2)


def _sums(table: Tensor, cells: Tensor, shares: Tensor) -> Tensor:
    """Weighted sums of a table's rows: (rows, C), (..., n), (..., n) to (..., C)."""
    bags = F.embedding_bag(
        cells.flatten(0, -2), table, mode="sum", per_sample_weights=shares.flatten(0, -2).contiguous()
    )
    return bags.unflatten(0, cells.shape[:-1])


def _at_least_single(x: Tensor) -> torch.dtype:
    """Coordinates need more digits than half precision has."""
    return torch.promote_types(x.dtype, torch.float32)


def _round(x: Tensor) -> Tensor:
    """To the nearest whole number, halves away from zero, as C rounds."""
    whole = x.trunc()
    return whole + (x - whole).mul(2).trunc()


class DeformConv(nn.Module):
    """A 3x3 deformable convolution that finds its offsets with an ordinary one; at first they are zero."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, channels, 3, 3))
        self.conv_offset = nn.Conv2d(channels, 2 * 9, 3, padding=1)
        bound = 1 / math.sqrt(9 * channels)
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        return deform_conv(x, self.conv_offset(x), self.weight, padding=1)


class DeformRoIPool(nn.Module):
    """Deformable RoI pooling that finds its offsets from the regions pooled without; at first they are zero.

    Args:
        channels: of the features.
        size: bins on a side.
        samples: points read on a side of a bin.
        hidden: width of the two hidden layers that find the offsets.
    """

    def __init__(self, channels: int, size: int, samples: int = 4, hidden: int = 1024) -> None:
        super().__init__()
        self.size, self.samples = size, samples
        self.offset_fc = nn.Sequential(
            nn.Linear(channels * size * size, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * size * size),
        )
        for parameter in self.offset_fc[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """(B, C, H, W), (R, 5) and cells per pixel to (R, C, size, size)."""
        still = deform_roi_pool(features, rois, None, self.size, scale, self.samples)
        offsets = self.offset_fc(still.flatten(1)).unflatten(1, (2, self.size, self.size))
        return deform_roi_pool(features, rois, offsets, self.size, scale, self.samples)
