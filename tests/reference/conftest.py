from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from .runner import Report, table

REPORTS = pytest.StashKey[list[Report]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A folder may have cases of one kind only; the test of the other kind then has nothing to run."""
    items[:] = [item for item in items if not item.name.endswith("[NOTSET]")]


@pytest.fixture(scope="session")
def reports(request: pytest.FixtureRequest) -> list[Report]:
    return request.config.stash.setdefault(REPORTS, [])


@pytest.fixture(scope="session")
def real(request: pytest.FixtureRequest) -> Path:
    """The folder of published results, ``--real``: other people's files, which are read where they are."""
    folder: Path = request.config.getoption("--real")
    if not (folder / "real.json").is_file():
        pytest.skip(f"no published results in {folder}")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the reference was made: sums are then taken in one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = config.stash.get(REPORTS, [])
    if reports:
        terminalreporter.section("reference cases")
        terminalreporter.write_line("\n".join(table(reports)))
