"""The verbs for finished results: parse, call, print."""

from __future__ import annotations

from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from lockon.errors import DataError
from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.foreign import Results, distinct, read_results
from lockon.evaluation.submit import SERVERS, find_faults, pack, pack_vot
from lockon.files import refuse_existing
from lockon.registry import closest
from lockon.terminal import QuietOption, cell, print_table, say, warn

if TYPE_CHECKING:
    from lockon.evaluation.report.tables import Table as ScoreTable

ResultsArgument = Annotated[
    list[Path], typer.Argument(help="Folders of results: of lockon eval, pytracking, got10k, pysot, LaSOT, VOT.")
]
BenchmarkOption = Annotated[str, typer.Option(help="Name of the benchmark, such as otb2015, or folder.")]
DataOption = Annotated[Path, typer.Option(help="Folder of the benchmark, as published.")]


TOLD = 5  # sequences that are named one by one


class Target(StrEnum):
    """Whom an archive is for."""

    got10k = "got10k"
    trackingnet = "trackingnet"
    vot = "vot"


def report(
    results: ResultsArgument,
    benchmark: BenchmarkOption,
    data: DataOption,
    out: Annotated[Path, typer.Option(help="Folder for the page, plots and tables.")] = Path("report"),
    toolkit: Annotated[list[str] | None, typer.Option(help="Whose rules; the first ranks. Once per toolkit.")] = None,
    worst: Annotated[int, typer.Option(min=0, help="Film strips of each tracker's worst sequences.")] = 3,
    partial: Annotated[bool, typer.Option("--partial", help="Score the sequences that all results have.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Compare results on one page, with plots and tables.

    Example: lockon report results published/ATOM --benchmark otb2015 --data OTB100 --out report
    """
    from lockon.evaluation.report import write_report
    from lockon.evaluation.report.comparison import compare
    from lockon.evaluation.report.experiments import EXPERIMENTS, find_all_trackers
    from lockon.evaluation.report.tables import toolkit_table
    from lockon.evaluation.report.vot import write_vot_report

    opened = open_benchmark(benchmark, data)
    if opened.toolkit in EXPERIMENTS:
        if toolkit or partial:
            raise DataError(f"{benchmark}: --toolkit and --partial are not for VOT's experiments; leave them out")
        table, paths = write_vot_report(find_all_trackers(results, opened), opened, out, worst)
        if not quiet:
            print_scores(table, paths[0])
        return
    found = distinct([result for path in results for result in read_results(path, opened)])
    comparison = compare(found, opened, toolkit or (), partial=partial)
    paths = write_report(comparison, out, worst)
    for sequence, trackers in islice(comparison.left_out.items(), TOLD):
        warn(f"warning: {sequence} is not scored, for {', '.join(trackers)} lack it")
    if len(comparison.left_out) > TOLD:
        warn(f"warning: and {len(comparison.left_out) - TOLD} more sequences; the page names all")
    if quiet:
        return
    for tracker, result in comparison.results.items():
        say(f"{tracker}: {result.folder}, taken for {result.layout}")
    print_scores(toolkit_table(comparison.scores), paths[0])


def submit(
    server: Annotated[Target, typer.Argument(help="Whom the archive is for.")],
    results: Annotated[Path, typer.Argument(help="Folder of a tracker's results; for vot, the toolkit's workspace.")],
    out: Annotated[Path, typer.Option(help="Archive to write, FILE.zip.")],
    data: Annotated[Path | None, typer.Option(help="Folder of the benchmark, as published; not for vot.")] = None,
    tracker: Annotated[str | None, typer.Option(help="Which one, where the folder has several.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Check results and pack them as a benchmark's server wants them.

    Example: lockon submit got10k results/got10k/stark-tiny --data GOT-10k --out got10k.zip
    """
    refuse_existing(out)  # before the work
    if server == Target.vot:
        if tracker is None:
            raise DataError("--tracker is missing: the name of the tracker in the workspace")
        pack_vot(results, tracker, out)
    else:
        if data is None:
            raise DataError(f"--data is missing: the folder of {server}, against which the results are checked")
        benchmark = open_benchmark(SERVERS[server].benchmark, data)
        chosen = choose(read_results(results, benchmark), tracker, results)
        faults = find_faults(server, chosen, benchmark)
        for fault in faults:
            warn(fault)
        if faults:
            raise DataError(f"{chosen.tracker}: not packed; {server} would not take it, for what is told above")
        pack(server, chosen, benchmark, out)
    if not quiet:
        say(str(out))


def print_scores(scores: ScoreTable, page: Path) -> None:
    """A table, and where the page is."""
    from lockon.evaluation.report.tables import shown

    table = Table(*scores.columns, box=None)
    for row in scores.rows:
        table.add_row(*(cell(shown(value)) for value in row))
    print_table(table)
    say(str(page))


def choose(found: list[Results], tracker: str | None, folder: Path) -> Results:
    """The one tracker that is meant.

    Raises:
        DataError: there are several and none is named, or none has the name.
    """
    by_name = {result.tracker: result for result in found}
    if tracker is None and len(found) > 1:
        raise DataError(f"{folder}: results of {', '.join(by_name)}; say which with --tracker")
    if tracker is not None and tracker not in by_name:
        raise DataError(f"{folder}: no results of {tracker!r}; {closest(tracker, by_name)}")
    return found[0] if tracker is None else by_name[tracker]
