"""AVisT (Noman et al., BMVC 2022): 120 sequences in fog, rain, smoke and the like."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes, read_flags
from lockon.evaluation.benchmarks.files import annotated, expect, pictures
from lockon.evaluation.sequences import Sequence


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names of the annotation files, sorted, where there are the flags of this data set too."""
    return annotated(root / "anno") if (root / "full_occlusion").is_dir() else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """Label "absent" is 1 where the target is wholly occluded or out of view."""
    file = root / "anno" / f"{name}.txt"
    files = pictures(root / "sequences" / name, "img_{:05d}.jpg")
    boxes = expect(read_boxes(file), len(files), file)
    flags = (root / kind / f"{name}_{kind}.txt" for kind in ("full_occlusion", "out_of_view"))
    occluded, outside = (read_flags(path, len(boxes)) for path in flags)
    return Sequence(name, files, boxes, labels={"absent": occluded | outside})
