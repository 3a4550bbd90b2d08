"""OpenCV's trackers, each track in a process of its own: one that never comes back, or takes its process with it, costs
its own sequence and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lockon.boxes import Box, check_box
from lockon.errors import ModelError, TrackerError
from lockon.evaluation import opencv_child
from lockon.evaluation.child import Child, LateError
from lockon.registry import closest
from lockon.tracker import Result

START_SECONDS = 60.0  # for making a tracker and its first frame, unless the caller says otherwise
FRAME_SECONDS = 30.0  # for every other one
ELSEWHERE = "elsewhere"  # in ``Result.times``: all that a tracker took in a process of its own


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


def find_files(name: str, given: Path | None) -> dict[str, Path]:
    """The networks of a tracker by parameter, in the given file or folder.

    Raises:
        ModelError: an unknown tracker, one that this OpenCV lacks, or files that are missing.
    """
    if name not in OPENCV:
        raise ModelError(f"unknown tracker {name!r}; {closest(name, OPENCV)}")
    info = OPENCV[name]
    if not hasattr(cv2, f"Tracker{info.kind}_create"):
        raise ModelError(
            f"{name} is not in this build of OpenCV ({cv2.__version__}): install opencv-contrib-python-headless "
            "in place of opencv-python-headless"
        )
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


@dataclass(eq=False)
class Track:
    """A target of one process.

    Attributes:
        process: that knows it.
        box: the last one, x, y, w, h in pixels.
    """

    process: _Process
    box: Box


class OpenCVSteps:
    """One of OpenCV's trackers as ``trackers.Steps``; where it loses the target, the last box stays.

    Its states are ``Track``. A process takes another target when the state of the one before is gone. Results have the
    milliseconds that the tracker took in ``times``, as ``ELSEWHERE``, without the way of the frame to its process.

    MIL draws random numbers from the time of day: its results differ from run to run.

    Args:
        name: of ``OPENCV``.
        files: its networks, by parameter.
        patience: seconds to wait for an answer; by default ``START_SECONDS`` and ``FRAME_SECONDS``.
    """

    def __init__(self, name: str, files: dict[str, Path], patience: float | None = None) -> None:
        self._name = name
        paths = {parameter: str(file) for parameter, file in files.items()}
        self._setup: dict[str, Any] = {"kind": OPENCV[name].kind, "files": paths}
        self._start_seconds = patience or START_SECONDS
        self._frame_seconds = patience or FRAME_SECONDS
        self._processes: list[_Process] = []

    def check(self) -> None:
        """Makes a tracker, to see whether that can be done.

        Raises:
            ModelError: it cannot; says why.
            TrackerError: its process broke off, or did not answer in time.
        """
        files = " and ".join(self._setup["files"].values())
        self._idle().ask({}, None, self._start_seconds, f"cannot use {files}" if files else "cannot be made")

    def start(self, frames: Sequence[np.ndarray], boxes: Sequence[Sequence[float]]) -> list[tuple[Any, Result]]:
        """One after another; a box is rounded to whole pixels.

        Raises:
            BoxError: a box that is none, or lies outside the frame.
            ModelError: OpenCV's own error.
            TrackerError: as ``check``.
        """
        return [self._start(frame, box) for frame, box in zip(frames, boxes, strict=True)]

    def step(self, frames: Sequence[np.ndarray], states: Sequence[Track]) -> list[tuple[Any, Result]]:
        """One after another; raises as ``start``."""
        return [self._step(frame, track) for frame, track in zip(frames, states, strict=True)]

    def close(self) -> None:
        """Ends the processes; a next start begins new ones."""
        for process in self._processes:
            process.close()
        self._processes = []

    def _start(self, frame: np.ndarray, box: Sequence[float]) -> tuple[Track, Result]:
        height, width = frame.shape[:2]
        x, y, w, h = check_box(box, width, height)
        whole = [round(x), round(y), round(w), round(h)]
        process = self._idle()
        what = f"cannot start on box {','.join(map(str, whole))}"
        told = process.ask({"box": whole}, frame, self._start_seconds, what)
        track = Track(process, (x, y, w, h))
        process.track = weakref.ref(track)
        return track, Result(track.box, nan, True, times={ELSEWHERE: 1000 * told["seconds"]})

    def _step(self, frame: np.ndarray, track: Track) -> tuple[Track, Result]:
        told = track.process.ask({}, frame, self._frame_seconds, "cannot go on")
        if told["box"] is not None:
            x, y, w, h = told["box"]
            track.box = (x, y, w, h)
        score = nan if told["score"] is None else told["score"]
        return track, Result(track.box, score, told["box"] is not None, times={ELSEWHERE: 1000 * told["seconds"]})

    def _idle(self) -> _Process:
        """A process that has no target."""
        self._processes = [process for process in self._processes if not process.ended]
        for process in self._processes:
            if process.track is None or process.track() is None:
                return process
        self._processes.append(_Process(self._name, self._setup))
        return self._processes[-1]


@dataclass(eq=False)
class _Process:
    """A running ``opencv_child.py``, and the target that it follows."""

    name: str
    setup: dict[str, Any]
    track: weakref.ref[Track] | None = None
    ended: bool = False
    _child: Child = field(init=False)

    def __post_init__(self) -> None:
        setup = json.dumps(self.setup | {"threads": cv2.getNumThreads()})
        paths = os.pathsep.join(path for path in sys.path if path)  # where this process found OpenCV
        try:
            # -P: beside the script lie modules whose names are others' as well
            self._child = Child([sys.executable, "-P", opencv_child.__file__, setup], {"PYTHONPATH": paths})
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise TrackerError(f"{self.name}: its process cannot be started: {error}") from None

    def ask(self, request: dict[str, Any], frame: np.ndarray | None, seconds: float, what: str) -> dict[str, Any]:
        """The answer to a request."""
        if self.ended:
            raise TrackerError(f"{self.name}: its process has ended")
        try:
            line = self._child.within(seconds, lambda: self._exchange(request, frame))
        except LateError as error:
            raise self._failed(str(error)) from None
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            code = self._child.wait()
            raise self._failed("its process broke off" if code is None else f"its process died, exit code {code}")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise ModelError(f"{self.name}: {what}: {told['error']}")
        return told

    def _exchange(self, request: dict[str, Any], frame: np.ndarray | None) -> bytes:
        """Writes a request and its frame; reads a line."""
        if frame is None:
            parts = [memoryview(json.dumps(request).encode() + b"\n")]
        else:
            head = json.dumps(request | {"shape": frame.shape}).encode() + b"\n"
            parts = [memoryview(head), np.ascontiguousarray(frame).data.cast("B")]
        for part in parts:
            while part:
                part = part[self._child.stdin.write(part) :]
        line = b""
        while not line.endswith(b"\n") and (more := os.read(self._child.stdout.fileno(), 2**16)):
            line += more
        return line

    def _failed(self, fault: str) -> TrackerError:
        words = self._child.last_words()
        self.close()
        return TrackerError(f"{self.name}: {fault}; {words}")

    def close(self) -> None:
        self.ended = True
        self._child.close()
