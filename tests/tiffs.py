"""TIFF files for the tests, written byte by byte: what OpenCV and Pillow do not write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[Any]
DEFLATE, HORIZONTAL = 8, 2


def tiff(
    pictures: Sequence[Picture],
    *,
    order: str = "<",
    big: bool = False,
    deflate: bool = False,
    predictor: int = 1,
    planar: bool = False,
    tile: int = 0,
    rows: int = 16,
    tags: dict[int, int] | None = None,
    last: dict[int, int] | None = None,
) -> bytes:
    """A stack of pictures (H, W) or (H, W, channels), in strips of ``rows`` or in square tiles.

    Args:
        tags: more tags of all pages, such as {274: 6}.
        last: more tags of the last page.
    """
    word, mark = ("Q", 16) if big else ("I", 4)
    start = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    out = bytearray((b"II" if order == "<" else b"MM") + start)
    for number, picture in enumerate(pictures):
        samples = 1 if picture.ndim == 2 else picture.shape[2]
        blocks = [encode(block, order, deflate, predictor) for block in cut(picture, planar, tile, rows)]
        final = number == len(pictures) - 1
        entries: dict[int, list[int]] = {
            256: [picture.shape[1]],
            257: [picture.shape[0]],
            258: [8 * picture.dtype.itemsize] * samples,
            259: [DEFLATE if deflate else 1],
            262: [2 if samples >= 3 else 1],
            277: [samples],
            278: [rows],
            284: [2 if planar else 1],
            339: [{"u": 1, "i": 2, "f": 3}[picture.dtype.kind]] * samples,
        }
        entries |= {322: [tile], 323: [tile]} if tile else {}
        entries |= {317: [predictor]} if predictor != 1 else {}
        entries |= {tag: [value] for tag, value in {**(tags or {}), **((last or {}) if final else {})}.items()}
        places, sizes = (324, 325) if tile else (273, 279)
        entries |= {places: [0] * len(blocks), sizes: [len(block) for block in blocks]}
        size = directory_size(entries, big)
        first = len(out) + size
        entries[places] = [first + sum(map(len, blocks[:n])) for n in range(len(blocks))]
        after = 0 if final else first + sum(map(len, blocks)) + sum(map(len, blocks)) % 2
        out += directory(entries, len(out), after, order, word, mark)
        out += b"".join(blocks)
        out += b"\0" * (len(out) % 2)
    return bytes(out)


def cut(picture: Picture, planar: bool, tile: int, rows: int) -> list[Picture]:
    whole = picture if picture.ndim == 3 else picture[..., None]
    planes = [whole[..., n : n + 1] for n in range(whole.shape[2])] if planar else [whole]
    if not tile:
        return [plane[top : top + rows] for plane in planes for top in range(0, plane.shape[0], rows)]
    padded = [np.pad(plane, ((0, -plane.shape[0] % tile), (0, -plane.shape[1] % tile), (0, 0))) for plane in planes]
    return [
        plane[top : top + tile, left : left + tile]
        for plane in padded
        for top in range(0, plane.shape[0], tile)
        for left in range(0, plane.shape[1], tile)
    ]


def encode(block: Picture, order: str, deflate: bool, predictor: int) -> bytes:
    if predictor == HORIZONTAL:
        block = np.diff(block, axis=1, prepend=np.zeros_like(block[:, :1]))
    data = block.astype(f"{order}{block.dtype.str[1:]}").tobytes()
    return zlib.compress(data) if deflate else data


def directory_size(entries: dict[int, list[int]], big: bool) -> int:
    word = 8 if big else 4
    values = sum(len(values) * word for values in entries.values() if len(values) > 1)
    return (8 if big else 2) + (4 + 2 * word) * len(entries) + word + values


def directory(entries: dict[int, list[int]], place: int, after: int, order: str, word: str, kind: int) -> bytes:
    """Every value as wide as an offset."""
    size = struct.calcsize(word)
    head = struct.pack(order + ("Q" if size == 8 else "H"), len(entries))
    beyond = place + len(head) + (4 + 2 * size) * len(entries) + size
    listed, values = b"", b""
    for tag, numbers in sorted(entries.items()):
        content = struct.pack(f"{order}{len(numbers)}{word}", *numbers)
        if len(numbers) > 1:
            content, values = struct.pack(order + word, beyond + len(values)), values + content
        listed += struct.pack(order + "HH" + word, tag, kind, len(numbers)) + content
    return head + listed + struct.pack(order + word, after) + values
