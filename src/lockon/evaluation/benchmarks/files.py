"""What the readers share: the shipped lists, and the pictures and lines of a sequence."""

from __future__ import annotations

import json
import os
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from lockon.annotations import short
from lockon.errors import DataError
from lockon.evaluation.sequences import Array
from lockon.names import name_of
from lockon.pictures import IMAGE_SUFFIXES


@cache
def read_list(name: str) -> Any:
    """``lists/NAME.json``: a benchmark's sequences in its order, with what their folders do not tell."""
    return json.loads((resources.files(__package__) / "lists" / f"{name}.json").read_text(encoding="utf-8"))


def annotated(folder: Path) -> tuple[str, ...]:
    """Names of the text files in a folder, sorted; without what some systems leave beside each file.

    Raises:
        DataError: one cannot be the name of a sequence.
    """
    names = sorted(file.stem for file in folder.glob("*.txt") if not file.name.startswith("."))
    return tuple(name_of(name, short(folder)) for name in names)


def with_truth(root: Path) -> tuple[str, ...]:
    """Names of the folders that have a groundtruth.txt, sorted; hidden ones are passed over.

    Raises:
        DataError: one cannot be the name of a sequence.
    """
    names = sorted(file.parent.name for file in root.glob("*/groundtruth.txt"))
    return tuple(name_of(name, short(root)) for name in names if not name.startswith("."))


def is_picture(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def list_pictures(folder: Path) -> list[str]:
    """Names of the pictures in a folder, without order.

    Raises:
        DataError: the folder is missing, or has none.
    """
    try:
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if is_picture(entry.name) and entry.is_file()]
    except OSError:
        raise DataError(f"{short(folder)} is missing, or no folder") from None
    if not found:
        raise DataError(f"{short(folder)} has no pictures")
    return found


def pictures(
    folder: Path, pattern: str, first: int = 1, count: int | None = None, *, spare: bool = False
) -> tuple[Path, ...]:
    """The pictures of a sequence, in the order of their numbers.

    Args:
        pattern: of their names, such as ``{:08d}.jpg``.
        first: number of the first.
        count: of frames; as many as there are pictures, if None.
        spare: there may be pictures beside these.

    Raises:
        DataError: some are missing (the first is named), or there are too many.
    """
    found = set(list_pictures(folder))
    count = len(found) if count is None else count
    names = [pattern.format(number) for number in range(first, first + count)]
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{short(folder)}: {len(missing)} of {count} pictures are missing, first {missing[0]}")
    if len(found) > count and not spare:
        raise DataError(f"{short(folder)} has {len(found)} pictures, expected {count}")
    return tuple(folder / name for name in names)


def expect(boxes: Array, count: int, path: Path, *, first_alone: bool = False) -> Array:
    """The boxes of a file, if there is one for each of ``count`` frames (or, where allowed, for the first alone).

    Raises:
        DataError: there is not.
    """
    if len(boxes) == count or (first_alone and len(boxes) == 1):
        return boxes
    raise DataError(f"{short(path)} has {len(boxes)} lines for {count} frames")
