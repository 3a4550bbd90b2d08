"""UAV123 and UAV20L (Mueller et al., ECCV 2016): videos from drones, some cut into several sequences."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes
from lockon.evaluation.benchmarks.files import expect, pictures, read_list
from lockon.evaluation.sequences import Sequence


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as the annotation files have them (bird1_1); pytracking's result files begin with ``uav_``."""
    return tuple(read_list("uav")[benchmark]) if (root / "anno" / benchmark.upper()).is_dir() else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """A box is NaN where the target is hidden or out of view. Attributes, published in ``att/NAME.txt``, are in our
    list, with the frame ranges that the data set keeps in a Matlab file."""
    folder, first, last, attributes = read_list("uav")[benchmark][name]
    count, file = last - first + 1, root / "anno" / benchmark.upper() / f"{name}.txt"
    boxes = expect(read_boxes(file), count, file)
    files = pictures(root / "data_seq" / "UAV123" / folder, "{:06d}.jpg", first, count, spare=True)
    return Sequence(name, files, boxes, frozenset(attributes.split()))
