"""MPEG program streams, as on a DVD: packs and packets with a size."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

START = b"\x00\x00\x01"
PACK, END, FIRST_WITH_SIZE = 0xBA, 0xB9, 0xBB
STUFFING = 16  # zero bytes between packets that some writers leave, at most; any number at the end


class Program(Layout):
    """Packets are in order and whole. Pictures cross their borders, so that none are counted."""

    def before(self, position: float) -> int:
        """Walks up to a byte of the file."""
        super().before(position)
        return 0

    def _walk(self) -> Iterator[int]:
        at = 0
        while at + 6 <= self.size:
            head = self.read(at, 14)
            if head[:3] != START:
                at = self._behind_stuffing(at)
            elif head[3] == PACK:
                at += 14 + (head[13] & 7) if head[4] >> 6 == 1 else 12
            elif head[3] == END:
                at += 4
            elif head[3] < FIRST_WITH_SIZE:
                raise Damage(FOREIGN)
            else:
                at += 6 + int.from_bytes(head[4:6])
            if at > self.size:
                raise Damage(CUT)
            yield at

    def _behind_stuffing(self, at: int) -> int:
        data = self.read(at, 2 * STUFFING)
        zeros = len(data) - len(data.lstrip(b"\0"))
        if data and zeros == len(data) and not self.read(at, self.size - at).strip(b"\0"):
            return self.size
        if not 2 < zeros <= STUFFING or data[zeros] != START[-1]:
            raise Damage(FOREIGN)
        return at + zeros - 2
