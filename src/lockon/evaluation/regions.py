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
from lockon.boxes import Box
from lockon.errors import DataError
from lockon.evaluation import sequences
from lockon.masks import extent


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


@dataclass(frozen=True, eq=False)
class Mask:
    """(height, width) bool ``pixels``, of which the first is pixel ``x``, ``y`` of the frame."""

    x: int
    y: int
    pixels: NDArray[np.bool_]


Region = Code | Rectangle | Polygon | Mask


# Text


def parse_region(text: str) -> Region:
    """The region that a line tells; a line of ``nan`` is ``NOTHING``.

    Raises:
        DataError: not the text of a region.
    """
    if text.startswith("m"):
        return _parse_mask(text)
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        raise DataError(f"{_short(text)} is not a region: expected numbers, or a mask mX,Y,W,H,...") from None
    if len(values) == 1 and values[0] in (0, 1, 2):
        return Code(int(values[0]))
    return region_of(values)


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
        DataError: neither four numbers nor an even number of them from six, or some not finite.
    """
    if len(values) < 4 or len(values) % 2:
        raise DataError(
            f"{len(values)} numbers are no region: expected a code 0 to 2, x,y,w,h, or x,y of three or more corners"
        )
    if all(map(math.isnan, values)):
        return NOTHING
    if not all(map(math.isfinite, values)):
        raise DataError("a region has numbers that are not finite")
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
            height, width = mask.pixels.shape
            return "m" + ",".join(map(str, [mask.x, mask.y, width, height, *run_lengths(mask.pixels)]))
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
        DataError: negative numbers, or more pixels than the mask has.
    """
    if min([width, height, *runs]) < 0 or sum(runs) > width * height:
        raise DataError(f"runs of {sum(runs)} pixels are no mask of {width} x {height}")
    pixels = np.zeros(width * height, bool)
    filled = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    pixels[: len(filled)] = filled
    return Mask(x, y, pixels.reshape(height, width))


def crop(mask: Mask) -> Mask:
    """The mask without its empty margins; an empty one becomes one empty pixel."""
    rows, columns = extent(mask.pixels)
    if rows.start == rows.stop:
        return Mask(mask.x, mask.y, np.zeros((1, 1), bool))
    return Mask(mask.x + columns.start, mask.y + rows.start, mask.pixels[rows, columns])


def _parse_mask(text: str) -> Mask:
    try:
        x, y, width, height, *runs = map(int, text[1:].split(","))
    except ValueError:
        raise DataError(f"{_short(text)} is not a mask: expected mX,Y,W,H and run lengths, whole numbers") from None
    return from_run_lengths(x, y, width, height, runs)


# Boxes


def enclosing_box(region: Rectangle | Polygon | Mask) -> Box:
    """x, y, w, h in pixels of the upright box around a region, as the VOT toolkit starts trackers that take boxes."""
    match region:
        case Rectangle():
            return region.x, region.y, region.width, region.height
        case Mask():
            mask = crop(region)
            height, width = mask.pixels.shape
            return float(mask.x), float(mask.y), float(width), float(height)
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
