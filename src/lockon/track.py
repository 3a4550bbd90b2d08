"""A whole video: frames in, results out, and the files that users get."""

from __future__ import annotations

import io
import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TextIO

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.drawing import draw_results
from lockon.errors import OutputError, masked, printable
from lockon.files import Outputs, made_by_another, why
from lockon.registry import DEFAULT, load
from lockon.threads import check_threads, set_threads
from lockon.tracker import Boxes, Result, Tracker
from lockon.video import Frame, VideoWriter, open_frames, read_ahead
from lockon.video.writer import video_size


class Tracked(NamedTuple):
    """One frame with its results, one per target, and the milliseconds spent on it by stage: "decode", "crop",
    "network", "resolve"."""

    frame: Frame
    results: list[Result]
    times: dict[str, float]


def track(
    source: str | Path | int,
    box: Boxes,
    tracker: str | Tracker = DEFAULT,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    benchmark: str | None = None,
    start: int = 0,
    end: int | None = None,
    levels: tuple[float, float] | None = None,
) -> Iterator[Result | list[Result]]:
    """Follows one or several targets through a video.

    Args:
        source: a video file, a folder or glob of images, a camera index, or a stream address.
        box: x, y, w, h in pixels of the first frame, or a list of them.
        tracker: a model's name, or a tracker made by ``lockon.load``.
        weights, device, benchmark: as in ``lockon.load``.
        start, end: first frame, and the frame to stop before.
        levels: grey values that become black and white, for pictures of more than 8 bits.

    Yields:
        A result per frame, from the first (the given box) on; lists where several boxes were given. Its ``fault`` says
        why the frame may not show what was recorded.

    Raises:
        LockonError: a source, box, model or device that cannot be used. A video that breaks off raises after the
            results of the frames before the fault.

    Example:
        >>> for result in lockon.track("clip.mp4", (120, 80, 64, 48)):
        ...     print(result.box, result.score, result.found)
    """
    engine = load(tracker, weights, device, benchmark) if isinstance(tracker, str) else tracker
    with open_frames(source, start, end, levels) as opened, read_ahead(opened) as frames:
        first = next(frames)
        yield _with_fault(engine.init(first.image, box), first.fault)
        for frame in frames:
            yield _with_fault(engine.update(frame.image), frame.fault)


def _with_fault(found: Result | list[Result], fault: str) -> Result | list[Result]:
    if not fault:
        return found
    return [replace(r, fault=fault) for r in found] if isinstance(found, list) else replace(found, fault=fault)


def follow(frames: Iterable[Frame], boxes: Sequence[Box], tracker: Tracker) -> Iterator[Tracked]:
    """Frames, and boxes in the first of them, to results with the time each stage took."""
    rest = iter(frames)
    first = True
    while True:
        start = time.perf_counter()
        frame = next(rest, None)
        if frame is None:
            return
        decode = 1000 * (time.perf_counter() - start)
        found = tracker.init(frame.image, boxes) if first else tracker.update(frame.image)
        first = False
        results = found if isinstance(found, list) else [found]
        yield Tracked(frame, results, {"decode": decode, **results[0].times})


def load_tracker(
    name: str, weights: Path | None, device: str, threads: int | None, benchmark: str | None = None
) -> Tracker:
    """A tracker (``registry.load``), and PyTorch's threads: as many as asked for, or as usual (``threads``)."""
    wanted = None if threads is None else check_threads(threads)
    tracker = load(name, weights, device, benchmark)
    if tracker.device.type == "cpu":
        set_threads(wanted, tracker.model)
    return tracker


NAME_BYTES = 200  # of a file's name, before its suffix: file systems take 255 in all


def output_name(name: str) -> str:
    """Turns a source's name into one that a file may have: no separators, nothing hidden or secret, not too long."""
    plain = printable(masked(name)).replace("/", "-").replace("\\", "-").lstrip(".").strip()
    short = plain.encode(errors="replace")[:NAME_BYTES].decode(errors="ignore")
    return short or "frames"


class TrackWriter:
    """The files of one track, complete up to the last frame written, however the run ends.

    - ``NAME.mp4`` shows the boxes and masks, unless ``video`` is false.
    - ``NAME.txt`` has one ``x,y,w,h`` line per frame; several targets have ``NAME-1.txt``, ``NAME-2.txt``, ...
    - ``NAME.jsonl`` has one line per frame and target: box, score, found, polygon where there is one, fault where the
      source told one, and milliseconds by stage.
    - The folder ``NAME`` has every drawn frame as a JPEG, if ``images`` is true.

    Frames too large for a video are drawn smaller (``video.writer.video_size``).

    Nothing is written over but what an earlier run with the same ``maker`` made (``files.Outputs``). Where another one
    made files of that name they are called ``NAME_2``, ``NAME_3``, ...

    Args:
        out: the folder, made if need be.
        name: what the files are called.
        targets: how many there are.
        fps: nominal rate of the video.
        images: write every drawn frame.
        video: write the video.
        maker: what makes the files, such as ``"track /videos/clip.mp4"``.
        inputs: files that must not be written over.
        pixel_aspect: width of the frames' pixels over their height.

    Raises:
        OutputError: the folder or a file cannot be written, a file is in the way, or another run writes the same.
    """

    def __init__(
        self,
        out: Path,
        name: str,
        targets: int,
        fps: float,
        images: bool = False,
        video: bool = True,
        *,
        maker: str = "track",
        inputs: Iterable[str | Path] = (),
        pixel_aspect: Fraction = Fraction(1),
    ) -> None:
        maker = masked(printable(maker))
        name = _free_name(out, output_name(name), maker)
        texts = [f"{name}.txt"] if targets == 1 else [f"{name}-{n + 1}.txt" for n in range(targets)]
        videos = [f"{name}.mp4"] if video else []
        files = [*videos, *texts, f"{name}.jsonl"]
        self.paths = [out / file for file in files]
        self.folder = out / name if images else None
        with ExitStack() as opened:
            outputs = opened.enter_context(Outputs(out, name, maker, files, inputs))
            if self.folder is not None:
                _claim_folder(self.folder)
            self.files = [opened.enter_context(_text(outputs, file)) for file in files[len(videos) :]]
            self.video = None
            if video:
                outputs.create(files[0]).close()
                self.video = opened.enter_context(VideoWriter(self.paths[0], fps, pixel_aspect))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        # closes the video, then the texts, then gives the names free; an error of the block outranks one of closing
        with suppress(*([OutputError] if kind else [])):
            self._opened.close()

    def write(self, tracked: Tracked) -> dict[str, float]:
        """Adds a frame; returns its times with "write" among them."""
        start = time.perf_counter()
        self._write_texts(tracked)
        self._write_pictures(tracked)
        times = tracked.times | {"write": 1000 * (time.perf_counter() - start)}
        self._write_json(tracked, times)
        return times

    def _write_pictures(self, tracked: Tracked) -> None:
        if self.video is None and self.folder is None:
            return
        image = tracked.frame.image
        size = video_size(image.shape[1], image.shape[0])
        drawn = draw_results(image, tracked.results, size)
        if self.video is not None:
            self.video.write(drawn, tracked.frame.time)
        if self.folder is not None:
            _write_image(drawn, self.folder / f"{tracked.frame.index:08d}.jpg")

    def _write_texts(self, tracked: Tracked) -> None:
        for file, result in zip(self.files[:-1], tracked.results, strict=True):
            _write_line(file, ",".join(f"{v:.2f}" for v in result.box))

    def _write_json(self, tracked: Tracked, times: dict[str, float]) -> None:
        for number, result in enumerate(tracked.results):
            row: dict[str, Any] = {"frame": tracked.frame.index, "time": round(tracked.frame.time, 4)}
            row |= {"target": number + 1, "box": [round(v, 2) for v in result.box]}
            row |= {"score": round(result.score, 4) if math.isfinite(result.score) else None, "found": result.found}
            if result.polygon is not None:
                row["polygon"] = [[round(v, 2) for v in corner] for corner in result.polygon]
            if tracked.frame.fault:
                row["fault"] = tracked.frame.fault
            row |= {"ms": {stage: round(ms, 2) for stage, ms in times.items()}}
            _write_line(self.files[-1], json.dumps(row, allow_nan=False))


def _free_name(out: Path, name: str, maker: str) -> str:
    """Gives the name, or one with a number behind it where another source's results are called so."""
    names = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(each for each in names if not made_by_another(out, each, maker))


def _claim_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(f"{folder}: is there already and holds files; move it away or give another --out")
    except OSError as error:
        raise OutputError(f"{folder}: cannot write frames here: {why(error)}") from None


class _Lines(io.TextIOWrapper):
    """A text whose whole lines reach the disk as they are written, and whose last one may be lost to a full disk."""

    def __exit__(self, *_: Any) -> None:
        with suppress(OSError):
            self.close()


def _text(outputs: Outputs, file: str) -> _Lines:
    return _Lines(outputs.create(file), encoding="utf-8", newline="\n", line_buffering=True)


def _write_line(file: TextIO, text: str) -> None:
    try:
        file.write(text + "\n")
    except OSError as error:
        raise OutputError(f"{file.name}: cannot write results: {why(error)}") from None


def _write_image(image: np.ndarray, path: Path) -> None:
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    try:
        with path.open("xb") as file:
            file.write(data.tobytes())
    except OSError as error:
        raise OutputError(f"{path}: cannot write this frame: {why(error)}") from None
