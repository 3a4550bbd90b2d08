"""A run on disk: one file from which it goes on exactly, whole at every moment."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lockon.checkpoints import read_content
from lockon.errors import DataError, ModelError, OutputError, first_few
from lockon.files import whole_file
from lockon.training.recipe import Recipe
from lockon.training.run import Run

CHANGEABLE = ("workers", "accumulate", "compile", "save_every", "log_every", "validate_every")
STATE = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "sgd": {"momentum_buffer"}}  # what is known of a parameter


def save_checkpoint(run: Run, path: Path) -> None:
    """Writes a checkpoint: to the disk itself under another name, then in one move over the last one.

    Raises:
        OutputError: it cannot be written, as on a full disk; the last one is untouched.
    """
    state = {
        "recipe": json.dumps(dataclasses.asdict(run.recipe)),
        "step": run.step,
        "best": run.best,
        "model": run.model.state_dict(),
        "ema": run.ema,
        "optimizer": run.optimizer.state_dict(),
    }
    try:
        save_torch(state, path)
    except OutputError as error:
        kept = "; the last one is whole: make room and go on with --resume" if path.exists() else ""
        raise OutputError(f"{error}{kept}") from None


def save_torch(content: Any, path: Path, replace: bool = True) -> None:
    """Writes tensors and plain values in PyTorch's format, whole or not at all.

    Raises:
        OutputError: as ``whole_file``.
    """
    with whole_file(path, replace=replace) as file:
        told = _Told(file)
        try:
            torch.save(content, told)  # type: ignore[arg-type]
        except RuntimeError as error:  # PyTorch's writer, surprised by what the disk said
            raise (told.fault or OutputError(f"{path}: cannot be written: {str(error).splitlines()[0]}")) from None


class _Told:
    """A file that remembers what the disk said, which PyTorch's writer does not."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.fault = file, None

    fault: OSError | None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        self.file.flush()


def load_checkpoint(run: Run, path: Path, device: torch.device) -> None:
    """Goes on from a checkpoint of the same recipe; nothing in it is run.

    Raises:
        DataError: a file that is not a checkpoint of a run, one of another recipe, or one whose numbers are not finite.
            The run is as it was.
    """
    try:
        state = read_content(path)
    except ModelError as error:
        raise DataError(f"{error}; move it away to begin anew, or give another --out") from None
    try:
        told = json.loads(state["recipe"])
        changed = changed_fields(run.recipe, told)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        raise _not_of_a_run(path, "it has no recipe") from None
    if changed:
        raise DataError(f"{path} was made by another recipe ({first_few(changed, 8)} differ); give another --out")
    step, best = state.get("step"), state.get("best", run.best)
    if type(step) is not int or not 0 <= step <= run.total:
        raise _not_of_a_run(path, f"it has no step from 0 to {run.total}")
    if type(best) not in (int, float) or not math.isfinite(best):
        raise _not_of_a_run(path, "its best score is no number")
    own = run.model.state_dict()
    model, ema = _like(path, "weights", state.get("model"), own), _like(path, "average", state.get("ema"), own)
    optimizer = _optimizer_state(run, path, state.get("optimizer"))
    run.optimizer.load_state_dict(optimizer)
    run.model.load_state_dict(model)
    for name, value in ema.items():
        run.ema[name].copy_(value)
    run.step, run.best = step, best


def _not_of_a_run(path: Path, reason: str) -> DataError:
    return DataError(f"{path}: not a readable checkpoint of a run: {reason}; move it away, or give another --out")


def _like(path: Path, what: str, given: Any, own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a file, if they have the names, shapes and types of others, and are finite."""
    if not isinstance(given, dict) or given.keys() != own.keys():
        raise _not_of_a_run(path, f"its {what} have other names")
    for name, value in given.items():
        wanted = own[name]
        if not isinstance(value, Tensor) or (value.shape, value.dtype) != (wanted.shape, wanted.dtype):
            raise _not_of_a_run(path, f"{name} of its {what} has another shape or type")
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise _not_of_a_run(path, f"{name} of its {what} has numbers that are not finite")
    return given


def _optimizer_state(run: Run, path: Path, given: Any) -> dict[str, Any]:
    """What an optimiser knows of each parameter; its rates and groups follow from the recipe."""
    own = run.optimizer.state_dict()
    told = given.get("state") if isinstance(given, dict) else None
    if not isinstance(told, dict):
        raise _not_of_a_run(path, "it has no state of an optimiser")
    for number, values in told.items():
        if type(number) is not int or not 0 <= number < len(run.trained) or not isinstance(values, dict):
            raise _not_of_a_run(path, "its optimiser is of other parameters")
        if values.keys() != STATE[run.recipe.optimizer.kind]:
            raise _not_of_a_run(path, "its optimiser is of another kind")
        shape = run.trained[number].shape
        for name, value in values.items():
            plain = value is None or (isinstance(value, Tensor) and (value.numel() == 1 or value.shape == shape))
            if not plain or (isinstance(value, Tensor) and not torch.isfinite(value).all()):
                raise _not_of_a_run(path, f"{name!r} of its optimiser is not what it should be")
    return own | {"state": told}


def changed_fields(recipe: Recipe, told: dict[str, Any]) -> list[str]:
    """The fields in which a recipe differs from one that was written, where that matters to what is trained.

    Raises:
        TypeError, AttributeError: what was written is no recipe.
    """
    known = _filled(told, Recipe(recipe.model, type(recipe.data)()))
    mine = _plain(recipe)
    return sorted(name for name in mine if known[name] != mine[name] and name not in CHANGEABLE)


def _filled(told: dict[str, Any], usual: Any) -> dict[str, Any]:
    """What was told, with the defaults of fields that are newer."""
    filled = {}
    for name, default in ((f.name, getattr(usual, f.name)) for f in dataclasses.fields(usual)):
        if dataclasses.is_dataclass(default):
            filled[name] = _filled(told.get(name, {}), default)
        else:
            filled[name] = told[name] if name in told else json.loads(json.dumps(default))
    return filled


def _plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain
