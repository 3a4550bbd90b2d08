"""What evaluating several sequences in one forward gains, and what it changes, beside one after another.

    python benchmarks/evaluate.py [--tracker NAME ...] [--batches 2,4,8] [--frames 40] [--device cpu] [--threads 1]

The lanes are parts of the bundled clip that begin at other frames. Each batch is run both ways, one right after the
other, and medians of the time per frame are compared. The last columns tell how far the boxes are apart, and in how
many lanes they agree to the 4 decimals of a result file.
"""

from __future__ import annotations

import argparse
import os
from importlib import resources

import numpy as np
import torch

import lockon
from lockon.boxes import Box, parse_box
from lockon.evaluation.runner import Lane, follow
from lockon.evaluation.trackers import Entrant, Steps
from lockon.video import open_frames

ASSETS = resources.files("lockon") / "assets"


def clip() -> tuple[list[np.ndarray], list[Box]]:
    """The bundled clip's frames and boxes."""
    with resources.as_file(ASSETS / "clip.mp4") as path, open_frames(path) as source:
        frames = [frame.image for frame in source]
    return frames, [parse_box(line) for line in (ASSETS / "clip.txt").read_text().splitlines()]


def lanes(frames: list[np.ndarray], boxes: list[Box], count: int, length: int) -> list[Lane]:
    """Parts of the clip; a frame is played again backwards where the clip ends."""
    order = [*range(len(frames)), *range(len(frames) - 2, 0, -1)]
    return [
        Lane(str(n), (frames[order[(n + i) % len(order)]] for i in range(length)), boxes[n], length)
        for n in range(count)
    ]


def run(steps: Steps, some: list[Lane], together: bool) -> tuple[float, np.ndarray]:
    """Median seconds per frame after the first, and (lanes, frames, 4) boxes."""
    for _ in follow(Entrant("", steps, together=together), iter(some), len(some)):
        pass
    seconds = [s for lane in some for s in lane.seconds[1:]]
    return float(np.median(seconds)), np.array([[result.box for result in lane.results] for lane in some])


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", action="append")
    parser.add_argument("--batches", default="2,4,8")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    frames, boxes = clip()
    print(f"{args.frames} frames, {os.cpu_count()} cores, {args.threads} threads, PyTorch {torch.__version__}\n")
    print("| tracker | batch | ms alone | ms in one forward | ratio | apart, px | equal lanes |\n" + "|---" * 7 + "|")
    for name in args.tracker or lockon.list_models(shipped=True):
        tracker = lockon.load(name, device=args.device)
        for batch in map(int, args.batches.split(",")):
            alone, one = run(tracker, lanes(frames, boxes, batch, args.frames), together=False)
            joined, other = run(tracker, lanes(frames, boxes, batch, args.frames), together=True)
            apart = np.abs(one - other)
            equal = sum(bool((a.round(4) == b.round(4)).all()) for a, b in zip(one, other, strict=True))
            row = f"| {name} | {batch} | {1000 * alone:.2f} | {1000 * joined:.2f} | {alone / joined:.2f} "
            print(f"{row}| {apart.max():.1e} | {equal} of {batch} |", flush=True)


if __name__ == "__main__":
    main()
