"""Published results of known trackers have their published scores, and in each toolkit the scores that it gave them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lockon.evaluation import sequences
from lockon.evaluation.metrics import Array, Scores, score

from .metrics import read_published

TOOLKITS = {"otb_toolkit_restated": "otb", "lasot_toolkit_restated": "lasot"}  # all others are called the same
OWN = {"success_score": "success", "precision_score": "precision", "normalized_precision_score": "norm_precision"}
OWN |= {"AUC": "success", "Precision": "precision", "NormPrecision": "norm_precision", "OP50": "op50", "OP75": "op75"}
OTB100 = ("SiamBAN", "DaSiamRPN", "SiamFC", "MDNet", "ATOM")


@pytest.fixture(scope="module")
def facts(real: Path) -> dict[str, Any]:
    """Scores by data set and tracker."""
    found: dict[str, Any] = json.loads((real / "real.json").read_text())
    return found


@pytest.fixture(scope="module")
def otb(real: Path) -> dict[str, Array]:
    """Truth by sequence."""
    stored = read_published(real / "otb100_gt.npz.xz")
    return _by_name(_names(stored), stored["lengths"], stored["boxes"].astype(float))


@pytest.fixture(scope="module")
def otb_results(real: Path) -> dict[str, np.ndarray]:
    return read_published(real / "otb100_results.npz.xz")


@pytest.mark.parametrize("tracker", OTB100)
def test_otb100(tracker: str, otb: dict[str, Array], otb_results: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    stored = facts["otb100"][tracker]
    boxes = otb_results[tracker].astype(float) / stored["scale"]
    results = _by_name(list(otb), otb_results[f"{tracker}/lengths"], boxes)
    truth = [_sequence(name, rows) for name, rows in otb.items()]
    found = {
        official: score(TOOLKITS.get(official, official), truth, results, benchmark="otb2015")
        for official in stored["scores"]
    }
    for official, scores in found.items():
        _same(scores, stored["scores"][official], official)
    printed = found.get("pysot", found["got10k"]).summary
    for name, value in (stored["published"] or {}).items():
        assert round(printed[name], 3) == value


def test_lasot_test(real: Path, facts: dict[str, Any]) -> None:
    stored, results = read_published(real / "lasot_test_gt.npz.xz"), read_published(real / "lasot_test_ATOM.npz.xz")
    names, lengths = _names(stored), stored["lengths"]
    absent = _by_name(names, lengths, np.unpackbits(stored["absent"])[: lengths.sum()].astype(np.int64))
    truth, boxes = (
        {name: steps.cumsum(0).astype(float) for name, steps in _by_name(names, lengths, file["boxes_delta"].T).items()}
        for file in (stored, results)
    )
    chosen = [_sequence(name, rows, absent=absent[name]) for name, rows in truth.items()]
    for official, expected in facts["lasot"]["ATOM"]["scores"].items():
        _same(score(TOOLKITS.get(official, official), chosen, boxes, benchmark="lasot"), expected, official)
    printed = score("lasot", chosen, boxes).summary
    assert {name: round(printed[name], 3) for name in ("success", "precision")} == facts["lasot"]["ATOM"]["published"]


def test_struck_on_tb50_and_its_attributes(
    otb: dict[str, Array], otb_results: dict[str, np.ndarray], facts: dict[str, Any]
) -> None:
    stored = facts["otb_tb50_struck"]
    boxes = _by_name(list(otb), otb_results["STRUCK/lengths"], otb_results["STRUCK"] / stored["scale"])
    expected = stored["official_scores_by_attribute"]
    everything = expected.pop("ALL")
    truth = [
        _sequence(name, otb[name], {a for a, official in expected.items() if name in official["sequences"]})
        for name in everything["sequences"]
    ]
    scores = score("otb", truth, boxes)
    parts = scores.by_attribute()
    assert list(parts) == sorted(expected)
    for part, official in [(scores, everything), *((parts[name], official) for name, official in expected.items())]:
        assert set(part.names) == set(official["sequences"])
        np.testing.assert_allclose(part.curves["success"].mean, official["success_curve"], rtol=0, atol=1e-12)
        # centre errors at a whole number of pixels fall on either side
        np.testing.assert_allclose(part.curves["precision"].mean, official["precision_curve"], rtol=0, atol=2.3e-4)


def _names(stored: Mapping[str, np.ndarray]) -> list[str]:
    return stored["names"].tobytes().decode().split("\n")


def _by_name(names: Sequence[str], lengths: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of all sequences one after the other, by sequence."""
    return dict(zip(names, np.split(rows, lengths.cumsum()[:-1]), strict=True))


def _sequence(name: str, truth: Array, attributes: set[str] | None = None, **labels: np.ndarray) -> sequences.Sequence:
    return sequences.Sequence(name, (Path(),) * len(truth), truth, frozenset(attributes or ()), labels)


def _same(scores: Scores, expected: Mapping[str, Any], official: str) -> None:
    """Every number and curve; pytracking's are in percent, from curves in single precision."""
    percent, tol = (100, 1e-4) if official == "pytracking" else (1, 1e-9)
    for name, value in expected.items():
        if name.startswith("seq_"):
            own: Any = scores.per_sequence[name.removeprefix("seq_")]
        elif name.endswith("_curve"):
            own = scores.curves[name.removesuffix("_curve")].mean
        else:
            own = percent * scores.summary[OWN.get(name, name)]
        np.testing.assert_allclose(own, value, rtol=0, atol=tol, err_msg=f"{official} {name}")
