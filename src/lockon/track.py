"""A whole video: frames in, results out, and the files that users get."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TextIO

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.drawing import draw_results
from lockon.errors import OutputError
from lockon.registry import DEFAULT, load
from lockon.threads import check_threads, set_threads
from lockon.tracker import Boxes, Result, Tracker
from lockon.video import Frame, VideoWriter, open_frames, read_ahead


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
) -> Iterator[Result | list[Result]]:
    """Follows one or several targets through a video.

    Args:
        source: a video file, a folder or glob of images, a camera index, or a stream address.
        box: x, y, w, h in pixels of the first frame, or a list of them.
        tracker: a model's name, or a tracker made by ``lockon.load``.
        weights, device, benchmark: as in ``lockon.load``.
        start, end: first frame, and the frame to stop before.

    Yields:
        A result per frame, from the first (the given box) on; lists where several boxes were given.

    Raises:
        LockonError: a source, box, model or device that cannot be used. A video that breaks off raises after the
            results of the frames before the fault.

    Example:
        >>> for result in lockon.track("clip.mp4", (120, 80, 64, 48)):
        ...     print(result.box, result.score, result.found)
    """
    engine = load(tracker, weights, device, benchmark) if isinstance(tracker, str) else tracker
    with open_frames(source, start, end) as opened, read_ahead(opened) as frames:
        yield engine.init(next(frames).image, box)
        for frame in frames:
            yield engine.update(frame.image)


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


class TrackWriter:
    """The files of one track, complete up to the last frame written, however the run ends.

    ``NAME.mp4`` shows the boxes and masks; ``NAME.txt`` has one ``x,y,w,h`` line per frame (``NAME-1.txt``,
    ``NAME-2.txt``, ... for several targets); ``NAME.jsonl`` one line per frame and target with box, score, found,
    polygon where there is one, and milliseconds by stage; and with ``images`` the folder ``NAME`` has every drawn frame
    as a JPEG.

    Raises:
        OutputError: the folder or a file cannot be written.
    """

    def __init__(self, out: Path, name: str, targets: int, fps: float, images: bool = False) -> None:
        self.paths = [out / f"{name}.mp4"]
        texts = [out / f"{name}.txt"] if targets == 1 else [out / f"{name}-{n + 1}.txt" for n in range(targets)]
        self.paths += [*texts, out / f"{name}.jsonl"]
        self.folder = out / name if images else None
        self.files: list[TextIO] = []
        try:
            (self.folder or out).mkdir(parents=True, exist_ok=True)
            for path in self.paths[1:]:
                self.files.append(path.open("w", buffering=1))  # whole lines reach the disk as they are written
        except OSError as error:
            self._close_texts()
            raise OutputError(f"{out}: cannot write results here: {error.strerror or error}") from None
        self.video = VideoWriter(self.paths[0], fps)

    def __enter__(self) -> TrackWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._close_texts()
        try:
            self.video.close()
        except OutputError:
            if kind is None:
                raise

    def write(self, tracked: Tracked) -> dict[str, float]:
        """Adds a frame; returns its times with "write" among them."""
        start = time.perf_counter()
        drawn = draw_results(tracked.frame.image, tracked.results)
        self._write_texts(tracked)
        self.video.write(drawn, tracked.frame.time)
        if self.folder is not None:
            self._write_image(drawn, self.folder / f"{tracked.frame.index:08d}.jpg")
        times = tracked.times | {"write": 1000 * (time.perf_counter() - start)}
        self._write_json(tracked, times)
        return times

    def _write_texts(self, tracked: Tracked) -> None:
        for file, result in zip(self.files[:-1], tracked.results, strict=True):
            self._line(file, ",".join(f"{v:.2f}" for v in result.box))

    def _write_json(self, tracked: Tracked, times: dict[str, float]) -> None:
        for number, result in enumerate(tracked.results):
            row: dict[str, Any] = {"frame": tracked.frame.index, "time": round(tracked.frame.time, 4)}
            row |= {"target": number + 1, "box": [round(v, 2) for v in result.box]}
            row |= {"score": round(result.score, 4), "found": result.found}
            if result.polygon is not None:
                row["polygon"] = [[round(v, 2) for v in corner] for corner in result.polygon]
            row |= {"ms": {stage: round(ms, 2) for stage, ms in times.items()}}
            self._line(self.files[-1], json.dumps(row))

    def _line(self, file: TextIO, text: str) -> None:
        try:
            file.write(text + "\n")
        except OSError as error:
            raise OutputError(f"{file.name}: cannot write results: {error.strerror or error}") from None

    def _write_image(self, image: np.ndarray, path: Path) -> None:
        _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        try:
            path.write_bytes(data.tobytes())
        except OSError as error:
            raise OutputError(f"{path}: cannot write this frame: {error.strerror or error}") from None

    def _close_texts(self) -> None:
        for file in self.files:
            try:
                file.close()
            except OSError:  # the last line of a full disk; the lines before it are there
                continue
