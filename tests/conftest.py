from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--reference",
        type=Path,
        metavar="DIR",
        help="check this folder of reference cases (or folder of such folders) in place of tests/reference/cases",
    )
