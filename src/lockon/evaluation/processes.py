"""Several processes on one machine share a benchmark's sequences."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from lockon.errors import LockonError
from lockon.evaluation.runner import Event, Job, work

EVERY = 0.2  # seconds between two events of a sequence under way


def work_in_processes(job: Job, names: list[str], workers: int) -> Iterator[Event]:
    """As ``runner.work``, in new processes, each of which asks for a sequence when it has room for one.

    Of a process that dies, the sequences under way get an error; the others go on.
    """
    context = multiprocessing.get_context("spawn")
    queue = deque(names)
    processes: dict[Any, SpawnProcess] = {}
    given: dict[Any, set[str]] = {}
    for _ in range(workers):
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(job, theirs), daemon=True)
        process.start()
        theirs.close()
        processes[ours], given[ours] = process, set()
    try:
        while processes:
            for place in wait(list(processes)):
                assert isinstance(place, Connection)
                message = _receive(place)
                if message == "next":
                    name = queue.popleft() if queue else None
                    given[place] |= {name} if name else set()
                    with suppress(BrokenPipeError):
                        place.send(name)
                elif isinstance(message, Event):
                    given[place] -= {message.name} if message.ended else set()
                    yield message
                elif isinstance(message, LockonError):
                    raise message
                else:
                    process = processes.pop(place)
                    process.join()
                    for name in given[place]:
                        yield Event(name, ended=True, error=f"{name}: its process died, exit code {process.exitcode}")
        for name in queue:
            yield Event(name, ended=True, error=f"{name}: no process is left to track it")
    finally:
        for process in processes.values():
            process.terminate()
            process.join()


def _receive(place: Connection) -> Any:
    """A message, or None from a process that has ended."""
    try:
        return place.recv()
    except (EOFError, ConnectionResetError):
        return None


def _serve(job: Job, parent: Connection) -> None:
    """What a process does until it is told that there is no more, or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    told = 0.0
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):
        try:
            for event in work(job, _asked(parent)):
                if event.ended or time.monotonic() > told + EVERY:
                    told = time.monotonic()
                    parent.send(event)
        except LockonError as error:
            parent.send(error)


def _asked(parent: Connection) -> Iterator[str]:
    """The names that the parent gives."""
    while True:
        parent.send("next")
        name = parent.recv()
        if name is None:
            return
        yield name
