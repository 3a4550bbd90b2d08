"""A tracker's results on a benchmark, in the layout of the GOT-10k toolkit, which others read too.

    OUT/BENCHMARK/TRACKER/SEQUENCE.txt                   x,y,w,h per frame, in pixels; row 1 is the given box
                          times/SEQUENCE_time.txt        seconds per frame
                          scores/SEQUENCE_score.txt      how sure it was, where it says
                          polygons/SEQUENCE.txt          x1,y1,x2,y2,... per frame, where it draws them
                          run.json                       how they were made

Each file is written beside its place and moved there when it is whole, SEQUENCE.txt last: where it is, the sequence is
complete, whatever became of the run. Several runs may share a folder: each sequence is claimed by one of them.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from lockon.boxes import Polygon
from lockon.errors import DataError, OutputError
from lockon.evaluation.metrics import Array
from lockon.evaluation.sequences import Trace

MAY_DIFFER = ("machine", "started")  # what a run may have of its own when it goes on with another's results


def open_folder(out: Path, benchmark: str, tracker: str, config: Mapping[str, Any]) -> Path:
    """The folder of a tracker's results, new or to go on with.

    Args:
        config: all that the results depend on, and under ``MAY_DIFFER`` what they do not; as JSON has it.

    Raises:
        DataError: the folder has results of another configuration.
        OutputError: it cannot be made.
    """
    folder = out / benchmark / tracker
    path = folder / "run.json"
    wanted = json.loads(json.dumps(dict(config)))
    if not path.exists():
        if any(folder.glob("*.txt")):
            raise DataError(f"{folder}: has results, but no run.json to say how they were made; choose another --out")
        write_whole(path, [json.dumps(wanted, indent=2)])
    found = read_config(folder)
    differing = [key for key in {**wanted, **found} if key not in MAY_DIFFER and found.get(key) != wanted.get(key)]
    if differing:
        told = "; ".join(f"{key} is {found.get(key)!r} there and {wanted.get(key)!r} now" for key in differing)
        raise DataError(f"{folder}: has results of another run: {told}; choose another --out, or remove the folder")
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    """What run.json says.

    Raises:
        DataError: it cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}/run.json: cannot be read: {error}") from None
    return found


def is_complete(folder: Path, name: str) -> bool:
    """Whether a sequence's results are there."""
    return (folder / f"{name}.txt").exists()


def write_trace(folder: Path, name: str, trace: Trace, polygons: Sequence[Polygon] = ()) -> None:
    """Writes a sequence's results; ``polygons`` has one for each frame or is empty.

    Raises:
        OutputError: a file cannot be written, such as on a full disk; nothing half-written is left.
    """
    if polygons:
        lines = (",".join(f"{v:.4f}" for corner in polygon for v in corner) for polygon in polygons)
        write_whole(folder / "polygons" / f"{name}.txt", lines)
    write_whole(folder / "times" / f"{name}_time.txt", (f"{seconds:.8f}" for seconds in trace.seconds))
    if not np.isnan(trace.scores).all():
        write_whole(folder / "scores" / f"{name}_score.txt", (f"{score:.8f}" for score in trace.scores))
    write_whole(folder / f"{name}.txt", (",".join(f"{v:.4f}" for v in box) for box in trace.boxes))


def read_trace(folder: Path, name: str, frames: int) -> Trace:
    """A sequence's results; times and scores are NaN where there is no such file, ``found`` is true throughout.

    Raises:
        DataError: a file is missing or is not what ``write_trace`` writes for this number of frames.
    """
    boxes = _read_numbers(folder / f"{name}.txt", (frames, 4))
    if not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(1))[0]) + 1
        raise DataError(f"{folder}/{name}.txt, line {row}: not finite; remove the file and run again")
    unknown = np.full(frames, np.nan)
    times, scores = folder / "times" / f"{name}_time.txt", folder / "scores" / f"{name}_score.txt"
    seconds = _read_numbers(times, (frames, 1))[:, 0] if times.exists() else unknown
    told = _read_numbers(scores, (frames, 1))[:, 0] if scores.exists() else unknown
    return Trace(boxes, seconds, told, np.ones(frames, bool))


def _read_numbers(path: Path, shape: tuple[int, int]) -> Array:
    advice = "remove the file and run again"
    try:
        rows = [[float(value) for value in line.split(",")] for line in path.read_text().splitlines()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; run again") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected {shape[1]} numbers per line, with commas; {advice}") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != shape[1]:
            raise DataError(f"{path}, line {number}: {len(row)} numbers in place of {shape[1]}; {advice}")
    if len(rows) != shape[0]:
        raise DataError(f"{path}: {len(rows)} lines, but the sequence has {shape[0]} frames; {advice}")
    return np.array(rows)


def write_whole(path: Path, lines: Iterable[str]) -> None:
    """Writes a text file that is either there with all its lines or, if that fails or the process dies, not at all.

    Raises:
        OutputError: the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            try:
                file.writelines(f"{line}\n" for line in lines)
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


class Claim:
    """A sequence that this process alone works on, until it releases it or dies."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._file = path, file

    @classmethod
    def take(cls, folder: Path, name: str) -> Claim | None:
        """The claim to a sequence, or None where another process has it.

        Raises:
            OutputError: nothing can be written there.
        """
        import fcntl  # not on Windows, where everything but this works

        path = folder / ".claims" / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("w")
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # not one that was released meanwhile
                return cls(path, file)
        file.close()
        return None

    def release(self) -> None:
        """Lets others have it."""
        self._path.unlink(missing_ok=True)
        self._file.close()
