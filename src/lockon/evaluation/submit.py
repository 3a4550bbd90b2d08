"""Archives for the servers that keep a benchmark's annotation to themselves, checked before they are packed.

GOT-10k and TrackingNet take a zip of text files (SPEC sections 6 and 7); what a VOT challenge takes is packed by the
VOT toolkit itself. Servers say little about what is wrong with an archive, so all of it is said here, by sequence.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lockon.annotations import LARGEST
from lockon.benchmarks import BENCHMARKS
from lockon.errors import DataError, first_few
from lockon.evaluation.foreign import Results
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from lockon.evaluation.workspace import find_toolkit
from lockon.files import refuse_existing, whole_file
from lockon.names import name_of

REPETITIONS = 3  # that GOT-10k takes at most
NEAR = 1.0  # pixels that the first row may be off the given box: some toolkits write whole pixels, pysot shifts it
PATIENCE = 3600.0  # seconds for the VOT toolkit to pack; the largest challenge's results take minutes
SAID = 600  # characters of what it said that are told, from the end
TRACKER = re.compile(r"\w[\w-]*(@[\w-]*)?", re.ASCII)  # as the VOT toolkit refers to one, and to a version of it
COLOUR = re.compile(r"\x1b\[[\d;]*m")
OFFLINE = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")  # the toolkit asks for its news
DATE = (1980, 1, 1, 0, 0, 0)  # the date of packed files: the same results give the same archive
UNIX = 3  # as a zip's members have it


@dataclass(frozen=True)
class Server:
    """What a server takes.

    Attributes:
        benchmark: whose results.
        files: of one sequence, text by name in the archive.
        repetitions: of each sequence at most.
        timed: whether it wants the seconds of each frame.
    """

    benchmark: str
    files: Callable[[str, Array, Array], Mapping[str, str]]
    repetitions: int = 1
    timed: bool = False


def _rows(values: Array, form: str) -> str:
    return "".join(",".join(form % value for value in row) + "\n" for row in values)


def _got10k(name: str, boxes: Array, seconds: Array) -> dict[str, str]:
    """A folder per sequence: a file per repetition, and their times as columns of one."""
    files = {f"{name}/{name}_{number:03d}.txt": _rows(run, "%.3f") for number, run in enumerate(boxes, start=1)}
    return files | {f"{name}/{name}_time.txt": _rows(seconds.T, "%.8f")}


def _trackingnet(name: str, boxes: Array, seconds: Array) -> dict[str, str]:
    """A file per sequence, in no folder."""
    return {f"{name}.txt": _rows(boxes[0], "%.2f")}


SERVERS = {
    "got10k": Server("got10k", _got10k, REPETITIONS, timed=True),
    "trackingnet": Server("trackingnet", _trackingnet),
}


def find_faults(server: str, results: Results, benchmark: Benchmark) -> list[str]:
    """What a server would not take, a line for each fault, by sequence; none if all is well.

    Looked at are the number of sequences; missing ones; the number of rows, one per picture; NaN, infinite and negative
    sizes; the first row, which must be the given box within a pixel; repetitions; times, where the server wants them.
    """
    wanted = BENCHMARKS[benchmark.name].sequences if benchmark.name in BENCHMARKS else len(benchmark)
    faults = []
    if wanted not in (None, len(benchmark)):
        faults.append(f"{benchmark.name}: {len(benchmark)} sequences in this copy, but the server expects {wanted}")
    for name in benchmark.names:
        if name not in results.boxes:
            faults.append(f"{name}: no results")
        else:
            found = _in_sequence(SERVERS[server], benchmark.read(name), results.boxes[name], results.seconds.get(name))
            faults += [f"{name}: {fault}" for fault in found]
    return faults


def _in_sequence(server: Server, sequence: Sequence, boxes: Array, seconds: Array | None) -> Iterable[str]:
    runs = boxes.reshape(-1, *boxes.shape[-2:])
    if len(runs) > server.repetitions:
        yield f"{len(runs)} repetitions, but the server takes {server.repetitions}"
    if runs.shape[1] != len(sequence):
        yield f"{runs.shape[1]} rows for {len(sequence)} pictures"
    for run in runs:
        if (odd := ~np.isfinite(run).all(1)).any():
            yield f"row {odd.argmax() + 1} is not finite"
        elif (odd := (np.abs(run) > LARGEST).any(1)).any():
            yield f"row {odd.argmax() + 1} has a number that is no coordinate"
        elif (odd := (run[:, 2:] < 0).any(1)).any():
            yield f"row {odd.argmax() + 1} has a negative size"
        if len(run) and not (np.abs(run[0] - sequence.boxes[0]) <= NEAR).all():
            given, first = (",".join(f"{v:g}" for v in box) for box in (sequence.boxes[0], run[0]))
            yield f"row 1 is {first}, but the given box {given}"
    if server.timed and seconds is None:
        yield "no times; the server wants the seconds of each frame"
    elif server.timed and seconds is not None:
        if seconds.shape != boxes.shape[:-1]:
            yield f"{seconds.shape[-1]} times for {boxes.shape[-2]} rows"
        elif not (np.isfinite(seconds) & (seconds >= 0)).all():
            yield "times that are negative or not finite"


def pack(server: str, results: Results, benchmark: Benchmark, out: Path) -> Path:
    """Packs one tracker's results for a server.

    Args:
        server: "got10k" or "trackingnet".
        benchmark: its test set, with all pictures and given boxes.
        out: the archive to write, which is not there yet.

    Raises:
        DataError: the server would not take it (see ``find_faults``), or a sequence's name is a path: nothing is
            written.
        OutputError: the archive cannot be written, or is there already; nothing half-written is left.
    """
    refuse_existing(out)
    for name in benchmark.names:
        name_of(name, f"{benchmark.name}, in the archive")
    if faults := find_faults(server, results, benchmark):
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise DataError(f"{results.tracker}: not packed, {count}: {first_few(faults, between='; ')}")
    write = SERVERS[server].files
    with whole_file(out, replace=False) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in benchmark.names:
            boxes = results.boxes[name].reshape(-1, *results.boxes[name].shape[-2:])
            seconds = results.seconds.get(name, np.empty((0, 0))).reshape(len(boxes), -1)
            for path, text in write(name, boxes, seconds).items():
                archive.writestr(_member(path), text, zipfile.ZIP_DEFLATED)
    return out


def _member(path: str) -> zipfile.ZipInfo:
    """A file in an archive, that of every system's the same."""
    member = zipfile.ZipInfo(path, DATE)
    member.create_system, member.external_attr = UNIX, 0o644 << 16
    return member


def pack_vot(workspace: Path, tracker: str, out: Path, patience: float = PATIENCE) -> Path:
    """Has the VOT toolkit pack a tracker's results of one of its workspaces, as its challenges take them.

    Args:
        tracker: its name in the workspace.
        out: the archive to write, which is not there yet.
        patience: seconds that the toolkit may take.

    Raises:
        DataError: no toolkit, or it does not pack them: its own words say why.
        OutputError: the archive cannot be written, or is there already.
    """
    find_toolkit()
    refuse_existing(out)
    if not (workspace / "config.yaml").is_file():
        raise DataError(f"{workspace}: no workspace of the VOT toolkit; expected config.yaml there")
    if not TRACKER.fullmatch(tracker):
        raise DataError(f"{tracker!r} names no tracker of the VOT toolkit; expected letters, digits, _ and -")
    before = set(workspace.glob("*.zip"))  # where the toolkit puts them
    said, failed = _have_packed(workspace, tracker, patience)
    made = sorted(set(workspace.glob("*.zip")) - before)
    try:
        if failed or not made:  # it ends well also where results are missing
            raise DataError(f"{workspace}: the VOT toolkit packed no results of {tracker}; it said: {said}")
        with made[0].open("rb") as source, whole_file(out, replace=False) as file:
            shutil.copyfileobj(source, file)
    finally:
        for path in made:
            path.unlink(missing_ok=True)
    return out


def _have_packed(workspace: Path, tracker: str, patience: float) -> tuple[str, bool]:
    """What the toolkit said in the end, and whether it failed.

    Raises:
        DataError: it did not end in time.
    """
    # Without -P, a module vot.py in the current folder would be run in the toolkit's place.
    command = [sys.executable, "-P", "-m", "vot", "pack", "--workspace", str(workspace.absolute()), tracker]
    try:
        ran = subprocess.run(
            command,
            env=os.environ | OFFLINE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=patience,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"{workspace}: the VOT toolkit did not end in {patience:g} seconds; look what it waits for"
        raise DataError(message) from None
    words = " ".join(COLOUR.sub("", ran.stdout.decode(errors="replace")).split()) or "nothing"
    return words[-SAID:], ran.returncode != 0
