"""The reference cases of the metrics: reading a folder of them, asking lockon, comparing the answers.

Their ``cases.json`` names no tracker. A case has a toolkit, a set of inputs (in an npz file under ``SET/...``) and what
the toolkit said: single numbers and arrays. How lockon answers is said in ``adapters/metrics_<npz file>.py``.
"""

from __future__ import annotations

import importlib
import io
import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from .runner import Deviation, Json, compare


@dataclass(frozen=True)
class MetricsCase:
    """One entry of a ``cases.json``: ``case["alpha/gt"]`` is an input of the case's set, ``in`` says whether it is
    there."""

    folder: Path
    name: str
    toolkit: str
    set: str
    sequences: tuple[str, ...]
    params: Json
    expected: dict[str, float]
    arrays: dict[str, str]  # output name to key in the file
    npz: str
    tol: float

    @property
    def id(self) -> str:
        return f"{self.folder.name}/{self.name}"

    @property
    def stored(self) -> Mapping[str, np.ndarray]:
        """All arrays of the case's file, by their full keys."""
        return _load(self.folder / self.npz)

    def __contains__(self, key: str) -> bool:
        return f"{self.set}/{key}" in self.stored

    def __getitem__(self, key: str) -> np.ndarray:
        return self.stored[f"{self.set}/{key}"]

    def text(self, key: str) -> str:
        """An input that is a text, stored as UTF-8."""
        return self[key].tobytes().decode()

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """All that is expected, by name; "nan" and "inf" stand for these numbers."""
        numbers = {name: np.array(float(value)) for name, value in self.expected.items()}
        return numbers | {name: self.stored[key] for name, key in self.arrays.items()}


@lru_cache(maxsize=4)
def _load(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as arrays:
        return dict(arrays)


def read_metrics_cases(root: Path) -> list[MetricsCase]:
    """All cases of the metrics in a folder, or in the folders in it."""
    folders = [root] if (root / "cases.json").is_file() else sorted(p.parent for p in root.glob("*/cases.json"))
    return [case for folder in folders for case in _read_folder(folder.resolve())]


def _read_folder(folder: Path) -> list[MetricsCase]:
    content = json.loads((folder / "cases.json").read_text())
    fields = ("toolkit", "set", "params", "expected", "arrays", "npz", "tol")
    return [
        MetricsCase(folder, name=entry["id"], sequences=tuple(entry["sequences"]), **{f: entry[f] for f in fields})
        for entry in (content["cases"] if "tracker" not in content else ())
    ]


def ask(case: MetricsCase) -> Mapping[str, Any]:
    """What lockon answers, by output name.

    Raises:
        ModuleNotFoundError: there is no adapter for the case's file.
        LookupError: the adapter knows no such toolkit or set.
    """
    adapter = importlib.import_module(f".adapters.metrics_{Path(case.npz).stem}", __package__)
    answer: Mapping[str, Any] = adapter.answer(case)
    return answer


def check_metrics(case: MetricsCase, answer: Mapping[str, Any]) -> list[Deviation]:
    """Every number and array that is expected, against the answer, within the case's tolerance."""
    return [
        compare(name, _spec(stored, case.tol), stored, answer[name]) if name in answer else Deviation(name, "no answer")
        for name, stored in case.outputs.items()
    ]


def _spec(stored: np.ndarray, tol: float) -> Json:
    return {"dtype": str(stored.dtype), "shape": list(stored.shape), "stored": "whole", "atol": tol, "rtol": 0}


def read_published(file: Path) -> dict[str, np.ndarray]:
    """All arrays of a file of published results (``.npz.xz``)."""
    with lzma.open(file) as packed, np.load(io.BytesIO(packed.read())) as arrays:
        return dict(arrays)
