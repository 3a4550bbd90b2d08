import numpy as np
import pytest

from lockon.evaluation.metrics import centre_error, overlap, precision, success_auc

TRUTH = np.array([[10.0, 10.0, 20.0, 20.0]] * 4)


def test_a_perfect_track_scores_all_but_the_last_threshold() -> None:
    assert success_auc(TRUTH, TRUTH) == pytest.approx(20 / 21)  # nothing is strictly above an overlap of 1
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
    truth = TRUTH.copy()
    truth[2] = np.nan
    strayed = TRUTH.copy()
    strayed[2] = 0
    assert success_auc(strayed, truth) == success_auc(TRUTH, TRUTH)
    assert precision(strayed, truth) == 1
    assert overlap(strayed, truth).tolist() == [1, 1, 0, 1]
