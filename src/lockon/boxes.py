"""Box formats, overlap and clipping: the one place for each.

A box is x, y, w, h in pixels, (x, y) its top-left corner, unless a name says otherwise. Functions on tensors take
any leading dimensions and return the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from itertools import islice
from reprlib import Repr
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lockon.errors import BoxError, first_few

Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]

FORM = "a box is x, y, w, h in pixels"
LARGEST = 10  # times the frame's longer side: the most that a side of a box may have
MOST_BOXES = 10_000
NO_NUMBERS = (bool, np.bool_, bytes, bytearray, complex, np.complexfloating, np.datetime64, np.timedelta64)
BRIEF = Repr()  # of long or deep things, only what stands first


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


def as_boxes(boxes: object) -> tuple[list[Box], bool]:
    """One box or several, from whatever holds their numbers, and whether it was one box and not a list.

    Four numbers are a box, and whatever lists such fours is a list of boxes: sequences, generators, arrays and tensors
    of any type on any device, and mixtures of these. A number is what ``float`` takes, but not a truth value.

    Raises:
        BoxError: none, or not four finite numbers each.
    """
    items = _items(boxes)
    if not items:
        raise BoxError(f"no box was given; {FORM}")
    if _is_collection(_unpacked(items[0])):
        return [as_box(item) for item in items], False
    return [as_box(items)], True


def as_box(box: object) -> Box:
    """The one box in whatever holds its four numbers (see ``as_boxes``).

    Raises:
        BoxError: not four finite numbers.
    """
    items = _items(box)
    try:
        values = [_number(item) for item in items]
    except (TypeError, ValueError):
        raise BoxError(f"box {shortened(items)} is not made of numbers; {FORM}") from None
    if len(values) != 4:
        raise BoxError(f"box {_written(values)} has {len(values)} numbers; {FORM}")
    if not all(math.isfinite(v) for v in values):
        raise BoxError(f"box {_written(values)} is not finite; {FORM}")
    return values[0], values[1], values[2], values[3]


def _items(boxes: object) -> list[object]:
    """What is listed, in its order."""
    plain: Any = _unpacked(boxes)
    if not _is_collection(plain):
        raise BoxError(f"{shortened(boxes)} is not a box; {FORM}")
    items = list(islice(plain, MOST_BOXES + 1))  # a generator may have no end
    if len(items) > MOST_BOXES:
        raise BoxError(f"{shortened(boxes)} has more than {MOST_BOXES} parts; {FORM}")
    return items


def _is_collection(value: object) -> bool:
    """Whether it lists things in an order of their own; a text is one thing, and a set has no order."""
    if isinstance(value, (str, bytes, bytearray, Mapping, Set)):
        return False
    try:
        iter(value)  # type: ignore[call-overload]
    except TypeError:
        return False
    return True


def _unpacked(value: object) -> object:
    """An array or tensor as a number or nested lists, anything else as it is."""
    if isinstance(value, np.generic) or not hasattr(type(value), "__array__"):
        return value
    try:
        array: Any = value if isinstance(value, (np.ndarray, Tensor)) else np.asarray(value)  # a table, say
        small = array.ndim <= 2 and math.prod(array.shape) <= 4 * MOST_BOXES
        if small:
            return array.detach().cpu().tolist() if isinstance(array, Tensor) else array.tolist()
    except (TypeError, ValueError, RuntimeError):  # one without numbers, such as PyTorch's on the meta device
        raise BoxError(f"{shortened(value)} is not a box; {FORM}") from None
    raise BoxError(f"an array of shape {tuple(array.shape)} is not a box; {FORM}")


def _number(value: object) -> float:
    plain: Any = _unpacked(value)
    if isinstance(plain, NO_NUMBERS):
        raise TypeError
    try:
        return float(plain)
    except OverflowError:
        return math.inf


def _written(values: Sequence[float]) -> str:
    return first_few((f"{v:g}" for v in values), between=",")


def shortened(value: object, length: int = 60) -> str:
    """How Python writes a value, cut to ``length`` characters; its kind alone where it cannot be written."""
    try:
        text = BRIEF.repr(value)
    except Exception:  # whatever an object's own code does; this is for a message about it
        text = f"something of type {type(value).__name__}"
    return text if len(text) <= length else f"{text[: length - 3]}..."


def check_box(box: object, width: int, height: int) -> Box:
    """The box as four floats, if it can start a track in a frame of ``width`` x ``height`` pixels.

    Raises:
        BoxError: not four finite numbers (``as_boxes``), no positive size, less than a pixel or more than ``LARGEST``
            times the frame's longer side on a side, or no pixel inside the frame.
    """
    x, y, w, h = values = as_box(box)
    shown, frame = f"box {_written(values)}", f"the frame, which is {width} x {height} pixels"
    if w <= 0 or h <= 0:
        raise BoxError(f"{shown} has no area: width and height must be positive (x, y, w, h, not two corners)")
    if w < 1 or h < 1:
        shares = f"; if these are shares of the frame, multiply them by its width and height, {width} and {height}"
        raise BoxError(f"{shown} is less than a pixel wide or high{shares if max(values) <= 1 else ''}")
    if max(w, h) > LARGEST * max(width, height):
        raise BoxError(f"{shown} is more than {LARGEST} times as long as {frame}; is there a digit too many?")
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        raise BoxError(f"{shown} lies outside {frame}")
    return values


def parse_box(text: str) -> Box:
    """The box in a text such as ``"10,20,30,40"`` (commas, blanks, tabs or semicolons between the numbers).

    Raises:
        BoxError: not four finite numbers.
    """
    if not isinstance(text, str):
        raise BoxError(f"{shortened(text)} is not a text; write a box as X,Y,W,H in pixels")
    parts = text.replace(",", " ").replace(";", " ").split()
    try:
        values = [float(part) for part in parts]
    except ValueError:
        told = f"{shortened(text)} is not a box; write it as X,Y,W,H in pixels, for example 120,80,64,48"
        raise BoxError(told) from None
    if len(values) != 4:
        raise BoxError(f"{shortened(text)} has {len(values)} numbers; a box has four: X,Y,W,H in pixels")
    return as_box(values)
