"""What a model consists of: parameters and multiply-adds, in all and by part."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from lockon.nn.count import multiply_adds
from lockon.registry import create_model
from lockon.tracker import TrackingModel


class Part(NamedTuple):
    """Parameters of a part of a model, and its multiply-adds in each tracked frame and for each new template."""

    parameters: int
    frame: int
    template: int


class Summary(NamedTuple):
    """A model without its weights, and its parts by name; "" is all of it, whatever part does the work."""

    model: TrackingModel
    parts: dict[str, Part]


def summarize(name: str) -> Summary:
    """Counts a model's parameters and its work for one target.

    Nothing is computed where the model can be run on the meta device; one that looks at its own numbers on the way
    (to choose what to do next) is run once on the CPU.

    Raises:
        ModelError: unknown name.
    """
    return count(lambda: create_model(name))


def count(build: Callable[[], TrackingModel]) -> Summary:
    """As ``summarize``, of the model that a function builds.

    Raises:
        RuntimeError, ValueError: the model cannot be run.
    """
    try:
        with torch.device("meta"):
            return _summarize(build().eval())
    except RuntimeError:  # what PyTorch raises for a number that is not there
        return _summarize(build().eval())


def _summarize(model: TrackingModel) -> Summary:
    parts = {part: module for part, module in model.named_children() if next(module.parameters(), None) is not None}
    z, x = model.template_crop.size, model.search_crop.size
    template = (torch.zeros(1, 3, z, z), torch.zeros(1, z, z, dtype=torch.bool), torch.full((1, 4), 0.5))
    search = (torch.zeros(1, 3, x, x), torch.zeros(1, x, x, dtype=torch.bool))
    with torch.no_grad():
        memory = model.remember(None, model.memorize(*template))
    once = multiply_adds(model, lambda: model.memorize(*template), *parts)
    each = multiply_adds(model, lambda: model(*search, memory), *parts)
    return Summary(
        model,
        {
            name: Part(
                sum(p.numel() for p in (parts[name] if name else model).parameters()),
                sum(each[name].values()),
                sum(once[name].values()),
            )
            for name in (*parts, "")
        },
    )
