"""Kills at random moments: what is left is whole, and the same command again comes to the same results."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import av

from tests import layouts, scenes
from tests.fuzz.child import Child, command
from tests.fuzz.targets import BOX, SECONDS, digests

Results = dict[str, object]


@dataclass(frozen=True)
class Kill:
    """A command that is killed.

    Attributes:
        make: writes what it needs into a folder.
        first, again: its arguments, and those that go on, from that folder.
        results: what must come out equal.
        check: what is wrong with what a kill leaves.
        alone: the processes that it has started are left alive.
    """

    make: Callable[[Path], None]
    first: tuple[object, ...]
    again: tuple[object, ...]
    results: Callable[[Path], Results]
    check: Callable[[Path], Iterable[str]] = lambda folder: ()
    alone: bool = False


def kill_and_repeat(name: str, count: int, random: Random, place: Path) -> list[str]:
    """Kills a command so many times at moments from its start to its end; what was not survived."""
    kill = KILLS[name]
    (place / "data").mkdir(parents=True)
    assert Child(lambda: kill.make(place / "data"), place / "making").wait(SECONDS).code == 0
    begin = time.monotonic()
    ran = Child(command(*kill.first), _fresh(place)).wait(SECONDS)
    lasted = time.monotonic() - begin
    assert ran.code == 0, ran.err
    expected = kill.results(place / "run")
    faults = []
    for number in range(count):
        folder = _fresh(place)
        moment = random.random() * lasted
        child = Child(command(*kill.first), folder)
        time.sleep(moment)
        child.kill(kill.alone)
        child.wait(SECONDS)
        told = f"kill {number} after {moment:.3f} of {lasted:.3f} s"
        faults += [f"{told}: {fault}" for fault in kill.check(folder)]
        ran = Child(command(*kill.again), folder).wait(SECONDS)
        if ran.code != 0:
            faults.append(f"{told}: exit code {ran.code}: {ran.err[-300:]}")
        elif kill.results(folder) != expected:
            faults.append(f"{told}: other results")
    return faults


def _fresh(place: Path) -> Path:
    folder = place / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "in").symlink_to(place / "data")
    return folder


# track

FRAMES = 75
TRACK = ("track", "in/clip.mp4", "--box", BOX, "--out", "out", "--threads", 1, "--device", "cpu")


def _make_video(folder: Path) -> None:
    scenes.video(folder / "clip.mp4", FRAMES)


def _tracked(folder: Path) -> Results:
    rows = [json.loads(row) for row in (folder / "out" / "clip.jsonl").read_text().splitlines()]
    told = [{key: value for key, value in row.items() if key != "ms"} for row in rows]
    return {"boxes": (folder / "out" / "clip.txt").read_text(), "rows": told, "shown": _shown(folder)}


def _shown(folder: Path) -> int:
    """Frames of the drawn video that play."""
    path, count = folder / "out" / "clip.mp4", 0
    if not path.exists() or not path.stat().st_size:
        return 0
    try:
        with av.open(path) as container:
            for _ in container.decode(video=0):
                count += 1
    except (av.FFmpegError, IndexError):
        return count
    return count


def _plays(folder: Path) -> Iterable[str]:
    """Whether the drawn video plays up to a second before the last box that was written."""
    text = folder / "out" / "clip.txt"
    tracked = text.read_text().count("\n") if text.exists() else 0
    shown = _shown(folder)
    if shown < tracked - 25:
        yield f"{tracked} frames were tracked, {shown} play"


# eval

EVAL = ("eval", "--tracker", "stark-tiny", "--benchmark", "folder", "--data", "in", "--out", "out", "--device", "cpu")


def _make_sequences(folder: Path) -> None:
    for name in ("one", "two", "three"):
        boxes = scenes.write_frames(folder / name, "{:08d}.jpg", range(1, 13))
        layouts.write(folder / name / "groundtruth.txt", scenes.box_lines(boxes))


def _evaluated(folder: Path) -> Results:
    results = folder / "out" / "folder" / "stark-tiny"
    return {path.name: path.read_text() for path in sorted([*results.glob("*.txt"), *results.glob("scores/*.txt")])}


# train

SHORT = ("pairs=24", "batch=4", "workers=0", "precision=float32", "save_every=2", "log_every=2", "optimizer.warmup=2")
TRAIN = (
    *("train", "stark-tiny", "--data", "images=in", "--out", "out", "--device", "cpu", "--resume"),
    *(word for field in SHORT for word in ("--set", field)),
)


def _make_images(folder: Path) -> None:
    scenes.write_folder(folder, scenes.image_set())


def _trained(folder: Path) -> Results:
    rows = [line.split(",") for line in (folder / "out" / "log.csv").read_text().splitlines()]
    slow = rows[0].index("speed")
    untimed = [[*row[:slow], *row[slow + 1 :]] for row in rows]
    return {"weights": digests(folder / "out")["weights.safetensors"], "log": untimed}


KILLS: dict[str, Kill] = {
    "kill track": Kill(_make_video, TRACK, TRACK, _tracked, _plays),
    "kill eval": Kill(_make_sequences, EVAL, EVAL, _evaluated),
    "kill eval with workers": Kill(_make_sequences, (*EVAL, "--workers", 2), EVAL, _evaluated),
    "kill eval, workers live on": Kill(_make_sequences, (*EVAL, "--workers", 2), EVAL, _evaluated, alone=True),
    "kill train": Kill(_make_images, TRAIN, TRAIN, _trained),
}
