"""Every case of the metrics in ``cases/``, or in the folder given with ``--reference``."""

from __future__ import annotations

import pytest

from .metrics import MetricsCase, ask, check_metrics, read_metrics_cases
from .runner import CASES, Report, read_cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    root = metafunc.config.getoption("--reference") or CASES
    cases = read_metrics_cases(root)
    if not cases and not read_cases(root):
        raise pytest.UsageError(f"{root}: no reference cases here")
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


def test_case(case: MetricsCase, reports: list[Report]) -> None:
    report = Report(case)
    reports.append(report)
    report.deviations = check_metrics(case, ask(case))
    report.finished = True
    if report.faults:
        pytest.fail("\n".join(report.faults), pytrace=False)
