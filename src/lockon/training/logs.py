"""What a run tells as it goes: values for the command line, tables for a person or a script, TensorBoard's files."""

from __future__ import annotations

import csv
import io
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockon.errors import OutputError
from lockon.files import why, write_whole

LINES, SCORES = "log.csv", "validation.csv"
FIRST = ["step", "pairs"]  # columns of both


@dataclass(frozen=True)
class Progress:
    """A line of the log.

    Attributes:
        step: optimiser steps made.
        pairs, total: pairs seen so far, and in all.
        losses: mean since the last line, by name.
        lr: learning rate of the last step.
        speed: pairs per second.
    """

    step: int
    pairs: int
    total: int
    losses: dict[str, float]
    lr: float
    speed: float

    @property
    def seconds_left(self) -> float:
        """At this speed."""
        return (self.total - self.pairs) / max(self.speed, 1e-9)


@dataclass(frozen=True)
class Validation:
    """How well the averaged weights track, each the mean over the sequences: success AUC and precision at 20 px."""

    step: int
    pairs: int
    auc: float
    precision: float


Event = Progress | Validation


class Tables:
    """``log.csv`` and ``validation.csv``; rows after the step that a run goes on from are dropped."""

    def __init__(self, folder: Path, step: int) -> None:
        self.lines, self.scores = Table(folder / LINES, step), Table(folder / SCORES, step)

    def write(self, event: Event) -> None:
        """Adds a row to one of them.

        Raises:
            OutputError: it cannot be written.
        """
        e = event
        if isinstance(e, Progress):
            row = {"step": e.step, "pairs": e.pairs, "lr": f"{e.lr:.3g}", "speed": f"{e.speed:.1f}"}
            self.lines.write(row | {name: f"{value:.5f}" for name, value in e.losses.items()})
        else:
            row = {"step": e.step, "pairs": e.pairs, "auc": f"{e.auc:.4f}", "precision": f"{e.precision:.4f}"}
            self.scores.write(row)


def read_table(path: Path) -> tuple[list[str], list[tuple[int, str]]]:
    """The columns of a table that a run wrote, and its rows, each with its step. A last row without its end was cut
    by a kill or a full disk, and is left out.

    Raises:
        OutputError: it cannot be read, or no run wrote it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise OutputError(f"{path}: cannot be read: {why(error)}") from None
    except UnicodeDecodeError:
        raise _no_table(path, "it is no text") from None
    head, *rows = text.split("\n")
    columns = head.rstrip("\r").split(",")
    if not rows:  # not even the first line is whole
        if not ",".join(FIRST).startswith(text) and columns[: len(FIRST)] != FIRST:
            raise _no_table(path, f"its first line is not {','.join(FIRST)},...")
        return [], []
    if columns[: len(FIRST)] != FIRST:
        raise _no_table(path, f"its first line is not {','.join(FIRST)},...")
    whole = [row.rstrip("\r") for row in rows[:-1]]
    return columns, [(_step(path, number, row, len(columns)), row) for number, row in enumerate(whole, start=2)]


def _step(path: Path, number: int, row: str, columns: int) -> int:
    cells = row.split(",")
    if len(cells) != columns or not cells[0].isdecimal() or len(cells[0]) > 18:
        raise _no_table(path, f"line {number} is not a step and {columns - 1} more values")
    return int(cells[0])


def _no_table(path: Path, reason: str) -> OutputError:
    return OutputError(f"{path}: is not the table of a run: {reason}; move it away, or give another --out")


class Table:
    """A CSV file whose first column is the step, and of which the rows up to a step are kept.

    Raises:
        OutputError: what is there is no such table, or cannot be written.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if not path.exists():
            return
        columns, rows = read_table(path)
        kept = [row for number, row in rows if number <= step]
        self.columns = columns if kept else []
        write_whole(path, [",".join(columns), *kept] if kept else "")

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row; the first one names the columns.

        Raises:
            OutputError: it cannot be written, or has other columns than those before it.
        """
        columns = self.columns or list(row)
        if columns != list(row):
            raise _no_table(self.path, f"it has {','.join(columns)} where this run has {','.join(row)}")
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        if not self.columns:
            writer.writeheader()
        writer.writerow(row)
        try:
            with self.path.open("ab") as file:
                file.write(text.getvalue().encode())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the log: {why(error)}") from None
        self.columns = columns


class TensorBoard:
    """Files that ``tensorboard --logdir`` shows, written as they come: PyTorch's own writer does so in a thread, whose
    faults come late or not at all.

    Raises:
        ImportError: the package is not installed.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2  # an extra
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self.path = _new_path(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.path.open("xb").close()
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {why(error)}") from None
        self._writer = RecordWriter
        self._add(file_version="brain.Event:2")
        self._add(step=step + 1, session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START))

    def write(self, event: Event) -> None:
        """Adds a point to each curve.

        Raises:
            OutputError: it cannot be written.
        """
        if isinstance(event, Progress):
            values = {f"loss/{k}": v for k, v in event.losses.items()} | {"lr": event.lr, "speed": event.speed}
        else:
            values = {"validation/auc": event.auc, "validation/precision": event.precision}
        points = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._add(step=event.step, summary=self._summary(value=points))

    def _add(self, **fields: Any) -> None:
        data = self._event(wall_time=time.time(), **fields).SerializeToString()
        try:
            with self.path.open("ab") as file:
                self._writer(file).write(data)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {why(error)}") from None


def _new_path(folder: Path) -> Path:
    """A name as TensorBoard looks for it, that nothing has."""
    start = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
    return next(path for number in range(10_000) if not os.path.lexists(path := folder / f"{start}.{number}"))
