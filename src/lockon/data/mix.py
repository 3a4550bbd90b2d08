"""Sources by weight."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from lockon.data.sources import Source
from lockon.errors import DataError


class Mix:
    """Draws one of several sources, each with its weight's share.

    Args:
        weights: one per source, of any sum.

    Raises:
        DataError: no source, a negative weight, or all zero.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        self.sources = list(sources)
        shares = np.asarray(weights, float)
        if shares.shape != (len(self.sources),) or not 0 < shares.sum() < np.inf or shares.min() < 0:
            given = ", ".join(f"{s.name}:{w:g}" for s, w in zip(self.sources, weights, strict=False))
            raise DataError(f"the weights of the sources ({given}) must be zero or more, with one above zero")
        self.ends = np.cumsum(shares / shares.sum())

    def draw(self, rng: Generator) -> Source:
        """One source; takes one number from the generator, none where there is a single source."""
        if len(self.sources) == 1:
            return self.sources[0]
        place = int(np.searchsorted(self.ends, rng.random(), side="right"))
        return self.sources[min(place, len(self.sources) - 1)]  # rounding may leave the last end below 1
