"""Image files as frames."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import cv2
import numpy as np

from lockon.errors import FrameError
from lockon.pictures import Image, from_bgr
from lockon.video.container import reason
from lockon.video.source import NOMINAL_FPS, FrameSource, RawFrames


class ImageSource(FrameSource):
    """Image files as frames at a nominal rate, each of its own size; OpenCV applies EXIF orientation."""

    def __init__(self, files: list[Path], name: str, start: int = 0, end: int | None = None) -> None:
        self._files = files
        super().__init__(str(files[0].parent), name, NOMINAL_FPS, len(files), start, end)

    def _read(self) -> RawFrames:
        for index, file in enumerate(self._files):
            yield index / self.fps, partial(_load_image, file, index)


def _load_image(file: Path, index: int) -> tuple[Image, str]:
    try:
        data = np.fromfile(file, np.uint8)  # and not imread, which fails on non-Latin paths under Windows
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None  # 16 bit and alpha are reduced
    except (OSError, cv2.error) as error:
        raise FrameError(f"{file}: frame {index} cannot be read, {reason(error)}", index) from error
    if image is None:
        raise FrameError(f"{file}: frame {index} cannot be read, it is empty, cut or no image", index)
    return from_bgr(image), ""
