"""One of OpenCV's trackers in a process of its own, which ``opencv.py`` starts and may end at any time.

Runs as a script and knows nothing of lockon, so that it starts at once. On standard input come requests, each a line
of JSON, with the pixels of a frame behind it where ``shape`` says so. Each is answered by one line on standard output.
The process ends with its input, whatever it is doing.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any, BinaryIO

import cv2
import numpy as np

FARTHEST = 10**8  # pixels: OpenCV has whole numbers, in which NaN becomes -2147483648


def main(setup: str) -> None:
    """Answers requests until there are no more.

    Args:
        setup: as JSON, the tracker's ``kind`` in ``cv2``, its ``files`` by parameter, and OpenCV's ``threads``.
    """
    told = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever OpenCV prints is no answer
    wanted = json.loads(setup)
    cv2.setNumThreads(wanted["threads"])
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # not what its new engine lacks, with each track
    track = Track(maker(wanted["kind"], wanted["files"]))
    for request, pixels in requests(sys.stdin.buffer):
        told.write(json.dumps(track.answer(request, pixels), allow_nan=False).encode() + b"\n")


def requests(source: BinaryIO) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Requests and their frames, (H, W, 3) uint8 RGB, as they come; the process ends where they do."""
    queue: SimpleQueue[tuple[dict[str, Any], np.ndarray]] = SimpleQueue()
    threading.Thread(target=_receive, args=(source, queue), daemon=True).start()
    while True:
        yield queue.get()


def _receive(source: BinaryIO, queue: SimpleQueue[tuple[dict[str, Any], np.ndarray]]) -> None:
    while line := source.readline():
        request = json.loads(line)
        pixels = np.empty(request.get("shape", (0, 0, 3)), np.uint8)
        if pixels.size and source.readinto(pixels.data.cast("B")) < pixels.size:  # type: ignore[attr-defined]
            break
        queue.put((request, pixels))
    os._exit(0)  # also out of the middle of a frame: nobody waits for it any more


def maker(kind: str, files: dict[str, str]) -> Callable[[], Any]:
    """What makes a new tracker: of the name after Tracker in ``cv2``, with files by the parameters that name them."""
    create = getattr(cv2, f"Tracker{kind}_create")
    if not files:
        return lambda: create()
    params = getattr(cv2, f"Tracker{kind}_Params")()
    for parameter, file in files.items():
        setattr(params, parameter, file)
    return lambda: create(params)


class Track:
    """A tracker that starts anew as often as it is told."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._tracker: Any = None

    def answer(self, request: dict[str, Any], pixels: np.ndarray) -> dict[str, Any]:
        """What came out and how many seconds it took, or why nothing did.

        Args:
            request: with ``box``, x, y, w, h in whole pixels, the start of a track; without a frame, a trial whether
                there is such a tracker.
            pixels: (H, W, 3) uint8 RGB.
        """
        begin = time.perf_counter()
        try:
            if not pixels.size:
                found = self._try()
            elif "box" in request:
                found = self._start(pixels, request["box"])
            else:
                found = self._go_on(pixels)
        except Exception as error:  # whatever it is, it is the tracker's
            return {"error": reason(error)}
        return found | {"seconds": time.perf_counter() - begin}

    def _try(self) -> dict[str, Any]:
        self._make()
        return {}

    def _start(self, pixels: np.ndarray, box: list[int]) -> dict[str, Any]:
        self._tracker = self._make()
        if self._tracker.init(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), tuple(box)) is False:
            raise ValueError("it refuses the box")
        return {}

    def _go_on(self, pixels: np.ndarray) -> dict[str, Any]:
        found, box = self._tracker.update(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
        values = [float(value) for value in box]
        return {"box": values if found and is_box(values) else None, "score": score_of(self._tracker)}


def is_box(values: list[float]) -> bool:
    """Whether a tracker that says it found the target says where."""
    fair = len(values) == 4 and all(math.isfinite(v) and abs(v) < FARTHEST for v in values)
    return fair and values[2] > 0 and values[3] > 0


def score_of(tracker: Any) -> float | None:
    """How sure it is; None of the trackers that answer -1, or have no such question."""
    ask = getattr(tracker, "getTrackingScore", None)
    score = float(ask()) if ask else -1.0
    return score if math.isfinite(score) and score >= 0 else None


def reason(error: Exception) -> str:
    """An error of OpenCV's without its version and the place in its code, in one line."""
    text = " ".join(str(error).split())
    match = re.search(r"error: \(-?\d+:([^)]*)\) (.*?)(?: in function '?([^']*)'?)?$", text)
    if match is None:
        return text or type(error).__name__
    kind, what, where = match.groups()
    return f"{kind}: {what}" + (f" (in {where})" if where else "")


if __name__ == "__main__":
    main(sys.argv[1])
