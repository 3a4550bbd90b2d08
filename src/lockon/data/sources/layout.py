"""What the readers of training data share: saying what is missing where, and leaving out what cannot be used."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from lockon.annotations import read_names, short
from lockon.data.sources.base import LARGER
from lockon.data.sources.registry import unknown_part
from lockon.errors import DataError, first_few
from lockon.pictures import Frames

Item = TypeVar("Item")
Made = TypeVar("Made")
NAMED = 5  # how many of the incomplete sequences an error names


@dataclass(frozen=True)
class Layout:
    """A data set's folder, and what is expected in it, for errors to say.

    Attributes:
        name: of the data set.
        root: its folder.
        expected: the folders and files of the published layout.
    """

    name: str
    root: Path
    expected: str

    def need(self, path: str) -> Path:
        """A file or folder below the root.

        Raises:
            DataError: it is not there.
        """
        if not (self.root / path).exists():
            raise DataError(f"{self.name}: no {path} in {self.root}; expected there: {self.expected}")
        return self.root / path

    def each(
        self, items: Sequence[Item], read: Callable[[Item], Iterable[Made]], kind: str = "sequences"
    ) -> list[Made]:
        """All that ``read`` makes of every item.

        Raises:
            DataError: ``read`` raised it; all items that failed are counted and the first are named.
        """
        made: list[Made] = []
        failed: list[str] = []
        for item in items:
            try:
                made += read(item)
            except DataError as error:
                failed.append(str(error))
        if failed:
            raise DataError(
                f"{self.name}: {len(failed)} of {len(items)} {kind} in {self.root} are incomplete: "
                f"{first_few(failed, NAMED, '; ')}; "
                f"mend them, or copy them again (expected: {self.expected})"
            )
        if not made:
            raise DataError(f"{self.name}: no {kind} found in {self.root}; expected there: {self.expected}")
        return made


def read_list(name: str, part: str) -> tuple[str, ...]:
    """The lines of a file that chooses a part of a data set.

    Raises:
        DataError: no such file, so that the part is unknown; or one that ``read_names`` does not take.
    """
    if not Path(part).is_file():
        raise unknown_part(name, part)
    return read_names(Path(part))


def walk(root: str | Path) -> list[tuple[str, list[str]]]:
    """Every folder below a root, itself included, with the names of its files, sorted by their paths.

    Links are followed, for large data sets are often put together from several disks; no folder comes twice, so that
    a link to a folder above ends nowhere. Pipes and devices are no files.
    """
    found: dict[tuple[int, int], tuple[str, list[str]]] = {}
    for place, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        status = os.stat(place)
        if (identity := (status.st_dev, status.st_ino)) in found:
            folders.clear()
        else:
            found[identity] = place, sorted(name for name in names if os.path.isfile(os.path.join(place, name)))
    return sorted(found.values())


def lister() -> Callable[[str], frozenset[str]]:
    """Gives the files of a folder, none if it is missing, and keeps the last listing: ask for one folder's together."""

    @functools.lru_cache(maxsize=1)
    def names_in(folder: str) -> frozenset[str]:
        return frozenset(os.listdir(folder)) if os.path.isdir(folder) else frozenset()

    return names_in


def check_ends(frames: Frames) -> None:
    """Looks for the first and the last picture of a sequence; the others are not looked for, which would take long.

    Raises:
        DataError: one is not there.
    """
    for path in (Path(frames[0].path), Path(frames[len(frames) - 1].path)):
        if not path.is_file():
            raise DataError(f"{short(path)} is annotated but missing")


def drop_unusable(
    boxes: np.ndarray, shown: np.ndarray, dropped: Counter[str], size: tuple[float, float] | None = None
) -> np.ndarray:
    """Boxes with NaN in place of those that cannot be used.

    A box is dropped if it is not finite, has a negative size or no area, is far larger than the picture, or
    no part of it lies in there.

    Args:
        boxes: (N, 4) x, y, w, h; changed in place.
        shown: (N,) bool; only boxes that ought to be good are counted, not those of targets that are out of view.
        dropped: counts by reason, added to.
        size: width and height of the picture, where they are known without opening it.
    """
    x, y, w, h = boxes.T
    right, bottom = size or (np.inf, np.inf)
    reasons = {
        "not finite": ~np.isfinite(boxes).all(1),
        "negative size": (w < 0) | (h < 0),
        "empty": (w == 0) | (h == 0),
        "far larger than the picture": np.maximum(w, h) > LARGER * max(right, bottom),
        "outside the picture": (x >= right) | (y >= bottom) | (x + w <= 0) | (y + h <= 0),
    }
    unusable = np.zeros(len(boxes), bool)
    for reason, bad in reasons.items():
        if count := int((bad & shown & ~unusable).sum()):
            dropped[reason] += count
        unusable |= bad
    boxes[unusable] = np.nan
    return boxes
