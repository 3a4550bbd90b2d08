"""One-pass evaluation (Wu et al., OTB, TPAMI 2015) of finished results, by the rules of each toolkit.

Boxes are (T, 4) x, y, w, h in pixels; row 0 is the given box of the first frame. A row of NaN in the truth says that
the target is absent there. Every score is on the scale 0 to 1, also where a toolkit prints percent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from lockon.errors import DataError, first_few
from lockon.evaluation.agreement import Mask, centre_error, overlap, present
from lockon.evaluation.conventions import OVERLAPS, TOOLKITS, Convention, Measure, find_convention
from lockon.evaluation.matching import Pair, match
from lockon.evaluation.results import shown
from lockon.evaluation.sequences import Array, Sequence

__all__ = [
    "TOOLKITS",
    "Array",
    "Curve",
    "Scores",
    "centre_error",
    "overlap",
    "precision",
    "present",
    "score",
    "success_auc",
]


# Of one sequence


def success_auc(boxes: Array, truth: Array) -> float:
    """Mean over the thresholds 0, 0.05, ..., 1 of the share of frames whose overlap is strictly above."""
    return float((overlap(boxes, truth)[present(truth), None] > OVERLAPS).mean())


def precision(boxes: Array, truth: Array, pixels: float = 20.0) -> float:
    """Share of frames whose centre is at most ``pixels`` off."""
    return float((centre_error(boxes, truth)[present(truth)] <= pixels).mean())


# Of a benchmark


@dataclass(frozen=True, eq=False)
class Curve:
    """One measure over thresholds.

    Attributes:
        thresholds: (K,) overlaps; pixels; or shares of the target's size.
        values: (S, K) share of a sequence's frames, 0 to 1.
        weights: (S,) of the sequences in the mean.
    """

    thresholds: Array
    values: Array
    weights: Array

    @property
    def mean(self) -> Array:
        """(K,) over the sequences."""
        return np.average(self.values, axis=0, weights=self.weights)


@dataclass(frozen=True, eq=False)
class Scores:
    """What a toolkit says of one tracker's results on S sequences.

    Attributes:
        toolkit: one of ``TOOLKITS``.
        names: (S,) of the sequences.
        curves: "success", "precision", "norm_precision", those which the toolkit has.
        per_sequence: (S,) 0 to 1 by measure: the curves' scores under their names ("success" is the area under its
            curve), "op50" and "op75" (success at overlaps of 0.5 and 0.75), "ao" (mean overlap), "sr50" and "sr75"
            (GOT-10k's names), "coverage" (TrackingNet's).
        weights: (S,) by measure, what each sequence weighs in the mean.
        attributes: (S,) what is difficult in each sequence.
    """

    toolkit: str
    names: tuple[str, ...]
    curves: Mapping[str, Curve]
    per_sequence: Mapping[str, Array]
    weights: Mapping[str, Array]
    attributes: tuple[frozenset[str], ...] = field(repr=False)

    @cached_property
    def summary(self) -> dict[str, float]:
        """The benchmark's numbers by measure, 0 to 1: means over the sequences as the toolkit takes them."""
        return {
            name: float(np.average(values, weights=self.weights[name])) for name, values in self.per_sequence.items()
        }

    def subset(self, names: Iterable[str]) -> Scores:
        """The scores of some sequences, in this order.

        Raises:
            DataError: a name is not among the sequences, or there is none.
        """
        place = {name: row for row, name in enumerate(self.names)}
        wanted = tuple(names)
        if strange := [name for name in wanted if name not in place]:
            raise DataError(f"no scores of {_some(strange)}: not among the {len(place)} sequences that were scored")
        if not wanted:
            raise DataError("no scores of no sequences: name one or more")
        rows = [place[name] for name in wanted]
        return Scores(
            self.toolkit,
            wanted,
            {name: Curve(c.thresholds, c.values[rows], c.weights[rows]) for name, c in self.curves.items()},
            {name: values[rows] for name, values in self.per_sequence.items()},
            {name: values[rows] for name, values in self.weights.items()},
            tuple(self.attributes[row] for row in rows),
        )

    def by_attribute(self) -> dict[str, Scores]:
        """The scores of the sequences that have it, for each attribute in alphabetical order."""
        return {
            attribute: self.subset(n for n, own in zip(self.names, self.attributes, strict=True) if attribute in own)
            for attribute in sorted(frozenset().union(*self.attributes))
        }


def score(
    toolkit: str,
    sequences: Iterable[Sequence],
    boxes: Mapping[str, Array],
    *,
    benchmark: str = "",
    exclude_invalid_frames: bool = False,
) -> Scores:
    """Scores finished results as a toolkit does.

    Args:
        toolkit: one of ``TOOLKITS``.
        sequences: those to score.
        boxes: (T, 4) of a sequence by its name, or (R, T, 4) of R repetitions, whose mean counts.
        benchmark: its name; got10k and pytracking have rules of their own for some.
        exclude_invalid_frames: pytracking's option of this name.

    Rows that are NaN or of a negative size are what the toolkit makes of them, see ``conventions``; LaSOT's own
    annotation has one of those.

    Raises:
        DataError: an unknown toolkit; no sequence, or two of one name; results that are missing, no numbers, of
            another shape or another length than the toolkit takes, or have rows that it rejects; a truth that is not
            (T, 4), or infinite; the benchmark keeps its truth to itself.
    """
    convention = find_convention(toolkit, benchmark, exclude_invalid_frames)
    chosen = _chosen(sequences)
    if not isinstance(boxes, Mapping):
        raise DataError(f"results should be boxes by the name of their sequence, not {type(boxes).__name__}")
    lacking = [sequence.name for sequence in chosen if sequence.name not in boxes]
    if lacking and convention.missing == "error":
        raise DataError(f"no results of {len(lacking)} of {len(chosen)} sequences: {_some(lacking)}")
    tallies = [
        _tally_all(convention, sequence, boxes.get(sequence.name, np.zeros_like(sequence.boxes))) for sequence in chosen
    ]
    return _collected(toolkit, convention, chosen, tallies)


def _chosen(sequences: Iterable[Sequence]) -> tuple[Sequence, ...]:
    """The sequences to score, with their truth as an array."""
    if not isinstance(sequences, Iterable):
        raise DataError(f"sequences should be a list of them, or a benchmark, not {type(sequences).__name__}")
    chosen: dict[str, Sequence] = {}
    for sequence in sequences:
        if not isinstance(sequence, Sequence):
            raise DataError(f"a sequence should be evaluation.Sequence, not {type(sequence).__name__}")
        if sequence.name in chosen:
            raise DataError(f"two sequences are called {sequence.name!r}, and their results could not be told apart")
        chosen[sequence.name] = replace(sequence, boxes=_truth(sequence))
    if not chosen:
        raise DataError("there is no sequence to score")
    return tuple(chosen.values())


def _truth(sequence: Sequence) -> Array:
    """(T, 4), NaN where the target is absent."""
    truth = _numbers(sequence.boxes, f"{sequence.name}: its annotation")
    if truth.ndim != 2 or truth.shape[1] != 4:
        raise DataError(
            f"{sequence.name}: an annotation of shape {truth.shape}; it should be x, y, w, h for each frame"
        )
    odd = np.isinf(truth).any(1)
    if odd.any():
        row = int(odd.argmax())
        raise DataError(f"{sequence.name}: row {row + 1} of its annotation, {shown(truth[row])}, is infinite")
    return truth


def _numbers(values: object, what: str) -> Array:
    """An array of numbers."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{what} is no array: {' '.join(str(error).split())}") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{what} is no array of numbers but of {array.dtype}")
    return array.astype(float)


@dataclass(frozen=True)
class _Tally:
    """What a convention finds in one sequence: (K,) curves and numbers by measure, and how many frames count."""

    curves: dict[str, Array]
    numbers: dict[str, float]
    frames: int


def _tally_all(convention: Convention, sequence: Sequence, boxes: Array) -> _Tally:
    """The mean over a result's repetitions, where it has them."""
    numbers = _numbers(boxes, f"{sequence.name}: its result")
    if numbers.ndim != 3 or not len(numbers):
        return _tally(convention, sequence, numbers)
    runs = [_tally(convention, sequence, run) for run in numbers]
    return _Tally(
        {name: np.mean([run.curves[name] for run in runs], axis=0) for name in runs[0].curves},
        {name: float(np.mean([run.numbers[name] for run in runs])) for name in runs[0].numbers},
        sum(run.frames for run in runs),
    )


def _tally(convention: Convention, sequence: Sequence, boxes: Array) -> _Tally:
    pair = match(convention, sequence, boxes)
    with np.errstate(all="ignore"):  # NaN, infinity and sizes of 0 give errors above any threshold
        overlaps = overlap(pair.boxes, pair.truth)
        distance = {"precision": centre_error, "norm_precision": convention.relative}
        errors = {name: distance[name](pair.boxes, pair.truth) for name in convention.errors}
    if convention.decimals is not None:
        errors = {name: values.round(convention.decimals) for name, values in errors.items()}
    judged = _judged(convention.success, pair)
    counted = _settled(convention.success, pair, overlaps, hit=2.0, miss=-1.0)
    frames = int(judged.sum()) if convention.per_valid else len(counted)
    if not frames:
        raise DataError(f"{sequence.name}: the target is in none of the frames that count")
    curves = {"success": _above(counted, convention.success.thresholds, convention.inclusive) / frames}
    for name, measure in convention.errors.items():
        counted = _settled(measure, pair, errors[name], hit=-1.0, miss=np.inf)
        curves[name] = _within(counted, measure.thresholds) / (frames if convention.per_valid else len(counted))
    numbers = {}
    if convention.average_overlap:
        numbers["ao"] = float(overlaps[judged].sum() / max(1, judged.sum()))
    if convention.coverage:
        with np.errstate(over="ignore", invalid="ignore"):  # sums of what is no coordinate
            numbers["coverage"] = float((pair.boxes.sum(1) > 0).mean())
    return _Tally(curves, numbers, frames)


def _judged(measure: Measure, pair: Pair) -> Mask:
    """(T,) the frames in which the boxes decide."""
    valid = measure.valid(pair.truth)
    return valid if measure.absent == "judge" else valid & ~pair.absent


def _settled(measure: Measure, pair: Pair, values: Array, hit: float, miss: float) -> Array:
    """(N,) of the (T,) values those of the frames that count, with what is a hit or a miss whatever the boxes are."""
    fixed = {"hit": hit, "miss": miss}
    counts = np.ones(len(values), bool)
    invalid = ~measure.valid(pair.truth)
    for rows, outcome in ((invalid, measure.invalid), (pair.absent, measure.absent)):
        if outcome == "drop":
            counts[rows] = False
        elif outcome != "judge":
            values = np.where(rows, fixed[outcome], values)
    return values[counts]


def _above(overlaps: Array, thresholds: Array, inclusive: bool) -> Array:
    """(K,) how many of (N,) overlaps are above each threshold."""
    passed = np.searchsorted(thresholds, overlaps, side="right" if inclusive else "left")
    return np.bincount(passed, minlength=len(thresholds) + 1)[::-1].cumsum()[-2::-1]


def _within(errors: Array, thresholds: Array) -> Array:
    """(K,) how many of (N,) errors are at most each threshold; NaN is above all."""
    return np.bincount(np.searchsorted(thresholds, errors), minlength=len(thresholds) + 1)[:-1].cumsum()


def _collected(toolkit: str, convention: Convention, sequences: tuple[Sequence, ...], tallies: list[_Tally]) -> Scores:
    """Curves and numbers of all sequences, the scores read from the curves, and what each sequence weighs."""
    each = np.ones(len(tallies))
    weight = np.array([tally.frames for tally in tallies], float) if convention.pooled else each
    curves, scores = {}, {}
    for name, measure in {"success": convention.success, **convention.errors}.items():
        curves[name] = Curve(measure.thresholds, np.array([tally.curves[name] for tally in tallies]), weight)
        scores[name] = measure.score(curves[name].values)
    for name, level in convention.rates.items():
        scores[name] = curves["success"].values[:, np.abs(convention.success.thresholds - level).argmin()]
    for name in tallies[0].numbers:
        scores[name] = np.array([tally.numbers[name] for tally in tallies])
    weights = dict.fromkeys(scores, weight)
    if convention.coverage:
        weights["coverage"] = np.array([tally.frames for tally in tallies], float)
    names = tuple(sequence.name for sequence in sequences)
    return Scores(toolkit, names, curves, scores, weights, tuple(sequence.attributes for sequence in sequences))


def _some(names: list[str]) -> str:
    """The first few names."""
    return first_few(names)
