"""Opening whatever gives frames."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from glob import glob
from pathlib import Path

from lockon.errors import SourceError
from lockon.pictures import IMAGE_SUFFIXES, natural_key
from lockon.video.camera import CameraSource
from lockon.video.container import VideoSource
from lockon.video.images import ImageSource
from lockon.video.opening import file_of
from lockon.video.source import FrameSource


def open_frames(source: str | Path | int, start: int = 0, end: int | None = None) -> FrameSource:
    """Open anything that gives frames and keep those numbered `start` to `end` - 1.

    `source` is a video file, an image, a folder or glob of images (taken in natural order), a camera number,
    or the address of a network stream. Raises SourceError here, not later, if no frame can be had.

    >>> with open_frames("clip.mp4", start=10) as frames:
    ...     for index, image, time in frames: ...
    """
    if start < 0 or (end is not None and end <= start):
        raise SourceError(f"{source}: no frames from start={start} to end={end}; expected 0 <= start < end")
    if isinstance(source, int):
        return CameraSource(source, start, end)
    text, path = str(source), Path(source)
    if text.casefold().startswith("file://"):
        return open_frames(file_of(text), start, end)
    if "://" in text:
        return VideoSource(text, start, end, live=True)
    if path.is_dir():
        return ImageSource(_images(text, path.iterdir()), path.resolve().name, start, end)
    if path.suffix.lower() in IMAGE_SUFFIXES and path.exists():
        return ImageSource([path], path.stem, start, end)
    if path.exists():
        return VideoSource(path, start, end)
    if text.removeprefix("-").isdecimal():
        return CameraSource(int(text), start, end)
    if set(text) & set("*?["):
        files = _images(text, map(Path, glob(text, recursive=True)))
        return ImageSource(files, files[0].resolve().parent.name, start, end)
    raise SourceError(_missing(path))


def _images(source: str, candidates: Iterable[Path]) -> list[Path]:
    files = [p for p in candidates if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise SourceError(f"{source}: no images there; looked for {' '.join(IMAGE_SUFFIXES)}")
    return sorted(files, key=lambda file: natural_key(str(file)))


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path}: no such file, nor a folder {path.parent}"
    near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()])
    return f"{path}: no such file" + (f"; did you mean {' or '.join(near)}?" if near else "")
