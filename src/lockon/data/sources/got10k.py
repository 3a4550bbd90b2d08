"""GOT-10k (Huang et al., TPAMI 2021): 9,335 training and 180 validation videos, one target in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from lockon.annotations import read_boxes, read_flags, read_names
from lockon.data.sources.base import Source, Track
from lockon.data.sources.layout import Layout, check_ends, drop_unusable, read_list
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import NumberedFrames
from lockon.registry import closest

EXPECTED = (
    "train/list.txt (val/list.txt), and in a folder for each of its lines 00000001.jpg and so on, groundtruth.txt, "
    "absence.label, cover.label"
)
OFFICIAL = 9335  # videos of the training set, which the numbers of the vot parts count


@source("got10k", "train", "val", "vot-train", "vot-val", others="a file of names, or of numbers from 0 in list.txt")
def got10k(path: str, part: str) -> Source:
    """GOT-10k, unpacked to ``train/`` and ``val/``.

    ``vot-train`` (7,086 videos) and ``vot-val`` (1,249) are the division of the training videos with which STARK,
    AiATrack and GRM are trained. A file may choose other training videos.

    The target is visible where absence.label is 0, cover.label (0 to 8) above 0 and its box not empty;
    cut_by_image.label is not used, as in the papers.
    """
    layout = Layout("got10k", Path(path), EXPECTED)
    folder = "val" if part == "val" else "train"
    names = read_names(layout.need(f"{folder}/list.txt"))
    dropped: Counter[str] = Counter()
    chosen = names if part == folder else _choose(names, part)
    tracks = layout.each(chosen, lambda name: [_read(Path(path, folder, name), dropped)])
    return Source("got10k", tracks=tracks, dropped=dropped)


def _read(folder: Path, dropped: Counter[str]) -> Track:
    boxes = read_boxes(folder / "groundtruth.txt").astype(np.float32)
    present = read_flags(folder / "absence.label", len(boxes)) == 0
    shown = present & (read_flags(folder / "cover.label", len(boxes)) > 0)
    frames = NumberedFrames(str(folder), "{:08d}.jpg", range(1, len(boxes) + 1))
    check_ends(frames)
    return Track(frames, drop_unusable(boxes, shown, dropped), shown & (boxes[:, 2] > 0))


def _choose(names: Sequence[str], part: str) -> list[str]:
    if part in ("vot-train", "vot-val"):
        if len(names) != OFFICIAL:
            raise DataError(f"got10k: {part} needs a train/list.txt of {OFFICIAL} lines, not of {len(names)}")
        val = _shipped("got10k_vot_val.txt")
        out = val | _shipped("got10k_vot_excluded.txt")
        return [name for n, name in enumerate(names) if (n in val if part == "vot-val" else n not in out)]
    known, numbers = set(names), set(map(str, range(len(names))))
    chosen = [names[int(s)] if s in numbers else s for s in read_list("got10k", part)]
    for name in chosen:
        if name not in known:
            raise DataError(f"got10k: {part} names {name}, which is not in train/list.txt; {closest(name, names)}")
    if twice := [name for name, count in Counter(chosen).items() if count > 1]:
        raise DataError(f"got10k: {part} names {twice[0]} twice, once by its number; name it once")
    return chosen


def _shipped(name: str) -> set[int]:
    lines = (resources.files("lockon.data.sources") / name).read_text(encoding="utf-8").splitlines()
    return {int(number) for line in lines if not line.startswith("#") for number in line.split()}
