"""What gives frames, one after the other, and reading them ahead of their use."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from itertools import islice
from typing import NamedTuple, Self, TypeVar

from lockon.errors import SourceError, masked, printable
from lockon.pictures import Image

T = TypeVar("T")
RawFrames = Generator[tuple[float, Callable[[], tuple[Image, str]]], None, None]
NOMINAL_FPS = 30.0  # where a source does not say
LONGEST_NAME = 120  # bytes; leaves room for endings in the 255 that file systems allow


class Frame(NamedTuple):
    """One frame of a source.

    Attributes:
        index: its number in the source, counted from 0.
        image: (height, width, 3) uint8 RGB.
        time: seconds since the source's first frame.
        fault: why the picture may not show what was recorded, in a few words; empty where nothing is known against it.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    image: Image
    time: float
    fault: str = ""


class FrameSource(ABC):
    """The frames of one source in order: an iterator, and a context manager that closes what it opened.

    `name` suits an output file; `size` is (width, height) of the first frame, upright; `fps` is nominal;
    `length` is the number of frames to come, as known when opened, else None; a `live` source does not wait.
    `pixel_aspect` is a pixel's width by its height when shown; images are as they are stored.
    `notes` are remarks for the user about the source as a whole, a few lines that come up while it is read: a clock
    that started anew, a range of grey levels that was stretched, streams that were left out.
    Raises FrameError at a fault, after every good frame before it.
    """

    live = False
    pixel_aspect = Fraction(1)

    def __init__(self, place: str, name: str, fps: float, total: int | None, start: int, end: int | None) -> None:
        self.name, self.fps, self._place = usable_name(name), fps, masked(place)
        self.length = None if total is None else max(min(total, end or total) - start, 0)
        self.notes: list[str] = []
        self._count = 0  # frames read so far, skipped ones too: the number of the next one
        self._raw = self._read()
        self._kept = self._keep(start, end)
        try:  # the first frame is read here, so that a bad source fails when it is opened
            self._first = next(self._kept, None)
            if self._first is None:
                has = f"{self._count} frames, start={start} is past the end" if self._count else "no frames"
                raise SourceError(f"{place}: has {has}")
        except BaseException:
            self.close()
            raise
        height, width = self._first.image.shape[:2]
        self.size = (width, height)

    @abstractmethod
    def _read(self) -> RawFrames:
        """Every frame as (seconds, call that makes its image and fault); of skipped frames no image is made."""

    def _keep(self, start: int, end: int | None) -> Iterator[Frame]:
        for time, make in islice(self._raw, end):
            index = self._count
            self._count += 1
            if index >= start:
                image, fault = make()
                yield Frame(index, image, time, fault)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        first, self._first = self._first, None
        return first or next(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or device; no frames come after. May be called twice."""
        self._first = None
        self._raw.close()


@contextmanager
def read_ahead(frames: FrameSource) -> Iterator[Iterator[Frame]]:
    """The frames of a source, the next one read in a thread while the caller works on one; leave before closing it.

    A live source is not read ahead: its next frame would be old by the time it is used.
    """
    if frames.live:
        yield iter(frames)
        return
    with ThreadPoolExecutor(1) as reader:
        yield ahead(frames, reader)


def ahead(items: Iterator[T], reader: Executor) -> Iterator[T]:
    """The same items, the next one made by ``reader`` while the caller works on one."""
    coming = reader.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = reader.submit(next, items, None)
        yield item


def usable_name(name: str) -> str:
    """Makes a name that suits a file: no separators, no control characters, not hidden, not too long."""
    name = re.sub(r"[/\\\0]+", "_", "".join("_" if printable(c) != c else c for c in name)).strip().lstrip(".")
    while len(name.encode("utf-8", "surrogateescape")) > LONGEST_NAME:
        name = name[:-1]
    return name or "video"
