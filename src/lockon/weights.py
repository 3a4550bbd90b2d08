"""Weights in and out: safetensors of our own, checkpoints of others read without running anything in them."""

from __future__ import annotations

import difflib
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lockon.errors import ModelError, OutputError

NESTED = ("net", "state_dict", "model_state_dict", "model")


def save_weights(state: Mapping[str, Tensor], path: Path, model: str, dtype: torch.dtype = torch.float16) -> None:
    """Writes a safetensors file in one move, with the model's name in its metadata.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    unfinished = path.with_suffix(".tmp")
    try:
        save_file(tensors, unfinished, metadata={"model": model})
        os.replace(unfinished, path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot write weights: {error}") from None


def read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file, and the model that its metadata names.

    Args:
        path: a safetensors file, or a PyTorch checkpoint whose weights stand at the top or under ``net``,
            ``state_dict``, ``model_state_dict`` or ``model``, with or without a ``module.`` prefix.

    Raises:
        ModelError: missing, corrupt, or a checkpoint that pickles more than tensors and plain values.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                return {name: file.get_tensor(name) for name in file.keys()}, metadata.get("model")  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path}: not a readable safetensors file: {error}") from None
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, OSError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a checkpoint that can be read safely: {reason}") from None
    return _find_tensors(content, path), None


def _find_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[k] for k in NESTED if isinstance(content.get(k), Mapping)), None)
        if inner is None:
            break
        content = inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {str(k).removeprefix("module."): v for k, v in content.items() if isinstance(v, Tensor)}
    if not tensors:
        raise ModelError(f"{path}: no weights in this checkpoint (looked at the top and under {', '.join(NESTED)})")
    return tensors


def load_into(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    rename: Callable[[str], str] = lambda name: name,
) -> None:
    """Puts tensors into a model, strictly: every name and shape must fit, in both directions.

    Args:
        rename: a tensor's official name to its name in the model; names of the model pass through it unchanged.

    Raises:
        ModelError: names or shapes that do not fit, the first few listed with the nearest of the other side.
    """
    renamed = {rename(name): value for name, value in tensors.items()}
    if len(renamed) < len(tensors):
        raise ModelError(f"{source}: {len(tensors) - len(renamed)} of its names stand for the same weight twice")
    own = model.state_dict()
    counters = {name for name in own.keys() ^ renamed.keys() if name.endswith("num_batches_tracked")}
    missing = sorted(own.keys() - renamed.keys() - counters)
    unexpected = sorted(renamed.keys() - own.keys() - counters)
    shapes = [
        f"{name} is {tuple(renamed[name].shape)}, not {tuple(own[name].shape)}"
        for name in sorted(own.keys() & renamed.keys())
        if renamed[name].shape != own[name].shape
    ]
    if missing or unexpected or shapes:
        faults = [f"{len(missing)} missing{_list(missing, unexpected)}"] if missing else []
        faults += [f"{len(unexpected)} unexpected{_list(unexpected, missing)}"] if unexpected else []
        faults += [f"{len(shapes)} of another shape: {'; '.join(shapes[:3])}"] if shapes else []
        raise ModelError(f"{source}: these weights are not of this model: {', '.join(faults)}")
    model.load_state_dict({name: value for name, value in renamed.items() if name in own}, strict=False)


def _list(names: list[str], others: list[str]) -> str:
    shown = []
    for name in names[:3]:
        near = difflib.get_close_matches(name, others, n=1)
        shown.append(f"{name} (nearest: {near[0]})" if near else name)
    return f": {', '.join(shown)}{', ...' if len(names) > 3 else ''}"
