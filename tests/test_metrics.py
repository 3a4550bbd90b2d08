"""One-pass scores: what the measures are, and what each toolkit makes of odd rows, absent frames and lengths."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lockon.errors import DataError
from lockon.evaluation.metrics import (
    TOOLKITS,
    Array,
    Scores,
    centre_error,
    overlap,
    precision,
    present,
    score,
    success_auc,
)
from lockon.evaluation.sequences import Sequence

Labels = Mapping[str, list[int]]
TRUTH = np.array([[10.0, 10.0, 20.0, 20.0]] * 4)
AWAY = np.array([300.0, 300.0, 20.0, 20.0])
STRICT = 20 / 21  # of a perfect track, as no overlap is strictly above 1


def sequence(truth: Array, name: str = "walk", attributes: str = "", labels: Labels | None = None) -> Sequence:
    arrays = {label: np.array(values) for label, values in (labels or {}).items()}
    return Sequence(name, (Path(),) * len(truth), truth, frozenset(attributes.split()), arrays, size=(400, 400))


def one(toolkit: str, truth: Array, boxes: Array, benchmark: str = "", **labels: list[int]) -> dict[str, float]:
    """The summary of one sequence."""
    return score(toolkit, [sequence(truth, labels=labels)], {"walk": boxes}, benchmark=benchmark).summary


def changed(row: int, values: list[float] | Array) -> Array:
    """The truth with another row."""
    boxes = TRUTH.copy()
    boxes[row] = values
    return boxes


# The measures


def test_a_perfect_track_scores_all_but_the_last_threshold() -> None:
    assert success_auc(TRUTH, TRUTH) == pytest.approx(STRICT)
    assert precision(TRUTH, TRUTH) == 1


def test_half_a_box_aside() -> None:
    moved = TRUTH + np.array([10, 0, 0, 0])
    np.testing.assert_allclose(overlap(moved, TRUTH), 1 / 3)
    np.testing.assert_allclose(centre_error(moved, TRUTH), 10)
    assert success_auc(moved, TRUTH) == pytest.approx(7 / 21)  # 0, 0.05, ..., 0.3 are below a third


def test_precision_counts_a_centre_exactly_at_the_limit() -> None:
    moved = TRUTH + np.array([[0, 0, 0, 0], [20, 0, 0, 0], [20.5, 0, 0, 0], [0, 40, 0, 0]])
    assert precision(moved, TRUTH) == 0.5


def test_boxes_apart_or_without_area_do_not_overlap() -> None:
    assert overlap(TRUTH + np.array([100, 0, 0, 0]), TRUTH).tolist() == [0, 0, 0, 0]
    assert overlap(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [0]


def test_frames_without_the_target_do_not_count() -> None:
    truth = changed(2, [np.nan] * 4)
    strayed = changed(2, [0] * 4)
    assert present(truth).tolist() == [True, True, False, True]
    assert success_auc(strayed, truth) == success_auc(TRUTH, TRUTH)
    assert precision(strayed, truth) == 1
    assert overlap(strayed, truth).tolist() == [1, 1, 0, 1]


def test_plain_scores_of_a_benchmark() -> None:
    long, short = sequence(TRUTH, "long"), sequence(TRUTH[:2], "short")
    found = score("plain", [long, short], {"long": TRUTH + np.array([10, 0, 0, 0]), "short": TRUTH[:2]})
    assert found.names == ("long", "short")
    assert found.per_sequence["success"] == pytest.approx([7 / 21, STRICT])
    assert found.summary == pytest.approx(
        {
            "success": (7 / 21 + STRICT) / 2,  # sequences weigh the same
            "precision": 1,
            "norm_precision": 0.5,  # half a target's width is more than a fifth
            "op50": 0.5,
            "op75": 0.5,
            "ao": (1 / 3 + 1) / 2,
        }
    )
    assert found.curves["success"].mean[[0, 6, 7, 20]].tolist() == [1, 1, 0.5, 0]
    assert found.curves["precision"].thresholds[[0, -1]].tolist() == [0, 50]
    assert found.curves["norm_precision"].values[:, [49, 50]].tolist() == [[0, 1], [1, 1]]


# What toolkits make of an odd frame: a (h)it or a (m)iss by success, precision and normalised precision, where the
# toolkit has them; "-" where it does not count, "?" where it is an error

ODD_TRUTH = {  # toolkit, benchmark: no size, at the picture's border, NaN, labelled absent
    ("plain", ""): ("mmm", "hhh", "---", "---"),
    ("pysot", ""): ("mhh", "hhh", "mhh", "mmm"),
    ("pytracking", "otb2015"): ("mmh", "mmh", "?", "mmh"),
    ("pytracking", "uav123"): ("mhh", "mhh", "mhh", "mhh"),
    ("pytracking", "lasot"): ("mmh", "mmh", "?", "mmm"),
    ("pytracking", "lasot_ext"): ("mmh", "mmh", "?", "mmh"),
    ("got10k", "otb2015"): ("mm", "hh", "--", "hh"),
    ("got10k", "lasot"): ("mmm", "hhh", "---", "hhh"),
    ("otb", ""): ("mh", "mh", "mh", "hh"),
    ("lasot", ""): ("mhh", "mhh", "mhh", "mmm"),
    ("got10k-ao", ""): ("m", "h", "-", "h"),
}
ODD_RESULT = {  # no width, a negative width, NaN
    ("plain", ""): ("mhh", "mhh", "mmm"),
    ("pysot", ""): ("mhh", "mhh", "mmm"),
    ("pytracking", "otb2015"): ("hhh", "?", "?"),
    ("got10k", "otb2015"): ("mh", "mh", "mm"),
    ("otb", ""): ("mh", "mh", "mm"),
    ("lasot", ""): ("hhh", "hhh", "hhh"),
    ("got10k-ao", ""): ("m", "m", "m"),
}
NO_SIZE, AT_BORDER, NOTHING = [0.0, 0, 0, 0], [0.0, 10, 20, 20], [np.nan] * 4


@pytest.mark.parametrize(("toolkit", "benchmark"), ODD_TRUTH)
def test_a_frame_whose_truth_is_odd(toolkit: str, benchmark: str) -> None:
    no_size, at_border, nothing, absent = ODD_TRUTH[toolkit, benchmark]
    assert outcome(toolkit, benchmark, changed(2, NO_SIZE), changed(2, AWAY)) == no_size
    assert outcome(toolkit, benchmark, changed(2, AT_BORDER), changed(2, AT_BORDER)) == at_border
    assert outcome(toolkit, benchmark, changed(2, NOTHING), TRUTH) == nothing
    assert outcome(toolkit, benchmark, TRUTH, TRUTH, absent=[0, 0, 1, 0]) == absent


@pytest.mark.parametrize(("toolkit", "benchmark"), ODD_RESULT)
def test_a_frame_whose_result_is_odd(toolkit: str, benchmark: str) -> None:
    for width, what in zip([0, -1, np.nan], ODD_RESULT[toolkit, benchmark], strict=True):
        same_centre = [20 - width / 2, 10, width, 20]
        assert outcome(toolkit, benchmark, TRUTH, changed(2, same_centre)) == what


def outcome(toolkit: str, benchmark: str, truth: Array, boxes: Array, **labels: list[int]) -> str:
    """Of frame 2, beside good frames and a bad one."""
    boxes = np.concatenate([boxes[:3], [AWAY]])
    try:
        curves = score(toolkit, [sequence(truth, labels=labels)], {"walk": boxes}, benchmark=benchmark).curves
    except DataError:
        return "?"
    good = 1 if toolkit == "got10k-ao" else 2  # without the first frame
    told = {good / (good + 2): "m", (good + 1) / (good + 2): "h", good / (good + 1): "-"}
    return "".join(told[curve.values[0, 0 if name == "success" else 20]] for name, curve in curves.items())


def test_rows_that_are_no_boxes_are_replaced_by_the_last_that_was() -> None:
    lost = TRUTH + np.array([[0.0], [100], [0], [0]])
    lost[2:, 2] = 0  # both get the second row's box, which is far off
    for toolkit in ("lasot", "pytracking"):
        assert one(toolkit, TRUTH, lost)["success"] == pytest.approx(1 / 4 * STRICT)
        assert one(toolkit, TRUTH, lost)["precision"] == 1 / 4


# ... of the first frame, of lengths, of missing results


@pytest.mark.parametrize("toolkit", TOOLKITS)
def test_the_given_frame_is_judged_or_not(toolkit: str) -> None:
    found = one(toolkit, TRUTH, changed(0, AWAY))
    if toolkit in ("plain", "pysot"):
        assert found["success"] == pytest.approx(3 / 4 * STRICT)
        assert found["precision"] == 3 / 4
    else:
        assert found == pytest.approx(one(toolkit, TRUTH, TRUTH))


@pytest.mark.parametrize(
    ("toolkit", "benchmark", "longer", "shorter"),
    [
        ("plain", "", None, None),
        ("pysot", "", None, None),
        ("pytracking", "otb2015", 1, 3 / 4),
        ("pytracking", "lasot", 1, None),
        ("got10k", "otb2015", 1, 1),
        ("otb", "", 1, 1),
        ("lasot", "", 1, None),
        ("got10k-ao", "", None, None),
        ("trackingnet", "", None, None),
    ],
)
def test_results_of_another_length(toolkit: str, benchmark: str, longer: float | None, shorter: float | None) -> None:
    truth = TRUTH + 100  # far from the rows of zeros
    for boxes, precise in ((np.concatenate([truth, [AWAY]]), longer), (truth[:3], shorter)):
        if precise is None:
            told = f"walk: {len(boxes)} rows in the result, but 4 in the annotation.*: pytracking, got10k, otb"
            with pytest.raises(DataError, match=told):
                one(toolkit, truth, boxes, benchmark)
        else:
            assert one(toolkit, truth, boxes, benchmark)["precision"] == precise


@pytest.mark.parametrize("toolkit", [name for name in TOOLKITS if name != "trackingnet"])
def test_sequences_without_a_result_are_named(toolkit: str) -> None:
    sequences = [sequence(TRUTH, name) for name in ("a", "b", "c")]
    with pytest.raises(DataError, match="no results of 2 of 3 sequences: a, c"):
        score(toolkit, sequences, {"b": TRUTH})


# ... of thresholds and rounding


def test_otb_rounds_distances() -> None:
    almost = changed(2, [30.00004, 10, 20, 20])
    assert one("otb", TRUTH, almost)["precision"] == 1
    assert one("pysot", TRUTH, almost)["precision"] == 3 / 4


def test_an_overlap_of_three_tenths_is_above_that_in_otb_alone() -> None:
    truth, boxes = np.array([[1.0, 1.0, 10.0, 2.0]] * 2), np.array([[1.0, 1.0, 10.0, 0.6]] * 2)
    assert overlap(boxes, truth)[0] == 6 * 0.05 > 6 / 20  # in floating point
    assert score("otb", [sequence(truth)], {"walk": boxes}).curves["success"].values[0, 6] == 1
    assert score("got10k", [sequence(truth)], {"walk": boxes}).curves["success"].values[0, 6] == 1 / 2


def test_got10k_has_the_mean_of_the_normalised_precision_on_lasot() -> None:
    aside = changed(2, [15, 10, 20, 20])  # by a quarter of its width
    found = one("got10k", TRUTH, aside, "lasot")
    assert found["norm_precision"] == pytest.approx((3 + 26 / 51) / 4)  # thresholds of 0.25 to 0.5
    assert "norm_precision" not in one("got10k", TRUTH, aside, "otb2015")


def test_got10k_divides_by_one_pixel_at_least() -> None:
    truth = np.array([[5.0, 5.0, 0.5, 0.5]] * 2)
    boxes = truth + np.array([[0.0, 0, 0, 0], [0.25, 0, 0, 0]])
    found = score("got10k", [sequence(truth)], {"walk": boxes}, benchmark="lasot")
    assert found.curves["norm_precision"].values[0, [24, 25]].tolist() == [1 / 2, 1]


def test_pytracking_can_leave_invalid_frames_out_of_the_denominator() -> None:
    truth = [sequence(changed(2, NO_SIZE))]
    found = score("pytracking", truth, {"walk": TRUTH}, benchmark="uav123", exclude_invalid_frames=True).summary
    assert found["success"] == pytest.approx(STRICT)
    assert found["precision"] == 4 / 3  # the odd frame is a hit all the same


def test_trackingnet_rounds_and_takes_the_areas_under_the_curves() -> None:
    rounds_to_truth = changed(2, [10.4, 9.5, 20.4, 20.5])  # halves go to the even number
    found = one("trackingnet", TRUTH, rounds_to_truth)
    assert found == {"success": 1, "precision": 1, "norm_precision": 1, "coverage": 1}
    half = one("trackingnet", TRUTH, changed(2, [20, 10, 10, 20]))
    assert half["success"] == pytest.approx(3 / 4 + 1 / 4 * (10 + 1 / 2) / 20)  # thresholds 0 to 0.5, and half a step
    assert half["precision"] == pytest.approx(3 / 4 + 1 / 4 * (18 + 1 / 2) / 20)  # 5 pixels and more
    assert half["norm_precision"] == pytest.approx(3 / 4 + 1 / 4 * (10 + 1 / 2) / 20)  # a quarter and more


def test_trackingnet_takes_a_missing_file_for_zeros() -> None:
    truth = [sequence(TRUTH, "a"), sequence(TRUTH[:2] + 100, "b")]
    found = score("trackingnet", truth, {"a": TRUTH})
    assert found.per_sequence["precision"].tolist() == [1, 1 / 2]
    assert found.per_sequence["coverage"].tolist() == [1, 1 / 2]
    assert found.summary["coverage"] == 5 / 6  # of all rows
    assert found.summary["precision"] == 3 / 4  # of sequences


# GOT-10k

HALF = np.concatenate([TRUTH[:1], TRUTH[1:] * [1, 1, 0.5, 1]])


def test_average_overlap_is_of_all_frames_together() -> None:
    long = np.repeat(TRUTH[:1], 10, axis=0)
    found = score("got10k-ao", [sequence(TRUTH, "short"), sequence(long, "long")], {"short": HALF, "long": long})
    assert found.per_sequence["ao"].tolist() == [0.5, 1]
    assert found.summary["ao"] == pytest.approx((3 * 0.5 + 9) / 12)  # without the first frames
    assert found.summary["sr50"] == pytest.approx(9 / 12)  # strictly above
    assert found.curves["success"].mean[[49, 50]] == pytest.approx([1, 9 / 12])
    assert found.subset(["short"]).summary["ao"] == 0.5


def test_average_overlap_of_repetitions() -> None:
    truth = [sequence(TRUTH, "a"), sequence(TRUTH, "b")]
    found = score("got10k-ao", truth, {"a": np.array([HALF, TRUTH, TRUTH]), "b": HALF})
    assert found.per_sequence["ao"] == pytest.approx([2.5 / 3, 0.5])
    assert found.summary["ao"] == pytest.approx((2.5 + 0.5) / 4)  # each run is as long


def test_average_overlap_leaves_out_covered_targets() -> None:
    assert one("got10k-ao", TRUTH, changed(2, AWAY), cover=[8, 8, 0, 1])["ao"] == 1
    with pytest.raises(DataError, match="walk: the target is in none of the frames that count"):
        one("got10k-ao", TRUTH, TRUTH, cover=[8, 0, 0, 0])


def test_average_overlap_is_of_boxes_inside_the_picture() -> None:
    left = changed(1, [-30, 10, 20, 20])  # moves in and keeps its size
    assert one("got10k-ao", changed(1, [0, 10, 20, 20]), left)["ao"] == 1
    right = changed(1, [390, 10, 20, 20])  # is cut
    assert one("got10k-ao", changed(1, [390, 10, 10, 20]), right)["ao"] == 1
    with pytest.raises(DataError, match="walk: the size of its pictures is not known"):
        score("got10k-ao", [Sequence("walk", (Path(),) * 4, TRUTH)], {"walk": TRUTH})


# Parts


def three() -> Scores:
    sequences = [sequence(TRUTH, "a", "FM OCC"), sequence(TRUTH, "b", "OCC"), sequence(TRUTH, "c")]
    return score("plain", sequences, {"a": TRUTH, "b": changed(2, AWAY), "c": TRUTH})


def test_a_subset_has_the_order_it_is_asked_in() -> None:
    part = three().subset(["c", "b"])
    assert part.names == ("c", "b")
    assert part.per_sequence["precision"].tolist() == [1, 3 / 4]
    assert part.summary["precision"] == 7 / 8
    assert part.curves["precision"].mean[0] == 7 / 8


@pytest.mark.parametrize(("names", "says"), [(["a", "d"], "no scores of d"), ([], "name one or more")])
def test_a_subset_of_strangers_or_of_none_is_an_error(names: list[str], says: str) -> None:
    with pytest.raises(DataError, match=says):
        three().subset(names)


def test_scores_by_attribute() -> None:
    parts = three().by_attribute()
    assert {name: part.names for name, part in parts.items()} == {"FM": ("a",), "OCC": ("a", "b")}
    assert parts["OCC"].summary["precision"] == 7 / 8


# Bad input


def test_an_unknown_toolkit_names_those_near() -> None:
    with pytest.raises(DataError, match="unknown toolkit 'pysott'; did you mean pysot"):
        score("pysott", [sequence(TRUTH)], {"walk": TRUTH})


def test_an_option_of_pytracking_alone() -> None:
    with pytest.raises(DataError, match="only pytracking"):
        score("pysot", [sequence(TRUTH)], {"walk": TRUTH}, exclude_invalid_frames=True)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        (TRUTH[:, :3], r"walk: a result of shape \(4, 3\)"),
        (TRUTH[0], r"walk: a result of shape \(4,\)"),
        (np.empty((0, 4, 4)), r"walk: a result of shape \(0, 4, 4\)"),
        (TRUTH[:0], "walk: an empty result for 4 frames"),
    ],
)
def test_results_that_are_no_boxes(boxes: Array, says: str) -> None:
    with pytest.raises(DataError, match=says):
        one("otb", TRUTH, boxes)


@pytest.mark.parametrize(
    ("boxes", "says"),
    [
        ("abc", "walk: its result is no array of numbers but of <U3"),
        (None, "walk: its result is no array of numbers but of object"),
        ([["a"] * 4] * 4, "walk: its result is no array of numbers"),
        ([[None] * 4] * 4, "walk: its result is no array of numbers but of object"),
        (TRUTH + 1j, "walk: its result is no array of numbers but of complex128"),
        ([[1, 2, 3, 4], [1, 2]], "walk: its result is no array: "),
        ([TRUTH, TRUTH[:2]], "walk: its result is no array: "),
        (TRUTH[None, None], r"walk: a result of shape \(1, 1, 4, 4\)"),
    ],
)
def test_a_result_that_is_no_array_of_numbers(boxes: Any, says: str) -> None:
    with pytest.raises(DataError, match=says) as caught:
        one("plain", TRUTH, boxes)
    assert "\n" not in str(caught.value)


def test_lists_and_whole_numbers_do_as_well() -> None:
    expected = one("pysot", TRUTH, TRUTH)
    for truth, boxes in ((TRUTH.tolist(), TRUTH.tolist()), (TRUTH.astype(int), TRUTH.astype(np.float32))):
        walk = Sequence("walk", (), truth, labels={"absent": [0, 0, 0, 0]})  # type: ignore[dict-item]
        assert score("pysot", [walk], {"walk": boxes}).summary == expected  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("truth", "says"),
    [
        (TRUTH[0], r"walk: an annotation of shape \(4,\)"),
        (TRUTH[:, :3], r"walk: an annotation of shape \(4, 3\)"),
        (None, "walk: its annotation is no array of numbers but of object"),
        (changed(2, [1.0, 2, np.inf, 4]), "walk: row 3 of its annotation, 1,2,inf,4, is infinite"),
    ],
)
def test_a_truth_that_is_none(truth: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        score("plain", [Sequence("walk", (), truth)], {"walk": TRUTH})


def test_what_is_no_sequence_and_no_results_is_told() -> None:
    walk: Any = Sequence("walk", (), TRUTH)
    results: Any = TRUTH
    with pytest.raises(DataError, match="sequences should be a list of them, or a benchmark, not Sequence"):
        score("plain", walk, {"walk": TRUTH})
    with pytest.raises(DataError, match=r"a sequence should be evaluation\.Sequence, not str"):
        score("plain", ["walk"], {"walk": TRUTH})  # type: ignore[list-item]
    with pytest.raises(DataError, match="results should be boxes by the name of their sequence, not ndarray"):
        score("plain", [walk], results)
    with pytest.raises(DataError, match="two sequences are called 'walk'"):
        score("plain", [walk, walk], {"walk": TRUTH})
    with pytest.raises(DataError, match="no results of 1 of 1 sequences: walk"):
        score("plain", [walk], {"run": TRUTH})


def test_a_row_that_a_toolkit_rejects_is_numbered() -> None:
    with pytest.raises(DataError, match="walk: NaN or a negative size in row 3"):
        one("pytracking", TRUTH, changed(2, NOTHING))


def test_nothing_to_score() -> None:
    with pytest.raises(DataError, match="no sequence"):
        score("plain", [], {})


@pytest.mark.parametrize("toolkit", TOOLKITS)
def test_a_hidden_annotation_cannot_be_scored(toolkit: str) -> None:
    with pytest.raises(DataError, match="walk: its annotation is not public"):
        score(toolkit, [Sequence("walk", (Path(),) * 4, TRUTH[:1])], {"walk": TRUTH})


def test_labels_of_another_length_are_an_error() -> None:
    with pytest.raises(DataError, match="walk: 3 labels 'absent' for 4 frames"):
        one("pysot", TRUTH, TRUTH, absent=[0, 0, 1])
