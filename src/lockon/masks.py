"""Masks: from a box into the frame, and to a rotated box around them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lockon.boxes import Polygon

SMALL = 1 << 17  # pixels up to which a mask is interpolated as one piece


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
    size = len(probability)
    rows = _hats(_places(height, box[1], box[3], size), size)
    columns = _hats(_places(width, box[0], box[2], size), size)
    inside = np.ix_(rows.any(1), columns.any(1))
    frame = np.zeros((height, width), np.float32)
    frame[inside] = rows[rows.any(1)] @ probability @ columns[columns.any(1)].T
    return frame


def mask_in_frame(
    probability: np.ndarray, box: Sequence[float], frame_size: tuple[int, int], above: float
) -> np.ndarray:
    """Where ``place_mask`` is above a threshold of at least 0, (height, width) bool.

    Of a large mask only the edge is interpolated: between four of its pixels that are all above the threshold, or all
    not, so is everything.
    """
    width, height = frame_size
    size = len(probability)
    down, across = _places(height, box[1], box[3], size), _places(width, box[0], box[2], size)
    inside = tuple(np.flatnonzero((place > -1) & (place < size)) for place in (down, across))
    frame = np.zeros((height, width), bool)
    if not all(map(len, inside)):
        return frame
    seen = frame[tuple(slice(at[0], at[-1] + 1) for at in inside)]
    down, across = down[inside[0]], across[inside[1]]
    rows, columns = _hats(down, size), _hats(across, size)
    if seen.size <= SMALL:
        seen[:] = (rows @ probability @ columns.T).astype(np.float32) > above
        return frame
    over = np.pad(np.asarray(probability > above), 1)  # beyond its box, a mask falls to 0
    cells, column = np.floor(down).astype(int) + 1, np.floor(across).astype(int) + 1
    for cell in np.unique(cells):
        band = slice(*np.searchsorted(cells, [cell, cell + 1]))
        corners = np.stack([over[cell, :-1], over[cell, 1:], over[cell + 1, :-1], over[cell + 1, 1:]])
        full, some = np.all(corners, 0), np.any(corners, 0)
        edge = np.flatnonzero((some & ~full)[column])
        seen[band] = full[column]
        seen[band, edge] = (rows[band] @ probability @ columns[edge].T).astype(np.float32) > above
    return frame


def _places(length: int, start: float, extent: float, size: int) -> np.ndarray:
    """(length,): where the pixels of a frame's side lie in a mask of ``size`` pixels, 0 being the middle of the first.

    The official map shrinks the frame by one pixel in ``length``.
    """
    zoom = (length - 1) / length * extent / size
    places: np.ndarray = np.arange(length) / max(zoom, 1e-9) - start * size / extent
    return places


def _hats(places: np.ndarray, size: int) -> np.ndarray:
    """(length, size): the share of each mask pixel at each of the places."""
    shares: np.ndarray = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(size)))
    return shares


def extent(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a (height, width) mask between which it has anything; most of a frame is empty."""
    if not mask.size:
        return slice(0, 0), slice(0, 0)
    x, y, w, h = cv2.boundingRect(mask.astype(bool, copy=False).view(np.uint8))
    return slice(y, y + h), slice(x, x + w)


def outline(mask: np.ndarray, box: Sequence[float], least: float) -> Polygon:
    """The smallest rotated box around the largest piece of a (height, width) mask, or, if no piece is larger than
    ``least`` pixels, the given x, y, w, h: four corners x, y."""
    part = extent(mask)
    shift = (part[1].start, part[0].start)
    pieces, _ = cv2.findContours(
        mask[part].astype(bool, copy=False).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=shift
    )
    largest = max(pieces, key=cv2.contourArea, default=None)
    if largest is not None and cv2.contourArea(largest) > least:
        corners = cv2.boxPoints(cv2.minAreaRect(largest.reshape(-1, 2)))
        return tuple((float(x), float(y)) for x, y in corners)
    x, y, w, h = box
    return (x, y), (x + w, y), (x + w, y + h), (x, y + h)
