"""The report's page: one HTML file with everything in it, which asks no network for anything."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from lockon.evaluation.metrics import Array
from lockon.evaluation.report.comparison import LONG, MEASURES, Comparison, title
from lockon.evaluation.report.markup import count, plain_table, plot, plot_section, render, swatches
from lockon.evaluation.report.plots import TITLES
from lockon.evaluation.report.strips import Strip
from lockon.evaluation.report.tables import Table, measures_of, sequence_table

POINTS = 300  # of an overlap curve; longer sequences are shown as means


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
    curves = {name: plots[name] for name in (*TITLES, "speed") if name in plots}
    sections = {
        "summary": ("Scores", _summary(comparison, tables)),
        "plots": ("Plots", plot_section(curves)),
        "attributes": ("Attributes", _attributes(comparison, tables, plots)),
        "sequences": ("Sequences", _sequences(comparison)),
        "worst": ("Where they fail", _strips(comparison, strips, faults)),
        "runs": ("Runs", _runs(comparison)),
    }
    return render(title(comparison.benchmark), len(comparison.results), _lead(comparison), sections, _data(comparison))


def thin(overlaps: Array, points: int = POINTS) -> tuple[bytes, int]:
    """(T,) overlaps to at most so many bytes, each the mean of ``step`` frames: 0 to 200 in steps of 0.005, 255 where
    the target is absent in all of them."""
    step = math.ceil(len(overlaps) / points)
    padded = np.full(math.ceil(len(overlaps) / step) * step, np.nan)
    padded[: len(overlaps)] = overlaps
    groups = padded.reshape(-1, step)
    counts = (~np.isnan(groups)).sum(1)
    means = np.divide(np.nansum(groups, 1), counts, out=np.zeros(len(groups)), where=counts > 0)
    return np.where(counts > 0, (200 * means).round(), 255).astype(np.uint8).tobytes(), step


def _data(comparison: Comparison) -> dict[str, Any]:
    """What the page's script reads."""
    curves = []
    for sequence in comparison.sequences:
        thinned = [thin(comparison.overlaps(tracker, sequence)) for tracker in comparison.results]
        packed = [base64.b64encode(line).decode() for line, _ in thinned]
        curves.append({"frames": len(sequence.boxes), "step": thinned[0][1], "curves": packed})
    measures = {
        name: [found.per_sequence[name].round(6).tolist() for found in comparison.main.values()]
        for name in measures_of(comparison.main)
    }
    return {"trackers": list(comparison.results), "first": _first(comparison), "measures": measures, "overlaps": curves}


def _first(comparison: Comparison) -> int:
    """The column of the sequence table in which scores begin."""
    return 3 if _has_attributes(comparison) else 2


def _has_attributes(comparison: Comparison) -> bool:
    return any(sequence.attributes for sequence in comparison.sequences)


def _lead(comparison: Comparison) -> str:
    frames = sum(len(sequence.boxes) for sequence in comparison.sequences)
    first, *others = comparison.scores
    also = f", also as {', '.join(others)}" if others else ""
    lead = f"{count(len(comparison.sequences), 'sequence')}, {count(frames, 'frame')}, scored as <b>{first}</b>{also}."
    if comparison.left_out:
        lead += (
            f" <b>{count(comparison.left_out, 'sequence')} of the benchmark left out</b>: not all results have them."
        )
    return lead


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


def _sequences(comparison: Comparison) -> str:
    """The table that sorts, filters, and opens a curve below a row."""
    table = sequence_table(comparison.main, comparison.headline)
    best = table.winners()
    heads = ["sequence", "frames", *(["attributes"] if _has_attributes(comparison) else [])]
    dots = swatches(comparison.results)
    cells = [escape(name) for name in heads] + [f"{dots[name]}{escape(name)}" for name in table.columns[1:]]
    head = "".join(f'<th scope="col" aria-sort="none"><button type="button">{cell}</button></th>' for cell in cells)
    rows = []
    for r, (sequence, row) in enumerate(zip(comparison.sequences, table.rows, strict=True)):
        attributes = " ".join(sorted(sequence.attributes))
        name = escape(sequence.name)
        opener = f'<button type="button" aria-expanded="false"><span class="open-mark">\u203a</span>{name}</button>'
        parts = [f'<td data-value="{name}">{opener}</td><td>{len(sequence.boxes)}</td>']
        if _has_attributes(comparison):
            parts.append(f'<td class="text">{escape(attributes)}</td>')
        for c, value in enumerate(row[1:], start=1):
            assert isinstance(value, float)
            classes = "heat best" if (r, c) in best else "heat"
            parts.append(f'<td class="{classes}" style="--v:{value:.3f}" data-value="{value:.6f}">{value:.3f}</td>')
        words = escape(f"{sequence.name} {attributes}".lower())
        rows.append(f'<tr data-index="{r}" data-words="{words}">{"".join(parts)}</tr>')
    options = "".join(
        f'<option value="{name}"{" selected" if name == comparison.headline else ""}>{escape(LONG[name])}</option>'
        for name in measures_of(comparison.main)
    )
    filtered = "name or attribute" if _has_attributes(comparison) else "name"
    return (
        '<p class="note">A click on a head sorts, a click on a name shows the overlap over time. The darker a cell, '
        "the lower the score.</p>"
        f'<div class="tools"><input id="filter" type="search" placeholder="filter by {filtered}" aria-label="filter">'
        f'<select id="measure" aria-label="measure">{options}</select>'
        '<span id="shown" class="note" role="status"></span></div>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _strips(comparison: Comparison, strips: Sequence[Strip], faults: Mapping[str, str]) -> str:
    parts = []
    if strips:
        keys = '<i class="key" style="border-color:#fff"></i>annotated <i class="key" style="border-color:#ff8c00"></i>'
        parts.append(
            f'<p class="note">Each tracker\'s worst sequences. {keys}tracker. Below each picture its frame and the '
            "overlap of the two boxes.</p>"
        )
    for tracker in comparison.results:
        own = [_strip(strip) for strip in strips if strip.tracker == tracker]
        if own:
            parts.append(f"<h3>{swatches(comparison.results)[tracker]}{escape(tracker)}</h3>{''.join(own)}")
    if faults:
        names = ", ".join(list(faults)[:5]) + (f" and {len(faults) - 5} more" if len(faults) > 5 else "")
        why = next(iter(faults.values()))
        parts.append(f'<p class="note">Not shown, for want of pictures: {escape(names)} ({escape(why)}).</p>')
    return "\n".join(parts)


def _strip(strip: Strip) -> str:
    stills = []
    for still in strip.stills:
        said = "target absent" if math.isnan(still.overlap) else f"{still.overlap:.2f}"
        source = f"data:image/jpeg;base64,{base64.b64encode(still.jpeg).decode()}"
        size = f'width="{still.size[0]}" height="{still.size[1]}"'
        alt = f"{strip.sequence}, frame {still.frame}"
        picture = f'<img src="{source}" {size} alt="{escape(alt)}">'
        stills.append(f'<div class="still">{picture}<span>{still.frame} · {said}</span></div>')
    caption = f"<figcaption><b>{escape(strip.sequence)}</b> {strip.score:.3f}</figcaption>"
    return f'<figure class="strip">{caption}<div class="stills">{"".join(stills)}</div></figure>'


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
            found[f"{above}{key}"] = value if isinstance(value, str) else json.dumps(value)
    return found
