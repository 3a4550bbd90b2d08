"""An MP4 that plays at every moment while it grows, whatever stops it (ISO/IEC 14496-12 and 14496-15).

FFmpeg's muxer holds each frame back until the next one comes, and cannot be used again after a full disk; so the few
boxes that a single H.264 stream takes are written here. Each frame is a fragment of its own (100 bytes more than its
picture), which players of fragmented files find. At the end an index of the usual kind is put behind them, and all
before it becomes its data: an ordinary file, which can be sought in.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from struct import pack

import numpy as np

TICKS = 90_000  # a second; divides every usual frame rate
MATRIX = pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # neither turned nor moved
KEY, DEPENDENT = 0x02000000, 0x01010000  # flags of a sample: needs no other; needs others, nothing can begin with it
SPS, PPS, DELIMITER = 7, 8, 9  # kinds of NAL units that stand in the header or nowhere
PLAIN_PROFILES = (66, 77, 88)  # baseline, main, extended: others tell their format of colour
LARGEST = 2**32 - 1024  # bytes of a frame


class GrowingMp4:
    """One stream of H.264 in an MP4, frame by frame.

    Every frame added is in the file when ``add`` returns, and a process that dies in the middle of it leaves the frames
    before. Where the disk is full, the file is cut behind the last whole frame, which needs no space.

    Args:
        file: open for writing, unbuffered, empty; it is not closed here.
        size: width, height in pixels.
        step: ticks that the last frame lasts.
        pixel_aspect: width of a pixel in its heights.
    """

    def __init__(self, file: FileIO, size: tuple[int, int], step: int, pixel_aspect: Fraction = Fraction(1)) -> None:
        self._file, self._size, self._step, self._aspect = file, size, step, pixel_aspect
        self._parameters = b""  # the box that tells decoders how to begin
        self._end = 0  # of what is whole
        self._payload = 0  # where the box stands that is to become the data
        self._sizes, self._places, self._stamps, self._keys = array("I"), array("Q"), array("Q"), array("Q")

    def __len__(self) -> int:
        return len(self._stamps)

    def add(self, packet: bytes, stamp: int, key: bool) -> None:
        """Appends a frame.

        Args:
            packet: its NAL units behind start codes, those of the first frame with SPS and PPS among them.
            stamp: when it is shown, in ticks from the first; more than the last one's.
            key: it can be decoded without others.

        Raises:
            OSError: the system cannot write it.
            ValueError: not what an encoder of H.264 without B-frames gives.
        """
        if self._stamps and stamp <= self._stamps[-1]:
            raise ValueError("the encoder changes the order of frames")
        units = list(nal_units(packet))
        if not self._end:
            self._begin(units)
        coded = (unit for unit in units if unit[0] & 31 not in (SPS, PPS, DELIMITER))
        sample = b"".join(pack(">I", len(unit)) + unit for unit in coded)
        if not 0 < len(sample) < LARGEST:
            raise ValueError("the encoder gave a frame without content")
        fragment = _fragment(len(self) + 1, stamp, len(sample), key)
        place = self._end + len(fragment)
        self._append(fragment + sample)
        self._sizes.append(len(sample))
        self._places.append(place)
        self._stamps.append(stamp)
        if key:
            self._keys.append(len(self))

    def finish(self) -> None:
        """Turns the fragments into an ordinary file; where that fails they stay, and play.

        Raises:
            OSError: the system cannot write it.
        """
        if not self._stamps:
            return
        data = self._end - self._payload
        self._append(self._index())
        try:
            self._put(self._payload, pack(">I4sQ", 1, b"mdat", data))
        except BaseException:
            self._end = self._payload + data
            self._cut(self._end)
            raise

    def _begin(self, units: list[bytes]) -> None:
        self._parameters = _parameters(units)
        kind = _box(b"ftyp", b"isom", _u32(512), b"isom", b"iso6", b"avc1", b"mp41")
        self._append(kind + _box(b"free", bytes(8)) + self._index())
        self._payload = len(kind)

    def _append(self, boxes: bytes) -> None:
        """Adds boxes that come to count all at once: until their first 8 bytes are there they are free space."""
        try:
            self._put(self._end, pack(">I4s", len(boxes), b"free") + boxes[8:])
            self._put(self._end, boxes[:8])
        except BaseException:
            self._cut(self._end)
            raise
        self._end += len(boxes)

    def _put(self, place: int, content: bytes) -> None:
        rest = memoryview(content)
        self._file.seek(place)
        while rest:  # a disk that fills up takes a part first
            rest = rest[self._file.write(rest) :]

    def _cut(self, end: int) -> None:
        with suppress(OSError):
            self._file.truncate(end)

    def _index(self) -> bytes:
        """What frames there are and where; for a file that goes on in fragments, none."""
        whole = len(self._stamps) > 0
        duration = self._stamps[-1] + self._step if whole else 0
        parts = [
            _full(
                b"mvhd", pack(">QQIQ", 0, 0, TICKS, duration), pack(">IH10x", 1 << 16, 256), MATRIX, bytes(24), _u32(2)
            ),
            self._track(duration),
        ]
        if not whole:
            parts.append(_box(b"mvex", _full(b"trex", pack(">5I", 1, 1, self._step, 0, DEPENDENT), version=0)))
        return _box(b"moov", *parts)

    def _track(self, duration: int) -> bytes:
        width, height = self._size
        shown = min(width * self._aspect, Fraction(65_535))  # with square pixels
        sides = pack(">II", round(shown * (1 << 16)), height << 16)
        language = 0x55C4  # undetermined
        return _box(
            b"trak",
            _full(b"tkhd", pack(">QQI4xQ16x", 0, 0, 1, duration), MATRIX, sides, flags=3),
            _box(
                b"mdia",
                _full(b"mdhd", pack(">QQIQHH", 0, 0, TICKS, duration, language, 0)),
                _full(b"hdlr", b"\0\0\0\0vide", bytes(12), b"VideoHandler\0", version=0),
                _box(
                    b"minf",
                    _full(b"vmhd", bytes(8), version=0, flags=1),
                    _box(b"dinf", _full(b"dref", _u32(1), _full(b"url ", version=0, flags=1), version=0)),
                    _box(b"stbl", self._description(), *self._tables()),
                ),
            ),
        )

    def _description(self) -> bytes:
        name, depth, resolution = bytes(32), 24, 72 << 16  # per inch: nobody reads it
        entry = pack(">6xH16xHHII4xH", 1, *self._size, resolution, resolution, 1) + name + pack(">Hh", depth, -1)
        ratio = self._aspect.as_integer_ratio()
        shape = _box(b"pasp", pack(">II", *ratio)) if self._aspect != 1 else b""
        return _full(b"stsd", _u32(1), _box(b"avc1", entry, self._parameters, shape), version=0)

    def _tables(self) -> Iterator[bytes]:
        runs = _runs(np.array(self._stamps, np.int64), self._step)
        yield _full(b"stts", _u32(len(runs)), runs.astype(">u4").tobytes(), version=0)
        if self._keys:
            yield _full(b"stss", _u32(len(self._keys)), np.array(self._keys).astype(">u4").tobytes(), version=0)
        chunks = pack(">III", 1, 1, 1) if self._sizes else b""  # from the first chunk on: one frame in each
        yield _full(b"stsc", _u32(len(chunks) // 12), chunks, version=0)
        yield _full(b"stsz", _u32(0), _u32(len(self)), np.array(self._sizes).astype(">u4").tobytes(), version=0)
        far = self._end >= 2**32
        places = np.array(self._places, np.uint64).astype(">u8" if far else ">u4")
        yield _full(b"co64" if far else b"stco", _u32(len(self)), places.tobytes(), version=0)


def nal_units(packet: bytes) -> Iterator[bytes]:
    """The NAL units between the start codes of a packet."""
    start = packet.find(b"\0\0\1")
    while start >= 0:
        end = packet.find(b"\0\0\1", start + 3)
        unit = packet[start + 3 : None if end < 0 else end].rstrip(b"\0")  # a unit never ends in zeros
        if unit:
            yield unit
        start = end


def _parameters(units: list[bytes]) -> bytes:
    sets = [[unit for unit in units if unit[0] & 31 == kind] for kind in (SPS, PPS)]
    if not all(sets) or len(sets[0][0]) < 4:
        raise ValueError("the encoder gave no parameter sets")
    sequences, pictures = (b"".join(pack(">H", len(unit)) + unit for unit in found) for found in sets)
    profile, compatible, level = sets[0][0][1:4]
    head = bytes((1, profile, compatible, level, 0xFF, 0xE0 | len(sets[0])))  # 0xFF: lengths of four bytes
    colours = b"" if profile in PLAIN_PROFILES else b"\xfd\xf8\xf8\0"  # 4:2:0 in 8 bits
    return _box(b"avcC", head, sequences, bytes((len(sets[1]),)), pictures, colours)


def _fragment(number: int, stamp: int, size: int, key: bool) -> bytes:
    """The boxes before a frame's bytes."""
    header = _full(b"mfhd", _u32(number), version=0)
    track = _full(b"tfhd", _u32(1), version=0, flags=0x20000)  # places count from this box
    time = _full(b"tfdt", pack(">Q", stamp))
    told = 0x201 | (4 if key else 0)  # place and size; flags only where they are not the usual ones
    flags = _u32(KEY) if key else b""
    length = 8 + len(header) + 8 + len(track) + len(time) + 12 + 12 + len(flags)
    run = _full(b"trun", _u32(1), _u32(length + 8), flags, _u32(size), version=0, flags=told)
    boxes = _box(b"moof", header, _box(b"traf", track, time, run))
    return boxes + pack(">I4s", size + 8, b"mdat")


def _runs(stamps: np.ndarray, step: int) -> np.ndarray:
    """(N, 2): how many frames in a row last how many ticks."""
    if not len(stamps):
        return np.zeros((0, 2), np.int64)
    lasting = np.diff(stamps, append=stamps[-1] + step)
    starts = np.flatnonzero(np.diff(lasting, prepend=-1))
    counts = np.diff(starts, append=len(lasting))
    return np.stack([counts, lasting[starts]], 1)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return pack(">I4s", len(body) + 8, kind) + body


def _full(kind: bytes, *content: bytes, version: int = 1, flags: int = 0) -> bytes:
    """A box with a version; 1 has times of 64 bits."""
    return _box(kind, _u32(version << 24 | flags), *content)


def _u32(number: int) -> bytes:
    return pack(">I", number)
