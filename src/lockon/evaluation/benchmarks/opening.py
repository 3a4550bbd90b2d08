"""Opening a benchmark, and saying what its copy lacks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Protocol

from lockon.benchmarks import BENCHMARKS
from lockon.errors import DataError
from lockon.evaluation.benchmarks import avist, folder, got10k, lasot, nfs, otb, trackingnet, uav, vot
from lockon.evaluation.sequences import Benchmark, Sequence
from lockon.files import why
from lockon.names import alike
from lockon.registry import closest

SHOWN = 5  # how many of the files that lie in a wrong place an error names
TRIED = 50  # folders below a wrong one in which the benchmark is looked for
PREFIXES = ("uav_", "nfs_")  # pytracking's
OTHER_NAMES = {"human4": "human4_2"}  # got10k's


class Reader(Protocol):
    """A module that reads one benchmark, or several that lie on disk alike, as they are published."""

    def find(self, benchmark: str, root: Path) -> tuple[str, ...]:
        """Names of the benchmark's sequences; none if it is not in this folder. No sequence is read."""

    def read(self, benchmark: str, root: Path, name: str) -> Sequence:
        """The sequence of a name.

        Raises:
            DataError: its copy is incomplete or malformed.
        """


READERS: dict[str, Reader] = {
    "avist": avist,
    "folder": folder,
    "got10k": got10k,
    "lasot": lasot,
    "nfs": nfs,
    "otb": otb,
    "trackingnet": trackingnet,
    "uav": uav,
    "vot": vot,
}


def open_benchmark(name: str, root: str | Path) -> Benchmark:
    """A benchmark on disk.

    Args:
        name: of ``BENCHMARKS``.
        root: its folder, as it was unpacked; ``BENCHMARKS[name].layout`` says what lies there.

    Raises:
        DataError: an unknown name (the closest are named), or a folder that has something else in it; if the benchmark
            is one level above or below, the error says so.
    """
    if name not in BENCHMARKS:
        raise DataError(f"unknown benchmark {name!r}; {closest(name, BENCHMARKS)}")
    root = Path(root)
    if not root.is_dir():
        raise DataError(f"{name}: {root} is no folder; expected one with {BENCHMARKS[name].layout}")
    try:
        names = READERS[BENCHMARKS[name].reader].find(name, root)
        if not names:
            raise _wrong_root(name, root)
        remarks = _remarks(name, root, names)
    except OSError as error:
        raise DataError(f"{name}: {error.filename or root}: cannot be read: {why(error)}") from None
    return Benchmark(name, names, partial(_read, name, root, names), BENCHMARKS[name].toolkit, remarks, root=root)


def _remarks(name: str, root: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """What is left out, and what results will suffer from."""
    remarks = folder.without_truth(root, names) if BENCHMARKS[name].reader == "folder" else []
    for group in alike(names):
        remarks.append(
            f"the names {' and '.join(group)} differ in case or Unicode form alone; disks that take them for one take "
            "their results for one, too"
        )
    return tuple(f"{name}: {remark}" for remark in remarks)


def check(benchmark: Benchmark) -> list[str]:
    """What a copy lacks, a line per sequence, by reading every one (no picture is decoded); empty if it is complete.

    What was left out as it was opened comes first.
    """
    faults, frames = list(benchmark.remarks), 0
    for name in benchmark.names:
        try:
            sequence = benchmark.read(name)
        except DataError as error:
            faults.append(str(error))
            continue
        frames += len(sequence)
        if not (sequence.boxes[0, 2:] > 0).all():
            faults.append(f"{benchmark.name}, {name}: its first frame has no box to start on")
    info = BENCHMARKS[benchmark.name]
    if info.sequences not in (None, len(benchmark)):
        faults.append(f"{benchmark.name}: {len(benchmark)} sequences, expected {info.sequences}")
    elif info.frames not in (None, frames) and not faults:
        faults.append(f"{benchmark.name}: {frames} frames in all, expected {info.frames}")
    return faults


def find_name(text: str, names: Iterable[str]) -> str:
    """The one of a benchmark's names that is meant by another toolkit's spelling: jogging_1 or Jogging.1 for Jogging-1,
    uav_bike1 for bike1.

    Raises:
        DataError: none of them, or more than one; the closest are named.
    """
    names = tuple(names)
    if text in names:
        return text
    meant = [name for name in names if plain_name(name) == plain_name(text)]
    if len(meant) != 1:
        raise DataError(f"no sequence is called {text!r}; {closest(text, names)}")
    return meant[0]


def plain_name(name: str) -> str:
    """A sequence's name in the one spelling that all toolkits' names of it have in common."""
    name = name.casefold().replace("-", "_").replace(".", "_")
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return OTHER_NAMES.get(name, name)


def _read(benchmark: str, root: Path, names: tuple[str, ...], text: str) -> Sequence:
    name = find_name(text, names)
    try:
        return READERS[BENCHMARKS[benchmark].reader].read(benchmark, root, name)
    except DataError as error:
        raise DataError(f"{benchmark}, {name}: {error}; copy it again, or mend it, in {root}") from None
    except OSError as error:
        raise DataError(f"{benchmark}, {name}: {error.filename or root}: cannot be read: {why(error)}") from None


def _wrong_root(name: str, root: Path) -> DataError:
    there = sorted(path.name for path in root.iterdir() if not path.name.startswith("."))
    shown = ", ".join(there[:SHOWN]) + (f" and {len(there) - SHOWN} more" if len(there) > SHOWN else "")
    below = [root / entry for entry in there if (root / entry).is_dir()][:TRIED]
    meant = next((path for path in (*below, *root.absolute().parents[:2]) if _lies_in(name, path)), None)
    return DataError(
        f"{name}: {root} is not the folder of {BENCHMARKS[name].title}; "
        + (f"did you mean {meant}? " if meant else "")
        + f"expected there: {BENCHMARKS[name].layout}; found: {shown or 'nothing'}"
    )


def _lies_in(name: str, path: Path) -> bool:
    try:
        return bool(READERS[BENCHMARKS[name].reader].find(name, path))
    except (DataError, OSError):
        return False
