"""Files that hold several pictures: TIFF stacks, animated PNG and WebP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from itertools import islice
from typing import BinaryIO, NamedTuple

from lockon.errors import PictureError
from lockon.pictures import animation, png, tiff
from lockon.pictures.arrays import Raw


class Page(NamedTuple):
    """One of several pictures in a file.

    Attributes:
        seconds: how long it is shown; None in stacks, which have no times.
        unpack: makes its pixels and what is known against them, as the function of that name; raises PictureError.
    """

    seconds: float | None
    unpack: Callable[[], tuple[Raw, str]]


def pages(file: BinaryIO) -> list[Page]:
    """The pictures of a file that holds more than one; none of any other file.

    The file is read as the pages are unpacked, so that it takes little memory, and must stay open until then.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(tiff.HEADERS):
        found = [Page(None, partial(_unpack, page)) for page in tiff.pages(file)]
    elif head.startswith(png.HEADER):
        found = list(_film(animation.read_png(file)))
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        found = list(_film(animation.read_webp(file)))
    else:
        return []
    return found if len(found) > 1 else []


def holds_several(data: bytes) -> bool:
    """Whether a file's content holds more than one picture, those that ``pages`` does not take apart among them."""
    if data.startswith(b"GIF8"):
        return sum(1 for _ in islice(_gif_pictures(data), 2)) > 1
    return data[4:12] == b"ftypavis" or bool(pages(BytesIO(data)))


def _gif_pictures(data: bytes) -> Iterator[int]:
    """Where the pictures of a GIF begin."""
    place = 13 + _colours(data[10:11])
    while (kind := data[place : place + 1]) in (b",", b"!"):  # a picture, or more about one
        if kind == b",":
            yield place
            place += 11 + _colours(data[place + 9 : place + 10])
        else:
            place += 2
        while size := int.from_bytes(data[place : place + 1], "big"):
            place += 1 + size
        place += 1


def _colours(flags: bytes) -> int:
    """Bytes of the table of colours that follows."""
    return 3 * 2 ** (flags[0] % 8 + 1) if flags and flags[0] & 0x80 else 0


def _unpack(page: tiff.Page | PictureError) -> tuple[Raw, str]:
    if isinstance(page, PictureError):
        raise page
    return page.unpack(upright=True)


def _film(film: animation.Film | None) -> Iterator[Page]:
    if film is not None:
        for number, part in enumerate(film.parts):
            seconds = part.seconds if isinstance(part, animation.Part) else animation.SHORTEST
            yield Page(seconds, partial(_show, film, number))


def _show(film: animation.Film, number: int) -> tuple[Raw, str]:
    return film.show(number), ""
