"""Trackers of every kind behind one call: lockon's, OpenCV's, a box that stays, and commands that speak TraX."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.errors import ModelError
from lockon.models import MODELS
from lockon.pictures import reason
from lockon.registry import closest, create_model, find_device, shipped_weights
from lockon.tracker import Result, Tracker

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
        close: ends what it started.
    """

    name: str
    steps: Steps
    config: dict[str, Any] = field(default_factory=dict)
    together: bool = False
    reads: bool = False
    close: Callable[[], None] = lambda: None


def open_tracker(text: str, benchmark: str = "", device: str = "auto") -> Entrant:
    """A tracker by what ``--tracker`` says of it.

    Args:
        text: the name of a model, or NAME=WEIGHTS with a file; ``still`` for a box that stays where it was given;
            ``opencv-mil`` and others of ``OPENCV``, with =FILE or =FOLDER where they need a network; ``trax:COMMAND``.
        benchmark: a model gets the settings that its paper has for it.
        device: of models; see ``registry.find_device``.

    Raises:
        LockonError: an unknown name, or a file, device, build or package that is missing.
    """
    if text.startswith("trax:"):
        return _open_trax(text.removeprefix("trax:").strip())
    name, _, given = text.partition("=")
    path = Path(given) if given else None
    if name == "still":
        return Entrant(name, Still(), {"tracker": name})
    if name.startswith("opencv-"):
        return _open_opencv(name, path)
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


def _open_trax(command: str) -> Entrant:
    from lockon.evaluation.trax import TraxTracker  # needs the vot extra

    tracker = TraxTracker(command)
    return Entrant(
        _folder_name(f"trax-{command}"),
        Alone(lambda file, box: (None, tracker.init(file, box)), lambda file, _: (None, tracker.update(file))),
        {"tracker": f"trax:{command}"},
        reads=True,
        close=tracker.close,
    )


def _folder_name(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-.")[:100]


def _digests(files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 by file name."""
    digests = {}
    for path in files:
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
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


# OpenCV


@dataclass(frozen=True)
class OpenCVInfo:
    """One of OpenCV's trackers.

    Attributes:
        kind: its name in ``cv2``, after Tracker.
        files: the networks it needs: the field of its parameters, and what the file is called in a folder.
    """

    kind: str
    files: tuple[tuple[str, str], ...] = ()


OPENCV = {
    "opencv-mil": OpenCVInfo("MIL"),
    "opencv-csrt": OpenCVInfo("CSRT"),
    "opencv-kcf": OpenCVInfo("KCF"),
    "opencv-vit": OpenCVInfo("Vit", (("net", "*.onnx"),)),
    "opencv-nano": OpenCVInfo("Nano", (("backbone", "*backbone*.onnx"), ("neckhead", "*head*.onnx"))),
    "opencv-dasiamrpn": OpenCVInfo(
        "DaSiamRPN", (("model", "*model*.onnx"), ("kernel_cls1", "*cls1*.onnx"), ("kernel_r1", "*r1*.onnx"))
    ),
}


def _open_opencv(name: str, given: Path | None) -> Entrant:
    if name not in OPENCV:
        raise ModelError(f"unknown tracker {name!r}; {closest(name, OPENCV)}")
    info = OPENCV[name]
    create = getattr(cv2, f"Tracker{info.kind}_create", None)
    if create is None:
        raise ModelError(
            f"{name} is not in this build of OpenCV ({cv2.__version__}): install opencv-contrib-python-headless "
            "in place of opencv-python-headless"
        )
    files = _find_files(name, info, given)
    arguments = []
    if files:
        params = getattr(cv2, f"Tracker{info.kind}_Params")()
        for parameter, file in files.items():
            setattr(params, parameter, str(file))
        arguments.append(params)
    config = {"tracker": name, "weights": _digests(list(files.values()))}
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # not what its new engine lacks, with each track
    steps = _opencv_steps(lambda: create(*arguments), scored=bool(files))
    with _opencv_errors(f"{name}: cannot use {given}"):
        create(*arguments)
    return Entrant(name, steps, config)


def _find_files(name: str, info: OpenCVInfo, given: Path | None) -> dict[str, Path]:
    """The networks of a tracker by parameter, in the given file or folder."""
    expected = " and ".join(pattern for _, pattern in info.files)
    if not info.files:
        if given is not None:
            raise ModelError(f"{name} needs no file; write --tracker {name}")
        return {}
    if given is None:
        raise ModelError(f"{name} needs a network: write --tracker {name}=FOLDER, where FOLDER has {expected}")
    if given.is_file() and len(info.files) == 1:
        return {info.files[0][0]: given}
    found = {parameter: sorted(given.glob(pattern)) for parameter, pattern in info.files}
    if any(len(files) != 1 for files in found.values()):
        raise ModelError(f"{given}: {name} expects a folder with one file each of {expected}")
    return {parameter: files[0] for parameter, files in found.items()}


def _opencv_steps(make: Callable[[], Any], scored: bool) -> Alone:
    """One of OpenCV's trackers, those with a network with a score; where it loses the target, the last box stays.

    MIL draws random numbers from the time of day: its results differ from run to run.
    """

    def init(frame: np.ndarray, box: Box) -> tuple[Any, Result]:
        x, y, w, h = (round(v) for v in box)
        with _opencv_errors(f"cannot start on box {x},{y},{w},{h}"):
            tracker = make()
            tracker.init(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), (x, y, w, h))
        return (tracker, box), Result(box, nan, True)

    def update(frame: np.ndarray, state: Any) -> tuple[Any, Result]:
        tracker, last = state
        with _opencv_errors("cannot go on"):
            found, new = tracker.update(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        box = _box(new) if found else last
        return (tracker, box), Result(box, tracker.getTrackingScore() if scored else nan, bool(found))

    return Alone(init, update)


@contextmanager
def _opencv_errors(what: str) -> Iterator[None]:
    try:
        yield
    except cv2.error as error:
        raise ModelError(f"{what}: {reason(error)}") from None
