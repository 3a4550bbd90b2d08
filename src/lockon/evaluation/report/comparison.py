"""Several trackers' results on one benchmark, scored side by side: what tables, plots and the page are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lockon.benchmarks import BENCHMARKS
from lockon.errors import DataError, first_few
from lockon.evaluation import sequences as video
from lockon.evaluation.foreign import Results
from lockon.evaluation.metrics import Array, Scores, overlap, score
from lockon.evaluation.reading import label_of

MEASURES = {
    "success": "AUC",
    "norm_precision": "Pnorm",
    "precision": "P",
    "ao": "AO",
    "sr50": "SR50",
    "sr75": "SR75",
    "op50": "OP50",
    "op75": "OP75",
    "coverage": "coverage",
}
"""As papers abbreviate them, in the order in which they are shown."""

LONG = {
    "success": "success, area under the curve",
    "norm_precision": "normalised precision",
    "precision": "precision",
    "ao": "average overlap",
    "sr50": "success rate at 0.5",
    "sr75": "success rate at 0.75",
    "op50": "success at an overlap of 0.5",
    "op75": "success at an overlap of 0.75",
    "coverage": "coverage",
}


def title(benchmark: str) -> str:
    """A benchmark's name as papers have it."""
    name = BENCHMARKS[benchmark].title if benchmark in BENCHMARKS else benchmark
    return name[0].upper() + name[1:]


def headline(scores: Scores) -> str:
    """The measure that a toolkit ranks by: average overlap where GOT-10k's rates are, else success."""
    return "ao" if "sr50" in scores.summary else "success"


def ranked(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    """By tracker, the best first."""
    return dict(sorted(scores.items(), key=lambda item: -_rank(item[1])))


def _rank(scores: Scores) -> float:
    value = scores.summary[headline(scores)]
    return value if math.isfinite(value) else -math.inf


@dataclass(frozen=True, eq=False)
class Comparison:
    """Trackers side by side.

    Attributes:
        benchmark: its name.
        sequences: those that were scored, in the benchmark's order.
        results: by tracker, the best first.
        scores: by toolkit, then by tracker in the same order; the first toolkit is the one that ranks.
        left_out: the benchmark's sequences that are not scored, and the trackers whose results lack them.
    """

    benchmark: str
    sequences: tuple[video.Sequence, ...]
    results: Mapping[str, Results]
    scores: Mapping[str, Mapping[str, Scores]]
    left_out: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def main(self) -> Mapping[str, Scores]:
        """The scores of the toolkit that ranks, by tracker."""
        return next(iter(self.scores.values()))

    @property
    def headline(self) -> str:
        """The measure that ranks."""
        return headline(next(iter(self.main.values())))

    def boxes(self, tracker: str, sequence: video.Sequence) -> Array:
        """(T, 4) of a tracker's first repetition; NaN for rows that the result lacks."""
        found = self.results[tracker].boxes[sequence.name]
        rows = (found[0] if found.ndim == 3 else found)[: len(sequence.boxes)]
        return np.concatenate([rows, np.full((len(sequence.boxes) - len(rows), 4), np.nan)])

    def overlaps(self, tracker: str, sequence: video.Sequence) -> Array:
        """(T,) of these boxes; NaN where the target is absent, 0 where the result has no row."""
        truth = sequence.boxes
        with np.errstate(all="ignore"):  # as where it is scored
            found = overlap(self.boxes(tracker, sequence), truth)
        return np.where(np.isnan(truth).any(1), np.nan, found)


def compare(
    results: Sequence[Results],
    benchmark: video.Benchmark,
    toolkits: Sequence[str] = (),
    *,
    partial: bool = False,
) -> Comparison:
    """Scores results.

    Args:
        results: of one tracker each, with different labels; see ``foreign.distinct``.
        toolkits: whose conventions to use, the first for the ranking; the benchmark's own if none is given.
        partial: score the sequences that all results have, where some lack some.

    Raises:
        DataError: a result lacks sequences (without ``partial``, all of them are counted and the first are named), or
            cannot be scored; see ``metrics.score``. No results, or two of one label, or one
            that cannot be shown.
    """
    labels = [result.tracker for result in results]
    if not labels or len(set(labels)) < len(labels):
        raise DataError(f"{benchmark.name}: {'two results have one label' if labels else 'no results to compare'}")
    for result in results:
        label_of(result.tracker, result.folder)
    lacking = {r.tracker: [name for name in benchmark.names if name not in r.boxes] for r in results}
    missing = {
        name: lacks
        for name in benchmark.names
        if (lacks := tuple(tracker for tracker, names in lacking.items() if name in names))
    }
    if missing and not partial:
        parts = [f"{tracker} has no {first_few(names, 3)}" for tracker, names in lacking.items() if names]
        raise DataError(
            f"{benchmark.name}: unfinished results: {'; '.join(parts)}; run these, or score with --partial the "
            f"{len(benchmark) - len(missing)} sequences that all have"
        )
    names = [name for name in benchmark.names if name not in missing]
    if not names:
        raise DataError(f"{benchmark.name}: no sequence has results of all {len(results)} trackers")
    sequences = tuple(benchmark.read(name) for name in names)
    if hidden := [sequence.name for sequence in sequences if sequence.hidden]:
        raise DataError(
            f"{benchmark.name}: the annotation of {len(hidden)} sequences such as {hidden[0]} is not public; pack "
            "the results with `lockon submit` and have the benchmark's server score them"
        )
    scores = {
        toolkit: {r.tracker: score(toolkit, sequences, r.boxes, benchmark=benchmark.name) for r in results}
        for toolkit in dict.fromkeys(toolkits or [benchmark.toolkit])
    }
    order = tuple(ranked(next(iter(scores.values()))))
    return Comparison(
        benchmark.name,
        sequences,
        {tracker: next(r for r in results if r.tracker == tracker) for tracker in order},
        {toolkit: {tracker: found[tracker] for tracker in order} for toolkit, found in scores.items()},
        missing,
    )
