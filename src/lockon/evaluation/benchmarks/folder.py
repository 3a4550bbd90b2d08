"""Sequences of your own, in a folder of GOT-10k's form."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes, read_flags
from lockon.evaluation.benchmarks.files import expect, list_pictures, read_names
from lockon.evaluation.sequences import Sequence

LABELS = {"absent": "absence.label", "cover": "cover.label"}


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, in the order of list.txt if there is one, else sorted."""
    if (root / "list.txt").is_file():
        return read_names(root / "list.txt")
    return tuple(sorted(file.parent.name for file in root.glob("*/groundtruth.txt")))


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """A line of nan,nan,nan,nan means that the target is absent; labels as in GOT-10k where there are any. Pictures are
    taken in the order of their numbers if all are called by one, else of their names."""
    folder = root / name
    files = sorted(folder / picture for picture in list_pictures(folder))
    if all(file.stem.isdecimal() for file in files):
        files.sort(key=lambda file: int(file.stem))
    boxes = expect(read_boxes(folder / "groundtruth.txt"), len(files), folder / "groundtruth.txt")
    labels = {
        label: read_flags(folder / file, len(files)) for label, file in LABELS.items() if (folder / file).is_file()
    }
    return Sequence(name, tuple(files), boxes, labels=labels)
