"""What holds of scores whatever the boxes are."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockon.evaluation.conventions import CONVENTIONS
from lockon.evaluation.metrics import TOOLKITS, Array, Scores, centre_error, overlap, score
from lockon.evaluation.sequences import Sequence

WIDTH, HEIGHT = 640, 480
toolkits = st.sampled_from(TOOLKITS)
pixels = st.integers(1, 300)  # in quarters, which floats have exactly


@st.composite
def box_rows(draw: st.DrawFn, rows: int, size: st.SearchStrategy[int] = pixels) -> Array:
    """(rows, 4) boxes of whole quarters of a pixel inside the picture."""
    return np.array([[draw(pixels), draw(pixels), draw(size), draw(size)] for _ in range(rows)]) / 4


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Array, Array]:
    """A truth of 2 to 6 boxes and a result, which may have boxes of no size."""
    rows = draw(st.integers(2, 6))
    return draw(box_rows(rows)), draw(box_rows(rows, st.integers(0, 300)))


def scores_of(toolkit: str, tracks: dict[str, tuple[Array, Array]]) -> Scores:
    sequences = [Sequence(n, (Path(),) * len(t), t, size=(WIDTH, HEIGHT)) for n, (t, _) in tracks.items()]
    return score(toolkit, sequences, {name: boxes for name, (_, boxes) in tracks.items()})


@given(toolkits, st.lists(pairs(), min_size=1, max_size=3))
def test_scores_lie_between_0_and_1(toolkit: str, tracks: list[tuple[Array, Array]]) -> None:
    found = scores_of(toolkit, {str(number): track for number, track in enumerate(tracks)})
    for values in [*found.per_sequence.values(), *(curve.values for curve in found.curves.values())]:
        assert ((values >= 0) & (values <= 1)).all()
    assert all(0 <= value <= 1 for value in found.summary.values())


@given(toolkits, pairs())
def test_curves_only_fall_or_only_rise(toolkit: str, track: tuple[Array, Array]) -> None:
    curves = {name: np.diff(curve.values) for name, curve in scores_of(toolkit, {"one": track}).curves.items()}
    assert (curves.pop("success") <= 0).all()
    assert all((steps >= 0).all() for steps in curves.values())


@given(toolkits, st.lists(pairs(), min_size=2, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_the_sequences_does_not_matter(
    toolkit: str, tracks: list[tuple[Array, Array]], random: Random
) -> None:
    named = {str(number): track for number, track in enumerate(tracks)}
    names = list(named)
    random.shuffle(names)
    found, other = scores_of(toolkit, named), scores_of(toolkit, {name: named[name] for name in names})
    assert other.summary == pytest.approx(found.summary)
    for name, values in found.per_sequence.items():
        np.testing.assert_array_equal(other.subset(found.names).per_sequence[name], values)


@given(toolkits, pairs())
def test_a_perfect_result_has_the_best_scores(toolkit: str, track: tuple[Array, Array]) -> None:
    truth = track[0] + 1  # a pixel and more, also when rounded
    summary = scores_of(toolkit, {"one": (truth, truth)}).summary
    thresholds = len(CONVENTIONS[toolkit].success.thresholds)
    assert summary.pop("success") == pytest.approx(1 if toolkit == "trackingnet" else 1 - 1 / thresholds)
    assert set(summary.values()) == {1}


@given(st.sampled_from([name for name in TOOLKITS if name != "trackingnet"]), pairs())
def test_a_result_without_a_box_has_what_is_given(toolkit: str, track: tuple[Array, Array]) -> None:
    truth = track[0] + np.array([100, 100, 0, 0])  # far from the corner
    share = 1 / len(truth) if CONVENTIONS[toolkit].given == "replaced" else 0
    found = scores_of(toolkit, {"one": (truth, np.zeros_like(truth))}).summary
    assert found["success"] == pytest.approx(20 / 21 * share)
    assert found.get("precision", share) == share


@given(toolkits, pairs(), st.integers(0, 100), st.integers(0, 100))
def test_moving_result_and_truth_together_changes_nothing(
    toolkit: str, track: tuple[Array, Array], right: int, down: int
) -> None:
    shift = np.array([2 * right, 2 * down, 0, 0])  # whole pixels, even ones because halves are rounded to even ones
    moved = scores_of(toolkit, {"one": (track[0] + shift, track[1] + shift)})
    assert moved.per_sequence["success"] == pytest.approx(scores_of(toolkit, {"one": track}).per_sequence["success"])


@given(pairs(), st.integers(-1000, 1000), st.integers(1, 8))
def test_overlap_and_distance_are_symmetric_and_scale(track: tuple[Array, Array], shift: int, scale: int) -> None:
    truth, boxes = track
    np.testing.assert_array_equal(overlap(boxes, truth), overlap(truth, boxes))
    np.testing.assert_array_equal(centre_error(boxes, truth), centre_error(truth, boxes))
    np.testing.assert_allclose(overlap(boxes * scale, truth * scale), overlap(boxes, truth))
    np.testing.assert_allclose(centre_error(boxes * scale, truth * scale), scale * centre_error(boxes, truth))
    moved = np.array([shift, shift, 0, 0])
    np.testing.assert_array_equal(overlap(boxes + moved, truth + moved), overlap(boxes, truth))


@given(st.lists(pairs(), min_size=1, max_size=4))
def test_plain_success_is_the_mean_over_thresholds_of_counting(tracks: list[tuple[Array, Array]]) -> None:
    found = scores_of("plain", {str(number): track for number, track in enumerate(tracks)})
    for row, (truth, boxes) in enumerate(tracks):
        overlaps = overlap(boxes, truth)
        counted = [np.mean([o > t for o in overlaps]) for t in np.linspace(0, 1, 21)]
        np.testing.assert_allclose(found.curves["success"].values[row], counted)
        within = [np.mean([e <= p for e in centre_error(boxes, truth)]) for p in range(51)]
        np.testing.assert_allclose(found.curves["precision"].values[row], within)
