"""How weights change: the optimiser with its groups, and the learning rate over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW, and a learning rate that warms up linearly and then follows a schedule.

    Attributes:
        lr: learning rate; ``backbone`` multiplies it for parameters of the backbone.
        weight_decay: not applied to biases, norms and embeddings, unless ``decay_all``, as in the official training of
            STARK.
        clip: largest norm of the gradient.
        warmup: optimiser steps.
        final: what is left of the learning rate at the end.
        schedule: "cosine" down to ``final`` of the rate, or "drop": at once ``final`` of the rate after the share
            ``drop_at`` of the run, as in the official training of STARK.
    """

    lr: float = 1e-3
    backbone: float = 1.0
    weight_decay: float = 1e-2
    decay_all: bool = False
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    warmup: int = 300
    final: float = 0.01
    schedule: Literal["cosine", "drop"] = "cosine"
    drop_at: float = 0.8


def make_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """AdamW with groups by weight decay and by part of the network; "factor" multiplies a group's learning rate."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = config.decay_all or (parameter.dim() > 1 and "embed" not in name)
            key = (name.startswith("backbone."), decay)
            groups.setdefault(key, []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "factor": config.backbone if backbone else 1.0,
                "weight_decay": config.weight_decay if decay else 0.0,
            }
            for (backbone, decay), parameters in groups.items()
        ],
        lr=config.lr,
        betas=config.betas,
    )


def learning_rate(config: OptimizerConfig, step: int, total: int) -> float:
    """Of step number ``step``, counted from 0, in a run of ``total`` steps; a pure function of its arguments."""
    if step < config.warmup:
        return config.lr * (step + 1) / config.warmup
    return config.lr * _SCHEDULES[config.schedule](config, step, total)


def _cosine(config: OptimizerConfig, step: int, total: int) -> float:
    done = (step - config.warmup) / max(1, total - config.warmup)
    return config.final + (1 - config.final) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def _drop(config: OptimizerConfig, step: int, total: int) -> float:
    return config.final if step >= config.drop_at * total else 1.0


_SCHEDULES = {"cosine": _cosine, "drop": _drop}
