"""What is fuzzed: a healthy input, a way to damage it, a command, and what must hold whatever becomes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import av
import cv2
import numpy as np
import torch
from av.video.stream import VideoStream
from safetensors.torch import save_file

import lockon
from tests import layouts, scenes
from tests.fuzz.child import Child, Ran, command
from tests.fuzz.mutate import damage, misspell, spoil_json

FRAMES = 20
BOX = ",".join(map(str, scenes.picture()[1]))
SECONDS = 60.0  # for one command; an undamaged input takes one or two
MEGABYTES = 1500.0  # that one command may hold, PyTorch with some 500 among them
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=10:min-keyint=10"}
VIDEOS: dict[str, tuple[str, dict[str, str]]] = {
    "clip.mp4": ("libx264", {"g": "10"}),
    "clip.mov": ("libx265", HEVC),
    "clip.mkv": ("libx264", {"g": "10"}),
    "clip.ts": ("libx264", {"g": "10", "bf": "0"}),
    "vp8.webm": ("libvpx", {"g": "10"}),
    "vp9.webm": ("libvpx-vp9", {"g": "10", "deadline": "realtime"}),
    "mjpeg.avi": ("mjpeg", {}),
    "mpeg4.avi": ("mpeg4", {"g": "10"}),
    "clip.flv": ("libx264", {"g": "10", "bf": "0"}),
    "anim.gif": ("gif", {}),
}


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes:
        make: writes a healthy input into a folder.
        spoil: damages it there; says what was changed.
        arguments: of the command that is given it, from that folder.
        judge: what is wrong with its outcome beyond what holds for every command.
    """

    make: Callable[[Path], None]
    spoil: Callable[[Path, Random], str]
    arguments: Callable[[Path], Iterable[object]]
    judge: Callable[[Path, Ran], Iterable[str]] = lambda folder, ran: ()


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def examine(target: Target, folder: Path) -> tuple[Ran, list[str]]:
    """Runs a target's command on the input in ``folder/in``; how it ended, and all that is wrong with that."""
    before = digests(folder / "in")
    ran = Child(command(*target.arguments(folder)), folder).wait(SECONDS)
    faults = list(_common(ran))
    if digests(folder / "in") != before:
        faults.append("the input was changed")
    if not faults:
        faults += target.judge(folder, ran)
    return ran, faults


def _common(ran: Ran) -> Iterable[str]:
    if ran.timed_out:
        yield f"no end within {SECONDS:g} s"
    elif ran.signal:
        yield f"ended by signal {ran.signal}"
    if "Traceback" in ran.err:
        yield "a traceback"
    if not ran.signal and ran.code not in (0, 1):
        yield f"exit code {ran.code}"
    if ran.megabytes > MEGABYTES:
        yield f"{ran.megabytes:.0f} MB of memory"
    told = [line for line in ran.err.splitlines() if line.startswith("lockon: ")]
    if ran.code == 1 and len(told) != 1:
        yield f"{len(told)} lines of error in place of one"
    if ran.code == 0 and told:
        yield "an error with exit code 0"
    if any(ord(c) < 32 and c != "\n" for c in ran.out + ran.err):
        yield "control characters on the terminal"


# videos and pictures


def picture(number: int) -> np.ndarray:
    """A picture of the moving disc with grain, which takes bytes: something to damage."""
    grain = np.random.default_rng(number).integers(-9, 10, (scenes.HEIGHT, scenes.WIDTH, 1))
    return np.clip(scenes.picture(number)[0] + grain, 0, 255).astype(np.uint8)


def write_video(path: Path, codec: str, options: dict[str, str]) -> None:
    """Writes the moving disc by any encoder."""
    with av.open(path, "w") as container:
        stream = cast(VideoStream, container.add_stream(codec, rate=25, options=options))
        stream.width, stream.height = scenes.WIDTH, scenes.HEIGHT
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(codec, "yuv420p")
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            container.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        container.mux(stream.encode(None))


def video(name: str) -> Target:
    """One kind of video file."""
    codec, options = VIDEOS[name]

    def make(folder: Path) -> None:
        write_video(folder / name, codec, options)

    return Target(make, _spoil_bytes, lambda folder: track(f"in/{name}"), judge_track)


def track(source: str) -> tuple[object, ...]:
    """The arguments that track a source."""
    return "track", source, "--box", BOX, "--out", "out", "--no-video", "--threads", 1, "--device", "cpu"


def _spoil_bytes(folder: Path, rng: Random) -> str:
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    path.write_bytes(damage(path.read_bytes(), rng))
    return path.name


def judge_track(folder: Path, ran: Ran) -> Iterable[str]:
    """Whether fewer frames than a plain player shows are told, and results are what they should be."""
    texts, rows = (list((folder / "out").glob(f"*{suffix}")) for suffix in (".txt", ".jsonl"))
    tracked = len(texts[0].read_text().splitlines()) if texts else 0
    for row in rows[0].read_text().splitlines() if rows else ():
        json.loads(row, parse_constant=_no_constant)
    if ran.code == 0 and tracked < FRAMES and not ran.err:
        shown = _player_shows(next((folder / "in").iterdir()), folder / "player")
        if tracked < shown:
            yield f"{tracked} frames without a word, a player shows {shown}"


def _no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


def _player_shows(source: Path, folder: Path) -> int:
    """Frames that OpenCV shows, 0 where it cannot; in a process of its own, for it may not survive."""

    def play() -> None:
        capture, count = cv2.VideoCapture(str(source)), 0
        while count < 2 * FRAMES and capture.read()[0]:
            count += 1
        print(count, flush=True)

    ran = Child(play, folder).wait(SECONDS)
    return int(ran.out or 0) if source.is_file() else 0


def _make_pictures(folder: Path) -> None:
    suffixes = (".jpg", ".png", ".webp", ".tif", ".bmp")
    (folder / "shots").mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / "shots" / f"{number:04d}{suffixes[number % len(suffixes)]}"), picture(number))


def _judge_pictures(folder: Path, ran: Ran) -> Iterable[str]:
    tracked = (
        len((folder / "out" / "shots.txt").read_text().splitlines()) if (folder / "out" / "shots.txt").exists() else 0
    )
    if ran.code == 0 and tracked < FRAMES and not ran.err:
        yield f"{tracked} of {FRAMES} pictures without a word"


# data


def _make_images(folder: Path) -> None:
    scenes.write_folder(folder, scenes.image_set(2))


def _make_clips(folder: Path) -> None:
    scenes.write_folder(folder, scenes.clip_set())


def _spoil_lines(name: str) -> Callable[[Path, Random], str]:
    """Damages one JSON line of an annotation file."""

    def spoil(folder: Path, rng: Random) -> str:
        lines = (folder / name).read_text().split("\n")
        number = rng.randrange(len(lines))
        lines[number] = spoil_json(lines[number], rng)
        (folder / name).write_text("\n".join(lines), errors="backslashreplace")
        return f"line {number + 1} of {name}"

    return spoil


def _spoil_json(name: str) -> Callable[[Path, Random], str]:
    def spoil(folder: Path, rng: Random) -> str:
        (folder / name).write_text(spoil_json((folder / name).read_text(), rng), errors="backslashreplace")
        return name

    return spoil


def _make_coco(folder: Path) -> None:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (folder / "train2017").mkdir()
    (folder / "annotations").mkdir()
    for number in (1, 2):
        image, (x, y, w, h) = scenes.picture(number)
        name = f"{number:012d}.jpg"
        (folder / "train2017" / name).write_bytes(scenes.jpeg(image))
        images.append({"id": number, "file_name": name, "width": scenes.WIDTH, "height": scenes.HEIGHT})
        outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
        common = {"id": number, "image_id": number, "category_id": 1, "iscrowd": 0, "area": w * h}
        annotations.append({**common, "bbox": [x, y, w, h], "segmentation": outline})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "disc"}]}
    (folder / "annotations" / "instances_train2017.json").write_text(json.dumps(content))


def sheet(source: str) -> Callable[[Path], Iterable[object]]:
    """The arguments that draw training pairs of a data set, given as NAME=PATH."""
    return lambda folder: ("train", "stark-tiny", "--data", source, "--out", "out", "--show-pairs", 2)


def _make_benchmark(folder: Path) -> None:
    for name in ("one", "two"):
        layouts.write_folder(folder / name)
    layouts.write(folder / "list.txt", "one\ntwo\n")
    layouts.write(folder / "one" / "absence.label", "0\n1\n0\n")


def _spoil_texts(folder: Path, rng: Random) -> str:
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.suffix in (".txt", ".label")))
    if rng.random() < 0.2:
        path.write_bytes(damage(path.read_bytes(), rng))
    else:
        path.write_text(misspell(path.read_text(), rng))
    return str(path.relative_to(folder))


def evaluate(folder: Path) -> Iterable[object]:
    """The arguments of an evaluation."""
    return "eval", "--tracker", "still", "--benchmark", "folder", "--data", "in", "--out", "out", "--device", "cpu"


def _make_results(folder: Path) -> None:
    _make_benchmark(folder / "data")
    what = ("eval", "--tracker", "still", "--benchmark", "folder")
    ran = Child(command(*what, "--data", "data", "--out", "results"), folder).wait(SECONDS)
    assert ran.code == 0, ran.err
    for name in ("stdout.txt", "stderr.txt"):
        (folder / name).unlink()


def _spoil_results(folder: Path, rng: Random) -> str:
    files = sorted(path for path in (folder / "results").rglob("*") if path.suffix in (".txt", ".json"))
    path = rng.choice(files)
    if path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(spoil_json(path.read_text(), rng), errors="backslashreplace")
    elif rng.random() < 0.3:
        path.write_bytes(damage(path.read_bytes(), rng))
    else:
        path.write_text(misspell(path.read_text(), rng))
    return str(path.relative_to(folder))


def report(folder: Path) -> Iterable[object]:
    """The arguments of a report on results."""
    return "report", "in/results", "--benchmark", "folder", "--data", "in/data", "--out", "out", "--worst", 0


# weights


def _state() -> dict[str, torch.Tensor]:
    return lockon.create_model("stark-tiny", pretrained=True).state_dict()


def _make_safetensors(folder: Path) -> None:
    state = {name: value.contiguous() for name, value in _state().items()}
    save_file(state, folder / "w.safetensors", {"model": "stark-tiny"})


def _make_checkpoint(zipped: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        content = {"net": _state(), "epoch": 3, "optimizer": {"lr": 0.1, "steps": [1, 2, 3]}}
        torch.save(content, folder / "w.pth", _use_new_zipfile_serialization=zipped)

    return make


def _spoil_weights(folder: Path, rng: Random) -> str:
    """Damages the beginning, where the structure is, more often than the numbers behind it."""
    path = next(folder.iterdir())
    data = path.read_bytes()
    head = min(len(data), rng.choice((64, 4096, 40_000, len(data))))
    if rng.random() < 0.3:  # a zip archive has its structure at its end
        path.write_bytes(data[:-head] + damage(data[-head:], rng))
    else:
        path.write_bytes(damage(data[:head], rng) + data[head:])
    return f"{path.name}, {head} bytes"


def convert(folder: Path) -> Iterable[object]:
    """The arguments that convert the weights."""
    return "convert", next((folder / "in").iterdir()), "--tracker", "stark-tiny", "--out", "out.safetensors"


TARGETS: dict[str, Target] = {
    **{name: video(name) for name in VIDEOS},
    "pictures": Target(_make_pictures, _spoil_bytes, lambda folder: track("in/shots"), _judge_pictures),
    "images": Target(_make_images, _spoil_lines("annotations.jsonl"), sheet("images=in")),
    "clips": Target(_make_clips, _spoil_lines("annotations.jsonl"), sheet("clips=in")),
    "coco": Target(_make_coco, _spoil_json("annotations/instances_train2017.json"), sheet("coco=in")),
    "benchmark": Target(_make_benchmark, _spoil_texts, evaluate),
    "results": Target(_make_results, _spoil_results, report),
    "safetensors": Target(_make_safetensors, _spoil_weights, convert),
    "checkpoint": Target(_make_checkpoint(True), _spoil_weights, convert),
    "old checkpoint": Target(_make_checkpoint(False), _spoil_weights, convert),
}
