"""What a training run changes, and how: one optimiser step at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from lockon.errors import DataError
from lockon.tracker import PairBatch, TrackingModel
from lockon.training.optimizer import learning_rate, make_optimizer
from lockon.training.phases import Phases
from lockon.training.processes import Team
from lockon.training.recipe import Recipe

ALONE = Team()


class NotFiniteError(DataError):
    """The loss or its gradient is not a finite number; the weights are still those from before the step."""


class Run:
    """Weights, their average, the optimiser and the number of steps made.

    Nothing else is carried from step to step: the random numbers of a step (dropout, drawn proposals) follow from the
    recipe's seed, the step and the process, so that a run that goes on does what it would have done.

    Attributes:
        gradient: norm of the last step's gradient before it was clipped.
        ema: the averaged weights by name.
        total: steps in all.
        best: highest success in a validation so far.
    """

    gradient: Tensor

    def __init__(self, recipe: Recipe, model: TrackingModel, team: Team = ALONE) -> None:
        self.recipe, self.model, self.team, self.step, self.best = recipe, model, team, 0, -1.0
        self.total = recipe.pairs // recipe.batch
        self.optimizer = make_optimizer(model, recipe.optimizer)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
        self.phases = Phases(recipe, model, self.total)
        state = model.state_dict()  # these tensors stay the model's own: all that follows changes them in place
        team.share(list(state.values()))
        self.ema = {name: value.clone() for name, value in state.items()}
        self._now = [value for value in state.values() if value.is_floating_point()]
        self._mean = [value for value in self.ema.values() if value.is_floating_point()]
        self._counters = [(self.ema[k], value) for k, value in state.items() if not value.is_floating_point()]

    def advance(self, batch: PairBatch) -> dict[str, Tensor]:
        """One optimiser step.

        Args:
            batch: this process's share of the step's pairs.

        Returns:
            The losses of the whole step, on the CPU.

        Raises:
            NotFiniteError: a loss, or the gradient, is not finite.
            DataError: there is too little memory.
        """
        self._prepare()
        try:
            losses = self._backward(batch)
            sums, statistics = torch.stack(list(losses.values())), self._statistics()
            self.team.sum_gradients(self.trained, [sums, *statistics])
            for value in statistics if self.team.size > 1 else ():
                value /= self.team.size
            self.gradient = nn.utils.clip_grad_norm_(self.trained, self.recipe.optimizer.clip or math.inf)
            *values, norm = torch.cat([sums, self.gradient[None]]).cpu()  # the step's one wait for a GPU
            self._check(dict(zip(losses, values, strict=True)), norm)
            self.optimizer.step()
        except torch.cuda.OutOfMemoryError:
            raise self._too_much(batch, "the GPU has") from None
        except RuntimeError as error:
            if "allocate memory" not in str(error):  # what PyTorch says on a CPU
                raise
            raise self._too_much(batch, "there is") from None
        self.step += 1
        self._average()
        return dict(zip(losses, values, strict=True))

    def _too_much(self, batch: PairBatch, where: str) -> DataError:
        parts = self.recipe.accumulate
        return DataError(
            f"{where} too little memory for {len(batch.search) // parts} pairs at once: take them in more parts (--set "
            f"accumulate={2 * parts}), which trains the same"
        )

    def _prepare(self) -> None:
        """Learning rate, batch norms and random numbers of the step."""
        self.phases.enter(self.step)
        rate = learning_rate(self.recipe.optimizer, self.step, self.total, self.recipe.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        seed = np.random.SeedSequence([self.recipe.seed, self.step, self.team.rank])
        torch.manual_seed(int(seed.generate_state(1, np.uint64)[0]))
        self.optimizer.zero_grad(set_to_none=True)

    def _backward(self, batch: PairBatch) -> dict[str, Tensor]:
        """Gradients and losses of this process's part, which over all processes add up to those of the whole batch."""
        size = len(batch.search) // self.recipe.accumulate
        parts = [PairBatch(*(x[i : i + size] for x in batch)) for i in range(0, len(batch.search), size)]
        share = 1 / (len(parts) * self.team.size)
        divisors = self._divisors(parts, share)
        sums: dict[str, Tensor] = {}
        for part in parts:
            with torch.autocast(part.search.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
                losses = self.model.loss(part, divisors)
            (share * losses["total"]).backward()
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + share * value.detach().float()
        return sums

    def _divisors(self, parts: list[PairBatch], share: float) -> dict[str, Tensor]:
        """The whole step's counts, at least 1 each, for one of its parts; see ``TrackingModel.loss``."""
        counts = [self.model.counts(part) for part in parts]
        totals = torch.stack([torch.stack([*count.values()]).float() for count in counts]).sum(0)
        return dict(zip(counts[0], share * self.team.sum(totals).clamp(min=1), strict=True))

    def _statistics(self) -> list[Tensor]:
        """Running statistics of the batch norms that learn them: each process has its own, the model their mean."""
        learning = [m for m in self.norms if m.training and m.track_running_stats]
        return [value for m in learning for value in (m.running_mean, m.running_var) if value is not None]

    def _check(self, losses: dict[str, Tensor], norm: Tensor) -> None:
        if torch.isfinite(losses["total"]) and torch.isfinite(norm):
            return
        shown = ", ".join(f"{name} {value:.4g}" for name, value in (losses | {"gradient": norm}).items())
        first = self.step * self.recipe.batch
        where = f"at step {self.step} (pairs {first} to {first + self.recipe.batch - 1})"
        what = "gradient" if torch.isfinite(losses["total"]) else "loss"
        raise NotFiniteError(f"the {what} is not finite {where}: {shown}; try a lower optimizer.lr")

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # an early average forgets the start
        get_ema_multi_avg_fn(decay)(self._mean, self._now, self.step)
        for mean, now in self._counters:
            mean.copy_(now)
