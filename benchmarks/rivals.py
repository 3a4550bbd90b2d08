"""What the tracking benchmarks share: lockon's trackers and their rivals behind one call, and the command's options."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import lockon
from lockon.evaluation.metrics import Array


@dataclass(frozen=True)
class Trace:
    """What a tracker said of each of T frames.

    Attributes:
        boxes: (T, 4) x, y, w, h in pixels; row 0 is the given box.
        scores: (T,) how sure it was; NaN where it does not say.
        found: (T,) whether it took the target to be in view; true where it does not say.
        seconds: that all frames took together.
    """

    boxes: Array
    scores: Array
    found: NDArray[np.bool_]
    seconds: float


Row = tuple[Sequence[float], float, bool]  # box, score, found
Track = Callable[[list[np.ndarray], tuple[float, ...]], list[Row]]  # frames and the first box to a row per frame
Run = Callable[[list[np.ndarray], tuple[float, ...]], Trace]
STILL = "still box"


def timed(track: Track) -> Run:
    """A tracker that is timed."""

    def run(frames: list[np.ndarray], box: tuple[float, ...]) -> Trace:
        start = time.perf_counter()
        boxes, scores, found = zip(*track(frames, box), strict=True)
        seconds = time.perf_counter() - start
        return Trace(np.array(boxes, float), np.array(scores, float), np.array(found, bool), seconds)

    return run


def still(frames: list[np.ndarray], box: tuple[float, ...]) -> list[Row]:
    """The first box, in every frame."""
    return [(box, np.nan, True)] * len(frames)


def opencv(make: Callable[[], Any], scored: bool = False) -> Track:
    """One of OpenCV's trackers, which may have a score; a lost target keeps its last box. (MIL draws from a generator
    that nothing resets: what it does to one video depends on those before.)"""

    def track(frames: list[np.ndarray], box: tuple[float, ...]) -> list[Row]:
        tracker = make()
        x, y, w, h = (round(v) for v in box)
        tracker.init(frames[0][..., ::-1].copy(), (x, y, w, h))
        rows: list[Row] = [(box, np.nan, True)]
        for frame in frames[1:]:
            found, new = tracker.update(frame[..., ::-1].copy())
            score = tracker.getTrackingScore() if scored else np.nan
            rows.append((new if found else rows[-1][0], score, found))
        return rows

    return track


def ours(name: str, weights: str | None) -> Track:
    """One of lockon's trackers."""
    tracker = lockon.load(name, weights)

    def track(frames: list[np.ndarray], box: tuple[float, ...]) -> list[Row]:
        results = [tracker.init(frames[0], box), *(tracker.update(frame) for frame in frames[1:])]
        return [(r.box, r.score, r.found) for r in results if isinstance(r, lockon.Result)]

    return track


def nano(folder: Path) -> Track:
    """NanoTrackV2 through OpenCV."""
    params = cv2.TrackerNano_Params()  # type: ignore[attr-defined]  # missing in the stubs of 5.0
    params.backbone = str(folder / "nanotrack_backbone_sim.onnx")
    params.neckhead = str(folder / "nanotrack_head_sim.onnx")
    return opencv(lambda: cv2.TrackerNano_create(params), scored=True)  # type: ignore[attr-defined]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which trackers to run, and where the tables go."""
    parser.add_argument(
        "--tracker", action="append", help="NAME or NAME=WEIGHTS; may be given several times (all shipped ones)"
    )
    parser.add_argument("--rivals", type=Path, help="folder with NanoTrackV2's two ONNX files")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the tables here")


def chosen(args: argparse.Namespace) -> dict[str, Run]:
    """The trackers that the options ask for, by their names in the tables."""
    tracks = {}
    for text in args.tracker or lockon.list_models(shipped=True):
        name, _, weights = text.partition("=")
        label = f"{name} ({Path(weights).parent.name})" if weights else name
        tracks[label] = ours(name, weights or None)
    if not args.only_ours:
        tracks |= {STILL: still, "OpenCV MIL": opencv(cv2.TrackerMIL_create)}  # type: ignore[attr-defined]
        if hasattr(cv2, "TrackerCSRT_create"):  # in opencv-contrib alone
            tracks["OpenCV CSRT"] = opencv(cv2.TrackerCSRT_create)
        if args.rivals is not None:
            tracks["NanoTrackV2"] = nano(args.rivals)
    return {name: timed(track) for name, track in tracks.items()}


def report(what: str, tables: str, out: Path | None) -> None:
    """Prints tables under a line that says what was measured with which versions, and writes both where asked."""
    text = f"{what}; PyTorch {torch.__version__}, OpenCV {cv2.__version__}, {torch.get_num_threads()} threads, "
    text += f"{platform.processor() or platform.machine()}\n\n{tables}"
    print(text)
    if out is not None:
        out.write_text(text + "\n")


def per_second(frames: float, seconds: float, name: str) -> str:
    """Frames per second as a cell of a table."""
    return "-" if name == STILL else f"{frames / seconds:.0f}"
