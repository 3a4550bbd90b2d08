"""Pictures on disk."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

import cv2
import numpy as np

from lockon.errors import PictureError
from lockon.pictures import decoding, png, tiff
from lockon.pictures.arrays import Image
from lockon.pictures.opencv import imdecode

IMAGE_SUFFIXES = (
    *(".apng", ".avif", ".bmp", ".hdr", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pfm", ".pgm", ".png"),
    *(".pnm", ".ppm", ".tif", ".tiff", ".webp"),
)
MAX_BYTES = 2**32  # of a picture's file; as many as the largest picture has with 16 bits and alpha, twice over
OTHERS = {  # what is not a file, by its type
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_file(path: str | Path) -> BinaryIO:
    """Opens a file for reading; what is no file is refused, where a pipe or a device could be waited on for ever.

    Raises:
        OSError: it cannot be opened; ``strerror`` says why.
    """
    _refuse_others(os.stat(path).st_mode)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _refuse_others(os.fstat(handle).st_mode)  # it may have been replaced meanwhile
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_file(path: str | Path, offset: int = 0, size: int = -1) -> bytes:
    """The content of a picture's file, or ``size`` bytes of it from ``offset`` on.

    Raises:
        OSError: it cannot be read, or is far too large for a picture; ``strerror`` says why.
    """
    with open_file(path) as file:
        if size < 0 and os.fstat(file.fileno()).st_size - offset > MAX_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {MAX_BYTES // 2**30} GiB, too much for a picture")
        file.seek(offset)
        return file.read(size)


def is_file(path: Path) -> bool:
    """Whether a path is a file or may be taken for one; pipes, devices and folders are none."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def kind_of(path: Path) -> Literal["picture", "film", ""]:
    """What a file begins as: a picture that is read here, an animation that FFmpeg reads, or nothing that is known.

    JPEG is not told, since some videos begin like it.
    """
    try:
        with open_file(path) as file:
            head = file.read(12)
    except (OSError, ValueError):
        return ""
    if head.startswith(b"GIF8") or head[4:12] in (b"ftypavif", b"ftypavis"):
        return "film"
    known = head.startswith((png.HEADER, *tiff.HEADERS)) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")
    return "picture" if known else ""


def _refuse_others(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"it is {OTHERS.get(stat.S_IFMT(mode), 'no file')}, not a file")


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
            return read_file(self.path, self.offset, self.size)
        except (OSError, ValueError) as error:  # ValueError: a zero character in the name
            raise PictureError(f"{self}: cannot be read: {getattr(error, 'strerror', None) or error}") from None

    def decode(self) -> Image:
        """(H, W, 3) uint8 RGB.

        Raises:
            PictureError: the file cannot be read, or is corrupt.
        """
        data = self.read()
        try:
            return decoding.decode(data)
        except PictureError as error:
            raise PictureError(f"{self}: {error}") from None

    def mask(self, number: int) -> Image:
        """(H, W) uint8, 255 where an 8-bit grey or palette PNG of object numbers has this one.

        Raises:
            PictureError: the file cannot be read, is corrupt, or has no object numbers.
        """
        data = self.read()
        try:
            labels = imdecode(png.checked(data) if data.startswith(png.HEADER) else data, cv2.IMREAD_UNCHANGED)
        except PictureError as error:
            raise PictureError(f"{self}: not a readable PNG: {error}") from None
        if labels is None:
            raise PictureError(f"{self}: not a readable PNG")
        if labels.ndim == 2:
            return cast(Image, cv2.inRange(labels, number, number))
        palette = _palette(data)  # OpenCV gives the colours in place of the numbers
        if palette is None:
            raise PictureError(f"{self}: a colour picture; masks are object numbers in an 8-bit grey or palette PNG")
        if number >= len(palette):
            return np.zeros(labels.shape[:2], np.uint8)
        red, green, blue = palette[number].tolist()
        return cast(Image, cv2.inRange(labels[..., :3], (blue, green, red), (blue, green, red)))

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


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10`; equal numbers (`01`, `1`) fall back to the plain text."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def _palette(data: bytes) -> Image | None:
    """(N, 3) uint8 RGB of a PNG, if it has a palette."""
    colours = png.palette(data) if data.startswith(png.HEADER) else None
    return None if colours is None else np.frombuffer(colours, np.uint8, len(colours) // 3 * 3).reshape(-1, 3)
