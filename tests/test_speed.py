"""Frames per second, as each toolkit tells it."""

import numpy as np
import pytest

from lockon.evaluation import speed

FAST, SLOW = np.array([0.4, 0.1, 0.1]), np.array([1.0, 0.5])


def test_toolkits_tell_other_speeds_of_the_same_times() -> None:
    assert speed.sequence_rate(FAST) == pytest.approx((2.5 + 10 + 10) / 3)
    assert speed.got10k([FAST, SLOW]) == pytest.approx(((2.5 + 10 + 10) / 3 + (1 + 2) / 2) / 2)
    assert speed.got10k_ao([FAST, SLOW]) == pytest.approx((2.5 + 10 + 10 + 1 + 2) / 5)
    assert speed.pytracking([FAST, SLOW]) == pytest.approx(5 / 2.1)
    assert speed.pysot([FAST, SLOW]) == pytest.approx(3 / 2.1)


@pytest.mark.parametrize("tell", [speed.got10k, speed.got10k_ao, speed.pytracking, speed.pysot])
def test_frames_that_nobody_timed_do_not_count(tell: object) -> None:
    assert callable(tell)
    odd = np.array([0.4, 0.0, 0.1, np.nan, 0.1, -1])
    assert tell([odd, SLOW, np.array([np.nan])]) == tell([FAST, SLOW])
    assert np.isnan(tell([np.zeros(3)]))
    assert np.isnan(tell([]))


def test_repetitions_are_columns() -> None:
    assert speed.got10k_ao([np.stack([FAST, FAST], 1), SLOW]) == pytest.approx((2 * 22.5 + 3) / 8)
    assert np.isnan(speed.sequence_rate(np.array([0.0, np.nan])))
