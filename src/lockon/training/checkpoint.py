"""A run on disk: one file from which it goes on exactly, whole at every moment."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import torch

from lockon.errors import DataError, OutputError
from lockon.training.recipe import Recipe
from lockon.training.run import Run

CHANGEABLE = ("workers", "accumulate", "compile", "save_every", "log_every", "validate_every")


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
    unfinished = path.with_suffix(".tmp")
    try:
        with unfinished.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except (OSError, RuntimeError) as error:  # the latter is PyTorch's writer, surprised by the former
        unfinished.unlink(missing_ok=True)
        reason = str(error.__context__ if isinstance(error.__context__, OSError) else error).splitlines()[0]
        kept = "; the last one is whole: make room and go on with --resume" if path.exists() else ""
        raise OutputError(f"{path}: cannot write the checkpoint: {reason}{kept}") from None


def load_checkpoint(run: Run, path: Path, device: torch.device) -> None:
    """Goes on from a checkpoint of the same recipe; only tensors and plain values are unpickled.

    Raises:
        DataError: a file that is not a checkpoint, or one of another recipe.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        told = json.loads(state["recipe"])
    except Exception as error:  # whatever a broken file makes of the reader
        raise DataError(f"{path}: not a readable checkpoint: {str(error).splitlines()[0]}") from None
    changed = changed_fields(run.recipe, told)
    if changed:
        raise DataError(f"{path} was made by another recipe ({', '.join(changed)} differ); give another --out")
    run.model.load_state_dict(state["model"])
    run.optimizer.load_state_dict(state["optimizer"])
    for name, value in state["ema"].items():
        run.ema[name].copy_(value)
    run.step, run.best = state["step"], state.get("best", run.best)


def changed_fields(recipe: Recipe, told: dict[str, Any]) -> list[str]:
    """The fields in which a recipe differs from one that was written, where that matters to what is trained."""
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
