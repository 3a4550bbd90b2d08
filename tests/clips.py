"""Clips that tell their own frames apart: flat grey, frame `i` at level `20 + 8 i`.

Codecs are lossy: levels are compared with a tolerance of 3.
"""

from collections.abc import Sequence

import numpy as np

from lockon.pictures import Image
from lockon.video import Frame

SIZE = (96, 64)
COUNT = 24


def grey(number: int, size: tuple[int, int] = SIZE) -> Image:
    return np.full((size[1], size[0], 3), 20 + 8 * number, np.uint8)


def noisy(number: int, size: tuple[int, int] = SIZE) -> Image:
    """Grey with grain, which takes bytes: something to cut and to damage."""
    grain = np.random.default_rng(number).integers(-9, 10, (size[1], size[0], 3))
    return (grey(number, size) + grain).astype(np.uint8)


def numbers(frames: Sequence[Frame]) -> list[int]:
    """What numbers the pictures themselves claim."""
    levels = [(float(frame.image.mean()) - 20) / 8 for frame in frames]
    assert all(abs(level - round(level)) < 3 / 8 for level in levels), levels
    return [round(level) for level in levels]
