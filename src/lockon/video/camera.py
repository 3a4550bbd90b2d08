"""A local camera, through OpenCV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

import cv2

from lockon.errors import FrameError, SourceError
from lockon.pictures import Image, from_bgr
from lockon.video.source import NOMINAL_FPS, FrameSource, RawFrames

LAST_CAMERA = 99


def _open_capture(index: int) -> Any:
    with _quiet():
        return cv2.VideoCapture(index)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps OpenCV's own warnings off the terminal, and leaves its level as it was."""
    logs = cv2.utils.logging
    level = logs.setLogLevel(logs.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logs.setLogLevel(level)


def _picture(bgr: Any) -> tuple[Image, str]:
    return from_bgr(bgr), ""


class CameraSource(FrameSource):
    """A local camera through OpenCV; times are times of arrival."""

    live = True

    def __init__(self, index: int, start: int = 0, end: int | None = None) -> None:
        if not 0 <= index <= LAST_CAMERA:  # OpenCV takes the hundreds for kinds of drivers
            raise SourceError(f"no camera {index}: expected a number from 0 to {LAST_CAMERA}")
        self._capture = _open_capture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"no camera {index}: check its cable, permissions, and who else is using it")
        fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or NOMINAL_FPS
        super().__init__(f"camera {index}", f"camera{index}", fps, None, start, end)

    def _read(self) -> RawFrames:
        origin = None
        try:
            while True:
                with _quiet():
                    good, bgr = self._capture.read()
                if not good:
                    break
                now = monotonic()
                origin = now if origin is None else origin
                yield now - origin, partial(_picture, bgr)
        finally:
            self._capture.release()
        state = f"stopped after frame {self._count - 1}" if self._count else "gives no frames"
        raise FrameError(f"{self._place} {state}: check its cable and who else is using it", self._count)
