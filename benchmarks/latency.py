"""Milliseconds per frame of the whole job, split into decode, crop, network, resolve and write.

    python benchmarks/latency.py [--tracker stark-tiny] [--size 1280x720] [--frames 420] [--threads N]

Tracks the bundled clip, scaled to the size asked for and repeated, from an H.264 file to an annotated H.264 file,
as ``lockon track`` does. The first 20 frames warm up and are left out. Decoding and encoding run in threads of their
own, so a stage's time is the time that the loop waits for it, and what they take from the network's cores shows as
network.

    python benchmarks/latency.py --every [--every-frames 12] [--threads N]

Every model at its full size, its weights at random (time does not depend on them): milliseconds per update on the
clip's frames in memory, and the peak of the memory of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch

import lockon
from lockon.boxes import parse_box
from lockon.threads import set_threads
from lockon.track import TrackWriter, follow
from lockon.video import VideoWriter, open_frames, read_ahead

ASSETS = Path(lockon.__file__).parent / "assets"
STAGES = ("decode", "crop", "network", "resolve", "write")


def make_clip(path: Path, width: int, height: int, frames: int) -> tuple[float, float, float, float]:
    """The bundled clip at another size, played forwards and backwards; returns its first box."""
    with open_frames(ASSETS / "clip.mp4") as source:
        images = [cv2.resize(frame.image, (width, height)) for frame in source]
        scale = width / source.size[0]
    order = [*range(len(images)), *range(len(images) - 2, 0, -1)]
    with VideoWriter(path, 30.0) as writer:
        for number in range(frames):
            writer.write(images[order[number % len(order)]], number / 30)
    x, y, w, h = parse_box((ASSETS / "clip.txt").read_text().splitlines()[0])
    return x * scale, y * scale, w * scale, h * scale


def measure(tracker: lockon.Tracker, clip: Path, box: tuple[float, float, float, float], out: Path) -> np.ndarray:
    """(frames, stages) milliseconds."""
    rows = []
    with (
        open_frames(clip) as source,
        TrackWriter(out, "clip", 1, source.fps) as writer,
        read_ahead(source) as frames,
    ):
        for tracked in follow(frames, [box], tracker):
            times = writer.write(tracked)
            rows.append([times[stage] for stage in STAGES])
    return np.array(list(islice(rows, 20, None)))


def table(times: np.ndarray) -> str:
    """Markdown: median and 95th percentile per stage, frames per second, and the share outside the network."""
    lines = ["| stage | median ms | 95 % ms |", "|---|---|---|"]
    for name, column in [*zip(STAGES, times.T, strict=True), ("all", times.sum(1))]:
        lines.append(f"| {name} | {np.median(column):.2f} | {np.percentile(column, 95):.2f} |")
    total = times.sum(1).mean()
    outside = 1 - times[:, STAGES.index("network")].mean() / total
    return "\n".join(lines) + f"\n\n{1000 / total:.1f} frames per second; {outside:.0%} of the time outside the network"


def update_times(name: str, frames: int, threads: int) -> tuple[list[float], float]:
    """Milliseconds per update of a model with random weights, and the peak of this process's memory in MiB."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    tracker = lockon.Tracker(lockon.create_model(name))
    with open_frames(ASSETS / "clip.mp4") as source:
        images = [frame.image for frame in islice(source, frames + 3)]
    tracker.init(images[0], parse_box((ASSETS / "clip.txt").read_text().splitlines()[0]))
    times = []
    for image in images[1:]:
        start = time.perf_counter()
        tracker.update(image)
        times.append(1000 * (time.perf_counter() - start))
    return times[2:], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def every_model(frames: int, threads: int) -> None:
    """A row per model, each measured in a process of its own."""
    print(f"{frames} frames, {os.cpu_count()} cores, {threads} threads, PyTorch {torch.__version__}, cpu\n")
    print("| model | median ms | 95 % ms | peak MiB |\n|---|---|---|---|")
    for name in lockon.list_models():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            times, peak = pool.apply(update_times, (name, frames, threads))
        print(f"| {name} | {np.median(times):.0f} | {np.percentile(times, 95):.0f} | {peak:.0f} |", flush=True)


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracker", default="stark-tiny")
    parser.add_argument("--weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=420)
    parser.add_argument("--threads", type=int, help="threads of the network; by its size if left out")
    parser.add_argument("--every", action="store_true", help="every model, with random weights")
    parser.add_argument("--every-frames", type=int, default=12)
    args = parser.parse_args()
    if args.every:
        every_model(args.every_frames, args.threads or os.cpu_count() or 1)
        return
    tracker = lockon.load(args.tracker, args.weights, args.device)
    set_threads(args.threads, tracker.model)
    width, height = (int(v) for v in args.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "source.mp4"
        box = make_clip(clip, width, height, args.frames)
        times = measure(tracker, clip, box, Path(folder) / "out")
    print(
        f"{args.tracker}, {args.size}, {len(times)} frames, {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}, {args.device}\n"
    )
    print(table(times))


if __name__ == "__main__":
    main()
