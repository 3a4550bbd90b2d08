"""Miniatures of benchmarks in their published layouts: real names, tiny pictures, boxes that tell their frame.

The box of frame n of a sequence, counted from 1, is n, 20, 30, 40 unless a test says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from tests import scenes

WIDTH, HEIGHT = 16, 12
JPEG = scenes.jpeg(np.zeros((HEIGHT, WIDTH, 3), np.uint8))


def lines(numbers: Iterable[int], comma: str = ",") -> str:
    """The boxes of some frames."""
    return "".join(f"{number}{comma}20{comma}30{comma}40\n" for number in numbers)


def write(path: Path, text: str) -> Path:
    """A text file, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_pictures(folder: Path, pattern: str, numbers: Iterable[int]) -> None:
    """Pictures under a pattern such as ``{:08d}.jpg``."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / pattern.format(number)).write_bytes(JPEG)


def write_otb(root: Path, folder: str, numbers: range, text: str, file: str = "groundtruth_rect.txt") -> None:
    write_pictures(root / folder / "img", "{:04d}.jpg", numbers)
    write(root / folder / file, text)


def write_uav(root: Path, version: str, name: str, folder: str, numbers: range) -> Path:
    """A range of a folder; its boxes are numbered from 1. The annotation."""
    write_pictures(root / "data_seq" / "UAV123" / folder, "{:06d}.jpg", numbers)
    return write(root / "anno" / version / f"{name}.txt", lines(range(1, len(numbers) + 1)))


def nfs_lines(numbers: Iterable[int]) -> str:
    """Corners in the rows that NfS has, for the same boxes."""
    return "".join(f'0 {n} 20 {n + 30} 60 {n} 0 0 1 "toy car"\n' for n in numbers)


def write_nfs(root: Path, name: str, pictures: int, rows: int, fps: int = 30, nested: bool = False) -> Path:
    folder = (root / name / name if nested else root / name) / str(fps)
    write_pictures(folder / name, "{:05d}.jpg", range(1, pictures + 1))
    return write(folder / f"{name}.txt", nfs_lines(range(1, rows + 1)))


def write_lasot(folder: Path, count: int, occluded: Iterable[int] = (), outside: Iterable[int] = ()) -> None:
    """A sequence whose target is hidden in some frames, counted from 1."""
    frames = range(1, count + 1)
    write_pictures(folder / "img", "{:08d}.jpg", frames)
    write(folder / "groundtruth.txt", lines(frames))
    for file, hidden in (("full_occlusion.txt", set(occluded)), ("out_of_view.txt", set(outside))):
        write(folder / file, ",".join(str(int(n in hidden)) for n in frames))


def write_got10k(root: Path, part: str, names: Iterable[str], count: int = 4) -> None:
    """Some sequences; those of val with their labels: absent in the second frame, wholly covered in the third."""
    write(root / part / "list.txt", "".join(f"{name}\n" for name in names))
    for name in names:
        folder = root / part / name
        write_pictures(folder, "{:08d}.jpg", range(1, count + 1))
        write(folder / "groundtruth.txt", lines(range(1, count + 1) if part == "val" else [1]))
        if part == "val":
            write(folder / "absence.label", "".join(f"{int(n == 2)}\n" for n in range(1, count + 1)))
            write(folder / "cover.label", "".join(f"{0 if n == 3 else 8}\n" for n in range(1, count + 1)))
            write(folder / "meta_info.ini", "[METAINFO]\nurl: https://example.org\nresolution: (1920, 1080)\n")


def write_trackingnet(root: Path, name: str, count: int) -> Path:
    write_pictures(root / "TEST" / "frames" / name, "{}.jpg", range(count))
    return write(root / "TEST" / "anno" / f"{name}.txt", lines([1]))


def write_vot(root: Path, name: str, regions: Iterable[str], colour: bool = True) -> Path:
    """A sequence with its regions, as the toolkit stores it, or in the old way. Its folder."""
    folder, regions = root / name, list(regions)
    write_pictures(folder / "color" if colour else folder, "{:08d}.jpg", range(1, len(regions) + 1))
    write(folder / "groundtruth.txt", "".join(f"{region}\n" for region in regions))
    if colour:
        write(folder / "sequence", f"name={name}\nfps=30\nformat=default\nchannels.color=color/%08d.jpg\n")
    return folder


def write_folder(folder: Path, count: int = 3, pattern: str = "{:08d}.jpg") -> None:
    """A sequence of your own."""
    write_pictures(folder, pattern, range(1, count + 1))
    write(folder / "groundtruth.txt", lines(range(1, count + 1)))
