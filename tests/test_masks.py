import tracemalloc

import cv2
import numpy as np
import pytest

from lockon import masks
from lockon.masks import extent, mask_in_frame, outline, place_mask


def probabilities(size: int = 32, seed: int = 0) -> np.ndarray:
    """A smooth (size, size) mask, 0 to 1."""
    noise = np.random.default_rng(seed).random((size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 3)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


@pytest.mark.parametrize("small", [0, masks.SMALL])
def test_a_mask_in_the_frame_is_the_interpolated_one_above_the_threshold(
    monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(masks, "SMALL", small)
    rng = np.random.default_rng(5)
    for number in range(60):
        width, height = (int(v) for v in rng.integers(1, 400, 2))
        w, h = np.exp(rng.uniform(0, 7, 2))
        box = (rng.uniform(-w, width), rng.uniform(-h, height), w, h)
        probability, above = probabilities(int(rng.choice([8, 32])), number), float(rng.choice([0.2, 0.5]))
        if number % 3 == 0:
            probability = np.round(probability * 4) / 4  # many pixels alike, some exactly at the threshold
        expected = place_mask(probability, box, (width, height)) > above
        np.testing.assert_array_equal(mask_in_frame(probability, box, (width, height), above), expected)


def test_a_large_mask_costs_little_more_than_itself() -> None:
    size = (3000, 2000)
    tracemalloc.start()
    mask = mask_in_frame(probabilities(), (10, 10, 2900, 1900), size, 0.5)
    outline(mask, (10, 10, 2900, 1900), 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mask.any()
    assert peak < 4 * mask.nbytes  # 8 bytes a pixel, and 4 more, if all of it was interpolated


def test_a_mask_without_numbers_is_empty() -> None:
    assert not mask_in_frame(np.full((8, 8), np.nan, np.float32), (1, 1, 30, 30), (40, 40), 0.5).any()


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_the_extent_of_a_mask(kind: type) -> None:
    mask: np.ndarray = np.zeros((9, 12), kind)
    assert extent(mask) == (slice(0, 0), slice(0, 0))
    mask[2, 3] = mask[5, 7] = 1
    assert extent(mask) == (slice(2, 6), slice(3, 8))
    assert extent(mask[::-1, 1::2]) == (slice(3, 7), slice(1, 4))
    assert extent(np.zeros((0, 5), kind)) == (slice(0, 0), slice(0, 0))
