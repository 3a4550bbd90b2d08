"""VOT's long-term experiment (Lukezic et al., 2018; VOT-LT2018 to 2022): the target leaves and returns.

A tracker says for each frame how sure it is that the target is in view. Precision is its mean overlap where it is
surer than a threshold, recall over all frames with the target; F is their harmonic mean at the best threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockon.annotations import number_of, short
from lockon.errors import DataError
from lockon.evaluation.overlaps import Toolkit, overlaps
from lockon.evaluation.reading import result_text
from lockon.evaluation.region_files import read_regions, result_file
from lockon.evaluation.regions import Code, Region, truth
from lockon.evaluation.sequences import Array, Sequence
from lockon.names import name_of

RESOLUTION = 100  # thresholds


@dataclass(frozen=True)
class LongtermRun:
    """A tracker's answers in T frames.

    Attributes:
        regions: (T,) regions or codes, ``STARTED`` first.
        confidence: (T,) how sure the tracker was; NaN where it did not say, as in the first frame.
    """

    regions: Rows[Region]
    confidence: Array


@dataclass(frozen=True)
class LongtermScores:
    """Scores of one tracker on S sequences, and what they are the best of.

    Attributes:
        toolkit: "pysot" or "vot".
        f_score, precision, recall: at the best threshold.
        best: its index.
        thresholds: (K,) from high to low.
        f_curve, precision_curve, recall_curve: (K,) means over the sequences.
        names: (S,) of the sequences.
        overlaps: by sequence, (T,).
        sequence_precision, sequence_recall: (S, K).
    """

    toolkit: Toolkit
    f_score: float
    precision: float
    recall: float
    best: int
    thresholds: Array
    f_curve: Array
    precision_curve: Array
    recall_curve: Array
    names: tuple[str, ...]
    overlaps: Mapping[str, Array]
    sequence_precision: Array
    sequence_recall: Array


def read_runs(folder: Path, names: Iterable[str]) -> dict[str, LongtermRun]:
    """A tracker's runs by sequence, from ``FOLDER/SEQ/SEQ_001.txt`` (or ``.bin``) and ``SEQ_001_confidence.value``
    (``FOLDER`` is ``TRACKER/longterm``).

    Raises:
        DataError: a file is missing or malformed, or a name is a path.
    """
    runs = {}
    for name in names:
        name_of(name, f"results in {folder}")
        regions = read_regions(result_file(folder / name, f"{name}_001"))
        runs[name] = LongtermRun(regions, _read_confidence(folder / name / f"{name}_001_confidence.value"))
    return runs


def _read_confidence(path: Path) -> Array:
    """(T,) numbers, one per line; NaN for an empty line."""
    lines = result_text(path, may_be_empty=True).removesuffix("\n").split("\n")
    values = np.full(len(lines), np.nan)
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        value = number_of(line)
        if value is None or math.isnan(value):  # toolkits have no rule for these, or several
            raise DataError(f"{short(path)}, line {number + 1}: {line[:40]!r} is not a number")
        values[number] = value
    return values


def score(sequences: Iterable[Sequence], runs: Mapping[str, LongtermRun], toolkit: Toolkit = "vot") -> LongtermScores:
    """Precision, recall and F of finished runs.

    Args:
        sequences: S of them, with boxes (NaN where the target is absent) or regions, and size.
        runs: by sequence.
        toolkit: whose thresholds and conventions.

    Raises:
        DataError: no sequences, a run is missing, or of the wrong length.
    """
    found: dict[str, Array] = {}
    confidence: dict[str, Array] = {}
    visible: dict[str, int] = {}
    for sequence in sequences:
        name, target, run = sequence.name, truth(sequence), runs.get(sequence.name, LongtermRun((), np.zeros(0)))
        if not len(run.regions) == len(run.confidence) == len(target):
            raise DataError(
                f"{name}: {len(run.regions)} regions and {len(run.confidence)} confidences for {len(target)} frames"
            )
        found[name] = np.nan_to_num(overlaps(run.regions, target, sequence.size, toolkit))
        told = run.confidence
        confidence[name] = np.where(np.isnan(told), 0, told) if toolkit == "vot" else told
        visible[name] = sum(not isinstance(region, Code) for region in target)
    if not found:
        raise DataError("no sequences to score")
    thresholds = THRESHOLDS[toolkit](np.concatenate(list(confidence.values())))
    curves = [_curves(found[name], confidence[name], visible[name], thresholds, toolkit) for name in found]
    precisions, recalls = np.array(curves).swapaxes(0, 1)
    precision, recall = precisions.mean(0), recalls.mean(0)
    f_curve = np.divide(2 * precision * recall, precision + recall, out=np.zeros_like(recall), where=recall > 0)
    best = int(f_curve.argmax())
    return LongtermScores(
        toolkit=toolkit,
        f_score=float(f_curve[best]),
        precision=float(precision[best]),
        recall=float(recall[best]),
        best=best,
        thresholds=thresholds,
        f_curve=f_curve,
        precision_curve=precision,
        recall_curve=recall,
        names=tuple(found),
        overlaps=found,
        sequence_precision=precisions,
        sequence_recall=recalls,
    )


def _thresholds_vot(confidence: Array) -> Array:
    """About as many confidences between one threshold and the next; all of them if there are few."""
    ordered, inner = np.sort(confidence)[::-1], RESOLUTION - 2
    if len(ordered) > inner:
        step = len(ordered) // inner
        ordered = ordered[np.linspace(step, len(ordered) - step, inner).round().astype(int)]
    return np.concatenate([[np.inf], ordered, [-np.inf]])


def _thresholds_pysot(confidence: Array) -> Array:
    """The same, with other rounding; where the tracker did not say does not count."""
    ordered, inner = np.sort(confidence[~np.isnan(confidence)]), RESOLUTION - 2
    step = len(ordered) // inner
    places = np.floor(np.linspace(step - 1, len(ordered) - step, inner) + 0.5).astype(int)
    ordered = ordered[places.clip(0, len(ordered) - 1)] if len(ordered) else ordered
    return np.concatenate([[np.inf], ordered[::-1], [-np.inf]])


THRESHOLDS = {"vot": _thresholds_vot, "pysot": _thresholds_pysot}


def _curves(found: Array, confidence: Array, visible: int, thresholds: Array, toolkit: Toolkit) -> tuple[Array, Array]:
    """(K,) precision and recall at each threshold."""
    sure = confidence >= thresholds[:, None]  # (K, T)
    if toolkit == "pysot":
        sure[-1] = confidence > 0
    total, number = sure @ found, sure.sum(1)
    precision = np.divide(total, number, out=np.ones(len(thresholds)), where=number > 0)
    return precision, total / visible if visible else np.zeros(len(thresholds))
