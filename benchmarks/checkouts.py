"""CPU time of ``lockon track`` beside another checkout: whole processes in turn, ratios in one run.

    git worktree add ../before 03eb1a9
    python benchmarks/checkouts.py ../before --rounds 7

Both run under this Python, on the same made-up video, one after the other, in turn; the first round does not count.
Of each the least and the median are told, and their ratios: another busy process only ever adds time, so that the
least says most.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from lockon.video import VideoWriter

HERE = Path(__file__).resolve().parents[1]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="CPU time of lockon track beside another checkout.")
    parser.add_argument("before", type=Path, help="folder of the other checkout")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--tracker", default="stark-tiny")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_inputs(folder, options.frames)
        for source in ("clip.mp4", "pictures"):
            times: dict[str, list[float]] = {"before": [], "now": []}
            for turn in range(options.rounds + 1):
                for name, checkout in (("before", options.before), ("now", HERE)):
                    seconds = run(checkout, folder, source, options.tracker, folder / f"{source}-{name}-{turn}")
                    times[name] += [seconds] if turn else []
            show(source, times)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    print(f"{options.tracker}, {options.frames} frames of 1280 x 720, one thread; {machine}")


def make_inputs(folder: Path, frames: int) -> None:
    """Writes a moving disc on a textured ground as a video, and a tenth of it as pictures."""
    rng = np.random.default_rng(0)
    small = rng.integers(60, 150, (45, 80, 3), np.uint8)
    ground = cv2.resize(small, (1280, 720), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    (folder / "pictures").mkdir()
    with VideoWriter(folder / "clip.mp4", 25.0) as writer:
        for number in range(frames):
            image = ground.copy()
            cv2.circle(image, (300 + 2 * number, 200 + number), 60, (250, 20, 20), -1)
            writer.write(image, number / 25)
            if number % 10 == 0:
                cv2.imwrite(str(folder / "pictures" / f"{number:04d}.jpg"), image[..., ::-1])


def run(checkout: Path, folder: Path, source: str, tracker: str, out: Path) -> float:
    """Runs one process; its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    options = ["--box", "240,140,120,120", "--tracker", tracker, "--threads", "1", "--device", "cpu", "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "lockon", "track", str(folder / source), *options, "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(checkout.resolve() / "src"), "OMP_NUM_THREADS": "1"},
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def show(source: str, times: dict[str, list[float]]) -> None:
    """Prints the least and the median of both, and the ratios."""
    summaries: dict[str, Callable[[list[float]], float]] = {"least": min, "median": statistics.median}
    for label, of in summaries.items():
        before, now = of(times["before"]), of(times["now"])
        print(f"{source}: {label} {before:.2f} s before, {now:.2f} s now, ratio {now / before:.3f}")


if __name__ == "__main__":
    main()
