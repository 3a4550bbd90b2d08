"""Which frames of a video make a training example, as draws in 0 to 1 decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

from lockon.errors import DataError

Item = TypeVar("Item")


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
    template, search = _item(seen, draws[0]), _item(seen, draws[1])
    if template >= search:
        near = range(search, min(search + max_gap, len(visible)))
    else:
        near = range(max(search - max_gap, 0), search)
    return Trident(template, _item(near, draws[2]), search)


def draw_trident(visible: Sequence[bool] | np.ndarray, max_gap: int, rng: Generator) -> Trident:
    """``pick_trident`` with draws from a generator."""
    return pick_trident(visible, rng.random(3).tolist(), max_gap)


def _item(items: Sequence[Item], draw: float) -> Item:
    return items[int(draw * len(items))]
