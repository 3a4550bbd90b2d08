"""The library's own layouts, ``images`` and ``clips``: a folder, or an uncompressed tar of one, with annotations.jsonl.

- images: ``{"image": path, "w": width, "h": height, "boxes": [[x, y, w, h], ...], "mask": path}`` per line; the mask is
  an 8-bit PNG whose value i marks object i of ``boxes``, counted from 1. In its place there may be ``"polygons"``: for
  each object a list of polygons [x, y, x, y, ...] in pixels, or null. Lines without ``boxes`` are unlabelled pictures,
  and then the annotation file may be missing altogether.
- clips: ``{"clip": folder, "frames": [first, last], "boxes": [[x, y, w, h] or null, ...]}`` per track, frames
  counted from 1 in files ``00000001.jpg``; null where the target is absent.

Another file of such lines may be given as the part; for the pictures and clips that it names it takes the place of what
is written in their folders and tars.
"""

from __future__ import annotations

import glob
import json
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lockon.data.sources.base import Masks, Source, Still, Track
from lockon.data.sources.layout import drop_unusable
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import IMAGE_SUFFIXES, PictureFile

ANNOTATIONS = "annotations.jsonl"
OTHERS = "a file of annotations in JSON lines"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NumberedMasks:
    """A picture of object numbers, counted from 1, as one mask per object."""

    labels: PictureFile

    def __getitem__(self, number: int, /) -> np.ndarray:
        return self.labels.mask(number + 1)


@dataclass(frozen=True, slots=True)
class PolygonMasks:
    """Outlines of the objects of a picture of ``height`` x ``width`` pixels: of each object some polygons, each
    x, y, x, y, ...; none for an object without mask."""

    height: int
    width: int
    polygons: Sequence[Sequence[Sequence[float]] | None]

    def __getitem__(self, number: int, /) -> np.ndarray:
        mask = np.zeros((self.height, self.width), np.uint8)
        outlines = [np.array(outline, np.float32).reshape(-1, 2) for outline in self.polygons[number] or ()]
        return cv2.fillPoly(mask, [np.round(outline).astype(np.int32) for outline in outlines], 255)


@source("images", others=OTHERS)
def images(path: str, part: str) -> Source:
    """Still pictures with boxes and masks, or without; a part is a file of annotations that is not among them."""
    dropped: Counter[str] = Counter()
    return Source("images", stills=_images(path, dropped, part), dropped=dropped)


@source("clips", others=OTHERS)
def clips(path: str, part: str) -> Source:
    """Annotated tracks; a part is a file of annotations that is not among the clips."""
    dropped: Counter[str] = Counter()
    return Source("clips", tracks=_clips(path, dropped, part), dropped=dropped)


def read_images(pattern: str) -> list[Still]:
    """The still images of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation names a picture that is not there.
    """
    return _images(pattern, Counter())


def read_clips(pattern: str) -> list[Track]:
    """The annotated tracks of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation names a frame that is not there.
    """
    return _clips(pattern, Counter())


def _images(pattern: str, dropped: Counter[str], labels: str = "") -> list[Still]:
    stills = []
    for place, files, rows in _read(pattern, "image", labels):
        for row in rows:
            if "image" not in row:
                raise DataError(f"{place}: {ANNOTATIONS} describes clips, not images; give it as clips=...")
            stills.append(
                Still(_file(files, row["image"], place), _boxes(row, place, dropped), _masks(row, files, place))
            )
    if not stills:
        raise DataError(f"{pattern}: no images found")
    return stills


def _masks(row: Row, files: dict[str, PictureFile], place: str) -> Masks | None:
    if row.get("mask"):
        return NumberedMasks(_file(files, row["mask"], place))
    if not row.get("polygons"):
        return None
    polygons, boxes = row["polygons"], row.get("boxes", ())
    try:
        masks = PolygonMasks(row["h"], row["w"], polygons)
        for number in range(len(polygons)):
            masks[number]
        assert len(polygons) == len(boxes)
    except (AssertionError, KeyError, TypeError, ValueError, cv2.error):
        raise DataError(
            f"{place}: the polygons of {row['image']} are not, for each of its {len(boxes)} boxes, null or a list of "
            f"x, y, x, y, ...; and they need w and h"
        ) from None
    return masks


def _clips(pattern: str, dropped: Counter[str], labels: str = "") -> list[Track]:
    tracks = []
    for place, files, rows in _read(pattern, "clip", labels):
        for row in rows:
            if "clip" not in row:
                raise DataError(f"{place}: the annotations are of images, not of clips; give them as images=...")
            first, last = _span(row, place)
            frames = tuple(_file(files, f"{row['clip']}/{n:08d}.jpg", place) for n in range(first, last + 1))
            boxes = _boxes(row, place, dropped)
            if len(boxes) != len(frames):
                raise DataError(f"{place}: {row['clip']} has {len(frames)} frames but {len(boxes)} boxes")
            tracks.append(Track(frames, boxes, ~np.isnan(boxes[:, 0]), name=row["clip"]))
    if not tracks:
        raise DataError(f"{pattern}: no annotated clips found")
    return tracks


def _span(row: Row, place: str) -> tuple[int, int]:
    try:
        first, last = row["frames"]
        return int(first), int(last)
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{place}: the frames of {row['clip']} are not given as first, last") from None


def _boxes(row: Row, place: str, dropped: Counter[str]) -> np.ndarray:
    given: Sequence[Sequence[float] | None] = row.get("boxes", ())
    shown = np.array([box is not None for box in given], bool)
    try:
        boxes = np.array([box or [np.nan] * 4 for box in given], float).reshape(len(given), 4)
    except ValueError:
        raise DataError(f"{place}: the boxes of {row.get('image') or row.get('clip')} are not x, y, w, h") from None
    return drop_unusable(boxes, shown, dropped, (row["w"], row["h"]) if "w" in row and "h" in row else None)


def _read(pattern: str, kind: str, labels: str) -> Iterator[tuple[str, dict[str, PictureFile], list[Row]]]:
    """Path, files by name, and annotation lines of every tar or folder that matches; then the same of ``labels``.

    Pictures without annotations have a line each, with nothing but their name.
    """
    own = _labels(labels, kind) if labels else []
    named = {row.get(kind) for row in own}
    every: dict[str, PictureFile] = {}
    for place, files in _list(pattern):
        data = files.pop(ANNOTATIONS).read() if ANNOTATIONS in files else b""
        rows = _lines(data, f"{place}: {ANNOTATIONS}")
        if kind == "image" and not rows:
            rows = [{"image": name} for name in sorted(files) if name.lower().endswith(IMAGE_SUFFIXES)]
        every.update(files)
        yield place, files, [row for row in rows if row.get(kind) not in named]
    if own:
        yield f"{pattern} with {labels}", every, own


def _labels(file: str, kind: str) -> list[Row]:
    if not Path(file).is_file():
        raise DataError(f"{file}: no such file; --data {kind}s:FILE=PATH takes annotations of PATH from FILE")
    return _lines(Path(file).read_bytes(), file)


def _lines(data: bytes, name: str) -> list[Row]:
    try:
        rows = [json.loads(line) for line in data.decode().splitlines() if line.strip()]
    except ValueError as error:
        raise DataError(f"{name} is not JSON lines: {error}") from None
    if not all(isinstance(row, dict) for row in rows):
        raise DataError(f"{name} is not JSON lines of one object each")
    return rows


def _list(pattern: str) -> Iterator[tuple[str, dict[str, PictureFile]]]:
    """Path, and files by name, of every tar or folder that matches."""
    for place in sorted(glob.glob(pattern)) or [pattern]:
        yield place, _list_tar(place) if place.endswith(".tar") else _list_folder(place)


def _list_tar(place: str) -> dict[str, PictureFile]:
    try:
        with tarfile.open(place, "r:") as tar:
            return {m.name.removeprefix("./"): PictureFile(place, m.offset_data, m.size) for m in tar if m.isfile()}
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{place}: cannot read this data: {error}") from None


def _list_folder(place: str) -> dict[str, PictureFile]:
    if not Path(place).is_dir():
        raise DataError(f"{place}: no such tar file or folder (training data is given as --data NAME=PATH)")
    found = (os.path.join(folder, name) for folder, _, names in os.walk(place) for name in names)
    return {os.path.relpath(path, place): PictureFile(path) for path in sorted(found)}


def _file(files: dict[str, PictureFile], name: str, place: str) -> PictureFile:
    if name not in files:
        raise DataError(f"{place}: {name} is annotated but missing")
    return files[name]
