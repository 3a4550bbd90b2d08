"""One-pass evaluation (Wu et al., OTB, TPAMI 2015), in the form that all its toolkits share.

Boxes are (T, 4) x, y, w, h in pixels; row 0 is the given box of the first frame. A row of NaN in the truth says that
the target is absent: such frames do not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUCCESS_THRESHOLDS = np.linspace(0, 1, 21)


def present(truth: Array) -> NDArray[np.bool_]:
    """(T,) where the target is in view."""
    return ~np.isnan(truth[:, 0])


def overlap(boxes: Array, truth: Array) -> Array:
    """(T,) intersection over union of paired boxes; 0 where either has no area or the target is absent."""
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    inner = (high - low).clip(min=0).prod(1)
    union = boxes[:, 2:].prod(1) + truth[:, 2:].prod(1) - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)


def centre_error(boxes: Array, truth: Array) -> Array:
    """(T,) distance in pixels between the centres of paired boxes."""
    offset = boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2
    return np.hypot(offset[:, 0], offset[:, 1])


def success_auc(boxes: Array, truth: Array) -> float:
    """Mean over the thresholds 0, 0.05, ..., 1 of the share of frames whose overlap is strictly above."""
    return float((overlap(boxes, truth)[present(truth), None] > SUCCESS_THRESHOLDS).mean())


def precision(boxes: Array, truth: Array, pixels: float = 20.0) -> float:
    """Share of frames whose centre is at most ``pixels`` off."""
    return float((centre_error(boxes, truth)[present(truth)] <= pixels).mean())
