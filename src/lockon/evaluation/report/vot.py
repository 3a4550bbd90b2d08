"""The report of VOT's experiments: results in the VOT toolkit's form, scored as it and pysot score them.

A workspace of the toolkit, or any folder like its ``results``, has ``TRACKER/EXPERIMENT/SEQ/SEQ_001.txt`` and so on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lockon.errors import DataError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.report.comparison import title
from lockon.evaluation.report.files import write_all
from lockon.evaluation.report.markup import count, plain_table, plot_section, render, swatches
from lockon.evaluation.report.plots import draw_lines, to_png, to_svg
from lockon.evaluation.report.tables import Cell, Table, to_csv, to_latex
from lockon.evaluation.sequences import Array, Benchmark, Sequence

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class VotScores:
    """What a toolkit says of one tracker.

    Attributes:
        numbers: by abbreviation; the first one ranks.
        curve: x and y of what the first one is taken from.
        sequences: (S,) by abbreviation.
    """

    numbers: Mapping[str, float]
    curve: tuple[Array, Array]
    sequences: Mapping[str, Array]


ByToolkit = Mapping[str, VotScores]


@dataclass(frozen=True)
class Experiment:
    """One of VOT's kinds of experiment.

    Attributes:
        folder: its name in a tracker's results.
        score: results in a folder, by toolkit.
        meaning: of the abbreviations.
        axes: of the curve.
    """

    folder: str
    score: Callable[[Path, Benchmark, Rows[Sequence]], ByToolkit]
    meaning: str
    axes: tuple[str, str]


def _supervised(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> ByToolkit:
    runs = supervised.read_runs(folder, benchmark.names)
    found = {}
    for toolkit in ("pysot", "vot"):
        scores = supervised.score(sequences, runs, supervised.INTERVALS[benchmark.name], toolkit)
        numbers = {"EAO": scores.eao, "A": scores.accuracy, "R": scores.robustness, "failures": scores.failures}
        failures = np.array([scores.sequence_failures[name].mean() for name in scores.names])
        curve = (np.arange(len(scores.curve), dtype=float), scores.curve)
        found[toolkit] = VotScores(numbers, curve, {"A": scores.sequence_accuracy, "failures": failures})
    return found


def _multistart(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> ByToolkit:
    scores = multistart.score(sequences, multistart.read_runs(folder, sequences))
    numbers = {"EAO": scores.eao, "A": scores.accuracy, "R": scores.robustness}
    by_sequence = {"A": scores.sequence_accuracy, "R": scores.sequence_robustness}
    return {"vot": VotScores(numbers, (np.arange(len(scores.curve), dtype=float), scores.curve), by_sequence)}


def _longterm(folder: Path, benchmark: Benchmark, sequences: Rows[Sequence]) -> ByToolkit:
    runs = longterm.read_runs(folder, benchmark.names)
    found = {}
    for toolkit in ("vot", "pysot"):
        scores = longterm.score(sequences, runs, toolkit)
        numbers = {"F": scores.f_score, "Pr": scores.precision, "Re": scores.recall}
        by_sequence = {"Pr": scores.sequence_precision[:, scores.best], "Re": scores.sequence_recall[:, scores.best]}
        found[toolkit] = VotScores(numbers, (scores.recall_curve, scores.precision_curve), by_sequence)
    return found


LENGTH = ("frames from the start", "expected average overlap")
EXPERIMENTS = {
    "vot-supervised": Experiment(
        "baseline",
        _supervised,
        "EAO: expected average overlap; A: accuracy; R: robustness, as pysot has it failures in 100 frames, as the VOT "
        "toolkit has it the chance to track 30 frames; failures: of all sequences, and of one",
        LENGTH,
    ),
    "vot-multistart": Experiment(
        "baseline", _multistart, "EAO: expected average overlap; A: accuracy; R: robustness", LENGTH
    ),
    "vot-longterm": Experiment(
        "longterm", _longterm, "F at the best threshold; Pr: precision there; Re: recall there", ("recall", "precision")
    ),
}
"""By the benchmark's toolkit (``benchmarks.BENCHMARKS``)."""


def find_trackers(path: Path, benchmark: Benchmark) -> dict[str, Path]:
    """The folders with a benchmark's sequences in a folder and below, by tracker.

    Raises:
        DataError: there are none.
    """
    experiment, first = EXPERIMENTS[benchmark.toolkit].folder, benchmark.names[0]
    found = {}
    for place, below, _ in os.walk(path):
        below.sort()
        folder = Path(place)
        if first in below and any((folder / first).glob(f"{first}_0*")):
            own = folder.resolve()
            if own.name == experiment or own.parent.name not in found:
                found[own.parent.name if own.name == experiment else own.name] = folder
    if not found:
        wanted = f"TRACKER/{experiment}/{first}/{first}_001.txt"
        raise DataError(f"{path}: no results of {benchmark.name}; looked there and below for files such as {wanted}")
    return found


def write_vot_report(folders: Mapping[str, Path], benchmark: Benchmark, out: Path) -> tuple[Table, list[Path]]:
    """Writes a page with scores, curves and sequences; the curves as PNG and SVG; ``summary`` as CSV and LaTeX, and
    ``sequences`` as CSV.

    Args:
        folders: results by tracker, see ``find_trackers``.

    Returns:
        The table of scores, and the files, the page first.

    Raises:
        DataError: results that are incomplete or malformed, or matplotlib is missing.
        OutputError: a file cannot be written.
    """
    experiment = EXPERIMENTS[benchmark.toolkit]
    sequences = [benchmark.read(name) for name in benchmark.names]
    scores = {tracker: experiment.score(folder, benchmark, sequences) for tracker, folder in folders.items()}
    toolkit, best = next(iter(next(iter(scores.values())).items()))
    rank = next(iter(best.numbers))
    scores = dict(sorted(scores.items(), key=lambda item: -item[1][toolkit].numbers[rank]))
    summary, by_sequence = _summary(scores), _by_sequence(scores, benchmark.names)
    figure = _figure({tracker: found[toolkit] for tracker, found in scores.items()}, experiment)
    colours = swatches(scores)
    runs = Table(("tracker", "results"), tuple((tracker, str(folders[tracker])) for tracker in scores))
    sections = {
        "summary": ("Scores", f'{plain_table(summary, colours)}<p class="note">{escape(experiment.meaning)}.</p>'),
        "plots": ("Plots", plot_section({"curve": to_svg(figure, transparent=True)})),
        "sequences": ("Sequences", plain_table(by_sequence, colours)),
        "runs": ("Runs", plain_table(runs, colours)),
    }
    lead = (
        f"{count(len(sequences), 'sequence')}, {count(sum(map(len, sequences)), 'frame')}, plotted as <b>{toolkit}</b>."
    )
    files: dict[str, str | bytes] = {
        "index.html": render(title(benchmark.name), len(scores), lead, sections),
        "curve.png": to_png(figure),
        "curve.svg": to_svg(figure),
        "summary.csv": to_csv(summary),
        "summary.tex": to_latex(summary),
        "sequences.csv": to_csv(by_sequence),
    }
    return summary, write_all(out, files)


def _summary(scores: Mapping[str, ByToolkit]) -> Table:
    """A row per tracker and toolkit."""
    measures = next(iter(next(iter(scores.values())).values())).numbers
    rows: list[tuple[Cell, ...]] = [
        (tracker, toolkit, *found.numbers.values())
        for tracker, by_toolkit in scores.items()
        for toolkit, found in by_toolkit.items()
    ]
    return Table(("tracker", "scored as", *measures), tuple(rows))


def _by_sequence(scores: Mapping[str, ByToolkit], names: tuple[str, ...]) -> Table:
    """A row per sequence: each tracker's numbers by the toolkit that ranks."""
    firsts = {tracker: next(iter(by_toolkit.values())).sequences for tracker, by_toolkit in scores.items()}
    columns = [(tracker, measure) for tracker, found in firsts.items() for measure in found]
    rows: list[tuple[Cell, ...]] = [
        (name, *(float(firsts[tracker][measure][row]) for tracker, measure in columns))
        for row, name in enumerate(names)
    ]
    return Table(("sequence", *(f"{tracker}, {measure}" for tracker, measure in columns)), tuple(rows))


def _figure(scores: Mapping[str, VotScores], experiment: Experiment) -> Figure:
    lines = {
        tracker: (*found.curve, f"{next(iter(found.numbers.values())):.3f}  {tracker}")
        for tracker, found in scores.items()
    }
    return draw_lines(lines, experiment.axes, experiment.axes[1].capitalize())
