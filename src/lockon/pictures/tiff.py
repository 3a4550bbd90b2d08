"""TIFF and BigTIFF: stacks page by page, and pixels of every number type.

What is not compressed, or deflated, is unpacked here: then damage shows in checksums, and colours that are stored plane
by plane come out right, which OpenCV 5.0 gets wrong above 8 bits. Every other page goes to OpenCV as a small TIFF of
its own.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod
from typing import BinaryIO

import numpy as np

from lockon.errors import PictureError
from lockon.pictures.arrays import Raw, native, turn
from lockon.pictures.opencv import NATURAL, check_size, imdecode, to_rgb

HEADERS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_PAGES = 10_000_000
KINDS = {1: "u1", 3: "u2", 4: "u4", 6: "i1", 8: "i2", 9: "i4", 13: "u4", 16: "u8", 17: "i8", 18: "u8"}
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 254, 255, 256, 257, 258, 259, 262, 266
DESCRIPTION, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES, PLANES, PREDICTOR = 270, 273, 274, 277, 278, 279, 284, 317
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
JPEG_OFFSETS = (513, 519, 520, 521)  # of the old kind of JPEG in TIFF: places in the file that cannot be moved
KEPT = {
    *(WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER, STRIPS, ORIENTATION, SAMPLES, ROWS, STRIP_SIZES),
    *(PLANES, PREDICTOR, TILE_WIDTH, TILE_HEIGHT, TILES, TILE_SIZES, EXTRA, FORMAT),
    *(292, 293, 320, 332, 333, 336, 340, 341, 347, 529, 530, 531, 532),  # fax, palette, inks, JPEG tables, YCbCr
}

NOT_COMPRESSED, DEFLATE = {1}, {8, 32946}
BEST_RATIO = 1100  # more than deflate can reach
HORIZONTAL, FLOATING = 2, 3  # predictors
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
NAMES = {34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL"}


def unpack(file: BinaryIO, upright: bool) -> tuple[Raw, str]:
    """Pixels of the first page, and what is known against them.

    Args:
        upright: apply the orientation that the page asks for.

    Raises:
        PictureError: it is damaged, too large, of a kind that is not read, or ends too early.
    """
    first = pages(file)[0]
    if isinstance(first, PictureError):
        raise first
    return first.unpack(upright)


def pages(file: BinaryIO) -> list[Page | PictureError]:
    """The pages of a file, without smaller copies and masks that belong to them; a fault, in its place, is the last."""
    found: list[Page | PictureError] = []
    try:
        for page in _directories(file):
            if not page.is_extra or not found:
                found.append(page)
            if len(found) == 2 and isinstance(found[0], Page) and found[0].is_extra:
                del found[0]
    except PictureError as error:
        found.append(error)
    if not found:
        return [PictureError("it is damaged, it has no pages")]
    return found if len(found) > 1 or isinstance(found[0], PictureError) else [*found[0].contiguous()]


@dataclass(frozen=True)
class Entry:
    """A tag's content: its type, number of values, and their bytes."""

    kind: int
    count: int
    data: bytes


@dataclass(frozen=True)
class Page:
    """A page: the entries of its directory, which is at ``place`` in a file whose numbers are of ``order``, < or >.

    Its pixels begin ``shift`` bytes after where the entries say.
    """

    file: BinaryIO
    order: str
    big: bool
    entries: dict[int, Entry]
    place: int
    shift: int = 0

    def values(self, tag: int, *default: int) -> tuple[int, ...]:
        """The whole numbers of a tag, or the default."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in KINDS:
            return default
        return tuple(np.frombuffer(entry.data, self.order + KINDS[entry.kind]).tolist()) or default

    def value(self, tag: int, default: int) -> int:
        """The first of a tag's numbers."""
        return self.values(tag, default)[0]

    @property
    def is_extra(self) -> bool:
        """A smaller copy of another page, or a mask."""
        return bool(self.value(SUBFILE, 0) & 0b101) or self.value(OLD_SUBFILE, 1) == 2

    @cached_property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.value(WIDTH, 0), self.value(HEIGHT, 0)

    @cached_property
    def bits(self) -> int:
        """Per sample; 0 if samples differ."""
        bits = set(self.values(BITS, 1))
        return bits.pop() if len(bits) == 1 else 0

    @cached_property
    def dtype(self) -> np.dtype | None:
        """Of the samples; None where NumPy has no such type."""
        kind = {1: "u", 2: "i", 3: "f", 4: "u"}.get(self.value(FORMAT, 1))
        known = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64)}.get(kind or "", ())
        return np.dtype(f"{self.order}{kind}{self.bits // 8}") if self.bits in known else None

    def contiguous(self) -> Iterator[Page]:
        """The pages of a stack that ImageJ wrote with one directory, as it does with large ones; else this page."""
        note = self.entries.get(DESCRIPTION)
        found = re.match(rb"ImageJ=.*?\bimages=(\d+)", note.data, re.DOTALL) if note else None
        places, sizes = self._blocks()
        total = sum(sizes)
        plain = self.value(COMPRESSION, 1) == 1 and places and list(places) == _following(places[0], sizes)
        room = (self.file.seek(0, 2) - places[0]) // total if plain and total else 1
        count = int(found[1]) if found else 1
        if not plain or not 1 < count <= room:
            yield self
            return
        for number in range(count):
            yield Page(self.file, self.order, self.big, self.entries, self.place, number * total)

    def unpack(self, upright: bool) -> tuple[Raw, str]:
        """Pixels, (H, W) or (H, W, 3) RGB of their own type, and what is known against them.

        Raises:
            PictureError: as the function ``unpack``.
        """
        check_size(*self.size)
        places, sizes = self._blocks()
        end = self.file.seek(0, 2)
        if any(place + self.shift + size > end for place, size in zip(places, sizes)):
            raise PictureError("it ends too early")
        if self._is_plain():
            image, fault = self._assemble()
            image = self._choose(image)
        else:
            image, fault = self._by_opencv(), ""
        turned = self.value(ORIENTATION, 1) if upright else 1
        return turn(image, turned) if turned in range(2, 9) else image, fault

    def _blocks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Places and sizes of strips or tiles in the file, in bytes."""
        tiled = TILES in self.entries
        return self.values(TILES if tiled else STRIPS), self.values(TILE_SIZES if tiled else STRIP_SIZES)

    def _is_plain(self) -> bool:
        """Whether the samples can be taken as they are."""
        samples, photometric = self.value(SAMPLES, 1), self.value(PHOTOMETRIC, BLACK_IS_ZERO)
        known = self.value(COMPRESSION, 1) in NOT_COMPRESSED | DEFLATE and self.value(FILL_ORDER, 1) == 1
        coloured = photometric == RGB and samples >= 3
        grey = photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
        simple = samples == (3 if coloured else 1) or self.bits > 8  # OpenCV multiplies 8-bit colours with their alpha
        return known and (coloured or grey) and simple and self.dtype is not None and bool(self._blocks()[0])

    def _assemble(self) -> tuple[Raw, str]:
        """(H, W, samples) of all strips or tiles."""
        width, height = self.size
        samples, split = self.value(SAMPLES, 1), self.value(PLANES, 1) == 2
        check_size(width * ceil(samples / 4), height)
        tiled = TILES in self.entries
        rows = self.value(TILE_HEIGHT, 0) if tiled else min(self.value(ROWS, height), height)
        columns = self.value(TILE_WIDTH, 0) if tiled else width
        check_size(columns, rows)
        across, down = ceil(width / columns), ceil(height / rows)
        places, sizes = self._blocks()
        count = across * down * (samples if split else 1)
        if len(places) < count or len(sizes) < count:
            raise PictureError("it is damaged, pieces of the picture are missing")
        assert self.dtype is not None
        if height * width * samples * self.dtype.itemsize > sum(sizes) * BEST_RATIO:
            raise PictureError("it is damaged, it has too few bytes for so large a picture")
        image = np.zeros((height, width, samples), self.dtype.newbyteorder("="))
        damaged = 0
        for number, (place, size) in enumerate(zip(places[:count], sizes)):
            plane, within = divmod(number, across * down)
            top, left = within // across * rows, within % across * columns
            high = rows if tiled else min(rows, height - top)
            shape = high, columns, 1 if split else samples
            block, whole = self._block(place, size, shape, rows)
            damaged += not whole
            target = image[top : top + high, left : left + columns, slice(plane, plane + 1) if split else slice(None)]
            target[...] = block[: target.shape[0], : target.shape[1]]
        return image, f"{damaged} of {count} pieces of the picture are damaged" if damaged else ""

    def _block(self, place: int, size: int, shape: tuple[int, int, int], rows: int) -> tuple[Raw, bool]:
        """One strip or tile, and whether it is whole."""
        assert self.dtype is not None
        wanted = prod(shape) * self.dtype.itemsize
        if self.value(COMPRESSION, 1) in NOT_COMPRESSED:
            data, whole = _read(self.file, place + self.shift, wanted), True
        else:
            most = wanted // shape[0] * rows  # some writers fill the last strip up
            data, whole = _inflate(_read(self.file, place + self.shift, size), wanted, most)
        return _without_predictor(data, shape, self.dtype, self.value(PREDICTOR, 1)), whole

    def _choose(self, image: Raw) -> Raw:
        """Grey (H, W) or RGB (H, W, 3) of all samples."""
        samples, extra = image.shape[2], len(self.values(EXTRA))
        colours = 3 if self.value(PHOTOMETRIC, BLACK_IS_ZERO) == RGB else 1
        if samples not in (colours, 3) and samples - extra != colours:
            raise PictureError(f"it has {samples} channels; grey pictures and RGB are read")
        if self.value(PHOTOMETRIC, BLACK_IS_ZERO) == WHITE_IS_ZERO and image.dtype.kind == "u":
            image = ~image
        image = image[..., :3] if samples == 3 or colours == 3 else image[..., 0]
        return np.ascontiguousarray(image)

    def _by_opencv(self) -> Raw:
        compression = self.value(COMPRESSION, 1)
        if self.bits > 8 and self.value(PLANES, 1) == 2 and self.value(SAMPLES, 1) > 1:
            raise PictureError(
                f"it has {self.bits}-bit colours plane by plane, compressed; only deflated ones are read"
            )
        image = imdecode(self._alone(), NATURAL)
        if image is None:
            kind = f"compression {NAMES.get(compression, compression)}, {self.bits or 'various'} bits per sample"
            raise PictureError(f"it is damaged, or of a kind of TIFF that is not read ({kind})")
        if self.bits > 8 and self.value(PHOTOMETRIC, BLACK_IS_ZERO) == WHITE_IS_ZERO and image.dtype.kind == "u":
            image = ~image  # as OpenCV does with 8 bits
        return to_rgb(image)

    def _alone(self) -> bytes:
        """A TIFF of this page alone, upright as it is stored."""
        places, sizes = self._blocks()
        head, end = self._head(self.place), self.file.seek(0, 2)
        if _read(self.file, 0, len(head)) == head and sum(sizes) > end // 2 and self.value(ORIENTATION, 1) == 1:
            return _read(self.file, 0, end)  # as it is
        if any(tag in self.entries for tag in JPEG_OFFSETS) or not places or len(places) != len(sizes):
            return self._first()
        start = len(self._front(0))
        data = (_read(self.file, place + self.shift, size) for place, size in zip(places, sizes))
        return self._front(start) + b"".join(data)

    def _front(self, start: int) -> bytes:
        """Everything of a TIFF of this page that comes before its pixels, which are to be at ``start``."""
        entries = {tag: entry for tag, entry in self.entries.items() if tag in KEPT and tag != ORIENTATION}
        moved = _following(start, self._blocks()[1])
        packed = struct.pack(f"{self.order}{len(moved)}{'Q' if self.big else 'I'}", *moved)
        entries[TILES if TILES in entries else STRIPS] = Entry(16 if self.big else 4, len(moved), packed)
        word, head = (8, 16) if self.big else (4, 8)  # bytes of a number or short value, and of the file's head
        values_start = head + (8 if self.big else 2) + (4 + 2 * word) * len(entries) + word
        directory, values = b"", b""
        for tag, entry in sorted(entries.items()):
            content = entry.data.ljust(word, b"\0")
            if len(content) > word:
                content = self._number(values_start + len(values), word)
                values += entry.data + b"\0" * (len(entry.data) % 2)
            directory += self._number(tag, 2) + self._number(entry.kind, 2) + self._number(entry.count, word) + content
        count = self._number(len(entries), 8 if self.big else 2)
        return self._head(head) + count + directory + bytes(word) + values

    def _first(self) -> bytes:
        """The whole file, with this page as its first."""
        data = bytearray(_read(self.file, 0, self.file.seek(0, 2)))
        head = self._head(self.place)
        data[: len(head)] = head
        return bytes(data)

    def _head(self, place: int) -> bytes:
        """The beginning of a file whose first directory is at a place."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            return mark + struct.pack(self.order + "HHHQ", 43, 8, 0, place)
        return mark + struct.pack(self.order + "HI", 42, place)

    def _number(self, value: int, size: int) -> bytes:
        return value.to_bytes(size, "little" if self.order == "<" else "big")


def _directories(file: BinaryIO) -> Iterator[Page]:
    """All pages in order.

    Raises:
        PictureError: where the chain of directories breaks.
    """
    file.seek(0)
    head = file.read(16)
    order, big = ("<" if head[:2] == b"II" else ">"), b"+" in head[2:4]
    if len(head) < (16 if big else 8):
        raise PictureError("it ends too early")
    (place,) = struct.unpack_from(order + ("Q" if big else "I"), head, 8 if big else 4)
    end, seen = file.seek(0, 2), set[int]()
    while place and place not in seen and len(seen) < MAX_PAGES:
        seen.add(place)
        page, place = _directory(file, order, big, place, end)
        yield page


def _directory(file: BinaryIO, order: str, big: bool, place: int, end: int) -> tuple[Page, int]:
    """A page, and where the next directory is."""
    wide, step = ("Q", 20) if big else ("H", 12)
    (count,) = struct.unpack(order + wide, _read(file, place, 8 if big else 2))
    if count * step > end:
        raise PictureError("it is damaged, a list of tags is longer than the file")
    size = 8 if big else 4
    start = place + (8 if big else 2)
    data = _read(file, start, count * step + size)
    entries = {}
    for at in range(0, count * step, step):
        tag, kind, number = struct.unpack_from(order + ("HHQ" if big else "HHI"), data, at)
        if kind not in SIZES:
            continue
        total = number * SIZES[kind]
        content = data[at + step - size : at + step]
        if total > size:
            (where,) = struct.unpack(order + ("Q" if big else "I"), content)
            if tag not in KEPT | {DESCRIPTION, SUBFILE, OLD_SUBFILE, *JPEG_OFFSETS}:
                continue
            if total > end:
                raise PictureError(f"it is damaged, tag {tag} is longer than the file")
            content = _read(file, where, total)
        entries[tag] = Entry(kind, number, content[:total])
    (following,) = struct.unpack(order + ("Q" if big else "I"), data[-size:])
    return Page(file, order, big, entries, place), following


def _read(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    data = file.read(size)
    if len(data) < size:
        raise PictureError("it ends too early")
    return data


def _following(start: int, sizes: tuple[int, ...]) -> list[int]:
    """Places of pieces that follow each other."""
    return [start, *(start + np.cumsum(sizes[:-1])).tolist()] if sizes else []


def _inflate(data: bytes, wanted: int, most: int) -> tuple[bytes, bool]:
    """What a deflated piece holds, zeros where nothing can be had, and whether it is whole."""
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data, most)
        inflater.decompress(inflater.unconsumed_tail, 1)  # the checksum comes last
        whole = len(out) >= wanted
    except zlib.error:
        out, whole = b"".join(_inflate_in_steps(data, most)), False
    return out[:wanted].ljust(wanted, b"\0"), whole


def _inflate_in_steps(data: bytes, most: int) -> Iterator[bytes]:
    """What comes before the damage."""
    inflater, left = zlib.decompressobj(), most
    try:
        for start in range(0, len(data), 512):
            part = inflater.decompress(data[start : start + 512], left) if left else b""
            left -= len(part)
            yield part
    except zlib.error:
        return


def _without_predictor(data: bytes, shape: tuple[int, int, int], dtype: np.dtype, predictor: int) -> Raw:
    """Samples (rows, columns, samples) of the differences that were stored."""
    if predictor == FLOATING and dtype.kind == "f":
        rows, columns, samples = shape
        sums = np.cumsum(np.frombuffer(data, np.uint8).reshape(rows, -1, samples), axis=1, dtype=np.uint8)
        ordered = sums.reshape(rows, dtype.itemsize, columns * samples).swapaxes(1, 2)
        return native(np.ascontiguousarray(ordered).view(f">f{dtype.itemsize}").reshape(shape))
    values = native(np.frombuffer(data, dtype).reshape(shape))
    if predictor != HORIZONTAL:
        return values
    whole = values.view(f"u{dtype.itemsize}")
    return np.cumsum(whole, axis=1, dtype=whole.dtype).view(values.dtype)
