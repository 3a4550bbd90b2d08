"""Figures of scores with matplotlib: curves with ranked legends, attributes, speed against accuracy."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from lockon.errors import DataError
from lockon.evaluation.metrics import Array, Scores
from lockon.evaluation.report.comparison import LONG, MEASURES, headline, ranked

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by colour-blind readers too, without their yellow, which white paper swallows;
# from the seventh tracker on, lines are dashed and dots square.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1)))
MARKS = ("o", "s", "^")
TOP = 1.01  # of axes from 0 to 1, so that a line along 1 is whole
INK = "#1f2328"  # text and axes; the page replaces it by its own
GRID = "#d9dde2"
STYLE: Any = {
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "text.parse_math": False,  # a name may have a $
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "lockon",  # the same scores give the same file
}
OUTSIDE: Any = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}  # of a legend
AXES = {
    "success": ("overlap threshold", "share of frames above"),
    "precision": ("centre error threshold in pixels", "share of frames within"),
    "norm_precision": ("centre error threshold in target sizes", "share of frames within"),
}
TITLES = {"success": "Success", "precision": "Precision", "norm_precision": "Normalised precision"}


def colour(place: int) -> str:
    """Of the tracker at a place of the ranking."""
    return COLOURS[place % len(COLOURS)]


def _line(place: int) -> dict[str, Any]:
    """How its line is drawn."""
    return {"color": colour(place), "linestyle": DASHES[place // len(COLOURS) % len(DASHES)]}


def _mark(place: int) -> dict[str, Any]:
    """How its point is drawn."""
    mark = MARKS[place // len(COLOURS) % len(MARKS)]
    return {"color": colour(place), "linestyle": "none", "marker": mark, "markersize": 9}


def plot_success(scores: Mapping[str, Scores], ax: Axes | None = None) -> Figure:
    """Success curves, the best tracker first in the legend, with its area under the curve.

    Args:
        scores: by tracker, of one toolkit.
        ax: where to draw; a figure of its own if not given.

    Raises:
        DataError: no scores, or matplotlib is missing.

    Example:
        >>> import numpy as np
        >>> from lockon.evaluation import Sequence, plot_success, score
        >>> truth = np.array([[10.0, 10, 20, 20]] * 4)
        >>> figure = plot_success({"still": score("plain", [Sequence("walk", (), truth)], {"walk": truth})})
        >>> figure.axes[0].get_legend_handles_labels()[1]
        ['0.952  still']
    """
    return plot_curves(scores, "success", ax)


def plot_precision(scores: Mapping[str, Scores], ax: Axes | None = None, *, normalised: bool = False) -> Figure:
    """Precision curves over centre errors in pixels, or normalised by the target's size; else as ``plot_success``.

    Raises:
        DataError: no scores, the toolkit has no such curve, or matplotlib is missing.
    """
    return plot_curves(scores, "norm_precision" if normalised else "precision", ax)


def plot_curves(scores: Mapping[str, Scores], measure: str, ax: Axes | None = None) -> Figure:
    """The curves of one measure; see ``plot_success``."""
    order = _ranked(scores)
    first = next(iter(order.values()))
    if measure not in first.curves:
        raise DataError(f"toolkit {first.toolkit!r} has no curve {measure!r}; it has {', '.join(first.curves)}")
    by_score = sorted(order, key=lambda tracker: -order[tracker].summary[measure])
    with _style():
        figure, ax = _axes(ax, (5.2, 3.9))
        for place, tracker in enumerate(order):
            curve = order[tracker].curves[measure]
            label = f"{order[tracker].summary[measure]:.3f}  {tracker}"
            zorder = 2 + len(order) - place  # the best on top
            ax.plot(curve.thresholds, curve.mean, label=label, zorder=zorder, **_line(place))
        handles = dict(zip(order, ax.get_legend_handles_labels()[0], strict=True))
        ax.set(
            xlabel=AXES[measure][0],
            ylabel=AXES[measure][1],
            xlim=(0, first.curves[measure].thresholds[-1]),
            ylim=(0, TOP),
        )
        ax.set_title(TITLES[measure], loc="left", fontweight="bold")
        inside = {"loc": "lower left" if measure == "success" else "lower right"}
        ax.legend(handles=[handles[tracker] for tracker in by_score], **(OUTSIDE if len(order) > 6 else inside))
    return figure


def draw_lines(lines: Mapping[str, tuple[Array, Array, str]], axes: tuple[str, str], title: str) -> Figure:
    """Any x, y, and label by tracker, the best first; both axes are named."""
    with _style():
        figure, ax = _axes(None, (5.2, 3.9))
        for place, (x, y, label) in enumerate(lines.values()):
            ax.plot(x, y, label=label, zorder=2 + len(lines) - place, **_line(place))
        ax.set(xlabel=axes[0], ylabel=axes[1], ylim=(0, TOP))
        ax.set_xlim(left=0)
        ax.set_title(title, loc="left", fontweight="bold")
        ax.legend(**(OUTSIDE if len(lines) > 6 else {"loc": "upper right"}))
    return figure


def draw_points(
    points: Mapping[str, tuple[float, float, str]], axes: tuple[str, str], title: str, legend: str
) -> Figure:
    """A share x, a share y, and label by tracker, the best first; axes and legend are named."""
    with _style():
        figure, ax = _axes(None, (5.2, 3.9))
        for place, (x, y, label) in enumerate(points.values()):
            ax.plot(x, y, label=label, clip_on=False, zorder=3 + len(points) - place, **_mark(place))
        across, up, _ = zip(*points.values(), strict=True)
        ax.set(xlabel=axes[0], ylabel=axes[1], xlim=_span(across), ylim=_span(up))
        ax.set_title(title, loc="left", fontweight="bold")
        ax.legend(title=legend, alignment="left", **OUTSIDE)
    return figure


def plot_attributes(scores: Mapping[str, Scores], measure: str | None = None) -> Figure:
    """A radar of one measure (the one that ranks if not given) by attribute, with the number of sequences of each.

    Raises:
        DataError: no scores, fewer than three attributes, or matplotlib is missing.
    """
    order = _ranked(scores)
    measure = measure or headline(next(iter(order.values())))
    parts = {tracker: found.by_attribute() for tracker, found in order.items()}
    names = {name: f"{name} ({len(part.names)})" for name, part in next(iter(parts.values())).items()}
    if len(names) < 3:
        raise DataError(f"a radar needs three attributes; these sequences have {len(names)}")
    values = {tracker: [part[name].summary[measure] for name in names] for tracker, part in parts.items()}
    return draw_radar(values, list(names.values()), f"{MEASURES[measure]} by attribute")


def draw_radar(values: Mapping[str, Sequence[float]], labels: Sequence[str], title: str) -> Figure:
    """A share in each of three or more directions by tracker, the best first."""
    angles = np.linspace(0, 2 * np.pi, len(labels), endpoint=False)
    with _style():
        from matplotlib.figure import Figure
        from matplotlib.projections.polar import PolarAxes
        from matplotlib.ticker import MultipleLocator

        figure = Figure((5.2, 4.6), layout="constrained")
        ax = figure.add_subplot(projection="polar", theta_offset=np.pi / 2, theta_direction=-1)
        assert isinstance(ax, PolarAxes)
        for place, (tracker, row) in enumerate(values.items()):
            ax.plot([*angles, angles[0]], [*row, row[0]], label=_name(tracker), **_line(place))
        ax.set_xticks(angles, labels, fontsize=9)
        ax.set_ylim(*_span([value for row in values.values() for value in row]))
        ax.yaxis.set_major_locator(MultipleLocator(0.1))
        ax.tick_params(axis="y", labelsize=7)
        ax.set_rlabel_position(180 / len(labels))
        ax.spines["polar"].set_visible(False)
        ax.set_title(title, loc="left", fontweight="bold", pad=18)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=min(3, len(values)))
    return figure


def _span(values: Iterable[float]) -> tuple[float, float]:
    """Tenths around shares from 0 to 1."""
    found = [value for value in values if np.isfinite(value)] or [0.0]
    low = max(0.0, np.floor(10 * min(found) - 0.5) / 10)
    return low, max(low + 0.1, min(1.0, np.ceil(10 * max(found)) / 10))


def plot_speed(scores: Mapping[str, Scores], fps: Mapping[str, float | None], ax: Axes | None = None) -> Figure:
    """The measure that ranks over frames per second, for the trackers whose speed is known.

    Raises:
        DataError: no speed is known, no scores, or matplotlib is missing.
    """
    order = _ranked(scores)
    measure = headline(next(iter(order.values())))
    if not any(fps.get(tracker) for tracker in order):
        raise DataError("no result has times to plot a speed of")
    with _style():
        from matplotlib.ticker import LogLocator, NullLocator

        figure, ax = _axes(ax, (5.2, 3.9))
        for place, (tracker, found) in enumerate(order.items()):
            if speed := fps.get(tracker):
                value = found.summary[measure]
                label = f"{speed:.0f}  {tracker}"
                ax.plot(speed, value, label=label, **_mark(place))
        ax.set_xscale("log")
        ax.margins(0.12, 0.12)
        ax.legend(title="frames per second", alignment="left", **OUTSIDE)
        low, high = ax.get_xlim()
        marks = (1, 2, 5) if high < 50 * low else (1, 3) if high < 1000 * low else (1,)
        ax.xaxis.set_major_locator(LogLocator(subs=marks))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value < 1000 else f"{value / 1000:g}k")
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set(xlabel="frames per second", ylabel=LONG[measure])
        ax.set_title("Speed and accuracy", loc="left", fontweight="bold")
    return figure


def to_svg(figure: Figure, *, transparent: bool = False) -> str:
    """A figure as text, the same for the same figure."""
    out = io.StringIO()
    with _style(), _any_letters():
        figure.savefig(out, format="svg", bbox_inches="tight", transparent=transparent, metadata={"Date": None})
    return out.getvalue()


def to_png(figure: Figure) -> bytes:
    """A figure at 160 dots per inch."""
    out = io.BytesIO()
    with _style(), _any_letters():
        figure.savefig(out, format="png", bbox_inches="tight", dpi=160)
    return out.getvalue()


@contextmanager
def _any_letters() -> Iterator[None]:
    """Names may have letters that the font lacks; these are boxes in a PNG, and a warning per figure says no more."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font")
        yield


def _name(tracker: str) -> str:
    """A tracker's name for a legend, which leaves out what begins with an underscore."""
    return f" {tracker}" if tracker.startswith("_") else tracker


def _ranked(scores: Mapping[str, Scores]) -> dict[str, Scores]:
    if not scores:
        raise DataError("no scores to plot")
    return ranked(scores)


def _style() -> Any:
    try:
        import matplotlib as mpl
    except ImportError:
        raise DataError("plots need matplotlib: pip install 'lockon[report]'") from None
    return mpl.rc_context(STYLE)


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The given axes and their figure, or new ones that no window and no global state knows."""
    from matplotlib.figure import Figure

    if ax is None:
        ax = Figure(size, layout="constrained").add_subplot()
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure, ax


def figures(scores: Mapping[str, Scores], fps: Mapping[str, float | None]) -> Iterable[tuple[str, Figure]]:
    """Every figure that these scores allow, by file name."""
    first = next(iter(scores.values()))
    for measure in AXES:
        if measure in first.curves:
            yield measure, plot_curves(scores, measure)
    if len(frozenset().union(*first.attributes)) >= 3:
        yield "attributes", plot_attributes(scores)
    if any(fps.values()):
        yield "speed", plot_speed(scores, fps)
