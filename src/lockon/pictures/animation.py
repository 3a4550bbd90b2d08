"""Animated PNG and WebP: each picture is taken out of the file as a still of its own and laid on the ones before."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, BinaryIO

import cv2
import numpy as np
import numpy.typing as npt

from lockon.errors import PictureError
from lockon.pictures import png
from lockon.pictures.arrays import Raw
from lockon.pictures.opencv import check_size, imdecode

SHORTEST = 0.1  # seconds for which browsers show a picture that has no duration
VP8X_ANIMATED = 0b10


class After(Enum):
    """What becomes of a picture's rectangle before the next one is drawn."""

    KEEP = 0
    CLEAR = 1
    RESTORE = 2


@dataclass(frozen=True)
class Part:
    """One picture of an animation, which may cover a part of the canvas only.

    Attributes:
        x, y, width, height: its rectangle in pixels.
        seconds: how long it is shown.
        after: what becomes of the rectangle then.
        blend: whether what is transparent shows what was there before.
        still: makes the file of it alone.
    """

    x: int
    y: int
    width: int
    height: int
    seconds: float
    after: After
    blend: bool
    still: Callable[[], bytes]


@dataclass
class Film:
    """The pictures of an animation, composed in order; going back begins anew.

    Attributes:
        size: (width, height) of the canvas.
        parts: its pictures; a fault, in its place, is the last.
    """

    size: tuple[int, int]
    parts: list[Part | PictureError] = field(default_factory=list)
    _next: int = 0
    _canvas: Raw | None = None
    _before: Raw | None = None  # of a rectangle that is to be restored

    def show(self, number: int) -> Raw:
        """(H, W, 3) RGB of picture ``number``; what nothing was drawn on is black.

        Raises:
            PictureError: it, or one that it is laid on, cannot be read.
        """
        if number < self._next:
            self._next, self._canvas = 0, None
        while self._next <= number:
            self._draw(self._next)
            self._next += 1
        assert self._canvas is not None
        return np.ascontiguousarray(self._canvas[..., :3])

    def _draw(self, number: int) -> None:
        part = self.parts[number]
        if isinstance(part, PictureError):
            raise part
        width, height = self.size
        check_size(width, height)
        if part.x + part.width > width or part.y + part.height > height:
            raise PictureError("it is damaged, a picture of it is larger than the whole")
        drawn = _rgba(imdecode(part.still(), cv2.IMREAD_UNCHANGED))
        if drawn.shape[:2] != (part.height, part.width):
            raise PictureError("it is damaged, a picture of it has another size than it says")
        if self._canvas is None:
            self._canvas = np.zeros((height, width, 4), drawn.dtype)
        self._clean(number)
        target = self._canvas[part.y : part.y + part.height, part.x : part.x + part.width]
        self._before = target.copy() if part.after is After.RESTORE else None
        target[...] = _over(drawn, target) if part.blend else drawn

    def _clean(self, number: int) -> None:
        """Removes the picture before, if it asks for that."""
        before = self.parts[number - 1] if number else None
        if not isinstance(before, Part) or before.after is After.KEEP:
            return
        assert self._canvas is not None
        target = self._canvas[before.y : before.y + before.height, before.x : before.x + before.width]
        target[...] = 0 if self._before is None else self._before


def read_png(file: BinaryIO) -> Film | None:
    """The pictures of an animated PNG; None of any other file.

    Only the heads of its chunks are read here.
    """
    chunks = png.walk(file)
    header, palette, animated = b"", b"", False
    for chunk in chunks:
        if chunk.kind in (b"IDAT", b"IEND"):
            break
        if chunk.kind == b"acTL":
            animated = True
            promised = int.from_bytes(_content(file, chunk)[:4], "big")
        elif chunk.kind == b"IHDR":
            header = _content(file, chunk)
        elif chunk.kind in (b"PLTE", b"tRNS"):
            palette += png.chunk(chunk.kind, _content(file, chunk))
    if not animated or len(header) != 13:
        return None
    film = Film(png.size_of(header))
    try:
        for control, data in _pictures(file):
            film.parts.append(_png_part(file, header, palette, control, data))
        if len(film.parts) < promised:
            raise PictureError("it ends too early")
    except PictureError as error:
        film.parts.append(error)
    return film


def _pictures(file: BinaryIO) -> Iterator[tuple[bytes, list[png.Chunk]]]:
    """The frame controls of an animated PNG, each with its chunks of data.

    A picture before the first control is no part of the animation.
    """
    control, data, end = b"", list[png.Chunk](), file.seek(0, 2)
    for chunk in png.walk(file):
        if chunk.start + chunk.size + 4 > end:
            raise PictureError("it ends too early")
        if control and chunk.kind in (b"fcTL", b"IEND"):
            yield control, data
        if chunk.kind == b"IEND":
            return
        if chunk.kind == b"fcTL":
            control, data = _content(file, chunk), []
        elif chunk.kind in (b"IDAT", b"fdAT"):
            data.append(chunk)
    raise PictureError("it ends too early")


def _png_part(file: BinaryIO, header: bytes, palette: bytes, control: bytes, data: list[png.Chunk]) -> Part:
    if len(control) != 26:
        raise PictureError("it is damaged, a frame control has a wrong size")
    width, height, x, y = (int.from_bytes(control[at : at + 4], "big") for at in (4, 8, 12, 16))
    over, under = (int.from_bytes(control[at : at + 2], "big") for at in (20, 22))
    after = After(control[24]) if control[24] < 3 else After.KEEP
    size = control[4:12]
    still = partial(_png_still, file, size + header[8:], palette, data)
    return Part(x, y, width, height, over / (under or 100) or SHORTEST, after, control[25] == 1, still)


def _png_still(file: BinaryIO, header: bytes, palette: bytes, data: list[png.Chunk]) -> bytes:
    check_size(*png.size_of(header))
    parts = (_content(file, chunk)[4 if chunk.kind == b"fdAT" else 0 :] for chunk in data)
    picture = png.chunk(b"IDAT", b"".join(parts))
    return png.HEADER + png.chunk(b"IHDR", header) + palette + picture + png.chunk(b"IEND", b"")


def _content(file: BinaryIO, chunk: png.Chunk) -> bytes:
    """The content of a chunk, its checksum compared."""
    file.seek(chunk.start - 4)
    data = file.read(chunk.size + 8)
    if len(data) < chunk.size + 8:
        raise PictureError("it ends too early")
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise PictureError(f"it is damaged, the checksum of {chunk.kind.decode('latin-1')} differs")
    return data[4:-4]


def read_webp(file: BinaryIO) -> Film | None:
    """The pictures of an animated WebP; None of any other file.

    Only the heads of its chunks are read here.
    """
    file.seek(0)
    head = file.read(30)
    if len(head) < 30 or head[12:16] != b"VP8X" or not head[20] & VP8X_ANIMATED:
        return None
    film = Film((_three(head, 24) + 1, _three(head, 27) + 1))
    end = min(8 + int.from_bytes(head[4:8], "little"), file.seek(0, 2))
    cut = end < 8 + int.from_bytes(head[4:8], "little")
    for kind, start, size in _riff(file, 12, end):
        if start + size > end:
            break
        if kind == b"ANMF":
            film.parts.append(_webp_part(file, start, size))
    if cut or not film.parts:
        film.parts.append(PictureError("it ends too early"))
    return film


def _webp_part(file: BinaryIO, start: int, size: int) -> Part:
    file.seek(start)
    head = file.read(16)
    x, y, width, height, milliseconds = (_three(head, at) for at in (0, 3, 6, 9, 12))
    after = After.CLEAR if head[15] & 1 else After.KEEP
    still = partial(_webp_still, file, start + 16, start + size, width + 1, height + 1)
    seconds = milliseconds / 1000 or SHORTEST
    return Part(2 * x, 2 * y, width + 1, height + 1, seconds, after, not head[15] & 2, still)


def _webp_still(file: BinaryIO, start: int, end: int, width: int, height: int) -> bytes:
    kept = {kind: (at, size) for kind, at, size in _riff(file, start, end) if kind in (b"ALPH", b"VP8 ", b"VP8L")}
    content = b""
    if b"ALPH" in kept:  # what is beside the picture itself needs the extended head
        corner = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        content = b"VP8X" + (10).to_bytes(4, "little") + b"\x10\0\0\0" + corner
    for kind, (at, size) in kept.items():
        file.seek(at)
        content += kind + size.to_bytes(4, "little") + file.read(size) + b"\0" * (size % 2)
    return b"RIFF" + (len(content) + 4).to_bytes(4, "little") + b"WEBP" + content


def _riff(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, first byte, size) of chunks."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(8)
        size = int.from_bytes(head[4:], "little")
        yield head[:4], start + 8, size
        start += 8 + size + size % 2


def _three(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 3], "little")


def _rgba(image: Raw | None) -> Raw:
    """(H, W, 4) of a picture in OpenCV's order."""
    if image is None:
        raise PictureError("it is damaged, a picture of it cannot be decoded")
    code = {2: cv2.COLOR_GRAY2RGBA, 3: cv2.COLOR_BGR2RGBA, 4: cv2.COLOR_BGRA2RGBA}
    return cv2.cvtColor(image, code[2 if image.ndim == 2 else image.shape[2]])


def _over(drawn: Raw, below: Raw) -> Raw:
    """What is seen of two layers, both with colours that are not multiplied with their alpha."""
    most = np.iinfo(drawn.dtype).max
    alpha = drawn[..., 3:]
    if (alpha == most).all():
        return drawn
    opaque: npt.NDArray[Any] = alpha / most
    through = below[..., 3:] / most * (1 - opaque)
    total = opaque + through
    colours = (drawn[..., :3] * opaque + below[..., :3] * through) / np.where(total > 0, total, 1)
    return np.concatenate([colours, total * most], axis=2).round().astype(drawn.dtype)
