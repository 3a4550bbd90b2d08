"""OpenCV as a decoder: quiet, and within bounds."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

import cv2
import numpy as np

from lockon.errors import PictureError
from lockon.pictures.arrays import Raw

MAX_PIXELS = 2**28  # of one picture: 16,384 x 16,384, which is 800 MB as RGB
NATURAL = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR  # depth and greyness of the file; alpha dropped
CONVERTED = (np.uint8, np.uint16, np.float32)  # types that cvtColor takes

_quiet = Lock()
_users = 0  # threads that decode at the moment
_level = 0  # of OpenCV's log before the first of them


def imdecode(data: bytes, flags: int) -> Raw | None:
    """The pixels of a picture as OpenCV has them, or None; nothing is logged.

    Raises:
        PictureError: OpenCV says why not.
    """
    if not data:
        return None
    try:
        with _silence():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise PictureError(reason(error)) from None


def to_rgb(image: Raw) -> Raw:
    """Turns OpenCV's order of channels into RGB; grey pictures stay as they are."""
    if image.ndim == 2:
        return image
    if image.dtype in CONVERTED:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return np.ascontiguousarray(image[..., ::-1])


def reason(error: cv2.error) -> str:
    """Says what OpenCV's error was, without its version, source file and line."""
    text = re.sub(r"^OpenCV\(.*?\).*?error: \(-?\d+:(.*?)\) ?", r"\1: ", " ".join(str(error).split()))
    return " ".join(re.sub(r"in function '[^']*'|(?<= )> ", "", text).split()).rstrip(" .")


def check_size(width: int, height: int) -> None:
    """Refuses a picture of more pixels than are read, before memory is taken for them.

    Raises:
        PictureError: it is too large, or has no pixels.
    """
    if width <= 0 or height <= 0:
        raise PictureError(f"it has {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise PictureError(f"it says to have {width} x {height} pixels; no more than {MAX_PIXELS:,} are read")


def unpack(data: bytes, upright: bool) -> Raw:
    """Pixels of formats without a module of their own.

    Args:
        upright: apply the orientation that the file asks for.

    Raises:
        PictureError: no picture, too large a one, or one that ends too early.
    """
    size = _claimed_size(data)
    if size is not None:
        check_size(*size)
    image = imdecode(data, NATURAL if upright else NATURAL | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise PictureError("it is empty, cut or no image" if size is None else "it is cut or damaged")
    return to_rgb(image)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps OpenCV's log silent during a block, in whichever thread; then it is as it was."""
    global _users, _level
    with _quiet:
        if not _users:
            _level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _users += 1
    try:
        yield
    finally:
        with _quiet:
            _users -= 1
            if not _users:
                cv2.utils.logging.setLogLevel(_level)


def _claimed_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) by the header of the picture, or None where that is not known."""
    for start, read in HEADERS.items():
        if data.startswith(start):
            try:
                return read(data[:4096])
            except (struct.error, ValueError):
                return None
    return _portable_size(data[:4096])


def _bmp_size(head: bytes) -> tuple[int, int]:
    if head[14] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", head, 18)
    else:
        width, height = struct.unpack_from("<ii", head, 18)
    return width, abs(height)  # negative where the first row is the top one


def _webp_size(head: bytes) -> tuple[int, int] | None:
    if head[12:16] != b"VP8X":
        return None  # no more than 16,383 x 16,383
    return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1


def _boxed_size(head: bytes) -> tuple[int, int] | None:
    """JPEG 2000 (``ihdr``: height, width) and AVIF (``ispe``: version, width, height)."""
    if (place := head.find(b"ihdr")) > 0:
        height, width = struct.unpack_from(">II", head, place + 4)
        return width, height
    if (place := head.find(b"ispe")) > 0:
        width, height = struct.unpack_from(">II", head, place + 8)
        return width, height
    return None


def _portable_size(head: bytes) -> tuple[int, int] | None:
    """PBM, PGM, PPM, PFM, PAM and Radiance."""
    comments = re.sub(rb"#[^\n]*", b"", head)
    found = re.match(rb"P[1-6Ff]\s+(\d+)\s+(\d+)", comments)
    if found:
        return int(found[1]), int(found[2])
    found = re.match(rb"P7\s.*?WIDTH\s+(\d+)\s.*?HEIGHT\s+(\d+)", comments, re.DOTALL)
    if found:
        return int(found[1]), int(found[2])
    found = re.search(rb"[-+]Y +(\d+) +[-+]X +(\d+)", head)
    return (int(found[2]), int(found[1])) if found and head.startswith(b"#?") else None


HEADERS: dict[bytes, Callable[[bytes], tuple[int, int] | None]] = {
    b"BM": _bmp_size,
    b"GIF8": lambda head: struct.unpack_from("<HH", head, 6),
    b"RIFF": _webp_size,
    b"\x59\xa6\x6a\x95": lambda head: struct.unpack_from(">II", head, 4),  # Sun raster
    b"\xff\x4f\xff\x51": lambda head: struct.unpack_from(">II", head, 8),  # a bare stream of JPEG 2000
    b"\0\0\0": _boxed_size,
}
