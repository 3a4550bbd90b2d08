"""The training loop: one process or many, resumable after a kill."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from lockon import registry
from lockon.data.light import finish
from lockon.data.loader import PairDataset, Sampler, load_pairs
from lockon.data.pairs import PairConfig, PairSampler
from lockon.data.papers import read_pairs
from lockon.data.sources import read_sources
from lockon.errors import DataError, LockonError
from lockon.files import write_whole
from lockon.summary import count
from lockon.tracker import PairBatch, TrackingModel
from lockon.training.checkpoint import load_checkpoint, save_checkpoint, save_torch
from lockon.training.folder import BEST, BOARD, CHECKPOINT, RECIPE, WEIGHTS, claimed
from lockon.training.logs import Event, Progress, Tables, TensorBoard
from lockon.training.phases import train_only
from lockon.training.processes import Team, own_workers, team_of
from lockon.training.recipe import Recipe, check_values, model_settings, working
from lockon.training.run import NotFiniteError, Run
from lockon.training.validation import Validator
from lockon.weights import load_backbone, save_weights

STEPS = 10_000_000  # of a run: more than any paper's by a factor of ten


def train(
    recipe: Recipe,
    data: Mapping[str, Sequence[str]],
    out: Path,
    device: torch.device,
    *,
    resume: bool = False,
    validate: Path | None = None,
    report: Callable[[Event | str], None] = lambda _: None,
) -> Path:
    """Trains a model, in as many processes as ``torchrun`` started.

    Args:
        data: paths by the name of their source, as for ``read_sources``.
        out: folder for the checkpoint, the logs, ``recipe.json`` and the averaged weights.
        resume: go on from ``out``'s checkpoint, if there is one; without this, a folder with a run is left alone.
        validate: folder of sequences to track with the averaged weights every ``recipe.validate_every`` pairs.
        report: gets every line of the log, every validation, and remarks.

    Returns:
        Path of the weights (safetensors).

    Raises:
        DataError: data that cannot be read, fields of the recipe that make no sense, a checkpoint made by another
            recipe, a later stage without weights, a loss that is not finite, or too little memory.
        ModelError: weights to start from that do not fit.
        OutputError: ``out`` has a run already or other files in the way, another run writes there, or it cannot be
            written.
    """
    inputs = [path for paths in data.values() for path in paths]
    inputs += [str(path) for path in (recipe.start, recipe.backbone, validate) if path]
    with team_of(device) as team:
        check(recipe, team, device)
        with claimed(team, out, recipe, resume, inputs):
            return _train(recipe, data, out, device, team, validate, report)


def _train(
    recipe: Recipe,
    data: Mapping[str, Sequence[str]],
    out: Path,
    device: torch.device,
    team: Team,
    validate: Path | None,
    report: Callable[[Event | str], None],
) -> Path:
    """Trains in a folder that is the run's."""
    run = Run(recipe, make_model(recipe, device), team)
    if (out / CHECKPOINT).exists():
        load_checkpoint(run, out / CHECKPOINT, device)
    if len(set(team.gather(run.step))) > 1:
        raise DataError(f"{out}: not all processes see the same checkpoint; the folder must be on a shared disk")
    workers = own_workers(recipe.workers, device)
    start, pin = run.step * recipe.batch, device.type == "cuda"
    pairs = make_pairs(recipe, data, unlit=device.type == "cuda")
    batches = load_pairs(pairs, recipe.batch, start, workers, team.rank, team.size, pin)
    validator = None if validate is None else Validator(run, validate, device)
    listeners = open_logs(recipe, out, run.step, report) if team.leads else []
    for line in _lines(run, _living(batches), device, out):
        for listen in listeners:
            listen(line)
        if validator is not None and _due(run, recipe.validate_every // recipe.batch):
            result = validator()
            for listen in listeners:
                listen(result)
            if result.auc > run.best:
                run.best = result.auc
                if team.leads:
                    save_weights(run.ema, out / BEST, recipe.model)
        if team.leads and _due(run, recipe.save_every):
            save_checkpoint(run, out / CHECKPOINT)
    if team.leads:
        save_weights(run.ema, out / WEIGHTS, recipe.model)
    return out / WEIGHTS


def _living(batches: Iterable[PairBatch]) -> Iterator[PairBatch]:
    """Batches, as long as the processes that make them live: the system ends them where memory is short."""
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise DataError(
            f"a process that makes pairs has ended ({reason}); try fewer of them: --set workers=N"
        ) from None


def _lines(run: Run, batches: Iterable[PairBatch], device: torch.device, out: Path) -> Iterator[Progress]:
    """Trains, and stops at every line of the log; what happens there does not count as training time."""
    recipe = run.recipe
    sums: dict[str, float] = {}
    count, start = 0, time.perf_counter()
    for batch in batches:
        try:
            losses = run.advance(finish(batch.to(device)))
        except NotFiniteError as error:
            raise DataError(f"{error}; {_keep(batch, out, run.team.rank)}") from None
        sums = {name: sums.get(name, 0.0) + value.item() for name, value in losses.items()}
        count += 1
        if run.step % recipe.log_every == 0 or run.step == run.total:
            speed = count * recipe.batch / (time.perf_counter() - start)
            means = {name: value / count for name, value in sums.items()}
            rate = run.optimizer.param_groups[0]["lr"]
            yield Progress(run.step, run.step * recipe.batch, run.total * recipe.batch, means, rate, speed)
            sums, count, start = {}, 0, time.perf_counter()


def _due(run: Run, every: int) -> bool:
    """Whether a multiple of ``every`` steps has passed since the last line of the log, or all of them."""
    return run.step % max(1, every) < run.recipe.log_every or run.step == run.total


def _keep(batch: PairBatch, out: Path, rank: int) -> str:
    """Writes a batch that broke a run under a name that nothing has; says where it is, or why it is not."""
    again = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (f"bad-batch-{rank}{suffix}.pt" for suffix in again)
    path = next(out / name for name in names if not os.path.lexists(out / name))
    try:
        save_torch(
            {name: part.clone() for name, part in batch._asdict().items()}, path, replace=False
        )  # they share memory
    except LockonError as error:
        return f"this batch is not kept: {error}"
    return f"this batch is in {path}"


def open_logs(
    recipe: Recipe, out: Path, step: int, report: Callable[[Event | str], None]
) -> list[Callable[[Event], None]]:
    """Those who get what a run tells; the folder gets the recipe.

    Raises:
        OutputError: the folder cannot be written.
    """
    write_whole(out / RECIPE, json.dumps(dataclasses.asdict(recipe), indent=1) + "\n")
    tables = Tables(out, step)
    try:
        return [tables.write, TensorBoard(out / BOARD, step).write, report]
    except ImportError:
        report("no logs for TensorBoard: that needs pip install 'lockon[train]'")
        return [tables.write, report]


def check(recipe: Recipe, team: Team, device: torch.device) -> None:
    """Whether the fields of a recipe go together.

    Raises:
        DataError: they do not.
    """
    check_values(recipe)
    parts = team.size * recipe.accumulate
    if recipe.only and not recipe.start:
        raise DataError("this stage goes on from trained weights: give them with --set start=FILE")
    if recipe.start and recipe.backbone:
        raise DataError("start=FILE has weights of the backbone too: give one of start and backbone")
    if recipe.batch % parts:
        raise DataError(
            f"batch={recipe.batch} cannot be taken in {parts} equal parts: {team.size} processes, each with "
            f"accumulate={recipe.accumulate}; change batch or accumulate"
        )
    if recipe.pairs < recipe.batch:
        raise DataError(f"pairs={recipe.pairs} is less than one batch={recipe.batch}")
    if recipe.pairs // recipe.batch > STEPS:
        raise DataError(f"pairs={recipe.pairs} in batches of batch={recipe.batch} are more than {STEPS} steps")
    if recipe.sync_norm and team.size > 1 and device.type == "cpu":
        raise DataError("sync_norm=true needs GPUs: PyTorch has it for no other device")


def make_model(recipe: Recipe, device: torch.device) -> TrackingModel:
    """The model of a recipe as its training begins."""
    torch.manual_seed(recipe.seed)
    settings = model_settings(recipe)
    with working(recipe):
        if settings:  # whether it can be run at all, is known without its weights
            count(lambda: registry.create_model(recipe.model, settings=settings))
            torch.manual_seed(recipe.seed)
        model = registry.create_model(recipe.model, weights=recipe.start or None, settings=settings)
    if recipe.backbone:
        load_backbone(model, Path(recipe.backbone))
    if recipe.sync_norm:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    model.train()
    train_only(model, recipe.only)
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # convolutions are twice as fast
    if recipe.compile:
        compile_parts(model)
    return model


def compile_parts(model: nn.Module) -> None:
    """Sends each part of a network through ``torch.compile`` when it is next called; names of weights stay."""
    for part in model.children():
        if isinstance(part, nn.ModuleList):
            compile_parts(part)
        else:
            part.compile()


def make_pairs(recipe: Recipe, data: Mapping[str, Sequence[str]], unlit: bool = False) -> PairDataset:
    """The pairs of a recipe, in the order in which its run gets them; no network is made for that.

    Args:
        unlit: as for ``PairSampler``; papers' pairs are always made as a whole.
    """
    check_values(recipe)
    with working(recipe), torch.device("meta"):
        model = registry.create_model(recipe.model, settings=model_settings(recipe))
    return PairDataset(make_sampler(recipe, data, model, unlit), recipe.pairs, recipe.seed)


def make_sampler(
    recipe: Recipe, data: Mapping[str, Sequence[str]], model: TrackingModel, unlit: bool = False
) -> Sampler:
    """The pairs of a recipe for a model's crops, from the sources in ``data``."""
    if not isinstance(recipe.data, PairConfig):
        return read_pairs(recipe.data, data, model)
    count = getattr(model.config, "templates", 1)
    crops = model.template_crop, model.search_crop
    return PairSampler(read_sources(data), recipe.data, *crops, count, model.segments, unlit)
