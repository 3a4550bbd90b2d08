"""The recipes: the papers' figures, and that each of them runs."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lockon.data.pairs import PairConfig, PairSampler
from lockon.data.papers import paper_sampler
from lockon.data.sources import Source
from lockon.models.siamattn import SiamAttn
from lockon.models.stark import StarkLightning
from lockon.registry import create_model
from lockon.tracker import PairBatch, TrackingModel
from lockon.training.checkpoint import changed_fields
from lockon.training.optimizer import OptimizerConfig, learning_rate, make_optimizer, parameter_groups
from lockon.training.phases import Phases, train_only
from lockon.training.recipe import Recipe, model_settings, override
from lockon.training.recipes import RECIPES, get_recipe
from lockon.training.run import Run
from tests.small import LIGHTNING, SIAMATTN, SMALL

# samples and epochs, batch, learning rates of the rest in some epochs (counted from 0), factor of the backbone, clip
FIGURES: dict[str, tuple[int, int, int, dict[int, float], float, float]] = {
    "stark-s50": (60_000, 500, 128, {0: 1e-4, 399: 1e-4, 400: 1e-5, 499: 1e-5}, 0.1, 0.1),
    "stark-st50": (60_000, 500, 128, {0: 1e-4, 399: 1e-4, 400: 1e-5}, 0.1, 0.1),
    "stark-st50-score": (60_000, 50, 128, {0: 1e-4, 39: 1e-4, 40: 1e-5}, 0.1, 0.1),
    "stark-st101": (60_000, 500, 128, {0: 1e-4, 399: 1e-4, 400: 1e-5}, 0.1, 0.1),
    "stark-st101-score": (60_000, 50, 128, {0: 1e-4, 39: 1e-4, 40: 1e-5}, 0.1, 0.1),
    "stark-lightning": (60_000, 500, 128, {0: 1e-4, 399: 1e-4, 400: 1e-5}, 0.1, 0.1),
    "aiatrack": (60_000, 500, 120, {0: 1e-4, 399: 1e-4, 400: 1e-5}, 0.1, 0.1),
    "ostrack-256": (60_000, 300, 128, {0: 4e-4, 239: 4e-4, 240: 4e-5}, 0.1, 0.1),
    "ostrack-384-got10k": (60_000, 100, 128, {0: 4e-4, 79: 4e-4, 80: 4e-5}, 0.1, 0.1),
    "grm-base-256": (60_000, 300, 320, {0: 4e-4, 239: 4e-4, 240: 4e-5}, 0.1, 0.1),
    "grm-large-320": (60_000, 300, 80, {0: 4e-4, 239: 4e-4, 240: 4e-5}, 0.1, 0.1),
    "sparsett": (600_000, 20, 32, {0: 1e-4, 9: 1e-4, 10: 1e-5, 15: 1e-6, 19: 1e-6}, 0.1, 0.0),
    "sparsett-got10k": (300_000, 20, 32, {0: 1e-4, 10: 1e-5, 15: 1e-6}, 0.1, 0.0),
    "siamattn": (600_000, 20, 88, {0: 1e-3, 4: 1e-3 * 5**0.8, 5: 5e-3, 19: 5e-4}, 0.05, 10.0),
}


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_recipe_has_its_papers_figures(name: str) -> None:
    recipe = get_recipe(name)
    samples, epochs, batch, rates, backbone, clip = FIGURES[name]
    assert (recipe.pairs, recipe.epochs, recipe.batch) == (samples * epochs, epochs, batch)
    steps = recipe.pairs // recipe.batch
    found = {e: learning_rate(recipe.optimizer, -(-e * steps // epochs), steps, epochs) for e in rates}
    assert found == pytest.approx(rates)
    assert (recipe.optimizer.backbone, recipe.optimizer.clip, recipe.optimizer.weight_decay) == (backbone, clip, 1e-4)
    assert (recipe.ema, recipe.precision) == (0.0, "float32")


def test_every_published_recipe_stands_in_the_documents() -> None:
    text = (Path(__file__).parents[1] / "docs" / "training.md").read_text()
    table = [line.split("|") for line in text.splitlines() if line.startswith("| `")]
    rows = {name: cells for cells in table for name in re.findall(r"`([^`]+)`", cells[1])}
    for name, (samples, epochs, batch, *_) in FIGURES.items():
        assert [cell.strip() for cell in rows[name][3:6]] == [f"{samples:,}", str(epochs), str(batch)]
    assert all(name in text for name in RECIPES)


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_says_what_it_is_and_builds_its_model(name: str) -> None:
    recipe = get_recipe(name)
    assert re.match(r"[^\n]{20,}\.$", (RECIPES[name].__doc__ or "").strip().splitlines()[0])
    with torch.device("meta"):
        model: Any = create_model(recipe.model, settings=model_settings(recipe))
        usual: Any = create_model(recipe.model) if recipe.config else None
    assert usual is None or model.config != usual.config
    train_only(model, recipe.only)
    groups = parameter_groups(model, recipe.optimizer)
    trained = [p for p in model.parameters() if p.requires_grad]
    assert sum(len(group["params"]) for group in groups) == len(trained) > 0
    assert {group["part"] for group in groups} <= {"backbone", "rest", *recipe.optimizer.parts}


def test_the_predictors_of_a_division_learn_as_fast_as_the_head() -> None:
    groups = parameter_groups(SMALL["grm"](), get_recipe("grm-base-256").optimizer)
    assert {group["part"]: group["factor"] for group in groups} == {"backbone": 0.1, "divide": 1.0, "rest": 1.0}
    (division,) = [group for group in groups if group["part"] == "divide"]
    assert len(division["params"]) == 2 * 6


def small_model(recipe: Recipe) -> TrackingModel:
    """The recipe's network at a size that costs a test nothing."""
    with torch.device("meta"):
        full: Any = create_model(recipe.model)
    config: Any = LIGHTNING
    if not isinstance(full, StarkLightning):
        config = SMALL[type(full).__module__.rsplit(".", 1)[1]]().config
    if hasattr(config, "templates"):
        config = replace(config, templates=full.config.templates)
    torch.manual_seed(0)
    return type(full)(override(config, recipe.config))


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_draws_pairs_and_takes_a_step(name: str, sources: list[Source]) -> None:
    recipe = replace(get_recipe(name), batch=2, precision="float32")
    model = small_model(recipe).train()
    train_only(model, recipe.only)
    before = {name: value.clone() for name, value in model.named_parameters()}
    if isinstance(recipe.data, PairConfig):
        made: Any = PairSampler(
            sources, recipe.data, model.template_crop, model.search_crop, getattr(model.config, "templates", 1)
        )
    else:
        made = paper_sampler(replace(recipe.data, mix={"images": 1.0, "clips": 1.0}), sources, model)
    pairs = [made.draw(np.random.default_rng([3, index])) for index in range(2)]
    losses = Run(recipe, model).advance(PairBatch(*(torch.stack(parts) for parts in zip(*pairs, strict=True))))
    assert all(torch.isfinite(loss) for loss in losses.values())
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved
    assert all(name.startswith(recipe.only) for name in moved)


# What changes over a run


def test_a_backbone_may_wait() -> None:
    """SiamAttn's trains in the second half, but for its first stages; until then its norms rest too."""
    recipe = replace(get_recipe("siamattn"), pairs=40, batch=2)
    model = SiamAttn(replace(SIAMATTN, backbone=replace(SIAMATTN.backbone, frozen_stages=1)))
    phases = Phases(recipe, model, 20)
    trained, norms = [], []
    for step in (0, 9, 10, 19):
        model.train()
        phases.enter(step)
        trained.append({name.split(".")[0] for name, p in model.backbone.named_parameters() if p.requires_grad})
        norms.append([model.get_submodule(f"backbone.layer{n}.0.bn1").training for n in (1, 2)])
    assert trained == [set(), set(), {"layer2", "layer3"}, {"layer2", "layer3"}]
    assert norms == [[False, False], [False, False], [False, True], [False, True]]


def test_ostrack_drops_tokens_late() -> None:
    recipe = replace(get_recipe("ostrack-256"), pairs=600, batch=2)
    model: Any = SMALL["ostrack"]()
    phases = Phases(recipe, model, 300)
    ratios = []
    for step in (0, 19, 59, 150):
        phases.enter(step)
        ratios.append(model.keep_ratio)
    assert ratios == pytest.approx([1, 1, 0.75, 0.5])


def test_the_score_stage_keeps_dropout_and_rests_the_other_norms() -> None:
    model = small_model(get_recipe("stark-st50-score")).train()
    train_only(model, "cls_head.")
    Phases(get_recipe("stark-st50-score"), model, 10).enter(0)
    norms = {module.training for module in model.modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms == {False}
    assert all(module.training for module in model.modules() if isinstance(module, nn.Dropout))


def test_rates_may_stay_for_an_epoch() -> None:
    config = OptimizerConfig(lr=1.0, warmup=2, warmup_from=0.25, final=0.01, schedule="exponential")
    rates = [learning_rate(config, step, 10, epochs=5) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.25, 0.5, 0.5, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_sgd_has_its_momentum() -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), OptimizerConfig(kind="sgd", momentum=0.8))
    assert isinstance(optimizer, torch.optim.SGD)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.8}
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0, 1e-2}


def test_shares_of_data_sets_are_overridden_by_name() -> None:
    recipe = get_recipe("stark-s50", ["data.mix=lasot:1,got10k:vot-train:0.5", "optimizer.drop_at=0.5,0.75"])
    assert getattr(recipe.data, "mix") == {"lasot": 1.0, "got10k:vot-train": 0.5}  # noqa: B009
    assert recipe.optimizer.drop_at == (0.5, 0.75)


def test_a_run_goes_on_with_its_own_mix_alone() -> None:
    recipe = get_recipe("stark-s50", ["data.mix=clips:1"])
    told = json.loads(json.dumps(asdict(recipe)))
    del told["data"]["flip"]  # a field newer than the checkpoint
    assert changed_fields(recipe, told) == []
    assert changed_fields(get_recipe("stark-s50"), told) == ["data"]
