"""How lockon answers the cases of one-pass evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lockon.evaluation import speed
from lockon.evaluation.metrics import Array, Scores, score
from lockon.evaluation.sequences import Sequence

from ..metrics import MetricsCase

EXPERIMENTS = {"OTB": "otb2015", "UAV123": "uav123", "UAV20L": "uav20l", "NfS": "nfs", "LaSOT": "lasot"}
DATASETS = {"otb": "otb2015", "uav": "uav123", "lasot": "lasot", "lasot_extension_subset": "lasot_ext", "nfs": "nfs"}


def answer(case: MetricsCase) -> Mapping[str, Any]:
    """The outputs of a case by their names in the toolkit."""
    if case.toolkit == "got10k" and case.set == "got10k":
        return _got10k_ao(case)
    return ANSWERS[case.toolkit](case)


def _sequences(case: MetricsCase) -> list[Sequence]:
    return [_sequence(case, name) for name in case.sequences]


def _sequence(case: MetricsCase, name: str) -> Sequence:
    truth = case[f"{name}/gt"]
    labels = {"absent": 1 - case[f"{name}/visible"]} if f"{name}/visible" in case else {}
    labels |= {"cover": case[f"{name}/cover"]} if f"{name}/cover" in case else {}
    size = (*case[f"{name}/resolution"].tolist(),) if f"{name}/resolution" in case else None
    return Sequence(name, (Path("1.jpg"),) * len(truth), truth, labels=labels, size=size)


def _score(toolkit: str, case: MetricsCase, **options: Any) -> Scores:
    missing = case.params.get("missing", ())
    boxes = {name: case[f"{name}/pred"] for name in case.sequences if name not in missing}
    return score(toolkit, _sequences(case), boxes, **options)


def _times(case: MetricsCase) -> list[Array]:
    """NaN of a sequence without times."""
    return [case[f"{n}/times"] if f"{n}/times" in case else np.array([np.nan]) for n in case.sequences]


def _curves(scores: Scores) -> dict[str, Array]:
    return {f"seq_{name}_curve": curve.values for name, curve in scores.curves.items()}


def _got10k(case: MetricsCase) -> Mapping[str, Any]:
    found = _score("got10k", case, benchmark=EXPERIMENTS[case.params["experiment"]])
    rates = np.array([speed.sequence_rate(seconds) for seconds in _times(case)])
    outputs: dict[str, Any] = {"success_rate": found.summary["op50"], "speed_fps": speed.got10k(_times(case))}
    outputs["seq_speed_fps"] = np.where(np.isnan(rates), -1, rates)  # the toolkit's number where there are no times
    for name, curve in found.curves.items():
        official = name.replace("norm_", "normalized_")
        outputs[f"{official}_score"] = found.summary[name]
        outputs[f"{official}_curve"] = curve.mean
        outputs[f"seq_{official}_score"] = found.per_sequence[name]
        outputs[f"seq_{official}_curve"] = curve.values
    return outputs


def _got10k_ao(case: MetricsCase) -> Mapping[str, Any]:
    runs = {
        name: [case[f"{name}/pred_{i}"] for i in (1, 2, 3) if f"{name}/pred_{i}" in case] for name in case.sequences
    }
    found = score("got10k-ao", _sequences(case), {name: np.array(boxes) for name, boxes in runs.items()})
    return {
        **found.summary,
        "succ_curve": found.curves["success"].mean,
        "seq_ao": found.per_sequence["ao"],
        "seq_sr50": found.per_sequence["sr50"],
        "speed_fps": speed.got10k_ao(_times(case)),
        "seq_fps": np.array([speed.sequence_rate(seconds) for seconds in _times(case)]),
        "seq_length": np.array([len(sequence) - 1 for sequence in _sequences(case)]),
    }


def _pytracking(case: MetricsCase) -> Mapping[str, Any]:
    exclude = case.params.get("exclude_invalid_frames", False)
    found = _score("pytracking", case, benchmark=DATASETS[case.params["dataset"]], exclude_invalid_frames=exclude)
    official = {"success": "AUC", "op50": "OP50", "op75": "OP75", "precision": "Precision"}
    official |= {"norm_precision": "NormPrecision"}
    outputs: dict[str, Any] = {name: 100 * found.summary[own] for own, name in official.items()}
    return outputs | _curves(found) | {"seq_avg_overlap": found.per_sequence["ao"]}


def _trackingnet(case: MetricsCase) -> Mapping[str, Any]:
    return {name: 100 * value for name, value in _score("trackingnet", case).summary.items()}


def _own_names(toolkit: str) -> Callable[[MetricsCase], Mapping[str, Any]]:
    def answer(case: MetricsCase) -> Mapping[str, Any]:
        found = _score(toolkit, case)
        return {**found.summary, **_curves(found)}

    return answer


ANSWERS: Mapping[str, Callable[[MetricsCase], Mapping[str, Any]]] = {
    "got10k": _got10k,
    "pysot": _own_names("pysot"),
    "pytracking": _pytracking,
    "otb_toolkit_restated": _own_names("otb"),
    "lasot_toolkit_restated": _own_names("lasot"),
    "trackingnet_devkit": _trackingnet,
}
