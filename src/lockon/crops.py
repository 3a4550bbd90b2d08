"""From a frame to a square patch, and from patch coordinates back to the frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.errors import BoxError


@dataclass(frozen=True)
class CropSpec:
    """What part of a frame a patch shows: a square around the box.

    Attributes:
        factor: side of the square in units of ``extent``.
        size: side of the patch in pixels.
        context: share of w + h that is added to both sides of the box first (SiamFC's margin is 0.5).
        border: what lies outside the frame: "black", or the "mean" colour of the first frame.
        rule: how the square meets the pixels (``crop`` has the details): "padded" cuts whole pixels and resizes them
            (STARK, AiATrack, GRM); "rounded" does so too, but rounds otherwise (SiamAttn); "warped" samples the frame
            under the centres of the patch's pixels (SparseTT).
    """

    factor: float
    size: int
    context: float = 0.0
    border: Literal["black", "mean"] = "black"
    rule: Literal["padded", "rounded", "warped"] = "padded"

    def extent(self, w: float, h: float) -> float:
        """sqrt(w * h) of a box with its context, in the unit of w and h."""
        margin = self.context * (w + h)
        return math.sqrt(max((w + margin) * (h + margin), 0.0))


@dataclass(frozen=True)
class Window:
    """The map between a patch and its frame: the patch's centre in the frame, patch pixels per frame pixel, the
    patch's size in pixels."""

    cx: float
    cy: float
    scale: float
    size: int

    def to_frame(self, box: Sequence[float]) -> Box:
        """A centre-and-size box (cx, cy, w, h), relative to the patch (0 to 1), as x, y, w, h in frame pixels."""
        cx, cy, w, h = (float(v) * self.size / self.scale for v in box)
        half = 0.5 * self.size / self.scale
        cx, cy = cx + self.cx - half, cy + self.cy - half
        return cx - 0.5 * w, cy - 0.5 * h, w, h

    def to_patch(self, box: Sequence[float]) -> Box:
        """A box in frame pixels as x, y, w, h relative to the patch (0 to 1).

        Half a patch pixel to the upper left of what ``to_frame`` takes back: annotations were mapped so when the
        official networks of STARK, AiATrack and GRM were trained.
        """
        x, y, w, h = (float(v) * self.scale / self.size for v in box)
        left = x + 0.5 * (self.size - 1) / self.size - self.cx * self.scale / self.size
        top = y + 0.5 * (self.size - 1) / self.size - self.cy * self.scale / self.size
        return left, top, w, h


@dataclass(frozen=True)
class Patch:
    """A crop.

    Attributes:
        image: (size, size, 3) uint8 RGB.
        padding: (size, size) bool, true where the patch shows nothing of the frame.
        window: where in the frame the patch lies.
    """

    image: np.ndarray
    padding: np.ndarray
    window: Window


BLACK = (0.0, 0.0, 0.0)


def crop(frame: np.ndarray, box: Sequence[float], spec: CropSpec, border: Sequence[float] = BLACK) -> Patch:
    """Cuts the square around a box and resizes it, by the rule of ``spec``.

    By "padded" (STARK section 3, AiATrack and GRM alike) the side is rounded up and the corner to the nearest pixel,
    while the window keeps the box's own centre: a shift below one pixel that the official code has too. The part
    outside the frame has the border's colour; where the square reaches the right or bottom edge, the frame's last
    column or row counts as outside, as in the official code.

    By "rounded" (SiamAttn) the side is rounded to the nearest pixel, the corner down, and no column or row is lost.

    By "warped" (SparseTT) only the side is rounded; the window keeps the scale from before the rounding.

    Args:
        frame: (height, width, 3) uint8.
        box: x, y, w, h in frame pixels.
        border: RGB, 0 to 255; fractions are cut off.

    Raises:
        BoxError: the box is so small that nothing would be cut.
    """
    x, y, w, h = (float(v) for v in box)
    exact = spec.extent(w, h) * spec.factor
    side = math.ceil(exact) if spec.rule == "padded" else round(exact)
    if side < 1:
        raise BoxError(f"box {x:g},{y:g},{w:g},{h:g} is too small to cut a patch around it")
    height, width = frame.shape[:2]
    if spec.rule == "warped":
        matrix = warp_matrix((x + 0.5 * (w - 1), y + 0.5 * (h - 1)), side, spec.size)
        window = Window(x + 0.5 * w, y + 0.5 * h, spec.size / exact, spec.size)
        return Patch(warp(frame, matrix, spec.size, border), beyond(matrix, spec.size, frame.shape), window)
    corner, lost = (round, 1) if spec.rule == "padded" else (math.floor, 0)
    x1, y1 = corner(x + 0.5 * w - 0.5 * side), corner(y + 0.5 * h - 0.5 * side)
    left, top = max(0, -x1), max(0, -y1)
    right, bottom = max(x1 + side - width + lost, 0), max(y1 + side - height + lost, 0)
    window = Window(x + 0.5 * w, y + 0.5 * h, spec.size / side, spec.size)
    colour = [int(v) for v in border]
    if left + right >= side or top + bottom >= side:
        empty = np.full((spec.size, spec.size, 3), colour, np.uint8)
        return Patch(empty, np.ones((spec.size, spec.size), bool), window)
    piece = frame[y1 + top : y1 + side - bottom, x1 + left : x1 + side - right]
    if not (left or top or right or bottom):
        return Patch(_resize(piece, spec.size), np.zeros((spec.size, spec.size), bool), window)
    piece = cv2.copyMakeBorder(piece, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)
    rows = _touched(side, top, bottom, spec.size)
    columns = _touched(side, left, right, spec.size)
    return Patch(_resize(piece, spec.size), rows[:, None] | columns[None, :], window)


def warp_matrix(centre: Sequence[float], side: float, size: int) -> np.ndarray:
    """The map from the pixels of a patch to those of its frame, a pixel's own coordinates being those of its middle.

    Args:
        centre: x, y of the patch's middle in the frame.
        side: frame pixels that the patch shows along a side: its first and last pixel lie ``side - 1`` apart.
        size: the same in patch pixels.

    Returns:
        (2, 3); centre, side and ends are rounded to float32 as in SparseTT's official code.
    """
    half = (np.float32(side) - np.float32(1)) / np.float32(2)
    (x1, x2), (y1, y2) = ((np.float32(c) - half, np.float32(c) + half) for c in centre)
    return np.array([[float(x2 - x1) / (size - 1), 0.0, x1], [0.0, float(y2 - y1) / (size - 1), y1]])


def warp(frame: np.ndarray, matrix: np.ndarray, size: int, border: Sequence[float] = BLACK) -> np.ndarray:
    """A (size, size, 3) patch, sampled bilinearly where ``warp_matrix`` says."""
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colour = [int(v) for v in border]
    return cv2.warpAffine(frame, matrix, (size, size), flags=how, borderMode=cv2.BORDER_CONSTANT, borderValue=colour)


def mean_colour(image: np.ndarray) -> tuple[float, float, float]:
    """RGB of an (H, W, 3) uint8 picture."""
    red, green, blue, _ = cv2.mean(image)
    return red, green, blue


def beyond(matrix: np.ndarray, size: int, shape: Sequence[int]) -> np.ndarray:
    """(size, size) bool: which pixels of a patch mix in the border.

    Args:
        matrix: (2, 3) the map from the patch's pixels to the frame's; it may scale and move, but not turn.
        shape: of the frame, (height, width, ...).
    """
    columns, rows = (matrix[axis, axis] * np.arange(size) + matrix[axis, 2] for axis in range(2))
    return ((rows < 0) | (rows > shape[0] - 1))[:, None] | (columns < 0) | (columns > shape[1] - 1)


def _touched(side: int, before: int, after: int, size: int) -> np.ndarray:
    """(size,) bool: where bilinear resizing of ``side`` pixels mixes in any of the padding at the two ends."""
    outside = np.ones((1, side))
    outside[:, before : side - after] = 0.0
    touched: np.ndarray = cv2.resize(outside, (size, 1), interpolation=cv2.INTER_LINEAR)[0] != 0
    return touched


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
