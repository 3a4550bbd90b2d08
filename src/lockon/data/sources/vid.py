"""ImageNet VID (ILSVRC 2015; Russakovsky et al., IJCV 2015): videos, an XML file per frame, several targets in each."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lockon.data.sources.base import Source, Track
from lockon.data.sources.imagenet import Target, read_xml
from lockon.data.sources.layout import Layout, check_ends, drop_unusable
from lockon.data.sources.registry import source
from lockon.pictures import NumberedFrames

EXPECTED = (
    "Annotations/VID/train/.../VIDEO/000000.xml and so on, and Data/VID/train/.../VIDEO/000000.JPEG (val likewise)"
)


@source("vid", "train", "val")
def vid(path: str, part: str) -> Source:
    """ImageNet VID: one track per trackid of a video, from its first to its last annotated frame.

    The target is visible where ``occluded`` is 0; frames between without the trackid have no box. There is one XML
    file per frame (1.1 million in train), so reading takes a minute or two.
    """
    layout = Layout("vid", Path(path), EXPECTED)
    root, pictures = layout.need(f"Annotations/VID/{part}"), layout.need(f"Data/VID/{part}")
    videos = [Path(folder) for folder, _, names in sorted(os.walk(root)) if any(n.endswith(".xml") for n in names)]
    dropped: Counter[str] = Counter()
    tracks = layout.each(videos, lambda video: _tracks(video, pictures / video.relative_to(root), dropped))
    return Source("vid", tracks=tracks, dropped=dropped)


def _tracks(video: Path, pictures: Path, dropped: Counter[str]) -> list[Track]:
    """One track per trackid."""
    seen: dict[str, list[tuple[int, Target]]] = defaultdict(list)
    size = (0, 0)
    for file in sorted(video.glob("*.xml")):
        size, targets = read_xml(file)
        for target in targets:
            seen[target.track].append((int(file.stem), target))
    return [_track(pictures, size, targets, dropped) for targets in seen.values()]


def _track(
    pictures: Path, size: tuple[int, int], targets: Sequence[tuple[int, Target]], dropped: Counter[str]
) -> Track:
    first, last = targets[0][0], targets[-1][0]
    boxes = np.full((last + 1 - first, 4), np.nan, np.float32)
    given, shown = np.zeros(len(boxes), bool), np.zeros(len(boxes), bool)
    for number, target in targets:
        boxes[number - first], given[number - first], shown[number - first] = target.box, True, not target.occluded
    frames = NumberedFrames(str(pictures), "{:06d}.JPEG", range(first, last + 1))
    check_ends(frames)
    boxes = drop_unusable(boxes, given, dropped, size)
    return Track(frames, boxes, shown & (boxes[:, 2] > 0))
