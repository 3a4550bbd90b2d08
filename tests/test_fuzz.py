"""A short form of ``make fuzz``: damaged inputs of every kind, and kills."""

import subprocess
import sys

from tests.fuzz.targets import TARGETS


def test_damaged_inputs_and_kills_are_survived() -> None:
    options = ["--seed", "1", "--inputs", str(2 * len(TARGETS)), "--kills", "3"]
    ran = subprocess.run([sys.executable, "-m", "tests.fuzz", *options], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"{2 * len(TARGETS)} inputs in" in ran.stdout
    assert ran.stdout.count(": 0 found") == 6
