"""How weights change: the optimiser with its groups, and the learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimiser, and a learning rate that warms up and then follows a schedule.

    Where the recipe has ``epochs``, the rate stays as it is for each of them, and ``warmup`` counts epochs; else the
    rate changes with every step.

    Attributes:
        lr: learning rate; ``backbone`` multiplies it for parameters of the backbone, and ``parts`` for those whose
            names contain one of these words, wherever they are.
        weight_decay: not applied to biases, norms and embeddings, unless ``decay_all``, as in the papers' official
            training.
        betas: of AdamW; ``momentum``: of SGD.
        clip: largest norm of the gradient; 0 leaves it as it is.
        warmup: optimiser steps, or epochs.
        warmup_from: share of the rate from which it rises in equal factors; 0 for a linear rise from nothing.
        final: what is left of the learning rate at the end, or after a drop.
        schedule: "cosine" down to ``final`` of the rate; "exponential", in equal factors, down to the same; or "drop":
            at once ``final`` of the rate after each of the shares ``drop_at`` of the run.
    """

    lr: float = 1e-3
    backbone: float = 1.0
    weight_decay: float = 1e-2
    decay_all: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    warmup: int = 300
    final: float = 0.01
    schedule: Literal["cosine", "exponential", "drop"] = "cosine"
    drop_at: tuple[float, ...] = (0.8,)
    kind: Literal["adamw", "sgd"] = "adamw"
    momentum: float = 0.9
    parts: dict[str, float] = field(default_factory=dict)
    warmup_from: float = 0.0


def parameter_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """The parameters that train, by part of the network and by weight decay.

    Returns:
        Groups for an optimiser, each with "part" (a word of ``config.parts``, "backbone" or "rest") and "factor", which
        multiplies the group's learning rate.
    """
    factors = {"backbone": config.backbone, "rest": 1.0} | config.parts
    groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            part = "backbone" if name.startswith("backbone.") else "rest"
            part = next((word for word in config.parts if word in name), part)
            decay = config.decay_all or (parameter.dim() > 1 and "embed" not in name)
            groups.setdefault((part, decay), []).append(parameter)
    return [
        {
            "params": parameters,
            "part": part,
            "factor": factors[part],
            "weight_decay": config.weight_decay if decay else 0.0,
        }
        for (part, decay), parameters in groups.items()
    ]


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW or SGD with ``parameter_groups``."""
    groups = parameter_groups(model, config)
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum)
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)


def learning_rate(config: OptimizerConfig, step: int, total: int, epochs: int = 0) -> float:
    """Of step number ``step``, counted from 0, in a run of ``total`` steps in so many epochs (0: as many as steps); a
    pure function of its arguments."""
    if epochs:
        step, total = step * epochs // total, epochs
    if step < config.warmup:
        if config.warmup_from:
            return config.lr * config.warmup_from ** (1 - step / config.warmup)
        return config.lr * (step + 1) / config.warmup
    return config.lr * _SCHEDULES[config.schedule](config, step, total)


def _cosine(config: OptimizerConfig, step: int, total: int) -> float:
    done = (step - config.warmup) / max(1, total - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _exponential(config: OptimizerConfig, step: int, total: int) -> float:
    return config.final ** ((step - config.warmup) / max(1, total - config.warmup - 1))


def _drop(config: OptimizerConfig, step: int, total: int) -> float:
    return config.final ** sum(step >= share * total for share in config.drop_at)


_SCHEDULES = {"cosine": _cosine, "exponential": _exponential, "drop": _drop}
