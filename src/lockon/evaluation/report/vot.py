"""The report of VOT's experiments: results in the VOT toolkit's form, scored as it and pysot score them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lockon.annotations import short
from lockon.evaluation.regions import truth
from lockon.evaluation.report.comparison import title
from lockon.evaluation.report.experiments import EXPERIMENTS, Experiment, Scored, VotScores
from lockon.evaluation.report.files import as_files, check_folder, write_all
from lockon.evaluation.report.listing import Listing
from lockon.evaluation.report.markup import count, plain_table, plot, plot_section, render, strip_section, swatches
from lockon.evaluation.report.plots import draw_lines, draw_points, draw_radar, to_svg
from lockon.evaluation.report.strips import Track, cut_strips
from lockon.evaluation.report.tables import Cell, Table, to_csv
from lockon.evaluation.sequences import Benchmark, Sequence
from lockon.evaluation.supervised import EMPTY, TAGS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_vot_report(
    folders: Mapping[str, Path], benchmark: Benchmark, out: Path, worst: int = 3
) -> tuple[Table, list[Path]]:
    """Writes a page with scores, plots, tags, sequences and film strips; the plots as PNG and SVG; ``summary``, and
    ``tags`` where there are any, as CSV and LaTeX; ``sequences`` as CSV.

    Args:
        folders: results by tracker, see ``find_trackers``.
        worst: how many of each tracker's worst sequences are shown as film strips.

    Returns:
        The table of scores, and the files, the page first.

    Raises:
        DataError: results that are incomplete or malformed, or matplotlib is missing.
        OutputError: a file cannot be written, or is in the way and not of an earlier report of the benchmark.
    """
    experiment = EXPERIMENTS[benchmark.toolkit]
    sequences = [_tagged(benchmark.read(name)) for name in benchmark.names]
    check_folder(out, sequences)
    found = {tracker: experiment.score(folder, benchmark, sequences) for tracker, folder in folders.items()}
    scored = dict(sorted(found.items(), key=lambda item: -item[1].main.rank))
    main = {tracker: found.main for tracker, found in scored.items()}
    best = next(iter(scored.values()))
    tables = {"summary": _summary(scored)}
    figures = {"curve": _curves(main, experiment)}
    if experiment.robustness:
        figures["accuracy_robustness"] = _accuracy_robustness(scored, experiment)
    if any(tag in best.main.tags for tag in TAGS):
        tables["tags"] = _tag_table(main, sequences)
        if len(best.main.tags) > 2:
            figures["tags"] = _radar(tables["tags"])
    colours = swatches(scored)
    plots = {name: to_svg(figure, transparent=True) for name, figure in figures.items()}
    runs = Table(("tracker", "results"), tuple((tracker, short(folders[tracker])) for tracker in scored))
    listing = _listing(sequences, scored, experiment)
    summary = f'{plain_table(tables["summary"], colours)}<p class="note">{escape(experiment.meaning)}.</p>'
    sections = {
        "summary": ("Scores", summary),
        "plots": ("Plots", plot_section({name: svg for name, svg in plots.items() if name != "tags"})),
        "tags": ("Tags", _tags(tables, plots, colours)),
        "sequences": ("Sequences", listing.html()),
        "worst": ("Where they fail", _strips(sequences, scored, experiment, worst)),
        "runs": ("Runs", plain_table(runs, colours)),
    }
    counts = f"{count(len(sequences), 'sequence')}, {count(sum(map(len, sequences)), 'frame')}"
    lead = f"{counts}, ranked as <b>{next(iter(best.toolkits))}</b> scores."
    page = render(title(benchmark.name), len(scored), lead, sections, listing.data())
    by_sequence = to_csv(_by_sequence(main, benchmark.names))
    files = {"index.html": page, **as_files(figures, tables), "sequences.csv": by_sequence}
    return tables["summary"], write_all(out, benchmark.name, files)


def _tagged(sequence: Sequence) -> Sequence:
    """With the tags that any of its frames has as its attributes."""
    return replace(sequence, attributes=frozenset(tag for tag in TAGS if np.any(sequence.labels.get(tag, 0))))


def _summary(scored: Mapping[str, Scored]) -> Table:
    """A row per tracker and toolkit."""
    measures = next(iter(next(iter(scored.values())).toolkits.values())).numbers
    rows: list[tuple[Cell, ...]] = [
        (tracker, toolkit, *scores.numbers.values())
        for tracker, found in scored.items()
        for toolkit, scores in found.toolkits.items()
    ]
    return Table(("tracker", "scored as", *measures), tuple(rows))


def _by_sequence(main: Mapping[str, VotScores], names: tuple[str, ...]) -> Table:
    """A row per sequence: each tracker's numbers by the toolkit that ranks."""
    columns = [(tracker, measure) for tracker, found in main.items() for measure in found.sequences]
    rows: list[tuple[Cell, ...]] = [
        (name, *(float(main[tracker].sequences[measure][row]) for tracker, measure in columns))
        for row, name in enumerate(names)
    ]
    return Table(("sequence", *(f"{tracker}, {measure}" for tracker, measure in columns)), tuple(rows))


def _curves(main: Mapping[str, VotScores], experiment: Experiment) -> Figure:
    lines = {tracker: (*found.curve, _legend(tracker, found)) for tracker, found in main.items()}
    return draw_lines(lines, experiment.axes, experiment.axes[1].capitalize())


def _accuracy_robustness(scored: Mapping[str, Scored], experiment: Experiment) -> Figure:
    """As the VOT toolkit has both; the legend has what ranks."""
    points = {}
    for tracker, found in scored.items():
        numbers = found.toolkits["vot"].numbers
        points[tracker] = (numbers["R"], numbers["A"], _legend(tracker, found.main))
    axes = (f"robustness: {experiment.robustness}", "accuracy")
    return draw_points(points, axes, "Accuracy and robustness", "EAO")


def _legend(tracker: str, scores: VotScores) -> str:
    return f"{scores.rank:.3f}  {tracker}"


def _tag_table(main: Mapping[str, VotScores], sequences: Rows[Sequence]) -> Table:
    """A row per tag: how many frames have it, and the expected average overlap of each tracker."""
    labels = [[s.labels.get(tag, np.zeros(len(s), int)) > 0 for tag in TAGS] for s in sequences]
    tagged = np.concatenate(labels, axis=1)
    frames = dict(zip((*TAGS, EMPTY), [*tagged.sum(1).tolist(), int((~tagged.any(0)).sum())], strict=True))
    rows: list[tuple[Cell, ...]] = [
        (tag, frames[tag], *(found.tags.get(tag, math.nan) for found in main.values()))
        for tag in next(iter(main.values())).tags
    ]
    return Table(("tag", "frames", *main), tuple(rows), "row")


def _radar(table: Table) -> Figure:
    tags, frames, *columns = zip(*table.rows, strict=True)
    labels = [f"{tag} ({count})" for tag, count in zip(tags, frames, strict=True)]
    return draw_radar(dict(zip(table.columns[2:], columns, strict=True)), labels, "EAO by tag")


def _tags(tables: Mapping[str, Table], plots: Mapping[str, str], colours: Mapping[str, str]) -> str:
    if "tags" not in tables:
        return ""
    note = "Expected average overlap by what is difficult in the frames (empty: nothing of these), as pysot has it."
    radar = plot(plots["tags"], "tags") if "tags" in plots else ""
    table = plain_table(tables["tags"], colours)
    return f'<p class="note">{note}</p><div class="side"><div>{table}</div>{radar}</div>'


def _listing(sequences: Rows[Sequence], scored: Mapping[str, Scored], experiment: Experiment) -> Listing:
    return Listing(
        sequences,
        experiment.measures,
        {name: {t: found.main.sequences[name] for t, found in scored.items()} for name in experiment.measures},
        {tracker: [found.overlaps[s.name] for s in sequences] for tracker, found in scored.items()},
    )


def _strips(sequences: Rows[Sequence], scored: Mapping[str, Scored], experiment: Experiment, worst: int) -> str:
    name, measure = next(iter(experiment.measures.items()))
    tracks = []
    for tracker, found in scored.items():
        values = found.main.sequences
        keys = [-values[key] if each.lower else values[key] for key, each in experiment.measures.items()]
        for row in np.lexsort(keys[::-1])[:worst]:
            own, answers = sequences[row], found.answers[sequences[row].name]
            tracks.append(Track(tracker, own, float(values[name][row]), truth(own), answers, found.overlaps[own.name]))
    strips, faults = cut_strips(tracks)
    return strip_section(scored, strips, faults, measure.title, measure.decimals, "not tracked")
