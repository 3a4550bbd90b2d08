"""A benchmark's sequences as tasks on a Ray cluster.

The machines need lockon, and the data under the same path; results go back to the one that asked, which writes them.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from lockon.boxes import Polygon
from lockon.errors import LockonError
from lockon.evaluation.results import Claim, is_complete, write_trace
from lockon.evaluation.runner import PATIENCE, Event, Job, follow, open_lane, set_threads
from lockon.evaluation.sequences import Trace
from lockon.evaluation.trackers import Entrant, open_tracker

try:
    import ray
except ImportError:
    raise LockonError("--ray needs the package ray: pip install 'lockon[ray]'") from None

RETRIES = 3  # of a sequence whose worker dies
CONNECT_SECONDS = 10


def work_on_ray(job: Job, names: list[str], address: str) -> Generator[Event, None, None]:
    """As ``runner.work``, on a cluster; a sequence whose worker or machine dies is tracked anew elsewhere.

    Args:
        address: of the cluster, HOST:PORT, or "auto" for the one that runs on this machine.

    Raises:
        LockonError: there is no such cluster.
        OutputError: results cannot be written.
    """
    try:
        if address != "auto":  # Ray itself would try for minutes
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise LockonError(
            f"no Ray cluster at {address}: {str(error).splitlines()[0]}; start one with `ray start --head`"
        ) from None
    try:
        yield from _share_out(job, names)
    finally:
        ray.shutdown()


def _share_out(job: Job, names: list[str]) -> Iterator[Event]:
    task = ray.remote(max_retries=RETRIES, num_cpus=job.threads, num_gpus=_gpus(job))(track)
    shared = ray.put(job)
    room = 2 * int(ray.cluster_resources().get("CPU", 1))  # so that no worker waits for the next sequence
    waiting = deque(names)
    running: dict[Any, tuple[str, Claim]] = {}
    try:
        while waiting or running:
            for _ in range(min(len(waiting), room - len(running))):
                name = waiting.popleft()
                claim = Claim.take(job.folder, name)
                if claim is None:  # another run works on it
                    waiting.append(name)
                elif is_complete(job.folder, name):
                    claim.release()
                    yield Event(name, ended=True)
                else:
                    running[task.remote(shared, name)] = name, claim
            for reference in ray.wait(list(running), timeout=PATIENCE)[0] if running else []:
                name, claim = running.pop(reference)
                yield _finish(job, name, reference)
                claim.release()
    finally:
        for _, claim in running.values():
            claim.release()


def _finish(job: Job, name: str, reference: Any) -> Event:
    try:
        event, answer = ray.get(reference)
    except ray.exceptions.RayError as error:
        return Event(name, ended=True, error=f"{name}: failed on the cluster: {str(error).splitlines()[0]}")
    if answer is not None:
        write_trace(job.folder, name, *answer)
    return event


def _gpus(job: Job) -> int:
    return int(job.device.startswith("cuda") or (job.device == "auto" and "GPU" in ray.cluster_resources()))


def track(job: Job, name: str) -> tuple[Event, tuple[Trace, list[Polygon]] | None]:
    """Tracks one sequence, on a machine of the cluster: how it ended, and its results."""
    tracker = _opened(job.tracker, job.benchmark.name, job.device, job.threads, job.patience)
    with ThreadPoolExecutor(1) as reader:
        lane = open_lane(job, name, tracker.reads, reader)
        for _ in follow(tracker, iter([lane])):
            pass
    tracker.close()
    return lane.event, (lane.trace(), lane.polygons()) if lane.results and lane.complete else None


@cache
def _opened(tracker: str, benchmark: str, device: str, threads: int, patience: float | None) -> Entrant:
    """A worker's tracker, for all its sequences."""
    set_threads(threads, threads)
    return open_tracker(tracker, benchmark, device, patience)
