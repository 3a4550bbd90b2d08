"""Small benchmarks for the tests: folders of sequences in which the disc of ``scenes`` moves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.sequences import Benchmark
from tests import scenes


def write_benchmark(root: Path, names: Iterable[str] = "abc", frames: int = 5) -> Benchmark:
    """Sequences of these names, each with a ground of its own and one frame more than the one before."""
    for number, name in enumerate(names):
        folder, boxes = root / name, []
        folder.mkdir(parents=True)
        for n in range(frames + number):
            image, box = scenes.picture(n, seed=number)
            image = image[:, : scenes.WIDTH - 8 * number]  # no two of a size
            (folder / f"{n + 1:08d}.jpg").write_bytes(scenes.jpeg(image))
            boxes.append(",".join(map(str, box)) + "\n")
        (folder / "groundtruth.txt").write_text("".join(boxes))
    return open_benchmark("folder", root)


def contents(folder: Path) -> dict[str, bytes]:
    """Everything that a tracker said, by file: all but times and configuration."""
    files = (file for file in folder.rglob("*") if file.is_file())
    told = {str(file.relative_to(folder)): file.read_bytes() for file in files if file.parent.name != "times"}
    told.pop("run.json")
    return told
