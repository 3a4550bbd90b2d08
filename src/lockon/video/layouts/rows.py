"""Kinds of files in which picture follows upon picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout


class Rows(Layout):
    """Pictures behind headers of a few bytes each.

    Args:
        longest: bytes of a header at most.
        behind: bytes between a packet's place and size, as FFmpeg has them, and its end.
    """

    def __init__(self, path: Path, longest: int, behind: int = 0) -> None:
        super().__init__(path)
        self._longest, self._behind = longest, behind

    def _walk(self) -> Iterator[int]:
        yield from ()

    def take(self, position: int, size: int) -> None:
        """Looks at the place of a packet."""
        if 0 <= self._taken < position - self._longest:
            raise Damage(FOREIGN)
        super().take(position, size + self._behind)

    def total(self) -> int:
        """Looks whether anything is left."""
        if 0 <= self._taken < self.size:
            raise Damage(CUT)
        return 0
