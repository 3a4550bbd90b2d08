"""What the verbs of the command line share: options, the two streams, tables and progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

stdout = Console(highlight=False, soft_wrap=True)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)

OutOption = Annotated[Path, typer.Option(help="Folder for the results.")]
TrackerOption = Annotated[str, typer.Option(help="Name of the tracker; see `lockon models`.")]
WeightsOption = Annotated[Path | None, typer.Option(help="Weights to use instead of the shipped ones.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads of the network; measured if not given.")]
BenchmarkOption = Annotated[str | None, typer.Option(help="Use the paper's settings for it, such as lasot.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr with frames per second and time left; nothing where stderr is no terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    more = (TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(*columns, *more, console=stderr, transient=True, disable=quiet or not stderr.is_terminal) as bar:
        yield bar


def print_table(table: Table) -> None:
    """A table in as many columns as the terminal has; as wide as it needs where there is none."""
    (stdout if stdout.is_terminal else Console(width=200)).print(table)
