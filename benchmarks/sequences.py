"""Success AUC and precision at 20 px on a folder of annotated sequences, beside rivals, in one run.

    python benchmarks/sequences.py SEQUENCES [--tracker NAME[=WEIGHTS] ...] [--rivals FOLDER] [--out TABLE.md]

SEQUENCES has one folder per sequence with ``00000001.jpg`` ... and ``groundtruth.txt`` (x,y,w,h per line, or
nan,nan,nan,nan where the target is absent: such frames are tracked but do not count). Each tracker is started on the
first frame's box and never again (one pass). Beside lockon's trackers: a box that never moves, OpenCV's MIL,
NanoTrackV2 where ``--rivals`` names a folder with its two ONNX files, and CSRT where OpenCV has it:

    pip install --no-deps --target build/contrib opencv-contrib-python-headless
    PYTHONPATH=build/contrib python benchmarks/sequences.py SEQUENCES ...
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.metrics import precision, success_auc
from lockon.evaluation.sequences import Sequence
from rivals import Run, add_options, chosen, per_second, report


def measure(runs: dict[str, Run], sequences: Iterable[Sequence]) -> tuple[list[str], dict[str, list[float]]]:
    """Sequence names, and per tracker a list of AUC, P20 per sequence, followed by seconds and frames."""
    names: list[str] = []
    scores: dict[str, list[float]] = {name: [] for name in runs}
    for sequence in sequences:
        frames, truth = list(sequence.frames()), sequence.boxes
        names.append(sequence.name)
        for name, run in runs.items():
            trace = run(frames, tuple(truth[0].tolist()))
            auc, p20 = success_auc(trace.boxes, truth), precision(trace.boxes, truth)
            scores[name] += [auc, p20, trace.seconds.sum(), float(len(frames))]
    return names, scores


def table(names: list[str], scores: dict[str, list[float]]) -> str:
    """Markdown: a row per sequence, AUC / P20 per tracker, then the means and frames per second."""
    columns = {name: np.array(values).reshape(-1, 4) for name, values in scores.items()}
    lines = ["| sequence | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row, sequence in enumerate(names):
        cells = [f"{c[row, 0]:.3f} / {c[row, 1]:.3f}" for c in columns.values()]
        lines.append(f"| {sequence} | " + " | ".join(cells) + " |")
    means = [f"**{c[:, 0].mean():.3f} / {c[:, 1].mean():.3f}**" for c in columns.values()]
    speed = [per_second(c[:, 3].sum(), c[:, 2].sum(), name) for name, c in columns.items()]
    lines += ["| **mean** | " + " | ".join(means) + " |", "| frames per second | " + " | ".join(speed) + " |"]
    return "\n".join(lines)


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sequences", type=Path)
    add_options(parser)
    args = parser.parse_args()
    sequences = list(open_benchmark("folder", args.sequences))
    tables = table(*measure(chosen(args), sequences))
    report(f"AUC / P20, one pass, {len(sequences)} sequences", tables, args.out)


if __name__ == "__main__":
    main()
