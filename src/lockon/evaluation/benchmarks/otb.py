"""OTB-2015, its older forms OTB-2013 and OTB-50 (Wu et al., TPAMI 2015; CVPR 2013)."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes
from lockon.evaluation.benchmarks.files import expect, pictures, read_list
from lockon.evaluation.sequences import Sequence

DIGITS = {"Board": 5}  # of a picture's number; 4 elsewhere
OMITTED = {"Tiger1": 5}  # rows before the first frame, which the official toolkit leaves out


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as the official toolkit has them (Jogging-1, Human4-2)."""
    every = read_list("otb")
    names = tuple(every["otb2015"]) if benchmark == "otb2015" else tuple(every[benchmark].split())
    return names if any(_files(root, name)[0].is_dir() for name in names) else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """Boxes are as annotated, with the first pixel at 1, 1. Frames without annotation, before or after, are left out:
    images 300 to 770 of David and the like; the first five of Tiger1."""
    first, last, attributes = read_list("otb")["otb2015"][name]
    folder, file = _files(root, name)
    boxes, omitted, count = read_boxes(file), OMITTED.get(name, 0), last - first + 1
    files = pictures(folder / "img", f"{{:0{DIGITS.get(name, 4)}d}}.jpg", first, count, spare=True)
    boxes = expect(boxes, count + omitted, file)[omitted:]
    return Sequence(name, files, boxes, frozenset(attributes.split()))


def _files(root: Path, name: str) -> tuple[Path, Path]:
    """Folder and annotation; NAME-2 is the second target of the folder NAME."""
    folder, _, target = name.partition("-")
    return root / folder, root / folder / (f"groundtruth_rect.{target}.txt" if target else "groundtruth_rect.txt")
