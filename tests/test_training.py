import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lockon.data.pairs import PairConfig, PairDataset, pair_loader
from lockon.errors import DataError
from lockon.models import MODELS, ModelInfo
from lockon.models.stark import Stark, stark_tiny
from lockon.registry import create_model
from lockon.tracker import PairBatch
from lockon.training.loop import Progress, Run, make_sampler, model_settings, train
from lockon.training.optimizer import OptimizerConfig, learning_rate
from lockon.training.recipe import parse_data
from lockon.training.recipes import get_recipe
from lockon.weights import read_weights
from tests import scenes

CPU = torch.device("cpu")
SHORT = ["pairs=32", "batch=4", "workers=0", "precision=float32", "save_every=2", "log_every=2", "optimizer.warmup=2"]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, list[str]]:
    images = scenes.write_tar(tmp_path / "images.tar", scenes.image_set())
    clips = scenes.write_tar(tmp_path / "clips.tar", scenes.clip_set())
    return {"images": [str(images)], "clips": [str(clips)]}


def test_overrides_reach_nested_fields() -> None:
    recipe = get_recipe("stark-tiny", ["optimizer.lr=5e-4", "data.clips=0.25", "optimizer.betas=0.8,0.9", "seed=3"])
    assert recipe.optimizer.lr == 5e-4
    assert isinstance(recipe.data, PairConfig)
    assert recipe.data.clips == 0.25
    assert recipe.optimizer.betas == (0.8, 0.9)
    assert recipe.seed == 3


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("optimizer.lrr=1", "did you mean lr"),
        ("optimiser.lr=1", "did you mean optimizer"),
        ("optimizer=1", "group of fields"),
        ("pairs=many", "expected int"),
        ("seed.x=1", "has no fields"),
        ("seed", "FIELD.FIELD=VALUE"),
        ("optimizer.betas=0.9", "betas"),
        ("data.mix=lasot", "expected NAME:NUMBER,NAME:NUMBER"),
        ("optimizer.schedule=step", "cosine or exponential or drop"),
    ],
)
def test_wrong_overrides_are_explained(override: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        get_recipe("stark-tiny", [override])


def test_a_choice_of_words_is_named_when_another_is_given() -> None:
    assert model_settings(get_recipe("aiatrack-tiny", ["config=short_term=mixed"]))["short_term"] == "mixed"
    with pytest.raises(DataError, match="expected separate or mixed or none"):
        model_settings(get_recipe("aiatrack-tiny", ["config=short_term=all"]))


def test_an_unknown_recipe_gets_the_closest() -> None:
    with pytest.raises(DataError, match="did you mean stark-tiny"):
        get_recipe("stark-tini")


def test_data_arguments_need_a_name_and_a_path() -> None:
    assert parse_data(["images=a", "images=b", "clips=c=d"]) == {"images": ["a", "b"], "clips": ["c=d"]}
    for bad in ("images", "=x", "images="):
        with pytest.raises(DataError, match="NAME=PATH"):
            parse_data([bad])


def test_the_learning_rate_warms_up_and_decays() -> None:
    config = OptimizerConfig(lr=1.0, warmup=10, final=0.1)
    rates = [learning_rate(config, step, 110) for step in (0, 9, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 0.55, 0.1])


def test_training_learns_to_find_the_disc(tmp_path: Path, data: dict[str, list[str]]) -> None:
    seen: list[Progress] = []
    overrides = [*SHORT, "pairs=160", "optimizer.warmup=5", "log_every=10", "data.absent=0", "data.regions=0"]
    path = train(get_recipe("stark-tiny", overrides), data, tmp_path / "run", CPU, seen.append)
    assert seen[-1].losses["corner"] < 0.9 * seen[0].losses["corner"]
    assert read_weights(path)[1] == "stark-tiny"
    assert (tmp_path / "run" / "log.csv").read_text().count("\n") == len(seen) + 1


def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, data: dict[str, list[str]]) -> None:
    whole = train(get_recipe("stark-tiny", SHORT), data, tmp_path / "whole", CPU)
    out = tmp_path / "killed"
    arguments = [f"--data={name}={path}" for name, paths in data.items() for path in paths]
    command = [sys.executable, "-m", "lockon", "train", "stark-tiny", *arguments, "--out", str(out), "--device", "cpu"]
    command += [part for override in SHORT for part in ("--set", override)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the same order of sums
    child = subprocess.Popen(command, env=os.environ | threads, stdout=subprocess.DEVNULL)
    while not (out / "checkpoint.pt").exists() and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (out / "weights.safetensors").exists()  # it was killed on the way
    resumed = train(get_recipe("stark-tiny", SHORT), data, out, CPU)
    one, two = read_weights(whole)[0], read_weights(resumed)[0]
    assert all(torch.equal(one[name], two[name]) for name in one)
    rows = (out / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "2", "4", "6", "8"]


def test_a_second_stage_trains_one_part_and_leaves_the_rest(tmp_path: Path, data: dict[str, list[str]]) -> None:
    first = train(get_recipe("stark-tiny", [*SHORT, "pairs=8"]), data, tmp_path / "one", CPU)
    overrides = [*SHORT, "pairs=8", "only=cls_head.", f"start={first}"]
    second = train(get_recipe("stark-tiny", overrides), data, tmp_path / "two", CPU)
    before, after = read_weights(first)[0], read_weights(second)[0]
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"cls_head"}


def test_batch_norms_learn_their_statistics_in_the_first_part_of_the_run(data: dict[str, list[str]]) -> None:
    recipe = get_recipe("stark-tiny", [*SHORT, "pairs=16", "norm_until=0.5"])
    model = create_model("stark-tiny").train()
    run = Run(recipe, model)
    batches = pair_loader(PairDataset(make_sampler(recipe, data, model), recipe.pairs, 1), recipe.batch, 0, 0)
    means, weights = [], []
    for batch in batches:
        run.advance(PairBatch(*batch))
        means.append(model.state_dict()["backbone.bn1.running_mean"].clone())
        weights.append(model.state_dict()["backbone.conv1.weight"].clone())
    assert [not torch.equal(one, two) for one, two in pairwise(means)] == [True, False, False]
    assert [not torch.equal(one, two) for one, two in pairwise(weights)] == [True, True, True]


def test_a_later_stage_asks_for_the_weights_before_it(tmp_path: Path, data: dict[str, list[str]]) -> None:
    with pytest.raises(DataError, match="--set start=FILE"):
        train(get_recipe("stark-tiny-score", SHORT), data, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_backbone_starts_from_published_weights(
    tmp_path: Path, data: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = create_model("stark-tiny").get_submodule("backbone")
    published = {name: value + 1 for name, value in backbone.state_dict().items()}
    torch.save(published | {"fc.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    starts = []

    def stop(run: Run, _: PairBatch) -> None:
        starts.append(run.model.state_dict())
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "advance", stop)
    overrides = [*SHORT, f"backbone={tmp_path / 'resnet.pth'}"]
    with pytest.raises(KeyboardInterrupt):
        train(get_recipe("stark-tiny", overrides), data, tmp_path / "run", CPU)
    assert all(torch.equal(starts[0][f"backbone.{name}"], value) for name, value in published.items())
    with pytest.raises(DataError, match="one of start and backbone"):
        train(get_recipe("stark-tiny", [*overrides, "start=x"]), data, tmp_path / "run2", CPU)


def test_a_checkpoint_from_before_a_field_goes_on(tmp_path: Path, data: dict[str, list[str]]) -> None:
    recipe = get_recipe("stark-tiny", [*SHORT, "pairs=4"])
    train(recipe, data, tmp_path / "run", CPU)
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    told = json.loads(state["recipe"])
    del told["backbone"], told["optimizer"]["decay_all"]
    torch.save(state | {"recipe": json.dumps(told)}, path)
    assert train(recipe, data, tmp_path / "run", CPU).exists()


def test_another_recipe_does_not_go_on_from_a_checkpoint(tmp_path: Path, data: dict[str, list[str]]) -> None:
    train(get_recipe("stark-tiny", [*SHORT, "pairs=4"]), data, tmp_path / "run", CPU)
    with pytest.raises(DataError, match=r"another recipe \(pairs differ\)"):
        train(get_recipe("stark-tiny", SHORT), data, tmp_path / "run", CPU)


def test_a_loss_that_is_not_finite_stops_the_run(
    tmp_path: Path, data: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    nan = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr(Stark, "loss", lambda *_: {"box": nan, "total": nan})
    with pytest.raises(DataError, match=r"not finite at step 0.*box"):
        train(get_recipe("stark-tiny", SHORT), data, tmp_path / "run", CPU)


def test_the_learning_rate_can_drop_at_once() -> None:
    config = OptimizerConfig(lr=1.0, warmup=0, final=0.1, schedule="drop", drop_at=(0.8,))
    assert [learning_rate(config, step, 100) for step in (0, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1])


def test_a_recipe_may_change_its_models_configuration() -> None:
    recipe = get_recipe("stark-tiny", ["config=dropout=0.25,margin=3"])
    settings = model_settings(recipe)
    assert (settings["dropout"], settings["margin"], settings["dim"]) == (0.25, 3.0, 128)
    with pytest.raises(DataError, match="did you mean dropout"):
        model_settings(get_recipe("stark-tiny", ["config=dropuot=0.25"]))


def test_both_stages_of_a_model_with_two_templates(
    tmp_path: Path, data: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def build() -> Stark:
        return Stark(replace(stark_tiny().config, templates=2, score_weight=0.0))

    monkeypatch.setitem(MODELS, "two", ModelInfo(build, "none", str))
    short = [*SHORT, "model=two", "pairs=8", "optimizer.warmup=0", "data.mix=images:1,clips:1"]
    first = train(get_recipe("stark-st50", short), data, tmp_path / "one", CPU)
    second = train(get_recipe("stark-st50-score", [*short, f"start={first}"]), data, tmp_path / "two", CPU)
    before, after = read_weights(first)[0], read_weights(second)[0]
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == {"cls_head"}
    assert "score" in (tmp_path / "two" / "log.csv").read_text()
