"""TrackingNet's test set (Mueller et al., ECCV 2018), of which the server keeps all but the first boxes."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes
from lockon.evaluation.benchmarks.files import annotated, expect, pictures
from lockon.evaluation.sequences import Sequence


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names of the annotation files, sorted."""
    return annotated(root / "TEST" / "anno")


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """Pictures are numbered from 0 without zeros before, and taken in the order of their numbers."""
    file = root / "TEST" / "anno" / f"{name}.txt"
    files = pictures(root / "TEST" / "frames" / name, "{}.jpg", 0)
    return Sequence(name, files, expect(read_boxes(file), len(files), file, first_alone=True))
