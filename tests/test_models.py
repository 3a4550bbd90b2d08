"""What holds for every model in the registry."""

import pytest
import torch

import lockon
from lockon.models.stark import corner_loss, similarity_loss
from lockon.tracker import PairBatch, TrackingModel

NAMES = lockon.list_models()


def pairs(model: TrackingModel, count: int = 2) -> PairBatch:
    torch.manual_seed(1)
    z, x = model.template_crop.size, model.search_crop.size
    padding = torch.zeros(count, x, x, dtype=torch.bool)
    padding[0, : x // 5] = True
    count_templates = getattr(model.config, "templates", 1)
    return PairBatch(
        torch.randint(0, 255, (count, count_templates, 3, z, z), dtype=torch.uint8),
        torch.zeros(count, count_templates, z, z, dtype=torch.bool),
        torch.tensor([0.25, 0.25, 0.5, 0.5]).repeat(count, count_templates, 1),
        torch.randint(0, 255, (count, 3, x, x), dtype=torch.uint8),
        padding,
        torch.tensor([[0.4, 0.4, 0.2, 0.3]]).repeat(count, 1),
        torch.tensor([True] * (count - 1) + [False]) if count > 1 else torch.tensor([True]),
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_gives_finite_boxes_and_scores(name: str) -> None:
    model = lockon.create_model(name).eval()
    batch = pairs(model)
    with torch.inference_mode():
        memory = model.remember(None, model.memorize(*batch.template(0)))
        out = model(batch.search, batch.search_padding, memory)
    assert out.boxes.shape == (2, 4)
    assert out.score.shape == (2,)
    assert torch.isfinite(out.boxes).all()
    assert ((out.score >= 0) & (out.score <= 1)).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_that_the_loss_uses_gets_a_finite_gradient(name: str) -> None:
    model = lockon.create_model(name).train()
    model.loss(pairs(model))["total"].backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if getattr(model.config, "score_weight", 1) == 0:
        without = [n for n in without if not n.startswith("cls_head.")]  # trained in a stage of its own
    assert without == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_the_same_seed_builds_the_same_network() -> None:
    def build() -> torch.Tensor:
        torch.manual_seed(3)
        return torch.cat([p.flatten() for p in lockon.create_model("stark-tiny").parameters()])

    assert torch.equal(build(), build())


def test_a_batch_without_any_target_still_trains_the_score() -> None:
    model = lockon.create_model("stark-tiny").train()
    batch = pairs(model)._replace(present=torch.tensor([False, False]))
    losses = model.loss(batch)
    assert losses["box"] == 0
    assert torch.isfinite(losses["total"])


def test_the_corner_loss_is_least_where_the_map_peaks_at_the_corner() -> None:
    truth = torch.tensor([[0.25, 0.5, 0.75, 0.875]])  # on an 8 x 8 map: cells (2, 4) and (6, 7)
    right, wrong = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    right[0, 0, 4, 2] = right[0, 1, 7, 6] = 20
    wrong[0, 0, 2, 4] = wrong[0, 1, 6, 7] = 20
    assert corner_loss(right, truth) < 1e-3
    assert corner_loss(wrong, truth) > 10


def test_the_similarity_loss_wants_the_cells_inside_the_box() -> None:
    boxes, present = torch.tensor([[0.25, 0.0, 0.5, 0.5]]), torch.tensor([True])
    logits = torch.full((1, 4, 4), -10.0)
    logits[0, :2, 1:3] = 10
    assert similarity_loss(logits, boxes, present) < 1e-3
    assert similarity_loss(-logits, boxes, present) > 5
