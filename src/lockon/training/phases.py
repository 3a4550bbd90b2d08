"""What trains when."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from lockon.tracker import TrackingModel
from lockon.training.recipe import Recipe


class Phases:
    """Readies a model for each step of a run, by the number of the step alone: a run that was stopped goes on alike.

    Made after the optimiser, which has every parameter that is ever to train.

    Args:
        total: steps of the run.
    """

    def __init__(self, recipe: Recipe, model: TrackingModel, total: int) -> None:
        self.recipe, self.model, self.total = recipe, model, total
        self.waits, self.epoch = False, 0
        named = model.named_parameters()
        self.backbone = [p for name, p in named if p.requires_grad and name.startswith("backbone.")]
        self.norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
        self.others = [module for module in self.norms if not _trains(module)] if recipe.only else []

    def enter(self, step: int) -> None:
        """Readies the model, in train mode, for step number ``step``, counted from 0."""
        r = self.recipe
        waits = step < r.backbone_from * self.total
        if waits or self.waits:
            self.model.get_submodule("backbone").train(not waits)
        if waits != self.waits:
            for parameter in self.backbone:
                parameter.requires_grad_(not waits)
        for norm in self.norms if step >= r.norm_until * self.total else self.others:
            norm.eval()
        epoch = 1 + step * r.epochs // self.total
        if r.epochs and epoch != self.epoch:
            self.model.enter_epoch(epoch)
        self.waits, self.epoch = waits, epoch


def train_only(model: nn.Module, beginning: str) -> None:
    """Freezes all parameters whose names do not begin so."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith(beginning))


def _trains(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())
