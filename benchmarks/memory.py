"""Does memory grow with the length of the video?

    python benchmarks/memory.py [--frames 20000] [--tracker stark-tiny]

Tracks a made video of that many frames (160 x 120, H.264) from file to file, as ``lockon track`` does, and prints the
process's resident memory along the way.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import psutil

import lockon
from lockon.frames import VideoWriter, open_frames
from lockon.track import TrackWriter, follow


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


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20000)
    parser.add_argument("--tracker", default="stark-tiny")
    args = parser.parse_args()
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "source.mp4"
        box = make_video(clip, args.frames)
        tracker = lockon.load(args.tracker, device="cpu")
        print("| frames | resident MiB |\n|---|---|")
        with open_frames(clip) as frames, TrackWriter(Path(folder) / "out", "clip", 1, frames.fps) as writer:
            for count, tracked in enumerate(follow(frames, [box], tracker), start=1):
                writer.write(tracked)
                if count in (100, 1000) or count % max(1, args.frames // 10) == 0:
                    print(f"| {count} | {process.memory_info().rss / 2**20:.0f} |", flush=True)


if __name__ == "__main__":
    main()
