"""How lockon answers the cases of the VOT challenges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.regions import STARTED, Code, Region, parse_region, region_of
from lockon.evaluation.sequences import Sequence

from ..metrics import MetricsCase


def answer(case: MetricsCase) -> Mapping[str, Any]:
    """The outputs of a case by their names in the toolkit."""
    experiment = "_".join(case.set.split("_")[:2])
    outputs = ANSWERS[experiment, case.toolkit](case)
    return {name: float(value) if np.ndim(value) == 0 else value for name, value in outputs.items()}


def sequence(case: MetricsCase, name: str) -> Sequence:
    """A sequence of a case, with what a toolkit reads from its folder."""
    truth = case[f"{name}/gt"]
    labels = {label: case[f"{name}/{label}"] for label in ("occlusion", "anchor") if f"{name}/{label}" in case}
    regions: tuple[str, ...] = ()
    if f"{name}/gt_strings.txt" in case:
        regions = tuple(case.text(f"{name}/gt_strings.txt").split("\n"))
    elif truth.shape[1] != 4:
        regions = tuple(",".join(map(repr, row)) for row in truth.tolist())
    boxes = truth if truth.shape[1] == 4 else np.full((len(truth), 4), np.nan)
    width, height = case[f"{name}/size"].tolist()
    return Sequence(name, (), boxes, labels=labels, regions=regions, size=(width, height))


def tokens(codes: np.ndarray, answers: np.ndarray) -> list[Region]:
    """A run: codes, and answers where there is none (-1)."""
    return [region_of(row) if code < 0 else Code(code) for code, row in zip(codes.tolist(), answers.tolist())]


# Supervised


def supervised_runs(case: MetricsCase, name: str) -> list[list[Region]]:
    numbers = [i for i in range(1, 16) if f"{name}/raw_{i}" in case]
    return [tokens(case[f"{name}/codes_{i}"], case[f"{name}/raw_{i}"]) for i in numbers]


def _supervised(case: MetricsCase, interval: tuple[int, int], toolkit: Any) -> supervised.SupervisedScores:
    runs = {name: supervised_runs(case, name) for name in case.sequences}
    return supervised.score([sequence(case, name) for name in case.sequences], runs, interval, toolkit)


def _supervised_pysot(case: MetricsCase) -> Mapping[str, Any]:
    interval = case.params.get("low", 100), case.params.get("high", 356)
    found = _supervised(case, interval, "pysot")
    outputs: dict[str, Any] = {
        "accuracy": found.accuracy,
        "lost_number": found.failures,
        "robustness": found.robustness,
        "total_length": sum(runs.shape[1] for runs in found.overlaps.values()),
        "failures": np.array([found.sequence_failures[name] for name in found.names]),
        "expected_overlap_curve": found.curve.astype(np.float32),
        "eao": found.eao,
    }
    outputs |= {f"eao_{tag}": value for tag, value in found.tags.items()}
    for name, runs in found.overlaps.items():
        counted = ~np.isnan(runs).all(0)
        mean = np.full(runs.shape[1], np.nan)
        mean[counted] = np.nanmean(runs[:, counted], axis=0)
        outputs[f"overlaps/{name}"] = mean
    return outputs


def _supervised_vot(case: MetricsCase) -> Mapping[str, Any]:
    intervals = {name: (low, high) for name, (low, high) in case.params["eao_intervals"].items()}
    scores = {name: _supervised(case, interval, "vot") for name, interval in intervals.items()}
    found = next(iter(scores.values()))
    outputs: dict[str, Any] = {
        "accuracy": found.accuracy,
        "robustness_failures": found.failures,
        "ar_robustness": found.robustness,
        "ar_accuracy": found.accuracy,
        "mean_length": np.mean([runs.shape[1] for runs in found.overlaps.values()]),
        "seq_accuracy": found.sequence_accuracy,
        "seq_failures": np.array([found.sequence_failures[name].mean() for name in found.names]),
        "seq_ar_robustness": found.sequence_robustness,
        "eao_curve": found.curve,
    }
    outputs |= {f"eao_{name}": score.eao for name, score in scores.items()}
    outputs |= {
        f"overlaps/{name}/{i}": run for name, runs in found.overlaps.items() for i, run in enumerate(runs, start=1)
    }
    return outputs


# Multi-start


def multistart_run(case: MetricsCase, name: str, anchor: int) -> list[Region]:
    key = f"{name}/run_{anchor:08d}"
    if f"{key}.txt" in case:
        return [parse_region(line) for line in case.text(f"{key}.txt").split("\n")]
    return [STARTED, *map(region_of, case[key][1:].tolist())]


def _multistart(case: MetricsCase) -> Mapping[str, Any]:
    sequences = [sequence(case, name) for name in case.sequences]
    runs = {
        s.name: {anchor: multistart_run(case, s.name, anchor) for anchor in case_anchors(case, s)} for s in sequences
    }
    outputs: dict[str, Any] = {}
    for low, high in ((115, 755), (20, 150)):
        found = multistart.score(sequences, runs, (low, high))
        outputs |= {
            f"eao_{low}_{high}": found.eao,
            f"eao_curve_{high}": found.curve,
            f"seq_eao_curve_{high}": found.sequence_curves,
            f"seq_eao_active_{high}": found.sequence_active,
        }
    progress = np.array([sum(run.progress for run in found.runs[name]) for name in found.names])
    lengths = np.array([len(s.boxes) for s in sequences])
    outputs |= {
        "accuracy": found.accuracy,
        "robustness": found.robustness,
        "weight_accuracy": progress.sum(),
        "weight_robustness": lengths.sum(),
        "seq_accuracy": found.sequence_accuracy,
        "seq_robustness": found.sequence_robustness,
        "seq_weight_accuracy": progress,
        "seq_weight_robustness": lengths,
    }
    for name, results in found.runs.items():
        outputs |= {f"overlaps/{name}/{run.anchor:08d}": run.overlaps for run in results}
        directions = [int(case[f"{name}/anchor"][run.anchor] < 0) for run in results]
        outputs[f"progress/{name}"] = np.array(
            [(r.anchor, d, r.progress, len(r.overlaps)) for r, d in zip(results, directions)]
        )
    return outputs


def case_anchors(case: MetricsCase, given: Sequence) -> list[int]:
    return case[f"{given.name}/runs"][:, 0].tolist()


# Long-term


def _longterm(case: MetricsCase, toolkit: Any) -> longterm.LongtermScores:
    runs = {
        name: longterm.LongtermRun(tokens(case[f"{name}/code"], case[f"{name}/pred"]), case[f"{name}/confidence"])
        for name in case.sequences
    }
    return longterm.score([sequence(case, name) for name in case.sequences], runs, toolkit)


def _longterm_outputs(found: longterm.LongtermScores) -> dict[str, Any]:
    return {
        "precision": found.precision,
        "recall": found.recall,
        "f_score": found.f_score,
        "best_index": found.best,
        "best_threshold": found.thresholds[found.best],
        "thresholds": found.thresholds,
        "precision_curve": found.precision_curve,
        "recall_curve": found.recall_curve,
        "f_curve": found.f_curve,
        **{f"overlaps/{name}": value for name, value in found.overlaps.items()},
        **{f"seq_precision/{name}": row for name, row in zip(found.names, found.sequence_precision)},
        **{f"seq_recall/{name}": row for name, row in zip(found.names, found.sequence_recall)},
    }


ANSWERS = {
    ("vot_supervised", "pysot"): _supervised_pysot,
    ("vot_supervised", "vot_toolkit"): _supervised_vot,
    ("vot_multistart", "vot_toolkit"): _multistart,
    ("vot_lt", "pysot"): lambda case: _longterm_outputs(_longterm(case, "pysot")),
    ("vot_lt", "vot_toolkit"): lambda case: _longterm_outputs(_longterm(case, "vot")),
}
