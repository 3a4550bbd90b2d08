from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lockon
from lockon.boxes import cxcywh_to_xyxy
from lockon.crops import crop
from lockon.masks import outline, place_mask
from lockon.models import MODELS, ModelInfo
from lockon.models.siamattn import (
    Features,
    SiamAttn,
    channel_attention,
    choose_all,
    correlate,
    look,
    mask_loss,
    official_name,
)
from lockon.nn.anchors import decode, encode, make_anchors, move_boxes
from lockon.tracker import PairBatch, Result, Tracker
from lockon.weights import save_weights
from tests.small import SIAMATTN

FRAMES = list(np.random.default_rng(0).integers(0, 255, (4, 120, 160, 3), np.uint8))
BOXES = [(40.0, 30.0, 30.0, 24.0), (90.0, 60.0, 20.0, 28.0), (10.0, 70.0, 25.0, 25.0)]


def small_model(**changes: Any) -> SiamAttn:
    """Weights at random, nothing zero, statistics of some noise."""
    torch.manual_seed(0)
    model = SiamAttn(replace(SIAMATTN, **changes))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("gamma") or "offset" in name or "tail_det_box" in name:
                parameter.normal_(0, 0.3)
        norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
        for momentum in (1.0, 0.1):
            for norm in norms:
                norm.momentum = momentum
            model.train().loss(pairs(model))
    return model.eval()


def pairs(model: SiamAttn, present: tuple[bool, ...] = (True, True, False)) -> PairBatch:
    generator = torch.Generator().manual_seed(1)
    count, z, x = len(present), model.template_crop.size, model.search_crop.size
    masks = torch.zeros(count, x, x, dtype=torch.bool)
    masks[:, 40:60, 35:65] = True
    return PairBatch(
        torch.randint(0, 255, (count, 1, 3, z, z), dtype=torch.uint8, generator=generator),
        torch.zeros(count, 1, z, z, dtype=torch.bool),
        torch.tensor([0.25, 0.25, 0.5, 0.5]).repeat(count, 1, 1),
        torch.randint(0, 255, (count, 3, x, x), dtype=torch.uint8, generator=generator),
        torch.zeros(count, x, x, dtype=torch.bool),
        torch.tensor([[0.37, 0.42, 0.31, 0.21]]).repeat(count, 1),
        torch.tensor(present),
        masks,
        torch.tensor([True, False, True])[:count],
    )


@pytest.fixture(scope="module", name="model")
def shared_model() -> SiamAttn:
    return small_model()


def results(tracker: Tracker, boxes: Any) -> Iterator[list[Result]]:
    tracker.init(FRAMES[0], boxes)
    for frame in FRAMES[1:]:
        found = tracker.update(frame)
        yield found if isinstance(found, list) else [found]


# Tracking


def test_each_result_has_a_mask_and_a_rotated_box(model: SiamAttn) -> None:
    for (result,) in results(Tracker(model), BOXES[0]):
        assert result.mask is not None
        assert result.mask.shape == (120, 160)
        assert result.mask.dtype == bool
        assert result.polygon is not None
        assert np.array(result.polygon).shape == (4, 2)
        assert 0 <= result.score <= 1
        assert result.found == (result.score > model.config.found_above)


def test_three_targets_in_one_batch_go_where_each_goes_alone(model: SiamAttn) -> None:
    together = list(results(Tracker(model), BOXES))
    for number, box in enumerate(BOXES):
        for (alone,), batch in zip(results(Tracker(model), box), together, strict=True):
            assert alone.box == pytest.approx(batch[number].box, abs=1e-3)
            assert alone.score == pytest.approx(batch[number].score, abs=1e-5)
            assert alone.mask is not None
            assert batch[number].mask is not None
            assert (alone.mask != batch[number].mask).mean() < 0.001


def test_the_network_on_a_batch_of_two_is_two_single_runs(model: SiamAttn) -> None:
    batch, rois = pairs(model), torch.tensor([[0, 20, 30, 60, 70.0], [1, 5, 10, 50, 33.3]])
    with torch.inference_mode():
        memory = model.memorize(*batch.template(0))
        both = model(batch.search, batch.search_padding, memory)
        heads = [model.refine(both.features, rois), model.segment(both.features, rois)]
        for i in range(2):
            one = slice(i, i + 1)
            alone = model(batch.search[one], batch.search_padding[one], type(memory)(*(part[one] for part in memory)))
            torch.testing.assert_close(alone.logits, both.logits[one], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(alone.deltas, both.deltas[one], atol=1e-4, rtol=1e-4)
            roi = rois[one] * torch.tensor([0, 1, 1, 1, 1])
            for head, expected in zip((model.refine, model.segment), heads, strict=True):
                torch.testing.assert_close(head(alone.features, roi), expected[one], atol=1e-4, rtol=1e-4)


def test_float32_agrees_with_float64(model: SiamAttn) -> None:
    double = small_model().double()
    batch = pairs(model)

    def maps(model: SiamAttn) -> tuple[Tensor, Tensor]:
        with torch.inference_mode():
            out = model(batch.search, batch.search_padding, model.memorize(*batch.template(0)))
        return out.logits.double(), out.deltas.double()

    for single, exact in zip(maps(model), maps(double), strict=True):
        torch.testing.assert_close(single, exact, atol=1e-3, rtol=1e-3)


def test_official_weights_load_and_track_one_and_three_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: SiamAttn
) -> None:
    monkeypatch.setitem(MODELS, "siamattn-small", ModelInfo(lambda: SiamAttn(SIAMATTN), "", official_name))
    renamed = {official_style(name): tensor for name, tensor in model.state_dict().items()}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in renamed.items()}}, tmp_path / "theirs.pth")
    save_weights(model.state_dict(), tmp_path / "ours.safetensors", "siamattn-small", torch.float32)
    for file in ("theirs.pth", "ours.safetensors"):
        for boxes, count in ((BOXES[0], 1), (BOXES, 3)):
            tracker = lockon.load("siamattn-small", weights=tmp_path / file, device="cpu")
            found = list(results(tracker, boxes))
            assert [len(r) for r in found] == [count] * 3
            assert found == list(results(Tracker(model), boxes))


def official_style(name: str) -> str:
    parts = name.split(".")
    if parts[0] == "neck":
        parts[1:2] = [f"downsample{int(parts[1]) + 2}", "downsample"]
    if parts[:2] == ["rpn_head", "levels"]:
        parts[1:3] = [f"rpn{int(parts[2]) + 2}"]
    if parts[0] in ("feature_fusion", "mask_head"):
        parts = ["BN256" if part == "bn" else part for part in parts]
    return ".".join(parts)


def test_the_mask_plays_no_part_in_the_track(model: SiamAttn) -> None:
    with_masks = [r.box for (r,) in results(Tracker(model), BOXES[0])]
    model.config = replace(SIAMATTN, segment=False)  # switched off in a model that has the head
    try:
        without = [r for (r,) in results(Tracker(model), BOXES[0])]
    finally:
        model.config = SIAMATTN
    assert [r.box for r in without] == with_masks
    assert all(r.mask is None and r.polygon is None for r in without)


def test_without_refinement_the_centre_moves_to_the_best_box_itself(model: SiamAttn) -> None:
    model.config = replace(SIAMATTN, refine=False, segment=False)
    try:
        tracker = Tracker(model)
        tracker.init(FRAMES[0], BOXES[0])
        (state,) = tracker.states
        patch = crop(FRAMES[1], state.box, SIAMATTN.search, state.border)
        with torch.inference_mode():
            images = torch.from_numpy(patch.image).permute(2, 0, 1)[None]
            out = model(images, torch.from_numpy(patch.padding)[None], state.memory)
        sight = look([patch.window], [state], SIAMATTN.search)
        ranking = model.rank(out, sight)
        tracker.update(FRAMES[1])
    finally:
        model.config = SIAMATTN
    assert out.features == Features(None, None)
    best = ranking.boxes[0, ranking.ranks.argmax()]
    x, y = (sight.centres + best[:2] / sight.scale)[0].tolist()
    left, top, w, h = tracker.states[0].box
    assert (left + w / 2, top + h / 2) == pytest.approx((min(max(x, 0), 159), min(max(y, 0), 119)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_tracks_like_the_cpu(model: SiamAttn) -> None:
    cpu = [[r.box for r in batch] for batch in results(Tracker(model), BOXES)]
    gpu = [[r.box for r in batch] for batch in results(Tracker(small_model(), "cuda"), BOXES)]
    np.testing.assert_allclose(gpu, cpu, atol=0.1)


# Parts


@pytest.mark.parametrize(
    "changes",
    [
        {"self_attention": False},
        {"cross_attention": False},
        {"self_attention": False, "cross_attention": False},
        {"convolution": "plain"},
        {"convolution": "none"},
        {"refine": False},
        {"segment": False},
        {"refine": False, "segment": False},
        {"self_attention": False, "cross_attention": False, "convolution": "none", "refine": False, "segment": False},
    ],
    ids=lambda changes: " ".join(f"{k}={v}" for k, v in changes.items()),
)
def test_each_part_can_be_left_out(changes: dict[str, Any]) -> None:
    model = small_model(**changes)
    losses = model.train().loss(pairs(model))
    losses["total"].backward()
    assert torch.isfinite(losses["total"])
    assert [name for name, p in model.named_parameters() if p.grad is None] == []
    (result,) = list(results(Tracker(model), BOXES[0]))[-1]
    assert (result.mask is None) == (changes.get("segment") is False)


def test_without_any_attention_the_template_does_not_change_the_search_features() -> None:
    model = small_model(self_attention=False, cross_attention=False, convolution="none")
    z, x = [torch.randn(1, 8, 3, 3)] * 2, [torch.randn(1, 8, 9, 9)] * 2
    assert model.feature_enhance(z, x)[1] == x


def test_only_cross_attention_lets_the_template_speak_to_the_search_patch() -> None:
    x, one, two = ([torch.randn(1, 8, side, side)] * 2 for side in (9, 3, 3))
    for cross in (True, False):
        enhance = small_model(cross_attention=cross).feature_enhance
        assert torch.equal(enhance(one, x)[1][0], enhance(two, x)[1][0]) != cross


def test_a_channel_looks_most_at_those_least_like_it() -> None:
    x = torch.tensor([[1.0, 0], [1, 0.1], [-1, 0]])[None, :, :, None]
    attention = channel_attention(x)
    torch.testing.assert_close(attention.sum(-1), torch.ones(1, 3))
    assert attention[0, 0].argmax() == 2
    assert attention[0, 2].argmax() in (0, 1)


def test_correlation_is_by_sample_and_channel() -> None:
    search, kernel = torch.randn(2, 3, 5, 6), torch.randn(2, 3, 2, 2)
    found = correlate(search, kernel)
    assert found.shape == (2, 3, 4, 5)
    assert found[1, 2, 3, 1].item() == pytest.approx((search[1, 2, 3:5, 1:3] * kernel[1, 2]).sum().item(), abs=1e-5)


def test_frozen_parts_stay_as_they_are() -> None:
    model = SiamAttn(replace(SIAMATTN, backbone=replace(SIAMATTN.backbone, frozen_stages=1)))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train().loss(pairs(model))["total"].backward()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    with_gradient = {name for name, p in model.named_parameters() if p.grad is not None}
    for name in changed | with_gradient:
        assert not name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1"))
    assert any(name.startswith("backbone.layer2.") for name in changed)


# Boxes and masks


def test_moves_take_anchors_to_boxes_and_back() -> None:
    anchors = make_anchors(8, SIAMATTN.ratios, 4, 5)
    assert anchors.shape == (125, 4)
    assert anchors[62].tolist() == [0, 0, 32, 32]  # the square one in the middle
    deltas = 0.3 * torch.randn(2, 20, 5, 5, dtype=torch.float64)
    boxes = decode(deltas, anchors)
    torch.testing.assert_close(encode(boxes, anchors).transpose(1, 2), deltas.unflatten(1, (4, 5)).flatten(2))
    torch.testing.assert_close(move_boxes(anchors, encode(boxes, anchors)), boxes)
    assert torch.isfinite(decode(1e9 * deltas, anchors)).all()


def test_a_full_mask_fills_its_box() -> None:
    frame = place_mask(np.ones((16, 16), np.float32), (20, 30, 48, 32), (160, 120))
    assert frame.shape == (120, 160)
    mask = frame > 0.5
    assert mask[31:60, 20:66].all()
    assert mask.sum() == pytest.approx(48 * 32, rel=0.1)
    assert not place_mask(np.ones((16, 16), np.float32), (500, 500, 48, 32), (160, 120)).any()


def test_a_mask_that_reaches_beyond_the_frame_is_cut() -> None:
    frame = place_mask(np.ones((8, 8), np.float32), (-20, -20, 400, 400), (160, 120))
    assert (frame > 0.99).all()


def test_the_outline_is_the_rotated_box_of_the_largest_piece() -> None:
    rows, columns = np.mgrid[:120, :160]
    diamond = abs(rows - 60) + abs(columns - 80) <= 30
    diamond[2:6, 2:6] = True  # a smaller piece
    corners = outline(diamond, (0, 0, 5, 5), 100)
    expected = [(80, 30), (110, 60), (80, 90), (50, 60)]
    assert all(min(abs(x - a) + abs(y - b) for x, y in corners) < 0.5 for a, b in expected)
    assert outline(diamond, (1, 2, 3, 4), 10000) == ((1, 2), (4, 2), (4, 6), (1, 6))


# Training


def test_the_loss_needs_no_masks() -> None:
    model = SiamAttn(SIAMATTN).train()
    without = pairs(model)._replace(masks=torch.empty(3, 0), has_mask=torch.empty(3, 0, dtype=torch.bool))
    losses = model.loss(without)
    assert losses["mask"] == 0
    assert torch.isfinite(losses["total"])
    losses = model.loss(pairs(model))
    assert losses["mask"] > 0


def test_pairs_without_the_target_train_the_scores_alone() -> None:
    model = SiamAttn(SIAMATTN).train()
    losses = model.loss(pairs(model, (False, False)))
    assert losses["cls"] > 0
    assert losses["loc"] == losses["box"] == losses["mask"] == 0
    losses["total"].backward()


def test_the_loss_falls_when_the_maps_say_what_is_wanted() -> None:
    model = SiamAttn(SIAMATTN)
    truth, present = cxcywh_to_xyxy(torch.tensor([[50.0, 44, 36, 30]])), torch.tensor([True])
    targets = model.anchor_targets(truth, present, 9)
    assert (targets.labels == 1).sum() > 0
    right = torch.zeros(1, 10, 9, 9)
    right.view(1, 2, 5, 9, 9)[:, 1][targets.labels == 1] = 20
    right.view(1, 2, 5, 9, 9)[:, 0][targets.labels == 0] = 20
    prediction = model(*patches_of_nothing(model))._replace(logits=right, deltas=targets.deltas.flatten(1, 2))
    rois = model.roi_targets(prediction.deltas, truth, torch.zeros(1, 95, 95))
    losses = model.losses(prediction, targets, rois, present, ~present)
    assert losses["cls"] < 1e-3
    assert losses["loc"] < 1e-3
    torch.testing.assert_close(rois.rois, truth[:, None].expand_as(rois.rois), atol=0.02, rtol=0)  # all decode to it


def patches_of_nothing(model: SiamAttn) -> tuple[Tensor, Tensor, Any]:
    z, x = (torch.zeros(1, 3, spec.size, spec.size) for spec in (model.template_crop, model.search_crop))
    return x, x[:, 0].bool(), model.eval().memorize(z, z[:, 0].bool())


def test_too_few_candidates_are_taken_more_than_once() -> None:
    assert sorted(choose_all(4, 11).bincount().tolist()) == [2, 3, 3, 3]
    assert choose_all(20, 5).unique().numel() == 5


def test_only_the_hardest_pixels_count() -> None:
    logits, targets = torch.full((1, 1, 10, 10), -9.0), torch.zeros(1, 1, 10, 10)
    logits[..., :3, :] = 9  # a third is wrong
    counted = torch.tensor([True])
    assert mask_loss(logits, targets, counted, 0.3).item() == pytest.approx(9, abs=1e-3)
    assert mask_loss(logits, targets, counted).item() == pytest.approx(2.7, abs=1e-3)
