"""Pooling of regions."""

from __future__ import annotations

import torch
from torch import Tensor


def precise_roi_pool(features: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Precise RoI pooling (Jiang et al., ECCV 2018): the exact mean of the feature surface over each bin of a box.

    Cell (i, j) of a map stands at the point (x, y) = (j, i); between the cells the surface is bilinear, and beyond
    the map it falls to zero within one cell. Integral and weights separate into rows and columns, so the mean is two
    small matrix products, differentiable in features and boxes.

    Args:
        features: (B, C, H, W).
        boxes: (B, P, 4) x1, y1, x2, y2 in cells; one that is empty or inverted pools to zeros.
        size: bins per side of a box.

    Returns:
        (B, P, C, size, size), of the more precise of both types.
    """
    dtype = torch.promote_types(features.dtype, boxes.dtype)
    features, boxes = features.to(dtype), boxes.to(dtype)
    low, extent = boxes[..., :2], (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    columns = _bin_weights(low[..., 0], extent[..., 0], size, features.shape[3])
    rows = _bin_weights(low[..., 1], extent[..., 1], size, features.shape[2])
    integral = torch.einsum("bpih,bchw,bpjw->bpcij", rows, features, columns)
    area = (extent.prod(-1) / size**2)[..., None, None, None]
    return torch.where(area > 0, integral / torch.where(area > 0, area, 1), 0)


def _bin_weights(low: Tensor, extent: Tensor, bins: int, cells: int) -> Tensor:
    """(B, P) starts and lengths along one axis to (B, P, bins, cells): each cell's share of each bin's integral."""
    edges = low[..., None] + extent[..., None] * torch.arange(bins + 1, device=low.device, dtype=low.dtype) / bins
    place = torch.arange(cells, device=low.device, dtype=low.dtype)
    return _tent_integral(edges[..., None] - place).diff(dim=-2)


def _tent_integral(u: Tensor) -> Tensor:
    """The integral of max(0, 1 - |s|) from minus infinity to ``u``."""
    u = u.clamp(-1, 1)
    return 0.5 + u - 0.5 * u * u.abs()
