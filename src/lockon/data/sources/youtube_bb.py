"""YouTube-BoundingBoxes (Real et al., CVPR 2017): 380 thousand video segments, a box per second."""

from __future__ import annotations

import csv
import os
from array import array
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lockon.data.sources.base import Source, Track
from lockon.data.sources.layout import Layout, drop_unusable
from lockon.data.sources.pictures import NumberedFrames
from lockon.data.sources.registry import source
from lockon.errors import DataError

EXPECTED = (
    "yt_bb_detection_train.csv (or youtube_boundingboxes_detection_train.csv) and "
    "yt_bb_detection_train/CLASS/VIDEO_MILLISECONDS_CLASS_OBJECT.jpg (validation likewise)"
)
COLUMNS = 10  # video, milliseconds, class, its name, object, presence, xmin, xmax, ymin, ymax

Segment = tuple[str, str, str]  # class, video, object


@source("youtube-bb", "train", "val")
def youtube_bb(path: str, part: str) -> Source:
    """YouTube-BB's detection table beside the frames that youtube-bb-utility extracts, the layout that PySOT reads.

    Many videos are no longer to be had, so rows without a picture are left out and counted. A segment is one track;
    rows marked absent have no box. Boxes are shares of the picture's size, and stay so until a picture is opened.
    """
    layout = Layout("youtube-bb", Path(path), EXPECTED)
    name = "train" if part == "train" else "validation"
    folder = layout.need(f"yt_bb_detection_{name}")
    renamed = layout.root / f"youtube_boundingboxes_detection_{name}.csv"
    segments = _read_table(renamed if renamed.exists() else layout.need(f"yt_bb_detection_{name}.csv"))
    kinds = sorted({segment[0] for segment in segments})
    dropped: Counter[str] = Counter()
    tracks: list[Track] = []
    for kind in kinds:  # the names of one class's pictures at a time
        place = folder / kind
        there = set(os.listdir(place)) if place.is_dir() else set()
        of_kind = {segment: rows for segment, rows in segments.items() if segment[0] == kind}
        tracks += _tracks(place, of_kind, there, dropped)
    if not tracks:
        raise DataError(f"youtube-bb: none of the annotated pictures is in {folder}; expected: {EXPECTED}")
    return Source("youtube-bb", tracks=tracks, dropped=dropped)


def _read_table(file: Path) -> dict[Segment, array[float]]:
    """Milliseconds, present (1 or 0), xmin, xmax, ymin and ymax, one row after the other, of every segment."""
    segments: dict[Segment, array[float]] = defaultdict(lambda: array("d"))
    with file.open(newline="") as rows:
        for number, row in enumerate(csv.reader(rows), 1):
            try:
                video, time, kind, _, thing, presence, *sides = row
                xmin, xmax, ymin, ymax = map(float, sides)
                segments[kind, video, thing].extend((float(time), presence == "present", xmin, xmax, ymin, ymax))
            except ValueError:
                raise DataError(f"youtube-bb: line {number} of {file} is not a row of {COLUMNS} columns") from None
    return dict(segments)


def _tracks(
    place: Path, segments: Mapping[Segment, array[float]], there: set[str], dropped: Counter[str]
) -> list[Track]:
    tracks = []
    for (kind, video, thing), numbers in segments.items():
        rows = np.frombuffer(numbers).reshape(-1, 6)
        rows = rows[np.argsort(rows[:, 0])]
        frames = NumberedFrames(str(place), f"{video}_{{}}_{kind}_{thing}.jpg", rows[:, 0].astype(int))
        found = np.array([os.path.basename(frames[n].path) in there for n in range(len(frames))])
        if missing := int((~found).sum()):
            dropped["no picture"] += missing
        if found.any():
            rows, present = rows[found], rows[found, 1] == 1
            xmin, xmax, ymin, ymax = rows[:, 2:].T
            boxes = np.column_stack([xmin, ymin, xmax - xmin, ymax - ymin]).astype(np.float32)
            boxes[~present] = np.nan
            boxes = drop_unusable(boxes, present, dropped, (1, 1))
            frames = NumberedFrames(frames.folder, frames.pattern, rows[:, 0].astype(int))
            tracks.append(Track(frames, boxes, boxes[:, 2] > 0, relative=True))
    return tracks
