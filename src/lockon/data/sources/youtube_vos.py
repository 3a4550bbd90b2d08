"""YouTube-VOS (Xu et al., ECCV 2018): 3,471 training videos with masks of several targets, every fifth frame."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockon.annotations import read_text
from lockon.data.sources.base import Source, Track
from lockon.data.sources.layout import Layout, check_ends
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import NumberedFrames

EXPECTED = "train/meta.json, train/JPEGImages/VIDEO/00000.jpg and so on, train/Annotations/VIDEO/00000.png and so on"


@dataclass(frozen=True, slots=True)
class ObjectMasks:
    """One object in the label masks of a video, by frame."""

    labels: NumberedFrames
    number: int

    def __getitem__(self, frame: int, /) -> np.ndarray:
        return self.labels[frame].mask(self.number)


@source("youtube-vos", "train")
def youtube_vos(path: str, part: str) -> Source:
    """YouTube-VOS of 2018 or 2019: one track per object, with masks.

    A track has all annotated frames of its video; it is visible in those that meta.json lists for the object. Boxes
    bound the masks, which are opened as frames are drawn.
    """
    layout = Layout("youtube-vos", Path(path), EXPECTED)
    file = layout.need(f"{part}/meta.json")
    try:
        videos: Mapping[str, Any] = json.loads(read_text(file))["videos"]
    except (ValueError, KeyError) as error:
        raise DataError(f"youtube-vos: {file} cannot be read, perhaps half copied: {error!r}") from None
    folder = layout.root / part
    tracks = layout.each(sorted(videos), lambda name: _tracks(folder, name, videos[name]["objects"]))
    return Source("youtube-vos", tracks=tracks)


def _tracks(folder: Path, name: str, objects: Mapping[str, Any]) -> list[Track]:
    numbers = np.array(sorted({int(frame) for thing in objects.values() for frame in thing["frames"]}))
    frames = NumberedFrames(str(folder / "JPEGImages" / name), "{:05d}.jpg", numbers)
    labels = NumberedFrames(str(folder / "Annotations" / name), "{:05d}.png", numbers)
    check_ends(frames)
    check_ends(labels)
    return [
        Track(frames, None, np.isin(numbers, np.array(thing["frames"], int)), ObjectMasks(labels, int(number)))
        for number, thing in objects.items()
    ]
