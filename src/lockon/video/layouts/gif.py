"""GIF: blocks in parts of up to 255 bytes."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

HEADER = 13
EXTENSION, PICTURE, END = 0x21, 0x2C, 0x3B
TABLE = 0x80  # flag: a table of colours follows
AT_ONCE = 1 << 16


class Gif(Layout):
    """Pictures of an animation; a picture's place is its last byte."""

    def _walk(self) -> Iterator[int]:
        at = HEADER + self._table(self.read(10, 1))
        while (mark := self.read(at, 1)) != bytes([END]):
            if not mark:
                raise Damage(CUT)
            if mark[0] == EXTENSION:
                at = self._parts_end(at + 2)
            elif mark[0] == PICTURE:
                at = self._parts_end(at + 11 + self._table(self.read(at + 9, 1)))
                yield at - 1
            else:
                raise Damage(FOREIGN)

    @staticmethod
    def _table(flags: bytes) -> int:
        return 3 << (flags[0] & 7) + 1 if flags and flags[0] & TABLE else 0

    def _parts_end(self, at: int) -> int:
        """The place behind the empty part that ends a block."""
        while True:
            data, here = self.read(at, AT_ONCE), 0
            while here < len(data):
                if data[here] == 0:
                    return at + here + 1
                here += data[here] + 1
            at += here
            if not data:
                raise Damage(CUT)
