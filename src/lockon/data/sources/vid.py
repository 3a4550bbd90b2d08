"""ImageNet VID (ILSVRC 2015; Russakovsky et al., IJCV 2015): videos, an XML file per frame, several targets in each."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lockon.annotations import short
from lockon.data.sources.base import Source, Track
from lockon.data.sources.imagenet import Target, is_annotation, read_xml
from lockon.data.sources.layout import Layout, check_ends, drop_unusable, walk
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import NumberedFrames

EXPECTED = (
    "Annotations/VID/train/.../VIDEO/000000.xml and so on, and Data/VID/train/.../VIDEO/000000.JPEG (val likewise)"
)
DIGITS = 9  # of a frame's number


@source("vid", "train", "val")
def vid(path: str, part: str) -> Source:
    """ImageNet VID: one track per trackid of a video, from its first to its last annotated frame.

    The target is visible where ``occluded`` is 0; frames between without the trackid have no box, and those without a
    file are left out. There is one XML file per frame (1.1 million in train), so reading takes a minute or two.
    """
    layout = Layout("vid", Path(path), EXPECTED)
    root, pictures = layout.need(f"Annotations/VID/{part}"), layout.need(f"Data/VID/{part}")
    videos = {Path(folder): found for folder, names in walk(root) if (found := list(filter(is_annotation, names)))}
    dropped: Counter[str] = Counter()

    def read(video: Path) -> list[Track]:
        return _tracks(video, videos[video], pictures / video.relative_to(root), dropped)

    return Source("vid", tracks=layout.each(list(videos), read), dropped=dropped)


def _tracks(video: Path, names: Sequence[str], pictures: Path, dropped: Counter[str]) -> list[Track]:
    """One track per trackid."""
    seen: dict[str, list[tuple[int, Target]]] = defaultdict(list)
    size = (0, 0)
    files = {_frame(video / name): video / name for name in names}
    numbers = np.array(sorted(files), np.int64)
    for place, number in enumerate(numbers.tolist()):
        size, targets = read_xml(files[number])
        for target in targets:
            seen[target.track].append((place, target))
    return [_track(pictures, numbers, size, targets, dropped) for targets in seen.values()]


def _frame(file: Path) -> int:
    """The number of a frame, by its file's name."""
    if not file.stem.isdecimal() or len(file.stem) > DIGITS:
        raise DataError(f"{short(file)} is not called by the number of its frame, such as 000000.xml")
    return int(file.stem)


def _track(
    pictures: Path,
    numbers: np.ndarray,
    size: tuple[int, int],
    targets: Sequence[tuple[int, Target]],
    dropped: Counter[str],
) -> Track:
    """One target in the frames that have a file, of ``numbers``, from its first to its last."""
    first, last = targets[0][0], targets[-1][0]
    boxes = np.full((last + 1 - first, 4), np.nan, np.float32)
    given, shown = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    for place, target in targets:
        boxes[place - first], given[place - first], shown[place - first] = target.box, True, not target.occluded
    frames = NumberedFrames(str(pictures), "{:06d}.JPEG", numbers[first : last + 1])
    check_ends(frames)
    boxes = drop_unusable(boxes, given, dropped, size)
    return Track(frames, boxes, shown & (boxes[:, 2] > 0))
