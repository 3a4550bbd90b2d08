"""What the verbs of the command line share: options, the two streams, tables and progress."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lockon.errors import OutputError, masked, printable


class Stream:
    """A standard stream that never ends a run: what it cannot take is left out, and ``fault`` says why.

    Characters that its encoding lacks are escaped. Looked up at every use, because tests and notebooks exchange
    ``sys.stdout``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.fault: OSError | None = None

    def write(self, text: str) -> int:
        """Writes a text, as far as the stream takes it."""
        stream = self._stream
        if stream is not None and self.fault is None:
            encoding = getattr(stream, "encoding", None) or "utf-8"
            self._try(stream.write, text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        if self._stream is not None and self.fault is None:
            self._try(self._stream.flush)

    def _try(self, act: Any, *arguments: str) -> None:
        try:
            act(*arguments)
        except OSError as error:
            self.fault = error
            self._drop()

    def _drop(self) -> None:
        """Lets what the stream still holds go nowhere, or Python would fail over it at its end."""
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)

    @property
    def _stream(self) -> TextIO | None:
        stream: TextIO | None = getattr(sys, self._name)  # None where a process was started without one
        return stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream is not None and self._stream.isatty()


out_stream, err_stream = Stream("stdout"), Stream("stderr")
stdout = Console(file=out_stream, highlight=False, soft_wrap=True)  # type: ignore[arg-type]
stderr = Console(file=err_stream, highlight=False, soft_wrap=True)  # type: ignore[arg-type]


def say(text: object) -> None:
    """Prints a line; control characters in it are escaped and secrets masked, for names come from files."""
    stdout.print(masked(printable(str(text))), markup=False)


def need_stdout() -> None:
    """Checks that what was printed has arrived, for verbs that do nothing else; a reader who left is no fault.

    Raises:
        OutputError: standard output took less than was printed.
    """
    out_stream.flush()
    fault = out_stream.fault
    if fault is not None and not isinstance(fault, BrokenPipeError):
        raise OutputError(f"standard output: cannot be written: {fault.strerror or fault}")


def warn(text: object) -> None:
    """Prints a line on stderr, as ``say``."""
    stderr.print(masked(printable(str(text))), markup=False)


class Ended(SystemExit):
    """The process was told to end by a signal; results are completed as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.signal = signal.Signals(number).name


def end_on_signals() -> None:
    """Makes SIGTERM and SIGHUP end the run as Ctrl-C does: results are completed, the exit code is 128 + the signal."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise Ended(number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores it
            signal.signal(number, end)


OutOption = Annotated[Path, typer.Option(help="Folder for the results.")]
TrackerOption = Annotated[str, typer.Option(help="Name of the tracker; see `lockon models`.")]
WeightsOption = Annotated[Path | None, typer.Option(help="Weights to use instead of the shipped ones.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
ThreadsOption = Annotated[int | None, typer.Option(min=1, help="CPU threads; else one, or all for a large network.")]
BenchmarkOption = Annotated[str | None, typer.Option(help="Use the paper's settings for it, such as lasot.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings and errors.")]


@contextmanager
def progress_bar(quiet: bool) -> Iterator[Progress]:
    """A bar on stderr with frames per second and time left; nothing where stderr is no terminal."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    more = (TextColumn("{task.fields[fps]}"), TimeRemainingColumn())
    with Progress(*columns, *more, console=stderr, transient=True, disable=quiet or not stderr.is_terminal) as bar:
        yield bar


def cell(text: object) -> Text:
    """Makes a table's cell of a text from a file: nothing in it is markup or moves the cursor."""
    return Text(printable(str(text)))


def print_table(table: Table) -> None:
    """A table in as many columns as the terminal has; as wide as it needs where there is none."""
    (stdout if stdout.is_terminal else Console(file=out_stream, width=200)).print(table)  # type: ignore[arg-type]
