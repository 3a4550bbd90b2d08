"""Weights in and out of models: safetensors of our own, checkpoints of others, backbones as published."""

from __future__ import annotations

import difflib
import heapq
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from lockon.checkpoints import (
    AVERAGES,
    LONGEST,
    TENSORS,
    Checkpoint,
    WeightSet,
    explained,
    few,
    open_regular,
    read_torch,
)
from lockon.errors import ModelError, OutputError, first_few, printable
from lockon.files import write_whole
from lockon.nn.correlation import Correlation
from lockon.pickles import Fault, shorter

HEADER = 2**24  # bytes of a safetensors file's list of tensors
WRAPPERS = ("module", "_orig_mod", "model", "net", "network")  # what stands before names that others have wrapped
INNER = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}  # anywhere in a name
COUNTERS = {"n_averaged", "num_updates", "decay", "initted", "step", "updates"}  # of an average, not of a model
PREFIXES = 8  # beginnings of names that are tried
COMPARED = 300  # names among which the nearest is looked for
WRAPPED = re.compile(rf"(?:(?:{'|'.join([*WRAPPERS, *sorted(AVERAGES)])}|[a-z]*_?ema_?[a-z]*)\.)+")
log = logging.getLogger(__name__)


def save_weights(
    state: Mapping[str, Tensor], path: Path, model: str, dtype: torch.dtype = torch.float16, replace: bool = True
) -> None:
    """Writes a safetensors file in one move, with the model's name in its metadata.

    Args:
        dtype: of the numbers that are not whole.
        replace: put it over an existing file.

    Raises:
        OutputError: the file cannot be written, is there and not to be replaced, or has numbers that are not finite or
            that the type cannot hold.
    """
    _refuse_strange(state, lambda text: OutputError(f"{path}: these weights are not written: {text}"))
    tensors = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous().cpu() for k, v in state.items()}
    large = [name for name, value in tensors.items() if not _finite(value)]
    if large:
        most = torch.finfo(dtype).max
        raise OutputError(
            f"{path}: {_plain(dtype)} cannot hold these weights: {len(large)} tensors have numbers beyond {most:g}: "
            f"{_first(large)}"
        )
    write_whole(path, save(tensors, metadata={"model": model}), replace=replace)


def read_weights(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """The tensors of a file, and the model that its metadata names; see ``read_checkpoint``."""
    found = read_checkpoint(path)
    return found.tensors, found.model


def read_checkpoint(path: Path) -> Checkpoint:
    """What a file of weights holds.

    Args:
        path: a safetensors file, or any PyTorch checkpoint (``checkpoints.read_torch``), of which nothing is run. What
            it is, its content decides, not its name.

    Raises:
        ModelError: missing, not a file, corrupt, beyond a limit, hostile, or without weights.
    """
    with open_regular(path) as file:
        start = file.read(9)
    if start[8:] != b"{":
        return read_torch(path)
    with _open_safetensors(path) as opened:
        names = list(opened.keys())
        longest = max(names, key=len, default="")
        if len(names) > TENSORS or len(longest) > LONGEST:
            counts = f"{len(names)} tensors, one named with {len(longest)} characters"
            raise Fault(f"it has {counts}; up to {TENSORS} and {LONGEST} are read")
        return Checkpoint({name: opened.get_tensor(name) for name in names}, _model_name(opened))


def read_model_name(path: Path) -> str | None:
    """The model that a safetensors file says it is of.

    Raises:
        ModelError: not such a file.
    """
    with _open_safetensors(path) as opened:
        return _model_name(opened)


@contextmanager
def _open_safetensors(path: Path) -> Iterator[Any]:
    with open_regular(path) as file:
        length = int.from_bytes(file.read(8), "little")
    with explained(path, "readable safetensors file"):
        if length > HEADER:
            raise Fault(f"its list of tensors has {length} bytes, more than {HEADER}")
        with safe_open(path, framework="pt") as opened:
            yield opened


def _model_name(opened: Any) -> str | None:
    name = (opened.metadata() or {}).get("model")
    if name is not None and len(name) > LONGEST:
        raise Fault(f"the name of its model has {len(name)} characters")
    return name


# Which of a file's weights fit


class Choice(NamedTuple):
    """Weights of a file as a model could take them, and what keeps it from that (empty: nothing)."""

    checkpoint: Checkpoint
    fault: str


class _View(NamedTuple):
    """A set of weights, of whose names a beginning was removed."""

    place: str
    prefix: str
    averaged: bool
    tensors: dict[str, Tensor]
    ignored: tuple[str, ...]
    wrappers: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(shorter(text) for text in (self.place, self.prefix) if text) or "the names as they stand"


def choose(model: nn.Module, checkpoint: Checkpoint, rename: Callable[[str], str] = lambda name: name) -> Choice:
    """The weights of a file that fit a model strictly.

    Each set of the file is tried as it stands, and then without a beginning that names of it share, such as
    ``module._orig_mod.`` or ``ema_model.``. Only what then fits in every name and shape is taken. Of several sets that
    fit, an average comes before what it is the average of; then the file's order decides (see ``checkpoints``). Two
    beginnings in one place that both fit, with other numbers, are a fault.

    Args:
        rename: as for ``load_into``.

    Returns:
        The checkpoint with the weights chosen, what was left out, and notes of what was done. If none fit: the
        nearest, with its fault.
    """
    sets = _sets(checkpoint)
    own = model.state_dict()
    views = [view for one in sets for view in _views(own, one, rename)]
    fits = [view for view in views if not _differences(own, view.tensors, rename).any]
    if not fits:
        nearest = max(views, key=lambda view: _likeness(own, view.tensors, rename))
        return Choice(_taken(checkpoint, nearest), misfit(model, nearest.tensors, rename))
    best = max(fits, key=lambda view: view.averaged)  # of equals the first
    beside = [view for view in fits if view is not best and view[:3:2] == best[:3:2]]
    rivals = [view for view in beside if not _same(view.tensors, best.tensors)]
    if rivals:
        names = first_few((f"{view.prefix or 'the names as they stand'}" for view in [best, *rivals]), 3, " and ")
        return Choice(
            _taken(checkpoint, best),
            f"more than one set of its weights fits ({names}), and nothing says which is meant; keep one of them",
        )
    others = [str(view) for view in fits if view is not best]
    others += [str(shorter(one.place)) for one in sets if one.place not in {view.place for view in fits}]
    return Choice(_taken(checkpoint, best, _notes(own, best, others, rename)), "")


def _sets(checkpoint: Checkpoint) -> tuple[WeightSet, ...]:
    return checkpoint.sets or (WeightSet("", checkpoint.tensors, ignored=checkpoint.ignored),)


def _views(own: Mapping[str, Tensor], one: WeightSet, rename: Callable[[str], str]) -> Iterator[_View]:
    """The ways to read a set: as it stands; else by what its names begin with, the longest beginning first."""
    whole = _View(one.place, "", one.averaged, one.tensors, one.ignored, one.wrappers)
    if not _differences(own, one.tensors, rename).any:
        yield whole
        return
    left = _without_inner(one.tensors)
    inner = sorted({part for name in one.tensors.keys() - left.keys() for part in name.split(".")} & INNER)
    whole = whole._replace(wrappers=(*one.wrappers, *(f"{part}." for part in inner)))
    for prefix in sorted(_prefixes(own, left, rename), key=len, reverse=True):
        names = {name for name in left if name.startswith(prefix)}
        tensors = {name.removeprefix(prefix): left[name] for name in left if name in names}
        averaged, wrappers = one.averaged or _averages(prefix), (*whole.wrappers, prefix)
        view = _view(whole._replace(prefix=prefix, averaged=averaged, wrappers=wrappers), own, tensors)
        yield view._replace(ignored=few([*view.ignored, *sorted(left.keys() - names)]))
        if not _differences(own, view.tensors, rename).any:
            left = {name: value for name, value in left.items() if name not in names}
    yield _view(whole, own, left)


def _view(view: _View, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> _View:
    """A view of these tensors, without the counters of an average."""
    counters = [name for name, x in tensors.items() if name in COUNTERS - own.keys() and x.numel() == 1]
    kept = {name: value for name, value in tensors.items() if name not in counters}
    return view._replace(tensors=kept, ignored=few([*view.ignored, *counters]))


def _without_inner(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without what PyTorch puts into them for a part that is compiled or spread over devices."""
    renamed = {".".join(p for p in name.split(".") if p not in INNER): value for name, value in tensors.items()}
    return renamed if len(renamed) == len(tensors) else dict(tensors)


def _prefixes(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> list[str]:
    """Beginnings of names without which these are a model's, the most frequent ones."""
    counts: dict[str, int] = {}
    for name in tensors:
        for end in [dot.end() for dot in re.finditer(r"\.", name)][:PREFIXES]:
            if rename(name[end:]) in own:
                counts[name[:end]] = counts.get(name[:end], 0) + 1
    return heapq.nlargest(PREFIXES, counts, key=lambda prefix: counts[prefix])


def _averages(prefix: str) -> bool:
    return bool(set(re.findall("[a-z]+", prefix.lower())) & AVERAGES)


def _same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(value, two[name]) for name, value in one.items())


def _taken(checkpoint: Checkpoint, view: _View, notes: tuple[str, ...] = ()) -> Checkpoint:
    return checkpoint._replace(tensors=view.tensors, ignored=view.ignored, notes=notes)


def _notes(own: Mapping[str, Tensor], taken: _View, others: list[str], rename: Callable[[str], str]) -> tuple[str, ...]:
    """What a person should know of the choice."""
    notes = []
    if taken.averaged or others:
        kind = "the averaged weights" if taken.averaged else "the weights"
        notes.append(f"{kind} were taken ({taken})" + (f", not {first_few(others, 3)}" if others else ""))
    if taken.wrappers:
        notes.append(f"names were read without {first_few(map(shorter, taken.wrappers))}")
    double = [name for name, value in taken.tensors.items() if value.dtype == torch.float64]
    cast = [name for name in double if rename(name) in own and own[rename(name)].dtype == torch.float32]
    if cast:
        notes.append(f"{len(cast)} tensors of float64 were cast to float32")
    return tuple(notes)


# Into a model


def load_into(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    source: str,
    rename: Callable[[str], str] = lambda name: name,
) -> None:
    """Puts tensors into a model, strictly: every name, shape and kind of number must fit, in both directions.

    Args:
        rename: a tensor's official name to its name in the model; names of the model pass through it unchanged.

    Raises:
        ModelError: they do not fit (see ``misfit``), or hold what is no finite number of the model's type. The model is
            as it was.
    """
    fault = misfit(model, tensors, rename)
    if fault:
        raise ModelError(f"{source}: these weights are not of this model: {fault}")
    own = model.state_dict()
    known = {rename(name): value for name, value in tensors.items() if rename(name) in own}
    _refuse_strange(known, lambda text: ModelError(f"{source}: weights that cannot be used: {text}"))
    fitting = {name: value.to(own[name].dtype) for name, value in known.items()}
    large = [name for name, value in fitting.items() if not _finite(value)]
    if large:
        raise ModelError(
            f"{source}: weights that cannot be used: {len(large)} tensors have numbers that float32 cannot hold: "
            f"{_first(large)}"
        )
    model.load_state_dict(fitting, strict=False)


class _Differences(NamedTuple):
    """What does not fit, by name."""

    twice: int
    missing: list[str]
    unexpected: list[str]
    shapes: list[str]
    types: list[str]

    @property
    def any(self) -> bool:
        return any(self)


def _differences(
    own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], rename: Callable[[str], str]
) -> _Differences:
    renamed = {rename(name): value for name, value in tensors.items()}
    counters = {name for name in own.keys() ^ renamed.keys() if name.endswith("num_batches_tracked")}
    both = sorted(own.keys() & renamed.keys())
    return _Differences(
        len(tensors) - len(renamed),
        sorted(own.keys() - renamed.keys() - counters),
        sorted(renamed.keys() - own.keys() - counters),
        [
            f"{name} is {tuple(renamed[name].shape)}, not {tuple(own[name].shape)}"
            for name in both
            if renamed[name].shape != own[name].shape
        ],
        [
            f"{name} is {_plain(renamed[name].dtype)}, not {_plain(own[name].dtype)}"
            for name in both
            if not _fits(renamed[name].dtype, own[name].dtype)
        ],
    )


def misfit(model: nn.Module, tensors: Mapping[str, Tensor], rename: Callable[[str], str] = lambda name: name) -> str:
    """Why ``load_into`` would refuse: the first few names, shapes and types that do not fit, with the nearest names of
    the other side; empty if all is well.

    Batch norms' counters of batches may be missing or too many. Where float32 is wanted, float16, bfloat16 and float64
    fit.
    """
    twice, missing, unexpected, shapes, types = _differences(model.state_dict(), tensors, rename)
    faults = [f"{twice} of its names stand for the same weight twice"] if twice else []
    faults += [f"{len(missing)} missing{_list(missing, unexpected)}"] if missing else []
    faults += [f"{len(unexpected)} unexpected{_list(unexpected, missing)}"] if unexpected else []
    faults += [f"{len(shapes)} of another shape: {_first(shapes, '; ')}"] if shapes else []
    faults += [f"{len(types)} of another type: {_first(types, '; ')}"] if types else []
    return ", ".join(faults)


def _refuse_strange(tensors: Mapping[str, Tensor], error: Callable[[str], Exception]) -> None:
    """Raises where a tensor holds what is no number."""
    strange = [name for name, value in tensors.items() if not _finite(value)]
    if strange:
        raise error(
            f"{len(strange)} of {len(tensors)} tensors hold numbers that are not finite (NaN or infinite): "
            f"{_first(strange)}"
        )


def _finite(value: Tensor) -> bool:
    return value.is_meta or not value.is_floating_point() or bool(torch.isfinite(value).all())


def likeness(model: nn.Module, checkpoint: Checkpoint, rename: Callable[[str], str]) -> float:
    """How much a file's weights are like those of a model, however they are wrapped, 0 to 1: shared names and shapes
    over all of both."""
    own = model.state_dict()
    views = (view for one in _sets(checkpoint) for view in _views(own, one, rename))
    return max(_likeness(own, view.tensors, rename) for view in views)


def _likeness(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], rename: Callable[[str], str]) -> float:
    ours = {(name, value.shape) for name, value in own.items()}
    theirs = {(rename(name), value.shape) for name, value in tensors.items()}
    shared, every = (
        sum(not name.endswith("num_batches_tracked") for name, _ in names) for names in (ours & theirs, ours | theirs)
    )
    return shared / max(every, 1)


@runtime_checkable
class Backbone(Protocol):
    """A part of a model that comes pretrained, and knows its published weights."""

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Published weights under this module's names and in its shapes, without what it has no use for."""


def load_backbone(model: nn.Module, path: Path) -> int:
    """Puts published weights, such as torchvision's ``resnet50-19c8e357.pth``, into a model's backbone, strictly.

    The backbone is the first part of the model that has a method ``published`` (see ``Backbone``). Where the weights
    are those of another small tracker, its comparison of search and template (``nn.correlation``) comes along.

    Returns:
        The number of tensors loaded.

    Raises:
        ModelError: the model has no such part, or the weights are not the backbone's.
    """
    backbone = next((module for module in model.modules() if isinstance(module, Backbone)), None)
    if backbone is None:
        raise ModelError(f"{path}: this model has no backbone with published weights; train it without")
    checkpoint = read_checkpoint(path)
    tried = [(_parts(model, backbone, view.tensors), view) for view in _wrapped(checkpoint)]
    faults = [_fault(parts) for parts, _ in tried]
    if "" not in faults:
        raise ModelError(f"{path}: these weights are not of this model's {faults[0]}")
    parts, view = tried[faults.index("")]
    for _, part, tensors in parts:
        load_into(part, tensors, str(path))
    if view.averaged or view.prefix:
        log.warning("%s", printable(f"{path}: the backbone's weights were taken from {view}"))
    return sum(len(tensors) for _, _, tensors in parts)


_Parts = list[tuple[str, nn.Module, dict[str, Tensor]]]


def _wrapped(checkpoint: Checkpoint) -> Iterator[_View]:
    """The sets of a file as they stand, and without the wrappers that stand before their names."""
    for one in _sets(checkpoint):
        tensors = _without_inner(one.tensors)
        found = {match[0] for match in map(WRAPPED.match, tensors) if match}
        for prefix in ["", *sorted(found)[:PREFIXES]]:
            inside = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
            yield _View(one.place, prefix, one.averaged or _averages(prefix), inside, (), ())


def _parts(model: nn.Module, backbone: Backbone, given: dict[str, Tensor]) -> _Parts:
    """What of published weights goes into which part of a model."""
    assert isinstance(backbone, nn.Module)
    try:
        parts: _Parts = [("backbone", backbone, backbone.published(given))]
    except (RuntimeError, ValueError, IndexError, TypeError):  # shapes that no such backbone has
        parts = [("backbone", backbone, given)]
    part = getattr(model, "correlation", None)
    own = {name.removeprefix("correlation."): x for name, x in given.items() if name.startswith("correlation.")}
    if isinstance(part, Correlation) and own:
        parts.append(("correlation", part, own))
    return parts


def _fault(parts: _Parts) -> str:
    return next((f"{name}: {fault}" for name, part, tensors in parts if (fault := misfit(part, tensors))), "")


def _fits(given: torch.dtype, wanted: torch.dtype) -> bool:
    return given == wanted or (wanted == torch.float32 and given in (torch.float16, torch.bfloat16, torch.float64))


def _plain(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _first(texts: list[str], between: str = ", ") -> str:
    return between.join(shorter(text, 200) for text in texts[:3]) + (f"{between}..." if len(texts) > 3 else "")


def _list(names: list[str], others: list[str]) -> str:
    shown = []
    for name in names[:3]:
        near = difflib.get_close_matches(shorter(name), _pool(name, others), n=1)
        shown.append(f"{shorter(name)} (nearest: {near[0]})" if near else shorter(name))
    return f": {_first(shown + names[3:4], ', ')}"


def _pool(name: str, others: list[str]) -> list[str]:
    """Names among which the nearest is looked for: to compare all of thousands would take minutes."""
    if len(others) > COMPARED:
        last = name.rpartition(".")[2]
        others = [other for other in others if other.endswith(last)]
    return [shorter(other) for other in others[:COMPARED]]
