"""Training losses and targets."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lockon.boxes import iou_and_giou
from lockon.nn.precision import full


def box_loss(
    predicted: Tensor, truth: Tensor, giou_weight: float, l1_weight: float, count: Tensor | None = None
) -> dict[str, Tensor]:
    """Generalised IoU and L1 of x1, y1, x2, y2 boxes, the box loss of DETR, STARK and most that followed.

    As in their official code, a batch in which any predicted box is inverted has no GIoU term.

    Args:
        predicted, truth: (N, 4).
        count: what the sums over boxes are divided by, N where None.

    Returns:
        "box" (weighted sum), "giou" (1 - GIoU), "l1" and "iou", each the mean over boxes, 0 if there are none.
    """
    divisor = predicted.new_tensor(max(1, len(truth))) if count is None else count
    l1 = F.l1_loss(predicted, truth, reduction="sum") / (4 * divisor)
    if bool((predicted[:, 2:] >= predicted[:, :2]).all()):
        iou, giou = iou_and_giou(predicted, truth)
        iou, giou_term = iou.sum() / divisor, (1 - giou).sum() / divisor
    else:
        iou = giou_term = l1.new_zeros(())
    return {"box": giou_weight * giou_term + l1_weight * l1, "giou": giou_term, "l1": l1, "iou": iou.detach()}


def center_map(boxes: Tensor, size: int, overlap: float = 0.7) -> Tensor:
    """Where a center head should see its targets: a Gaussian bump on the cell nearest to each box's centre.

    The bump's radius is CornerNet's (Law and Deng, ECCV 2018): how far both corners may be off while the boxes still
    overlap by ``overlap``. Two of its three formulae take a root of the quadratic equation that is not the wanted
    one; they are kept, since the official networks were trained with them.

    Args:
        boxes: (B, 4) x, y, w, h relative to the map.
        size: cells along a side.

    Returns:
        (B, size, size), exactly 1 at the peak; without a peak where the box's centre lies outside.
    """
    boxes = full(boxes) * size
    centre = (boxes[:, :2] + boxes[:, 2:] / 2).round()  # halves to the even cell, as the official code does
    radius = _radius(boxes[:, 2], boxes[:, 3], overlap)[:, None, None]
    cells = torch.arange(size, device=boxes.device)
    dx, dy = (cells - centre[:, :1])[:, None, :], (cells - centre[:, 1:])[:, :, None]
    deviation = (2 * radius + 1) / 6
    bump = (-(dx**2 + dy**2) / (2 * deviation**2)).exp()
    return bump * ((dx.abs() <= radius) & (dy.abs() <= radius))


def _radius(w: Tensor, h: Tensor, overlap: float) -> Tensor:
    """(B,) whole cells of a box's width and height (B,) in cells."""
    b1, c1 = w + h, w * h * (1 - overlap) / (1 + overlap)
    b2, c2 = 2 * (w + h), (1 - overlap) * w * h
    b3, c3 = -2 * overlap * (w + h), (overlap - 1) * w * h
    each = [
        (b1 + (b1**2 - 4 * c1).sqrt()) / 2,
        (b2 + (b2**2 - 16 * c2).sqrt()) / 2,
        (b3 + (b3**2 - 16 * overlap * c3).sqrt()) / 2,
    ]
    return torch.stack(each).amin(0).clamp(min=0).trunc()


def center_loss(scores: Tensor, labels: Tensor, peaks: Tensor | None = None) -> Tensor:
    """Focal loss of score maps against ``center_map`` (CornerNet's, in OSTrack section 3.3).

    Args:
        scores, labels: (B, S, S); cells near a peak, where the label is high, count less as negatives.
        peaks: what the sum is divided by, the number of peaks where None.

    Returns:
        The sum over all cells, divided by the number of peaks.
    """
    peak = labels == 1
    scores = full(scores)
    positive = (scores.clamp(min=1e-12).log() * (1 - scores) ** 2)[peak].sum()
    negative = ((1 - scores).clamp(min=1e-12).log() * scores**2 * (1 - labels) ** 4)[~peak].sum()
    return -(positive + negative) / (peak.sum().clamp(min=1) if peaks is None else peaks)
