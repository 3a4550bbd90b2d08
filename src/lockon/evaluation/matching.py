"""A result beside its sequence's truth, row by row, made fit for scoring by a toolkit's convention."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lockon.errors import DataError
from lockon.evaluation.agreement import Mask
from lockon.evaluation.conventions import CONVENTIONS, Convention
from lockon.evaluation.sequences import Array, Sequence


@dataclass(frozen=True)
class Pair:
    """T rows that are compared.

    Attributes:
        boxes, truth: (T, 4) x, y, w, h in pixels.
        absent: (T,) where the benchmark labels the target as absent.
    """

    boxes: Array
    truth: Array
    absent: Mask


def match(convention: Convention, sequence: Sequence, boxes: Array) -> Pair:
    """Brings a result to the rows of the truth and both to what the toolkit compares.

    Args:
        boxes: (R, 4) x, y, w, h in pixels, as the result has them.

    Raises:
        DataError: the annotation is not public, the result's length or a row of it is not one that the toolkit
            takes, or nothing is left to compare. Names the sequence.
    """
    if sequence.hidden:
        raise DataError(f"{sequence.name}: its annotation is not public; only the benchmark's server can score it")
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise DataError(f"{sequence.name}: a result of shape {boxes.shape}; it should be x, y, w, h for each frame")
    truth = sequence.boxes
    if not convention.nan_truth and np.isnan(truth).any():
        raise DataError(f"{sequence.name}: NaN in the annotation, which this toolkit takes on UAV123 and UAV20L only")
    boxes, truth = _even(convention, sequence.name, _repaired(convention, sequence.name, boxes, truth), truth)
    if not len(boxes):
        raise DataError(f"{sequence.name}: an empty result for {len(sequence.boxes)} frames")
    absent = _absent(convention, sequence)[: len(truth)]
    if convention.given == "replaced":
        boxes = np.concatenate([truth[:1], boxes[1:]])
    if convention.given == "dropped":
        boxes, truth, absent = boxes[1:], truth[1:], absent[1:]
    if convention.rounded:
        boxes, truth = np.rint(boxes), np.rint(truth)
    if convention.clipped:
        boxes, truth = _clipped(boxes, sequence), _clipped(truth, sequence)
    return Pair(boxes, truth, absent)


def _repaired(convention: Convention, name: str, boxes: Array, truth: Array) -> Array:
    """The rows that are no boxes replaced by the last that was one; the first row stays."""
    if convention.strict:
        odd = np.isnan(boxes).any(1) | (boxes[:, 2:] < 0).any(1)
        if odd.any():
            raise DataError(f"{name}: NaN or a negative size in row {odd.argmax() + 1} of the result")
    if convention.repair is None:
        return boxes
    bad = convention.repair(boxes)
    bad[: len(truth)] &= ~np.isnan(truth[: len(bad)]).any(1)
    bad[:1] = False
    return boxes[np.maximum.accumulate(np.where(bad, 0, np.arange(len(boxes))))]


def _even(convention: Convention, name: str, boxes: Array, truth: Array) -> tuple[Array, Array]:
    """Result and truth of one length."""
    if len(boxes) == len(truth):
        return boxes, truth
    short = len(boxes) < len(truth)
    how = convention.shorter if short else convention.longer
    if how == "error":
        takers = [name for name, c in CONVENTIONS.items() if (c.shorter if short else c.longer) != "error"]
        raise DataError(
            f"{name}: {len(boxes)} rows in the result, but {len(truth)} in the annotation; was the run cut short, or "
            f"is it of another release of the benchmark? Toolkits that take it all the same: {', '.join(takers)}"
        )
    if how == "zeros":
        return np.concatenate([boxes, np.zeros((len(truth) - len(boxes), 4))]), truth
    rows = min(len(boxes), len(truth))
    return boxes[:rows], truth[:rows]


def _absent(convention: Convention, sequence: Sequence) -> Mask:
    """(T,) by the benchmark's label, nowhere without one."""
    label = sequence.labels.get(convention.absent_label)
    if label is None:
        return np.zeros(len(sequence.boxes), bool)
    values = np.asarray(label)
    if values.shape != (len(sequence.boxes),):
        count, frames = np.size(values), len(sequence.boxes)
        raise DataError(f"{sequence.name}: {count} labels {convention.absent_label!r} for {frames} frames")
    return values == 0 if convention.absent_label == "cover" else values != 0


def _clipped(boxes: Array, sequence: Sequence) -> Array:
    """Boxes fitted into the picture: a corner left of it moves in with the box's whole width."""
    if sequence.size is None:
        raise DataError(f"{sequence.name}: the size of its pictures is not known, to which boxes are clipped")
    size = np.array(sequence.size, float)
    corner = boxes[:, :2].clip(0, size)
    return np.concatenate([corner, boxes[:, 2:].clip(0, size - corner)], 1)
