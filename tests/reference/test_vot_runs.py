"""The supervised experiment's rule, against runs made by both toolkits from the same answers."""

from __future__ import annotations

import numpy as np
import pytest

from lockon.evaluation.overlaps import Toolkit
from lockon.evaluation.regions import Code, region_of, truth
from lockon.evaluation.supervised import run

from .adapters.metrics_vot import sequence
from .metrics import MetricsCase, read_metrics_cases
from .runner import CASES

SETS = {case.set: case for case in read_metrics_cases(CASES / "metrics") if case.set.startswith("vot_supervised")}


@pytest.mark.parametrize("case", SETS.values(), ids=list(SETS))
@pytest.mark.parametrize(("toolkit", "stored"), [("pysot", "codes"), ("vot", "codes_votrule")])
def test_supervised_rule(case: MetricsCase, toolkit: Toolkit, stored: str) -> None:
    for name in case.sequences:
        target = sequence(case, name)
        for number in range(1, 16):
            if f"{name}/raw_{number}" in case:
                answers = [region_of(row) for row in case[f"{name}/raw_{number}"].tolist()]
                tokens = run(truth(target), target.size, lambda _: None, answers.__getitem__, toolkit)
                codes = [token.value if isinstance(token, Code) else -1 for token in tokens]
                np.testing.assert_array_equal(codes, case[f"{name}/{stored}_{number}"], err_msg=f"{name}, run {number}")
