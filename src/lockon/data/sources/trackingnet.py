"""TrackingNet (Mueller et al., ECCV 2018): 30,132 training videos in twelve chunks, one target in each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from lockon.annotations import read_boxes
from lockon.data.sources.base import Source, Track
from lockon.data.sources.layout import Layout, check_ends, drop_unusable
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import NumberedFrames

EXPECTED = "TRAIN_0 to TRAIN_11, each with anno/VIDEO.txt and, unpacked, frames/VIDEO/0.jpg, 1.jpg and so on"
CHUNKS = 12
EVERY = 30


@source("trackingnet", "0-11", others="other chunks, such as 0-3,7")
def trackingnet(path: str, part: str) -> Source:
    """TrackingNet's training chunks, frames unpacked; the target is visible wherever its box is not empty."""
    layout = Layout("trackingnet", Path(path), EXPECTED)
    folders = [layout.need(f"TRAIN_{chunk}/anno") for chunk in _chunks(part)]
    annotations = [f for folder in folders for f in sorted(folder.glob("*.txt")) if not f.name.startswith(".")]
    dropped: Counter[str] = Counter()
    tracks = layout.each(annotations, lambda file: [_read(file, dropped)])
    return Source("trackingnet", tracks=tracks, dropped=dropped)


def keyframes(track: Track) -> Track:
    """The track with every 30th frame and the last alone visible, as AiATrack and GRM train: these are the frames that
    people annotated, the others were filled in by a tracker."""
    number = np.arange(len(track))
    return replace(track, visible=track.visible & ((number % EVERY == 0) | (number == len(track) - 1)))


def _read(file: Path, dropped: Counter[str]) -> Track:
    boxes = read_boxes(file).astype(np.float32)
    frames = NumberedFrames(str(file.parents[1] / "frames" / file.stem), "{}.jpg", range(len(boxes)))
    check_ends(frames)
    boxes = drop_unusable(boxes, np.ones(len(boxes), bool), dropped)
    return Track(frames, boxes, boxes[:, 2] > 0)


def _chunks(part: str) -> list[int]:
    """Numbers of chunks from a text such as ``0-3,7``."""
    numbers = {str(number): number for number in range(CHUNKS)}
    chunks: list[int] = []
    for piece in part.split(","):
        first, _, last = (end.strip() for end in piece.partition("-"))
        if first in numbers and (last or first) in numbers:
            chunks += range(numbers[first], numbers[last or first] + 1)
        else:
            chunks.clear()
            break
    if not chunks or len(set(chunks)) < len(chunks):
        raise DataError(f"trackingnet: cannot read the chunks {part!r}; write them as 0-11, or 0-3,7")
    return chunks
