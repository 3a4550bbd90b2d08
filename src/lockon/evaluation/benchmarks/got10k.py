"""GOT-10k (Huang et al., TPAMI 2021): test, of which the server keeps all but the first boxes, and val."""

from __future__ import annotations

import re
from pathlib import Path

from lockon.annotations import read_boxes, read_flags, read_names, read_text, short
from lockon.errors import DataError
from lockon.evaluation.benchmarks.files import expect, pictures
from lockon.evaluation.sequences import Sequence

RESOLUTION = re.compile(r"^resolution\s*[:=]\s*\(\s*(\d{1,5})\s*,\s*(\d{1,5})\s*\)", re.MULTILINE)


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as in list.txt."""
    file = root / _part(benchmark) / "list.txt"
    return read_names(file) if file.is_file() else ()


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """Labels "absent" (0, 1) and "cover" (0 to 8 eighths visible), and the size, as published with val."""
    folder, told = root / _part(benchmark) / name, benchmark == "got10k_val"
    file = folder / "groundtruth.txt"
    files = pictures(folder, "{:08d}.jpg")
    boxes = expect(read_boxes(file), len(files), file, first_alone=not told)
    if not told:
        return Sequence(name, files, boxes)
    labels = {
        label: read_flags(folder / path, len(files))
        for label, path in (("absent", "absence.label"), ("cover", "cover.label"))
    }
    return Sequence(name, files, boxes, labels=labels, size=_size(folder / "meta_info.ini"))


def _part(benchmark: str) -> str:
    return "val" if benchmark == "got10k_val" else "test"


def _size(file: Path) -> tuple[int, int]:
    found = RESOLUTION.search(read_text(file))
    if not found:
        raise DataError(f"{short(file)} has no line such as resolution: (1920, 1080)")
    return int(found[1]), int(found[2])
