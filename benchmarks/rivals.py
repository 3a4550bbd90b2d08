"""What the tracking benchmarks share: lockon's trackers and their rivals behind one call, and the command's options."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

import lockon
from lockon.boxes import Box
from lockon.evaluation.runner import one_pass
from lockon.evaluation.sequences import Trace
from lockon.evaluation.trackers import Entrant, open_tracker

Run = Callable[[list[np.ndarray], Box], Trace]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which trackers to run, and where the tables go."""
    parser.add_argument(
        "--tracker", action="append", help="as in `lockon eval`; may be given several times (all shipped ones)"
    )
    parser.add_argument("--rivals", type=Path, help="folder with NanoTrackV2's two ONNX files")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the tables here")


def chosen(args: argparse.Namespace) -> dict[str, Run]:
    """The trackers that the options ask for, by their names in the tables."""
    texts = list(args.tracker or lockon.list_models(shipped=True))
    if not args.only_ours:
        texts += ["still", "opencv-mil"]
        texts += ["opencv-csrt"] if hasattr(cv2, "TrackerCSRT_create") else []  # in opencv-contrib alone
        texts += [f"opencv-nano={args.rivals}"] if args.rivals is not None else []
    entrants = [open_tracker(text) for text in texts]
    return {entrant.name: timed(entrant) for entrant in entrants}


def timed(entrant: Entrant) -> Run:
    """A tracker, to be called with frames and the first box."""
    return lambda frames, box: one_pass(entrant.steps, frames, box, len(frames))


def report(what: str, tables: str, out: Path | None) -> None:
    """Prints tables under a line that says what was measured with which versions, and writes both where asked."""
    text = f"{what}; PyTorch {torch.__version__}, OpenCV {cv2.__version__}, {torch.get_num_threads()} threads, "
    text += f"{platform.processor() or platform.machine()}\n\n{tables}"
    print(text)
    if out is not None:
        out.write_text(text + "\n")


def per_second(frames: float, seconds: float, name: str) -> str:
    """Frames per second as a cell of a table."""
    return "-" if name == "still" else f"{frames / seconds:.0f}"
