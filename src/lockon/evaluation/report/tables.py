"""Tables of scores, and what they are written as: CSV, LaTeX, or a pandas frame."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lockon.errors import DataError
from lockon.evaluation.metrics import Scores
from lockon.evaluation.report.comparison import MEASURES, Comparison, headline, ranked

if TYPE_CHECKING:
    import pandas as pd

Cell = str | int | float | None
LATEX = str.maketrans(
    {c: "\\" + c for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\^{}", "\\": r"\textbackslash{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"[": "{[}", "*": "{*}"}  # which after the end of a row would be its options
)


@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        best: whether the highest number is told in each column, or in each row, or not at all.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    best: Literal["column", "row"] | None = None

    def winners(self) -> set[tuple[int, int]]:
        """(row, column) of the highest score of each column or row of two or more, ties as printed."""
        places: dict[int, list[tuple[int, int]]] = {}
        for r, row in enumerate(self.rows if self.best else ()):
            for c, cell in enumerate(row):
                if isinstance(cell, float) and math.isfinite(cell):
                    places.setdefault(c if self.best == "column" else r, []).append((r, c))
        found = set()
        for line in places.values():
            values = {place: shown(self.rows[place[0]][place[1]]) for place in line}
            if len(set(values.values())) > 1:
                top = max(values.values(), key=float)
                found |= {place for place, value in values.items() if value == top}
        return found


def shown(cell: Cell) -> str:
    """A cell as people read it: three decimals of a score, none of a speed above 10, a dash for nothing."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        if not math.isfinite(cell):
            return "-"
        return f"{cell:.3f}" if cell <= 1 else f"{cell:.1f}" if cell < 10 else f"{cell:.0f}"
    return str(cell)


def summary_table(scores: Mapping[str, Scores], fps: Mapping[str, float | None]) -> Table:
    """A row per tracker: the measures of one toolkit, then frames per second where they are known."""
    measures = measures_of(scores)
    timed = any(fps.values())
    rows: list[tuple[Cell, ...]] = [
        (tracker, *(found.summary[name] for name in measures), *([fps[tracker]] if timed else []))
        for tracker, found in scores.items()
    ]
    heads = [MEASURES[name] for name in measures] + (["frames/s"] if timed else [])
    return Table(("tracker", *heads), tuple(rows), "column")


def toolkit_table(scores: Mapping[str, Mapping[str, Scores]]) -> Table:
    """A row per tracker and toolkit: what toolkits make of the same boxes."""
    has = {name for by_tracker in scores.values() for name in measures_of(by_tracker)}
    measures = [name for name in MEASURES if name in has]
    rows: list[tuple[Cell, ...]] = [
        (tracker, toolkit, *(by_tracker[tracker].summary.get(name) for name in measures))
        for tracker in next(iter(scores.values()))
        for toolkit, by_tracker in scores.items()
    ]
    return Table(("tracker", "scored as", *(MEASURES[name] for name in measures)), tuple(rows))


def measures_of(scores: Mapping[str, Scores]) -> list[str]:
    """What a toolkit measures, in the order in which it is shown."""
    summary = next(iter(scores.values())).summary
    return [name for name in MEASURES if name in summary]


def attribute_table(scores: Mapping[str, Scores], measure: str) -> Table:
    """A row per attribute: how many sequences have it, and a measure of each tracker on these; none without."""
    parts = {tracker: found.by_attribute() for tracker, found in scores.items()}
    counts = {name: len(part.names) for name, part in next(iter(parts.values())).items()}
    rows: list[tuple[Cell, ...]] = [
        (name, n, *(part[name].summary[measure] for part in parts.values())) for name, n in counts.items()
    ]
    return Table(("attribute", "sequences", *scores), tuple(rows), "row")


def sequence_table(scores: Mapping[str, Scores], measure: str) -> Table:
    """A row per sequence: a measure of each tracker."""
    columns = [found.per_sequence[measure].tolist() for found in scores.values()]
    names = next(iter(scores.values())).names
    return Table(("sequence", *scores), tuple((name, *cells) for name, *cells in zip(names, *columns)), "row")


def all_sequences_table(comparison: Comparison) -> Table:
    """A row per toolkit, tracker and sequence with all measures, for a program to read."""
    has = {name for by_tracker in comparison.scores.values() for name in measures_of(by_tracker)}
    measures = [name for name in MEASURES if name in has]
    rows: list[tuple[Cell, ...]] = [
        (toolkit, tracker, sequence, *(_value(found, name, row) for name in measures))
        for toolkit, by_tracker in comparison.scores.items()
        for tracker, found in by_tracker.items()
        for row, sequence in enumerate(found.names)
    ]
    return Table(("toolkit", "tracker", "sequence", *measures), tuple(rows))


def _value(scores: Scores, measure: str, row: int) -> float | None:
    return float(scores.per_sequence[measure][row]) if measure in scores.per_sequence else None


def to_csv(table: Table) -> str:
    """Comma separated, scores with six decimals, nothing for nothing."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_field(cell) for cell in row] for row in table.rows)
    return out.getvalue()


def _field(cell: Cell) -> str | int:
    if isinstance(cell, float):
        return f"{cell:.6f}" if math.isfinite(cell) else ""
    return "" if cell is None else cell


def to_latex(table: Table) -> str:
    """A ``tabular`` with booktabs rules, the best in bold."""
    best = table.winners()
    lines = [" & ".join(column.translate(LATEX) for column in table.columns) + r" \\", r"\midrule"]
    for r, row in enumerate(table.rows):
        cells = [shown(cell).translate(LATEX) for cell in row]
        cells = [rf"\textbf{{{cell}}}" if (r, c) in best else cell for c, cell in enumerate(cells)]
        lines.append(" & ".join(cells) + r" \\")
    body = "\n".join(lines)
    columns = "l" + "r" * (len(table.columns) - 1)
    top = f"% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
    return f"{top}{body}\n\\bottomrule\n\\end{{tabular}}\n"


def table(
    scores: Mapping[str, Scores],
    by: Literal["tracker", "sequence", "attribute"] = "tracker",
    measure: str | None = None,
) -> pd.DataFrame:
    """Scores as a pandas frame.

    Args:
        scores: by tracker, of one toolkit.
        by: what a row is. By tracker, the columns are the measures and the best is first; else the columns are the
            trackers.
        measure: of the columns, such as "precision"; the one that ranks if not given.

    Raises:
        DataError: no scores, or the toolkit has no such measure; or pandas is missing.

    Example:
        >>> import numpy as np
        >>> from lockon.evaluation import Sequence, score, table
        >>> truth = np.array([[10.0, 10, 20, 20]] * 4)
        >>> scores = {"still": score("plain", [Sequence("walk", (), truth)], {"walk": truth})}
        >>> table(scores)["AUC"].round(3).to_dict()
        {'still': 0.952}
    """
    try:
        import pandas as pd
    except ImportError:
        raise DataError("tables need pandas: pip install 'lockon[report]'") from None
    if not scores:
        raise DataError("no scores to make a table of")
    order = ranked(scores)
    first = next(iter(order.values()))
    measure = measure or headline(first)
    if measure not in first.summary:
        raise DataError(f"toolkit {first.toolkit!r} has no {measure!r}; it has {', '.join(first.summary)}")
    if by == "tracker":
        made = summary_table(order, dict.fromkeys(order))
    else:
        made = sequence_table(order, measure) if by == "sequence" else attribute_table(order, measure)
    return pd.DataFrame(list(made.rows), columns=list(made.columns)).set_index(made.columns[0])
