"""NfS, Need for Speed (Galoogahi et al., ICCV 2017), at 30 or 240 frames per second; papers report 30."""

from __future__ import annotations

import re
from pathlib import Path

from lockon.annotations import finite_rows, parse_rows, read_boxes, read_text, short
from lockon.errors import DataError
from lockon.evaluation.benchmarks.files import pictures, read_list
from lockon.evaluation.sequences import Array, Sequence

ROW = "id,xmin,ymin,xmax,ymax,frame,lost,occluded,generated"  # and a class in quotes
CLASS = re.compile(r'\s+"[^"\n]*"[^\S\n]*$', re.MULTILINE)


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as the folders have them; pytracking's result files begin with ``nfs_``."""
    names = tuple(read_list("nfs"))
    found = any((root / name).is_dir() or (benchmark == "nfs" and _converted(root, name).is_file()) for name in names)
    return names if found else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """From the official folders, or those that pytracking offers for download.

    The official annotation at 30 fps may have a row per frame at 240 fps, of which every eighth counts. Rows and
    pictures may differ by one: both are cut to the shorter.
    """
    if benchmark == "nfs" and (file := _converted(root, name)).is_file():
        length = read_list("nfs")[name]
        boxes, files = read_boxes(file), pictures(root / "sequences" / name, "{:05d}.jpg", 1, length, spare=True)
    else:
        fps = "240" if benchmark == "nfs240" else "30"
        folder = root / name / fps
        if not folder.is_dir() and (root / name / name / fps).is_dir():  # some archives have one level more
            folder = root / name / name / fps
        file = folder / f"{name}.txt"
        boxes, files = _read_corners(file), pictures(folder / name, "{:05d}.jpg")
    if benchmark == "nfs" and abs(len(boxes) / len(files) - 8) < 1:
        boxes = boxes[::8]
    count = min(len(boxes), len(files))
    if max(len(boxes), len(files)) > count + 1:
        raise DataError(f"{short(file)} has {len(boxes)} lines for {len(files)} frames")
    return Sequence(name, files[:count], boxes[:count])


def _converted(root: Path, name: str) -> Path:
    return root / "anno" / f"nfs_{name}.txt"


def _read_corners(file: Path) -> Array:
    corners = parse_rows(CLASS.sub("", read_text(file)), file, ROW)[:, 1:5]
    corners[:, 2:] -= corners[:, :2]
    return finite_rows(corners, file)
