"""Masks: from a box into the frame, and to a rotated box around them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lockon.boxes import Polygon


def place_mask(probability: np.ndarray, box: Sequence[float], frame_size: tuple[int, int]) -> np.ndarray:
    """A mask in the frame, bilinearly interpolated and 0 outside its box.

    Args:
        probability: (M, M) in the box.
        box: x, y, w, h in frame pixels.
        frame_size: width, height.

    Returns:
        (height, width) float32.
    """
    width, height = frame_size
    rows, columns = _hats(height, box[1], box[3], len(probability)), _hats(width, box[0], box[2], len(probability))
    inside = np.ix_(rows.any(1), columns.any(1))
    frame = np.zeros((height, width), np.float32)
    frame[inside] = rows[rows.any(1)] @ probability @ columns[columns.any(1)].T
    return frame


def _hats(length: int, start: float, extent: float, size: int) -> np.ndarray:
    """(length, size): the share of each mask pixel in each pixel of a frame's side.

    The official map shrinks the frame by one pixel in ``length``.
    """
    zoom = (length - 1) / length * extent / size
    place = np.arange(length) / max(zoom, 1e-9) - start * size / extent  # in mask pixels
    shares: np.ndarray = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(size)))
    return shares


def extent(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a (height, width) mask between which it has anything; most of a frame is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def outline(mask: np.ndarray, box: Sequence[float], least: float) -> Polygon:
    """The smallest rotated box around the largest piece of a (height, width) mask, or, if no piece is larger than
    ``least`` pixels, the given x, y, w, h: four corners x, y."""
    part = extent(mask)
    shift = (part[1].start, part[0].start)
    pieces, _ = cv2.findContours(mask[part].astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=shift)
    largest = max(pieces, key=cv2.contourArea, default=None)
    if largest is not None and cv2.contourArea(largest) > least:
        corners = cv2.boxPoints(cv2.minAreaRect(largest.reshape(-1, 2)))
        return tuple((float(x), float(y)) for x, y in corners)
    x, y, w, h = box
    return (x, y), (x + w, y), (x + w, y + h), (x, y + h)
