"""Does memory grow with the length of the video?

    python benchmarks/memory.py [--frames 20000] [--tracker stark-tiny]

Makes a video of that many frames (160 x 120, H.264), runs ``lockon track`` on it and prints the resident memory of
that process along the way.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

from lockon.video import VideoWriter


def make_video(path: Path, frames: int) -> tuple[float, float, float, float]:
    """A disc on a circular path over a textured ground; returns its first box."""
    ground = np.random.default_rng(0).integers(60, 150, (15, 20, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with VideoWriter(path, 30.0) as writer:
        for number in range(frames):
            angle = number / 40
            image = ground.copy()
            cv2.circle(image, (round(80 + 30 * np.cos(angle)), round(60 + 20 * np.sin(angle))), 12, (250, 20, 20), -1)
            writer.write(image, number / 30)
    return 98, 48, 25, 25


def watch(command: list[str], boxes: Path, frames: int) -> None:
    """Runs a command that writes a line per frame to ``boxes``; prints its memory about every tenth of the way."""
    print("| frames | resident MiB |\n|---|---|")
    done, shown = 0, 100
    with subprocess.Popen(command) as child:
        process = psutil.Process(child.pid)
        while child.poll() is None:
            time.sleep(0.5)
            done = len(boxes.read_bytes().splitlines()) if boxes.exists() else 0
            if done >= shown and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                print(f"| {done} | {process.memory_info().rss / 2**20:.0f} |", flush=True)
                shown = max(1000, shown + frames // 10)
    print(f"exit code {child.returncode} after {done} frames")


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--tracker", default="stark-tiny")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip, out = Path(folder) / "clip.mp4", Path(folder) / "out"
        box = ",".join(str(v) for v in make_video(clip, args.frames))
        command = [sys.executable, "-m", "lockon", "track", str(clip), "--box", box, "--out", str(out)]
        watch([*command, "--tracker", args.tracker, "--device", "cpu", "--quiet"], out / "clip.txt", args.frames)


if __name__ == "__main__":
    main()
