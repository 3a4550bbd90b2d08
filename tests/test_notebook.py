"""``lockon.evaluation`` as a notebook uses it."""

import doctest
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure

from lockon import evaluation
from lockon.errors import DataError
from lockon.evaluation.report import plots, tables
from lockon.evaluation.sequences import Array

TRUTH = {
    "walk": np.array([[10.0, 10, 20, 20]] * 4),
    "run": np.array([[50.0, 20, 10, 30]] * 5),
    "jump": np.array([[5.0, 5, 40, 40]] * 3),
}
DIFFICULT = {"walk": {"OCC", "SV", "IV"}, "run": {"SV"}, "jump": {"IV"}}


def sequences() -> Iterator[evaluation.Sequence]:
    for name, boxes in TRUTH.items():
        yield evaluation.Sequence(name, (), boxes, frozenset(DIFFICULT[name]))


def score(shift: float, toolkit: str = "plain") -> evaluation.Scores:
    answers: dict[str, Array] = {name: boxes + np.array([shift, 0, 0, 0]) for name, boxes in TRUTH.items()}
    return evaluation.score(toolkit, sequences(), answers)


@pytest.fixture
def scores() -> dict[str, evaluation.Scores]:
    return {"far": score(9), "near": score(2), "middle": score(5)}


@pytest.mark.parametrize("module", [evaluation, tables, plots])
def test_examples_in_docstrings_run(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 3
    assert found.failed == 0


def test_all_names_can_be_had_and_others_cannot() -> None:
    assert all(getattr(evaluation, name) is not None for name in dir(evaluation))
    with pytest.raises(AttributeError, match="no attribute 'plot_nothing'"):
        evaluation.plot_nothing  # noqa: B018


def test_nothing_heavy_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, lockon, lockon.cli, lockon.evaluation as e; e.score, e.table, e.plot_success, e.write_report; "
    code += "print([name for name in ('matplotlib', 'pandas', 'playwright') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_table_of_trackers_has_the_best_first(scores: dict[str, evaluation.Scores]) -> None:
    frame = evaluation.table(scores)
    assert list(frame.index) == ["near", "middle", "far"]
    assert list(frame.columns) == ["AUC", "Pnorm", "P", "AO", "OP50", "OP75"]
    assert frame.loc["near", "AUC"] == scores["near"].summary["success"]


def test_tables_by_sequence_and_by_attribute(scores: dict[str, evaluation.Scores]) -> None:
    by_sequence = evaluation.table(scores, by="sequence", measure="ao")
    assert list(by_sequence.index) == ["walk", "run", "jump"]
    assert list(by_sequence["near"]) == scores["near"].per_sequence["ao"].tolist()
    by_attribute = evaluation.table(scores, by="attribute")
    assert by_attribute["sequences"].to_dict() == {"IV": 2, "OCC": 1, "SV": 2}
    assert by_attribute.loc["IV", "far"] == scores["far"].subset(["walk", "jump"]).summary["success"]


def test_a_table_of_a_measure_that_the_toolkit_lacks() -> None:
    with pytest.raises(DataError, match=r"toolkit 'otb' has no 'ao'; it has success, precision"):
        evaluation.table({"near": score(2, "otb")}, by="sequence", measure="ao")
    with pytest.raises(DataError, match="no scores"):
        evaluation.table({})


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]  # type: ignore[union-attr]


def test_curves_are_the_scores_means_and_ranked_in_the_legend(scores: dict[str, evaluation.Scores]) -> None:
    figure = evaluation.plot_success(scores)
    assert [text.split()[1] for text in legend(figure)] == ["near", "middle", "far"]
    assert legend(figure)[0].startswith(f"{scores['near'].summary['success']:.3f}")
    drawn = figure.axes[0].lines[0]
    np.testing.assert_array_equal(drawn.get_ydata(), scores["near"].curves["success"].mean)


def test_a_curve_can_be_drawn_into_axes_of_ones_own(scores: dict[str, evaluation.Scores]) -> None:
    own = Figure()
    left, right = own.subplots(1, 2)
    assert evaluation.plot_precision(scores, left) is own
    evaluation.plot_precision(scores, right, normalised=True)
    assert (left.get_title(loc="left"), right.get_title(loc="left")) == ("Precision", "Normalised precision")


def test_a_radar_has_an_axis_per_attribute_with_its_number_of_sequences(scores: dict[str, evaluation.Scores]) -> None:
    ticks = evaluation.plot_attributes(scores).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["IV (2)", "OCC (1)", "SV (2)"]
    with pytest.raises(DataError, match="needs three attributes; these sequences have 2"):
        evaluation.plot_attributes({"near": scores["near"].subset(["run", "jump"])})


def test_speed_is_drawn_where_it_is_known(scores: dict[str, evaluation.Scores]) -> None:
    figure = evaluation.plot_speed(scores, {"near": 25.0, "middle": None, "far": 200.0})
    assert legend(figure) == ["25  near", "200  far"]
    with pytest.raises(DataError, match="no result has times"):
        evaluation.plot_speed(scores, {})


def test_what_cannot_be_drawn_is_said(scores: dict[str, evaluation.Scores]) -> None:
    with pytest.raises(DataError, match=r"toolkit 'otb' has no curve 'norm_precision'; it has success, precision"):
        evaluation.plot_precision({"near": score(2, "otb")}, normalised=True)
    with pytest.raises(DataError, match="no scores to plot"):
        evaluation.plot_success({})


@pytest.mark.parametrize("missing", ["matplotlib", "pandas"])
def test_a_missing_extra_is_named(
    scores: dict[str, evaluation.Scores], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(DataError, match=rf"need {missing}: pip install 'lockon\[report\]'"):
        evaluation.plot_success(scores) if missing == "matplotlib" else evaluation.table(scores)
