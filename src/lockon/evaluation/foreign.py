"""Raw results, as lockon and the field's toolkits write them: one text file of boxes per sequence.

What the toolkits write (SPEC "Result files on disk"): got10k, lockon and pysot have commas between x, y, w and h,
pytracking and what descends from it (STARK, OSTrack, ...) tabs between truncated integers, and a number behind the
tracker for each run of it; GOT-10k's and VOT's experiments have a folder per sequence with a file per repetition. The
folders above say who the tracker is. All of it is found by looking for the benchmark's sequence names.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lockon.annotations import BOX, parse_rows, short
from lockon.benchmarks import BENCHMARKS
from lockon.errors import DataError
from lockon.evaluation import speed
from lockon.evaluation.benchmarks import plain_name
from lockon.evaluation.reading import folders, label_of, result_text
from lockon.evaluation.results import read_config
from lockon.evaluation.sequences import Array, Benchmark

RUN = re.compile(r"_0\d\d$")  # pytracking counts runs from 000; the name of a tracker may end in _256
REPETITION = re.compile(r"(.+)_(\d{3})")
BESIDE = {"times", "scores", "polygons"}  # folders in a tracker's own, with files that are no boxes
ALSO_CALLED = {  # folders of a benchmark beside its own name and title
    "otb2015": ("otb", "otb100", "tb100", "otbtb100"),
    "otb2013": ("cvpr13", "otbcvpr13"),
    "otb50": ("tb50", "otbtb50"),
    "uav123": ("uav",),
    "nfs": ("nfs30", "30"),
    "nfs240": ("240",),
    "lasot": ("lasottest",),
    "lasot_ext": ("lasotextensionsubset", "lasotext"),
    "got10k_val": ("got10k",),
}
ABOVE_TRACKERS = {"results", "trackingresults"}


@dataclass(frozen=True, eq=False)
class Results:
    """What one tracker answered.

    Attributes:
        tracker: its label, from the folder.
        boxes: (T, 4) x, y, w, h in pixels by the benchmark's sequence name, or (R, T, 4) of R repetitions.
        seconds: (T,) or (R, T) that frames took, of the sequences whose times were written.
        folder: where the files are (of the first run).
        layout: what the folder was taken for, in words.
        run: what ``run.json`` says of the run's configuration; empty where there is none.
    """

    tracker: str
    boxes: Mapping[str, Array]
    seconds: Mapping[str, Array] = field(default_factory=dict)
    folder: Path = Path()
    layout: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fps(self) -> float | None:
        """Frames over seconds of all sequences with times, the first frame included; None without any."""
        rate = speed.pytracking(self.seconds.values())
        return rate if math.isfinite(rate) and rate > 0 else None


def read_results(path: Path | str, benchmark: Benchmark) -> list[Results]:
    """All trackers' results of a benchmark in a folder.

    Args:
        path: the folder of one tracker, of several, or of several benchmarks' results.
        benchmark: whose sequences are looked for. Names match whatever the case and with ``-``, ``.`` or ``_``.

    Returns:
        One per tracker, in alphabetical order. Sequences without a file are not in it, so that an unfinished run can
        be looked at; ``metrics.score`` asks for all.

    Raises:
        DataError: no results there, a file with anything but rows of x, y, w, h, two files for one sequence, two
            folders for one tracker, repetitions of different lengths, or names that cannot be shown. Names file and
            line.
    """
    root = Path(path)
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; give the folder of a tracker's results, or one above it")
    found = _of_benchmark(benchmark, _find_files(root, benchmark))
    if not found:
        first = benchmark.names[0]
        raise DataError(
            f"{root}: no results of {benchmark.name}; looked there and below for files such as TRACKER/{first}.txt "
            f"or TRACKER/{first}/{first}_001.txt"
        )
    runs: dict[str, list[Path]] = {}
    for folder in sorted(found):
        others = runs.setdefault(label := _label(root, folder, benchmark), [])
        if any(RUN.sub("", str(other)) != RUN.sub("", str(folder)) for other in others):
            raise DataError(f"{others[0]} and {folder}: both have results of {label}; give one of the two alone")
        others.append(folder)
    return [
        _read_tracker(label, {folder: found[folder] for folder in folders}, benchmark)
        for label, folders in runs.items()
    ]


def distinct(results: Iterable[Results]) -> list[Results]:
    """The same, with ``(2)`` and so on behind a label that was there before."""
    listed = list(results)
    labels = different([result.tracker for result in listed])
    return [replace(result, tracker=label) for result, label in zip(listed, labels, strict=True)]


def different(labels: Sequence[str]) -> list[str]:
    """Labels, each with the first number behind it, from ``(2)`` on, that makes it unlike those before it."""
    taken: set[str] = set()
    told = []
    for label in labels:
        numbered = (f"{label} ({number})" for number in count(2))
        told.append(label if label not in taken else next(other for other in numbered if other not in taken))
        taken.add(told[-1])
    return told


# Finding files

Found = dict[Path, dict[str, list[Path]]]  # folder of results: sequence: its files, one per repetition


def _find_files(root: Path, benchmark: Benchmark) -> Found:
    """Every folder with results below a folder, and its files by sequence."""
    names = {plain_name(name): name for name in benchmark.names}
    found: Found = {}
    for folder, below, files in folders(root):
        below[:] = [name for name in below if name not in BESIDE]
        for file in (folder / name for name in files if name.endswith(".txt")):
            repeated = _is_repetition(file)
            name = names.get(plain_name(file.parent.name if repeated else file.stem))
            if name is None:
                continue
            known = found.setdefault(file.parents[1] if repeated else file.parent, {}).setdefault(name, [])
            if known and not repeated:
                raise DataError(f"{known[0]} and {file.name}: both are {name}'s; keep one of them")
            known.append(file)
    return found


def _is_repetition(file: Path) -> bool:
    """Whether it is SEQUENCE/SEQUENCE_001.txt or another of that kind."""
    match = REPETITION.fullmatch(file.stem)
    return match is not None and plain_name(match[1]) == plain_name(file.parent.name)


def _squeezed(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _called(name: str) -> set[str]:
    """The folder names that say "results of this benchmark"."""
    title = BENCHMARKS[name].title if name in BENCHMARKS else name
    return {_squeezed(name), _squeezed(title), *ALSO_CALLED.get(name, ())}


def _of_benchmark(benchmark: Benchmark, found: Found) -> Found:
    """Without the folders of other benchmarks that share sequence names, such as UAV123 and UAV20L."""
    own = _called(benchmark.name)
    others = set().union(*(_called(name) for name in BENCHMARKS)) - own
    parts = {folder: {_squeezed(part) for part in folder.parts} for folder in found}
    foreign = {folder for folder in found if parts[folder] & others and not parts[folder] & own}
    named = {folder for folder in found if parts[folder] & own}
    return {folder: files for folder, files in found.items() if folder not in foreign or not named}


def _label(root: Path, folder: Path, benchmark: Benchmark) -> str:
    """The tracker's name, of the folders between the given one and its files; run numbers are not part of it."""
    drop = _called(benchmark.name) | ABOVE_TRACKERS
    parts = [part for part in folder.relative_to(root).parts if _squeezed(part) not in drop]
    if not parts:
        parts = [next((part for part in reversed(folder.resolve().parts) if _squeezed(part) not in drop), folder.name)]
    parts[-1] = RUN.sub("", parts[-1])
    return label_of("/".join(part.removesuffix("_tracking_result") for part in parts), folder)


# Reading them


def _read_tracker(label: str, runs: Found, benchmark: Benchmark) -> Results:
    """One tracker's results from the folders of its runs."""
    boxes: dict[str, Array] = {}
    seconds: dict[str, Array] = {}
    for name in benchmark.names:
        files = [file for found in runs.values() for file in found.get(name, ())]
        if files:
            boxes[name] = _stack([parse_rows(result_text(file), file, BOX) for file in files], files)
            times = [_read_times(file) for file in files]
            if all(len(part) for part in times):
                seconds[name] = _stack(times, files)
    folder = next(iter(runs))
    run = read_config(folder) if (folder / "run.json").is_file() else {}
    return Results(label, boxes, seconds, folder, _layout(runs, boxes, benchmark), run)


def _stack(parts: list[Array], files: list[Path]) -> Array:
    """(T, ...) of one file, (R, T, ...) of several."""
    if len(parts) == 1:
        return parts[0]
    lengths = [len(part) for part in parts]
    if len(set(lengths)) > 1:
        shown = ", ".join(f"{file.parent.name}/{file.name} {length}" for file, length in zip(files, lengths))
        raise DataError(f"{files[0].parent}: repetitions of different lengths: {shown} rows; run them again")
    return np.stack(parts)


def _read_times(file: Path) -> Array:
    """(T,) seconds beside a file of boxes, empty without."""
    stem, column = file.stem, 0
    if _is_repetition(file):
        stem, column = stem[:-4], int(stem[-3:]) - 1
    for path in (file.parent / "times" / f"{stem}_time.txt", file.with_name(f"{stem}_time.txt")):
        if path.is_file():
            text = result_text(path)
            columns = len(text.lstrip().split("\n")[0].replace(",", " ").split())
            seconds = parse_rows(text, path, ",".join(["seconds"] * columns))
            if (odd := np.isinf(seconds).any(1)).any():
                raise DataError(f"{short(path)}, line {int(odd.argmax()) + 1}: an infinite time; measure again")
            return seconds[:, min(column, columns - 1)]
    return np.empty(0)


def _layout(runs: Found, boxes: Mapping[str, Array], benchmark: Benchmark) -> str:
    """Which toolkit's files these look like."""
    folder, found = next(iter(runs.items()))
    name, files = next(iter(found.items()))
    text = result_text(files[0])
    first = boxes[name].reshape(-1, 4)[0]
    if (folder / "run.json").is_file():
        kind = "lockon's results"
    elif files[0].parent != folder:
        kind = "GOT-10k's results"
    elif folder.name.endswith("_tracking_result"):
        kind = "LaSOT's results"
    elif "\t" in text and "." not in text:
        kind = "pytracking's results, whole pixels"
    elif (folder / "times").is_dir():
        kind = "got10k's results"
    elif "," in text and np.allclose(first - benchmark.read(name).boxes[0], [0.5, 0.5, 0, 0], atol=1e-3):
        kind = "pysot's results, first row half a pixel off"
    else:
        kind = "rows of x, y, w, h"
    repetitions = max(len(files) for files in found.values()) * len(runs)
    return f"{kind}, {repetitions} repetitions" if repetitions > 1 else kind
