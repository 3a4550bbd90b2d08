"""Frames per second as the toolkits tell it, from the seconds that each frame took.

They differ: the mean of 1/t (got10k, GOT-10k) is above the frames over the total time (pytracking, pysot), the more so
the more the times vary. Times are (T,) of a sequence, or (T, R) of R repetitions. A time of 0, less, or NaN is of a
frame that was not timed; where none was, the speed is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from lockon.evaluation.sequences import Array


def sequence_rate(seconds: Array) -> float:
    """Mean of 1/t over the frames of one sequence, as got10k and GOT-10k tell it."""
    rates = _rates(seconds)
    return float(rates.mean()) if len(rates) else math.nan


def got10k(seconds: Iterable[Array]) -> float:
    """Mean over sequences of their ``sequence_rate``: got10k on OTB, UAV123, NfS, LaSOT."""
    rates = [sequence_rate(one) for one in seconds if len(_timed(one))]
    return float(np.mean(rates)) if rates else math.nan


def got10k_ao(seconds: Iterable[Array]) -> float:
    """Mean of 1/t over the frames of all sequences together: GOT-10k."""
    rates = np.concatenate([np.empty(0), *map(_rates, seconds)])
    return float(rates.mean()) if len(rates) else math.nan


def pytracking(seconds: Iterable[Array]) -> float:
    """Frames over total time; the first frame, with the start of the tracker, is one of them."""
    timed = [_timed(one) for one in seconds]
    total = float(sum(one.sum() for one in timed))
    return sum(map(len, timed)) / total if total else math.nan


def pysot(seconds: Iterable[Array]) -> float:
    """Frames but each sequence's first over total time, in which the start of the tracker is; without reading files."""
    timed = [one for one in map(_timed, seconds) if len(one)]
    total = float(sum(one.sum() for one in timed))
    return sum(len(one) - 1 for one in timed) / total if total else math.nan


def _timed(seconds: Array) -> Array:
    return seconds[seconds > 0]


def _rates(seconds: Array) -> Array:
    return 1 / _timed(seconds)
