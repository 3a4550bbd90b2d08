"""MPEG transport streams: packets of one size. FFmpeg marks what is missing between them, unless it lost its step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

SYNC = b"\x47"
WIDTHS = (188, 192, 204)  # bytes of a packet: plain, with a time before it, with a checksum behind it
AT_ONCE = 348  # packets in a read


class Transport(Layout):
    """Whole packets in step up to the end. Pictures cross their borders, so that none are counted."""

    late = True

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._width, self._first = self._step()

    def before(self, position: float) -> int:
        """Walks up to a byte of the file."""
        super().before(position)
        return 0

    def _step(self) -> tuple[int, int]:
        """Bytes of a packet, and the place of the first mark."""
        head = self.read(0, 4 * max(WIDTHS))
        for at in range(max(WIDTHS)):
            for width in WIDTHS:
                if all(head[at + n * width : at + n * width + 1] == SYNC for n in range(3)):
                    return width, at
        return 0, 0

    def _walk(self) -> Iterator[int]:
        if not self._width:
            return
        size = self._width * AT_ONCE
        for at in range(self._first, self.size, size):
            marks = self.read(at, size)[:: self._width]
            good = len(marks) - len(marks.lstrip(SYNC))
            yield at + good * self._width
            if good < len(marks):
                raise Damage(FOREIGN)
        begin = self._first - 4 if self._width == 192 else self._first
        if (self.size - begin) % self._width:
            raise Damage(CUT)
