"""The report's page: one HTML file with everything in it, which asks no network for anything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lockon.errors import masked, printable
from lockon.evaluation.report.comparison import LONG, MEASURES, Comparison, title
from lockon.evaluation.report.listing import Listing, Measure
from lockon.evaluation.report.markup import (
    count,
    plain_table,
    plot,
    plot_section,
    render,
    strip_section,
    swatches,
    without_folders,
)
from lockon.evaluation.report.plots import TITLES
from lockon.evaluation.report.strips import Strip
from lockon.evaluation.report.tables import Table, measures_of


def make_page(
    comparison: Comparison,
    tables: Mapping[str, Table],
    plots: Mapping[str, str],
    strips: Sequence[Strip],
    faults: Mapping[str, str],
) -> str:
    """The page.

    Args:
        tables: "summary", and "toolkits" and "attributes" where there are any.
        plots: SVG by name, see ``plots.figures``.
        strips, faults: see ``strips.worst_strips``.
    """
    listing = _listing(comparison)
    curves = {name: plots[name] for name in (*TITLES, "speed") if name in plots}
    sections = {
        "summary": ("Scores", _summary(comparison, tables)),
        "plots": ("Plots", plot_section(curves)),
        "attributes": ("Attributes", _attributes(comparison, tables, plots)),
        "sequences": ("Sequences", listing.html()),
        "worst": ("Where they fail", strip_section(comparison.results, strips, faults, LONG[comparison.headline])),
        "runs": ("Runs", _runs(comparison)),
    }
    return render(title(comparison.benchmark), len(comparison.results), _lead(comparison), sections, listing.data())


def _listing(comparison: Comparison) -> Listing:
    """Its sequences, with the measure that ranks first."""
    names = sorted(measures_of(comparison.main), key=lambda name: name != comparison.headline)
    return Listing(
        comparison.sequences,
        {name: Measure(LONG[name]) for name in names},
        {name: {tracker: found.per_sequence[name] for tracker, found in comparison.main.items()} for name in names},
        {
            tracker: [comparison.overlaps(tracker, sequence) for sequence in comparison.sequences]
            for tracker in comparison.results
        },
    )


def _lead(comparison: Comparison) -> str:
    frames = sum(len(sequence.boxes) for sequence in comparison.sequences)
    first, *others = comparison.scores
    also = f", also as {', '.join(others)}" if others else ""
    lead = f"{count(len(comparison.sequences), 'sequence')}, {count(frames, 'frame')}, scored as <b>{first}</b>{also}."
    return lead + _left_out(comparison)


def _left_out(comparison: Comparison) -> str:
    """What is not scored, and who lacks it; nothing where all is."""
    if not comparison.left_out:
        return ""
    told = "; ".join(f"{name} ({', '.join(trackers)})" for name, trackers in comparison.left_out.items())
    number = count(len(comparison.left_out), "sequence")
    return f" <b>{number} of the benchmark left out</b>, for these results lack them: {escape(told)}."


def _summary(comparison: Comparison, tables: Mapping[str, Table]) -> str:
    dots = swatches(comparison.results)
    meaning = "; ".join(f"{MEASURES[name]}: {LONG[name]}" for name in measures_of(comparison.main))
    note = f"From 0 to 1, the best in bold. {meaning}."
    if "frames/s" in tables["summary"].columns:
        note += " Frames per second: frames over seconds, without reading pictures; not to be compared over machines."
    parts = [plain_table(tables["summary"], dots), f'<p class="note">{escape(note)}</p>']
    if "toolkits" in tables:
        parts += ["<h3>The same boxes by the rules of each toolkit</h3>", plain_table(tables["toolkits"], dots)]
    return "".join(parts)


def _attributes(comparison: Comparison, tables: Mapping[str, Table], plots: Mapping[str, str]) -> str:
    if "attributes" not in tables:
        return ""
    radar = plot(plots["attributes"], "attributes") if "attributes" in plots else ""
    note = f"{LONG[comparison.headline].capitalize()} on the sequences with each attribute."
    table = plain_table(tables["attributes"], swatches(comparison.results))
    return f'<p class="note">{note}</p><div class="side"><div>{table}</div>{radar}</div>'


def _runs(comparison: Comparison) -> str:
    """How each result came about, one column per tracker; what differs is in bold."""
    runs = {tracker: {"files": result.layout, **_flat(result.run)} for tracker, result in comparison.results.items()}
    keys = list(dict.fromkeys(key for run in runs.values() for key in run))
    dots = swatches(comparison.results)
    head = "".join(f'<th scope="col">{dots[name]}{escape(name)}</th>' for name in runs)
    rows = []
    for key in keys:
        values = [run.get(key, "-") for run in runs.values()]
        differs = ' class="differs"' if len({v for v in values if v != "-"}) > 1 and key != "files" else ""
        cells = "".join(f"<td>{escape(value)}</td>" for value in values)
        rows.append(f'<tr{differs}><th scope="row">{escape(key)}</th>{cells}</tr>')
    note = "As written in run.json beside the results; lines in bold differ."
    if not any(result.run for result in comparison.results.values()):
        note = "No run.json beside these results: how they were made is not known."
    table = f'<table class="runs"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<p class="note">{note}</p><div class="scroll">{table}</div>'


def _flat(run: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Nested settings as dotted names."""
    found: dict[str, str] = {}
    for key, value in run.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{above}{key}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value)
            found[f"{above}{key}"] = printable(masked(without_folders(text)))
    return found
