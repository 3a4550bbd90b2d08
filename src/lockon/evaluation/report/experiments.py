"""VOT's kinds of experiment: which results a folder has, and what toolkits say of them.

A workspace of the VOT toolkit, or any folder like its ``results``, has ``TRACKER/EXPERIMENT/SEQ/SEQ_001.txt`` and on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lockon.errors import DataError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.foreign import different
from lockon.evaluation.overlaps import Toolkit
from lockon.evaluation.reading import folders, label_of
from lockon.evaluation.regions import NOTHING, STARTED, Region
from lockon.evaluation.report.listing import Measure
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from lockon.files import why

PYSOT_FIRST: tuple[Toolkit, ...] = ("pysot", "vot")


@dataclass(frozen=True, eq=False)
class VotScores:
    """What a toolkit says of one tracker.

    Attributes:
        numbers: by abbreviation; the first one ranks.
        curve: x and y of what the first one is taken from.
        sequences: (S,) by abbreviation.
        tags: the first one by what is difficult, where the toolkit has that.
    """

    numbers: Mapping[str, float]
    curve: tuple[Array, Array]
    sequences: Mapping[str, Array]
    tags: Mapping[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> float:
        """The number that ranks."""
        return next(iter(self.numbers.values()))


@dataclass(frozen=True, eq=False)
class Scored:
    """One tracker's results.

    Attributes:
        toolkits: their scores; the first one ranks.
        answers: by sequence, (T,) regions or codes, of the first run where there are several.
        overlaps: by sequence, (T,) of these with the truth, 1 where the tracker was given it; NaN where the target is
            absent, or the tracker had not been started.
    """

    toolkits: Mapping[str, VotScores]
    answers: Mapping[str, Rows[Region]]
    overlaps: Mapping[str, Array]

    @property
    def main(self) -> VotScores:
        """The scores that rank."""
        return next(iter(self.toolkits.values()))


@dataclass(frozen=True)
class Experiment:
    """One of VOT's kinds of experiment.

    Attributes:
        folder: its name in a tracker's results.
        score: results in a folder.
        meaning: of the abbreviations.
        axes: of the curve.
        measures: of a sequence; the first one tells which is worst, the next where it is equal.
        robustness: in words, where there are accuracy and robustness to plot.
    """

    folder: str
    score: Callable[[Path, Benchmark, Rows[Sequence]], Scored]
    meaning: str
    axes: tuple[str, str]
    measures: Mapping[str, Measure]
    robustness: str = ""


def _supervised(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> Scored:
    runs = supervised.read_runs(folder, benchmark.names)
    found: dict[str, VotScores] = {}
    overlaps: dict[str, Array] = {}
    for toolkit in PYSOT_FIRST:
        scores = supervised.score(sequences, runs, _interval(benchmark), toolkit)
        numbers = {"EAO": scores.eao, "A": scores.accuracy, "R": scores.robustness, "failures": scores.failures}
        failures = np.array([scores.sequence_failures[name].mean() for name in scores.names])
        by_sequence = {"failures": failures, "A": scores.sequence_accuracy}
        found[toolkit] = VotScores(numbers, _over_frames(scores.curve), by_sequence, scores.tags)
        if toolkit == "vot":  # pysot's lack the frames that do not count
            overlaps = {name: rows[0] for name, rows in scores.overlaps.items()}
    answers = {name: own[0] for name, own in runs.items()}
    for name, own in answers.items():
        overlaps[name] = np.where([answer == NOTHING for answer in own], np.nan, overlaps[name])
    return Scored(found, answers, {s.name: _seen(s, answers[s.name], overlaps[s.name]) for s in sequences})


def _interval(benchmark: Benchmark) -> tuple[int, int]:
    """Shortest and longest typical length of a sequence.

    Raises:
        DataError: VOT tells none for it.
    """
    if benchmark.name not in supervised.INTERVALS:
        known = ", ".join(supervised.INTERVALS)
        raise DataError(
            f"{benchmark.name}: its typical lengths are not known, over which to average; known are {known}"
        )
    return supervised.INTERVALS[benchmark.name]


def _multistart(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> Scored:
    runs = multistart.read_runs(folder, sequences)
    scores = multistart.score(sequences, runs)
    numbers = {"EAO": scores.eao, "A": scores.accuracy, "R": scores.robustness}
    by_sequence = {"R": scores.sequence_robustness, "A": scores.sequence_accuracy}
    answers, overlaps = {}, {}
    for sequence in sequences:
        first, frames = next(iter(multistart.run_frames(sequence).items()))
        own = dict(zip(frames.tolist(), runs[sequence.name][first], strict=True))
        answers[sequence.name] = [own.get(frame, NOTHING) for frame in range(len(sequence))]
        track = np.full(len(sequence), np.nan)
        track[frames] = scores.runs[sequence.name][0].overlaps
        overlaps[sequence.name] = _seen(sequence, answers[sequence.name], track)
    return Scored({"vot": VotScores(numbers, _over_frames(scores.curve), by_sequence)}, answers, overlaps)


def _longterm(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> Scored:
    runs = longterm.read_runs(folder, benchmark.names)
    found: dict[str, VotScores] = {}
    overlaps: Mapping[str, Array] = {}
    for toolkit in PYSOT_FIRST[::-1]:
        scores = longterm.score(sequences, runs, toolkit)
        numbers = {"F": scores.f_score, "Pr": scores.precision, "Re": scores.recall}
        precision, recall = scores.sequence_precision[:, scores.best], scores.sequence_recall[:, scores.best]
        both = np.maximum(precision + recall, np.finfo(float).tiny)
        by_sequence = {"F": 2 * precision * recall / both, "Pr": precision, "Re": recall}
        found[toolkit] = VotScores(numbers, (scores.recall_curve, scores.precision_curve), by_sequence)
        if toolkit == "vot":
            overlaps = scores.overlaps
    answers = {name: own.regions for name, own in runs.items()}
    return Scored(found, answers, {s.name: _seen(s, answers[s.name], overlaps[s.name]) for s in sequences})


def _over_frames(curve: Array) -> tuple[Array, Array]:
    return np.arange(len(curve), dtype=float), curve


def _seen(sequence: Sequence, answers: Rows[Region], overlaps: Array) -> Array:
    """(T,) 1 where the tracker was given the truth, NaN where the target is absent."""
    started = np.array([answer == STARTED for answer in answers])
    return np.where(np.isnan(sequence.boxes[:, 0]), np.nan, np.where(started, 1.0, overlaps))


LENGTH = ("frames from the start", "expected average overlap")
EXPERIMENTS = {
    "vot-supervised": Experiment(
        "baseline",
        _supervised,
        "EAO: expected average overlap; A: accuracy; R: robustness, as pysot has it failures in 100 frames, as the VOT "
        "toolkit has it the chance to track 30 frames; failures: of all sequences, and of one",
        LENGTH,
        {"failures": Measure("failures", lower=True), "A": Measure("accuracy")},
        f"chance to track {supervised.SENSITIVITY} frames",
    ),
    "vot-multistart": Experiment(
        "baseline",
        _multistart,
        "EAO: expected average overlap; A: accuracy; R: robustness, the share of frames until failure",
        LENGTH,
        {"R": Measure("robustness"), "A": Measure("accuracy")},
        "share of frames until failure",
    ),
    "vot-longterm": Experiment(
        "longterm",
        _longterm,
        "F at the best threshold; Pr: precision there; Re: recall there",
        ("recall", "precision"),
        {"F": Measure("F at the best threshold of all"), "Pr": Measure("precision"), "Re": Measure("recall")},
    ),
}
"""By the benchmark's toolkit (``benchmarks.BENCHMARKS``)."""


def find_trackers(path: Path, benchmark: Benchmark) -> dict[str, Path]:
    """The folders with a benchmark's sequences in a folder and below, by tracker.

    Raises:
        DataError: there are none, one cannot be read, or two are of one tracker.
    """
    experiment = EXPERIMENTS[benchmark.toolkit].folder
    places = [place for place, below, _ in folders(path) if _has_runs(place, set(below) & set(benchmark.names))]
    complete = {place.resolve().parent for place in places if place.resolve().name == experiment}
    found: dict[str, Path] = {}
    for place in places:
        own = place.resolve()
        if own.name != experiment and own.parent in complete:
            continue  # another experiment of the same tracker
        label = label_of(own.parent.name if own.name == experiment else own.name, place)
        if label in found:
            raise DataError(f"{found[label]} and {place}: both have results of {label}; give one of the two alone")
        found[label] = place
    if not found:
        first = benchmark.names[0]
        wanted = f"TRACKER/{experiment}/{first}/{first}_001.txt"
        raise DataError(f"{path}: no results of {benchmark.name}; looked there and below for files such as {wanted}")
    return found


def find_all_trackers(paths: Iterable[Path], benchmark: Benchmark) -> dict[str, Path]:
    """The same of several folders; ``(2)`` and so on is put behind a tracker's name that was there before.

    Raises:
        DataError: as ``find_trackers``, of any of them.
    """
    found = [item for path in paths for item in find_trackers(path, benchmark).items()]
    labels = different([label for label, _ in found])
    return {label: place for label, (_, place) in zip(labels, found, strict=True)}


def _has_runs(place: Path, names: Iterable[str]) -> bool:
    """Whether any sequence has a file as experiments name them: SEQUENCE_001 or SEQUENCE_00000050."""
    try:
        return any(re.match(rf"{re.escape(name)}_\d{{3}}", file) for name in names for file in os.listdir(place / name))
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {why(error)}") from None
