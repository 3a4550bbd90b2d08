"""Image files as frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO
from weakref import finalize

from lockon.errors import FrameError, PictureError, printable
from lockon.pictures import Image, Levels, Page, Range, Raw, holds_several, open_file, pages, read_file, unpack
from lockon.video.source import NOMINAL_FPS, FrameSource, RawFrames

Unpack = Callable[[], tuple[Raw, str]]


class ImageSource(FrameSource):
    """Image files as frames at a nominal rate, each of its own size and upright as its file says.

    A single file that holds several pictures, a TIFF stack or an animation, gives all of them, animations at their own
    times. Of such files among others the first picture is a frame, which is noted.

    Args:
        files: in the order of the frames.
        name: suits an output file.
        start: the first frame to give.
        end: the frame to stop before.
        levels: the values that become black and white. Without, 8-bit pictures stay as they are, and what has more is
            treated as ``pictures.Levels`` says, with the range of the first frame given.
    """

    def __init__(
        self, files: list[Path], name: str, start: int = 0, end: int | None = None, levels: Range | None = None
    ) -> None:
        self._files = files
        self._levels = Levels(levels)
        self._told = False  # that a file of several holds more pictures
        self._file: BinaryIO | None = None  # that has the pages
        self._pages = self._open_pages()
        times = [page.seconds for page in self._pages if page.seconds is not None]
        fps = len(times) / sum(times) if times else NOMINAL_FPS
        super().__init__(str(files[0].parent), name, fps, len(self._pages) or len(files), start, end)

    def _open_pages(self) -> list[Page]:
        if len(self._files) > 1:
            return []
        try:
            file = open_file(self._files[0])
        except (OSError, ValueError):
            return []  # told where its frame is read
        found = pages(file)
        if found:
            self._file = file
            finalize(self, file.close)  # where nobody closes this source
        else:
            file.close()
        return found

    def _read(self) -> RawFrames:
        if self._file is None:
            for index, file in enumerate(self._files):
                yield index / self.fps, partial(self._make, partial(self._load, file), file, index)
            return
        with self._file:
            seconds = 0.0
            for index, page in enumerate(self._pages):
                yield seconds, partial(self._make, page.unpack, self._files[0], index)
                seconds += 1 / self.fps if page.seconds is None else page.seconds

    def _make(self, load: Unpack, file: Path, index: int) -> tuple[Image, str]:
        try:
            picture, fault = load()
        except (OSError, PictureError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise FrameError(f"{file}: frame {index} cannot be read, {why}", index) from error
        except MemoryError:
            raise FrameError(f"{file}: frame {index} cannot be read, there is not enough memory", index) from None
        image = self._levels.apply(picture, f"frame {index}")
        self.notes += self._levels.notes
        self._levels.notes.clear()
        return image, printable(fault)

    def _load(self, file: Path) -> tuple[Raw, str]:
        data = read_file(file)
        unpacked = unpack(data)
        if not self._told and holds_several(data):
            self._told = True
            self.notes.append(
                f"{printable(file.name)} holds several pictures, of which only the first is a frame, as of other such "
                "files here; open one alone for all its pictures"
            )
        return unpacked
