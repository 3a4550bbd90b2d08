"""What holds for every model in the registry: shapes at full size, where no number is computed; values when small."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import lockon
from lockon.models import MODELS, ModelInfo
from lockon.models.stark import corner_loss, similarity_loss
from lockon.tracker import PairBatch, TrackingModel
from lockon.weights import save_weights
from tests.small import SMALL

NAMES = lockon.list_models()
PAPERS = sorted(SMALL)
TINY = [name for name in NAMES if name.endswith("-tiny")]


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
        torch.ones(count, x, x, dtype=torch.bool),
        torch.tensor([True] * count),
    )


def small(name: str) -> TrackingModel:
    """A paper's small network, or one of the registered tiny ones."""
    torch.manual_seed(0)
    return SMALL[name]() if name in SMALL else lockon.create_model(name)


def run(model: TrackingModel, batch: PairBatch) -> dict[str, Tensor]:
    """What the network answers, by name."""
    with torch.inference_mode():
        memory = model.remember(None, model.memorize(*batch.template(0)))
        out = model(batch.search, batch.search_padding, memory)
    return {name: part for name, part in out._asdict().items() if isinstance(part, Tensor)}


@pytest.mark.parametrize("name", NAMES)
def test_a_full_size_network_has_an_answer_for_each_patch(name: str) -> None:
    with torch.device("meta"):
        model = lockon.create_model(name).eval()
        out = run(model, pairs(model))
    assert {len(part) for part in out.values()} == {2}
    if "boxes" in out:  # else the online rules make them
        assert out["boxes"].shape == (*out["score"].shape, 4)  # one box, or one for each cell


def test_every_paper_has_a_small_network_here() -> None:
    assert {info.build.__module__.rpartition(".")[2] for info in MODELS.values()} == set(PAPERS)


@pytest.mark.parametrize("paper", PAPERS)
def test_answers_are_finite_and_scores_from_0_to_1(paper: str) -> None:
    model = small(paper).eval()
    out = run(model, pairs(model))
    assert all(torch.isfinite(part).all() for part in out.values())
    if "score" in out:
        assert ((out["score"] >= 0) & (out["score"] <= 1)).all()


@pytest.mark.parametrize("name", [*PAPERS, *TINY])
def test_a_batch_of_two_is_two_runs_of_one(name: str) -> None:
    model = small(name).eval().double()  # so that only a mistake makes a difference
    batch = pairs(model)
    together = run(model, batch)
    for i in range(2):
        alone = run(model, PairBatch(*(part[i : i + 1] for part in batch)))
        for name, part in alone.items():
            torch.testing.assert_close(together[name][i : i + 1], part, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("paper", PAPERS)
def test_float32_is_as_good_as_float64(paper: str) -> None:
    model = small(paper).eval()
    batch = pairs(model)
    single = run(model, batch)
    double = run(model.double(), batch)
    for name, part in single.items():
        torch.testing.assert_close(part.double(), double[name].double(), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", [*PAPERS, *TINY])
def test_every_parameter_that_trains_gets_a_finite_gradient(name: str) -> None:
    model = small(name).train()
    model.loss(pairs(model))["total"].backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert all(torch.isfinite(gradient).all() for gradient in gradients.values() if gradient is not None)


@pytest.mark.parametrize("paper", PAPERS)
@pytest.mark.parametrize("targets", [1, 3])
def test_a_tracker_with_weights_from_a_file_follows_targets(
    paper: str, targets: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, "small", ModelInfo(SMALL[paper], paper, lambda name: name))
    save_weights(small(paper).state_dict(), tmp_path / "w.safetensors", "small")
    tracker = lockon.load("small", weights=tmp_path / "w.safetensors", device="cpu")
    frames = np.random.default_rng(0).integers(0, 255, (3, 120, 160, 3), np.uint8)
    given = [(40, 30, 30, 24), (90, 60, 20, 28), (10, 70, 40, 30)][:targets]
    tracker.init(frames[0], given)
    for frame in frames[1:]:
        results = tracker.update(frame)
        assert isinstance(results, list)
        assert len(results) == targets
        assert all(np.isfinite(r.box).all() and 0 <= r.score <= 1 for r in results)


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
