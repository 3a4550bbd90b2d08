"""Pictures on disk and in memory: the one place where they become RGB uint8 (H, W, 3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from lockon.errors import PictureError, SourceError

Image = npt.NDArray[np.uint8]
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
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


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10`; equal numbers (`01`, `1`) fall back to the plain text."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def as_rgb(image: object) -> Image:
    """Any usual picture as RGB uint8 (H, W, 3), without a copy where it is one already.

    Takes NumPy arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), alpha dropped, and torch tensors (H, W, 3)
    or (3, H, W) on any device; uint8, uint16 (high byte kept), bool, or float in [0, 1]. Else SourceError.
    """
    array = _to_numpy(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise SourceError(f"not an image: shape {array.shape}; expected (H, W) or (H, W, 1, 3 or 4)")
    if array.shape[2] == 4:
        array = array[..., :3]
    array = _to_uint8(array)
    return np.ascontiguousarray(array if array.shape[2] == 3 else array.repeat(3, axis=2))


def _to_numpy(image: object) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image
    if not hasattr(image, "detach"):  # how a torch tensor is told without importing torch
        raise SourceError(f"not an image: {type(image).__name__}; give a NumPy array or a torch tensor")
    tensor: Any = image.detach().cpu()
    array: npt.NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    planar = array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3
    return array.transpose(1, 2, 0) if planar else array


def _to_uint8(array: npt.NDArray[Any]) -> Image:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise SourceError(f"not an image: {array.dtype}; expected uint8, uint16, bool or float in [0, 1]")
    low, high = array.min(), array.max()
    if not (low >= -1e-3 and high <= 1.001):  # resampling overshoots a little; NaN fails both
        raise SourceError(f"not an image: floats from {low:g} to {high:g}; scale them to [0, 1]")
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


def from_bgr(image: npt.NDArray[Any]) -> Image:
    """Gives (H, W, 3) RGB uint8 of a picture in OpenCV's order of channels."""
    return as_rgb(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
