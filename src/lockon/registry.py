"""Names to models, and models with weights to trackers."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import functools
import importlib
import logging
import math
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Any

import torch

from lockon import models
from lockon.benchmarks import BENCHMARKS
from lockon.checkpoints import Checkpoint
from lockon.errors import ModelError, OutputError, printable
from lockon.files import refuse_existing
from lockon.models import MODELS, ModelInfo
from lockon.tracker import Tracker, TrackingModel
from lockon.weights import choose, likeness, load_into, read_checkpoint, save_weights

for _module in pkgutil.iter_modules(models.__path__):
    importlib.import_module(f"{models.__name__}.{_module.name}")  # registers its models

DEFAULT = "stark-tiny"
COMPARABLE = 5000  # tensors of a file that is compared with every model
log = logging.getLogger(__name__)


def list_models(pattern: str = "*", shipped: bool = False) -> list[str]:
    """Names of models that match a shell pattern such as ``"stark*"``; ``shipped``: only those with weights."""
    return sorted(n for n, info in MODELS.items() if fnmatch.fnmatch(n, pattern) and (info.shipped or not shipped))


def create_model(
    name: str,
    pretrained: bool = False,
    weights: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> TrackingModel:
    """The bare network, in training mode, its weights at random unless asked otherwise.

    Args:
        name: one of ``list_models()``.
        pretrained: load the weights that come with the package.
        weights: a safetensors file, or a checkpoint of the authors' code; wins over ``pretrained``.
        settings: fields of the model's ``config`` to change.

    Raises:
        ModelError: unknown name or field (the closest are named), no shipped weights, or a file that does not fit.
    """
    path = Path(weights) if weights is not None else shipped_weights(name) if pretrained else None
    model = _build(name, settings or {})
    if path is not None:
        for note in put_weights(name, model, read_checkpoint(path), path).notes:
            log.warning("%s", printable(f"{path}: {note}"))
    return model


def put_weights(name: str, model: TrackingModel, checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """Puts what was read from a file into a model of this name.

    Returns:
        The checkpoint with the weights that were taken, what was left out, and notes (see ``weights.choose``).

    Raises:
        ModelError: it does not fit; what differs is listed, and the model that it is likely of. Or its numbers are not
            finite.
    """
    if checkpoint.model is not None and checkpoint.model != name:
        told = checkpoint.model
        raise ModelError(f"{path}: these are weights of {told}, not of {name}; use --tracker {told}")
    rename = _info(name).official_name
    chosen, fault = choose(model, checkpoint, rename)
    if fault:
        advice = _advice(name, checkpoint)
        raise ModelError(f"{path}: these weights are not of {name}: {fault}; {advice}")
    load_into(model, chosen.tensors, str(path), rename)
    return chosen


def convert(path: Path, name: str, out: Path) -> Checkpoint:
    """Reads a checkpoint of the authors' code, or any weights of this model, and writes them as safetensors.

    Returns:
        What was read; see there what was left out and what was done.

    Raises:
        ModelError: unknown model, or a file that cannot be read, does not fit or has numbers that are not finite.
        OutputError: ``out`` is not called FILE.safetensors, is there already, or cannot be written.
    """
    _check_out(out, [path])
    model = _build(name, {})
    checkpoint = put_weights(name, model, read_checkpoint(path), path)
    save_weights(model.state_dict(), out, name, torch.float32, replace=False)
    return checkpoint


def average(paths: Sequence[Path], name: str, out: Path) -> None:
    """Writes the mean of several weights of one model, in float16.

    It is often better than each of them where a run began with the weights that another ended with (Wortsman et al.,
    ICML 2022); weights that were trained apart from the start have no such mean.

    Raises:
        ModelError: no weights, unknown model, or a file that cannot be read, does not fit or has numbers that are not
            finite.
        OutputError: ``out`` is not called FILE.safetensors, is there already, or cannot be written; or the mean has
            numbers that float16 cannot hold.
    """
    if not paths:
        raise ModelError("no weights to average: name the files")
    _check_out(out, paths)
    states = [create_model(name, weights=path).state_dict() for path in paths]
    mean = {key: torch.stack([s[key] for s in states]).mean(0) for key, x in states[0].items() if x.is_floating_point()}
    save_weights(states[0] | mean, out, name, replace=False)


def _check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Refuses a name before the work is done."""
    if out.suffix != ".safetensors":
        raise OutputError(f"{out}: weights are written as safetensors; call the file {out.stem}.safetensors")
    for path in inputs:
        with suppress(OSError):
            if out.samefile(path):
                raise OutputError(f"{out}: would be written over, but it is an input; give another --out")
    refuse_existing(out)


def _advice(name: str, checkpoint: Checkpoint) -> str:
    """Which of all models the weights are likely of."""
    most = max([len(checkpoint.tensors), *(len(one.tensors) for one in checkpoint.sets)])
    if most > COMPARABLE:
        return f"they are like no model here: none has {most} tensors"
    scores = {n: likeness(_on_paper(info.build), checkpoint, info.official_name) for n, info in MODELS.items()}
    best = max(scores, key=lambda other: (scores[other], other == name))
    if scores[best] < 0.1:
        return "they are like no model here"
    share = f"{math.floor(100 * scores[best])} % of names and shapes agree"
    if best == name:
        return (
            f"they are nearest to {name} all the same ({share}): the file is incomplete, one of several parts, or was "
            "changed"
        )
    if scores[best] == 1:
        return f"they are weights of {best}: use --tracker {best}"
    return f"they are nearest to {best} ({share})"


def _build(name: str, settings: Mapping[str, Any]) -> TrackingModel:
    build = _info(name).build
    if not settings:
        return build()
    plain: Any = _on_paper(build)
    known = [field.name for field in dataclasses.fields(plain.config)]
    for field in settings:
        if field not in known:
            raise ModelError(f"{name} has no setting {field!r}; {closest(field, known)}")
    model: TrackingModel = type(plain)(dataclasses.replace(plain.config, **settings))
    return model


@functools.cache
def _on_paper(build: Callable[[], TrackingModel]) -> TrackingModel:
    """A model without numbers, to look at."""
    with torch.device("meta"):
        return build()


def benchmark_settings(name: str, benchmark: str) -> Mapping[str, Any]:
    """What the paper sets otherwise on a benchmark; nothing where it has no settings of its own.

    Raises:
        ModelError: unknown model or benchmark.
    """
    if benchmark not in BENCHMARKS:
        raise ModelError(f"unknown benchmark {benchmark!r}; {closest(benchmark, BENCHMARKS)}")
    return _info(name).settings.get(benchmark, {})


def load(
    name: str = DEFAULT, weights: str | Path | None = None, device: str = "auto", benchmark: str | None = None
) -> Tracker:
    """A tracker, ready for ``init``.

    Args:
        name: one of ``list_models()``.
        weights: a file; without it the weights that come with the package are used.
        device: "auto" (a CUDA GPU where there is one), "cpu", "cuda" or "cuda:N".
        benchmark: track with the settings that the paper has for it, such as "lasot"; see ``lockon models NAME``.

    Raises:
        ModelError: unknown name or benchmark, weights that do not fit, or a device that is not there.
    """
    place = find_device(device)
    settings = {} if benchmark is None else benchmark_settings(name, benchmark)
    return Tracker(create_model(name, pretrained=True, weights=weights, settings=settings), place, name)


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
        raise ModelError(f"unknown device {name[:100]!r}; use auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"device {name!r} is not supported; use auto, cpu or cuda")
    if (device.index or 0) < 0:  # PyTorch keeps a number in 8 bits: its "cuda:200" is number -56
        raise ModelError(f"unknown device {name!r}; there are no such numbers")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"device {name!r} was asked for, but PyTorch sees {torch.cuda.device_count()} CUDA devices here; "
            "use --device cpu, or install a CUDA build of PyTorch"
        )
    return device


def closest(name: str, known: Iterable[str]) -> str:
    """The end of an error message: the names nearest to a wrong one, else all."""
    near = difflib.get_close_matches(name[:100], list(known), n=3, cutoff=0.4)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"


def _info(name: str) -> ModelInfo:
    if name not in MODELS:
        raise ModelError(f"unknown tracker {name!r}; {closest(name, MODELS)}")
    return MODELS[name]
