"""The recipes by name, one function each; a variant calls another recipe and changes fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from lockon.data.augment import Jitter
from lockon.data.pairs import PairConfig
from lockon.errors import DataError
from lockon.registry import closest
from lockon.training.optimizer import OptimizerConfig
from lockon.training.recipe import Recipe, override

RECIPES: dict[str, Callable[[], Recipe]] = {}


def recipe(build: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Registers a recipe under its function's name, with hyphens."""
    RECIPES[build.__name__.replace("_", "-")] = build
    return build


@recipe
def stark_tiny() -> Recipe:
    """stark-tiny from nothing, on photographs and a few annotated clips."""
    return Recipe("stark-tiny", PairConfig(absent=0.12, hidden=0.3), norm_until=0.5)


@recipe
def stark_tiny_score() -> Recipe:
    """The last stage of stark-tiny (section 3.2): the score head alone, half of the pairs without the target.

    Needs ``start``: the weights of the stage before.
    """
    data = PairConfig(absent=0.5, hidden=0.4)
    optimizer = OptimizerConfig(lr=5e-4, warmup=50)
    return Recipe("stark-tiny", data, optimizer, pairs=30_000, only="cls_head.")


VARIED = PairConfig(
    reframed=0.25,
    absent=0.1,
    hidden=0.3,
    doubled=0.2,
    search=Jitter(1.4, 0.5, 0.25, 12.0, 0.15, 0.04),
    moving=Jitter(1.4, 0.5, 0.25, 4.0, 0.06, 0.02),
)


@recipe
def sparsett_tiny() -> Recipe:
    """sparsett-tiny from nothing, on photographs and a few annotated clips."""
    return Recipe("sparsett-tiny", VARIED, norm_until=0.6)


@recipe
def siamattn_tiny() -> Recipe:
    """siamattn-tiny on a trunk that is trained already: give it the weights of sparsett-tiny as ``backbone``."""
    return replace(sparsett_tiny(), model="siamattn-tiny")


@recipe
def aiatrack_tiny() -> Recipe:
    """aiatrack-tiny on a trunk that is trained already: give it the weights of sparsett-tiny as ``backbone``."""
    return replace(sparsett_tiny(), model="aiatrack-tiny")


@recipe
def grm_tiny() -> Recipe:
    """grm-tiny on a trunk that is trained already: give it the weights of sparsett-tiny as ``backbone``."""
    return replace(sparsett_tiny(), model="grm-tiny")


STARK = OptimizerConfig(1e-4, 0.1, 1e-4, True, (0.9, 0.999), clip=0.1, warmup=0, final=0.1, schedule="drop")


@recipe
def stark_s50() -> Recipe:
    """The paper's training of STARK-S50 (section 4.1), on this library's pairs; give it a pretrained ``backbone``."""
    data = PairConfig(absent=0.0)
    return Recipe("stark-s50", data, STARK, pairs=30_000_000, batch=128, ema=0.0, precision="float32")


@recipe
def stark_st50() -> Recipe:
    """The first stage of STARK-ST50: two templates, the box alone."""
    return replace(stark_s50(), model="stark-st50")


@recipe
def stark_st50_score() -> Recipe:
    """The second stage of STARK-ST50 (section 3.2): the score head alone, half of the pairs without the target.

    Needs ``start``: the weights of the first stage.
    """
    config = ("giou_weight=0.0", "l1_weight=0.0", "score_weight=1.0")
    data = PairConfig(absent=0.5)
    return replace(stark_st50(), config=config, data=data, pairs=3_000_000, only="cls_head.")


def get_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A registered recipe with some fields changed.

    Args:
        overrides: such as ``"optimizer.lr=5e-4"``.

    Raises:
        DataError: unknown recipe or field (the closest are named), or a value of the wrong type.
    """
    if name not in RECIPES:
        raise DataError(f"unknown recipe {name!r}; {closest(name, RECIPES)}")
    return override(RECIPES[name](), overrides)
