"""A tracker's results on a benchmark, in the layout of the GOT-10k toolkit, which others read too.

    OUT/BENCHMARK/TRACKER/SEQUENCE.txt                   x,y,w,h per frame, in pixels; row 1 is the given box
                          times/SEQUENCE_time.txt        seconds per frame
                          scores/SEQUENCE_score.txt      how sure it was, where it says
                          polygons/SEQUENCE.txt          x1,y1,x2,y2,... per frame, where it draws them
                          run.json                       how they were made

Each file is written beside its place and moved there when it is whole, SEQUENCE.txt last: where it is, the sequence is
complete, whatever became of the run. Several runs may share a folder: each sequence is claimed by one of them.

Nothing is written through links, and nothing into a folder that holds anything but results and their run.json.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np

from lockon.boxes import Polygon
from lockon.errors import DataError, OutputError, first_few
from lockon.evaluation.sequences import Array, Trace
from lockon.files import lock, why, write_whole

MAY_DIFFER = ("machine", "started")  # what a run may have of its own when it goes on with another's results
RECORD = "run.json"
RECORD_BYTES = 2**20  # far above any run.json
CLAIMS = ".claims"
PARTS = ("times", "scores", "polygons")  # folders beside the boxes
UNFINISHED = re.compile(r"\.\w{8}\.part")  # what a run that was killed may leave of a file, see ``files.whole_file``
NAME_BYTES = 200  # of a name; with what is put behind it, all file systems take it
PATIENCE = 0.05  # seconds between two looks at a claim that is held for a moment


# Names


def check_name(name: str) -> str:
    """The name of a sequence, if it can be part of a file's name anywhere.

    Raises:
        DataError: it would be a path, or cannot be a name: empty, ``.`` or ``..``, with a separator or a character
            that is none, or too long.
    """
    fault = _fault_of_name(name)
    if fault:
        raise DataError(f"{name[:NAME_BYTES]!r} cannot name a sequence, whose result files are called by it: {fault}")
    return name


def _fault_of_name(name: str) -> str:
    if not name or not name.strip(". "):
        return "it is empty, or dots and blanks alone"
    if set(name) & set("/\\"):
        return "it has a separator of folders in it"
    if os.path.splitdrive(name)[0] or re.match(r"[A-Za-z]:", name):
        return "it begins like a drive"
    if any(unicodedata.category(character) == "Cc" for character in name):
        return "it has control characters in it"
    if len(os.fsencode(name)) > NAME_BYTES:
        return f"it is longer than {NAME_BYTES} bytes"
    return ""


def check_names(names: Iterable[str]) -> None:
    """Looks through the names of a benchmark's sequences, before anything is tracked.

    Raises:
        DataError: one cannot be a file's name, or is there twice.
    """
    seen = set()
    for name in names:
        if check_name(name) in seen:
            raise DataError(f"two sequences are called {name!r}: their results would have the same files; rename one")
        seen.add(name)


def check_apart(folder: Path, names: Iterable[str]) -> None:
    """Looks whether the results of sequences would have the same files in a folder that ``open_folder`` gave.

    Raises:
        DataError: names differ in case or Unicode form alone, and the folder's disk takes them for one.
    """
    if not folds_case(folder):
        return
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DataError(
                f"{folder}: its disk takes the names {other!r} and {name!r} for one, and the results of one would be "
                "written over; choose an --out on another disk, or rename a sequence"
            )


def folds_case(folder: Path) -> bool:
    """Whether the folder's disk takes names for one that differ in case alone."""
    return os.path.lexists(folder / RECORD.upper())


# The folder


def open_folder(out: Path, benchmark: str, tracker: str, config: Mapping[str, Any]) -> Path:
    """The folder of a tracker's results, new or to go on with.

    What a run that was killed left of unfinished files is removed.

    Args:
        config: all that the results depend on, and under ``MAY_DIFFER`` what they do not; as JSON has it.

    Raises:
        DataError: the folder has results of another configuration, or anything else that no run made.
        OutputError: it cannot be made or written, or a link stands where results go.
    """
    folder = out / benchmark / tracker
    wanted = json.loads(json.dumps(dict(config), allow_nan=False))
    _refuse_links(folder)
    _refuse_foreign(folder)
    if not os.path.lexists(folder / RECORD):
        with _held(folder, RECORD):  # two runs may begin at once
            if not os.path.lexists(folder / RECORD):
                write_whole(folder / RECORD, [json.dumps(wanted, indent=2)])
    _compare(folder, read_config(folder), wanted)
    _remove_unfinished(folder)
    return folder


def _refuse_links(folder: Path) -> None:
    for path in (folder / name for name in (*PARTS, CLAIMS, RECORD)):
        if path.is_symlink():
            raise OutputError(f"{path}: is a link, and results are not written through links; remove it")


def _refuse_foreign(folder: Path) -> None:
    """A folder without run.json may have in it what a run that was killed at its very beginning leaves, only."""
    if os.path.lexists(folder / RECORD):
        return
    try:
        others = sorted(e.name for e in os.scandir(folder) if e.name != CLAIMS and not UNFINISHED.fullmatch(e.name))
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{folder}: cannot hold results: {why(error)}; choose another --out") from None
    if others:
        told = first_few(others, 3)
        raise DataError(f"{folder}: has no run.json to say how what is there was made ({told}); choose another --out")


def _compare(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    differing = [key for key in {**wanted, **found} if key not in MAY_DIFFER and found.get(key) != wanted.get(key)]
    if differing:
        told = "; ".join(f"{key} is {found.get(key)!r} there and {wanted.get(key)!r} now" for key in differing)
        raise DataError(f"{folder}: has results of another run: {told}; choose another --out, or remove the folder")


def read_config(folder: Path) -> dict[str, Any]:
    """What run.json says.

    Raises:
        DataError: it cannot be read, or is not what ``open_folder`` writes.
    """
    path = folder / RECORD
    try:
        if not path.is_file():  # a pipe would keep a reader waiting
            raise DataError(f"{path}: cannot be read: " + ("not a file" if os.path.lexists(path) else "no such file"))
        with path.open("rb") as file:
            content = file.read(RECORD_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {why(error)}") from None
    if len(content) > RECORD_BYTES:
        raise DataError(f"{path}: cannot be read: it is larger than {RECORD_BYTES} bytes, and not a record of a run")
    try:
        found = json.loads(content.decode(), parse_constant=_no_number)
    except UnicodeDecodeError:
        raise DataError(f"{path}: cannot be read: it is not a text") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read: it is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f"{path}: cannot be read: it should be an object of settings, not {type(found).__name__}")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _remove_unfinished(folder: Path) -> None:
    """Removes what killed runs left of files they were writing.

    A run writes only while it holds a claim. What was there before all claims were seen to be free belongs to nobody;
    where the file system knows no locks, claims say nothing, and all is left alone.
    """
    left = [path for place in ("", *PARTS) for path in _unfinished(folder / place)]
    if left and _locks_work(folder) and _all_free(folder):
        for path in left:
            with suppress(OSError):
                path.unlink()


def _unfinished(place: Path) -> list[Path]:
    try:
        return [Path(e) for e in os.scandir(place) if UNFINISHED.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    except OSError:
        return []


def _locks_work(folder: Path) -> bool:
    first = Claim.take(folder, ".locks")
    second = Claim.take(folder, ".locks")
    for claim in (second, first):
        if claim is not None:
            claim.release()
    return first is not None and second is None


def _all_free(folder: Path) -> bool:
    for name in sorted(os.listdir(folder / CLAIMS)):
        claim = Claim.take(folder, name)
        if claim is None:
            return False
        claim.release()
    return True


# Results of a sequence


def is_complete(folder: Path, name: str) -> bool:
    """Whether a sequence's results are there.

    Raises:
        DataError: the name is none (``check_name``), or something else is there.
        OutputError: the folder cannot be read.
    """
    path = folder / f"{check_name(name)}.txt"
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(f"{path}: is a link to nothing; remove it and run again") from None
        return False
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {why(error)}") from None
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: is in the way of results, and not a file; move it away and run again")
    return True


def write_trace(folder: Path, name: str, trace: Trace, polygons: Sequence[Polygon] = ()) -> None:
    """Writes a sequence's results; ``polygons`` has one for each frame or is empty.

    Raises:
        DataError: the name is none (``check_name``), or a frame has no box of finite numbers and no negative size.
        OutputError: a file cannot be written, such as on a full disk; nothing half-written is left.
    """
    check_name(name)
    for frame, box in enumerate(trace.boxes.tolist(), start=1):
        if not is_box(box):
            raise DataError(f"{name}, frame {frame}: {shown(box)} is no box, and no result is written")
    _refuse_links(folder)
    if polygons:
        lines = (",".join(f"{v:.4f}" for corner in polygon for v in corner) for polygon in polygons)
        write_whole(folder / "polygons" / f"{name}.txt", lines)
    write_whole(folder / "times" / f"{name}_time.txt", (f"{seconds:.8f}" for seconds in trace.seconds))
    if not np.isnan(trace.scores).all():
        write_whole(folder / "scores" / f"{name}_score.txt", (f"{score:.8f}" for score in trace.scores))
    write_whole(folder / f"{name}.txt", (",".join(f"{v:.4f}" for v in box) for box in trace.boxes))


def is_box(box: Iterable[float]) -> bool:
    """Whether these are x, y, w, h: finite, without a negative size."""
    values = list(box)
    return len(values) == 4 and all(map(math.isfinite, values)) and min(values[2:]) >= 0


def shown(box: Iterable[float]) -> str:
    """A box for a message."""
    return ",".join(f"{value:g}" for value in box)


def read_trace(folder: Path, name: str, frames: int) -> Trace:
    """A sequence's results; times and scores are NaN where there is no such file, ``found`` is true throughout.

    Raises:
        DataError: a file is missing or is not what ``write_trace`` writes for this number of frames.
    """
    path = folder / f"{check_name(name)}.txt"
    boxes = _read_numbers(path, (frames, 4))
    for number, box in enumerate(boxes.tolist(), start=1):
        if not is_box(box):
            fault = "a negative size" if all(map(math.isfinite, box)) else "not finite"
            raise DataError(f"{path}, line {number}: {fault}; remove the file and run again")
    unknown = np.full(frames, np.nan)
    times, scores = folder / "times" / f"{name}_time.txt", folder / "scores" / f"{name}_score.txt"
    seconds = _read_numbers(times, (frames, 1))[:, 0] if os.path.lexists(times) else unknown
    told = _read_numbers(scores, (frames, 1))[:, 0] if os.path.lexists(scores) else unknown
    return Trace(boxes, seconds, told, np.ones(frames, bool))


def _read_numbers(path: Path, shape: tuple[int, int]) -> Array:
    advice = "remove the file and run again"
    try:
        if path.exists() and not path.is_file():  # a pipe would keep a reader waiting
            raise DataError(f"{path}: cannot be read: not a file; move it away and run again")
        rows = [[float(value) for value in line.split(",")] for line in path.read_text().splitlines()]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {why(error)}; run again") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected {shape[1]} numbers per line, with commas; {advice}") from None
    for number, row in enumerate(rows, start=1):
        if len(row) != shape[1]:
            raise DataError(f"{path}, line {number}: {len(row)} numbers in place of {shape[1]}; {advice}")
    if len(rows) != shape[0]:
        raise DataError(f"{path}: {len(rows)} lines, but the sequence has {shape[0]} frames; {advice}")
    return np.array(rows)


def differs(folder: Path, name: str, frames: int, first: Iterable[float]) -> str:
    """What shows that results are of other data than these: their length, or the box that they begin with.

    Args:
        frames: that the sequence has.
        first: its box, x, y, w, h in pixels.

    Returns:
        The difference in words; empty where there is none, or where the results cannot be read.
    """
    try:
        lines = (folder / f"{name}.txt").read_text().splitlines()
        begin = [float(value) for value in lines[0].split(",")]
    except (OSError, ValueError, IndexError):
        return ""
    given = list(first)
    if len(lines) != frames:
        return f"they are of {len(lines)} frames, the sequence has {frames}"
    if not np.allclose(begin, given, rtol=0, atol=1e-3):
        return f"they begin with the box {shown(begin)}, the sequence with {shown(given)}"
    return ""


# Claims


class Claim:
    """A sequence that this process alone works on, until it releases it or dies."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._file = path, file

    @classmethod
    def take(cls, folder: Path, name: str) -> Claim | None:
        """The claim to a sequence, or None where another process has it.

        Raises:
            DataError: the name is none (``check_name``).
            OutputError: nothing can be written there, or something stands there that is no claim.
        """
        path = folder / CLAIMS / check_name(name)
        file = _open_claim(path)
        if lock(file):
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), path.lstat()):  # not one that was released meanwhile
                    return cls(path, file)
        file.close()
        return None

    def release(self) -> None:
        """Lets others have it."""
        with suppress(OSError):
            if os.fstat(self._file.fileno()).st_size == 0:  # else it is somebody's file
                self._path.unlink(missing_ok=True)
        self._file.close()
        if os.name == "nt":  # where no open file can be removed
            with suppress(OSError):
                self._path.unlink(missing_ok=True)


def _open_claim(path: Path) -> IO[bytes]:
    """Opens a claim's file without changing what may be there, or following a link."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        for place in (path.parent, path):
            if place.is_symlink():
                raise OutputError(f"{place}: is a link, and results are not written through links; remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {why(error)}") from None
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OutputError(f"{path}: cannot be written: it is not a file; remove it")
    return file


@contextmanager
def _held(folder: Path, name: str, seconds: float = 60.0) -> Iterator[None]:
    """A claim that others have for a moment only."""
    end = time.monotonic() + seconds
    while (claim := Claim.take(folder, name)) is None:
        if time.monotonic() > end:
            raise OutputError(f"{folder}: another run has held {RECORD} for {seconds:g} seconds; end it, or wait")
        time.sleep(PATIENCE)
    try:
        yield
    finally:
        claim.release()
