"""Explicit comparison of a search patch with a template, cell by cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.nn.norm import BatchNorm2d


class Correlation(nn.Module):
    """Tells every search cell how like the target it looks, and how like what surrounds the target.

    Attention has to learn that like things belong together; a small network that sees few pairs learns it late or not
    at all. Here it is given: cosine similarities of a search cell with all cells of the template (whose place tells
    which part of the target they show), the best of them on the target and off it, and the products of the cell's
    embedding with the target's mean. No tracker's paper has it.

    Args:
        channels: of the features that come in.
        side: cells along a side of the template.
        width: channels in which cells are compared.
        out: channels that come out.
    """

    def __init__(self, channels: int, side: int, width: int, out: int) -> None:
        super().__init__()
        self.side = side
        self.embed = nn.Conv2d(channels, width, 1)
        self.mix = nn.Sequential(
            nn.Conv2d(2 * side**2 + 2 + width, out, 1, bias=False),
            BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 1),
        )

    def kernels(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Template features (B, channels, side, side) and targets (B, 4), x, y, w, h relative to the patch, to what
        search cells are compared with, (B, 2 * side ** 2 + 1, width): the cells on the target and zeros in place of
        the others, the others and zeros in place of these, and the mean of the first."""
        cells = F.normalize(self.embed(features), dim=1).flatten(2).transpose(1, 2)  # (B, N, width)
        share = covered(boxes, self.side).flatten(1)[..., None].to(cells.dtype)
        mean = (cells * share).sum(1, keepdim=True) / share.sum(1, keepdim=True).clamp(min=1e-3)
        return torch.cat([cells * share, cells * (1 - share), mean], dim=1)

    def forward(self, features: Tensor, kernels: Tensor) -> Tensor:
        """Search features (B, channels, H, W) and kernels to (B, out, H, W)."""
        x = F.normalize(self.embed(features), dim=1)
        similar = (kernels[:, :-1] @ x.flatten(2)).unflatten(2, x.shape[2:])  # (B, 2N, H, W)
        best = torch.stack([half.amax(1) for half in similar.chunk(2, 1)], dim=1)
        products = x * kernels[:, -1, :, None, None] * x.shape[1]
        return self.mix(torch.cat([similar, best, products], dim=1))


def covered(boxes: Tensor, side: int) -> Tensor:
    """(B, 4) x, y, w, h relative to a map of ``side`` by ``side`` cells, to the share of each cell that a box covers,
    (B, side, side)."""
    first = torch.arange(side, device=boxes.device, dtype=boxes.dtype)
    low, high = boxes[:, :2, None] * side, (boxes[:, :2] + boxes[:, 2:])[..., None] * side  # (B, xy, 1)
    inner = (torch.minimum(high, first + 1) - torch.maximum(low, first)).clamp(min=0)  # (B, xy, side)
    return inner[:, 1, :, None] * inner[:, 0, None, :]


class Fine(nn.Module):
    """What lets a transformer work on coarse tokens, between a comparison and a head that see the trunk's cells.

    Args:
        channels: of the trunk.
        width: of the comparison's result.
        dim: of the tokens, each of which is ``coarse`` by ``coarse`` cells.
    """

    def __init__(self, channels: int, width: int, dim: int, coarse: int = 2) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, dim, coarse, coarse)
        self.leave = nn.Conv2d(dim, width, 1)
        self.lateral = nn.Conv2d(channels + width, width, 1)

    def forward(self, tokens: Tensor, features: Tensor, matched: Tensor) -> Tensor:
        """What the transformer says (B, dim, h, w), the trunk's features (B, channels, H, W) and the comparison's
        (B, width, H, W), to (B, width, H, W)."""
        upper = F.interpolate(self.leave(tokens), features.shape[2:], mode="bilinear", align_corners=False)
        return F.relu(upper + self.lateral(torch.cat([features, matched], dim=1)))
