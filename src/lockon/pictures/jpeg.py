"""JPEG: libjpeg-turbo through simplejpeg, which reports what OpenCV prints and drops: libjpeg's warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator

import cv2
import numpy as np
import simplejpeg

from lockon.errors import PictureError
from lockon.pictures.arrays import Raw, turn
from lockon.pictures.opencv import check_size, imdecode, to_rgb

HEADER = b"\xff\xd8"
SCAN, END = b"\xff\xda", b"\xff\xd9"  # markers
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of segments that give the size
BARE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
HARMLESS = ("Unknown Adobe color transform", "unknown JFIF revision", "bad ICC marker")
UNKNOWN_SAMPLING = "Could not determine subsampling"


def unpack(data: bytes, upright: bool) -> tuple[Raw, str]:
    """(H, W, 3) uint8 RGB, and what libjpeg warned of.

    Args:
        upright: apply the orientation that Exif asks for.

    Raises:
        PictureError: no JPEG, too large a one, or one that ends too early.
    """
    for width, height in _sizes(data):
        check_size(width, height)
    try:
        image, fault = simplejpeg.decode_jpeg(data, "RGB"), ""
    except ValueError as error:
        image, fault = _salvage(data, str(error))
    return (turn(image, _orientation(data)) if upright else image), fault


def _salvage(data: bytes, warning: str) -> tuple[Raw, str]:
    """The picture in spite of a warning, and all that libjpeg warns of."""
    tidy = _tidy(data)
    warnings = [warning]
    image = None
    if tidy != data:  # then more may come to light
        try:
            image = simplejpeg.decode_jpeg(tidy, "RGB")
        except ValueError as error:
            warnings.append(str(error))
    if any("Premature end of JPEG file" in text for text in warnings) or data.rfind(END) < data.rfind(SCAN):
        raise PictureError("it ends too early")
    if image is None:
        image = _leniently(tidy)
    faults = [_plain(text) for text in warnings if not any(harmless in text for harmless in HARMLESS)]
    if image is not None:
        return image, "; ".join(dict.fromkeys(faults))
    if not any(UNKNOWN_SAMPLING in text for text in warnings):
        raise PictureError(f"it is damaged: {faults[-1] if faults else 'the picture breaks off'}")
    bgr = imdecode(tidy, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)  # sampling that TurboJPEG has no name for
    if bgr is None:
        raise PictureError("it is cut, damaged or no image")
    return to_rgb(bgr), "; ".join(text for text in faults if UNKNOWN_SAMPLING not in text)


def _tidy(data: bytes) -> bytes:
    """The same picture with nothing in its head but what the pixels need.

    What libjpeg warns of in a head, simplejpeg takes for an error, whatever it is told.
    """
    parts, end = [HEADER], len(HEADER)
    for marker, start, end in _segments(data):
        content = data[start:end]
        if marker == 0xE0 and content.startswith(b"JFIF\0"):
            content = b"JFIF\0\1\1" + content[7:]
        if marker in (0xE0, 0xEE) or not (0xE1 <= marker <= 0xEF or marker == 0xFE):  # applications' data, remarks
            parts.append(data[start - 4 : start] + content)
    return b"".join(parts) + data[max(data.find(SCAN, end), end) :]


def _leniently(data: bytes) -> Raw | None:
    """The picture in spite of warnings; None if it broke off.

    Where libjpeg breaks off, simplejpeg gives what there is without a word. So the picture is decoded twice, into black
    and into white: what was never written differs.
    """
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        check_size(int(width), int(height))
        space = "CMYK" if space in ("CMYK", "YCCK") else "RGB"
        black, white = (np.full((int(height), int(width), len(space)), level, np.uint8) for level in (0, 255))
        for canvas in (black, white):
            simplejpeg.decode_jpeg(data, space, buffer=canvas, strict=False)
        if not np.array_equal(black, white):
            return None
        return black if space == "RGB" else simplejpeg.decode_jpeg(data, "RGB", strict=False)
    except (KeyError, ValueError):  # KeyError: colours that simplejpeg has no name for
        return None


def _plain(warning: str) -> str:
    return re.sub(r"^\w+\(\): ", "", warning).strip().removeprefix("Corrupt JPEG data: ")


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, first byte, byte after the last) of the segments before the first scan."""
    place = 2
    while (place := data.find(b"\xff", place)) >= 0 and place + 4 <= len(data):
        marker = data[place + 1]
        if marker == 0xFF:  # filling
            place += 1
            continue
        if marker == SCAN[1]:
            return
        if marker in BARE or marker == 0:
            place += 2
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, place + 4, end
        place = end


def _sizes(data: bytes) -> Iterator[tuple[int, int]]:
    for marker, start, _ in _segments(data):
        if marker in FRAMES and start + 5 <= len(data):
            height, width = (int.from_bytes(data[start + n : start + n + 2], "big") for n in (1, 3))
            yield width, max(height, 1)  # no height: it comes after the scan


def _orientation(data: bytes) -> int:
    """By Exif: 1 to 8, 1 being upright."""
    for marker, start, end in _segments(data):
        if marker == 0xE1 and data[start : start + 6] == b"Exif\0\0":
            return exif_orientation(data[start + 6 : end])
    return 1


def exif_orientation(exif: bytes) -> int:
    """Reads the orientation from a block of Exif: 1 to 8, 1 being upright or unknown."""
    order = "little" if exif[:2] == b"II" else "big"

    def number(place: int, size: int) -> int:
        return int.from_bytes(exif[place : place + size], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    for entry in range(directory + 2, directory + 2 + 12 * number(directory, 2), 12):
        if entry + 12 > len(exif):
            break
        if number(entry, 2) == 0x0112:
            found = number(entry + 8, 2)
            return found if 1 <= found <= 8 else 1
    return 1
