"""Trackers of every kind behind one call: lockon's, OpenCV's, a box that stays, and commands that speak TraX."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from typing import Any, Protocol

from lockon.boxes import Box
from lockon.errors import DataError, ModelError
from lockon.evaluation.opencv import OpenCVSteps, find_files
from lockon.files import why
from lockon.models import MODELS
from lockon.registry import create_model, find_device, shipped_weights
from lockon.tracker import Result, Tracker

LONGEST = 100  # bytes of a folder's name

States = list[tuple[Any, Result]]


class Steps(Protocol):
    """What a tracker does: like ``lockon.Tracker``'s ``start`` and ``step``, with a state of its own kind."""

    def start(self, frames: Sequence[Any], boxes: Sequence[Sequence[float]]) -> States:
        """States of targets, each in a frame of its own, and the given boxes x, y, w, h in pixels as results."""

    def step(self, frames: Sequence[Any], states: Sequence[Any]) -> States:
        """The states in the next frames, and where the targets are."""


@dataclass(frozen=True)
class Entrant:
    """A tracker that takes part in an evaluation.

    Attributes:
        name: of its folder of results.
        steps: what it does.
        config: what its results depend on, as JSON has it.
        together: several sequences may go through one call of ``steps`` and be faster for it.
        reads: it wants the frames' files, and knows one target at a time; others get (height, width, 3) uint8 RGB.
        close: ends what it started; it can start again.
    """

    name: str
    steps: Steps
    config: dict[str, Any] = field(default_factory=dict)
    together: bool = False
    reads: bool = False
    close: Callable[[], None] = lambda: None


def open_tracker(text: str, benchmark: str = "", device: str = "auto", patience: float | None = None) -> Entrant:
    """A tracker by what ``--tracker`` says of it.

    Args:
        text: the name of a model, or NAME=WEIGHTS with a file; ``still`` for a box that stays where it was given;
            ``opencv-mil`` and others of ``OPENCV``, with =FILE or =FOLDER where they need a network; ``trax:COMMAND``.
        benchmark: a model gets the settings that its paper has for it.
        device: of models; see ``registry.find_device``.
        patience: seconds to wait for an answer of a tracker that runs in a process of its own. By default two minutes
            for a command, and for OpenCV's trackers a minute to start and half a minute for every frame.

    Raises:
        LockonError: an unknown name, or a file, device, build or package that is missing; a patience that is no
            positive number.
    """
    if patience is not None and not (isfinite(patience) and patience > 0):
        raise DataError(f"patience of {patience:g} seconds; give a number above 0, or none")
    if text.startswith("trax:"):
        return _open_trax(text.removeprefix("trax:").strip(), patience)
    name, _, given = text.partition("=")
    path = Path(given) if given else None
    if name == "still":
        return Entrant(name, Still(), {"tracker": name})
    if name.startswith("opencv-"):
        return _open_opencv(name, path, patience)
    return _open_model(name, path, benchmark, device)


def _open_model(name: str, weights: Path | None, benchmark: str, device: str) -> Entrant:
    place = find_device(device)
    settings = dict(MODELS[name].settings.get(benchmark, {})) if name in MODELS else {}
    model = create_model(name, pretrained=True, weights=weights, settings=settings)
    file = weights or shipped_weights(name)
    config = {"tracker": name, "weights": _digests([file]), "settings": settings, "device": place.type}
    label = name if weights is None else f"{name}-{weights.absolute().parent.name}-{weights.stem}"
    # on a CPU a batch would round otherwise than its sequences alone, and processes use all cores as well
    return Entrant(_folder_name(label), Tracker(model, place), config, together=place.type != "cpu")


def _open_trax(command: str, patience: float | None) -> Entrant:
    from lockon.evaluation.trax import TraxTracker  # needs the vot extra

    tracker = TraxTracker(command) if patience is None else TraxTracker(command, patience)
    return Entrant(
        _folder_name(f"trax-{command}"),
        Alone(lambda file, box: (None, tracker.init(file, box)), lambda file, _: (None, tracker.update(file))),
        {"tracker": f"trax:{command}"},
        reads=True,
        close=tracker.close,
    )


def _open_opencv(name: str, given: Path | None, patience: float | None) -> Entrant:
    files = find_files(name, given)
    config = {"tracker": name, "weights": _digests(list(files.values()))}
    steps = OpenCVSteps(name, files, patience)
    try:
        steps.check()
    except BaseException:
        steps.close()
        raise
    return Entrant(name, steps, config, close=steps.close)


def _folder_name(text: str) -> str:
    """A name that a folder can have anywhere; of a long text the beginning, and what tells it from others."""
    name = re.sub(r"[^\w.+-]+", "-", text).strip("-.")
    if len(name.encode()) <= LONGEST:
        return name
    mark = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{mark}"


def _digests(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by file name."""
    digests = {}
    for path in files:
        try:
            with path.open("rb") as file:
                digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {why(error)}") from None
    return digests


class Still:
    """The first box, in every frame."""

    def start(self, frames: Sequence[Any], boxes: Sequence[Sequence[float]]) -> States:
        """The boxes are the states."""
        return [(result, result) for result in (Result(_box(box), nan, True) for box in boxes)]

    def step(self, frames: Sequence[Any], states: Sequence[Result]) -> States:
        """Nothing moves."""
        return [(state, state) for state in states]


class Alone:
    """A tracker that knows one target at a time, from two functions: frame and box, or frame and state, to both."""

    def __init__(
        self, init: Callable[[Any, Box], tuple[Any, Result]], update: Callable[[Any, Any], tuple[Any, Result]]
    ) -> None:
        self._init, self._update = init, update

    def start(self, frames: Sequence[Any], boxes: Sequence[Sequence[float]]) -> States:
        """One after another."""
        return [self._init(frame, _box(box)) for frame, box in zip(frames, boxes, strict=True)]

    def step(self, frames: Sequence[Any], states: Sequence[Any]) -> States:
        """One after another."""
        return [self._update(frame, state) for frame, state in zip(frames, states, strict=True)]


def _box(box: Sequence[float]) -> Box:
    x, y, w, h = (float(v) for v in box)
    return x, y, w, h
