"""Recipes: everything that decides a training run, as typed values that a command line can override."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import torch

from lockon.data.pairs import PairConfig
from lockon.data.papers import PaperPairs
from lockon.errors import DataError, LockonError
from lockon.pickles import shorter
from lockon.registry import closest, create_model
from lockon.training.optimizer import OptimizerConfig


@dataclass(frozen=True)
class Recipe:
    """One training run.

    Attributes:
        model: name in the registry.
        data: which pairs are drawn: the library's own, or those of a paper.
        pairs: length of the run; ``epochs``: equal parts of it, between which learning rates change, and what else a
            paper changes over a run. 0: rates change with every step.
        batch: pairs per optimiser step, of all processes together.
        accumulate: each process takes its share of a step's pairs in this many parts, one after the other; the result
            is the same (but for batch norms that learn), with less memory.
        ema: decay per step of the averaged weights, which are the ones kept.
        precision: "bfloat16" (autocast) or "float32".
        compile: the parts of the network go through ``torch.compile``.
        sync_norm: batch norms see the patches of all GPUs; else each process normalises its own, as the papers' code
            does.
        backbone: published weights to start the backbone from (such as torchvision's of ResNet-50); empty for none.
        start: weights to start from, for a second stage; empty to start from nothing.
        only: beginning of the names of the parameters that train; the rest is frozen, with its batch norms. Empty
            for all.
        backbone_from: share of the run after which the backbone trains too; before, it is frozen with its batch norms.
        norm_until: share of the run after which batch norms keep the statistics they have. While they learn, template
            and search patches are each normalised by their own batch, which the running statistics of both cannot
            reproduce when tracking; the rest of the run trains the network as it will be used.
        config: changes of the model's configuration, such as "dropout=0.0".
        seed: of pairs and initialisation.
        workers: processes that make pairs for each that trains; they do not change what is drawn. -1 for all cores
            beside a GPU; beside a CPU for one, or none where each process has a single core.
        save_every: steps between checkpoints, which are made with the next line of the log.
        log_every: steps between lines of the log.
        validate_every: pairs between validations, where there are sequences for it.
    """

    model: str
    data: PairConfig | PaperPairs = field(default_factory=PairConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    pairs: int = 200_000
    epochs: int = 0
    batch: int = 32
    accumulate: int = 1
    ema: float = 0.998
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    compile: bool = False
    sync_norm: bool = False
    backbone: str = ""
    start: str = ""
    only: str = ""
    backbone_from: float = 0.0
    norm_until: float = 1.0
    config: tuple[str, ...] = ()
    seed: int = 1
    workers: int = -1
    save_every: int = 200
    log_every: int = 20
    validate_every: int = 20_000


Tree = TypeVar("Tree")

SHARES = frozenset(
    {"clips", "regions", "pasted", "surrounded", "absent", "hidden", "beside", "doubled", "replaced", "occluded"}
    | {"reframed", "near", "gray", "grey", "blur", "noise", "coarse", "flip", "mirror", "ema", "backbone_from"}
    | {"norm_until", "warmup_from", "drop_at"}
)
LIMITS: Mapping[str, tuple[float, float]] = {
    "pairs": (1, 10**12),
    "batch": (1, 65_536),
    "accumulate": (1, 65_536),
    "seed": (0, 2**63 - 1),
    "workers": (-1, 256),
    "save_every": (1, 10**9),
    "log_every": (1, 10**9),
    "validate_every": (1, 10**12),
    "max_gap": (1, 10**6),
    "tries": (1, 10**6),
    "distractors": (0, 100),
    "betas": (0, math.nextafter(1, 0)),
    "momentum": (0, math.nextafter(1, 0)),
    "size": (16, 2048),  # pixels of a patch
    "factor": (0.1, 100),
}
COUNTS, MEASURES = (0, 10**9), (0.0, 1e6)  # whole numbers and others, where nothing else is said


def check_values(tree: Any, path: str = "") -> None:
    """Whether all numbers in a tree of dataclasses are such that training can begin with them.

    Raises:
        DataError: one that is negative, zero where something is divided by it, beyond all sense, or no number.
    """
    for field_ in dataclasses.fields(tree):
        value, name = getattr(tree, field_.name), f"{path}{field_.name}"
        if dataclasses.is_dataclass(value):
            check_values(value, f"{name}.")
        elif isinstance(value, Mapping):
            for key, number in value.items():
                _check_value(field_.name, f"{name} of {key}", number)
        else:
            for number in value if isinstance(value, tuple) else (value,):
                _check_value(field_.name, name, number)


def _check_value(field_: str, path: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    usual = COUNTS if isinstance(value, int) else MEASURES
    low, high = (0, 1) if field_ in SHARES else LIMITS.get(field_, usual)
    if not low <= value <= high:  # NaN is in no range
        raise DataError(f"{path}={shorter(repr(value))}: must be from {low:.10g} to {high:.10g}")


def override(made: Tree, texts: Sequence[str]) -> Tree:
    """A tree of dataclasses with some fields changed, by texts such as ``"optimizer.lr=5e-4"``.

    Raises:
        DataError: unknown field (the closest are named), or a value of the wrong type.
    """
    for text in texts:
        path, sign, value = text.partition("=")
        if not sign:
            raise DataError(f"cannot read {text!r}; an override is FIELD.FIELD=VALUE")
        made = _override(made, path.split("."), value, path)
    return made


def model_settings(recipe: Recipe) -> dict[str, Any]:
    """What a recipe changes in its model's configuration, by field.

    Raises:
        DataError: no such field, or a value of the wrong type.
        ModelError: no such model.
    """
    if not recipe.config:
        return {}
    with torch.device("meta"):
        config: Any = create_model(recipe.model).config
    changed = override(config, recipe.config)
    for field_ in dataclasses.fields(changed):
        _check_setting(field_.name, getattr(changed, field_.name))
    return {f.name: getattr(changed, f.name) for f in dataclasses.fields(changed)}


def _check_setting(name: str, value: Any) -> None:
    """Of a model's settings, numbers that no network could have; what they mean the network says when it is built."""
    if dataclasses.is_dataclass(value):
        for field_ in dataclasses.fields(value):
            _check_setting(f"{name}.{field_.name}", getattr(value, field_.name))
    elif isinstance(value, tuple):
        for part in value:
            _check_setting(name, part)
    elif isinstance(value, int | float):
        last = name.rpartition(".")[2]
        deep = "layers" in last or "depth" in last or last in ("levels", "blocks")
        low, high = (
            LIMITS[last]
            if last in ("size", "factor")
            else (-1e9, 1000 if deep else 1e9 if isinstance(value, float) else 65_536)
        )
        if not low <= value <= high:
            raise DataError(f"config={name}={shorter(repr(value))}: must be from {low:.10g} to {high:.10g}")


@contextmanager
def working(recipe: Recipe) -> Iterator[None]:
    """Says which setting it is, where a network with changed settings cannot be built or does not work.

    Raises:
        DataError: whatever is wrong.
    """
    try:
        yield
    except LockonError:
        raise
    except Exception as error:
        if not recipe.config:
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{recipe.model} cannot have config={','.join(recipe.config)}: {reason}") from None


def _override(node: Any, path: list[str], value: str, full: str) -> Any:
    fields = {f.name for f in dataclasses.fields(node)}
    head, *rest = path
    if head not in fields:
        raise DataError(f"unknown field {full!r}: {type(node).__name__} has no {head!r}; {closest(head, fields)}")
    current = getattr(node, head)
    if dataclasses.is_dataclass(current):
        if not rest:
            raise DataError(f"{full!r} is a group of fields; set one of them, as in {full}.NAME=VALUE")
        return dataclasses.replace(node, **{head: _override(current, rest, value, full)})
    if rest:
        raise DataError(f"unknown field {full!r}: {head!r} has no fields")
    kind = typing.get_type_hints(type(node))[head]
    try:
        return dataclasses.replace(node, **{head: parse(kind, value)})
    except ValueError:
        choices = " or ".join(map(str, typing.get_args(kind))) if typing.get_origin(kind) is Literal else ""
        choices = "NAME:NUMBER,NAME:NUMBER" if typing.get_origin(kind) is dict else choices
        raise DataError(f"{full}={value}: expected {choices or getattr(kind, '__name__', kind)}") from None


def parse(kind: Any, text: str) -> Any:
    """A value of a field's type from its text: bool, int, float, str, one of some words, a tuple of these joined by
    commas, or numbers by name, as in ``lasot:1,coco:0.5``."""
    origin = typing.get_origin(kind)
    if origin is dict:
        pairs = [part.strip().rpartition(":") for part in text.split(",") if part.strip()]
        if not all(name for name, *_ in pairs):
            raise ValueError(text)
        return {name: parse(typing.get_args(kind)[1], value) for name, _, value in pairs}
    if origin is tuple:
        parts = typing.get_args(kind)
        texts = [part for part in text.strip("()[] ").split(",") if part.strip()]
        kinds = [parts[0]] * len(texts) if parts[-1] is Ellipsis else list(parts)
        if len(kinds) != len(texts):
            raise ValueError(text)
        return tuple(parse(k, t.strip()) for k, t in zip(kinds, texts, strict=True))
    if origin in (typing.Union, types.UnionType):
        inner = [k for k in typing.get_args(kind) if k is not type(None)]
        return None if text.lower() == "none" else parse(inner[0], text)
    if origin is Literal and text in typing.get_args(kind):
        return text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(text)
        return text.lower() == "true"
    if kind in (int, float, str):
        return kind(text)
    raise ValueError(text)


def parse_data(texts: Sequence[str]) -> dict[str, list[str]]:
    """``NAME=PATH`` arguments as paths by name; a name may come several times.

    Raises:
        DataError: an argument without both.
    """
    data: dict[str, list[str]] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not (name and path):
            raise DataError(f"cannot read --data {text!r}; write NAME=PATH, for example images=data/images.tar")
        data.setdefault(name, []).append(path)
    return data
