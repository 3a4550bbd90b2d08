"""The examples in Python that documents show, each saved to a file and run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import layouts, scenes

ROOT = Path(__file__).parents[1]
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SHORT_OTB = """
from lockon.evaluation.benchmarks import otb
otb.read_list = lambda name: {"otb2015": {"Basketball": [1, 5, "OCC"], "Deer": [1, 6, "IV"]}}
"""
"""Stands above an example on OTB, whose sequences are two short ones then, in its workers as well."""


def examples(document: str) -> list[str]:
    """Python of a document, in the order in which it stands there."""
    return EXAMPLE.findall((ROOT / document).read_text())


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    """A script in a file of its own, as a reader of the document would start it."""
    (folder / "example.py").write_text(script)
    environment = os.environ | {"MPLBACKEND": "Agg"}
    return subprocess.run([sys.executable, "example.py"], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with two sequences of OTB and one of LaSOT."""
    for name, frames in (("Basketball", 5), ("Deer", 6)):
        pictures = [scenes.picture(number) for number in range(frames)]
        lines = "".join(",".join(map(str, box)) + "\n" for _, box in pictures)
        layouts.write_otb(tmp_path / "OTB100", name, range(1, frames + 1), lines)
        for number, (image, _) in enumerate(pictures, start=1):
            (tmp_path / "OTB100" / name / "img" / f"{number:04d}.jpg").write_bytes(scenes.jpeg(image))
    layouts.write_lasot(tmp_path / "LaSOT" / "airplane" / "airplane-1", 2788)
    return tmp_path


def test_examples_of_an_evaluation_run_as_files(data: Path) -> None:
    pytest.importorskip("pandas", reason="needs the report extra")
    reading, running, scoring = examples("docs/evaluation.md")
    ran = run(data, reading)
    assert ran.returncode == 0, ran.stderr
    assert "airplane-9" in ran.stdout  # of the faults of this copy, which is not complete
    ran = run(data, SHORT_OTB + running)
    assert (ran.returncode, ran.stderr) == (0, "")
    last = dict(line.split() for line in ran.stdout.splitlines())
    assert last == {"Basketball": "5", "Deer": "6"}
    ran = run(data, SHORT_OTB + scoring)
    assert ran.returncode == 0, ran.stderr


def test_a_script_that_starts_workers_without_a_guard_is_told_so(data: Path) -> None:
    script = SHORT_OTB + examples("docs/evaluation.md")[1].replace('if __name__ == "__main__":', "if True:")
    ran = run(data, script)
    assert ran.returncode == 1
    error = ran.stderr.splitlines()[-1]
    assert error.startswith("lockon.errors.TrackerError: the workers run the script again that starts them")
    assert 'if __name__ == "__main__":' in error
    assert "freeze_support" not in ran.stderr
    assert "no process is left" not in ran.stdout
