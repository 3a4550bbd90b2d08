"""Runs a tracker over a benchmark: each sequence once, from its first box, into a folder of results.

Whoever does the work, this process, several, or a Ray cluster (``cluster.py``), tells of it by the same events. Frames
are read ahead of the tracker, in a thread, and the time for that does not count.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from math import isfinite, nan
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from lockon import __version__
from lockon.boxes import Box, Polygon
from lockon.data.sources import PictureFile
from lockon.errors import DataError, LockonError, OutputError
from lockon.evaluation.opencv import ELSEWHERE
from lockon.evaluation.results import (
    Claim,
    check_apart,
    check_names,
    differs,
    is_box,
    is_complete,
    open_folder,
    shown,
    write_trace,
)
from lockon.evaluation.sequences import Benchmark, Trace
from lockon.evaluation.trackers import Entrant, Steps, open_tracker
from lockon.tracker import Result
from lockon.video import ahead

PATIENCE = 0.2  # seconds between two looks at sequences that other runs work on


@dataclass(frozen=True)
class Job:
    """One tracker on one benchmark, in a form that can be sent to other processes.

    Attributes:
        tracker: as ``open_tracker`` takes it.
        benchmark: what to run on.
        folder: of the results.
        device: as ``open_tracker`` takes it.
        threads: of PyTorch, in each process.
        batch: sequences that advance together.
        patience: as ``open_tracker`` takes it.
    """

    tracker: str
    benchmark: Benchmark
    folder: Path
    device: str = "auto"
    threads: int = 1
    batch: int = 1
    patience: float | None = None

    @contextmanager
    def open(self) -> Iterator[Entrant]:
        """The tracker, and so many threads of PyTorch and OpenCV in this process until it is closed."""
        before = torch.get_num_threads(), cv2.getNumThreads()
        set_threads(self.threads, self.threads)
        try:
            tracker = open_tracker(self.tracker, self.benchmark.name, self.device, self.patience)
            try:
                yield tracker
            finally:
                tracker.close()
        finally:
            set_threads(*before)


def set_threads(of_torch: int, of_opencv: int) -> None:
    """How many threads work in this process."""
    torch.set_num_threads(of_torch)
    cv2.setNumThreads(of_opencv)


@dataclass(frozen=True)
class Event:
    """How far a sequence is.

    Attributes:
        name: of the sequence.
        frames, length: that are tracked, and that there are; 0 for one that another run did.
        ended: it is complete, or has an error.
        error: what went wrong, naming the sequence; empty if nothing.
    """

    name: str
    frames: int = 0
    length: int = 0
    ended: bool = False
    error: str = ""


@dataclass
class Lane:
    """A sequence under way.

    Attributes:
        name: of the sequence.
        frames: the rest of its frames, as the tracker wants them.
        box: x, y, w, h in pixels, in the first one.
        length: of the sequence.
        state: the tracker's own.
        results, seconds: of the frames so far.
        error: what stopped it.
    """

    name: str
    frames: Iterator[Any]
    box: Box
    length: int
    state: Any = None
    results: list[Result] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: str = ""

    @classmethod
    def done(cls, name: str, error: str = "") -> Lane:
        """A sequence that another run has tracked, or that cannot be read."""
        return cls(name, iter(()), (0.0, 0.0, 0.0, 0.0), 0, error=error)

    @property
    def complete(self) -> bool:
        """All frames are tracked."""
        return len(self.results) == self.length

    @property
    def event(self) -> Event:
        """How far it is."""
        return Event(self.name, len(self.results), self.length, self.complete or bool(self.error), self.error)

    def fail(self, error: object) -> None:
        """Ends it at its next frame."""
        self.error = f"{self.name}, frame {len(self.results) + 1}: {error}"

    def add(self, state: Any, result: Result, seconds: float) -> None:
        """One frame more; the end of the lane where the tracker's answer is no box."""
        corners_ = [value for corner in result.polygon or () for value in corner]
        if not is_box(result.box) or not all(map(isfinite, corners_)):
            told = shown(corners_ if is_box(result.box) else result.box)
            self.fail(f"the tracker answered {told}; numbers must be finite, and sizes not negative")
            return
        self.state = state
        self.results.append(replace(result, mask=None))  # masks of whole sequences would fill the memory
        self.seconds.append(seconds)

    def trace(self) -> Trace:
        """The results."""
        found = np.array([result.found for result in self.results], bool)
        scores = np.array([result.score if isfinite(result.score) else nan for result in self.results], float)
        return Trace(np.array([result.box for result in self.results]), np.array(self.seconds), scores, found)

    def polygons(self) -> list[Polygon]:
        """One per frame, the box where the tracker drew none; empty if it never draws them."""
        if all(result.polygon is None for result in self.results):
            return []
        return [result.polygon or corners(result.box) for result in self.results]


def corners(box: Box) -> Polygon:
    """A box as a polygon, clockwise from the top left."""
    x, y, w, h = box
    return (x, y), (x + w, y), (x + w, y + h), (x, y + h)


def open_lane(job: Job, name: str, reads: bool, reader: Executor) -> Lane:
    """A sequence at its beginning, or with an error if it cannot be read; ``reader`` decodes its pictures, unless the
    tracker ``reads`` them."""
    try:
        sequence = job.benchmark.read(name)
    except LockonError as error:
        return Lane.done(name, str(error))
    x, y, w, h = sequence.boxes[0].tolist()
    if not np.isfinite(sequence.boxes[0]).all():
        return Lane.done(name, f"{name}: its first frame has no box to start on")
    if w <= 0 or h <= 0:
        return Lane.done(name, f"{name}: its first frame has a box without area, {shown((x, y, w, h))}")
    files = iter(sequence.files)
    frames = files if reads else ahead((PictureFile(str(file)).decode() for file in files), reader)
    return Lane(name, frames, (x, y, w, h), len(sequence))


def one_pass(steps: Steps, frames: Iterable[np.ndarray], box: Box, length: int) -> Trace:
    """What a tracker makes of frames in memory, (H, W, 3) uint8 RGB, from a box x, y, w, h in the first one.

    Raises:
        LockonError: a frame or box that cannot be tracked.
    """
    lane = Lane("frames", iter(frames), box, length)
    for _ in follow(Entrant("", steps), iter([lane])):
        pass
    if lane.error:
        raise LockonError(lane.error)
    return lane.trace()


def follow(tracker: Entrant, lanes: Iterator[Lane | None], batch: int = 1) -> Iterator[Lane]:
    """Advances lanes in lockstep, ``batch`` of them, frame by frame; one that ends makes room for the next.

    Args:
        lanes: those to come; None where there is none at the moment.

    Yields:
        Each lane after each of its frames.
    """
    lanes_at_once, width = 1 if tracker.reads else batch, batch if tracker.together else 1
    active: list[Lane] = []
    while True:
        more = list(islice(lanes, lanes_at_once - len(active)))
        active += [lane for lane in more if lane is not None]
        if not active:
            if not more:
                return
            time.sleep(PATIENCE)
        for group in _groups([lane for lane in active if not lane.event.ended], width):
            _advance(tracker.steps, group)
        yield from active
        for lane in active:
            if lane.event.ended:
                lane.state = None  # what the tracker keeps for it is free for another
        active = [lane for lane in active if not lane.event.ended]


def _groups(lanes: list[Lane], width: int) -> list[list[Lane]]:
    """What goes through one call: lanes that start, each alone, and those under way, by ``width``."""
    running = [lane for lane in lanes if lane.results]
    starting = [[lane] for lane in lanes if not lane.results]
    return starting + [running[first : first + width] for first in range(0, len(running), width)]


def _advance(steps: Steps, lanes: list[Lane]) -> None:
    """One frame of each lane, by one call; those that fail end."""
    pairs = []
    for lane in lanes:
        try:
            pairs.append((lane, next(lane.frames)))
        except (LockonError, OSError) as error:
            lane.fail(error)
    _track(steps, pairs)


def _track(steps: Steps, pairs: list[tuple[Lane, Any]]) -> None:
    """Lanes and their frames; the time of the call is shared out evenly, unless the tracker's own is told."""
    if not pairs:
        return
    lanes, frames = [lane for lane, _ in pairs], [frame for _, frame in pairs]
    begin = time.perf_counter()
    try:
        if lanes[0].results:
            advanced = steps.step(frames, [lane.state for lane in lanes])
        else:
            advanced = steps.start(frames, [lane.box for lane in lanes])
    except LockonError as error:
        if len(pairs) == 1:
            lanes[0].fail(error)
        else:  # it is one of them: the states are as they were, so each can try alone
            for pair in pairs:
                _track(steps, [pair])
        return
    seconds = (time.perf_counter() - begin) / len(pairs)
    for lane, (state, result) in zip(lanes, advanced, strict=True):
        lane.add(state, result, result.times.get(ELSEWHERE, 1000 * seconds) / 1000)


def work(job: Job, names: Iterable[str]) -> Generator[Event, None, None]:
    """Tracks sequences and writes their results, in this process.

    A sequence that another run has claimed comes later, and is left out if it is complete by then.

    Raises:
        OutputError: results cannot be written; those written before are complete.
    """
    claims: dict[str, Claim] = {}
    try:
        with job.open() as tracker, ThreadPoolExecutor(job.batch) as reader:
            for lane in follow(tracker, _claimed(job, names, claims, tracker.reads, reader), job.batch):
                if lane.results and lane.complete:
                    write_trace(job.folder, lane.name, lane.trace(), lane.polygons())
                if lane.event.ended and lane.name in claims:
                    claims.pop(lane.name).release()
                yield lane.event
    finally:
        for claim in claims.values():
            claim.release()


def _claimed(
    job: Job, names: Iterable[str], claims: dict[str, Claim], reads: bool, reader: Executor
) -> Iterator[Lane | None]:
    """The sequences that no other run works on, as they become free; None while there is none."""
    while True:
        busy = []
        for name in names:
            claim = Claim.take(job.folder, name)
            if claim is None:
                busy.append(name)
                continue
            claims[name] = claim
            yield Lane.done(name) if is_complete(job.folder, name) else open_lane(job, name, reads, reader)
        if not busy:
            return
        yield None
        names = busy


def make_job(
    tracker: str,
    benchmark: Benchmark,
    out: Path,
    device: str = "auto",
    threads: int = 1,
    batch: int = 1,
    patience: float | None = None,
) -> Job:
    """A job whose folder of results is there and fits; its arguments are those of ``Job``, ``out`` that of --out.

    Raises:
        LockonError: a tracker that cannot be had, names of sequences that cannot be files' names, or a folder that
            cannot be used: it lies in the data, has something else in it (``results.open_folder``), or has results
            of other data.
    """
    check_names(benchmark.names)
    _refuse_data(out, benchmark)
    entrant = open_tracker(tracker, benchmark.name, device, patience)
    entrant.close()
    config = entrant.config | {
        "benchmark": benchmark.name,
        "batch": batch if entrant.together else 1,
        "threads": threads,
        "versions": {"lockon": __version__, "torch": torch.__version__, "opencv": cv2.__version__},
        "machine": f"{platform.node()}, {platform.processor() or platform.machine()}, {platform.system()}",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    folder = open_folder(out, benchmark.name, entrant.name, config)
    check_apart(folder, benchmark.names)
    _refuse_other_data(folder, benchmark)
    return Job(tracker, benchmark, folder, device, threads, batch, patience)


def _refuse_data(out: Path, benchmark: Benchmark) -> None:
    """Results in a data set could be taken for sequences of it."""
    if benchmark.root is None:
        return
    root = benchmark.root.resolve()
    for place in (out.resolve(), (out / benchmark.name).resolve()):
        if place == root or root in place.parents:
            raise OutputError(f"{out}: lies in the data set, {benchmark.root}; give an --out beside it")


def _refuse_other_data(folder: Path, benchmark: Benchmark) -> None:
    """What is complete must be of these sequences, not of others with the same names."""
    for name in benchmark.names:
        if not is_complete(folder, name):
            continue
        try:
            sequence = benchmark.read(name)
        except LockonError:  # told when it is its turn
            continue
        if difference := differs(folder, name, len(sequence), sequence.boxes[0]):
            raise DataError(f"{folder}/{name}.txt: results of other data: {difference}; choose another --out")


def run(job: Job, workers: int = 1, ray: str | None = None) -> Generator[Event, None, None]:
    """Tracks what is not complete yet, and tells how far it is; what it started ends when it is closed.

    Args:
        workers: processes on this machine. A script that asks for more than one is run again by each of them, up to
            ``if __name__ == "__main__":``.
        ray: address of a Ray cluster that does the work instead.

    Raises:
        LockonError: the run cannot go on; results written before are complete.
    """
    names = [name for name in job.benchmark.names if not is_complete(job.folder, name)]
    if ray is not None and names:
        from lockon.evaluation.cluster import work_on_ray  # needs the ray extra

        return work_on_ray(job, names, ray)
    if workers > 1 and len(names) > 1:
        from lockon.evaluation.processes import work_in_processes

        return work_in_processes(job, names, min(workers, len(names)))
    return work(job, names)
