"""AVI: chunks with a size, in lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

LISTS = {b"RIFF", b"LIST"}
PICTURES = {b"dc", b"db"}
OF_STREAM = PICTURES | {b"wb", b"tx", b"sb", b"pc", b"ix"}
OTHERS = {b"JUNK", b"idx1", b"indx", b"INFO", b"IDIT", b"ISMP", b"PAD ", b"junk"}


class Chunks(Layout):
    """Chunks of one stream; a picture's place is its chunk's content."""

    def __init__(self, path: Path, stream: int, streams: int) -> None:
        super().__init__(path)
        self._stream, self._streams = stream, streams

    def _walk(self) -> Iterator[int]:
        at, inside, end = 0, False, 0  # inside the list of pictures and sound, and where it ends
        part = 0  # end of the file's first or later part
        while at + 8 <= self.size:
            head = self.read(at, 12)
            kind, size = head[:4], int.from_bytes(head[4:8], "little")
            if kind == b"RIFF":
                part = at + 8 + size if size else self.size
            elif at >= part:
                return  # what follows is none of the film
            if kind in LISTS:
                inside = head[8:12] in (b"movi", b"rec ")
                end = at + 8 + size if head[8:12] == b"movi" and size else end
                content = inside or kind == b"RIFF"
                at += 12 if content else 8 + size + size % 2
                continue
            if not inside and not (kind.isascii() and kind.decode().isprintable()):
                raise Damage(FOREIGN)
            if not inside or kind in OTHERS or kind[:2] == b"ix":
                inside = inside and kind != b"idx1"
                at += 8 + size + size % 2
                continue
            number = self._number(kind)
            if number is None and self._number(self.read(at - 1, 4)) is not None:
                at -= 1  # some writers do not fill up odd sizes
                continue
            if number is None:
                raise Damage(FOREIGN)
            if at + 8 + size > self.size:
                raise Damage(CUT)
            if number == self._stream and kind[2:] in PICTURES and size:
                yield at + 8
            at += 8 + size + size % 2
        if inside and at < end:
            raise Damage(CUT)

    def _number(self, kind: bytes) -> int | None:
        """The stream that a chunk is of, None if it is of none."""
        good = len(kind) == 4 and kind[:2].isdigit() and kind[2:] in OF_STREAM and int(kind[:2]) < self._streams
        return int(kind[:2]) if good else None
