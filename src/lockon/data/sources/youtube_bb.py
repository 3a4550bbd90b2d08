"""YouTube-BoundingBoxes (Real et al., CVPR 2017): 380 thousand video segments, a box per second."""

from __future__ import annotations

import csv
from array import array
from collections import Counter, defaultdict
from io import TextIOWrapper
from pathlib import Path

import numpy as np

from lockon.data.sources.base import Source, Track
from lockon.data.sources.fields import is_number
from lockon.data.sources.layout import Layout, drop_unusable, lister
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.names import name_of
from lockon.pictures import NumberedFrames, open_file

EXPECTED = (
    "yt_bb_detection_train.csv (or youtube_boundingboxes_detection_train.csv) and "
    "yt_bb_detection_train/CLASS/VIDEO_MILLISECONDS_CLASS_OBJECT.jpg (validation likewise)"
)
FORM = "video, milliseconds, class, its name, object, present or absent, xmin, xmax, ymin, ymax"
COLUMNS = FORM.count(",") + 1
PRESENCE = {"present", "absent", "uncertain"}

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
    dropped: Counter[str] = Counter()
    names_in = lister()

    def read(segment: Segment) -> list[Track]:
        for name in segment:
            name_of(name, "the table")
        return _read(folder / segment[0], segment, segments[segment], names_in(str(folder / segment[0])), dropped)

    tracks = layout.each(sorted(segments), read, "segments with pictures")
    return Source("youtube-bb", tracks=tracks, dropped=dropped)


def _read_table(file: Path) -> dict[Segment, array[float]]:
    """Milliseconds, present (1 or 0), xmin, xmax, ymin and ymax, one row after the other, of every segment."""
    segments: dict[Segment, array[float]] = defaultdict(lambda: array("d"))
    with open_file(file) as content:
        rows = csv.reader(TextIOWrapper(content, "utf-8-sig", newline=""))  # not read at once: it has ten million
        try:
            for row in filter(None, rows):
                video, time, kind, _, thing, presence, *sides = row
                xmin, xmax, ymin, ymax = map(float, sides)
                values = float(time), float(presence == "present"), xmin, xmax, ymin, ymax
                if presence not in PRESENCE or not all(map(is_number, values)):
                    raise ValueError
                segments[kind, video, thing].extend(values)
        except UnicodeDecodeError:
            raise DataError(f"youtube-bb: {file} is not UTF-8 text after line {rows.line_num}") from None
        except (ValueError, csv.Error):
            raise DataError(
                f"youtube-bb: line {rows.line_num} of {file} is not a row of {COLUMNS} columns: {FORM}"
            ) from None
    return dict(segments)


def _read(
    place: Path, segment: Segment, numbers: array[float], names: frozenset[str], dropped: Counter[str]
) -> list[Track]:
    """The segment as a track, if one of its pictures is among the names of its folder."""
    kind, video, thing = (name.replace("{", "{{").replace("}", "}}") for name in segment)
    pattern = f"{video}_{{}}_{kind}_{thing}.jpg"
    rows = np.frombuffer(numbers).reshape(-1, 6)
    rows = rows[rows[:, 0].argsort()]
    times, present = rows[:, 0].astype(int), rows[:, 1] == 1
    there = np.array([pattern.format(time) in names for time in times])
    if missing := int((present & ~there).sum()):
        dropped["no picture"] += missing
    if not there.any():
        return []
    xmin, xmax, ymin, ymax = rows[there, 2:].T
    boxes = np.column_stack([xmin, ymin, xmax - xmin, ymax - ymin]).astype(np.float32)
    boxes[~present[there]] = np.nan
    boxes = drop_unusable(boxes, present[there], dropped, (1, 1))
    return [Track(NumberedFrames(str(place), pattern, times[there]), boxes, boxes[:, 2] > 0, relative=True)]
