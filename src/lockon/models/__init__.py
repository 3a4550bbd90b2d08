"""One paper, one file; each registers the models it builds, and is found by lying in this folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lockon.tracker import TrackingModel

Model = TypeVar("Model", bound=TrackingModel)


@dataclass(frozen=True)
class ModelInfo:
    """What the registry knows of a model.

    Attributes:
        build: makes the network, its weights at random.
        paper: title, venue.
        official_name: maps a parameter's name in the authors' checkpoints to ours; ours pass through unchanged.
        shipped: whether trained weights come with the package.
        settings: fields of the model's ``config`` that the paper sets otherwise on a benchmark, by its name (one of
            ``lockon.benchmarks.BENCHMARKS``).
        results: official figures, by benchmark and metric, as printed; ``source`` says where.
    """

    build: Callable[[], TrackingModel]
    paper: str
    official_name: Callable[[str], str]
    shipped: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


MODELS: dict[str, ModelInfo] = {}


def register(**info: Any) -> Callable[[Callable[[], Model]], Callable[[], Model]]:
    """Registers a function that builds a model under its name, with hyphens; the arguments are ``ModelInfo``'s."""

    def mark(build: Callable[[], Model]) -> Callable[[], Model]:
        MODELS[build.__name__.replace("_", "-")] = ModelInfo(build, **info)
        return build

    return mark
