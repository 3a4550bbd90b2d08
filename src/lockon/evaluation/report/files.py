"""Writing what a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lockon.errors import OutputError
from lockon.evaluation.report.plots import to_png, to_svg
from lockon.evaluation.report.tables import Table, to_csv, to_latex

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def as_files(figures: Mapping[str, Figure], tables: Mapping[str, Table]) -> dict[str, str | bytes]:
    """By file name: figures as PNG and SVG, tables as CSV and LaTeX."""
    files: dict[str, str | bytes] = {}
    for name, figure in figures.items():
        files |= {f"{name}.png": to_png(figure), f"{name}.svg": to_svg(figure)}
    for name, table in tables.items():
        files |= {f"{name}.csv": to_csv(table), f"{name}.tex": to_latex(table)}
    return files


def write_all(out: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Writes files by name into a folder, which is made if need be.

    Raises:
        OutputError: one cannot be written.
    """
    for name, content in files.items():
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise OutputError(f"{out / name}: cannot write the report: {error.strerror}") from None
    return [out / name for name in files]
