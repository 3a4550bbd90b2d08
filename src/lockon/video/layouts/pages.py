"""Ogg: numbered pages of packets."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

MARK, HEADER = b"OggS", 27
FIRST = 0x02  # flag of a stream's first page


class Pages(Layout):
    """Packets of one stream; a picture's place is the page in which it ends."""

    def start(self, position: int) -> int:
        """Takes the stream's number from its first page with a picture."""
        self._serial = self.read(position, HEADER)[14:18]
        return super().start(position)

    def _walk(self) -> Iterator[int]:
        at, last = 0, -1
        while at < self.size:
            head = self.read(at, HEADER + 255)
            table = head[HEADER : HEADER + head[26]] if len(head) >= HEADER else b""
            if head[:4] != MARK[: len(head)]:
                raise Damage(FOREIGN)
            if len(head) < HEADER or at + HEADER + len(table) + sum(table) > self.size:
                raise Damage(CUT)
            if head[14:18] == self._serial:
                number = int.from_bytes(head[18:22], "little")
                if head[5] & FIRST and last >= 0:
                    return  # another film behind the first
                if last >= 0 and number > last + 1:
                    raise Damage("a page is missing")
                last = number
                if any(head[6:14]):  # pages with the description of the stream have no time
                    yield from [at] * sum(size < 255 for size in table)
            at += HEADER + len(table) + sum(table)
