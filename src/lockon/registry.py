"""Names to models, and models with weights to trackers."""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import pkgutil
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import torch

from lockon import models
from lockon.errors import ModelError
from lockon.models import MODELS, ModelInfo
from lockon.tracker import Tracker, TrackingModel
from lockon.weights import load_into, read_weights

for _module in pkgutil.iter_modules(models.__path__):
    importlib.import_module(f"{models.__name__}.{_module.name}")  # registers its models

DEFAULT = "stark-tiny"


def list_models(pattern: str = "*", shipped: bool = False) -> list[str]:
    """Names of models that match a shell pattern such as ``"stark*"``; ``shipped``: only those with weights."""
    return sorted(n for n, info in MODELS.items() if fnmatch.fnmatch(n, pattern) and (info.shipped or not shipped))


def create_model(name: str, pretrained: bool = False, weights: str | Path | None = None) -> TrackingModel:
    """The bare network, in training mode, its weights at random unless asked otherwise.

    Args:
        name: one of ``list_models()``.
        pretrained: load the weights that come with the package.
        weights: a safetensors file, or a checkpoint of the authors' code; wins over ``pretrained``.

    Raises:
        ModelError: unknown name (the closest are named), no shipped weights, or a file that does not fit.
    """
    info = _info(name)
    path = Path(weights) if weights is not None else shipped_weights(name) if pretrained else None
    model = info.build()
    if path is not None:
        tensors, told = read_weights(path)
        if told is not None and told != name:
            raise ModelError(f"{path}: these are weights of {told}, not of {name}; use --tracker {told}")
        load_into(model, tensors, str(path), info.official_name)
    return model


def load(name: str = DEFAULT, weights: str | Path | None = None, device: str = "auto") -> Tracker:
    """A tracker, ready for ``init``.

    Args:
        name: one of ``list_models()``.
        weights: a file; without it the weights that come with the package are used.
        device: "auto" (a CUDA GPU where there is one), "cpu", "cuda" or "cuda:N".

    Raises:
        ModelError: unknown name, weights that do not fit, or a device that is not there.
    """
    place = find_device(device)
    return Tracker(create_model(name, pretrained=True, weights=weights), place)


def shipped_weights(name: str) -> Path:
    """Where the package keeps a model's weights.

    Raises:
        ModelError: none are shipped for it.
    """
    if not _info(name).shipped:
        ready = ", ".join(list_models(shipped=True))
        raise ModelError(f"no weights come with {name}: give a file (--weights FILE), or use one of: {ready}")
    return Path(str(resources.files("lockon") / "assets" / f"{name}.safetensors"))


def find_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one.

    Raises:
        ModelError: unknown, or not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ModelError(f"unknown device {name!r}; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"device {name!r} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {name!r} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices here; "
            "use --device cpu, or install a CUDA build of PyTorch"
        )
    return device


def closest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the names nearest to a wrong one, else all."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"


def _info(name: str) -> ModelInfo:
    if name not in MODELS:
        raise ModelError(f"unknown tracker {name!r}; {closest(name, MODELS)}")
    return MODELS[name]
