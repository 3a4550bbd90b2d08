"""The papers' training pairs: which frames, how they are cut, what is done to them."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lockon.crops import CropSpec
from lockon.data.papers import PaperPairs, SiamattnPairs, SparsettPairs, StarkPairs, common, paper_sampler, read_pairs
from lockon.data.papers.common import PaperSampler
from lockon.data.papers.siamattn import Shake, motion_kernel, seen_box, shaken_matrix, shift_colours, wide_matrix
from lockon.data.papers.sparsett import cut_pair
from lockon.data.papers.stark import draw_jittered, jitter_box
from lockon.data.pick import draw_in_order, draw_trident, pick_in_order, pick_trident
from lockon.data.sources import Source
from lockon.errors import DataError
from lockon.models.stark import Stark
from lockon.tracker import PairBatch, TrackingModel
from tests import scenes
from tests.small import SMALL, STARK

MIX = {"images": 1.0, "clips": 1.0}
STILL = Shake(4, 0.05, colour=0)
CALM: dict[str, PaperPairs] = {  # the papers' pairs without changes of colour
    "stark": StarkPairs(MIX, frames="trident", grey=0, brightness=0),
    "ostrack": StarkPairs(MIX, scale=0.25, shift=3.0, grey=0, brightness=0),
    "aiatrack": StarkPairs(MIX, frames="references", jittered=True, grey=0, brightness=0),
    "sparsett": SparsettPairs(MIX),
    "siamattn": SiamattnPairs(MIX, max_gap={"clips": 5}, template=STILL, search=Shake(20, 0.18, colour=0, flip=0.5)),
}
PAPERS = sorted(CALM)


def model(paper: str) -> TrackingModel:
    return Stark(replace(STARK, templates=2)) if paper == "stark" else SMALL[paper]()


def sampler(paper: str, sources: list[Source], **changes: object) -> PaperSampler:
    return paper_sampler(replace(CALM[paper], absent=0.0, **changes), sources, model(paper))  # type: ignore[arg-type]


def draw(made: PaperSampler, count: int) -> list[PairBatch]:
    return [made.draw(np.random.default_rng(seed)) for seed in range(count)]


def red(image: torch.Tensor) -> torch.Tensor:
    """(3, S, S) to (S, S): the disc."""
    return (image[0] > 170) & (image[1] < 80) & (image[2] < 80)


def inside(box: torch.Tensor, margin: float = 0.02) -> bool:
    return bool((box[:2] > margin).all() and (box[:2] + box[2:] < 1 - margin).all())


# Every paper


@pytest.mark.parametrize("paper", PAPERS)
def test_the_boxes_of_a_pair_are_where_the_target_is(paper: str, sources: list[Source]) -> None:
    """Through jitter, stretch and mirror, in all patches of a pair."""
    seen = 0
    for pair in draw(sampler(paper, sources), 25):
        patches = [*zip(pair.templates, pair.template_boxes, strict=True), (pair.search, pair.boxes)]
        for image, box in patches:
            if not inside(box):
                continue
            size = image.shape[-1]
            ys, xs = torch.nonzero(red(image), as_tuple=True)
            centre = torch.stack([xs.float().mean(), ys.float().mean()]) + 0.5
            torch.testing.assert_close(centre / size, box[:2] + box[2:] / 2, atol=1.6 / size, rtol=0)
            seen += 1
    assert seen > 40


@pytest.mark.parametrize("paper", PAPERS)
def test_a_pair_depends_on_its_seed_alone(paper: str, sources: list[Source]) -> None:
    one, again, other = (sampler(paper, sources).draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.search, other.search)


@pytest.mark.parametrize("paper", PAPERS)
def test_pairs_without_the_target_come_by_their_share(paper: str, sources: list[Source]) -> None:
    made = sampler(paper, sources)
    assert all(pair.present for pair in draw(made, 10))
    made.absent = 0.5
    assert 3 < sum(bool(pair.present) for pair in draw(made, 20)) < 17


@pytest.mark.parametrize("paper", PAPERS)
def test_what_lies_outside_a_frame_looks_as_when_tracking(paper: str, sources: list[Source]) -> None:
    """Black, or the frame's mean colour."""
    made = sampler(paper, sources)
    pairs = [pair for pair in draw(made, 40) if pair.search_padding[0].all() or pair.search_padding[:, 0].all()]
    assert pairs
    for pair in pairs:
        corner = pair.search[:, pair.search_padding & torch.roll(pair.search_padding, 1, 1)].float()
        darkest = corner.amin(1)
        assert (darkest == 0).all() == (made.search.border == "black")


def test_data_sets_are_asked_for_by_name(tmp_path: Path) -> None:
    clips = [str(scenes.write_folder(tmp_path / "clips", scenes.clip_set()))]
    with pytest.raises(DataError, match=r"no data for coco, got10k, trackingnet: give NAME=PATH of each of lasot"):
        read_pairs(StarkPairs(), {"lasot": clips}, model("stark"))
    with pytest.raises(DataError, match="images: not in this recipe's mix"):
        read_pairs(StarkPairs({"clips": 1.0}), {"clips": clips, "images": clips}, model("stark"))
    made = read_pairs(StarkPairs({"clips": 1.0}, frames="trident"), {"clips": clips}, model("stark"))
    with pytest.raises(DataError, match="could not be used: the data's videos are too short"):
        made.draw(np.random.default_rng(0))


def test_pairs_have_the_templates_that_the_model_takes(sources: list[Source]) -> None:
    with pytest.raises(DataError, match=r"data.frames=causal have one template, and this model takes 2"):
        paper_sampler(StarkPairs(MIX), sources, model("stark"))


# STARK, AiATrack, OSTrack, GRM


VISIBLE = st.lists(st.booleans(), min_size=1, max_size=60)


@given(VISIBLE, st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_a_trident_has_its_search_frame_between_or_beside_the_templates(
    visible: list[bool], gap: int, seed: int
) -> None:
    if not any(visible):
        with pytest.raises(DataError, match="shows the target"):
            pick_trident(visible, (0, 0, 0), gap)
        return
    picked = draw_trident(visible, gap, np.random.default_rng(seed))
    assert visible[picked.template]
    assert visible[picked.search]
    assert 0 <= picked.dynamic < len(visible)
    if picked.template < picked.search:
        assert picked.search - gap <= picked.dynamic < picked.search
    else:
        assert picked.search <= picked.dynamic < picked.search + gap


def test_draws_decide_the_frames() -> None:
    visible = [False, True, True, False, True]
    assert pick_trident(visible, (0.0, 0.99, 0.0), 3) == (1, 1, 4)  # the template first, then the dynamic one
    assert pick_trident(visible, (0.99, 0.0, 0.99), 3) == (4, 3, 1)
    assert pick_in_order(visible, [(0.0, 0.99)], 10, 2) == (1, 4)
    assert pick_in_order(visible, [(0.99, 0.0)] * 2, 2, 2) == (2, 4)  # none is near; the next try reaches further
    assert pick_in_order(visible, [(0.99, 0.0, 0.0)], 10, 3) == (1, 2, 4)


@given(VISIBLE, st.integers(2, 30), st.sampled_from([2, 3]), st.integers(0, 2**32 - 1))
def test_frames_in_order_show_the_target(visible: list[bool], gap: int, count: int, seed: int) -> None:
    if sum(visible) < count:
        with pytest.raises(DataError, match="frames in order"):
            draw_in_order(visible, gap, count, np.random.default_rng(seed))
        return
    picked = draw_in_order(visible, gap, count, np.random.default_rng(seed))
    assert list(picked) == sorted(set(picked))
    assert len(picked) == count
    assert all(visible[number] for number in picked)


@given(st.integers(0, 2**32 - 1))
def test_a_jittered_box_stays_within_reach(seed: int) -> None:
    x, y, w, h = draw_jittered((100.0, 50.0, 40.0, 20.0), 0.5, 4.5, np.random.default_rng(seed))
    reach = 2.25 * math.sqrt(w * h) + 1e-6
    assert abs(x + w / 2 - 120) <= reach
    assert abs(y + h / 2 - 60) <= reach


def test_middling_draws_leave_a_box_as_it_is() -> None:
    assert jitter_box((10, 20, 30, 40), (0, 0), (0.5, 0.5), 0.5, 4.5) == pytest.approx((10, 20, 30, 40))
    assert jitter_box((10, 20, 30, 40), (1, 0), (0.5, 0.5), math.log(2), 0.0) == pytest.approx((-5, 20, 60, 40))


@pytest.mark.parametrize(("paper", "jittered"), [("stark", [False, False]), ("aiatrack", [False, True])])
def test_only_aiatracks_later_reference_is_jittered(paper: str, jittered: list[bool], sources: list[Source]) -> None:
    pairs = draw(sampler(paper, sources, mirror=0.0), 6)
    for number, moved in enumerate(jittered):
        centres = torch.stack([pair.template_boxes[number, :2] + pair.template_boxes[number, 2:] / 2 for pair in pairs])
        assert bool(((centres - 0.5).abs() > 0.05).any()) == moved


def test_grey_is_drawn_for_a_pair_and_brightness_for_a_patch(sources: list[Source]) -> None:
    pairs = draw(sampler("stark", sources, grey=0.5, brightness=0.2), 12)
    for pair in pairs:
        grey = [bool((image[0] == image[1]).all()) for image in (*pair.templates, pair.search)]
        assert len(set(grey)) == 1
    coloured = [pair.templates[0] for pair in pairs if (pair.templates[0, 0] != pair.templates[0, 1]).any()]
    brightest = [image[0].max().item() for image in coloured]
    assert min(brightest) < 230 < max(brightest)


# SparseTT

SPECS = CropSpec(1.0, 63, 0.5, "mean", "warped"), CropSpec(129 / 63, 129, 0.5, "mean", "warped")


def centre(box: tuple[float, ...]) -> tuple[float, float]:
    x, y, w, h = box
    return x + (w - 1) / 2, y + (h - 1) / 2


def cut_boxes(draws: np.ndarray, config: SparsettPairs | None = None) -> list[tuple[float, ...]]:
    image, box = scenes.picture()
    return [patch.box for patch in cut_pair((image, image), (box, box), SPECS, config or SparsettPairs(), draws)]


def test_without_a_draw_that_fits_the_target_stays_in_the_middle() -> None:
    template, search = cut_boxes(np.zeros((0, 6)))
    assert centre(template) == pytest.approx((31, 31))
    assert centre(search) == pytest.approx((64, 64))
    assert search[2:] == pytest.approx(template[2:])


def test_a_draw_moves_and_scales_the_search_patch_alone() -> None:
    template, search = cut_boxes(np.array([[0.5, 0.9, 0.75, 0.5, 0.9, 0.9]]))
    assert centre(template) == pytest.approx((31, 31))
    assert centre(search) == pytest.approx((64 + 0.2 * 129 / 2, 64))
    assert template[2] / search[2] == pytest.approx((1 / 1.3 + 1.3) / 2)


def test_draws_that_cut_the_target_are_passed_over() -> None:
    draws = np.array([[0.5, 0.5, 0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.6, 0.5, 0.5, 0.5]])
    _, search = cut_boxes(draws, SparsettPairs(max_shift=1.0))
    assert centre(search) == pytest.approx((64 + 0.1 * 129, 64))


def test_far_frames_are_left_out_before_the_template_only() -> None:
    assert SparsettPairs().second_frames(150, 400) == range(50, 400)
    assert SparsettPairs().second_frames(0, 1) == range(1)


def test_long_boxes_are_left_out(sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "TRIES", 20)
    made = sampler("sparsett", sources, max_ratio=1.0)
    with pytest.raises(DataError, match="strange shapes"):
        made.draw(np.random.default_rng(0))


# SiamAttn


def test_a_wide_crop_has_the_target_in_its_middle() -> None:
    matrix = wide_matrix((30.0, 40.0, 20.0, 10.0), CropSpec(1.0, 127, 0.5), 511)
    x1, y1, x2, y2 = seen_box((30, 40, 50, 50), matrix)
    assert ((x1 + x2) / 2, (y1 + y2) / 2) == pytest.approx((255, 255))
    side = math.sqrt((20 + 15) * (10 + 15))
    assert (x2 - x1, y2 - y1) == pytest.approx((20 * 127 / side, 10 * 127 / side))


def test_a_shaken_patch_stays_in_its_square() -> None:
    still, far = (shaken_matrix(511, 255, Shake(shift, 0.18), (0, 0, 1, -1)) for shift in (0, 1000))
    assert still[:, 2] == pytest.approx((128, 128))
    assert far[:, 2] == pytest.approx((510 - 254, 0))


def test_masks_follow_their_patches(sources: list[Source]) -> None:
    made = sampler("siamattn", sources)
    pairs = draw(made, 12)
    assert {bool(pair.has_mask) for pair in pairs} == {True, False}  # the clips have none
    for pair in pairs:
        assert not pair.has_mask or (pair.masks & red(pair.search)).sum() > 0.9 * pair.masks.sum() > 20
    made.absent = 1.0
    assert not any(pair.has_mask for pair in draw(made, 4))


def test_colours_shift_and_motion_blurs() -> None:
    image = np.full((9, 9, 3), 100, np.uint8)
    assert shift_colours(image, np.array([1.0, 0, 0]))[0, 0].tolist() == [100, 98, 95]
    kernel = motion_kernel(5, 0.25)
    assert kernel.sum() == pytest.approx(1)
    assert kernel[0, 2] == pytest.approx(0.05)
    assert kernel[2, 0] == pytest.approx(0.15)
