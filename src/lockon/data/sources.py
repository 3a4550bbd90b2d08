"""Annotated pictures for training: still images and clips, read from tar files or folders.

Both layouts are a folder (or a tar of one) with an ``annotations.jsonl``:

- images: ``{"image": path, "boxes": [[x, y, w, h], ...], "mask": path}`` per line; the mask is an 8-bit PNG whose
  value i marks object i of ``boxes``, counted from 1. Lines without ``boxes`` are unlabelled pictures, and then the
  annotation file may be missing altogether.
- clips: ``{"clip": folder, "frames": [first, last], "boxes": [[x, y, w, h] or null, ...]}`` per track, frames
  counted from 1 in files ``00000001.jpg``; null where the target is absent.

Pictures stay compressed in memory and are decoded when drawn.
"""

from __future__ import annotations

import glob
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Shot:
    """One target in one picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        box: x, y, w, h in pixels.
        mask: (H, W) uint8, 255 on the target, where there is one.
    """

    image: np.ndarray
    box: Box
    mask: np.ndarray | None = None


@dataclass(frozen=True)
class Still:
    """A compressed picture with its objects."""

    image: bytes
    boxes: tuple[Box, ...] = ()
    mask: bytes | None = None

    def shot(self, number: int) -> Shot:
        """Object ``number`` of the picture."""
        mask = None
        if self.mask is not None:
            labels = cv2.imdecode(np.frombuffer(self.mask, np.uint8), cv2.IMREAD_UNCHANGED)
            mask = np.where(labels == number + 1, np.uint8(255), np.uint8(0))
            if not mask.any():  # hidden behind smaller objects
                mask = None
        return Shot(decode(self.image), self.boxes[number], mask)


@dataclass(frozen=True)
class Track:
    """One target through a clip: compressed frames, and its box or None in each."""

    frames: tuple[bytes, ...]
    boxes: tuple[Box | None, ...]

    def shot(self, number: int) -> Shot:
        """The target in frame ``number``, in which it must be visible."""
        box = self.boxes[number]
        assert box is not None
        return Shot(decode(self.frames[number]), box)

    @property
    def visible(self) -> list[int]:
        """Numbers of the frames that show the target."""
        return [i for i, box in enumerate(self.boxes) if box is not None]


def decode(data: bytes) -> np.ndarray:
    """JPEG or PNG bytes to (H, W, 3) uint8 RGB."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError("a training picture is not a readable JPEG or PNG")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_images(pattern: str) -> list[Still]:
    """The still images of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation names a picture that is not there.
    """
    stills = []
    for place, files, lines in _read(pattern):
        rows = lines or [{"image": n} for n in sorted(files) if n.lower().endswith(IMAGE_SUFFIXES)]
        for row in rows:
            if "image" not in row:
                raise DataError(f"{place}: annotations.jsonl describes clips, not images; give it as clips=...")
            boxes = tuple(_box(b) for b in row.get("boxes", ()))
            mask = _file(files, row["mask"], place) if row.get("mask") else None
            image = _file(files, row["image"], place)
            stills.append(Still(image, boxes, mask))
    if not stills:
        raise DataError(f"{pattern}: no images found")
    return stills


def read_clips(pattern: str) -> list[Track]:
    """The annotated tracks of all tars or folders that match a path or glob.

    Raises:
        DataError: nothing matches, or an annotation names a frame that is not there.
    """
    tracks = []
    for place, files, lines in _read(pattern):
        for row in lines:
            if "clip" not in row:
                raise DataError(f"{place}: annotations.jsonl describes images, not clips; give it as images=...")
            first, last = row["frames"]
            frames = [_file(files, f"{row['clip']}/{n:08d}.jpg", place) for n in range(first, last + 1)]
            boxes = [None if b is None else _box(b) for b in row["boxes"]]
            if len(boxes) != len(frames):
                raise DataError(f"{place}: {row['clip']} has {len(frames)} frames but {len(boxes)} boxes")
            tracks.append(Track(tuple(frames), tuple(boxes)))
    if not tracks:
        raise DataError(f"{pattern}: no annotated clips found")
    return tracks


def _read(pattern: str) -> Iterator[tuple[str, dict[str, bytes], list[dict[str, Any]]]]:
    """Path, files by name, and annotation lines of every tar or folder that matches."""
    places = sorted(glob.glob(pattern)) or [pattern]
    for place in places:
        files = _read_tar(place) if place.endswith(".tar") else _read_folder(place)
        text = files.pop("annotations.jsonl", b"").decode()
        try:
            lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise DataError(f"{place}: annotations.jsonl is not JSON lines: {error}") from None
        yield place, files, lines


def _read_tar(place: str) -> dict[str, bytes]:
    try:
        with tarfile.open(place) as tar:
            members = ((m, tar.extractfile(m)) for m in tar)
            return {m.name.removeprefix("./"): f.read() for m, f in members if f is not None}
    except (OSError, tarfile.TarError) as error:
        raise DataError(f"{place}: cannot read this data: {error}") from None


def _read_folder(place: str) -> dict[str, bytes]:
    root = Path(place)
    if not root.is_dir():
        raise DataError(f"{place}: no such tar file or folder (training data is given as --data NAME=PATH)")
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def _file(files: dict[str, bytes], name: str, place: str) -> bytes:
    if name not in files:
        raise DataError(f"{place}: {name} is annotated but missing")
    return files[name]


def _box(values: Sequence[float]) -> Box:
    x, y, w, h = (float(v) for v in values)
    return x, y, w, h
