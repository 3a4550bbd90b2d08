"""What a run tells as it goes: values for the command line, tables for a person or a script, TensorBoard's files."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockon.errors import OutputError


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
        self.lines, self.scores = Table(folder / "log.csv", step), Table(folder / "validation.csv", step)

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


class Table:
    """A CSV file whose first column is the step, and of which the rows up to a step are kept."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.columns: list[str] = []
        if not path.exists():
            return
        head, *rows = path.read_text().splitlines(keepends=True) or [""]
        kept = [row for row in rows if row.endswith("\n") and int(row.split(",")[0]) <= step]
        self.columns = head.strip().split(",") if kept else []
        path.with_suffix(".tmp").write_text("".join([head, *kept] if kept else []))
        os.replace(path.with_suffix(".tmp"), path)

    def write(self, row: Mapping[str, Any]) -> None:
        """Adds a row; the first one names the columns."""
        try:
            with self.path.open("a", newline="") as file:
                writer = csv.DictWriter(file, self.columns or list(row), lineterminator="\n")
                if not self.columns:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot write the log: {error.strerror}") from None
        self.columns = self.columns or list(row)


class TensorBoard:
    """Files that ``tensorboard --logdir`` shows.

    Raises:
        ImportError: the package is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # an extra

        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, event: Event) -> None:
        """Adds a point to each curve."""
        if isinstance(event, Progress):
            values = {f"loss/{k}": v for k, v in event.losses.items()} | {"lr": event.lr, "speed": event.speed}
        else:
            values = {"validation/auc": event.auc, "validation/precision": event.precision}
        for name, value in values.items():
            self.writer.add_scalar(name, value, event.step)
        self.writer.flush()
