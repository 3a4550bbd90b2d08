"""Which frames of a video make a training example, as draws in 0 to 1 decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

from lockon.errors import DataError

Item = TypeVar("Item")
WIDER = 5  # frames by which the reach grows after a failed try


class Trident(NamedTuple):
    """Frame numbers of a first template, a dynamic template and a search patch."""

    template: int
    dynamic: int
    search: int


def pick_trident(visible: Sequence[bool] | np.ndarray, draws: Sequence[float], max_gap: int) -> Trident:
    """STARK-ST's frames: template and search wherever the target is visible, the dynamic template near the search.

    The dynamic template is less than ``max_gap`` frames from the search frame, on the side that the template is not
    on (after it, the search frame included, or up to ``max_gap`` before it), whether the target is visible or not.

    Args:
        visible: per frame of the video.
        draws: three numbers in 0 to 1 (excluded), for template, search and dynamic template.

    Raises:
        DataError: the target is never visible.
    """
    seen = np.flatnonzero(visible).tolist()
    if not seen:
        raise DataError("no frame of this video shows the target")
    template, search = pick(seen, draws[0]), pick(seen, draws[1])
    if template >= search:
        near = range(search, min(search + max_gap, len(visible)))
    else:
        near = range(max(search - max_gap, 0), search)
    return Trident(template, pick(near, draws[2]), search)


def draw_trident(visible: Sequence[bool] | np.ndarray, max_gap: int, rng: Generator) -> Trident:
    """``pick_trident`` with draws from a generator."""
    return pick_trident(visible, rng.random(3).tolist(), max_gap)


def pick_in_order(
    visible: Sequence[bool] | np.ndarray, draws: Iterable[Sequence[float]], max_gap: int, count: int
) -> tuple[int, ...]:
    """Frames in time order that show the target: template and search of STARK-S, OSTrack and GRM; or the earlier
    reference, the later one and the search of AiATrack.

    The last but one is drawn from all, the search from those less than ``max_gap`` after it, and the first of three
    from those at most ``max_gap`` before it. Where there is none, all are drawn anew, with five frames more of reach.

    Args:
        visible: per frame of the video.
        draws: rows of ``count`` numbers in 0 to 1 (excluded): for the last but one, the search and the first.
        count: 2 or 3.

    Raises:
        DataError: fewer than ``count`` frames show the target, or no row gives an example.
    """
    seen = np.flatnonzero(visible)
    last = len(visible) - 1
    bases = seen[(seen >= count - 2) & (seen < last)].tolist()
    if len(seen) >= count and bases:
        for tries, row in enumerate(draws):
            reach, base = max_gap + WIDER * tries, pick(bases, row[0])
            after = seen[(seen > base) & (seen < base + reach)].tolist()
            before = seen[(seen < base) & (seen >= base - reach)].tolist()
            if after and (before or count == 2):
                first = (pick(before, row[2]),) if count == 3 else ()
                return *first, base, pick(after, row[1])
    raise DataError(f"no {count} frames in order show the target of this video")


def draw_in_order(visible: Sequence[bool] | np.ndarray, max_gap: int, count: int, rng: Generator) -> tuple[int, ...]:
    """``pick_in_order`` with draws from a generator, as many as it takes to reach across the video."""
    tries = 100 + len(visible) // WIDER
    return pick_in_order(visible, _rows(tries, count, rng), max_gap, count)


def _rows(tries: int, count: int, rng: Generator) -> Iterator[list[float]]:
    for _ in range(tries):
        yield rng.random(count).tolist()


def pick(items: Sequence[Item], draw: float) -> Item:
    """The item that a draw in 0 to 1 (excluded) stands for."""
    return items[int(draw * len(items))]
