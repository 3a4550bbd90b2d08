"""VOT's supervised experiment (Kristan et al., TPAMI 2016; VOT2013 to VOT2019): a tracker that fails starts anew.

A run is a region or code per frame: ``STARTED`` where the tracker was given the truth, its answers after, ``FAILED``
where an answer misses the target, and ``NOTHING`` until it is started again. The scores are those of pysot, which
papers of those years quote, or of the VOT toolkit; they differ in nearly every detail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from glob import escape
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError
from lockon.evaluation.overlaps import Size, Toolkit, overlaps
from lockon.evaluation.region_files import read_regions, result_file
from lockon.evaluation.regions import FAILED, NOTHING, STARTED, Code, Region, truth
from lockon.evaluation.sequences import Array, Sequence
from lockon.names import name_of

SKIP = 5  # frames from a failure to the next start
BURN_IN = 10  # frames from a start that do not count for accuracy
SENSITIVITY = 30  # frames over which the VOT toolkit's robustness is the chance not to fail
TAGS = ("camera_motion", "illum_change", "motion_change", "occlusion", "size_change")
EMPTY = "empty"  # none of them

# Typical lengths of a sequence, over which the expected average overlap is averaged.
INTERVALS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"vot2015": (108, 371), "vot2016": (108, 371), "vot2017": (100, 356), "vot2018": (100, 356), "vot2019": (46, 291)}
)

Run = Rows[Region]
Runs = Mapping[str, Rows[Run]]  # by sequence


@dataclass(frozen=True)
class SupervisedScores:
    """Scores of one tracker on S sequences.

    Attributes:
        toolkit: "pysot" or "vot".
        accuracy: mean overlap while tracking.
        failures: pysot: in all sequences together; vot: per sequence, longer ones weighing more. Means over the runs.
        robustness: pysot: failures per 100 frames; vot: the chance to track 30 frames, as in its A-R plots.
        eao: expected average overlap.
        curve: (K,) the expected average overlap of a sequence of so many frames.
        tags: the expected average overlap by what is difficult (``TAGS``, or ``EMPTY``); pysot alone has it.
        names: (S,) of the sequences.
        overlaps: by sequence, (R, T) of R runs. pysot: NaN where frames do not count for accuracy.
        sequence_accuracy, sequence_robustness: (S,) each.
        sequence_failures: by sequence, (R,).
    """

    toolkit: Toolkit
    accuracy: float
    failures: float
    robustness: float
    eao: float
    curve: Array
    names: tuple[str, ...]
    overlaps: Mapping[str, Array]
    sequence_accuracy: Array
    sequence_robustness: Array
    sequence_failures: Mapping[str, NDArray[np.int64]]
    tags: Mapping[str, float] = field(default_factory=dict)


def run(
    targets: Rows[Region],
    size: Size | None,
    start: Callable[[int], None],
    update: Callable[[int], Region],
    toolkit: Toolkit = "vot",
) -> list[Region]:
    """One supervised run of a tracker.

    Args:
        targets: (T,) annotated regions.
        size: width and height of the frames.
        start: starts the tracker on a frame, given by its index.
        update: the tracker's answer in the next frame, given by its index.
        toolkit: whose overlap tells a miss.

    Returns:
        (T,) answers and codes.
    """
    tokens: list[Region] = []
    begin = 0
    for frame, target in enumerate(targets):
        if frame < begin:
            tokens.append(NOTHING)
        elif frame == begin:
            start(frame)
            tokens.append(STARTED)
        else:
            answer = update(frame)
            hit = overlaps([answer], [target], size, toolkit)[0] > 0
            tokens.append(answer if hit else FAILED)
            begin = begin if hit else frame + SKIP
    return tokens


def read_runs(folder: Path, names: Iterable[str]) -> dict[str, list[list[Region]]]:
    """A tracker's runs by sequence, from ``FOLDER/SEQ/SEQ_001.txt`` (or ``.bin``) and on.

    ``FOLDER`` is ``TRACKER/baseline``. All runs are read; pysot itself takes only the first unless there are 15.

    Raises:
        DataError: a sequence without a run, a malformed file, or a name that is a path.
    """
    runs = {}
    for name in names:
        name_of(name, f"results in {folder}")
        files = (folder / name).glob(f"{escape(name)}_[0-9][0-9][0-9].*")
        stems = {file.stem for file in files if file.suffix in (".txt", ".bin")}
        if not stems:
            raise DataError(f"{folder / name}: no runs; expected {name}_001.txt and so on")
        runs[name] = [read_regions(result_file(folder / name, stem)) for stem in sorted(stems)]
    return runs


def score(
    sequences: Iterable[Sequence], runs: Runs, interval: tuple[int, int], toolkit: Toolkit = "vot"
) -> SupervisedScores:
    """Accuracy, robustness and expected average overlap of finished runs.

    Args:
        sequences: S of them, with regions, or boxes, size and tags (``labels``, see ``TAGS``).
        runs: by sequence, of T regions and codes each. pysot leaves out those after a sequence's end.
        interval: shortest and longest typical length of a sequence; see ``INTERVALS``.
        toolkit: whose conventions.

    Raises:
        DataError: a sequence without a run, one of the wrong length or without a start; no sequences.
    """
    compared = [_compare(sequence, runs.get(sequence.name, ()), toolkit) for sequence in sequences]
    if not compared:
        raise DataError("no sequences to score")
    return {"pysot": _score_pysot, "vot": _score_vot}[toolkit](compared, interval)


@dataclass(frozen=True)
class _Compared:
    """A sequence's R runs beside its truth."""

    sequence: Sequence
    truth: list[Region]
    runs: list[Run]
    codes: NDArray[np.int64]  # (R, T), -1 for an answer
    overlaps: Array  # (R, T)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(R, T) whether a frame counts for accuracy."""
        starts = self.codes == STARTED.value
        recent = np.zeros_like(starts)
        for shift in range(min(BURN_IN, starts.shape[1])):
            recent[:, shift:] |= starts[:, : starts.shape[1] - shift]
        return (self.codes == -1) & ~recent

    @property
    def failures(self) -> NDArray[np.int64]:
        """(R,)."""
        return (self.codes == FAILED.value).sum(1)


def _compare(sequence: Sequence, runs: Rows[Run], toolkit: Toolkit) -> _Compared:
    target = truth(sequence)
    if not runs:
        raise DataError(f"{sequence.name}: no runs to score")
    for number, tokens in enumerate(runs, 1):
        if len(tokens) < len(target) or (toolkit == "vot" and len(tokens) > len(target)):
            raise DataError(f"{sequence.name}, run {number}: {len(tokens)} regions for {len(target)} frames")
        if tokens[0] != STARTED:
            raise DataError(f"{sequence.name}, run {number}: does not begin with a start (1): no supervised run")
    cut = [tokens[: len(target)] for tokens in runs]
    codes = np.array([[x.value if isinstance(x, Code) else -1 for x in tokens] for tokens in cut])
    found = np.array([overlaps(tokens, target, sequence.size, toolkit) for tokens in cut])
    return _Compared(sequence, target, cut, codes, found)


# The VOT toolkit


def _score_vot(compared: list[_Compared], interval: tuple[int, int]) -> SupervisedScores:
    lengths = np.array([len(x.truth) for x in compared])
    accuracy = np.array([_mean(x.overlaps, x.counted, axis=1).mean() for x in compared])
    failures = np.array([x.failures.mean() for x in compared])
    mean_failures = np.average(failures, weights=lengths)
    segments = [segment for x in compared for segment in _segments_vot(x)]
    curve = _curve(_pad(segments, max(len(found) for found, _ in segments)), np.ones(len(segments)), first=0)
    low, high = interval
    return SupervisedScores(
        toolkit="vot",
        accuracy=float(np.average(accuracy, weights=lengths)),
        failures=float(mean_failures),
        robustness=math.exp(-SENSITIVITY * mean_failures / lengths.mean()),
        eao=_mean_between(curve, low, high + 1),
        curve=curve,
        names=tuple(x.sequence.name for x in compared),
        overlaps={x.sequence.name: x.overlaps for x in compared},
        sequence_accuracy=accuracy,
        sequence_robustness=np.exp(-SENSITIVITY * failures / lengths),
        sequence_failures={x.sequence.name: x.failures for x in compared},
    )


def _segments_vot(compared: _Compared) -> Iterator[tuple[Array, bool]]:
    """Overlaps from each start to before the failure, or to the end; and whether it failed."""
    for codes, found in zip(compared.codes, compared.overlaps, strict=True):
        failures = np.flatnonzero(codes == FAILED.value)
        for start in np.flatnonzero(codes == STARTED.value):
            end = min(failures[failures > start], default=len(codes))
            yield found[start:end], end < len(codes)


# pysot


def _score_pysot(compared: list[_Compared], interval: tuple[int, int]) -> SupervisedScores:
    lengths = np.array([len(x.truth) for x in compared])
    counted = {x.sequence.name: np.where(x.counted, x.overlaps, np.nan) for x in compared}
    per_frame = [_mean(found, ~np.isnan(found), axis=0, none=np.nan) for found in counted.values()]
    failures = np.array([x.failures.mean() for x in compared])
    segments = [segment for x in compared for segment in _segments_pysot(x)]
    values = _pad([(found, failed) for found, failed, _ in segments], max(lengths))
    weights = {tag: np.array([share[tag] for _, _, share in segments]) for tag in (*TAGS, EMPTY)}
    curve = _curve(values, np.ones(len(segments)), first=1)
    tags = {tag: _curve(values, weight, first=1) for tag, weight in weights.items() if weight.any()}
    low, high = interval
    return SupervisedScores(
        toolkit="pysot",
        accuracy=_nanmean(np.concatenate(per_frame)),
        failures=float(failures.sum()),
        robustness=float(100 * failures.sum() / lengths.sum()),
        eao=_mean_between(curve, low - 1, high),
        curve=curve,
        names=tuple(counted),
        overlaps=counted,
        sequence_accuracy=np.array([_nanmean(found) for found in per_frame]),
        sequence_robustness=100 * failures / lengths,
        sequence_failures={x.sequence.name: x.failures for x in compared},
        tags={tag: _mean_between(tag_curve, low - 1, high) for tag, tag_curve in tags.items()},
    )


def _segments_pysot(compared: _Compared) -> Iterator[tuple[Array, bool, Mapping[str, float]]]:
    """Overlaps from each start to the next, that one included, or to the end; whether there is one; each tag's share.

    The share is of frames with the tag; of ``EMPTY`` it is the whole sequence's frames without any over the segment's
    length, and exceeds 1. The size of the frames is one pixel less here than for the accuracy.
    """
    size, length = compared.sequence.size, len(compared.truth)
    size = None if size is None else (size[0] - 1, size[1] - 1)
    tags = {tag: compared.sequence.labels.get(tag, np.zeros(length, int)) for tag in TAGS}
    empty = length - np.count_nonzero(np.sum(list(tags.values()), axis=0))
    for tokens, codes in zip(compared.runs, compared.codes, strict=True):
        found = np.nan_to_num(overlaps(tokens, compared.truth, size, "pysot"))
        starts = [0, *(f + SKIP for f in np.flatnonzero(codes == FAILED.value).tolist() if f + SKIP <= length)]
        for start, end in zip_longest(starts, starts[1:]):
            part = found[start : None if end is None else end + 1]
            if len(part):
                share = {tag: frames[start:][: len(part)].mean() for tag, frames in tags.items()}
                yield part, end is not None, share | {EMPTY: empty / len(part)}


# Means


def _pad(segments: Rows[tuple[Array, bool]], length: int) -> Array:
    """(F, length) overlaps of F segments: after their ends 0 where the tracker failed, else NaN."""
    values = np.full((len(segments), length), np.nan)
    for row, (found, failed) in zip(values, segments, strict=True):
        row[: len(found)] = found
        row[len(found) :] = 0 if failed else np.nan
    return values


def _curve(values: Array, weights: Array, first: float) -> Array:
    """(K,) the mean overlap up to each frame over the segments that reach it.

    Args:
        values: (F, K) overlaps; NaN where a segment does not reach.
        weights: (F,) of the segments.
        first: stands for the frame of the start, which no mean counts.
    """
    means = np.nan_to_num(values[:, 1:]).cumsum(1) / np.arange(1, values.shape[1])
    weights = weights[:, None] * ~np.isnan(values[:, 1:])
    total = weights.sum(0)
    curve = np.divide((weights * means).sum(0), total, out=np.zeros_like(total), where=total > 0)
    return np.concatenate([[first], curve])


def _mean_between(curve: Array, start: int, end: int) -> float:
    """Of a part of the curve; 0 where it does not reach so far."""
    return float(curve[start:end].mean()) if start < len(curve) else 0.0


def _mean(values: Array, counted: NDArray[np.bool_], axis: int, none: float = 0) -> Array:
    """Of what counts along an axis; ``none`` where nothing does."""
    number = counted.sum(axis)
    total = np.where(counted, values, 0).sum(axis)
    return np.divide(total, number, out=np.full(total.shape, float(none)), where=number > 0)


def _nanmean(values: Array) -> float:
    return float(_mean(values, ~np.isnan(values), axis=0, none=np.nan))
