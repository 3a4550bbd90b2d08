"""Every test that docs/promises.md names is there."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_promise_names_tests_that_are_there() -> None:
    there = {
        name
        for file in HERE.rglob("test_*.py")
        for name in re.findall(r"^\s*def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    rows = [row for row in (HERE.parent / "docs/promises.md").read_text().splitlines() if row.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| promise")]
    named = [re.findall(r"`(test_\w+)`", row) for row in promises]
    assert len(promises) > 30
    assert all(named), [row for row, tests in zip(promises, named, strict=True) if not tests]
    assert {name for tests in named for name in tests} <= there
