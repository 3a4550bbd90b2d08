"""Success, precision, and true and false alarms on made-up crowded video, beside rivals, in one run.

    python benchmarks/crowds.py --data 'images=data/images_*.tar' [--tracker NAME[=WEIGHTS] ...]
        [--rivals FOLDER] [--kinds crowd,leave] [--each 5] [--seed 0] [--save FOLDER] [--out TABLES.md]

``rendering.py`` says what the videos are; each is computed anew from its seed, so the same command with the same data
shows every tracker the same frames. The pictures that targets, neighbours and grounds are cut from are those that the
tiny trackers train on; how they are put together, their motion and their neighbours are not. So compare trackers that
were trained on the same pictures, and take the level from real sequences.

``--save`` also writes the videos as a folder of sequences for ``lockon eval``, and for looking at.

The first table has success AUC / precision at 20 px per kind, over the frames that show the target. The second:

- false found: of the frames without the target, the share in which the tracker says ``found``;
- missed: of the frames with the box on the target (IoU > 0.5), the share in which it does not;
- wandered: of the stretches of 5 frames or more without the target, the share in which the box lay on another object;
- returned: of the target's returns after these, the share in which the tracker has it again within 20 frames: ``found``
  and the box on it;
- error: the mean of false found and missed;
- best threshold: the ``found_above`` at which the scores of this run would have had the least error, and that error.
"""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

import lockon
from lockon.boxes import Box
from lockon.data.sources import decode
from lockon.evaluation.metrics import overlap, precision, present, success_auc
from lockon.evaluation.runner import one_pass
from lockon.evaluation.sequences import Trace
from lockon.evaluation.trackers import Entrant, open_tracker
from lockon.training.recipe import parse_data
from rendering import KINDS, Video, make_video, read_pictures

Run = Callable[[list[np.ndarray], Box], Trace]
ON = 0.5  # a box with a higher IoU is on an object
SHORTEST, PATIENCE = 5, 20  # frames of an absence that counts, and to find the target again in


@dataclass
class Tally:
    """What one tracker did, collected over videos.

    Attributes:
        success, precise: per kind, a score per video.
        frames, seconds: of all videos.
        found, scores: of frames without the target ("absent") and of frames with the box on it ("on").
        wandered, returned: one per stretch without the target, one per return.
    """

    success: dict[str, list[float]] = field(default_factory=dict)
    precise: dict[str, list[float]] = field(default_factory=dict)
    frames: int = 0
    seconds: float = 0.0
    found: dict[str, list[bool]] = field(default_factory=lambda: {"absent": [], "on": []})
    scores: dict[str, list[float]] = field(default_factory=lambda: {"absent": [], "on": []})
    wandered: list[bool] = field(default_factory=list)
    returned: list[bool] = field(default_factory=list)

    def add(self, kind: str, trace: Trace, video: Video) -> None:
        """Counts a tracked video."""
        truth = video.boxes[0]
        self.success.setdefault(kind, []).append(success_auc(trace.boxes, truth))
        self.precise.setdefault(kind, []).append(precision(trace.boxes, truth))
        self.frames += len(truth)
        self.seconds += float(trace.seconds.sum())
        absent, on = ~present(truth), overlap(trace.boxes, truth) > ON
        on[0] = False  # the first frame was given
        for name, which in (("absent", absent), ("on", on)):
            self.found[name] += trace.found[which].tolist()
            self.scores[name] += trace.scores[which].tolist()
        elsewhere = np.any([overlap(trace.boxes, other) > ON for other in video.boxes[1:]], axis=0)
        for first, end in stretches(absent):
            self.wandered.append(bool(elsewhere[first:end].any()))
            if end < len(truth):
                again = on & trace.found
                self.returned.append(bool(again[end : end + PATIENCE].any()))

    def alarms(self) -> list[float]:
        """Shares: false found, missed, their mean, wandered, returned; NaN of nothing."""
        false, missed = share(self.found["absent"]), 1 - share(self.found["on"])
        return [false, missed, (false + missed) / 2, share(self.wandered), share(self.returned)]

    def best(self) -> tuple[float, float]:
        """The threshold over the score with the least error, and that error; NaN where scores are missing."""
        absent, on = (np.array(self.scores[name]) for name in ("absent", "on"))
        if not (len(absent) and len(on)) or np.isnan(absent).any():
            return math.nan, math.nan
        values = np.unique(np.concatenate([absent, on]))
        thresholds = np.concatenate([(values[1:] + values[:-1]) / 2, values[-1:]])
        errors = [((absent > t).mean() + (on <= t).mean()) / 2 for t in thresholds]
        return float(thresholds[np.argmin(errors)]), float(min(errors))


def share(values: Sequence[bool]) -> float:
    """How many are true, 0 to 1; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


def stretches(absent: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First frame and end of the runs of ``SHORTEST`` frames or more in which something is true."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], absent, [False]])))
    return ((int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= SHORTEST)


def measure(runs: dict[str, Run], videos: Iterator[tuple[str, Video]]) -> dict[str, Tally]:
    """Runs every tracker on every video (kind and video)."""
    tallies = {name: Tally() for name in runs}
    for kind, video in videos:
        frames = [decode(frame) for frame in video.frames]
        for name, run in runs.items():
            tallies[name].add(kind, run(frames, tuple(video.boxes[0, 0].tolist())), video)
    return tallies


def scores_table(tallies: dict[str, Tally]) -> str:
    """Markdown: AUC / P20 per kind and tracker, their means over kinds, frames per second."""
    kinds = list(next(iter(tallies.values())).success)
    lines = ["| kind | " + " | ".join(tallies) + " |", "|---|" + "---|" * len(tallies)]
    for kind in kinds:
        cells = [f"{np.mean(t.success[kind]):.3f} / {np.mean(t.precise[kind]):.3f}" for t in tallies.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    means = [[np.mean([np.mean(part[k]) for k in kinds]) for part in (t.success, t.precise)] for t in tallies.values()]
    lines.append("| **mean** | " + " | ".join(f"**{auc:.3f} / {p20:.3f}**" for auc, p20 in means) + " |")
    speed = [per_second(t.frames, t.seconds, name) for name, t in tallies.items()]
    return "\n".join([*lines, "| frames per second | " + " | ".join(speed) + " |"])


def alarms_table(tallies: dict[str, Tally]) -> str:
    """Markdown: a row per tracker."""
    any_of = next(iter(tallies.values()))
    lines = [
        f"{len(any_of.found['absent'])} frames in {len(any_of.wandered)} stretches without the target, "
        f"{len(any_of.returned)} returns\n",
        "| tracker | false found | missed | error | wandered | returned | best threshold: error |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, t in tallies.items():
        threshold, least = t.best()
        cells = ["-" if math.isnan(value) else f"{value:.1%}" for value in t.alarms()]
        cells.append("-" if math.isnan(threshold) else f"{threshold:.3f}: {least:.1%}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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


def main() -> None:
    """Parses, renders, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, help="images=PATH of a tar, folder or glob")
    parser.add_argument("--kinds", default=",".join(KINDS[:5]), help=f"some of {', '.join(KINDS)}")
    parser.add_argument("--each", type=int, default=5, help="videos per kind")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other videos")
    parser.add_argument("--save", type=Path, help="also write the videos here")
    add_options(parser)
    args = parser.parse_args()
    pictures, kinds = read_pictures(parse_data(args.data).get("images", [])), args.kinds.split(",")

    def videos() -> Iterator[tuple[str, Video]]:
        for kind in kinds:
            for number in range(args.each):
                video = make_video(kind, number, pictures, args.seed)
                if args.save is not None:
                    video.save(args.save)
                yield kind, video

    tallies = measure(chosen(args), videos())
    what = f"AUC / P20, one pass, {args.each} videos of each kind, seed {args.seed}"
    report(what, f"{scores_table(tallies)}\n\n{alarms_table(tallies)}", args.out)


if __name__ == "__main__":
    main()
