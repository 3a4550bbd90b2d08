"""Published results of VOT2018 and VOT2019 have their published scores, and those of both toolkits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lockon.evaluation.regions import Code, Region, region_of
from lockon.evaluation.sequences import Sequence
from lockon.evaluation.supervised import INTERVALS, Runs, score

from .metrics import read_published


@pytest.mark.parametrize("name", ["VOT2018/Ocean-online", "VOT2019/Ocean_VOT2019_0.323"])
def test_published(name: str, real: Path) -> None:
    facts = json.loads((real / "real.json").read_text())["vot"][name]
    sequences, runs = _read(real / facts["file"])
    interval = INTERVALS[name.split("/")[0].lower()]

    pysot, expected = score(sequences, runs, interval, "pysot"), facts["scores"]["pysot"]
    assert pysot.accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
    assert pysot.failures == expected["lost_number"]
    assert pysot.robustness == pytest.approx(expected["robustness"], abs=1e-9)
    assert pysot.eao == pytest.approx(expected["eao"], abs=1e-6)
    assert [int(pysot.sequence_failures[s.name].sum()) for s in sequences] == expected["seq_failures"]
    np.testing.assert_allclose(pysot.curve, expected["expected_overlap_curve"], rtol=0, atol=1e-6)
    printed = {"accuracy": pysot.accuracy, "robustness": pysot.robustness, "eao": pysot.eao}
    assert {k: round(v, 3) for k, v in printed.items() if k in facts["published"]} == {
        k: v for k, v in facts["published"].items() if k in printed
    }

    vot, expected = score(sequences, runs, interval, "vot"), facts["scores"]["vot_toolkit"]
    assert vot.accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
    assert vot.failures == pytest.approx(expected["robustness_failures"], abs=1e-9)
    assert vot.robustness == pytest.approx(expected["ar_robustness"], abs=1e-9)
    assert vot.eao == pytest.approx(expected["eao"], abs=1e-6)
    np.testing.assert_allclose(vot.curve, expected["eao_curve"], rtol=0, atol=1e-6)


def _read(file: Path) -> tuple[list[Sequence], Runs]:
    """Sequences, and the run of each."""
    stored = read_published(file)
    names = stored["names"].tobytes().decode().split("\n")
    answers = iter(stored["boxes"].tolist())
    tokens: list[Region] = [Code(code) if code >= 0 else region_of(next(answers)) for code in stored["codes"].tolist()]
    sequences, runs = [], {}
    for i, name in enumerate(names):
        start, begin = stored["lengths"][:i].sum(), stored["result_lengths"][:i].sum()
        truth = stored["gt"][start:][: stored["lengths"][i], : stored["gt_numbers"][i]] / 100
        regions = tuple(",".join(map(repr, row)) for row in truth.tolist())
        width, height = stored["size"][i].tolist()
        sequences.append(Sequence(name, (), truth[:, :4], regions=regions, size=(width, height)))
        runs[name] = [tokens[begin:][: stored["result_lengths"][i]]]
    return sequences, runs
