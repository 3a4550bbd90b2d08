"""MXF: a key, a length, a value, over and over."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

KEY = b"\x06\x0e\x2b\x34"  # how all keys begin


class Packs(Layout):
    """Values of one stream; a picture's place is its key. A film in one value is not looked into."""

    def start(self, position: int) -> int:
        """Takes the stream's key from its first picture."""
        self._key = self.read(position, 16)
        if not self._key.startswith(KEY):
            self._places = iter(())
        return super().start(position)

    def _walk(self) -> Iterator[int]:
        at = 0
        while at < self.size:
            head = self.read(at, 25)
            if not head.startswith(KEY[: len(head)]):
                raise Damage(FOREIGN)
            if len(head) < 17:
                raise Damage(CUT)
            more = head[16] & 0x7F if head[16] & 0x80 else 0  # bytes of a long length
            length = int.from_bytes(head[17 : 17 + more]) if more else head[16]
            if head[:16] == self._key:
                yield at
            at += 17 + more + length
            if at > self.size:
                raise Damage(CUT)
