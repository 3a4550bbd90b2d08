"""How far single frames agree: which rows of a truth are a box, and how near a paired box comes to it.

Boxes are (T, 4) x, y, w, h in pixels. Sums are taken in the toolkits' order, so that a distance exactly at a threshold
falls on the same side.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lockon.evaluation.sequences import Array

Mask = NDArray[np.bool_]


# Which rows are boxes: (T, 4) to (T,)


def present(truth: Array) -> Mask:
    """Where the target is in view."""
    return ~np.isnan(truth[:, 0])


def annotated(truth: Array) -> Mask:
    """Four numbers."""
    return np.all(~np.isnan(truth), axis=1)


def has_area(truth: Array) -> Mask:
    """Width and height above 0."""
    return np.all(truth[:, 2:] > 0, axis=1)


def positive(truth: Array) -> Mask:
    """All four numbers above 0: a box at the picture's left or upper border is none."""
    return np.all(truth > 0, axis=1)


def has_centre(truth: Array) -> Mask:
    """Both numbers of the centre above 0."""
    return np.all(centre(truth) > 0, axis=1)


def has_relative_centre(truth: Array) -> Mask:
    """Both numbers of the centre, divided by the size, above 0."""
    return np.all(centre(truth) / (truth[:, 2:] + 1e-16) > 0, axis=1)


# Overlap and distance: paired boxes to (T,)


def overlap(boxes: Array, truth: Array) -> Array:
    """Intersection over union; 0 where either has no area or the target is absent."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    inner = (high - low).clip(min=0).prod(1)
    union = boxes[:, 2:].prod(1) + truth[:, 2:].prod(1) - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)


def centre(boxes: Array) -> Array:
    """(T, 2) halfway between the first and the last pixel."""
    return boxes[:, :2] + (boxes[:, 2:] - 1) / 2


def centre_error(boxes: Array, truth: Array) -> Array:
    """Distance of the centres in pixels."""
    return _length(centre(boxes) - centre(truth))


def relative_error(boxes: Array, truth: Array) -> Array:
    """Distance of the centres, x in widths of the truth and y in heights, of one pixel at least (Mueller et al.,
    TrackingNet, ECCV 2018): got10k's."""
    return _length((centre(boxes) - centre(truth)) / np.maximum(1.0, truth[:, 2:]))


def relative_error_of_quotients(boxes: Array, truth: Array) -> Array:
    """The same, each centre divided first: that of pysot, pytracking and LaSOT's toolkit."""
    size = truth[:, 2:] + 1e-16  # which changes a size of 0 only
    return _length(centre(boxes) / size - centre(truth) / size)


def relative_error_in_steps(boxes: Array, truth: Array) -> Array:
    """The same, squared by multiplying and dividing from left to right: that of TrackingNet's devkit."""
    offset, size = centre(boxes) - centre(truth), truth[:, 2:]
    return np.sqrt((offset / size * offset / size).sum(1))


def _length(offset: Array) -> Array:
    return np.sqrt((offset**2).sum(1))
