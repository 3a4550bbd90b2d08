"""Opening whatever gives frames."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from glob import escape, glob
from itertools import pairwise
from pathlib import Path

from lockon.errors import SourceError, first_few, printable
from lockon.pictures import IMAGE_SUFFIXES, Range, is_file, kind_of, natural_key
from lockon.video.camera import CameraSource
from lockon.video.container import VideoSource
from lockon.video.images import ImageSource
from lockon.video.opening import file_of
from lockon.video.source import FrameSource

NUMBER = re.compile(r"(%0?\d*[diu])")  # as in C, FFmpeg and OpenCV: %d, %4d, %04d
COMPANIONS = (  # files that go with pictures and need no remark
    *("", ".csv", ".db", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".md5", ".npy", ".npz", ".pdf"),
    *(".py", ".sh", ".tsv", ".txt", ".xml", ".yaml", ".yml", ".zip"),
)


def open_frames(
    source: str | Path | int, start: int = 0, end: int | None = None, levels: Range | None = None
) -> FrameSource:
    """Open anything that gives frames and keep those numbered `start` to `end` - 1.

    `source` is a video file, an image, a folder or glob of images (taken in natural order), images numbered by a
    pattern such as `img%04d.png`, a camera number, or the address of a network stream. `levels` are the values of
    images that become black and white, in place of those that `ImageSource` would take.
    Raises SourceError here, not later, if no frame can be had.

    >>> with open_frames("clip.mp4", start=10) as frames:
    ...     for index, image, time in frames: ...
    """
    if start < 0 or (end is not None and end <= start):
        raise SourceError(f"{source}: no frames from start={start} to end={end}; expected 0 <= start < end")
    try:
        return _open(source, start, end, levels)
    except OSError as error:  # a folder that may not be read, or a name that is too long
        raise SourceError(f"{source}: cannot be read, {error.strerror or error}") from None


def _open(source: str | Path | int, start: int, end: int | None, levels: Range | None) -> FrameSource:
    pictures = None if isinstance(source, int) else _find_pictures(str(source))
    if pictures is not None:
        files, name, notes = pictures
        images = ImageSource(files, name, start, end, levels)
        images.notes[:0] = notes
        return images
    if levels is not None:
        raise SourceError(f"{source}: levels are for pictures; a video or camera says itself what is black and white")
    if isinstance(source, int):
        return CameraSource(source, start, end)
    text, path = str(source), Path(source)
    if text.casefold().startswith("file://"):
        return open_frames(file_of(text), start, end)
    if "://" in text:
        return VideoSource(text, start, end, live=True)
    if path.exists():
        return VideoSource(path, start, end)
    if text.removeprefix("-").isdecimal():
        return CameraSource(int(text), start, end)
    raise SourceError(_missing(path))


def _find_pictures(source: str) -> tuple[list[Path], str, list[str]] | None:
    """Files, a name for results, and remarks, if the source is pictures."""
    path = Path(source)
    if "://" in source:
        return None
    if path.is_dir():
        files, notes = _images(source, path.iterdir())
        return files, path.resolve().name, notes
    if path.exists():
        return ([path], path.stem, []) if _is_picture(path) else None
    if source.isdecimal():
        return None
    if NUMBER.search(path.name):
        files, notes = _numbered(path)
    elif set(source) & set("*?["):
        files, notes = _images(source, map(Path, _glob(source)))
    else:
        return None
    return files, files[0].resolve().parent.name, notes


def _is_picture(path: Path) -> bool:
    """By its name or, where that is no picture's, by what it holds; animations that FFmpeg reads are none."""
    kind = kind_of(path)
    return kind == "picture" or (kind != "film" and path.suffix.lower() in IMAGE_SUFFIXES)


def _glob(pattern: str) -> list[str]:
    folder = Path(pattern).parent
    if folder.is_dir():  # its own name may have [ in it
        pattern = str(Path(escape(str(folder))) / Path(pattern).name)
    return glob(pattern, recursive=True)


def _images(source: str, candidates: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The pictures among files, in natural order, and remarks about the others."""
    found = sorted(candidates, key=lambda file: natural_key(str(file)))
    files = [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")]
    if not files:
        raise SourceError(f"{source}: no images there; looked for {' '.join(IMAGE_SUFFIXES)}")
    taken = set(files)
    left = [file.name for file in found if file not in taken and not _is_companion(file)]
    notes = [f"left out, {len(left)} in all: {first_few(map(printable, left))}"] if left else []
    return files, notes + _twins(files)


def _is_companion(file: Path) -> bool:
    """Whether a file that is no picture needs no remark."""
    if file.name.startswith("."):
        return file.name.startswith("._") or file.suffix.lower() not in IMAGE_SUFFIXES
    return file.suffix.lower() in COMPANIONS or not is_file(file)


def _twins(files: list[Path]) -> list[str]:
    """A remark where pictures of two kinds have the same names, as masks beside pictures do."""
    first: dict[Path, Path] = {}
    for file in files:
        other = first.setdefault(file.with_suffix(""), file)
        if other is not file:
            names = f"{printable(other.name)} and {printable(file.name)}"
            return [f"{names} are two frames, as are others of one name; a glob such as *{file.suffix} takes one kind"]
    return []


def _numbered(pattern: Path) -> tuple[list[Path], list[str]]:
    """The files that a pattern such as ``img%04d.png`` numbers, in order, and a remark about missing numbers."""
    before, form, after = NUMBER.split(pattern.name, maxsplit=1)
    if any("%" in text.replace("%%", "") for text in (before, after)) or len(form) > 4:
        raise SourceError(f"{pattern}: expected one number such as %04d in the name; or give a glob with *")
    if not pattern.parent.is_dir():
        raise SourceError(_missing(pattern))
    name = re.compile(
        re.escape(before.replace("%%", "%")) + r"( *\d+)" + re.escape(after.replace("%%", "%")), re.DOTALL
    )
    found: dict[int, Path] = {}
    for file in pattern.parent.iterdir():
        match = name.fullmatch(file.name)
        if match and match[1].isascii() and form % int(match[1]) == match[1]:
            found[int(match[1])] = file
    if not found:
        raise SourceError(f"{_missing(pattern)}; nor is there one with a number in place of {form}")
    numbers = sorted(found)
    gaps = [(one + 1, two - 1) for one, two in pairwise(numbers) if two > one + 1]
    notes = []
    if gaps:
        listed = first_few(f"{one}" if one == two else f"{one} to {two}" for one, two in gaps)
        notes = [f"of the numbers {numbers[0]} to {numbers[-1]} some have no picture and are no frames: {listed}"]
    return [found[number] for number in numbers], notes


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path}: no such file, nor a folder {path.parent}"
    near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()])
    return f"{path}: no such file" + (f"; did you mean {' or '.join(near)}?" if near else "")
