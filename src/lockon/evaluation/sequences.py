"""Annotated sequences: a folder each, with ``00000001.jpg`` and so on and ``groundtruth.txt``, x,y,w,h per line, or
nan,nan,nan,nan where the target is absent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockon.data.sources import decode
from lockon.errors import DataError
from lockon.evaluation.metrics import Array, precision, success_auc
from lockon.tracker import Result, Tracker


@dataclass(frozen=True)
class Sequence:
    """A video with one target.

    Attributes:
        files: one picture per frame.
        boxes: (T, 4) x, y, w, h in pixels.
    """

    name: str
    files: list[Path]
    boxes: Array

    def frames(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, one after the other."""
        return (decode(file.read_bytes()) for file in self.files)


def read_sequences(folder: Path) -> list[Sequence]:
    """All sequences of a folder, by name.

    Raises:
        DataError: there are none, or one whose boxes cannot be read or are not one for each frame.
    """
    found = [read_sequence(file.parent) for file in sorted(folder.glob("*/groundtruth.txt"))]
    if not found:
        raise DataError(f"{folder}: no sequences; expected {folder}/NAME/groundtruth.txt beside 00000001.jpg and so on")
    return found


def read_sequence(folder: Path) -> Sequence:
    """The sequence of one folder; see ``read_sequences``."""
    files = sorted(folder.glob("*.jpg"))
    try:
        boxes = np.loadtxt(folder / "groundtruth.txt", delimiter=",", ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/groundtruth.txt: cannot read x,y,w,h lines: {error}") from None
    if boxes.shape != (len(files), 4):
        raise DataError(f"{folder}: {len(files)} pictures, but {len(boxes)} boxes of {boxes.shape[1]} numbers")
    return Sequence(folder.name, files, boxes)


def score(tracker: Tracker, sequence: Sequence) -> tuple[float, float]:
    """Success AUC and precision at 20 pixels of one pass: the tracker gets the first box, and then no more."""
    frames = sequence.frames()
    results = [tracker.init(next(frames), sequence.boxes[0]), *map(tracker.update, frames)]
    boxes = np.array([result.box for result in results if isinstance(result, Result)])
    return success_auc(boxes, sequence.boxes), precision(boxes, sequence.boxes)
