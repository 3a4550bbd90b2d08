"""Pieces of a page that needs nothing beside it: its frame, tables, figures, film strips."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from html import escape
from importlib import resources
from string import Template
from typing import Any

from lockon import __version__
from lockon.errors import first_few
from lockon.evaluation.report.plots import COLOURS, GRID, INK
from lockon.evaluation.report.strips import Strip
from lockon.evaluation.report.tables import Cell, Table, shown


def render(
    title: str, trackers: int, lead: str, sections: Mapping[str, tuple[str, str]], data: Mapping[str, Any] | None = None
) -> str:
    """A page.

    Args:
        title: the benchmark.
        trackers: how many there are.
        lead: HTML below the title.
        sections: by id, title and HTML; empty ones are left out.
        data: for the script, which is left out without.
    """
    filled = {key: part for key, part in sections.items() if part[1]}
    script = ""
    if data is not None:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
        text = text.replace("<", "\\u003c")  # neither an end of the script nor a comment in it
        script = f'<script type="application/json" id="data">{text}</script>\n<script>\n{_asset("page.js")}\n</script>'
    return Template(_asset("page.html")).substitute(
        title=escape(f"{title}: {count(trackers, 'tracker')}"),
        lead=lead,
        nav="".join(f'<a href="#{key}">{head}</a>' for key, (head, _) in filled.items()),
        sections="\n".join(
            f'<section id="{key}">\n<h2>{head}</h2>\n{content}\n</section>' for key, (head, content) in filled.items()
        ),
        footer=f"Made by lockon {escape(__version__)}. Plots, CSV and LaTeX tables lie beside this page.",
        css=_asset("page.css"),
        script=script,
    )


def _asset(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


FOLDERS = re.compile(
    r"""(?<![\w.~/\\])  # not inside a relative path
    (?:~|[A-Za-z]:)?[/\\](?:[^/\\\s,;:"'=()][^/\\,;:"'=()]*[/\\])+""",
    re.VERBOSE,
)


def without_folders(text: str) -> str:
    """Full paths become their last part: pages are published, and where things lay says who somebody is."""
    return FOLDERS.sub("\u2026/", text)


def plain_table(table: Table, names: Mapping[str, str]) -> str:
    """An HTML table; cells and heads that are trackers' names get their colour."""
    best = table.winners()
    head = "".join(f'<th scope="col">{names.get(name, "")}{escape(name)}</th>' for name in table.columns)
    rows = []
    for r, row in enumerate(table.rows):
        first = f'<th scope="row">{names.get(str(row[0]), "")}{escape(shown(row[0]))}</th>'
        cells = "".join(
            f"<td{_kind(cell, (r, c) in best)}>{escape(shown(cell))}</td>" for c, cell in enumerate(row[1:], start=1)
        )
        rows.append(f"<tr>{first}{cells}</tr>")
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _kind(cell: Cell, best: bool) -> str:
    """Numbers stand right, texts left, the best is bold."""
    return ' class="best"' if best else ' class="text"' if isinstance(cell, str) else ""


def count(number: int, what: str) -> str:
    """A number with its noun."""
    return f"{number:,}".replace(",", "\u202f") + f" {what}{'' if number == 1 else 's'}"


def swatches(trackers: Iterable[str]) -> dict[str, str]:
    """Each tracker's colour as a dot, by its place in the ranking; a dash from the seventh on."""
    found = {}
    for place, tracker in enumerate(trackers):
        dash = " dash" if place >= len(COLOURS) else ""
        found[tracker] = f'<i class="swatch{dash}" style="--c:var(--c{place % len(COLOURS)})"></i>'
    return found


def plot_section(plots: Mapping[str, str]) -> str:
    """Figures side by side."""
    own = [plot(svg, name) for name, svg in plots.items()]
    return f'<div class="plots">{"".join(own)}</div>'


def plot(svg: str, name: str) -> str:
    """A figure in the page's own colours and type, with ids that no other figure has."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.S)
    svg = re.sub(r"<[^>]*>", lambda tag: _own_tag(tag[0], name), svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg, count=1)
    return f'<figure class="plot">{svg}</figure>'


def _own_tag(tag: str, name: str) -> str:
    """A tag of a figure, for the page; the texts between tags have names in them and stay as they are."""
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    tag = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", tag)
    for place, colour in enumerate(COLOURS):
        tag = tag.replace(colour, f"var(--c{place})")
    return tag.replace(INK, "currentColor").replace(GRID, "var(--line)")


def strip_section(
    trackers: Iterable[str],
    strips: Iterable[Strip],
    faults: Mapping[str, str],
    by: str,
    decimals: int = 3,
    none: str = "target absent",
) -> str:
    """Film strips under their trackers' names, and what is not shown and why.

    Args:
        by: the measure by which they are the worst.
        decimals: of that measure.
        none: what is said of a frame without an overlap.
    """
    strips, dots, parts = list(strips), swatches(trackers), []
    if strips:
        keys = '<i class="key" style="border-color:#fff"></i>annotated <i class="key" style="border-color:#ff8c00"></i>'
        parts.append(
            f'<p class="note">Each tracker\'s worst sequences, by {escape(by)}. {keys}tracker. Below each picture '
            "its frame and the overlap of the two.</p>"
        )
    for tracker, dot in dots.items():
        own = [_strip(strip, decimals, none) for strip in strips if strip.tracker == tracker]
        if own:
            parts.append(f"<h3>{dot}{escape(tracker)}</h3>{''.join(own)}")
    if faults:
        why = without_folders(next(iter(faults.values())))
        parts.append(
            f'<p class="note">Not shown, for want of pictures: {escape(first_few(faults))} ({escape(why)}).</p>'
        )
    return "\n".join(parts)


def _strip(strip: Strip, decimals: int, none: str) -> str:
    stills = []
    for still in strip.stills:
        said = none if math.isnan(still.overlap) else f"{still.overlap:.2f}"
        source = f"data:image/jpeg;base64,{base64.b64encode(still.jpeg).decode()}"
        size = f'width="{still.size[0]}" height="{still.size[1]}"'
        alt = f"{strip.sequence}, frame {still.frame}"
        picture = f'<img src="{source}" {size} alt="{escape(alt)}">'
        stills.append(f'<div class="still">{picture}<span>{still.frame} · {said}</span></div>')
    caption = f"<figcaption><b>{escape(strip.sequence)}</b> {strip.score:.{decimals}f}</figcaption>"
    return f'<figure class="strip">{caption}<div class="stills">{"".join(stills)}</div></figure>'
