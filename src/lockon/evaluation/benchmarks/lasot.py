"""LaSOT's 280 test sequences (Fan et al., CVPR 2019) and its extension of 150 (IJCV 2021)."""

from __future__ import annotations

from pathlib import Path

from lockon.annotations import read_boxes, read_flags
from lockon.evaluation.benchmarks.files import expect, pictures, read_list
from lockon.evaluation.sequences import Sequence


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names of the test set (protocol II, as in papers), in the order of its list."""
    names = _listed(benchmark)
    return tuple(names) if any(_folder(root, name).is_dir() for name in names) else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """Label "absent" is 1 where full_occlusion.txt or out_of_view.txt is. Boxes are as annotated, with the first pixel
    at 1, 1; a few of present targets have no area. Attributes are published for the test set alone."""
    count, attributes = _listed(benchmark)[name]
    folder = _folder(root, name)
    file = folder / "groundtruth.txt"
    boxes = read_boxes(file)
    files = pictures(folder / "img", "{:08d}.jpg", 1, count)
    boxes = expect(boxes, len(files), file)
    absent = read_flags(folder / "full_occlusion.txt", len(boxes)) | read_flags(folder / "out_of_view.txt", len(boxes))
    return Sequence(name, files, boxes, frozenset(attributes.split()), {"absent": absent})


def _listed(benchmark: str) -> dict[str, tuple[int | None, str]]:
    """Frames and attributes by name; of the extension neither is known."""
    listed = read_list("lasot")[benchmark]
    return listed if benchmark == "lasot" else dict.fromkeys(listed.split(), (None, ""))


def _folder(root: Path, name: str) -> Path:
    """CLASS/NAME, or NAME in copies without that level."""
    nested = root / name.rpartition("-")[0] / name
    return nested if nested.is_dir() or not (root / name).is_dir() else root / name
