"""The training loop: one process, one device, resumable after a kill."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lockon import registry
from lockon.data.pairs import PairConfig, PairDataset, PairSampler, Sampler, pair_loader
from lockon.data.papers import read_pairs
from lockon.data.sources import read_sources
from lockon.errors import DataError
from lockon.tracker import PairBatch, TrackingModel
from lockon.training.optimizer import learning_rate, make_optimizer
from lockon.training.phases import Phases, train_only
from lockon.training.recipe import Recipe, override
from lockon.weights import load_backbone, save_weights

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Progress:
    """What a line of the log says: pairs seen so far and in all, mean losses since the last line, learning rate,
    pairs per second."""

    pairs: int
    total: int
    losses: dict[str, float]
    lr: float
    speed: float


def train(
    recipe: Recipe,
    data: Mapping[str, Sequence[str]],
    out: Path,
    device: torch.device,
    report: Callable[[Progress], None] = lambda _: None,
) -> Path:
    """Trains a model, going on from ``out``'s checkpoint if there is one.

    Args:
        data: paths by the name of their source, as for ``read_sources``.
        out: folder for the checkpoint, ``log.csv``, ``recipe.json`` and the averaged weights.

    Returns:
        Path of the weights (safetensors).

    Raises:
        DataError: data that cannot be read, a checkpoint made by another recipe, or a later stage without weights.
        ModelError: weights to start from that do not fit.
    """
    if recipe.only and not recipe.start:
        raise DataError("this stage goes on from trained weights: give them with --set start=FILE")
    if recipe.start and recipe.backbone:
        raise DataError("start=FILE has weights of the backbone too: give one of start and backbone")
    torch.manual_seed(recipe.seed)
    settings = model_settings(recipe)
    model = registry.create_model(recipe.model, weights=recipe.start or None, settings=settings).to(device)
    if recipe.backbone:
        load_backbone(model, Path(recipe.backbone))
    model.train()
    train_only(model, recipe.only)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast for convolutions
    run = Run(recipe, model)
    out.mkdir(parents=True, exist_ok=True)
    (out / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1) + "\n")
    if (out / CHECKPOINT).exists():
        run.load(out / CHECKPOINT, device)
    dataset = PairDataset(make_sampler(recipe, data, model), recipe.pairs, recipe.seed)
    loader = pair_loader(dataset, recipe.batch, run.step * recipe.batch, recipe.workers)
    with Log(out / "log.csv", run.step) as log:
        for progress in _steps(run, loader, device, recipe):
            log.write(run.step, progress)
            report(progress)
            if run.step % recipe.save_every < recipe.log_every:
                run.save(out / CHECKPOINT)
    run.save(out / CHECKPOINT)
    save_weights(run.ema, out / WEIGHTS, recipe.model)
    return out / WEIGHTS


def model_settings(recipe: Recipe) -> dict[str, Any]:
    """What a recipe changes in its model's configuration, by field.

    Raises:
        DataError: no such field, or a value of the wrong type.
        ModelError: no such model.
    """
    if not recipe.config:
        return {}
    with torch.device("meta"):
        config: Any = registry.create_model(recipe.model).config
    changed = override(config, recipe.config)
    return {f.name: getattr(changed, f.name) for f in dataclasses.fields(changed)}


def make_sampler(recipe: Recipe, data: Mapping[str, Sequence[str]], model: TrackingModel) -> Sampler:
    """The pairs of a recipe for a model's crops, from the sources in ``data``."""
    if not isinstance(recipe.data, PairConfig):
        return read_pairs(recipe.data, data, model)
    count = getattr(model.config, "templates", 1)
    sources = read_sources(data)
    return PairSampler(sources, recipe.data, model.template_crop, model.search_crop, count, model.segments)


class Run:
    """All that training changes: weights, their average, the optimiser and the number of steps; and ``gradient``, the
    norm of the last step's gradient before it was clipped."""

    gradient: Tensor

    def __init__(self, recipe: Recipe, model: TrackingModel) -> None:
        self.recipe, self.model, self.step = recipe, model, 0
        self.optimizer = make_optimizer(model, recipe.optimizer)
        self.ema = {k: v.detach().clone() for k, v in model.state_dict().items()}
        self.total = recipe.pairs // recipe.batch
        self.phases = Phases(recipe, model, self.total)

    def advance(self, batch: PairBatch) -> dict[str, Tensor]:
        """One optimiser step; returns the losses."""
        self.phases.enter(self.step)
        rate = learning_rate(self.recipe.optimizer, self.step, self.total, self.recipe.epochs)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        device = batch.search.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            losses = self.model.loss(batch)
        if not torch.isfinite(losses["total"]):
            shown = {k: round(v.item(), 4) for k, v in losses.items()}
            raise DataError(f"the loss is not finite at step {self.step}: {shown}; try a lower optimizer.lr")
        self.optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        self.gradient = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip or math.inf)
        self.optimizer.step()
        self.step += 1
        self._average()
        return {k: v.detach() for k, v in losses.items()}

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.recipe.ema, (1 + self.step) / (10 + self.step))  # an early average forgets the start
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)

    def save(self, path: Path) -> None:
        """Writes a checkpoint in one move, so that a kill leaves the old or the new one."""
        state = {
            "recipe": json.dumps(dataclasses.asdict(self.recipe)),
            "step": self.step,
            "model": self.model.state_dict(),
            "ema": self.ema,
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def load(self, path: Path, device: torch.device) -> None:
        """Goes on from a checkpoint of the same recipe; only tensors and plain values are unpickled."""
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        told, mine = json.loads(state["recipe"]), _plain(self.recipe)
        usual = Recipe(self.recipe.model, type(self.recipe.data)())
        for name, default in _plain(usual).items():  # fields newer than the checkpoint
            told[name] = default | told.get(name, {}) if isinstance(default, dict) else told.get(name, default)
        changed = sorted(k for k in mine if told.get(k) != mine[k] and k not in ("workers", "save_every", "log_every"))
        if changed:
            raise DataError(f"{path} was made by another recipe ({', '.join(changed)} differ); give another --out")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.ema, self.step = state["ema"], state["step"]
        torch.set_rng_state(state["random"].cpu())


def _plain(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON gives it back."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(recipe)))
    return plain


def _steps(run: Run, loader: Any, device: torch.device, recipe: Recipe) -> Iterator[Progress]:
    sums: dict[str, float] = {}
    count, start = 0, time.perf_counter()
    for batch in loader:
        losses = run.advance(PairBatch(*batch).to(device))
        sums = {k: sums.get(k, 0.0) + v.item() for k, v in losses.items()}
        count += 1
        if run.step % recipe.log_every == 0 or run.step == run.total:
            speed = count * recipe.batch / (time.perf_counter() - start)
            rate = run.optimizer.param_groups[0]["lr"]
            yield Progress(
                run.step * recipe.batch,
                run.total * recipe.batch,
                {k: v / count for k, v in sums.items()},
                rate,
                speed,
            )
            sums, count, start = {}, 0, time.perf_counter()


class Log:
    """One CSV row a report; rows after the checkpoint that a run goes on from are dropped."""

    def __init__(self, path: Path, step: int) -> None:
        kept = []
        if path.exists() and step:
            with path.open(newline="") as file:
                kept = [row for row in csv.DictReader(file) if int(row["step"]) <= step]
        self.file = path.open("w", newline="")
        self.writer: csv.DictWriter[str] | None = None
        for row in kept:
            self._row(row)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, step: int, progress: Progress) -> None:
        """Adds a row and makes sure it is on disk."""
        losses = {k: f"{v:.5f}" for k, v in progress.losses.items()}
        head = {
            "step": step,
            "pairs": progress.pairs,
            "lr": f"{progress.lr:.3g}",
            "speed": f"{progress.speed:.1f}",
        }
        self._row(head | losses)
        self.file.flush()

    def _row(self, row: Mapping[str, Any]) -> None:
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(row))
            self.writer.writeheader()
        self.writer.writerow(row)
