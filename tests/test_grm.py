"""GRM: the division of search tokens and attention within the groups. What holds for every model: test_models.py."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lockon.models import MODELS
from lockon.models.grm import (
    DividedAttention,
    Grm,
    GrmConfig,
    choose,
    choose_softly,
    division_entropy,
    group_tokens,
    gumbel_noise,
    masked_softmax,
    pool_template,
    relation_mask,
    target_tokens,
)
from lockon.models.ostrack import OneStreamPrediction, OSTrack
from lockon.nn.vit import Attention
from tests.small import GRM, OSTRACK

LENGTH, COUNT = 4, 12  # tokens of template and search patch
X = torch.randn(2, LENGTH + COUNT, 32, generator=torch.Generator().manual_seed(2))
TARGET = torch.ones(2, LENGTH, dtype=torch.bool)
PATCHES = torch.randint(0, 255, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
PADDING = torch.zeros(2, 64, 64, dtype=torch.bool)
BOXES = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(2, 4)


def attention(late: bool = False) -> DividedAttention:
    """One that chooses about half of the tokens of ``X``."""
    torch.manual_seed(0)
    model = DividedAttention(32, 2, late, widths=(16, 8)).eval()
    with torch.no_grad():
        log_probs = model.predict(X[:, LENGTH:], X[:, :LENGTH].amax(1))
        model.divide_predict[4].bias[0] -= (log_probs[..., 0] - log_probs[..., 1]).median()  # type: ignore[operator, index]
    return model


@torch.inference_mode()
def attend(x: Tensor = X, **changes: object) -> tuple[Tensor, Tensor]:
    out, chosen = attention()(x, TARGET, GrmConfig(**changes))  # type: ignore[arg-type]
    return out, chosen


def build(**changes: object) -> Grm:
    torch.manual_seed(0)
    return Grm(replace(GRM, **changes)).eval()  # type: ignore[arg-type]


@torch.inference_mode()
def predict(model: Grm | OSTrack, noise: list[Tensor] | None = None) -> OneStreamPrediction:
    memory = model.memorize(PATCHES[:, :, 16:48, 16:48], PADDING[:, :32, :32], BOXES)
    return model(PATCHES, PADDING, memory, noise)


# Attention within the groups (section 3.3)


def test_the_template_the_chosen_and_the_others_see_what_they_should() -> None:
    groups = "TTSAS"
    seen = relation_mask(group_tokens(torch.tensor([[0.0, 1.0, 0.0]]), length=2))[0].bool().tolist()
    sees = {"T": "TA", "S": "SA", "A": "TSA"}
    assert seen == [[other in sees[group] for other in groups] for group in groups]


def test_masked_attention_is_three_attentions_but_for_the_trace_that_the_mask_leaves() -> None:
    masked, chosen = attend()
    grouped, same = attend(grouped=True)
    assert torch.equal(chosen, same)
    assert 0 < chosen.sum() < chosen.numel()
    torch.testing.assert_close(masked, grouped, atol=1e-5, rtol=0)


@pytest.mark.parametrize("division", ["one-stream", "two-stream"])
def test_groups_may_be_empty(division: str) -> None:
    masked, chosen = attend(division=division)
    grouped, _ = attend(division=division, grouped=True)
    assert chosen.unique().tolist() == [float(division == "one-stream")]
    torch.testing.assert_close(masked, grouped, atol=1e-5, rtol=0)


def test_one_stream_is_plain_attention() -> None:
    divided = attention()
    plain = Attention(32, 2)
    plain.load_state_dict({k: v for k, v in divided.state_dict().items() if "divide" not in k})
    out, _ = attend(division="one-stream")
    torch.testing.assert_close(out, plain(X), atol=1e-5, rtol=0)


def test_in_two_streams_the_patches_do_not_meet() -> None:
    other = X.clone()
    other[:, :LENGTH] += 1
    before, after = attend(division="two-stream")[0], attend(other, division="two-stream")[0]
    torch.testing.assert_close(before[:, LENGTH:], after[:, LENGTH:], atol=1e-5, rtol=0)
    assert not torch.allclose(before[:, :LENGTH], after[:, :LENGTH], atol=1e-2)


def test_without_division_it_is_ostrack_without_elimination() -> None:
    grm = build(division="none")
    ostrack = OSTrack(replace(OSTRACK, eliminate_in=())).eval()
    ostrack.load_state_dict(grm.state_dict())
    a, b = predict(grm), predict(ostrack)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert a.chosen.shape == (2, 0, 64)


def test_a_full_mask_leaves_the_softmax_and_an_empty_one_equal_weights() -> None:
    logits = torch.randn(2, 5, 5)
    torch.testing.assert_close(masked_softmax(logits, torch.ones(5, 5)), logits.softmax(-1), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(masked_softmax(logits, torch.zeros(5, 5)), torch.full((2, 5, 5), 0.2))


def test_what_is_masked_keeps_a_trace_even_of_the_highest_logit() -> None:
    weights = masked_softmax(torch.tensor([[30.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 1.0]]), eps=1e-6)
    torch.testing.assert_close(weights, torch.full((1, 3), 1 / 3), atol=1e-3, rtol=0)  # the sum is far below eps


# The division (section 3.2)


def test_a_threshold_of_one_half_is_the_larger_probability_and_a_higher_one_chooses_more() -> None:
    log_probs = torch.randn(2, 50, 2).log_softmax(-1)
    assert torch.equal(choose(log_probs), choose(log_probs, threshold=0.5))
    counts = [int(choose(log_probs, threshold=t).sum()) for t in (0.2, 0.5, 0.8)]
    assert counts == sorted(set(counts))


def test_a_ratio_forces_the_likeliest_tokens_and_keeps_the_others() -> None:
    p = torch.tensor([[0.9, 0.4, 0.3, 0.2, 0.1]])
    log_probs = torch.stack([1 - p, p], dim=-1).log()
    assert choose(log_probs).int().tolist() == [[1, 0, 0, 0, 0]]
    assert choose(log_probs, ratio=0.6).int().tolist() == [[1, 1, 1, 0, 0]]
    assert choose(log_probs.flip(-1), ratio=0.2).int().tolist() == [[0, 1, 1, 1, 1]]


def test_the_draw_in_training_is_hard_with_the_gradient_of_a_soft_one() -> None:
    log_probs = torch.randn(2, 9, 2).log_softmax(-1).requires_grad_()
    noise, weight = gumbel_noise(log_probs), torch.randn(2, 9)
    hard = choose_softly(log_probs, noise, tau=0.7)
    torch.testing.assert_close(hard, (log_probs + noise).argmax(-1).float())
    (gradient,) = torch.autograd.grad((hard * weight).sum(), log_probs)
    soft = ((log_probs + noise) / 0.7).softmax(-1)[..., 1]
    (wanted,) = torch.autograd.grad((soft * weight).sum(), log_probs)
    torch.testing.assert_close(gradient, wanted)


def test_draws_follow_the_probabilities() -> None:
    torch.manual_seed(0)
    log_probs = torch.tensor([0.2, 0.8]).log().expand(1, 20_000, 2)
    assert choose_softly(log_probs, gumbel_noise(log_probs)).mean().item() == pytest.approx(0.8, abs=0.02)


def test_the_same_noise_gives_the_same_training_step() -> None:
    model = build().train()
    layers = model.config.vit.depth - model.config.undivided
    noise = [gumbel_noise(torch.zeros(2, 64, 2)) for _ in range(layers)]
    first, second, other = predict(model, noise), predict(model, noise), predict(model)
    assert torch.equal(first.chosen, second.chosen)
    assert not torch.equal(first.chosen, other.chosen)


def test_poolings_over_the_target_count_other_tokens_as_zeros() -> None:
    template = torch.tensor([[[-1.0], [-3.0], [2.0], [6.0]]])
    target = torch.tensor([[True, True, False, False]])
    pooled = {how: pool_template(template, target, how).item() for how in ("allmax", "allavg", "roimax", "roiavg")}
    assert pooled == {"allmax": 6, "allavg": 1, "roimax": 0, "roiavg": -1}


def test_target_tokens_are_those_that_the_box_touches() -> None:
    marks = target_tokens(torch.tensor([[0.25, 0.5, 0.3, 0.2], [-0.2, -0.05, 2.0, 0.1]]), 8).view(2, 8, 8)
    assert marks[0].nonzero().min(0).values.tolist() == [4, 2]
    assert marks[0].nonzero().max(0).values.tolist() == [5, 4]
    assert marks[1].nonzero().max(0).values.tolist() == [0, 7]


def test_the_late_predictor_adds_a_map_of_token_and_template() -> None:
    model = attention(late=True)
    assert not any(name.startswith("divide_predict.0") for name in model.state_dict())
    out, chosen = model(X, TARGET, GrmConfig(late=True))
    assert (out.shape, chosen.shape) == (X.shape, (2, COUNT))


def test_the_configuration_of_a_benchmark_may_be_put_in_at_any_time() -> None:
    model = build()
    counts = []
    for threshold in (0.01, 0.99):
        model.config = replace(model.config, threshold=threshold)
        counts.append(int(predict(model).chosen.sum()))
    assert counts == [0, 2 * 2 * 64]
    assert MODELS["grm-base-256"].settings["lasot"] == {"threshold": 0.4}


# Training


def test_the_entropy_is_least_for_even_shares() -> None:
    assert division_entropy(torch.full((3,), 0.5)).item() == pytest.approx(0, abs=1e-3)
    assert division_entropy(torch.tensor([0.0, 1.0])).item() == pytest.approx(1, abs=1e-3)
