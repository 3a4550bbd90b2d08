"""PNG: its checksums are compared here, so that damage is told and not printed by libpng; OpenCV makes the pixels."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import cv2

from lockon.errors import PictureError
from lockon.pictures.arrays import Raw
from lockon.pictures.opencv import NATURAL, check_size, imdecode, to_rgb

HEADER = b"\x89PNG\r\n\x1a\n"
NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}  # for the pixels
TURN = b"eXIf"  # for the orientation


class Chunk(NamedTuple):
    """Where a chunk's content is: ``kind``, first byte, number of bytes."""

    kind: bytes
    start: int
    size: int


def unpack(data: bytes, upright: bool) -> Raw:
    """Pixels of a PNG, of an animated one the first picture.

    Args:
        upright: apply the orientation that Exif asks for.

    Raises:
        PictureError: it is damaged, too large, or ends too early.
    """
    image = imdecode(checked(data), NATURAL if upright else NATURAL | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise PictureError("it is damaged, the picture data cannot be decoded")
    return to_rgb(image)


def checked(data: bytes) -> bytes:
    """The same picture with nothing but what its pixels and orientation need, every checksum compared.

    Raises:
        PictureError: it is damaged, too large, or ends too early.
    """
    kept, whole = [], True
    view = memoryview(data)
    for kind, start, size in _chunks(data):
        end = start + size + 4
        intact = zlib.crc32(view[start - 4 : start + size]) == int.from_bytes(data[start + size : end], "big")
        if kind in NEEDED and not intact:
            raise PictureError(f"it is damaged, the checksum of {kind.decode()} differs")
        if kind == b"IHDR":
            check_size(*size_of(data[start : start + size]))
        if kind in NEEDED or (kind == TURN and intact):
            kept.append((start - 8, end))
        else:
            whole = False
    if whole and end == len(data):
        return data
    return HEADER + b"".join(data[start:end] for start, end in kept)


def size_of(header: bytes) -> tuple[int, int]:
    """(width, height) by the content of IHDR."""
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")


def chunk(kind: bytes, content: bytes) -> bytes:
    """Packs a chunk: length, kind, content, checksum."""
    return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")


def palette(data: bytes) -> bytes | None:
    """Red, green, blue of each entry, if there is a palette."""
    for kind, start, size in _chunks(data):
        if kind == b"PLTE":
            return data[start : start + size]
    return None


def walk(file: BinaryIO) -> Iterator[Chunk]:
    """The chunks of a file, of which only the heads are read; ends where the file does."""
    place = len(HEADER)
    while True:
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return
        size, kind = int.from_bytes(head[:4], "big"), head[4:]
        yield Chunk(kind, place + 8, size)
        place += 12 + size


def _chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a picture up to its end.

    Raises:
        PictureError: it ends too early, or does not begin as a PNG does.
    """
    place, kind = len(HEADER), b""
    while kind != b"IEND":
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        if (place == len(HEADER)) != (kind == b"IHDR") and place + 12 <= len(data):
            raise PictureError("it is damaged, IHDR is not its one first chunk")
        if place + 12 + size > len(data):
            raise PictureError("it ends too early")
        yield Chunk(kind, place + 8, size)
        place += 12 + size
