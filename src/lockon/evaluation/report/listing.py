"""The page's table of sequences, which sorts, filters, and opens the overlap over time below a row."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from lockon.evaluation.report.markup import swatches
from lockon.evaluation.report.tables import Table
from lockon.evaluation.sequences import Array, Sequence

POINTS = 300  # of an overlap curve; longer sequences are shown as means


@dataclass(frozen=True)
class Measure:
    """A number that a sequence has.

    Attributes:
        title: in words.
        lower: whether less is better, as of counts; else it is a share, of which more is better.
    """

    title: str
    lower: bool = False

    @property
    def decimals(self) -> int:
        """How many are shown."""
        return 1 if self.lower else 3

    def ends(self, values: Array) -> tuple[float, float]:
        """The worst and the best that cells are shaded between."""
        known = values[np.isfinite(values)]
        return (max(1.0, float(known.max(initial=1.0))), 0.0) if self.lower else (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Listing:
    """S sequences with what trackers made of them.

    Attributes:
        sequences: S of them.
        measures: by name; the first one is shown until the reader chooses another.
        values: by measure and tracker, (S,); NaN for none.
        overlaps: by tracker, (T,) of each sequence; NaN where there is nothing to compare.
    """

    sequences: Rows[Sequence]
    measures: Mapping[str, Measure]
    values: Mapping[str, Mapping[str, Array]]
    overlaps: Mapping[str, Rows[Array]]

    @property
    def heads(self) -> list[str]:
        """The columns before the trackers."""
        return ["sequence", "frames", *(["attributes"] if any(s.attributes for s in self.sequences) else [])]

    def html(self) -> str:
        """The table and what stands above it."""
        name, measure = next(iter(self.measures.items()))
        columns = self.values[name]
        dots = swatches(columns)
        cells = [escape(head) for head in self.heads] + [f"{dots[tracker]}{escape(tracker)}" for tracker in columns]
        head = "".join(f'<th scope="col" aria-sort="none"><button type="button">{cell}</button></th>' for cell in cells)
        best = self._best(columns, measure)
        ends = measure.ends(np.array(list(columns.values())))
        rows = []
        for r, sequence in enumerate(self.sequences):
            numbers = [column[r] for column in columns.values()]
            cells = [_cell(value, measure, ends, (r, c) in best) for c, value in enumerate(numbers)]
            words = escape(f"{sequence.name} {' '.join(sorted(sequence.attributes))}".lower())
            rows.append(f'<tr data-index="{r}" data-words="{words}">{self._head(sequence)}{"".join(cells)}</tr>')
        options = "".join(
            f'<option value="{name}">{escape(measure.title)}</option>' for name, measure in self.measures.items()
        )
        filtered = "name or attribute" if len(self.heads) > 2 else "name"
        return (
            '<p class="note">A click on a head sorts, a click on a name shows the overlap over time. The darker a '
            "cell, the worse the score.</p>"
            f'<div class="tools"><input id="filter" type="search" placeholder="filter by {filtered}" '
            f'aria-label="filter"><select id="measure" aria-label="measure">{options}</select>'
            '<span id="shown" class="note" role="status"></span></div>'
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )

    def _head(self, sequence: Sequence) -> str:
        """The cells before the trackers."""
        name, opened = escape(sequence.name), '<button type="button" aria-expanded="false">'
        cells = (
            f'<td data-value="{name}">{opened}<span class="open-mark">\u203a</span>{name}</button></td>'
            f"<td>{len(sequence.boxes)}</td>"
        )
        if len(self.heads) > 2:
            cells += f'<td class="text">{escape(" ".join(sorted(sequence.attributes)))}</td>'
        return cells

    def _best(self, columns: Mapping[str, Array], measure: Measure) -> set[tuple[int, int]]:
        """(sequence, tracker) of the best of each sequence."""
        found = np.array(list(columns.values())).T.round(measure.decimals)
        rows = (
            tuple(None if not math.isfinite(v) else -v if measure.lower else v for v in row) for row in found.tolist()
        )
        return Table(tuple(columns), tuple(rows), "row").winners()

    def data(self) -> dict[str, Any]:
        """What the page's script reads."""
        measures = {}
        for name, measure in self.measures.items():
            values = np.array(list(self.values[name].values()))
            rounded = [[round(v, 6) if math.isfinite(v) else None for v in column] for column in values.tolist()]
            measures[name] = {"values": rounded, "ends": measure.ends(values), "decimals": measure.decimals}
        curves = []
        for row, sequence in enumerate(self.sequences):
            thinned = [thin(tracks[row]) for tracks in self.overlaps.values()]
            packed = [base64.b64encode(line).decode() for line, _ in thinned]
            curves.append({"frames": len(sequence.boxes), "step": thinned[0][1], "curves": packed})
        return {"trackers": list(self.overlaps), "first": len(self.heads), "measures": measures, "overlaps": curves}


def _cell(value: float, measure: Measure, ends: tuple[float, float], best: bool) -> str:
    if not math.isfinite(value):
        return '<td data-value="">-</td>'
    share = (value - ends[0]) / (ends[1] - ends[0])
    classes = "heat best" if best else "heat"
    text = f"{value:.{measure.decimals}f}"
    return f'<td class="{classes}" style="--v:{share:.3f}" data-value="{value:.6f}">{text}</td>'


def thin(overlaps: Array, points: int = POINTS) -> tuple[bytes, int]:
    """(T,) overlaps to at most so many bytes, each the mean of ``step`` frames: 0 to 200 in steps of 0.005, 255 where
    there is none in all of them."""
    step = math.ceil(len(overlaps) / points)
    padded = np.full(math.ceil(len(overlaps) / step) * step, np.nan)
    padded[: len(overlaps)] = overlaps
    groups = padded.reshape(-1, step)
    counts = (~np.isnan(groups)).sum(1)
    means = np.divide(np.nansum(groups, 1), counts, out=np.zeros(len(groups)), where=counts > 0)
    return np.where(counts > 0, (200 * means).round(), 255).astype(np.uint8).tobytes(), step
