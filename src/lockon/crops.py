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
CELLS = 8  # parts along a side of a patch, whose means tell shapes from noise
NOISE, TRACE = 6.0, 1.0  # grey levels, standard deviation of a blank patch's pixels and of its parts' means
LARGE = 2048  # pixels: a larger square that has a border is not made, but looked up where it shows the frame


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
    columns = _Axis(side, spec.size, x1, x1 + left, x1 + side - right)
    rows = _Axis(side, spec.size, y1, y1 + top, y1 + side - bottom)
    piece = frame[rows.start : rows.stop, columns.start : columns.stop]
    if not (left or top or right or bottom):
        return Patch(_resize(piece, spec.size), np.zeros((spec.size, spec.size), bool), window)
    padding = rows.touched()[:, None] | columns.touched()
    if side > max(LARGE, spec.size):
        return Patch(_resize_seen(frame, rows, columns, colour), padding, window)
    piece = cv2.copyMakeBorder(piece, top, bottom, left, right, cv2.BORDER_CONSTANT, value=colour)
    return Patch(_resize(piece, spec.size), padding, window)


def is_blank(patch: Patch) -> bool:
    """Whether what a patch shows of the frame is of one colour but for noise, or nothing at all.

    Noise is what neither spreads the pixels much nor leaves a trace in the means of ``CELLS`` by ``CELLS`` parts: a
    camera's in the dark, for one. A target that is a few grey levels brighter than all else does leave one.
    """
    image = patch.image
    if patch.padding.any():
        rows, columns = (np.flatnonzero(~patch.padding.all(axis)) for axis in (1, 0))  # what is seen is a rectangle
        if not len(rows):
            return True
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if cv2.meanStdDev(image)[1].max() >= NOISE:
        return False
    height, width = (max(1, round(CELLS * side / patch.window.size)) for side in image.shape[:2])
    cells = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return bool(cv2.meanStdDev(cells)[1].max() < TRACE)


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


@dataclass(frozen=True)
class _Axis:
    """One side of a square that is resized.

    Attributes:
        side, size: of the square and of the patch in pixels.
        corner: the square's first pixel in the frame.
        start, stop: the part of the frame that the square shows.
    """

    side: int
    size: int
    corner: int
    start: int
    stop: int

    def taps(self) -> tuple[np.ndarray, np.ndarray]:
        """(size,) frame pixels that OpenCV's bilinear resizing begins at, and float32 shares of the ones after them."""
        step = 1.0 / (self.size / self.side)
        place = ((np.arange(self.size) + 0.5) * step - 0.5).astype(np.float32)
        first = np.floor(place)
        share = np.where((first < 0) | (first >= self.side - 1), np.float32(0), place - first)
        return first.clip(0, self.side - 1).astype(np.int64) + self.corner, share

    def inside(self, pixels: np.ndarray) -> np.ndarray:
        """Which frame pixels the square shows."""
        return (pixels >= self.start) & (pixels < self.stop)

    def touched(self) -> np.ndarray:
        """(size,) bool: where any of what lies outside the frame is mixed in."""
        first, share = self.taps()
        return ~self.inside(first) | ((share > 0) & ~self.inside(first + 1))


def _resize_seen(frame: np.ndarray, rows: _Axis, columns: _Axis, colour: Sequence[int]) -> np.ndarray:
    """What ``_resize`` makes of a square with the frame in it, at a cost that does not grow with the square.

    OpenCV's arithmetic, to the bit: shares are 2048ths, and rows lose four bits before they are mixed.

    Args:
        rows, columns: of a square that is larger than the patch.
        colour: RGB outside the frame.

    Returns:
        (size, size, 3) uint8.
    """
    image = np.full((rows.size, columns.size, 3), colour, np.uint8)
    (ys, down, upper, lower), (xs, across, left, right) = _seen(rows), _seen(columns)
    pixels = frame[np.ix_(ys.clip(0, len(frame) - 1), xs.clip(0, frame.shape[1] - 1))].astype(np.int32)
    pixels[~rows.inside(ys)] = colour
    pixels[:, ~columns.inside(xs)] = colour
    left, right, upper, lower = left[:, None], right[:, None], upper[:, None, None], lower[:, None, None]
    mixed = (pixels[:, : len(left)] * left + pixels[:, len(left) :] * right) >> 4
    mixed = ((mixed[: len(upper)] * upper) >> 16) + ((mixed[len(upper) :] * lower) >> 16)
    image[down, across] = (mixed + 2) >> 2
    return image


def _seen(axis: _Axis) -> tuple[np.ndarray, slice, np.ndarray, np.ndarray]:
    """The pixels of a patch's side that show anything of the frame, N of them.

    Returns:
        (2 N,) frame pixels, all first ones before all second ones; the place in the patch; (N,) shares of the first
        and of the second in 2048ths.
    """
    first, share = axis.taps()
    seen = np.flatnonzero(axis.inside(first) | axis.inside(first + 1))
    part = slice(seen[0], seen[-1] + 1) if len(seen) else slice(0, 0)
    first, share = first[part], share[part]
    before, after = (np.rint(part * np.float32(2048)).astype(np.int32) for part in (1 - share, share))
    return np.concatenate([first, first + 1]), part, before, after


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
