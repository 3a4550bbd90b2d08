"""Success AUC and precision at 20 px on a folder of annotated sequences, beside rivals, in one run.

    python benchmarks/sequences.py SEQUENCES [--tracker stark-tiny[=WEIGHTS] ...] [--rivals FOLDER] [--out TABLE.md]

SEQUENCES has one folder per sequence with ``00000001.jpg`` ... and ``groundtruth.txt`` (x,y,w,h per line). Each
tracker is started on the first frame's box and never again (one pass). Beside lockon's trackers: a box that never
moves, OpenCV's MIL, and NanoTrackV2 where ``--rivals`` names a folder with its two ONNX files.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch

import lockon
from lockon.data.sources import decode
from lockon.evaluation.metrics import Array, precision, success_auc

Run = Callable[[list[np.ndarray], tuple[float, ...]], Array]


def still(frames: list[np.ndarray], box: tuple[float, ...]) -> Array:
    """The first box, in every frame."""
    return np.tile(np.array(box), (len(frames), 1))


def opencv(make: Callable[[], cv2.Tracker]) -> Run:
    """One of OpenCV's trackers; a lost target keeps its last box."""

    def run(frames: list[np.ndarray], box: tuple[float, ...]) -> Array:
        tracker = make()
        x, y, w, h = (round(v) for v in box)
        tracker.init(frames[0][..., ::-1].copy(), (x, y, w, h))
        boxes = [np.array(box)]
        for frame in frames[1:]:
            found, new = tracker.update(frame[..., ::-1].copy())
            boxes.append(np.array(new, float) if found else boxes[-1])
        return np.array(boxes)

    return run


def ours(name: str, weights: str | None) -> Run:
    """One of lockon's trackers."""
    tracker = lockon.load(name, weights)

    def run(frames: list[np.ndarray], box: tuple[float, ...]) -> Array:
        results = [tracker.init(frames[0], box), *(tracker.update(frame) for frame in frames[1:])]
        return np.array([r.box for r in results if isinstance(r, lockon.Result)])

    return run


def nano(folder: Path) -> Run:
    """NanoTrackV2 through OpenCV."""
    params = cv2.TrackerNano_Params()  # type: ignore[attr-defined]  # missing in the stubs of 5.0
    params.backbone = str(folder / "nanotrack_backbone_sim.onnx")
    params.neckhead = str(folder / "nanotrack_head_sim.onnx")
    return opencv(lambda: cv2.TrackerNano_create(params))  # type: ignore[attr-defined]


def read_sequence(folder: Path) -> tuple[list[np.ndarray], Array]:
    """RGB frames and their boxes."""
    files = sorted(folder.glob("*.jpg"))
    frames = [decode(f.read_bytes()) for f in files]
    return frames, np.loadtxt(folder / "groundtruth.txt", delimiter=",", ndmin=2)


def measure(runs: dict[str, Run], folders: Iterable[Path]) -> tuple[list[str], dict[str, list[float]]]:
    """Sequence names, and per tracker a list of AUC, P20 per sequence, followed by seconds and frames."""
    names: list[str] = []
    scores: dict[str, list[float]] = {name: [] for name in runs}
    for folder in folders:
        frames, truth = read_sequence(folder)
        names.append(folder.name)
        for name, run in runs.items():
            start = time.perf_counter()
            boxes = run(frames, tuple(truth[0]))
            seconds = time.perf_counter() - start
            scores[name] += [success_auc(boxes, truth), precision(boxes, truth), seconds, float(len(frames))]
    return names, scores


def table(names: list[str], scores: dict[str, list[float]]) -> str:
    """Markdown: a row per sequence, AUC / P20 per tracker, then the means and frames per second."""
    columns = {name: np.array(values).reshape(-1, 4) for name, values in scores.items()}
    lines = ["| sequence | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row, sequence in enumerate(names):
        cells = [f"{c[row, 0]:.3f} / {c[row, 1]:.3f}" for c in columns.values()]
        lines.append(f"| {sequence} | " + " | ".join(cells) + " |")
    means = [f"**{c[:, 0].mean():.3f} / {c[:, 1].mean():.3f}**" for c in columns.values()]
    speed = [f"{c[:, 3].sum() / max(c[:, 2].sum(), 1e-9):.0f}" if n != "still box" else "-" for n, c in columns.items()]
    lines += ["| **mean** | " + " | ".join(means) + " |", "| frames per second | " + " | ".join(speed) + " |"]
    return "\n".join(lines)


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", type=Path)
    parser.add_argument("--tracker", action="append", help="NAME or NAME=WEIGHTS; may be given several times")
    parser.add_argument("--rivals", type=Path, help="folder with NanoTrackV2's two ONNX files")
    parser.add_argument("--only-ours", action="store_true")
    parser.add_argument("--out", type=Path, help="also write the table here")
    args = parser.parse_args()
    runs: dict[str, Run] = {}
    for text in args.tracker or ["stark-tiny"]:
        name, _, weights = text.partition("=")
        label = f"{name} ({Path(weights).parent.name})" if weights else name
        runs[label] = ours(name, weights or None)
    if not args.only_ours:
        runs |= {"still box": still, "OpenCV MIL": opencv(cv2.TrackerMIL_create)}  # type: ignore[attr-defined]
        if args.rivals is not None:
            runs["NanoTrackV2"] = nano(args.rivals)
    folders = sorted(p.parent for p in args.sequences.glob("*/groundtruth.txt"))
    text = table(*measure(runs, folders))
    head = f"AUC / P20, one pass, {len(folders)} sequences; PyTorch {torch.__version__}, "
    head += f"OpenCV {cv2.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    print(f"{head}\n\n{text}")
    if args.out is not None:
        args.out.write_text(f"{head}\n\n{text}\n")


if __name__ == "__main__":
    main()
