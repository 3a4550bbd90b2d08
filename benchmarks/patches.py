"""What a box costs by its size: time and peak of the memory of ``init`` and ``update``, against an ordinary box.

    python benchmarks/patches.py [--trackers stark-tiny,...] [--sizes 320x240,7680x4320] [--repeats 5]

Each row is measured in a process of its own, on a made-up picture in memory and in one thread. Boxes are an eighth of
the frame's sides ("ordinary"), the whole frame, and the largest that is allowed, with the frame in its middle. The
time is the least over the repeats, since other processes can only add to it; each repeat starts anew from the box.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import resource
import time

import cv2
import numpy as np
import torch

import lockon
from lockon.boxes import LARGEST, Box


def boxes(width: int, height: int) -> dict[str, Box]:
    """The boxes of a frame by name."""
    side = LARGEST * float(max(width, height))
    return {
        "ordinary": (0.4 * width, 0.4 * height, width / 8, height / 8),
        "whole frame": (0.0, 0.0, float(width), float(height)),
        "largest": ((width - side) / 2, (height - side) / 2, side, side),
    }


def cost(tracker: str, width: int, height: int, box: Box, repeats: int) -> tuple[float, float]:
    """Milliseconds of this process for ``init`` and one ``update``, and the peak of its memory in MiB."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
    frame = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    engine = lockon.load(tracker, device="cpu")
    times = []
    for _ in range(repeats + 1):  # the first warms up
        start = time.process_time()
        engine.init(frame, box)
        engine.update(frame)
        times.append(1000 * (time.process_time() - start))
    return min(times[1:]), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rows(trackers: list[str], sizes: list[str], repeats: int) -> None:
    """Prints a row per tracker, size and box."""
    print("| tracker | frame | box | ms | ratio | peak MiB | ratio |\n|---|---|---|---|---|---|---|")
    for tracker in trackers:
        for size in sizes:
            width, height = (int(v) for v in size.split("x"))
            usual: tuple[float, float] | None = None
            for name, box in boxes(width, height).items():
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    ms, peak = pool.apply(cost, (tracker, width, height, box, repeats))
                usual = usual or (ms, peak)
                shares = ms / usual[0], peak / usual[1]
                print(f"| {tracker} | {size} | {name} | {ms:.1f} | {shares[0]:.2f} | {peak:.0f} | {shares[1]:.2f} |")


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trackers", default=",".join(lockon.list_models(shipped=True)))
    parser.add_argument("--sizes", default="320x240,1920x1080,7680x4320")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    versions = f"PyTorch {torch.__version__}, OpenCV {cv2.__version__}, lockon {lockon.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, 1 thread, {versions}\n")
    rows(args.trackers.split(","), args.sizes.split(","), args.repeats)


if __name__ == "__main__":
    main()
