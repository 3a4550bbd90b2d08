"""YouTube-VOS (Xu et al., ECCV 2018): 3,471 training videos with masks of several targets, every fifth frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockon.annotations import read_json, short
from lockon.data.sources.base import Source, Track
from lockon.data.sources.fields import kind_of, row_of
from lockon.data.sources.layout import Layout, check_ends
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.names import name_of
from lockon.pictures import NumberedFrames

EXPECTED = "train/meta.json, train/JPEGImages/VIDEO/00000.jpg and so on, train/Annotations/VIDEO/00000.png and so on"
DIGITS = 9  # of a frame's number
LARGEST = 255  # number of an object in a mask of 8 bits


@dataclass(frozen=True, slots=True)
class ObjectMasks:
    """One object in the label masks of a video, by frame."""

    labels: NumberedFrames
    number: int

    @property
    def size(self) -> None:
        """Each mask is a picture and has a size of its own."""
        return

    def __getitem__(self, frame: int, /) -> np.ndarray:
        return self.labels[frame].mask(self.number)


@source("youtube-vos", "train")
def youtube_vos(path: str, part: str) -> Source:
    """YouTube-VOS of 2018 or 2019: one track per object, with masks.

    A track has all annotated frames of its video; it is visible in those that meta.json lists for the object. Boxes
    bound the masks, which are opened as frames are drawn. Videos without objects are left out and counted.
    """
    layout = Layout("youtube-vos", Path(path), EXPECTED)
    file = layout.need(f"{part}/meta.json")
    where = short(file)
    videos = row_of(row_of(read_json(file), where, "the content").get("videos"), where, "videos")
    folder = layout.root / part
    dropped: Counter[str] = Counter()

    def read(name: str) -> list[Track]:
        name_of(name, f"{where}, videos")
        video = row_of(videos[name], where, f"video {name}")
        objects = row_of(video.get("objects"), where, f"objects of video {name}")
        frames = {
            _number(number, f"{where}, video {name}"): _frames(thing, f"{where}, video {name}, object {number}")
            for number, thing in objects.items()
        }
        if not any(frames.values()):
            dropped["videos without objects"] += 1
            return []
        return _tracks(folder, name, frames)

    return Source("youtube-vos", tracks=layout.each(sorted(videos), read), dropped=dropped)


def _number(text: str, where: str) -> int:
    """The number of an object in the masks."""
    if not text.isdecimal() or len(text) > DIGITS or not 1 <= int(text) <= LARGEST:
        raise DataError(f"{where}: {text[:40]!r} is no object's number from 1 to {LARGEST}")
    return int(text)


def _frames(thing: object, where: str) -> list[int]:
    """Numbers of the frames that an object is in."""
    names = row_of(thing, where, "it").get("frames")
    if not isinstance(names, list):
        raise DataError(f"{where}: frames is {kind_of(names)}, not a list")
    for name in names:
        if not isinstance(name, str) or not name.isdecimal() or len(name) > DIGITS:
            raise DataError(f"{where}: frames has {str(name)[:40]!r}; expected numbers as texts, such as 00005")
    return [int(name) for name in names]


def _tracks(folder: Path, name: str, objects: Mapping[int, list[int]]) -> list[Track]:
    numbers = np.array(sorted({frame for shown in objects.values() for frame in shown}))
    frames = NumberedFrames(str(folder / "JPEGImages" / name), "{:05d}.jpg", numbers)
    labels = NumberedFrames(str(folder / "Annotations" / name), "{:05d}.png", numbers)
    check_ends(frames)
    check_ends(labels)
    return [
        Track(frames, None, np.isin(numbers, np.array(shown, int)), ObjectMasks(labels, number))
        for number, shown in objects.items()
    ]
