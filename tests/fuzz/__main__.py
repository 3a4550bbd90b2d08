"""Damaged inputs for the command line, and kills: ``python -m tests.fuzz --help``; ``make fuzz`` runs it.

Every input is told by its seed, target and number, so that ``--seed S --only TARGET --number N`` makes it again.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, islice
from pathlib import Path
from random import Random

from tests.fuzz.child import Child
from tests.fuzz.kills import KILLS, kill_and_repeat
from tests.fuzz.targets import SECONDS, TARGETS, examine


def main() -> int:
    """Fuzzes as the arguments say; 1 if anything was found."""
    parser = argparse.ArgumentParser(description="Damaged inputs for lockon's command line, and kills.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=500, help="damaged inputs in all")
    parser.add_argument("--minutes", type=float, default=10.0, help="that these may take at most")
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of each of track, eval and train")
    parser.add_argument("--only", choices=[*TARGETS, *KILLS], action="append", help="this target alone")
    parser.add_argument("--number", type=int, help="this input alone")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that were found")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lockon-fuzz-") as place:
        found = fuzz(options, Path(place)) + kill(options, Path(place))
    return int(bool(found))


def fuzz(options: argparse.Namespace, place: Path) -> int:
    """Runs damaged inputs, one target after the other in turn; how many were not survived."""
    names = [name for name in TARGETS if not options.only or name in options.only]
    healthy = {name: make(name, place / "healthy" / name) for name in names}
    start, found, outcomes = time.monotonic(), 0, Counter[str]()
    numbers = [options.number] if options.number is not None else range(options.inputs if names else 0)
    for number, name in zip(numbers, islice(cycle(names), max(options.inputs, 1)), strict=False):
        if time.monotonic() - start > 60 * options.minutes:
            print(f"time is up after {number} inputs", flush=True)
            break
        folder = place / "input"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(healthy[name], folder / "in")
        changed = TARGETS[name].spoil(folder / "in", Random(f"{options.seed} {name} {number}"))
        ran, faults = examine(TARGETS[name], folder)
        outcomes[f"exit {ran.code}"] += 1
        if faults:
            found += 1
            print(f"{name}, number {number} ({changed}): {'; '.join(faults)}\n{ran.err[-600:]}", flush=True)
            if options.keep is not None:
                shutil.copytree(folder, options.keep / f"{options.seed}-{name}-{number}", dirs_exist_ok=True)
    told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{outcomes.total()} inputs in {time.monotonic() - start:.0f} s ({told}): {found} found", flush=True)
    return found


def make(name: str, folder: Path) -> Path:
    """Writes a healthy input, and makes sure that it is one."""
    target = TARGETS[name]
    (folder / "in").mkdir(parents=True)
    ran = Child(lambda: target.make(folder / "in"), folder / "making").wait(SECONDS)
    assert ran.code == 0, f"{name}: {ran.err}"
    ran, faults = examine(target, folder)
    assert ran.code == 0, f"{name}: {ran.err}"
    assert not faults, f"{name}: {faults}"
    return folder / "in"


def kill(options: argparse.Namespace, place: Path) -> int:
    """Kills runs at random moments and repeats them; how many did not come to the results of an undisturbed run."""
    found = 0
    for name in KILLS if options.kills else ():
        if options.only and name not in options.only:
            continue
        start = time.monotonic()
        faults = kill_and_repeat(
            name, options.kills, Random(f"{options.seed} {name}"), place / name.replace(" ", "-").replace(",", "")
        )
        found += len(faults)
        for fault in faults:
            print(f"{name}: {fault}", flush=True)
        print(f"{name}: {options.kills} in {time.monotonic() - start:.0f} s: {len(faults)} found", flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
