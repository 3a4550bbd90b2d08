"""Pictures the right way up: what a file says of turning and mirroring, as players apply it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from math import atan2, degrees
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData, Type
from av.video.frame import VideoFrame

from lockon.pictures import Image

Matrix = tuple[int, int, int, int]
STRAIGHT: Matrix = (1, 0, 0, 1)
MATRIX, MATRIX_BYTES = Type.DISPLAYMATRIX, 36
EXACT = 1.0  # degrees by which a turn may miss a quarter


class Orientation:
    """The display matrix of a video's frames, read anew where the angle that it says changes.

    Not read from each frame, because PyAV keeps a frame whose side data was asked for until Python collects garbage.
    """

    def __init__(self) -> None:
        self._rotation: int | None = None
        self.matrix = STRAIGHT

    def read(self, frame: VideoFrame) -> bool:
        """Takes a frame's matrix; says whether it may differ from the last one's."""
        rotation = frame.rotation
        if rotation == self._rotation:
            return False
        self._rotation, self.matrix = rotation, read_matrix(frame)
        return True


def read_matrix(frame: VideoFrame) -> Matrix:
    """Gives a, b, c and d of a frame's display matrix: a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
    try:
        found = next((data for data in cast(Iterable[SideData], frame.side_data) if data.type == MATRIX), None)
    except ValueError:  # data of a kind that PyAV has no name for
        return _turned(frame.rotation)
    if found is None:
        return STRAIGHT
    data = bytes(found)
    if len(data) != MATRIX_BYTES:
        return STRAIGHT
    a, b, _, c, d, *_ = struct.unpack("=9i", data)
    return a, b, c, d


def _turned(rotation: int) -> Matrix:
    quarter = round(rotation / 90) % 4 if abs(rotation) <= 360 else 0  # a matrix of zeros has no angle
    return ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[quarter]


@lru_cache(maxsize=64)
def nearest(matrix: Matrix) -> tuple[bool, bool, bool]:
    """Reduces a matrix to whether rows and columns change places, and what is mirrored then: up-down, left-right.

    Angles between are taken as the nearest quarter turn. A matrix of zeros, as some writers leave it, turns nothing.
    """
    a, b, c, d = matrix
    swapped = abs(b) + abs(c) > abs(a) + abs(d)
    across, down = (c, b) if swapped else (a, d)
    return swapped, down < 0, across < 0


def is_quarter(matrix: Matrix) -> bool:
    """Whether a matrix turns by a multiple of 90 degrees, but for rounding."""
    a, b, _, _ = matrix
    off = degrees(atan2(b, a)) % 90
    return min(off, 90 - off) < EXACT


def upright(image: Image, matrix: Matrix) -> Image:
    """Turns and mirrors a picture as its matrix says; contiguous."""
    swapped, down, across = nearest(matrix)
    if swapped:
        image = image.transpose(1, 0, 2)
    return np.ascontiguousarray(image[:: -1 if down else 1, :: -1 if across else 1])
