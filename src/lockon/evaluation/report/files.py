"""Writing what a report is made of.

A folder has one report. The files of an earlier one of the same benchmark are replaced, all of them, also those that
the new one does not have; anything else in the way is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lockon.errors import OutputError
from lockon.evaluation.report.plots import to_png, to_svg
from lockon.evaluation.report.tables import Table, to_csv, to_latex
from lockon.evaluation.sequences import Sequence
from lockon.files import Outputs, why

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PLOTS = (
    "success",
    "precision",
    "norm_precision",
    "attributes",
    "speed",
    "curve",
    "accuracy_robustness",
    "tags",
)
TABLES = ("summary", "toolkits", "attributes", "tags")
POSSIBLE = (
    "index.html",
    *(f"{name}.{kind}" for name in PLOTS for kind in ("png", "svg")),
    *(f"{name}.{kind}" for name in TABLES for kind in ("csv", "tex")),
    "sequences.csv",
)
"""All that a report can have."""


def as_files(figures: Mapping[str, Figure], tables: Mapping[str, Table]) -> dict[str, str | bytes]:
    """By file name: figures as PNG and SVG, tables as CSV and LaTeX."""
    files: dict[str, str | bytes] = {}
    for name, figure in figures.items():
        files |= {f"{name}.png": to_png(figure), f"{name}.svg": to_svg(figure)}
    for name, table in tables.items():
        files |= {f"{name}.csv": to_csv(table), f"{name}.tex": to_latex(table)}
    return files


def check_folder(out: Path, sequences: Iterable[Sequence]) -> None:
    """Makes the folder for a report, before the work.

    Args:
        sequences: of the benchmark; plots among their pictures would be frames the next time.

    Raises:
        OutputError: it cannot be made, or a sequence's pictures lie there.
    """
    if os.path.lexists(out) and not out.is_dir():
        raise OutputError(f"{out}: cannot write the report here: it is not a folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise OutputError(f"{out}: cannot write the report here: no permission")
        for place in {file.parent for sequence in sequences for file in sequence.files[:1]}:
            with suppress(FileNotFoundError):
                if os.path.samefile(out, place):
                    raise OutputError(f"{out}: has pictures of a sequence; give another --out for the report")
    except OSError as error:
        raise OutputError(f"{out}: cannot write the report here: {why(error)}") from None


def write_all(out: Path, benchmark: str, files: Mapping[str, str | bytes]) -> list[Path]:
    """Writes a report's files by name into a folder, all of them or none.

    Args:
        benchmark: its name, whose earlier report is replaced.

    Raises:
        OutputError: one cannot be written, or a file of its name is there that no report of the benchmark made.
    """
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in files.items()}
    with Outputs(out, "report", f"report {benchmark}", POSSIBLE) as outputs:
        outputs.write_all(contents)
    return [out / name for name in files]
