"""The reference cases: reading a folder of them, asking lockon, comparing the answers.

The form of a folder is told in ``cases/README.md``. Nothing that stands in a folder is known here beforehand; which
calls of lockon answer a case is said in ``adapters/<tracker>.py``, the only part that a new tracker adds.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from lockon.weights import load_into

CASES = Path(__file__).parent / "cases"
Json = dict[str, Any]
Answer = Mapping[str, Any]  # output name to tensor, array or numbers


# Reading


@dataclass(frozen=True)
class Case:
    """One entry of a ``cases.json``, with the folder's own fill where it gives none."""

    folder: Path
    tracker: str
    salt: str
    name: str
    kind: str
    variant: str
    fill: Json
    inputs: dict[str, Json]
    outputs: dict[str, Json]
    run: str = ""  # what was run, in words

    @property
    def id(self) -> str:
        return f"{self.folder.name}/{self.name}"

    def __getitem__(self, name: str) -> Any:
        """The value of an input: an array, a list of frames, or a literal."""
        given = self.inputs[name]
        if "image" in given:
            return tools(self.folder).image(*given["image"], salt=self.salt)
        if "values" in given:
            return tools(self.folder).values(*given["values"], salt=self.salt)
        if "npz" in given:
            return np.load(self.folder / given["npz"])[given["key"]]
        if "video" in given:
            video = given["video"]
            canvas = tools(self.folder).image(*video["image"], salt=self.salt)
            height, width = video["size"]
            return [canvas[y : y + height, x : x + width] for x, y in video["windows"]]
        return given["literal"]

    def tensor(self, name: str) -> Tensor:
        """An input that is an array or rows of numbers, as a tensor."""
        return torch.from_numpy(np.ascontiguousarray(self[name]))

    def expected(self, output: str) -> np.ndarray:
        """What is stored of an output."""
        place = self.outputs[output]
        stored: np.ndarray = np.load(self.folder / place["file"])[place["key"]]
        return stored

    @property
    def names(self) -> dict[str, list[int]]:
        """Official names and shapes of the variant's parameters and buffers."""
        names: dict[str, list[int]] = json.loads((self.folder / "names.json").read_text())[self.variant]
        return names

    @property
    def weights(self) -> tuple[str, ...]:
        """All that the weights depend on, to recognise cases that share them."""
        return str(self.folder), self.variant, self.salt, json.dumps(self.fill)

    def load_into(self, model: nn.Module, rename: Callable[[str], str]) -> None:
        """Fills a model with the case's weights, strictly; the constants that the fill skips stay as built."""
        tensors = fill(self.names, self.fill, self.salt, tools(self.folder))
        own = model.state_dict()
        skipped = {rename(name) for name in self.names.keys() - tensors.keys()}
        kept = {name: own[name] for name in skipped & own.keys()}
        load_into(model, kept | {k: torch.from_numpy(v) for k, v in tensors.items()}, self.id, rename)


def read_cases(root: Path) -> list[Case]:
    """All cases of a folder, or of the folders in it.

    A ``cases.json`` that names no tracker has another form and another test; see ``metrics.py``.
    """
    folders = [root] if (root / "cases.json").is_file() else sorted(p.parent for p in root.glob("*/cases.json"))
    return [case for folder in folders for case in _read_folder(folder)]


def _read_folder(folder: Path) -> Iterator[Case]:
    content = json.loads((folder / "cases.json").read_text())
    for entry in content["cases"] if "tracker" in content else ():
        name, kind, variant = entry["id"], entry["kind"], entry["variant"] or ""
        rules = entry.get("fill", content["fill"])
        shared = (folder.resolve(), content["tracker"], content["salt"])
        yield Case(*shared, name, kind, variant, rules, entry["inputs"], entry["outputs"], entry.get("run", ""))


@lru_cache
def tools(folder: Path) -> ModuleType:
    """The ``weights.py`` that stands in a folder of cases, beside it, or here."""
    path = next(p / "weights.py" for p in (folder, folder.parent, CASES) if (p / "weights.py").is_file())
    spec = importlib.util.spec_from_file_location("reference_weights", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(names: Mapping[str, Sequence[int]], rules: Json, salt: str, source: ModuleType) -> dict[str, np.ndarray]:
    """The official state dict, without the names that are skipped."""
    assert rules["default"] == "weights.tensor"
    return {
        name: _filled(name, shape, rules["rules"], salt, source)
        for name, shape in names.items()
        if not any(re.search(pattern, name) for pattern in rules.get("skip", ()))
    }


def _filled(name: str, shape: Sequence[int], rules: Sequence[Json], salt: str, source: ModuleType) -> np.ndarray:
    rule = next((r for r in rules if re.search(r["match"], name)), {})
    if "value" in rule:
        return np.array(rule["value"], np.float32).reshape(shape)
    made: np.ndarray = source.tensor(name, tuple(shape), rule.get("salt", salt))
    return np.asarray(made * rule.get("scale", 1) + rule.get("shift", 0), made.dtype)


# Asking lockon


@dataclass(frozen=True)
class Lack:
    """What lockon cannot answer yet, and why: cases of a kind, some variants, with some inputs.

    Of these cases only ``outputs`` are lacking, where they are given, and all others are compared.
    """

    reason: str
    kind: str
    variants: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def covers(self, case: Case) -> bool:
        return (
            case.kind == self.kind
            and re.search(self.variants, case.variant) is not None
            and case.inputs.keys() >= set(self.inputs)
        )


class Adapter:
    """From cases, recognised by their kind and the names of their inputs and outputs, to calls of lockon."""

    def __init__(self, lacks: Sequence[Lack]) -> None:
        self.lacks = lacks
        self._routes: list[tuple[str, set[str], Callable[[Case], Answer]]] = []

    def answers(self, kind: str, *names: str) -> Callable[[Callable[[Case], Answer]], Callable[[Case], Answer]]:
        """Marks what answers the cases of a kind that have inputs and outputs of these names."""

        def mark(call: Callable[[Case], Answer]) -> Callable[[Case], Answer]:
            self._routes.append((kind, set(names), call))
            return call

        return mark

    def answer(self, case: Case) -> Answer:
        """The case's outputs by name, as the first that fits computes them."""
        there = case.inputs.keys() | case.outputs.keys()
        for kind, names, call in self._routes:
            if kind == case.kind and names <= there:
                return call(case)
        raise LookupError(f"nothing in the adapter of {case.tracker} answers {case.id} ({case.kind})")


def find_adapter(tracker: str) -> Adapter:
    """The ``ADAPTER`` of ``adapters/<tracker>.py``."""
    adapter: Adapter = importlib.import_module(f".adapters.{tracker}", __package__).ADAPTER
    return adapter


_kept: dict[Hashable, nn.Module] = {}
Model = TypeVar("Model", bound=nn.Module)


def keep(key: Hashable, build: Callable[[], Model]) -> Model:
    """The model that was built for a key; the last two are kept for the cases that share them."""
    if key not in _kept:
        for old in list(_kept)[:-1]:
            del _kept[old]
        _kept[key] = build()
    return cast(Model, _kept[key])


def forget() -> None:
    """Frees the models that are kept."""
    _kept.clear()


class Call(NamedTuple):
    """What went into a module and what came out."""

    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def recorded(model: nn.Module, *names: str) -> Iterator[dict[str, list[Call]]]:
    """The calls of some modules in order, by the module's name."""
    calls: dict[str, list[Call]] = {name: [] for name in names}
    hooks = [model.get_submodule(name).register_forward_hook(_recorder(log)) for name, log in calls.items()]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def _recorder(log: list[Call]) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
    return lambda _, inputs, output: log.append(Call(inputs, output))


# Comparing


@dataclass(frozen=True)
class Deviation:
    """How far an answer is from the stored output.

    Attributes:
        fault: what is wrong, empty where the answer agrees.
        absolute: largest |answer - stored|.
        relative: ``absolute`` over the largest |stored|.
        share: largest part of an element's tolerance that is used up; above 1 is a fault.
    """

    output: str
    fault: str = ""
    absolute: float = 0.0
    relative: float = 0.0
    share: float = 0.0


class Asked(Protocol):
    """A case of a tracker or of the metrics."""

    @property
    def id(self) -> str: ...
    @property
    def outputs(self) -> Mapping[str, Any]: ...


@dataclass
class Report:
    """One row of the table at the end."""

    case: Asked
    deviations: list[Deviation] = field(default_factory=list)
    lacking: dict[str, str] = field(default_factory=dict)  # output to reason
    finished: bool = False

    @property
    def faults(self) -> list[str]:
        return [f"{d.output}: {d.fault}" for d in self.deviations if d.fault]


def check(case: Case, adapter: Adapter, report: Report) -> None:
    """Asks for the case's outputs and compares them; those declared lacking must not be answered."""
    lacks = [lack for lack in adapter.lacks if lack.covers(case)]
    lacking = {name: lack.reason for lack in lacks for name in lack.outputs or case.outputs}
    report.lacking = {name: reason for name, reason in lacking.items() if name in case.outputs}
    wanted = [name for name in case.outputs if name not in report.lacking]
    try:
        answer = adapter.answer(case)
    except LookupError:  # no route, or no such variant
        if wanted:
            raise
        answer = {}
    for name in case.outputs:
        if name in wanted and name not in answer:
            report.deviations.append(Deviation(name, "no answer"))
        elif name in wanted:
            report.deviations.append(compare(name, case.outputs[name], case.expected(name), answer[name]))
        elif name in answer:
            report.deviations.append(Deviation(name, "answered, though declared lacking"))
    report.finished = True


def compare(output: str, spec: Json, stored: np.ndarray, answer: Any) -> Deviation:
    """An answer against what is stored of an output, by the rules of its entry in ``cases.json``."""
    actual = answer.detach().cpu().numpy() if isinstance(answer, Tensor) else np.asarray(answer)
    if list(actual.shape) != spec["shape"]:
        return Deviation(output, f"shape {list(actual.shape)}, not {spec['shape']}", np.inf, np.inf, np.inf)
    if not _same_kind(actual.dtype, np.dtype(spec["dtype"])):
        return Deviation(output, f"{actual.dtype}, not {spec['dtype']}", np.inf, np.inf, np.inf)
    if stored.dtype != spec["dtype"]:
        return Deviation(output, f"stored as {stored.dtype}, not {spec['dtype']}", np.inf, np.inf, np.inf)
    step = 1 if spec["stored"] == "whole" else spec["stored"]["stride"]
    a, b = actual.reshape(-1)[::step].astype(np.float64), stored.reshape(-1).astype(np.float64)
    if a.shape != b.shape:
        return Deviation(output, f"{a.size} numbers, but {b.size} are stored", np.inf, np.inf, np.inf)
    how = spec.get("compare", "close")
    if how == "set":
        a = _paired(a.reshape(spec["shape"]), b.reshape(spec["shape"]), spec).reshape(-1)
    exact = {"equal": True, "close": False, "set": False}[how]
    allowed = np.zeros_like(b) if exact else _allowed(b, spec)
    return _deviation(output, a, b, allowed)


def _same_kind(actual: np.dtype[Any], wanted: np.dtype[Any]) -> bool:
    """The same type, or floats of a higher precision, which Python's own are."""
    return actual == wanted or (actual.kind == wanted.kind == "f" and actual.itemsize > wanted.itemsize)


def _allowed(b: np.ndarray, spec: Json) -> np.ndarray:
    finite = np.isfinite(b)
    return np.where(finite, spec["atol"] + spec["rtol"] * np.abs(np.where(finite, b, 0.0)), 0.0)


def _deviation(output: str, a: np.ndarray, b: np.ndarray, allowed: np.ndarray) -> Deviation:
    if not b.size:
        return Deviation(output)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
        share = np.where(gap == 0, 0.0, gap / allowed)
    gap, share = np.nan_to_num(gap, nan=np.inf, posinf=np.inf), np.nan_to_num(share, nan=np.inf, posinf=np.inf)
    bad, worst = int((~(gap <= allowed)).sum()), int(share.argmax())
    fault = f"{bad} of {b.size} differ, most {a[worst]:.9g} for {b[worst]:.9g}, number {worst}" if bad else ""
    largest, scale = float(gap.max()), float(np.abs(b[np.isfinite(b)]).max(initial=0))
    relative = largest / scale if scale else np.inf if largest else 0.0
    return Deviation(output, fault, largest, relative, float(share[worst]))


def _paired(a: np.ndarray, b: np.ndarray, spec: Json) -> np.ndarray:
    """The rows of ``a`` in the order of the rows of ``b`` that they fit, each used once; where no such order exists,
    some row stands at one that it does not fit."""
    fits = (np.abs(a[None] - b[:, None]) <= _allowed(b, spec)[:, None]).all(-1)  # (row of b, row of a)
    taken: dict[int, int] = {}  # row of a to row of b

    def place(row: int, tried: set[int]) -> bool:
        for column in (int(c) for c in np.flatnonzero(fits[row]) if int(c) not in tried):
            tried.add(column)
            if column not in taken or place(taken[column], tried):
                taken[column] = row
                return True
        return False

    unplaced = [row for row in range(len(b)) if not place(row, set())]
    taken |= dict(zip((c for c in range(len(a)) if c not in taken), unplaced, strict=True))
    return a[sorted(taken, key=lambda column: taken[column])]


def table(reports: Sequence[Report]) -> list[str]:
    """A line per case: outputs compared, largest errors, and the largest share of a tolerance, by which output."""
    width = max(len(r.case.id) for r in reports)
    lines = [f"{'case':{width}}  outputs  abs error  rel error  of tolerance"]
    for r in reports:
        done = f"{len(r.deviations)}/{len(r.case.outputs)}"
        line = f"{r.case.id:{width}}  {done:>7}"
        if r.deviations:
            absolute, relative = max(d.absolute for d in r.deviations), max(d.relative for d in r.deviations)
            worst = max(r.deviations, key=lambda d: (bool(d.fault), d.share))
            line += f"  {absolute:9.2g}  {relative:9.2g}  {worst.share:7.2%} {worst.output}"
        lines.append(line + ("  FAILED" if r.faults or not r.finished else ""))
        lines += [f"{'':{width}}  not implemented: {reason}" for reason in dict.fromkeys(r.lacking.values())]
    return lines
