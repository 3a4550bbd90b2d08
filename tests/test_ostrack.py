"""OSTrack: candidate elimination, the window, what training needs. What holds for every model is in test_models.py."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lockon.crops import Window
from lockon.models.ostrack import (
    OneStreamPrediction,
    OSTrack,
    Template,
    eliminate,
    hann_window,
    judging_tokens,
    keep_schedule,
    official_name,
)
from lockon.tracker import State
from lockon.weights import load_into
from tests.small import OSTRACK

PATCHES = torch.randint(0, 255, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
BOXES = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.3, 0.2, 0.4, 0.6]])
PADDING = torch.zeros(2, 64, 64, dtype=torch.bool)


def build(**changes: object) -> OSTrack:
    torch.manual_seed(0)
    return OSTrack(replace(OSTRACK, **changes)).eval()  # type: ignore[arg-type]


def template(model: OSTrack) -> Template:
    return model.memorize(PATCHES[:, :, 16:48, 16:48], PADDING[:, :32, :32], BOXES)


@torch.inference_mode()
def predict(model: OSTrack) -> OneStreamPrediction:
    return model(PATCHES, PADDING, template(model))


# Candidate elimination (section 3.2)


def test_elimination_that_keeps_everything_is_none() -> None:
    kept, plain = predict(build(keep_ratio=1.0)), predict(build(eliminate_in=()))
    torch.testing.assert_close(kept.scores, plain.scores, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(kept.sizes, plain.sizes, atol=1e-6, rtol=1e-6)
    assert kept.chosen.all()
    assert plain.chosen.shape == (2, 0, 64)


def test_each_elimination_keeps_a_share_of_what_is_left() -> None:
    chosen = predict(build(eliminate_in=(0, 2), keep_ratio=0.7)).chosen
    assert chosen.sum(-1).tolist() == [[45, 32], [45, 32]]  # of 64, rounded up
    assert (chosen[:, 1] <= chosen[:, 0]).all()


def test_the_head_sees_zeros_where_tokens_were_dropped() -> None:
    model = build()
    inputs: list[Tensor] = []
    model.box_head.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    out = predict(model)
    features = inputs[0].flatten(2).transpose(1, 2)  # (B, S * S, C)
    assert torch.equal(features.abs().sum(-1) > 0, out.chosen[:, 0] > 0)


def test_the_tokens_that_the_judges_attend_to_are_kept_in_that_order() -> None:
    x = torch.arange(5.0).view(1, 5, 1)  # two template tokens, three search tokens
    weights = torch.zeros(1, 1, 5, 5)
    weights[0, 0, 0, 2:] = torch.tensor([0.1, 0.5, 0.3])
    weights[0, 0, 1, 2:] = torch.tensor([0.9, 0.0, 0.0])  # asked only where it judges
    places = torch.tensor([[7, 8, 9]])
    left, kept, dropped = eliminate(x, weights, places, torch.tensor([[True, False]]), keep_ratio=0.6)
    assert left.flatten().tolist() == [0, 1, 3, 4]
    assert (kept.tolist(), dropped.tolist()) == ([[8, 9]], [[7]])
    _, kept, _ = eliminate(x, weights, places, torch.tensor([[True, True]]), keep_ratio=0.3)
    assert kept.tolist() == [[7]]


@pytest.mark.parametrize(
    ("judges", "rows"), [("point", [3]), ("middle", [3, 4]), ("all", list(range(8))), ("box", [2, 3, 4, 5])]
)
def test_judging_tokens(judges: str, rows: list[int]) -> None:
    marks = judging_tokens(torch.tensor([[0.25, 0.25, 0.5, 0.5]]), 8, judges).view(8, 8)
    wanted = torch.zeros(8, dtype=torch.bool)
    wanted[rows] = True
    assert torch.equal(marks, wanted[:, None] & wanted)


def test_the_keep_ratio_falls_in_training() -> None:
    ratios = [keep_schedule(epoch) for epoch in (1, 20, 60, 100, 300)]
    assert ratios == pytest.approx([1, 1, 0.85, 0.7, 0.7])


# Online rules (section 3.4)


def test_the_window_is_highest_in_the_middle_and_nowhere_zero() -> None:
    window = hann_window(16)
    assert torch.equal(window, window.T)
    assert torch.equal(window, window.flip(0))
    assert 0 < window.min() == window[0, 0]
    assert window.max() == window[7, 8] < 1


def resolve(scores: Tensor, **changes: object) -> tuple[State, float, bool]:
    model = build(**changes)
    sizes, offsets = torch.full((1, 2, 8, 8), 0.25), torch.full((1, 2, 8, 8), 0.5)
    prediction = OneStreamPrediction(
        torch.zeros(1, 4), torch.ones(1), scores[None], sizes, offsets, torch.zeros(1, 0, 64)
    )
    window = Window(100.0, 100.0, 1.0, 64)
    ((state, result),) = model.resolve(prediction, [window], [State((90, 90, 20, 20), None)], (320, 240))
    assert result.box == state.box
    return state, result.score, result.found


def test_of_equal_scores_the_one_near_the_last_place_is_followed() -> None:
    scores = torch.zeros(8, 8)
    scores[4, 4] = scores[0, 7] = 0.8
    state, score, found = resolve(scores)
    assert state.box == pytest.approx((96, 96, 16, 16))  # cell (4.5, 4.5) of 8, over 64 pixels around (100, 100)
    assert state.frame == 1
    assert score == pytest.approx(0.8 * float(hann_window(8)[4, 4]))
    assert found


def test_a_low_response_is_not_taken_for_the_target() -> None:
    *_, found = resolve(torch.full((8, 8), 0.1), found_above=0.2)
    assert not found


# Training


def test_a_pretrained_transformer_gives_its_blocks_and_resized_positions() -> None:
    model = build()
    torch.manual_seed(1)
    own = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    given = {k: torch.randn_like(v) for k, v in own.items() if k not in ("pos_embed_z", "pos_embed_x")}
    extra = {"decoder_embed.weight": torch.zeros(2, 2)}
    load_into(model.backbone, model.backbone.published(given | extra), "mae.pth")
    after = model.backbone.state_dict()
    assert all(torch.equal(after[k], v) for k, v in given.items() if k != "pos_embed")
    assert not torch.equal(after["pos_embed_x"], own["pos_embed_x"])
    assert "norm.weight" not in model.backbone.published({"pos_embed": given["pos_embed"]})


def test_the_loss_asks_for_low_scores_where_the_target_is_away() -> None:
    model, out = build(), predict(build())
    boxes, away = torch.tensor([[0.4, 0.4, 0.2, 0.2]]).expand(2, 4), torch.zeros(2, dtype=torch.bool)
    low = out._replace(scores=torch.full_like(out.scores, 1e-4))
    assert model.losses(low, boxes, away)["total"] < 1e-3 < model.losses(low, boxes, ~away)["total"]


def test_official_names() -> None:
    assert official_name("box_head.conv3_size.1.running_mean") == "box_head.size.2.1.running_mean"
    assert official_name("box_head.conv5_ctr.bias") == "box_head.ctr.4.bias"
    assert official_name("backbone.blocks.3.attn.qkv.weight") == "backbone.blocks.3.attn.qkv.weight"
