"""The verbs of evaluation: parse, call, print."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from lockon.errors import DataError
from lockon.evaluation import speed
from lockon.evaluation.benchmarks import check, open_benchmark
from lockon.evaluation.conventions import TOOLKITS
from lockon.evaluation.metrics import score
from lockon.evaluation.results import is_complete, read_trace
from lockon.evaluation.runner import Event, Job, make_job, run
from lockon.evaluation.sequences import Sequence
from lockon.terminal import DeviceOption, OutOption, QuietOption, print_table, progress_bar, say, warn


def evaluate(
    tracker: Annotated[
        list[str],
        typer.Option(help="NAME, NAME=WEIGHTS, opencv-mil, opencv-nano=FOLDER, trax:COMMAND, ...; once per tracker."),
    ],
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark, such as otb2015, or folder.")],
    data: Annotated[Path, typer.Option(help="Folder of the benchmark, as published.")],
    out: OutOption = Path("lockon-results"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the sequences.")] = 1,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in lockstep; on a GPU, in one forward.")] = 1,
    ray: Annotated[str | None, typer.Option(help="HOST:PORT of a Ray cluster that does the work, or auto.")] = None,
    device: DeviceOption = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each process.")] = 1,
    patience: Annotated[
        float | None, typer.Option(min=1, help="Seconds that another's tracker may take for a frame.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Run trackers over a benchmark, and score them as its toolkit does.

    What is complete in --out is kept: the same command goes on where a run ended.

    Example: lockon eval --tracker stark-tiny --tracker opencv-mil --benchmark otb2015 --data OTB100 --out results
    """
    if ray is not None and batch > 1:
        raise DataError("--batch is for processes on this machine: on a Ray cluster each sequence is a task of its own")
    opened = open_benchmark(benchmark, data)
    jobs = [make_job(text, opened, out, device, threads, batch, patience) for text in tracker]
    for job, text in zip(jobs, tracker, strict=True):
        if sum(other.folder == job.folder for other in jobs) > 1:
            raise DataError(f"--tracker {text}: another one would have the same folder of results, {job.folder}")
    for fault in check(opened):  # before hours of tracking; what can be read is tracked all the same
        warn(f"warning: {fault}")
    faults = sum(track_all(job, workers, ray, quiet) for job in jobs)
    if not quiet:
        print_scores(jobs)
    if faults:
        raise DataError(f"sequences that failed, as told above: {faults}; once they are mended, run the same again")


def track_all(job: Job, workers: int, ray: str | None, quiet: bool) -> int:
    """Runs a job and shows how far it is; the number of sequences that failed, each told on stderr."""
    label, total = job.folder.name, len(job.benchmark)
    latest: dict[str, Event] = {}
    before = sum(is_complete(job.folder, name) for name in job.benchmark.names)
    start = time.monotonic()
    with progress_bar(quiet) as bar, closing(run(job, workers, ray)) as events:  # however it ends, workers end with it
        task = bar.add_task(label, total=total, completed=before, fps="")
        for event in events:
            latest[event.name] = event
            done = sum(1.0 if e.ended else e.frames / e.length for e in latest.values())
            rate = sum(e.frames for e in latest.values()) / (time.monotonic() - start)
            bar.update(task, completed=before + done, fps=f"{rate:.1f} fps")
            if event.error:
                warn(f"{label}: {event.error}")
    return sum(bool(event.error) for event in latest.values())


def print_scores(jobs: list[Job]) -> None:
    """Tracker by measure, as the benchmark's toolkit tells them; of the sequences that every tracker has completed."""
    benchmark = jobs[0].benchmark
    names = [name for name in benchmark.names if all(is_complete(job.folder, name) for job in jobs)]
    sequences = [benchmark.read(name) for name in names]
    shown = [sequence for sequence in sequences if not sequence.hidden]
    if shown:
        toolkit = benchmark.toolkit if benchmark.toolkit in TOOLKITS else "plain"
        rows = [(job.folder.name, *_scores(job, shown, toolkit)) for job in jobs]
        table = Table("tracker", *rows[0][1], "fps", box=None)
        for label, summary, rate in rows:
            table.add_row(label, *(f"{value:.4f}" for value in summary.values()), f"{rate:.1f}")
        print_table(table)
        say(f"{len(shown)} of {len(benchmark)} sequences of {benchmark.name}, one pass, by the rules of {toolkit}")
    if benchmark.toolkit not in TOOLKITS:
        say(f"the experiment of {benchmark.name} itself is run by the VOT toolkit: lockon vot init")
    if len(shown) < len(sequences):
        say(f"{benchmark.name} keeps the boxes to itself: its server scores what is packed from these results")
    for job in jobs:
        say(str(job.folder))


def _scores(job: Job, sequences: list[Sequence], toolkit: str) -> tuple[dict[str, float], float]:
    """The measures, and frames per second."""
    traces = {sequence.name: read_trace(job.folder, sequence.name, len(sequence)) for sequence in sequences}
    boxes = {name: trace.boxes for name, trace in traces.items()}
    scores = score(toolkit, sequences, boxes, benchmark=job.benchmark.name)
    return scores.summary, speed.pytracking(trace.seconds for trace in traces.values())
