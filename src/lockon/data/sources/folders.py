"""The library's own layouts, ``images`` and ``clips``: a folder, or an uncompressed tar of one, with annotations.jsonl.

- images: ``{"image": path, "w": width, "h": height, "boxes": [[x, y, w, h], ...], "mask": path}`` per line; the mask is
  an 8-bit PNG whose value i marks object i of ``boxes``, counted from 1. In its place there may be ``"polygons"``: for
  each object a list of polygons [x, y, x, y, ...] in pixels, or null. Lines without ``boxes`` are unlabelled pictures,
  and then the annotation file may be missing altogether.
- clips: ``{"clip": folder, "frames": [first, last], "boxes": [[x, y, w, h] or null, ...]}`` per track, frames
  counted from 1 in files ``00000001.jpg``; null where the target is absent.

Lines may have fields besides these. Paths are inside the folder or tar.

Another file of such lines may be given as the part; for the pictures and clips that it names it takes the place of what
is written in their folders and tars.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from lockon.annotations import parse_json, read_bytes, text_of
from lockon.data.sources.base import Masks, Source, Still, Track
from lockon.data.sources.fields import Row, are_numbers, box_of, is_whole, kind_of, row_of, side_of
from lockon.data.sources.layout import drop_unusable
from lockon.data.sources.places import Files, list_places
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.names import path_inside
from lockon.pictures import IMAGE_SUFFIXES, PictureFile

ANNOTATIONS = "annotations.jsonl"
OTHERS = "a file of annotations in JSON lines"
SLIPS = {"box": "boxes", "bbox": "boxes", "bboxes": "boxes", "masks": "mask", "polygon": "polygons", "frame": "frames"}
FIELDS = {"image": ("image", "w", "h", "boxes", "mask", "polygons"), "clip": ("clip", "w", "h", "frames", "boxes")}
NUMBER = "{:08d}.jpg"  # of a clip's frames
LAST = 10**8 - 1  # the last number that its digits hold


@dataclass(frozen=True, slots=True)
class NumberedMasks:
    """A picture of object numbers, counted from 1, as one mask per object."""

    labels: PictureFile

    @property
    def size(self) -> None:
        """The picture has a size of its own."""
        return

    def __getitem__(self, number: int, /) -> np.ndarray:
        return self.labels.mask(number + 1)


@dataclass(frozen=True, slots=True)
class PolygonMasks:
    """Outlines of the objects of a picture of ``height`` x ``width`` pixels: of each object some polygons, each
    x, y, x, y, ...; none for an object without mask."""

    height: int
    width: int
    polygons: Sequence[Sequence[Sequence[float]] | None]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the annotation claims."""
        return self.height, self.width

    def __getitem__(self, number: int, /) -> np.ndarray:
        mask = np.zeros((self.height, self.width), np.uint8)
        outlines = [np.array(outline, np.float32).reshape(-1, 2) for outline in self.polygons[number] or ()]
        return cv2.fillPoly(mask, [np.round(outline).astype(np.int32) for outline in outlines], 255)


@dataclass(frozen=True)
class Line:
    """One line of annotations: what errors call it, its fields, and the picture or clip that it is of."""

    where: str
    row: Row
    name: str


@dataclass
class Place:
    """A tar or folder, or several together.

    Attributes:
        name: for errors.
        files: by name; of several places the last counts.
        lines: the annotations.
        dropped: counts of what is left out, added to.
        twice: names that more than one of several places has.
    """

    name: str
    files: Files
    lines: Sequence[Line]
    dropped: Counter[str]
    twice: set[str] = field(default_factory=set)

    def file(self, name: str) -> PictureFile:
        """A file by its name.

        Raises:
            DataError: it is not there.
        """
        if name not in self.files:
            raise DataError(f"{self.name}: {name} is annotated but missing")
        self.dropped["files of a name that is in several places, of which the last is taken"] += name in self.twice
        return self.files[name]


@source("images", others=OTHERS)
def images(path: str, part: str) -> Source:
    """Still pictures with boxes and masks, or without; a part is a file of annotations that is not among them."""
    dropped: Counter[str] = Counter()
    return Source("images", stills=_images(path, dropped, part), dropped=+dropped)


@source("clips", others=OTHERS)
def clips(path: str, part: str) -> Source:
    """Annotated tracks; a part is a file of annotations that is not among the clips."""
    dropped: Counter[str] = Counter()
    return Source("clips", tracks=_clips(path, dropped, part), dropped=+dropped)


def read_images(pattern: str) -> list[Still]:
    """The still images of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation is malformed or names a picture that is not there.
    """
    return _images(pattern, Counter())


def read_clips(pattern: str) -> list[Track]:
    """The annotated tracks of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation is malformed or names a frame that is not there.
    """
    return _clips(pattern, Counter())


def _images(pattern: str, dropped: Counter[str], labels: str = "") -> list[Still]:
    stills = []
    for place in _read(pattern, "image", labels, dropped):
        for line in place.lines:
            picture, boxes = place.file(line.name), _boxes(line, dropped)
            stills.append(Still(picture, boxes, _masks(line, place, len(boxes))))
    if not stills:
        raise DataError(f"{pattern}: no images found")
    return stills


def _masks(line: Line, place: Place, count: int) -> Masks | None:
    """Masks of the picture's ``count`` boxes."""
    if line.row.get("mask") is not None:
        return NumberedMasks(place.file(path_inside(line.row["mask"], f"{line.where}, mask")))
    polygons = line.row.get("polygons")
    if polygons is None:
        return None
    width, height = _size(line)
    if width is None or height is None or not _fit(polygons, count, width, height):
        raise DataError(
            f"{line.where}: the polygons of {line.name} are not, for each of its {count} boxes, null or a list of "
            f"x, y, x, y, ... in or near the picture; and they need w and h"
        )
    return PolygonMasks(height, width, polygons)


def _fit(polygons: object, count: int, width: int, height: int) -> bool:
    """Whether these are, for each of ``count`` objects, null or a list of polygons in or near the picture."""
    if not isinstance(polygons, list) or len(polygons) != count:
        return False
    given = [outlines for outlines in polygons if outlines is not None]
    if not all(isinstance(outlines, list) for outlines in given):
        return False
    side = max(width, height)
    return all(
        isinstance(outline, list)
        and outline
        and len(outline) % 2 == 0
        and are_numbers(outline)
        and -side <= min(outline)
        and max(outline) <= 2 * side
        for outlines in given
        for outline in outlines
    )


def _clips(pattern: str, dropped: Counter[str], labels: str = "") -> list[Track]:
    tracks = []
    for place in _read(pattern, "clip", labels, dropped):
        for line in place.lines:
            first, last = _span(line)
            boxes = _boxes(line, dropped)
            if len(boxes) != last + 1 - first:
                raise DataError(f"{line.where}: {line.name} has {last + 1 - first} frames but {len(boxes)} boxes")
            frames = tuple(place.file(f"{line.name}/{NUMBER.format(n)}") for n in range(first, last + 1))
            tracks.append(Track(frames, boxes, ~np.isnan(boxes[:, 0]), name=line.name))
    if not tracks:
        raise DataError(f"{pattern}: no annotated clips found")
    return tracks


def _span(line: Line) -> tuple[int, int]:
    given = line.row.get("frames")
    if isinstance(given, list) and len(given) == 2 and all(map(is_whole, given)) and 0 <= given[0] <= given[1] <= LAST:
        return int(given[0]), int(given[1])
    raise DataError(f"{line.where}: the frames of {line.name} are not given as first, last: {reprlib.repr(given)}")


def _boxes(line: Line, dropped: Counter[str]) -> np.ndarray:
    given = line.row.get("boxes")
    if given is None:
        given = []
    if not isinstance(given, list):
        raise DataError(f"{line.where}: boxes is {kind_of(given)}; expected a list of x, y, w, h")
    boxes = np.full((len(given), 4), np.nan)
    for number, box in enumerate(given):
        if box is not None:
            boxes[number] = box_of(box, f"{line.where}, boxes[{number}]")
    shown = np.array([box is not None for box in given], bool)
    width, height = _size(line)
    return drop_unusable(boxes, shown, dropped, None if width is None or height is None else (width, height))


def _size(line: Line) -> tuple[int | None, int | None]:
    width, height = (side_of(line.row.get(side), f"{line.where}, {side}") for side in ("w", "h"))
    return width, height


def _read(pattern: str, kind: str, labels: str, dropped: Counter[str]) -> Iterator[Place]:
    """Every tar or folder that matches; then all of them together, with the lines of ``labels``.

    Pictures without annotations have a line each, with nothing but their name.
    """
    own = _labels(labels, kind) if labels else []
    named = {line.name for line in own}
    every = Place(f"{pattern} with {labels}", {}, own, dropped)
    for name, files in list_places(pattern, dropped):
        where = f"{name}: {ANNOTATIONS}"
        lines = _lines(files.pop(ANNOTATIONS).read(), where, kind) if ANNOTATIONS in files else []
        if kind == "image" and not lines:
            lines = _unlabelled(files, name, dropped)
        every.twice |= every.files.keys() & files.keys()
        every.files.update(files)
        yield Place(name, files, [line for line in lines if line.name not in named], dropped)
    if own:
        yield every


def _unlabelled(files: Files, place: str, dropped: Counter[str]) -> list[Line]:
    """A line for every picture, by its name."""
    shown = [name for name in sorted(files) if not name.rpartition("/")[2].startswith(".")]
    pictures = [name for name in shown if name.lower().endswith(IMAGE_SUFFIXES)]
    if others := len(shown) - len(pictures):
        dropped["files that are no pictures by their names"] += others
    return [Line(place, {}, name) for name in pictures]


def _labels(file: str, kind: str) -> list[Line]:
    if not Path(file).is_file():
        raise DataError(f"{file}: no such file; --data {kind}s:FILE=PATH takes annotations of PATH from FILE")
    return _lines(read_bytes(Path(file)), file, kind)


def _lines(data: bytes, file: str, kind: str) -> list[Line]:
    """The lines of a file of annotations, those of one kind: "image" or "clip"."""
    lines: list[Line] = []
    seen: dict[str, str] = {}
    for number, text in enumerate(text_of(data, file, may_be_empty=True).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{file}, line {number}"
        try:
            row = row_of(parse_json(text, f"line {number}"), f"line {number}", "it")
        except DataError as error:
            raise DataError(f"{file} is not JSON lines of one object each: {error}") from None
        _check_fields(row, file, number, kind)
        name = path_inside(row[kind], f"{where}, {kind}")
        key = name if kind == "image" else text.strip()
        if key in seen:
            raise DataError(
                f"{where}: the same as {seen[key]}; give each {'picture' if kind == 'image' else 'track'} one line"
            )
        seen[key] = f"line {number}"
        lines.append(Line(where, row, name))
    return lines


def _check_fields(row: Row, file: str, number: int, kind: str) -> None:
    """Looks for lines of the other kind, and for fields that are meant to be one of ours."""
    if kind == "image" and "clip" in row and "image" not in row:
        raise DataError(f"{file} describes clips, not images; give it as clips=... (line {number})")
    if kind == "clip" and "image" in row and "clip" not in row:
        raise DataError(f"{file}: the annotations are of images, not of clips; give them as images=... (line {number})")
    for name in row:
        meant = SLIPS.get(name.lower(), name.lower())
        if meant != name and meant not in row and meant in FIELDS[kind]:
            raise DataError(f"{file}, line {number}: there is no field {name!r}; did you mean {meant!r}?")
    if kind not in row:
        raise DataError(f"{file}, line {number}: there is no field {kind!r}, which names what the line is of")
