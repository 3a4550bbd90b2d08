"""Scores of VOT's experiments, by hand: what counts, what fails, and how result folders are read."""

from __future__ import annotations

from collections.abc import Sequence as Rows
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockon.errors import DataError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.overlaps import Toolkit
from lockon.evaluation.region_files import write_regions
from lockon.evaluation.regions import FAILED, NOTHING, STARTED, Rectangle, Region
from lockon.evaluation.sequences import Sequence

HIT, HALF, MISS = Rectangle(10, 10, 20, 20), Rectangle(10, 10, 20, 10), Rectangle(60, 60, 20, 20)
SIZE = (100, 100)


def sequence(length: int, name: str = "a", **labels: Rows[int]) -> Sequence:
    """The target stays where ``HIT`` is."""
    boxes = np.tile([10.0, 10, 20, 20], (length, 1))
    return Sequence(name, (), boxes, labels={key: np.array(value) for key, value in labels.items()}, size=SIZE)


# Supervised


def test_a_run_starts_anew_five_frames_after_a_failure() -> None:
    answers: list[Region] = [HIT, HIT, MISS, *[HIT] * 6]
    started: list[int] = []
    tokens = supervised.run([HIT] * 9, SIZE, started.append, answers.__getitem__)
    assert tokens == [STARTED, HIT, FAILED, NOTHING, NOTHING, NOTHING, NOTHING, STARTED, HIT]
    assert started == [0, 7]


def test_a_run_may_end_before_it_starts_anew() -> None:
    assert supervised.run([HIT] * 3, SIZE, lambda _: None, lambda _: MISS) == [STARTED, FAILED, NOTHING]


def test_the_toolkits_disagree_on_touching_boxes() -> None:
    beside, grown = Rectangle(30.4, 10, 20, 20), Rectangle(10, 10, 20.4, 20)  # apart in pixels, not in corners
    assert supervised.run([grown] * 2, SIZE, lambda _: None, lambda _: beside, "vot")[1] == FAILED
    assert supervised.run([grown] * 2, SIZE, lambda _: None, lambda _: beside, "pysot")[1] == beside


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_a_perfect_tracker(toolkit: Toolkit) -> None:
    run: list[Region] = [STARTED, *[HIT] * 49]
    found = supervised.score([sequence(50), sequence(50, "b")], {"a": [run], "b": [run]}, (10, 40), toolkit)
    assert found.names == ("a", "b")
    assert (found.accuracy, found.failures, found.eao) == (1, 0, 1)
    assert found.robustness == (0 if toolkit == "pysot" else 1)


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_ten_frames_from_a_start_do_not_count_for_accuracy(toolkit: Toolkit) -> None:
    run: list[Region] = [STARTED, *[HIT] * 9, *[HALF] * 10]
    found = supervised.score([sequence(20)], {"a": [run]}, (2, 10), toolkit)
    assert found.accuracy == pytest.approx(0.5, abs=0.03)  # pysot's boxes have one pixel more on either side


def test_failures_and_robustness() -> None:
    run: list[Region] = [STARTED, *[HIT] * 10, FAILED, *[NOTHING] * 4, STARTED, *[HIT] * 83]
    runs: supervised.Runs = {"a": [run, [STARTED, *[HIT] * 99]], "b": [[STARTED, *[HIT] * 299]]}
    sequences = [sequence(100), sequence(300, "b")]
    pysot, vot = (supervised.score(sequences, runs, (10, 40), toolkit) for toolkit in ("pysot", "vot"))
    assert (pysot.failures, pysot.robustness) == (0.5, 100 * 0.5 / 400)
    assert vot.failures == 0.5 * 100 / 400
    assert vot.robustness == pytest.approx(np.exp(-30 * 0.125 / 200))
    assert vot.sequence_failures["a"].tolist() == [1, 0]


def test_expected_average_overlap_after_a_failure_is_zero() -> None:
    run: list[Region] = [STARTED, *[HIT] * 4, FAILED, *[NOTHING] * 4, STARTED, *[HIT] * 9]
    found = supervised.score([sequence(20)], {"a": [run]}, (1, 9), "vot")
    # Frames 1 to 4 of the first segment are hits, and of the second all.
    np.testing.assert_allclose(found.curve, [0, 1, 1, 1, 1, 0.9, 5 / 6, 11 / 14, 0.75, 13 / 18])
    assert found.eao == pytest.approx(found.curve[1:10].mean())


def test_tags_weigh_segments() -> None:
    tags = [0] * 20 + [1] * 20
    sequences = [sequence(40, occlusion=tags), sequence(40, "b", occlusion=[0] * 40)]
    runs: supervised.Runs = {"a": [[STARTED, *[HALF] * 39]], "b": [[STARTED, *[HIT] * 39]]}
    found = supervised.score(sequences, runs, (5, 20), "pysot")
    alone = supervised.score(sequences[:1], runs, (5, 20), "pysot")
    assert found.tags["occlusion"] == alone.eao
    assert found.tags.keys() == {"occlusion", "empty"}
    assert found.tags["empty"] == pytest.approx((alone.eao * 0.5 + 1) / 1.5)


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_a_run_that_only_fails(toolkit: Toolkit) -> None:
    run: list[Region] = [STARTED, FAILED, *[NOTHING] * 4] * 4
    found = supervised.score([sequence(24)], {"a": [run]}, (2, 10), toolkit)
    assert found.eao == 0
    assert found.sequence_failures["a"].tolist() == [4]
    assert np.isnan(found.accuracy) if toolkit == "pysot" else found.accuracy == 0


def test_runs_of_the_wrong_length() -> None:
    long: supervised.Runs = {"a": [[STARTED, *[HIT] * 29]]}
    assert supervised.score([sequence(20)], long, (2, 10), "pysot").eao == 1  # pysot takes what the truth has
    with pytest.raises(DataError, match="a, run 1: 30 regions for 20 frames"):
        supervised.score([sequence(20)], long, (2, 10), "vot")
    with pytest.raises(DataError, match="a, run 1: 30 regions for 40 frames"):
        supervised.score([sequence(40)], long, (2, 10), "pysot")
    with pytest.raises(DataError, match="a, run 1: does not begin with a start"):
        supervised.score([sequence(20)], {"a": [[HIT] * 20]}, (2, 10), "vot")
    with pytest.raises(DataError, match="b: no runs"):
        supervised.score([sequence(20, "b")], long, (2, 10), "vot")
    with pytest.raises(DataError, match="no sequences"):
        supervised.score([], long, (2, 10), "vot")


def test_reading_supervised_runs(tmp_path: Path) -> None:
    run: list[Region] = [STARTED, HIT, FAILED]
    for number in (2, 1):
        write_regions(tmp_path / "a" / f"a_{number:03d}.txt", [*run, *[NOTHING] * number])
    (tmp_path / "a" / "a_001_time.value").write_text("0.1\n")
    (tmp_path / "a" / "a_001.txt.bak").write_text("old")
    write_regions(tmp_path / "a" / "a_003.bin", [*run, NOTHING, NOTHING])
    both = {"a": [[*run, NOTHING], [*run, NOTHING, NOTHING], [*run, NOTHING, NOTHING]]}
    assert supervised.read_runs(tmp_path, ["a"]) == both
    write_regions(tmp_path / "a" / "a_002.bin", [*run, NOTHING, NOTHING])
    with pytest.raises(DataError, match=r"a_002.txt and a_002.bin are of one run, and one alone can count"):
        supervised.read_runs(tmp_path, ["a"])
    with pytest.raises(DataError, match=r"b: no runs; expected b_001.txt"):
        supervised.read_runs(tmp_path, ["b"])


# Any runs have scores between 0 and 1 that do not depend on the order of the sequences


ANSWERS = st.lists(st.sampled_from([HIT, HALF, MISS]), min_size=40, max_size=40)


@settings(deadline=None)
@given(ANSWERS, ANSWERS, st.sampled_from(["pysot", "vot"]))
def test_supervised_scores_of_any_runs(a: list[Region], b: list[Region], toolkit: Toolkit) -> None:
    runs = {
        name: [supervised.run([HIT] * 40, SIZE, lambda _: None, answers.__getitem__, toolkit)]
        for name, answers in (("a", a), ("b", b))
    }
    sequences = [sequence(40), sequence(40, "b")]
    found = supervised.score(sequences, runs, (5, 30), toolkit)
    again = supervised.score(sequences[::-1], runs, (5, 30), toolkit)
    assert np.isnan(found.accuracy) or 0 <= found.accuracy <= 1
    assert 0 <= found.eao <= 1
    assert found.failures >= 0
    assert (again.accuracy, again.eao) == pytest.approx((found.accuracy, found.eao), nan_ok=True)
    np.testing.assert_allclose(again.curve, found.curve)


@settings(deadline=None)
@given(ANSWERS, ANSWERS)
def test_multistart_scores_of_any_runs(a: list[Region], b: list[Region]) -> None:
    sequences = [anchored(), replace(anchored(), name="b")]
    runs = {name: {0: answers, 30: answers[:31]} for name, answers in (("a", a), ("b", b))}
    found = multistart.score(sequences, runs, (5, 30))
    again = multistart.score(sequences[::-1], runs, (5, 30))
    for value, same in zip(
        (found.accuracy, found.robustness, found.eao), (again.accuracy, again.robustness, again.eao), strict=True
    ):
        assert 0 <= value <= 1
        assert value == pytest.approx(same)


@settings(deadline=None)
@given(ANSWERS, st.lists(st.floats(0, 1), min_size=40, max_size=40), st.sampled_from(["pysot", "vot"]))
def test_longterm_scores_of_any_run(answers: list[Region], confidence: list[float], toolkit: Toolkit) -> None:
    run = longterm.LongtermRun(answers, np.array(confidence))
    found = longterm.score([sequence(40)], {"a": run}, toolkit)
    assert found.f_score == found.f_curve.max()
    assert 0 <= found.f_score <= 1
    assert (np.diff(found.recall_curve[:-1]) >= 0).all()  # pysot's last threshold has a rule of its own


# Multi-start


def anchored(length: int = 40) -> Sequence:
    anchors = np.zeros(length, np.int64)
    anchors[[0, 30]] = 1, -1
    return sequence(length, anchor=anchors.tolist())


def test_runs_go_forward_or_backward() -> None:
    frames = multistart.run_frames(anchored())
    assert frames[0].tolist() == list(range(40))
    assert frames[30].tolist() == list(range(30, -1, -1))
    with pytest.raises(DataError, match=r"a: no anchors; expected anchor.value"):
        multistart.run_frames(sequence(5))


def test_scores_of_runs_from_anchors() -> None:
    forward: list[Region] = [STARTED, *[HIT] * 9, *[MISS] * 30]  # lost at frame 10
    backward: list[Region] = [STARTED, *[HALF] * 30]
    found = multistart.score([anchored()], {"a": {0: forward, 30: backward}}, (5, 20))
    first, second = found.runs["a"]
    assert (first.progress, first.failed) == (10, True)
    assert (second.progress, second.failed) == (31, False)
    assert found.accuracy == pytest.approx((9 + 15) / 41)
    assert found.robustness == pytest.approx(41 / 71)
    assert found.curve[9] == pytest.approx((1 + 0.5) / 2)
    assert found.curve[18] == pytest.approx((0.5 + 0.5) / 2)
    assert found.eao == pytest.approx(found.curve[5:].mean())


def test_nine_bad_frames_are_no_failure_and_an_absent_target_starts_the_count_again() -> None:
    nine: list[Region] = [STARTED, HIT, *[MISS] * 9, *[HIT] * 29]
    target = anchored()
    found = multistart.score([target], {"a": {0: nine, 30: [STARTED, *[HIT] * 30]}})
    assert not found.runs["a"][0].failed
    boxes = target.boxes.copy()
    boxes[11] = np.nan
    twenty: list[Region] = [STARTED, HIT, *[MISS] * 18, *[HIT] * 20]  # nine before the absent frame, eight after it
    found = multistart.score([replace(target, boxes=boxes)], {"a": {0: twenty, 30: [STARTED, *[HIT] * 30]}})
    assert not found.runs["a"][0].failed


def test_runs_from_anchors_are_complete() -> None:
    with pytest.raises(DataError, match="a, run from 30: 0 regions for 31 frames"):
        multistart.score([anchored()], {"a": {0: [STARTED, *[HIT] * 39]}})
    with pytest.raises(DataError, match="no sequences"):
        multistart.score([], {})


def test_reading_runs_from_anchors(tmp_path: Path) -> None:
    write_regions(tmp_path / "a" / "a_00000000.txt", [STARTED, HIT])
    with pytest.raises(DataError, match=r"a_00000030.txt is missing"):
        multistart.read_runs(tmp_path, [anchored()])
    write_regions(tmp_path / "a" / "a_00000030.bin", [STARTED, HALF])
    assert multistart.read_runs(tmp_path, [anchored()]) == {"a": {0: [STARTED, HIT], 30: [STARTED, HALF]}}


# Long-term


def with_absence() -> Sequence:
    target = sequence(10)
    target.boxes[6:8] = np.nan
    return target


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_longterm_precision_and_recall(toolkit: Toolkit) -> None:
    # Sure of five hits, less sure of a miss and of two answers while the target is away.
    regions: list[Region] = [STARTED, *[HIT] * 5, MISS, MISS, MISS, HIT]
    confidence = np.array([np.nan, 0.9, 0.9, 0.9, 0.9, 0.9, 0.2, 0.2, 0.3, 0.1])
    found = longterm.score([with_absence()], {"a": longterm.LongtermRun(regions, confidence)}, toolkit)
    assert found.thresholds[found.best] == 0.9
    assert (found.precision, found.recall) == (1, 5 / 8)
    assert found.f_score == pytest.approx(2 * 0.625 / 1.625)


def test_no_output_while_the_target_is_away_is_right_in_the_vot_toolkit() -> None:
    run = longterm.LongtermRun([STARTED, *[HIT] * 5, NOTHING, NOTHING, HIT, HIT], np.ones(10))
    assert longterm.score([with_absence()], {"a": run}, "vot").overlaps["a"][6:8].tolist() == [1, 1]
    assert longterm.score([with_absence()], {"a": run}, "pysot").overlaps["a"][6:8].tolist() == [0, 0]


def test_a_tracker_that_is_never_sure() -> None:
    run = longterm.LongtermRun([STARTED, *[MISS] * 9], np.full(10, np.nan))
    for toolkit in ("pysot", "vot"):
        found = longterm.score([with_absence()], {"a": run}, toolkit)
        assert (found.f_score, found.recall) == (0, 0)


def test_longterm_runs_of_the_wrong_length() -> None:
    run = longterm.LongtermRun([STARTED, *[HIT] * 9], np.ones(8))
    with pytest.raises(DataError, match="a: 10 regions and 8 confidences for 10 frames"):
        longterm.score([with_absence()], {"a": run})
    with pytest.raises(DataError, match="a: 0 regions and 0 confidences for 10 frames"):
        longterm.score([with_absence()], {})
    with pytest.raises(DataError, match="no sequences"):
        longterm.score([], {})


def test_reading_longterm_runs(tmp_path: Path) -> None:
    write_regions(tmp_path / "a" / "a_001.txt", [STARTED, HIT])
    values = tmp_path / "a" / "a_001_confidence.value"
    values.write_text("\n0.5\n")
    run = longterm.read_runs(tmp_path, ["a"])["a"]
    assert run.regions == [STARTED, HIT]
    np.testing.assert_array_equal(run.confidence, [np.nan, 0.5])
    values.write_text("\nhigh\n")
    with pytest.raises(DataError, match=r"a_001_confidence.value, line 2: 'high' is not a number"):
        longterm.read_runs(tmp_path, ["a"])
    for none in ("nan", "1_0", "0.5,0.5"):
        values.write_text(f"\n{none}\n")
        with pytest.raises(DataError, match=rf"a_001_confidence.value, line 2: '{none}' is not a number"):
            longterm.read_runs(tmp_path, ["a"])
    values.write_bytes(b"\xef\xbb\xbf\r\n0.5\r\n")  # as an editor on Windows saves it
    np.testing.assert_array_equal(longterm.read_runs(tmp_path, ["a"])["a"].confidence, [np.nan, 0.5])
    values.unlink()
    with pytest.raises(DataError, match=r"a_001_confidence.value is missing"):
        longterm.read_runs(tmp_path, ["a"])


@pytest.mark.parametrize("name", ["../a", "/a", "a/b", "..", "a\nb"])
def test_a_name_that_is_a_path_is_not_read_from(tmp_path: Path, name: str) -> None:
    write_regions(tmp_path / "a" / "a_001.txt", [STARTED])
    strange = replace(anchored(), name=name)
    for read in (
        lambda: supervised.read_runs(tmp_path / "b", [name]),
        lambda: longterm.read_runs(tmp_path / "b", [name]),
        lambda: multistart.read_runs(tmp_path / "b", [strange]),
    ):
        with pytest.raises(DataError, match=r"results in .*(is a path|is no name|characters that no name has)"):
            read()


def test_a_name_with_wildcards_is_a_name(tmp_path: Path) -> None:
    write_regions(tmp_path / "[a]*" / "[a]*_001.txt", [STARTED])
    write_regions(tmp_path / "[a]*" / "ab_002.txt", [HIT])
    assert supervised.read_runs(tmp_path, ["[a]*"]) == {"[a]*": [[STARTED]]}


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_infinite_confidence_is_above_any_other(toolkit: Toolkit) -> None:
    sure = longterm.LongtermRun([STARTED, *[HIT] * 9], np.array([np.nan, np.inf, *[0.5] * 7, -np.inf]))
    found = longterm.score([sequence(10)], {"a": sure}, toolkit)
    assert found.recall_curve[0] == 0.1  # at a threshold of infinity
    assert found.precision_curve[0] == 1
