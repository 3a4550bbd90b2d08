"""Seconds to score one tracker on all of LaSOT's test set, per toolkit.

    python benchmarks/scoring.py [--repeat 5] [--seed 0]

The boxes are made up: as many sequences and frames as LaSOT has (280 of 1000 frames or more, 685,360 in all), a truth
that wanders, frames without the target, and a result that strays from it. Reading files is not in the time. Each
toolkit scores ``--repeat`` times; the median and the slowest are printed.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

import numpy as np

from lockon.evaluation.metrics import Array, score
from lockon.evaluation.sequences import Sequence

SEQUENCES, FRAMES, SHORTEST = 280, 685_360, 1000
TOOLKITS = ("plain", "pysot", "pytracking", "got10k", "lasot")


def make_tracks(seed: int) -> tuple[list[Sequence], dict[str, Array]]:
    """Sequences with their truth, and results by name."""
    random = np.random.default_rng(seed)
    lengths = SHORTEST + random.multinomial(FRAMES - SEQUENCES * SHORTEST, random.dirichlet(np.ones(SEQUENCES)))
    sequences, results = [], {}
    for number, frames in enumerate(lengths):
        corner = 1 + np.abs(random.normal(0, 3, (frames, 2)).cumsum(0))
        truth = np.concatenate([corner, random.uniform(20, 200, (frames, 2))], 1).round()
        absent = (random.random(frames) < 0.03).astype(np.int64)
        name = f"made-up-{number}"
        sequences.append(Sequence(name, (Path(),) * frames, truth, labels={"absent": absent}))
        results[name] = (truth + random.normal(0, 5, (frames, 4))).clip(min=1)
    return sequences, results


def measure(toolkit: str, sequences: list[Sequence], results: dict[str, Array], repeat: int) -> list[float]:
    """Seconds of each repetition."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        score(toolkit, sequences, results, benchmark="lasot")
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tracks = make_tracks(args.seed)
    machine = f"{os.cpu_count()} cores, {platform.processor() or platform.machine()}"
    print(f"{SEQUENCES} sequences, {FRAMES} frames, NumPy {np.__version__}, {machine}")
    print("\n| toolkit | median s | slowest s |\n|---|---|---|")
    for toolkit in TOOLKITS:
        seconds = measure(toolkit, *tracks, args.repeat)
        print(f"| {toolkit} | {np.median(seconds):.2f} | {max(seconds):.2f} |", flush=True)


if __name__ == "__main__":
    main()
