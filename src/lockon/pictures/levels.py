"""Grey levels of pictures that do not have 8 bits: one stretch for a whole source."""

from __future__ import annotations

from math import isfinite

import cv2
import numpy as np

from lockon.errors import SourceError
from lockon.pictures.arrays import Image, Raw, as_rgb, high_byte

Range = tuple[float, float]
NARROW = 0.25  # of the whole range: what spans less is stretched
MARGIN = 0.25  # of what the first picture spans, left at either end for later ones
WHOLE = {"uint16": (0.0, 65535.0), "f": (0.0, 1.001)}  # ranges that pictures may be meant to fill, by type or kind


class Levels:
    """What values of a source's pictures become black and white, the same for all of them.

    8-bit pictures stay as they are. Of 16-bit pictures the high byte is kept, of floats in [0, 1] the 255-fold, if the
    first picture spans a quarter of that range. Else, and for all other types, the range of the first picture that
    is not uniform becomes black to white, a quarter of it left at either end. Single pixels that stand out, as dead
    ones do, and what is not finite do not count.

    Attributes:
        notes: what was stretched, a line for each type of pixels.
    """

    def __init__(self, given: Range | None = None) -> None:
        self.given = None if given is None else check_range(given)
        self.notes: list[str] = []
        self._ranges: dict[np.dtype, Range | None] = {}  # by type; None: the whole range

    def apply(self, picture: Raw, place: str = "the first picture") -> Image:
        """(H, W, 3) uint8 of a picture of any type, which is called ``place`` in a note."""
        if self.given is not None:
            return as_rgb(_stretch(picture, *self.given))
        if picture.dtype == np.uint8 or picture.dtype == np.bool_:
            return as_rgb(picture)
        if picture.dtype not in self._ranges:
            self._fix(picture, place)
        span = self._ranges.get(picture.dtype)
        if span is not None:
            return as_rgb(_stretch(picture, *span))
        if picture.dtype == np.uint16:
            return as_rgb(high_byte(picture))
        return as_rgb(_stretch(picture, 0, 1))

    def _fix(self, picture: Raw, place: str) -> None:
        low, high = _extent(picture)
        if not low < high:
            return  # a uniform picture tells nothing; the next one may
        first, last = low - MARGIN * (high - low), high + MARGIN * (high - low)
        whole = WHOLE.get("uint16" if picture.dtype == np.uint16 else picture.dtype.kind)
        if whole is not None and whole[0] <= low and high <= whole[1]:
            if high - low >= NARROW * (whole[1] - whole[0]):
                self._ranges[picture.dtype] = None
                return
            first, last = max(first, whole[0]), min(last, whole[1])
        self._ranges[picture.dtype] = first, last
        self.notes.append(
            f"{picture.dtype} values from {first:g} to {last:g} become black to white in all pictures, since {place} "
            f"has {low:g} to {high:g}; levels of your own (LOW,HIGH) take the place of these"
        )


def check_range(given: Range) -> Range:
    """The values that become black and white, as floats.

    Raises:
        SourceError: they are not two finite numbers, the smaller one first.
    """
    try:
        low, high = (float(value) for value in (() if isinstance(given, str) else given))
    except (TypeError, ValueError):
        raise SourceError(f"levels={given!r}: expected two numbers, the values of black and white") from None
    if not (isfinite(low) and isfinite(high) and low < high):
        raise SourceError(f"levels={low:g},{high:g}: expected two finite numbers, the smaller one first")
    return low, high


def _extent(picture: Raw) -> Range:
    """The smallest and the largest value that more than single pixels or lines of pixels have; NaN if there is none."""
    finite = np.isfinite(picture)
    if not finite.any():
        return np.nan, np.nan
    base = float(np.median(picture[finite]))
    values = np.where(finite, picture, base).astype(np.float64) - base  # exact where float32 would not be
    smooth = cv2.medianBlur(values.astype(np.float32), 3)
    kept = smooth[finite]
    return base + float(kept.min()), base + float(kept.max())


def _stretch(picture: Raw, low: float, high: float) -> Image:
    """Values from ``low`` to ``high`` to 0 to 255; what is beyond is clipped, NaN is black."""
    if picture.dtype.kind == "u" and picture.dtype.itemsize <= 2:  # a table is faster
        table = _stretch(np.arange(2 ** (8 * picture.dtype.itemsize), dtype=np.float64), low, high)
        return np.take(table, picture)
    grey = (picture.astype(np.float64) - low) * (255 / (high - low))
    return np.nan_to_num(grey, nan=0, posinf=255, neginf=0).clip(0, 255).round().astype(np.uint8)
