"""Pictures and label masks on disk, read when they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from lockon.errors import PictureError

PNG_HEADER = 8  # bytes before the first chunk


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A JPEG or PNG on disk: a file, or ``size`` bytes of one (an uncompressed tar) from ``offset`` on."""

    path: str
    offset: int = 0
    size: int = -1

    def read(self) -> bytes:
        """The compressed picture.

        Raises:
            PictureError: the file cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise PictureError(f"{self}: cannot be read: {error.strerror}") from None

    def decode(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB.

        Raises:
            PictureError: the file cannot be read, or is corrupt.
        """
        data = self.read()
        try:
            return decode(data)
        except PictureError as error:
            raise PictureError(f"{self}: {error}") from None

    def mask(self, number: int) -> np.ndarray:
        """(H, W) uint8, 255 where an 8-bit grey or palette PNG of object numbers has this one.

        Raises:
            PictureError: the file cannot be read, is corrupt, or has no object numbers.
        """
        data = self.read()
        labels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
        if labels is None:
            raise PictureError(f"{self}: not a readable PNG")
        if labels.ndim == 2:
            return cv2.inRange(labels, number, number)
        palette = _palette(data)  # OpenCV gives the colours in place of the numbers
        if palette is None:
            raise PictureError(f"{self}: a colour picture; masks are object numbers in an 8-bit grey or palette PNG")
        if number >= len(palette):
            return np.zeros(labels.shape[:2], np.uint8)
        red, green, blue = palette[number].tolist()
        return cv2.inRange(labels[..., :3], (blue, green, red), (blue, green, red))

    def __str__(self) -> str:
        return self.path + (f" (at byte {self.offset})" if self.offset else "")


class Frames(Protocol):
    """The pictures of a track in order; a tuple is one too."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> PictureFile: ...


@dataclass(frozen=True, slots=True)
class NumberedFrames:
    """Files of one folder whose names are a pattern, such as ``{:08d}.jpg``, with ``numbers`` filled in."""

    folder: str
    pattern: str
    numbers: Sequence[int] | np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, number: int, /) -> PictureFile:
        return PictureFile(f"{self.folder}/{self.pattern.format(self.numbers[number])}")


def decode(data: bytes) -> np.ndarray:
    """JPEG or PNG bytes to (H, W, 3) uint8 RGB, in the orientation of the file's pixels, which annotations refer to.

    Raises:
        PictureError: not a picture, or one that ends too early.
    """
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):  # no end after the last scan
        raise PictureError("the picture ends too early")  # some versions of OpenCV make up the rest
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    if image is None:
        raise PictureError("the picture is not a readable JPEG or PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _palette(png: bytes) -> np.ndarray | None:
    """(N, 3) uint8 RGB of a PNG, if it has a palette."""
    start = PNG_HEADER
    while start + 8 <= len(png):
        length, kind = int.from_bytes(png[start : start + 4], "big"), png[start + 4 : start + 8]
        if kind == b"PLTE":
            return np.frombuffer(png, np.uint8, length, start + 8).reshape(-1, 3)
        start += 12 + length  # length, kind, data, checksum
    return None
