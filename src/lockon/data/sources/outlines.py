"""Masks as annotations write them, outlines and run lengths, made fit for the native code that draws them.

That code believes what it is told: run lengths that are too few leave memory as it was, coordinates far away take
memory for each pixel on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lockon.data.sources.fields import is_whole, kind_of, outline_of
from lockon.errors import DataError

Code = bytes  # run lengths as COCO writes them
CORNERS = 3  # of the least that has an area
LONGEST = 2_000_000  # pixels of an outline
FIRST, BITS = 48, 5  # COCO's code: a letter from "0" on has five bits of a number, the sixth says that more follow


def usable_outlines(polygons: object, where: str, height: int, width: int) -> list[Sequence[float]]:
    """The polygons, x, y, x, y, ... each, of which a mask can be drawn.

    Left out are those of fewer than three corners, and those that lie further outside of the picture than its longer
    side.

    Args:
        where: which file and annotation, for errors.

    Raises:
        DataError: not a list of lists of an even number of finite numbers, or an absurdly long outline.
    """
    if not isinstance(polygons, list):
        raise DataError(f"{where}: its mask is {kind_of(polygons)}; expected a list of polygons, or run lengths")
    outlines = [outline_of(polygon, where) for polygon in polygons]
    side = max(height, width)
    usable = [o for o in outlines if len(o) >= 2 * CORNERS and -side <= min(o) and max(o) <= 2 * side]
    if any(_length(outline, side) > LONGEST for outline in usable):
        raise DataError(f"{where}: a polygon is longer than {LONGEST} pixels")
    return usable


def _length(outline: Sequence[float], side: int) -> float:
    """The length of an outline in pixels, or an easier number that is no less but small."""
    at_most = len(outline) * 3 * side
    if at_most <= LONGEST:
        return at_most
    corners = np.array(outline).reshape(-1, 2)
    return float(np.abs(corners - np.roll(corners, 1, axis=0)).sum())


def code_of(outlines: Sequence[Sequence[float]], height: int, width: int) -> Code:
    """Outlines that are usable, in COCO's code, all in one mask."""
    from pycocotools.mask import frPyObjects, merge

    code: Code = merge(frPyObjects(list(outlines), height, width))["counts"]
    return code


def code_of_runs(runs: Any, where: str, height: int, width: int) -> Code:
    """Run lengths, column by column, outside first, in COCO's code.

    Raises:
        DataError: not whole numbers that add up to the picture's pixels.
    """
    from pycocotools.mask import frPyObjects

    if not isinstance(runs, list) or not all(is_whole(run) and run >= 0 for run in runs):
        raise DataError(
            f"{where}: its mask has no run lengths: expected counts, whole numbers or a text of COCO's code"
        )
    if sum(runs) != height * width:
        raise DataError(f"{where}: the run lengths of its mask add up to {sum(runs)}, not to {height} x {width} pixels")
    code: Code = frPyObjects({"size": [height, width], "counts": list(map(int, runs))}, height, width)["counts"]
    return code


def runs_of(code: str, where: str) -> list[int]:
    """The run lengths that COCO's code tells: from the fourth on each is the difference to the last but one.

    Raises:
        DataError: not such a code.
    """
    runs: list[int] = []
    value = shift = 0
    for letter in code:
        part = ord(letter) - FIRST
        if not 0 <= part < 1 << (BITS + 1) or shift > 40:
            raise DataError(f"{where}: the run lengths of its mask are not in COCO's code")
        value |= (part & 31) << shift
        shift += BITS
        if part & 32:
            continue
        if part & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError(f"{where}: the run lengths of its mask end within a number")
    return runs
