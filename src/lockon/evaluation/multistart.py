"""VOT's multi-start experiment (Kristan et al., VOT2020 to VOT2022): runs from anchors, forward or backward.

From each anchor a tracker runs, without restarts, to the farther end of the sequence. A run has failed where its
overlap stays at or below 0.1 for 10 frames; it is scored up to there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError
from lockon.evaluation.overlaps import overlaps
from lockon.evaluation.region_files import read_regions, result_file
from lockon.evaluation.regions import Code, Region, truth
from lockon.evaluation.sequences import Array, Sequence
from lockon.names import name_of

GRACE = 10  # frames without the target in a row that make a failure
THRESHOLD = 0.1  # overlap up to which a frame is without
INTERVAL = (115, 755)  # typical lengths of a run, over which the expected average overlap is averaged

Runs = Mapping[str, Mapping[int, Rows[Region]]]  # by sequence and anchor


@dataclass(frozen=True)
class MultistartRun:
    """How one run went.

    Attributes:
        anchor: index of its first frame.
        overlaps: (L,) in the order of the run; 0 on the anchor.
        progress: frames until it failed, L if it did not.
    """

    anchor: int
    overlaps: Array
    progress: int

    @property
    def failed(self) -> bool:
        """Whether the tracker lost the target before the end."""
        return self.progress < len(self.overlaps)


@dataclass(frozen=True)
class MultistartScores:
    """Scores of one tracker on S sequences.

    Attributes:
        accuracy: mean overlap until failure, over all frames of all runs together.
        robustness: share of frames until failure, longer sequences weighing more.
        eao: expected average overlap.
        curve: (K,) the expected average overlap of a run of so many frames.
        names: (S,) of the sequences.
        runs: by sequence.
        sequence_accuracy, sequence_robustness: (S,) each.
        sequence_curves: (S, K) the curve by sequence.
        sequence_active: (S, K) how many runs are in it.
    """

    accuracy: float
    robustness: float
    eao: float
    curve: Array
    names: tuple[str, ...]
    runs: Mapping[str, tuple[MultistartRun, ...]]
    sequence_accuracy: Array
    sequence_robustness: Array
    sequence_curves: Array
    sequence_active: Array


def run_frames(sequence: Sequence) -> dict[int, NDArray[np.int64]]:
    """Indices of the frames of each run, in its order, by anchor.

    Raises:
        DataError: the sequence has no label "anchor": per frame 1 where a run starts forward, -1 backward, else 0.
    """
    anchors = sequence.labels.get("anchor", np.zeros(0))
    if not np.any(anchors):
        raise DataError(f"{sequence.name}: no anchors; expected anchor.value beside the ground truth")
    end = len(anchors)
    return {
        int(anchor): np.arange(anchor, end) if anchors[anchor] > 0 else np.arange(anchor, -1, -1)
        for anchor in np.flatnonzero(anchors)
    }


def read_runs(folder: Path, sequences: Iterable[Sequence]) -> dict[str, dict[int, list[Region]]]:
    """A tracker's runs by sequence and anchor, from ``FOLDER/SEQ/SEQ_00000050.txt`` or ``.bin``, where 50 is the anchor
    (``FOLDER`` is ``TRACKER/EXPERIMENT``).

    Raises:
        DataError: a run is missing, a file malformed, or a name is a path.
    """
    runs = {}
    for sequence in sequences:
        name = name_of(sequence.name, f"results in {folder}")
        runs[name] = {
            anchor: read_regions(result_file(folder / name, f"{name}_{anchor:08d}")) for anchor in run_frames(sequence)
        }
    return runs


def score(sequences: Iterable[Sequence], runs: Runs, interval: tuple[int, int] = INTERVAL) -> MultistartScores:
    """Accuracy, robustness and expected average overlap of finished runs, as the VOT toolkit has them.

    Args:
        sequences: S of them, with regions, or boxes, size, and the label "anchor" (see ``run_frames``).
        runs: by sequence and anchor: regions or codes in the order of the run.
        interval: shortest and longest typical length of a run.

    Raises:
        DataError: no sequences, a run is missing, or of the wrong length.
    """
    sequences = list(sequences)
    compared = {sequence.name: _compare(sequence, runs.get(sequence.name, {})) for sequence in sequences}
    if not compared:
        raise DataError("no sequences to score")
    lengths = [len(sequence.boxes) for sequence in sequences]
    progress, overlap, frames = np.array([_totals(results) for results in compared.values()]).T
    low, high = interval
    sums, active = np.array([_curve_sums(results, high) for results in compared.values()]).swapaxes(0, 1)
    curve = _divide(sums.sum(0), active.sum(0))
    return MultistartScores(
        accuracy=float(_divide(overlap.sum(), progress.sum())),
        robustness=float(np.average(progress / frames, weights=lengths)),
        eao=float(curve[low:].mean()),
        curve=curve,
        names=tuple(compared),
        runs=compared,
        sequence_accuracy=_divide(overlap, progress),
        sequence_robustness=progress / frames,
        sequence_curves=_divide(sums, active),
        sequence_active=active,
    )


def _compare(sequence: Sequence, runs: Mapping[int, Rows[Region]]) -> tuple[MultistartRun, ...]:
    target = truth(sequence)
    results = []
    for anchor, frames in run_frames(sequence).items():
        answers = runs.get(anchor, ())
        if len(answers) != len(frames):
            raise DataError(f"{sequence.name}, run from {anchor}: {len(answers)} regions for {len(frames)} frames")
        passed = [target[frame] for frame in frames]
        found = overlaps(answers, passed, sequence.size, "vot")
        visible = np.array([not isinstance(region, Code) for region in passed])
        results.append(MultistartRun(anchor, found, _progress(found, visible)))
    return tuple(results)


def _progress(found: Array, visible: NDArray[np.bool_]) -> int:
    """Frames before the first ``GRACE`` in a row in which the target is there and missed; all where it is not lost."""
    missed = np.concatenate([[0], np.cumsum((found <= THRESHOLD) & visible)])
    lost = np.flatnonzero(missed[GRACE:] - missed[:-GRACE] == GRACE)
    return int(lost[0]) if len(lost) else len(found)


def _totals(runs: Rows[MultistartRun]) -> tuple[float, float, float]:
    """Frames until failure, the overlap summed over them, and frames in all."""
    return (
        sum(run.progress for run in runs),
        sum(run.overlaps[: run.progress].sum() for run in runs),
        sum(len(run.overlaps) for run in runs),
    )


def _curve_sums(runs: Rows[MultistartRun], length: int) -> tuple[Array, Array]:
    """(length,) the mean overlap up to each frame summed over the runs that count there, and the number of these.

    A failed run goes on with overlap 0, and counts after its end, too.
    """
    sums, active = np.zeros((2, length))
    for run in runs:
        found = np.where(np.arange(len(run.overlaps)) < run.progress, run.overlaps, 0)
        frame = np.arange(1, length)
        within = frame < len(found)
        total = found[1:].cumsum() if len(found) > 1 else np.zeros(1)
        means = total[np.minimum(frame, len(total)) - 1] / np.where(within, frame, frame - 1).clip(min=1)
        counts = within | run.failed
        sums[1:] += means * counts
        active[1:] += counts
    return sums, active


def _divide(a: Array, b: Array) -> Array:
    """0 where ``b`` is."""
    return np.divide(a, b, out=np.zeros(np.shape(a)), where=np.asarray(b) > 0)
