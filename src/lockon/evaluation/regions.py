"""Regions of the VOT challenges, and their text as the VOT toolkit and TraX have it.

Four numbers are a rectangle x, y, w, h, six or more the corners of a polygon, one number is a code in place of a
region, and ``mX,Y,W,H,r0,r1,...`` a mask: offset and size, then how many pixels in row order are outside, inside,
outside, and so on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lockon import boxes
from lockon.annotations import number_of
from lockon.boxes import Box
from lockon.errors import DataError
from lockon.evaluation import sequences

CODES = (0, 1, 2)
MOST_CORNERS = 1000  # of a polygon; what needs more is a mask
MOST_PIXELS = 2**26  # of a mask, 8192 x 8192, whatever its text claims
FARTHEST_MASK = 2**24  # pixels from the frame's corner; single precision tells no pixels beyond apart
LARGEST = 1e38  # a coordinate; toolkits compute in single precision, and add two of them


@dataclass(frozen=True)
class Code:
    """A number in place of a region; see ``NOTHING``, ``STARTED`` and ``FAILED``."""

    value: int


NOTHING = Code(0)  # the tracker gave no output; of a truth, the target is not in view
STARTED = Code(1)  # the tracker was given the truth of this frame
FAILED = Code(2)  # the tracker had lost the target


@dataclass(frozen=True)
class Rectangle:
    """Top-left corner and size in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Polygon:
    """Three or more corners x, y in pixels, in order."""

    points: boxes.Polygon


@dataclass(frozen=True, eq=False, init=False)
class Mask:
    """A picture of a region, kept as run lengths: a file that claims large masks costs what the file costs.

    Attributes:
        x, y: the pixel of the frame that is the first one of the mask.
        width, height: in pixels.
        runs: how many pixels in row order are false, then true, then false, and so on; the rest is false.
    """

    x: int
    y: int
    width: int
    height: int
    runs: NDArray[np.int64]

    __match_args__ = ("x", "y", "pixels")

    def __init__(self, x: int, y: int, pixels: NDArray[np.bool_]) -> None:
        height, width = pixels.shape
        self._set(x, y, width, height, np.array(run_lengths(pixels), np.int64))

    @classmethod
    def of_runs(cls, x: int, y: int, width: int, height: int, runs: NDArray[np.int64]) -> Mask:
        """A mask of run lengths that are known to fit; see ``from_run_lengths``."""
        mask = cls.__new__(cls)
        mask._set(x, y, width, height, runs)
        return mask

    def _set(self, *values: object) -> None:
        for name, value in zip(("x", "y", "width", "height", "runs"), values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """(height, width) bool, made anew each time."""
        pixels = np.zeros(self.width * self.height, bool)
        filled = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs)
        pixels[: len(filled)] = filled
        return pixels.reshape(self.height, self.width)

    @property
    def extent(self) -> tuple[slice, slice] | None:
        """The rows and columns between which the mask has anything; None of an empty one."""
        ends = self.runs.cumsum()
        starts, stops = ends[: len(ends) // 2 * 2 : 2], ends[1::2]
        begun = stops > starts
        if not begun.any():
            return None
        first, last = starts[begun], stops[begun] - 1
        rows = slice(int(first[0]) // self.width, int(last[-1]) // self.width + 1)
        if (first // self.width < last // self.width).any():  # a run goes on in the next row
            return rows, slice(0, self.width)
        return rows, slice(int((first % self.width).min()), int((last % self.width).max()) + 1)


Region = Code | Rectangle | Polygon | Mask


# Text


def parse_region(text: str) -> Region:
    """The region that a line tells; a line of ``nan`` is ``NOTHING``.

    Raises:
        DataError: not the text of a region.
    """
    if text.startswith("m"):
        return _parse_mask(text)
    values = [number_of(part) for part in text.replace(",", " ").split()]
    if None in values or ",," in text:
        raise DataError(f"{_short(text)} is not a region: expected numbers, or a mask mX,Y,W,H,...")
    told = [value for value in values if value is not None]
    if len(told) == 1 and told[0] in CODES:
        return Code(int(told[0]))
    return region_of(told)


def parse_lines(source: object, lines: Iterable[str]) -> list[Region]:
    """The regions of lines.

    Raises:
        DataError: not the text of a region; names the source and the line.
    """
    regions = []
    for number, line in enumerate(lines, 1):
        try:
            regions.append(parse_region(line.strip()))
        except DataError as error:
            raise DataError(f"{source}, line {number}: {error}") from None
    return regions


def region_of(values: Sequence[float]) -> Region:
    """A rectangle from x, y, w, h, or a polygon from x1, y1, x2, y2, x3, y3, ... in pixels; ``NOTHING`` from all NaN.

    Raises:
        DataError: neither four numbers nor an even number of them from six to 2000; some not finite, or beyond single
            precision.
    """
    if len(values) == 2:
        raise DataError("2 numbers are a point, and of points there are no overlaps: expected a region")
    if len(values) < 4 or len(values) % 2:
        raise DataError(
            f"{len(values)} numbers are no region: expected a code 0 to 2, x,y,w,h, or x,y of three or more corners"
        )
    if len(values) > 2 * MOST_CORNERS:
        raise DataError(f"a polygon of {len(values) // 2} corners; the most is {MOST_CORNERS}, larger ones are masks")
    if all(map(math.isnan, values)):
        return NOTHING
    if not all(map(math.isfinite, values)):
        raise DataError("a region has numbers that are not finite")
    if max(map(abs, values)) > LARGEST:
        raise DataError("a region has numbers beyond single precision, in which regions are compared")
    if len(values) == 4:
        return Rectangle(*map(float, values))
    return Polygon(tuple((float(x), float(y)) for x, y in zip(values[::2], values[1::2], strict=True)))


def format_region(region: Region) -> str:
    """The line that tells a region: numbers with four decimals; masks are cropped to what is in them."""
    match region:
        case Code():
            return str(region.value)
        case Mask():
            mask = crop(region)
            return "m" + ",".join(map(str, [mask.x, mask.y, mask.width, mask.height, *mask.runs.tolist()]))
        case _:
            return ",".join(f"{value:.4f}" for value in numbers(region))


def numbers(region: Rectangle | Polygon) -> list[float]:
    """x, y, w, h or x1, y1, x2, y2, ... in pixels."""
    if isinstance(region, Rectangle):
        return [region.x, region.y, region.width, region.height]
    return [value for point in region.points for value in point]


# Masks


def run_lengths(pixels: NDArray[np.bool_]) -> list[int]:
    """How many pixels in row order are false, then true, then false, and so on; the first number may be 0."""
    flat = np.concatenate([[False], pixels.ravel()])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(changes, prepend=0, append=pixels.size).tolist()


def from_run_lengths(x: int, y: int, width: int, height: int, runs: Sequence[int]) -> Mask:
    """The mask whose ``run_lengths`` are given; pixels after the last run are false.

    Raises:
        DataError: negative numbers, more pixels than the mask has, or a mask larger or farther away than any.
    """
    if min([width, height, *runs]) < 0 or sum(runs) > width * height:
        raise DataError(f"runs of {_shown(sum(runs))} pixels are no mask of {_shown(width)} x {_shown(height)}")
    if width * height > MOST_PIXELS:
        raise DataError(f"a mask of {_shown(width)} x {_shown(height)} pixels; the most is {MOST_PIXELS} in all")
    if max(abs(x), abs(y)) > FARTHEST_MASK:
        raise DataError(f"a mask at {_shown(x)}, {_shown(y)}; the farthest is {FARTHEST_MASK} pixels away")
    return Mask.of_runs(x, y, width, height, np.array(runs, np.int64))


def _shown(number: int) -> str:
    """A whole number, however long, in a message."""
    return str(number) if abs(number) < 10**20 else "more than 10^20" if number > 0 else "less than -10^20"


def crop(mask: Mask) -> Mask:
    """The mask without its empty margins; an empty one becomes one empty pixel."""
    found = mask.extent
    if found is None:
        return Mask(mask.x, mask.y, np.zeros((1, 1), bool))
    rows, columns = found
    return Mask(mask.x + columns.start, mask.y + rows.start, mask.pixels[rows, columns])


def _parse_mask(text: str) -> Mask:
    try:
        x, y, width, height, *runs = map(int, text[1:].split(","))
    except ValueError:
        raise DataError(f"{_short(text)} is not a mask: expected mX,Y,W,H and run lengths, whole numbers") from None
    if "_" in text:  # Python's own way to write a number
        raise DataError(f"{_short(text)} is not a mask: expected mX,Y,W,H and run lengths, whole numbers")
    return from_run_lengths(x, y, width, height, runs)


# Boxes


def enclosing_box(region: Rectangle | Polygon | Mask) -> Box:
    """x, y, w, h in pixels of the upright box around a region, as the VOT toolkit starts trackers that take boxes."""
    match region:
        case Rectangle():
            return region.x, region.y, region.width, region.height
        case Mask():
            rows, columns = region.extent or (slice(0, 1), slice(0, 1))
            left, top = region.x + columns.start, region.y + rows.start
            return float(left), float(top), float(columns.stop - columns.start), float(rows.stop - rows.start)
        case Polygon():
            xs, ys = zip(*region.points, strict=True)
            return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def fitted_box(polygon: Polygon) -> Box:
    """x, y, w, h in pixels of the upright box of four corners' centre, proportions of its extent and, about, their
    area, as pysot starts its trackers: the size is one pixel more, and centres are x + (w - 1) / 2.

    Raises:
        DataError: not four corners, or without area.
    """
    _, _, width, height = enclosing_box(polygon)
    if len(polygon.points) != 4 or width == 0 or height == 0:
        raise DataError(f"no box can be fitted to {format_region(polygon)}: expected four corners around an area")
    first, second, third, _ = polygon.points
    scale = math.sqrt(math.dist(first, second) * math.dist(second, third) / (width * height))
    centre_x, centre_y = (sum(values) / 4 for values in zip(*polygon.points, strict=True))
    width, height = scale * width + 1, scale * height + 1
    return centre_x - (width - 1) / 2, centre_y - (height - 1) / 2, width, height


def truth(sequence: sequences.Sequence) -> list[Region]:
    """(T,) the annotated region of each frame: the sequence's regions, else its boxes; ``NOTHING`` where there is none.

    Raises:
        DataError: a region that cannot be read; names sequence and frame.
    """
    if not sequence.regions:
        return [region_of(box) for box in sequence.boxes.tolist()]
    return parse_lines(sequence.name, [line or "0" for line in sequence.regions])


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")
