"""The verbs for the official VOT toolkit: parse, call, print."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from lockon.errors import ModelError
from lockon.evaluation.workspace import prepare
from lockon.registry import DEFAULT
from lockon.terminal import (
    BenchmarkOption,
    DeviceOption,
    QuietOption,
    ThreadsOption,
    TrackerOption,
    WeightsOption,
    say,
)
from lockon.track import load_tracker

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Run trackers under the official VOT toolkit.")


@app.command()
def init(
    workspace: Annotated[Path, typer.Argument(help="Folder of the workspace, new or not.")],
    tracker: Annotated[list[str], typer.Option(help="NAME, or NAME=WEIGHTS; once per tracker.")],
    stack: Annotated[str | None, typer.Option(help="The toolkit's name of a stack, or a file.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data set, if it is not to be downloaded.")] = None,
    benchmark: BenchmarkOption = None,
    device: DeviceOption = "auto",
    quiet: QuietOption = False,
) -> None:
    """Make a workspace of the VOT toolkit, or add trackers to one.

    Example: lockon vot init work --tracker stark-tiny --stack vot2018/shortterm
    """
    weights = {name: Path(file) if file else None for name, _, file in (text.partition("=") for text in tracker)}
    if len(weights) < len(tracker):
        raise ModelError("a tracker is given twice; the toolkit tells trackers by their names")
    used = prepare(workspace, weights, stack, data, benchmark, device)
    if not quiet:
        place = ["--workspace", str(workspace)]
        say(f"{workspace}: {', '.join(weights)} can run the stack {used}; now")
        say(shlex.join(["vot", "evaluate", *place, *weights]))
        say(shlex.join(["vot", "analysis", *place]))


@app.command("serve")
def run_server(
    tracker: TrackerOption = DEFAULT,
    weights: WeightsOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    benchmark: BenchmarkOption = None,
) -> None:
    """Answer a TraX client, such as the VOT toolkit, on standard input and output.

    Example: lockon vot serve --tracker stark-tiny --benchmark vot2018
    """
    from lockon.evaluation.trax import serve  # needs the vot extra

    serve(load_tracker(tracker, weights, device, threads, benchmark), tracker)
