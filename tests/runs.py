"""Short training runs for the tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from lockon.training.logs import Event, Progress
from lockon.training.recipe import Recipe
from lockon.training.recipes import get_recipe
from lockon.weights import read_weights

CPU = torch.device("cpu")
SHORT = ["pairs=32", "batch=4", "workers=0", "precision=float32", "save_every=2", "log_every=2", "optimizer.warmup=2"]


def short(*overrides: str, name: str = "stark-tiny") -> Recipe:
    """A recipe for eight steps of four pairs, with some fields changed."""
    return get_recipe(name, [*SHORT, *overrides])


def same_weights(one: Path, two: Path) -> bool:
    """Whether two files hold the same numbers."""
    first, second = read_weights(one)[0], read_weights(two)[0]
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def changed_parts(one: Path, two: Path) -> set[str]:
    """The parts of a network whose weights differ between two files."""
    first, second = read_weights(one)[0], read_weights(two)[0]
    return {name.split(".")[0] for name in first if not torch.equal(first[name], second[name])}


def column(path: Path, name: str) -> Sequence[str]:
    """A column of a CSV file."""
    head, *rows = [line.split(",") for line in path.read_text().splitlines()]
    return [row[head.index(name)] for row in rows]


def stop_at(step: int) -> Callable[[Event | str], None]:
    """For ``train``'s ``report``: as if Ctrl-C were pressed when this step is reported."""

    def report(event: Event | str) -> None:
        if isinstance(event, Progress) and event.step == step:
            raise KeyboardInterrupt

    return report
