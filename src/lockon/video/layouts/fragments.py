"""MP4 in fragments: boxes with a size, a `moof` that lists samples before each `mdat` that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

Box = tuple[bytes, int, int]  # kind, first byte of the content, first byte behind it
NESTED = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"}
# Bits of a track fragment's header and of a run of samples: which fields are there.
BASE, DESCRIPTION, DURATION = 0x1, 0x2, 0x8
OFFSET, FIRST_FLAGS, EACH_DURATION, EACH_SIZE, EACH_FLAGS, EACH_COMPOSITION = 0x1, 0x4, 0x100, 0x200, 0x400, 0x800


class Fragments(Layout):
    """Samples of one track in movie fragments; a picture's place is the last byte of its fragment.

    Samples of `moov` itself, if there are any, are in FFmpeg's own index: those that an edit list leaves of them.
    """

    def __init__(self, path: Path, track: int, indexed: int) -> None:
        super().__init__(path)
        self._track, self._indexed = track, indexed
        self._own = 0  # samples that FFmpeg has from `moov`
        self._duration = 0  # of a sample, where a fragment does not say
        self._last, self._time = 0, -1  # number of the last fragment, and where it ends on the track's clock

    def _walk(self) -> Iterator[int]:
        fragmented, pending, loose = False, 0, True
        at = 0
        while at < self.size:
            kind, body, end = self._box(at, self.size)
            if kind == b"moov":
                self._read_movie(body, end)
                fragmented = any(box[0] == b"mvex" for box in self._boxes(body, min(end, self.size)))
                pending = min(self._own, self._indexed) if fragmented else 0
                loose = pending > 0  # the first `mdat` holds the samples of `moov`
            elif kind == b"moof" and end > self.size:
                raise Damage(CUT)
            elif kind == b"moof":
                pending += self._read_fragment(body, end)
                loose = True
            elif kind == b"mdat" and fragmented:
                if not loose:
                    raise Damage(FOREIGN)
                for _ in range(pending):
                    yield end - 1
                pending, loose = 0, False
            at = end

    def _read_movie(self, body: int, end: int) -> None:
        here = 0
        for kind, inner, _ in self._inside(body, end):
            if kind == b"tkhd":
                here = self._number(inner + (20 if self.read(inner, 1) == b"\1" else 12))
            elif kind == b"stsz" and here == self._track:
                self._own = self._number(inner + 8)
            elif kind == b"trex" and self._number(inner + 4) == self._track:
                self._duration = self._number(inner + 12)

    def _read_fragment(self, body: int, end: int) -> int:
        """The samples of this track, after a look whether a fragment is missing before."""
        number = samples = length = track = duration = 0
        time = -1
        for kind, inner, behind in self._inside(body, end):
            if kind == b"mfhd":
                number = self._number(inner + 4)
            elif kind == b"tfhd":
                track, duration = self._read_track(inner)
            elif kind == b"tfdt" and track == self._track:
                time = self._number(inner + 4, 8 if self.read(inner, 1) == b"\1" else 4)
            elif kind == b"trun" and track == self._track:
                count, ticks = self._read_run(inner, behind, duration)
                samples, length = samples + count, length + ticks
        lost = number > self._last + 1 > 1 and time > self._time >= 0  # its number is missing, and so is its time
        if lost and samples:
            raise Damage("a fragment is missing")
        self._last = number
        if time >= 0:
            self._time = time + length
        return samples

    def _read_track(self, at: int) -> tuple[int, int]:
        flags, track = self._number(at, 4) & 0xFFFFFF, self._number(at + 4)
        place = at + 8 + 8 * bool(flags & BASE) + 4 * bool(flags & DESCRIPTION)
        return track, self._number(place) if flags & DURATION else self._duration

    def _read_run(self, at: int, end: int, duration: int) -> tuple[int, int]:
        """How many samples a run has, and their ticks."""
        flags, count = self._number(at, 4) & 0xFFFFFF, self._number(at + 4)
        at += 8 + 4 * bool(flags & OFFSET) + 4 * bool(flags & FIRST_FLAGS)
        width = 4 * sum(bool(flags & bit) for bit in (EACH_DURATION, EACH_SIZE, EACH_FLAGS, EACH_COMPOSITION))
        if at + width * count > end:
            raise Damage(FOREIGN)
        if not flags & EACH_DURATION:
            return count, count * duration
        table = self.read(at, width * count)
        return count, sum(int.from_bytes(table[n : n + 4]) for n in range(0, len(table), width))

    def _inside(self, body: int, end: int) -> Iterator[Box]:
        """All boxes within a box, those in nested ones too."""
        for kind, inner, behind in self._boxes(body, min(end, self.size)):
            yield kind, inner, behind
            if kind in NESTED:
                yield from self._inside(inner, behind)

    def _boxes(self, at: int, end: int) -> Iterator[Box]:
        while at + 8 <= end:
            box = self._box(at, end)
            yield box
            at = box[2]

    def _box(self, at: int, end: int) -> Box:
        head = self.read(at, 16)
        if len(head) < 8:
            raise Damage(CUT)
        size, kind, body = int.from_bytes(head[:4]), head[4:8], at + 8
        if size == 1:
            size, body = int.from_bytes(head[8:16]), at + 16
        if size == 0:  # up to the end
            size = end - at
        if at + size < body:
            raise Damage(FOREIGN)
        return kind, body, at + size

    def _number(self, at: int, count: int = 4) -> int:
        return int.from_bytes(self.read(at, count))
