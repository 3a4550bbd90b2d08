"""MPEG program streams, as on a DVD: packs and packets with a size."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

START = b"\x00\x00\x01"
PACK, END, FIRST_WITH_SIZE = 0xBA, 0xB9, 0xBB
STUFFING = 4096  # zero bytes between packets that some writers leave, at most


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
        zeros = self.read(at, STUFFING)
        rest = zeros.lstrip(b"\0")
        if len(zeros) == len(rest) or not (rest[:1] == b"\1" or (len(zeros) < STUFFING and not rest)):
            raise Damage(FOREIGN)
        return at + len(zeros) - len(rest) - 2 if rest else at + len(zeros)
