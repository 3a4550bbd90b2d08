"""ASF, the container of WMV: data packets of one size."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
HEADER, DATA_HEADER = 30, 50  # bytes of the header itself, and of the data's
BROADCAST = 1  # flag: the number of packets is not known


class Asf(Layout):
    """Packets in step, as many as the header says. Pictures cross their borders, so that none are counted."""

    late = True

    def before(self, position: float) -> int:
        """Walks up to a byte of the file."""
        super().before(position)
        return 0

    def _walk(self) -> Iterator[int]:
        count = width = 0
        at = HEADER
        while at + 24 <= self.size:
            head = self.read(at, 104)
            size = int.from_bytes(head[16:24], "little")
            if head.startswith(PROPERTIES):
                live = head[88] & BROADCAST
                count = 0 if live else int.from_bytes(head[56:64], "little")
                width = int.from_bytes(head[92:96], "little")
            if head.startswith(DATA):
                yield from self._packets(at + DATA_HEADER, count, width)
                return
            at += max(size, 24)

    def _packets(self, first: int, count: int, width: int) -> Iterator[int]:
        if not (count and width):
            return
        mark = self.read(first, 3)
        for number in range(count):
            at = first + number * width
            yield at
            if at + width > self.size:
                raise Damage(CUT)
            if self.read(at, 3) != mark:
                raise Damage(FOREIGN)
