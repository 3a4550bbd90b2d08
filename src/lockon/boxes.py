"""Box formats, overlap and clipping: the one place for each.

A box is x, y, w, h in pixels, (x, y) its top-left corner, unless a name says otherwise. Functions on tensors take
any leading dimensions and return the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lockon.errors import BoxError

Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]


def xywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) x, y, w, h to x1, y1, x2, y2."""
    xy, wh = boxes[..., :2], boxes[..., 2:]
    return torch.cat([xy, xy + wh], dim=-1)


def cxcywh_to_xyxy(boxes: Tensor) -> Tensor:
    """(..., 4) centre and size to x1, y1, x2, y2."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def xyxy_to_cxcywh(boxes: Tensor) -> Tensor:
    """(..., 4) x1, y1, x2, y2 to centre and size; the size is negative where the corners are swapped."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(low + high) / 2, high - low], dim=-1)


def xyxy_to_xywh(boxes: Tensor) -> Tensor:
    """(..., 4) x1, y1, x2, y2 to x, y, w, h; the size is negative where the corners are swapped."""
    low, high = boxes[..., :2], boxes[..., 2:]
    return torch.cat([low, high - low], dim=-1)


def mirror(boxes: Tensor, width: Tensor | None = None) -> Tensor:
    """(..., 4) x, y, w, h in a picture that is mirrored left to right.

    Args:
        width: (...) of the picture in pixels: its column c becomes width - 1 - c, and so do a box's two sides, as in
            AiATrack's official training code. None where boxes are relative to the picture (0 to 1).
    """
    x, y, w, h = boxes.unbind(-1)
    last = 1 if width is None else width - 1
    return torch.stack([last - (x + w), y, w, h], dim=-1)


def iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Overlap of paired x1, y1, x2, y2 boxes.

    Args:
        a, b: (..., 4), with x2 >= x1 and y2 >= y1.

    Returns:
        Intersection over union and generalised IoU (Rezatofighi et al., CVPR 2019), each (...).
    """
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inner
    iou = inner / union
    return iou, iou - (hull - union) / hull


def clip_box(box: Sequence[float], width: int, height: int, margin: float = 0.0) -> Box:
    """The part of a box inside a frame, never smaller than ``margin`` on a side nor nearer than that to leaving.

    The order of the operations is that of the official trackers (STARK, AiATrack, GRM): both corners are clamped
    first, the size is bounded from below after.
    """
    x, y, w, h = box
    x1, y1 = min(max(0.0, x), width - margin), min(max(0.0, y), height - margin)
    x2, y2 = min(max(margin, x + w), float(width)), min(max(margin, y + h), float(height))
    return x1, y1, max(margin, x2 - x1), max(margin, y2 - y1)


def check_box(box: Sequence[float], width: int, height: int) -> Box:
    """The box as four floats, if it can start a track in a frame of ``width`` x ``height`` pixels.

    Raises:
        BoxError: not four finite numbers, no positive size, or no pixel inside the frame.
    """
    try:
        values = [float(v) for v in box]
    except (TypeError, ValueError):
        raise BoxError(f"box {box!r} is not made of numbers; a box is x, y, w, h in pixels") from None
    shown = ",".join(f"{v:g}" for v in values)
    if len(values) != 4:
        raise BoxError(f"box {shown} has {len(values)} numbers; a box is x, y, w, h in pixels")
    if not all(math.isfinite(v) for v in values):
        raise BoxError(f"box {shown} is not finite; a box is x, y, w, h in pixels")
    x, y, w, h = values
    if w <= 0 or h <= 0:
        raise BoxError(f"box {shown} has no area: width and height must be positive (x, y, w, h, not two corners)")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise BoxError(f"box {shown} lies outside the frame, which is {width} x {height} pixels")
    return x, y, w, h


def parse_box(text: str) -> Box:
    """The box in a text such as ``"10,20,30,40"`` (commas, blanks, tabs or semicolons between the numbers).

    Raises:
        BoxError: not four numbers.
    """
    parts = text.replace(",", " ").replace(";", " ").split()
    try:
        values = [float(part) for part in parts]
    except ValueError:
        raise BoxError(f"{text!r} is not a box; write it as X,Y,W,H in pixels, for example 120,80,64,48") from None
    if len(values) != 4:
        raise BoxError(f"{text!r} has {len(values)} numbers; a box has four: X,Y,W,H in pixels")
    return values[0], values[1], values[2], values[3]
