"""The report of an evaluation: one page, and the plots and tables on it as files.

``comparison`` scores, ``tables`` and ``plots`` show scores (also in a notebook), ``strips`` cuts film strips,
``page`` makes the page of them. ``vot`` does all of it for VOT's ``experiments``.
"""

from __future__ import annotations

from pathlib import Path

from lockon.evaluation.report.comparison import Comparison
from lockon.evaluation.report.files import as_files, check_folder, write_all
from lockon.evaluation.report.page import make_page
from lockon.evaluation.report.plots import figures, to_svg
from lockon.evaluation.report.strips import worst_strips
from lockon.evaluation.report.tables import (
    all_sequences_table,
    attribute_table,
    summary_table,
    to_csv,
    toolkit_table,
)


def write_report(comparison: Comparison, out: Path, worst: int = 3) -> list[Path]:
    """Writes ``index.html``, which needs nothing beside it; the plots as PNG and SVG; ``summary``, ``toolkits``
    (where there are several) and ``attributes`` as CSV and LaTeX; ``sequences.csv``.

    Args:
        comparison: see ``comparison.compare``.
        out: the folder; made if need be.
        worst: how many of each tracker's worst sequences are shown as film strips.

    Returns:
        The files, the page first.

    Raises:
        DataError: matplotlib is missing.
        OutputError: a file cannot be written, or is in the way and not of an earlier report of the benchmark.
    """
    check_folder(out, comparison.sequences)
    fps = {tracker: result.fps for tracker, result in comparison.results.items()}
    drawn = dict(figures(comparison.main, fps))
    tables = {"summary": summary_table(comparison.main, fps)}
    if len(comparison.scores) > 1:
        tables["toolkits"] = toolkit_table(comparison.scores)
    attributes = attribute_table(comparison.main, comparison.headline)
    if attributes.rows:
        tables["attributes"] = attributes
    strips, remarks = worst_strips(comparison, worst)
    plots = {name: to_svg(figure, transparent=True) for name, figure in drawn.items()}
    page, sequences = make_page(comparison, tables, plots, strips, remarks), to_csv(all_sequences_table(comparison))
    return write_all(
        out, comparison.benchmark, {"index.html": page, **as_files(drawn, tables), "sequences.csv": sequences}
    )
