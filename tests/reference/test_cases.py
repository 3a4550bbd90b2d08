"""Every case of ``cases/``, or of the folder given with ``--reference``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .metrics import read_metrics_cases
from .runner import CASES, Case, Report, check, find_adapter, forget, read_cases


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    root = metafunc.config.getoption("--reference") or CASES
    cases = read_cases(root)
    if not cases and not read_metrics_cases(root):
        raise pytest.UsageError(f"{root}: no reference cases here")
    metafunc.parametrize("case", cases, ids=[case.id for case in cases])


@pytest.fixture(scope="module", autouse=True)
def free_models() -> Iterator[None]:
    yield
    forget()


@pytest.mark.usefixtures("one_thread")
def test_case(case: Case, reports: list[Report]) -> None:
    report = Report(case)
    reports.append(report)
    check(case, find_adapter(case.tracker), report)
    if report.faults:
        pytest.fail("\n".join(report.faults), pytrace=False)
    if report.lacking:
        pytest.xfail("; ".join(dict.fromkeys(report.lacking.values())))
