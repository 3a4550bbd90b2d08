"""LaSOT (Fan et al., CVPR 2019): 1,400 long videos of 70 categories, one target in each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from lockon.annotations import read_boxes, read_flags, read_names
from lockon.data.sources.base import Source, Track
from lockon.data.sources.layout import Layout, check_ends, drop_unusable, read_list
from lockon.data.sources.registry import source
from lockon.pictures import NumberedFrames

EXPECTED = (
    "training_set.txt (testing_set.txt), and for each of its lines, such as airplane-1, a folder airplane/airplane-1 "
    "with img/00000001.jpg and so on, groundtruth.txt, full_occlusion.txt, out_of_view.txt"
)


@source("lasot", "train", "test", others="a file of names, such as airplane-1")
def lasot(path: str, part: str) -> Source:
    """LaSOT, unpacked to one folder per category, with the data set's own training_set.txt (1,120 videos).

    The target is visible where neither full_occlusion.txt nor out_of_view.txt is 1 and its box is not empty.
    """
    layout = Layout("lasot", Path(path), EXPECTED)
    lists = {"train": "training_set.txt", "test": "testing_set.txt"}
    names = read_names(layout.need(lists[part])) if part in lists else read_list("lasot", part)
    dropped: Counter[str] = Counter()
    tracks = layout.each(names, lambda name: [_read(Path(path, name.rsplit("-", 1)[0], name), dropped)])
    return Source("lasot", tracks=tracks, dropped=dropped)


def _read(folder: Path, dropped: Counter[str]) -> Track:
    boxes = read_boxes(folder / "groundtruth.txt").astype(np.float32)
    hidden = read_flags(folder / "full_occlusion.txt", len(boxes)) | read_flags(folder / "out_of_view.txt", len(boxes))
    frames = NumberedFrames(str(folder / "img"), "{:08d}.jpg", range(1, len(boxes) + 1))
    check_ends(frames)
    shown = hidden == 0
    return Track(frames, drop_unusable(boxes, shown, dropped), shown & (boxes[:, 2] > 0))
