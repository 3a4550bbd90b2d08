"""Sequences of your own, in a folder of GOT-10k's form."""

from __future__ import annotations

import os
from collections.abc import Sequence as Names
from pathlib import Path

import numpy as np

from lockon.annotations import ABSENT, read_boxes, read_flags, read_names, refuse_rows, short
from lockon.errors import DataError
from lockon.evaluation.benchmarks.files import expect, is_picture, list_pictures, with_truth
from lockon.evaluation.sequences import Sequence
from lockon.names import alike
from lockon.pictures import natural_key

TRUTH = "groundtruth.txt"
LABELS = {"absent": "absence.label", "cover": "cover.label"}


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, in the order of list.txt if there is one, else sorted.

    Raises:
        DataError: two names of the list are of one folder, on a disk that takes them for the same.
    """
    if not (root / "list.txt").is_file():
        return with_truth(root)
    names = read_names(root / "list.txt")
    for first, second, *_ in alike(names):
        if (root / first).exists() and (root / second).exists() and os.path.samefile(root / first, root / second):
            raise DataError(f"{short(root / 'list.txt')}: {first} and {second} are one folder; name it once")
    return names


def without_truth(root: Path, names: Names[str]) -> list[str]:
    """What find passes over though it looks like a sequence: folders that have pictures but no groundtruth.txt.

    Where there is a list.txt, it alone says what is a sequence.
    """
    if (root / "list.txt").is_file():
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    return [
        f"{short(folder)} has pictures but no {TRUTH}: it is left out"
        for folder in folders
        if folder.name not in names and _has_pictures(folder)
    ]


def _has_pictures(folder: Path) -> bool:
    """Whether pictures lie in a folder, or in one of its own, such as img."""
    below = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return any(is_picture(path.name) for place in (folder, *below) for path in place.iterdir())


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """A line of nan,nan,nan,nan means that the target is absent; labels as in GOT-10k where there are any. Pictures are
    taken in the order of the numbers in their names.

    Raises:
        DataError: it is incomplete; or a line is no box, though the target is not labelled as absent.
    """
    folder = root / name
    files = tuple(folder / picture for picture in sorted(list_pictures(folder), key=natural_key))
    truth = folder / TRUTH
    boxes = expect(read_boxes(truth, strict=True), len(files), truth)
    labels = {
        label: read_flags(folder / file, len(files)) for label, file in LABELS.items() if (folder / file).is_file()
    }
    absent = labels.get("absent", np.zeros(len(files), int)) != 0
    refuse_rows((boxes[:, 2:] == 0).any(1) & ~absent, boxes, truth, f"it has no area; {ABSENT}")
    return Sequence(name, files, boxes, labels=labels)
