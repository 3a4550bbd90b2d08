"""Weights in and out of models: safetensors of our own, checkpoints of others, backbones as published."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lockon.checkpoints import Checkpoint, read_torch
from lockon.errors import ModelError, OutputError
from lockon.nn.correlation import Correlation


def save_weights(state: Mapping[str, Tensor], path: Path, model: str, dtype: torch.dtype = torch.float16) -> None:
    """Writes a safetensors file in one move, with the model's name in its metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    unfinished = path.with_suffix(".tmp")
    try:
        unfinished.write_bytes(save(tensors, metadata={"model": model}))  # save_file would keep others from reading it
        os.replace(unfinished, path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot write weights: {error}") from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file, and the model that its metadata names; see ``read_checkpoint``."""
    found = read_checkpoint(path)
    return found.tensors, found.model


def read_checkpoint(path: Path) -> Checkpoint:
    """What a file of weights holds.

    Args:
        path: a safetensors file, or any PyTorch checkpoint (``checkpoints.read_torch``), of which nothing is run.

    Raises:
        ModelError: missing, corrupt, hostile, or without weights.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    if path.suffix != ".safetensors":
        return read_torch(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return Checkpoint(tensors, metadata.get("model"))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: not a readable safetensors file: {error}") from None


def load_into(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    rename: Callable[[str], str] = lambda name: name,
) -> None:
    """Puts tensors into a model, strictly: every name, shape and kind of number must fit, in both directions.

    Args:
        rename: a tensor's official name to its name in the model; names of the model pass through it unchanged.

    Raises:
        ModelError: they do not fit; see ``misfit``.
    """
    fault = misfit(model, tensors, rename)
    if fault:
        raise ModelError(f"{source}: these weights are not of this model: {fault}")
    own = model.state_dict()
    renamed = {rename(name): value for name, value in tensors.items()}
    model.load_state_dict({name: value for name, value in renamed.items() if name in own}, strict=False)


def misfit(model: nn.Module, tensors: Mapping[str, Tensor], rename: Callable[[str], str] = lambda name: name) -> str:
    """Why ``load_into`` would refuse: the first few names, shapes and types that do not fit, with the nearest names of
    the other side; empty if all is well.

    Batch norms' counters of batches may be missing or too many, and float16 and bfloat16 fit where float32 is wanted.
    """
    renamed = {rename(name): value for name, value in tensors.items()}
    own = model.state_dict()
    counters = {name for name in own.keys() ^ renamed.keys() if name.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - renamed.keys() - counters)
    unexpected = sorted(renamed.keys() - own.keys() - counters)
    both = sorted(own.keys() & renamed.keys())
    shapes = [
        f"{name} is {tuple(renamed[name].shape)}, not {tuple(own[name].shape)}"
        for name in both
        if renamed[name].shape != own[name].shape
    ]
    types = [
        f"{name} is {_plain(renamed[name].dtype)}, not {_plain(own[name].dtype)}"
        for name in both
        if not _fits(renamed[name].dtype, own[name].dtype)
    ]
    twice = len(tensors) - len(renamed)
    faults = [f"{twice} of its names stand for the same weight twice"] if twice else []
    faults += [f"{len(missing)} missing{_list(missing, unexpected)}"] if missing else []
    faults += [f"{len(unexpected)} unexpected{_list(unexpected, missing)}"] if unexpected else []
    faults += [f"{len(shapes)} of another shape: {_first(shapes, '; ')}"] if shapes else []
    faults += [f"{len(types)} of another type: {_first(types, '; ')}"] if types else []
    return ", ".join(faults)


def likeness(model: nn.Module, tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> float:
    """How much tensors are like a model's weights, 0 to 1: shared names and shapes over all of both."""
    own = {(name, value.shape) for name, value in model.state_dict().items()}
    theirs = {(rename(name), value.shape) for name, value in tensors.items()}
    shared, every = (
        sum(not name.endswith("num_batches_tracked") for name, _ in names) for names in (own & theirs, own | theirs)
    )
    return shared / max(every, 1)


@runtime_checkable
class Backbone(Protocol):
    """A part of a model that comes pretrained, and knows its published weights."""

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published weights under this module's names and in its shapes, without what it has no use for."""


def load_backbone(model: nn.Module, path: Path) -> int:
    """Puts published weights, such as torchvision's ``resnet50-19c8e357.pth``, into a model's backbone, strictly.

    The backbone is the first part of the model that has a method ``published`` (see ``Backbone``). Where the weights
    are those of another small tracker, its comparison of search and template (``nn.correlation``) comes along.

    Returns:
        The number of tensors loaded.

    Raises:
        ModelError: the model has no such part, or the weights are not the backbone's.
    """
    backbone = next((module for module in model.modules() if isinstance(module, Backbone)), None)
    if backbone is None:
        raise ModelError(f"{path}: this model has no backbone with published weights; train it without")
    given = read_checkpoint(path).tensors
    parts: list[tuple[str, nn.Module, dict[str, Tensor]]] = [("backbone", backbone, backbone.published(given))]
    part = getattr(model, "correlation", None)
    own = {name.removeprefix("correlation."): x for name, x in given.items() if name.startswith("correlation.")}
    if isinstance(part, Correlation) and own:
        parts.append(("correlation", part, own))
    for name, part, tensors in parts:
        if fault := misfit(part, tensors):
            raise ModelError(f"{path}: these weights are not of this model's {name}: {fault}")
    for _, part, tensors in parts:
        load_into(part, tensors, str(path))
    return sum(len(tensors) for _, _, tensors in parts)


def _fits(given: torch.dtype, wanted: torch.dtype) -> bool:
    return given == wanted or (wanted == torch.float32 and given in (torch.float16, torch.bfloat16))


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first(texts: list[str], between: str) -> str:
    return between.join(texts[:3]) + (f"{between}..." if len(texts) > 3 else "")


def _list(names: list[str], others: list[str]) -> str:
    shown = []
    for name in names[:3]:
        near = difflib.get_close_matches(name, others, n=1)
        shown.append(f"{name} (nearest: {near[0]})" if near else name)
    return f": {_first(shown + names[3:4], ', ')}"
