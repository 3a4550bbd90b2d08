"""Recipes, their overrides, and the learning rate."""

import pytest

from lockon.data.pairs import PairConfig
from lockon.errors import DataError
from lockon.training.optimizer import OptimizerConfig, learning_rate
from lockon.training.recipe import model_settings, parse_data
from lockon.training.recipes import get_recipe


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


def test_the_learning_rate_can_drop_at_once() -> None:
    config = OptimizerConfig(lr=1.0, warmup=0, final=0.1, schedule="drop", drop_at=(0.8,))
    assert [learning_rate(config, step, 100) for step in (0, 79, 80, 99)] == pytest.approx([1, 1, 0.1, 0.1])


def test_a_recipe_may_change_its_models_configuration() -> None:
    recipe = get_recipe("stark-tiny", ["config=dropout=0.25,margin=3"])
    settings = model_settings(recipe)
    assert (settings["dropout"], settings["margin"], settings["dim"]) == (0.25, 3.0, 128)
    with pytest.raises(DataError, match="did you mean dropout"):
        model_settings(get_recipe("stark-tiny", ["config=dropuot=0.25"]))


def test_a_choice_of_words_is_named_when_another_is_given() -> None:
    assert model_settings(get_recipe("aiatrack-tiny", ["config=short_term=mixed"]))["short_term"] == "mixed"
    with pytest.raises(DataError, match="separate or mixed or none"):
        model_settings(get_recipe("aiatrack-tiny", ["config=short_term=all"]))
