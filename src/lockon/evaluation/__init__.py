"""How well trackers agree with annotations: benchmarks, scores, reports.

In a notebook, arrays go in, tables and figures come out:

    >>> import numpy as np
    >>> from lockon import evaluation
    >>> walk = evaluation.Sequence("walk", (), np.array([[10.0, 10, 20, 20]] * 4))  # (T, 4) x, y, w, h in pixels
    >>> aside = walk.boxes + [[0.0, 0, 0, 0], [4, 0, 0, 0], [4, 0, 0, 0], [10, 0, 0, 0]]
    >>> scores = {"still": evaluation.score("pysot", [walk], {"walk": walk.boxes}),
    ...           "aside": evaluation.score("pysot", [walk], {"walk": aside})}
    >>> evaluation.table(scores)["AUC"].round(3).to_dict()
    {'still': 0.952, 'aside': 0.655}
    >>> figure = evaluation.plot_success(scores)

Nothing is imported before it is asked for; tables need pandas and plots matplotlib (``pip install 'lockon[report]'``).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lockon.evaluation.benchmarks import open_benchmark
    from lockon.evaluation.foreign import Results, read_results
    from lockon.evaluation.metrics import TOOLKITS, Scores, score
    from lockon.evaluation.report import write_report
    from lockon.evaluation.report.comparison import compare
    from lockon.evaluation.report.plots import plot_attributes, plot_precision, plot_speed, plot_success
    from lockon.evaluation.report.tables import table
    from lockon.evaluation.sequences import Benchmark, Sequence

__all__ = [
    "TOOLKITS",
    "Benchmark",
    "Results",
    "Scores",
    "Sequence",
    "compare",
    "open_benchmark",
    "plot_attributes",
    "plot_precision",
    "plot_speed",
    "plot_success",
    "read_results",
    "score",
    "table",
    "write_report",
]

_HOME = {
    "benchmarks": ("open_benchmark",),
    "foreign": ("Results", "read_results"),
    "metrics": ("TOOLKITS", "Scores", "score"),
    "report": ("write_report",),
    "report.comparison": ("compare",),
    "report.plots": ("plot_attributes", "plot_precision", "plot_speed", "plot_success"),
    "report.tables": ("table",),
    "sequences": ("Benchmark", "Sequence"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
