from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lockon.data.light import Change, Light, finish, relight, relight_all
from lockon.data.loader import PairDataset, load_pairs
from tests.test_data import CALM, sampler

SHOWN = np.zeros((96, 96), bool)  # no padding
PLAIN = Light(0, 0, 0, 0, 0, 0, 0, 0).draw(False, "black", np.random.default_rng(0))
CHANGES = {
    "nothing": PLAIN,
    "shrunk": PLAIN._replace(coarse=0.47),
    "blurred": PLAIN._replace(blur=1.8),
    "blurred a little": PLAIN._replace(blur=0.5),
    "blurred along a line": PLAIN._replace(motion=8.0, angle=30.0),
    "dark": PLAIN._replace(gamma=1.5, red=0.5, green=0.6, blue=0.7),
    "contrast": PLAIN._replace(contrast=1.6),
    "gray": PLAIN._replace(gray=1.0),
    "all of it": Change(0.6, 1.2, 0.0, 0.0, 1.2, 0.8, 0.9, 1.0, 1.1, 1.0, 0.0, 0.0, 0.0),
}


def photograph(size: int = 96) -> np.ndarray:
    """Smooth at some places, sharp at others."""
    rng = np.random.default_rng(3)
    colours = cv2.resize(rng.uniform(40, 210, (12, 12, 3)).astype(np.float32), (size, size))
    image = (colours + rng.uniform(-30, 30, colours.shape)).astype(np.uint8)
    return cv2.rectangle(image, (20, 30), (50, 70), (250, 240, 20), -1)


def on_device(image: np.ndarray, *changes: Change[float]) -> np.ndarray:
    """(N, S, S, 3), the picture under each change."""
    images = torch.from_numpy(image).permute(2, 0, 1).expand(len(changes), -1, -1, -1)
    padding = torch.zeros(len(changes), *image.shape[:2], dtype=torch.bool)
    return relight_all(images, padding, torch.tensor(changes)).permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize("name", CHANGES)
def test_a_device_makes_the_light_that_a_worker_makes(name: str) -> None:
    here, there = relight(photograph(), SHOWN, CHANGES[name]), on_device(photograph(), CHANGES[name])[0]
    apart = abs(here.astype(int) - there)
    assert apart.mean() < 1  # each step in a worker is rounded to whole levels
    assert apart.max() <= 5
    changed = abs(photograph().astype(int) - there).mean()
    assert changed < 0.5 if name == "nothing" else changed > 4


def test_noise_has_the_strength_asked_for_and_follows_from_its_grain_alone() -> None:
    flat = np.full((96, 96, 3), 128, np.uint8)
    noisy = PLAIN._replace(noise=9.0, grain=5.0)
    for image in (relight(flat, SHOWN, noisy), on_device(flat, noisy)[0]):
        assert image.std() == pytest.approx(9, rel=0.03)
        assert image.mean() == pytest.approx(127.5, abs=0.3)
    first, other, again = on_device(flat, noisy, noisy._replace(grain=6.0), noisy)
    assert (first == again).all()
    both = np.corrcoef(first.ravel().astype(float), other.ravel().astype(float))[0, 1]
    assert abs(both) < 0.02
    rows, columns = first[1:].ravel().astype(float), first[:-1].ravel().astype(float)
    assert abs(np.corrcoef(rows, columns)[0, 1]) < 0.02  # neighbours do not know of each other


def test_pairs_are_the_same_whether_a_worker_or_the_device_finishes_them(tmp_path: Path) -> None:
    light = Light(noise=0)
    for border in ("black", "mean"):
        pairs = sampler(tmp_path, replace(CALM, light=light))
        pairs.template, pairs.search = (replace(spec, border=border) for spec in (pairs.template, pairs.search))
        whole = next(load_pairs(PairDataset(pairs, 16, 0), 16, 0, 0))
        pairs.unlit = True
        unlit = next(load_pairs(PairDataset(pairs, 16, 0), 16, 0, 0))
        assert unlit.light.shape == (16, 2, 13)
        assert (unlit.search != whole.search).any()
        done = finish(unlit)
        assert done.light.numel() == 0
        for a, b in ((done.search, whole.search), (done.templates, whole.templates)):
            apart = (a.int() - b.int()).abs().float()
            assert apart.mean() < 1
        assert (done.boxes == whole.boxes).all()
        assert whole.search_padding.any()
        filled = done.search.permute(0, 2, 3, 1)[done.search_padding]
        assert (filled == 0).all() if border == "black" else (filled > 0).any()


def test_pairs_that_are_finished_stay_as_they_are(tmp_path: Path) -> None:
    pairs = next(load_pairs(PairDataset(sampler(tmp_path), 4, 0), 4, 0, 0))
    assert finish(pairs) is pairs


def test_light_is_drawn_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    drawn = [Light().draw(False, "black", rng) for _ in range(2000)]
    assert np.mean([c.coarse < 1 for c in drawn]) == pytest.approx(0.15, abs=0.03)
    assert np.mean([c.blur > 0 or c.motion > 0 for c in drawn]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([c.noise > 0 for c in drawn]) == pytest.approx(0.15, abs=0.03)
    assert np.std(np.log([c.contrast for c in drawn])) == pytest.approx(0.2, abs=0.02)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_light_that_a_cpu_makes() -> None:
    changes = torch.tensor([*CHANGES.values(), PLAIN._replace(noise=5.0, grain=3.0)])
    images = torch.from_numpy(photograph()).permute(2, 0, 1).repeat(len(changes), 1, 1, 1)
    padding = torch.zeros(len(changes), 96, 96, dtype=torch.bool)
    here = relight_all(images, padding, changes)
    there = relight_all(images.cuda(), padding.cuda(), changes.cuda()).cpu()
    assert (here.int() - there.int()).abs().max() <= 1
