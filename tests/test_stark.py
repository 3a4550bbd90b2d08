"""STARK's own parts: Lightning's foldable network, what trains."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lockon.crops import CropSpec, Window
from lockon.models.stark import Stark, StarkConfig, StarkLightning, StarkPrediction
from lockon.nn.repvgg import RepVGG, RepVGGBlock, RepVGGConfig, fold
from lockon.nn.resnet import ResNet, ResNetConfig
from lockon.tracker import PairBatch, State, Tracker
from lockon.training.optimizer import OptimizerConfig, make_optimizer
from tests import scenes
from tests.small import LIGHTNING, STARK


def lightning() -> StarkLightning:
    torch.manual_seed(0)
    return StarkLightning(LIGHTNING).eval()


def stir(model: nn.Module) -> None:
    """Batch norms as after training: no longer the identity."""
    torch.manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith(("running_var", "running_mean")) or ".bn." in name or "identity" in name:
            value.copy_(0.5 + torch.rand(value.shape)) if value.is_floating_point() else None


# Lightning


def test_folding_does_not_change_what_lightning_computes() -> None:
    model = lightning()
    stir(model)
    images = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8)
    padding = torch.zeros(2, 64, 64, dtype=torch.bool)

    def run() -> torch.Tensor:
        with torch.no_grad():
            memory = model.memorize(images[:, :, :32, :32], padding[:, :32, :32])
            return model(images, padding, memory).corners

    before, count = run(), sum(p.numel() for p in model.parameters())
    fold(model)
    torch.testing.assert_close(run(), before, rtol=0, atol=1e-4 * before.abs().max().item())
    assert sum(p.numel() for p in model.parameters()) < count
    fold(model)  # once more does nothing
    assert not any(hasattr(m, "rbr_dense") for m in model.modules())


@pytest.mark.parametrize(("channels", "stride"), [(4, 1), (4, 2), (6, 1)])
def test_a_block_folds_whatever_its_branches(channels: int, stride: int) -> None:
    torch.manual_seed(0)
    block = RepVGGBlock(channels, 4, stride).eval()
    stir(block)
    x = torch.randn(2, channels, 8, 8)
    before = block(x)
    block.fold()
    assert block.rbr_identity is None
    assert before.shape[-1] == 8 // stride
    torch.testing.assert_close(block(x), before, rtol=1e-4, atol=1e-4)


def test_lightning_follows_one_target_and_three() -> None:
    one, three = Tracker(lightning()), Tracker(lightning())
    frames = [scenes.picture(number)[0] for number in range(3)]
    boxes = [scenes.picture(0)[1], (20, 20, 30, 20), (90, 70, 20, 25)]
    three.init(frames[0], boxes)
    together = [three.update(frame) for frame in frames[1:]]
    for number, box in enumerate(boxes):
        one.init(frames[0], box)
        for frame, results in zip(frames[1:], together, strict=True):
            alone = one.update(frame)
            assert not isinstance(alone, list)
            assert isinstance(results, list)
            assert results[number].box == pytest.approx(alone.box, abs=1e-3)
            assert results[number].score == pytest.approx(alone.score, abs=1e-5)


def test_published_repvgg_weights_lose_what_the_trunk_does_not_have() -> None:
    whole = RepVGG(RepVGGConfig((1, 12, 2), (4, 8, 16, 32)))
    trunk = RepVGG(RepVGGConfig((1, 2), (4, 8, 16)))
    tensors = whole.state_dict() | {"linear.weight": torch.zeros(2, 32)}
    trunk.load_state_dict(trunk.published(tensors))
    assert torch.equal(trunk.state_dict()["stage2.1.rbr_dense.conv.weight"], tensors["stage2.1.rbr_dense.conv.weight"])
    assert "strange" in trunk.published(tensors | {"strange": torch.zeros(1)})  # left for the strict check


# What trains


@pytest.mark.parametrize(
    ("stages", "frozen"), [(-1, set()), (0, {"conv1"}), (1, {"conv1", "layer1"}), (2, {"conv1", "layer1", "layer2"})]
)
def test_the_first_stages_of_a_backbone_can_be_frozen(stages: int, frozen: set[str]) -> None:
    model = ResNet(ResNetConfig((1, 1), (4, 8), (1, 2), (1, 1), "basic", 4, frozen_stages=stages))
    assert {n.split(".")[0] for n, p in model.named_parameters() if not p.requires_grad} == frozen


def test_lightning_keeps_the_first_stage_of_its_backbone() -> None:
    still = {n.rsplit(".", 2)[0] for n, p in lightning().named_parameters() if not p.requires_grad}
    assert still == {"backbone.stage0.rbr_dense", "backbone.stage0.rbr_1x1"}


def test_weight_decay_can_reach_every_parameter() -> None:
    model = lightning()
    some = make_optimizer(model, OptimizerConfig(weight_decay=0.1))
    every = make_optimizer(model, OptimizerConfig(weight_decay=0.1, decay_all=True))
    assert {group["weight_decay"] for group in some.param_groups} == {0.0, 0.1}
    assert {group["weight_decay"] for group in every.param_groups} == {0.1}
    assert len(every.param_groups) == 2  # the backbone and the rest
    count = sum(len(group["params"]) for group in every.param_groups)
    assert count == sum(p.requires_grad for p in model.parameters())


def test_the_score_stage_moves_the_score_head_alone() -> None:
    torch.manual_seed(0)
    backbone = ResNetConfig((1, 1), (4, 8), (1, 2), (1, 1), "basic", 4)
    shape = {"dim": 8, "heads": 2, "feedforward": 16, "encoder_layers": 1, "decoder_layers": 1, "head": (4,)}
    weights = {"giou_weight": 0.0, "l1_weight": 0.0, "score_weight": 1.0}
    crops = {"template": CropSpec(2.0, 16), "search": CropSpec(4.0, 32)}
    model = Stark(StarkConfig(backbone=backbone, templates=2, score_head=True, **shape, **weights, **crops))  # type: ignore[arg-type]
    batch = PairBatch(
        torch.randint(0, 255, (2, 2, 3, 16, 16), dtype=torch.uint8),
        torch.zeros(2, 2, 16, 16, dtype=torch.bool),
        torch.full((2, 2, 4), 0.5),
        torch.randint(0, 255, (2, 3, 32, 32), dtype=torch.uint8),
        torch.zeros(2, 32, 32, dtype=torch.bool),
        torch.full((2, 4), 0.5),
        torch.tensor([True, False]),
    )
    losses = model.loss(batch)
    losses["total"].backward()
    assert losses["total"] == losses["score"]
    moved = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None and p.grad.norm() > 0}
    assert "cls_head" in moved
    assert "box_head" not in moved


def test_of_two_targets_alike_the_one_near_the_last_box_is_followed() -> None:
    nothing, corners = torch.zeros(1), torch.zeros(1, 2, 20, 20)
    for column in (8, 14):
        corners[0, 0, 8, column] = corners[0, 1, 12, column + 4] = 12.0
    between = torch.tensor([[0.65, 0.5, 0.2, 0.2]])  # what the mean of the maps gives
    window, before = Window(100.0, 100.0, 1.0, 80), State((92, 92, 16, 16), None)
    for spread, middle in ((0.0, 100 + 0.15 * 80), (0.2, 100.0)):
        model = Stark(replace(STARK, spread=spread))
        prediction = StarkPrediction(between, nothing, nothing, corners, nothing)
        ((state, result),) = model.resolve(prediction, [window], [before], (320, 240))
        x, _, w, _ = result.box
        assert state.box == result.box
        assert x + w / 2 == pytest.approx(middle, abs=1.5)
        assert w == pytest.approx(16, abs=1.5)
