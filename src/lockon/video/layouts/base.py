"""Walking through a file beside FFmpeg, to see what FFmpeg passes over."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from math import inf
from pathlib import Path

CUT = "the file ends too early"
FOREIGN = "bytes that do not belong there"


class Damage(Exception):
    """A fault that FFmpeg marks without raising, or passes over."""


class Layout(ABC):
    """The pictures of one stream as the file itself lists them, in the order of their bytes.

    FFmpeg searches for the next good place where a file is damaged, and says so in a log at most. A layout reads a few
    bytes of each element's header, just before FFmpeg's packet of it is used, so that these bytes are read once from
    the disk.

    Raises:
        Damage: something stands in the file that the format does not put there, or the file ends within an element.
    """

    late = False  # a packet is only known to be good when the next one is
    _file: int | None = None

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.size = path.stat().st_size
        self._places = self._walk()
        self._next: float = -1  # place of the next picture; -1 before the first
        self._passed = -1  # pictures before it
        self._taken = -1  # end of the last packet

    @abstractmethod
    def _walk(self) -> Iterator[int]:
        """Where each picture of the stream begins, or where it is whole at the latest."""

    def before(self, position: float) -> int:
        """Counts the pictures that stand before a byte of the file; bytes come in ascending order."""
        while self._next < position:
            self._passed += 1
            self._next = next(self._places, inf)
        return max(self._passed, 0)

    def start(self, position: int) -> int:
        """Looks at the file from the place of the stream's first packet on; the number of its pictures before that."""
        return self.before(position)

    def take(self, position: int, size: int) -> None:
        """Notes a packet of the stream: its first byte, as in FFmpeg's packets, and its size."""
        self._taken = position + size

    def total(self) -> int:
        """Counts all pictures."""
        return self.before(inf)

    def read(self, position: int, count: int) -> bytes:
        """Gives bytes from a place in the file, fewer at its end."""
        assert self._file is not None
        os.lseek(self._file, position, os.SEEK_SET)
        return os.read(self._file, count)

    def close(self) -> None:
        """Close the file. May be called twice."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        self.close()  # of a source that nobody closed
