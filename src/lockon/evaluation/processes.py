"""Several processes on one machine share a benchmark's sequences."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from threading import Thread
from typing import Any, NoReturn

from lockon.errors import LockonError, TrackerError, first_few
from lockon.evaluation.runner import Event, Job, work

EVERY = 0.2  # seconds between two events of a sequence under way
FAREWELL = 10.0  # seconds in which a process that is told to end may end by itself
RUN_AGAIN = 87  # exit code of a process that has run the script which started it, up to its own start
GUARD = 'if __name__ == "__main__":'


def work_in_processes(job: Job, names: list[str], workers: int) -> Generator[Event, None, None]:
    """As ``runner.work``, in new processes, each of which asks for a sequence when it has room for one.

    Of a process that dies, the sequences under way get an error; the others go on.

    Raises:
        LockonError: as ``runner.work``; no process could begin, or all have died.
    """
    if _is_beginning():
        sys.exit(RUN_AGAIN)
    return _Team(job, names, workers).events()


def _is_beginning() -> bool:
    """Whether this is a process that still imports the script of the one that started it, and may start no other."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


class _Team:
    """Processes, and what each of them works on."""

    def __init__(self, job: Job, names: list[str], workers: int) -> None:
        self._job, self._queue, self._workers = job, deque(names), workers
        self._processes: dict[Any, SpawnProcess] = {}
        self._given: dict[Any, set[str]] = {}
        self._codes: list[int | None] = []
        self._began = False

    def events(self) -> Generator[Event, None, None]:
        """All that the processes tell."""
        try:
            for _ in range(self._workers):
                self._start()
            while self._processes:
                for place in wait(list(self._processes)):
                    assert isinstance(place, Connection)
                    yield from self._hear(place)
            if self._queue:
                raise self._all_dead()
        finally:
            self._end()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._job, theirs), daemon=True)
        try:
            process.start()
        except OSError as error:
            raise TrackerError(f"a process cannot be started: {error}; ask for fewer workers") from None
        theirs.close()
        self._processes[ours], self._given[ours] = process, set()

    def _hear(self, place: Connection) -> Iterator[Event]:
        """One message of a process, or its end."""
        message = _receive(place)
        if message == "next":
            self._began = True
            name = self._queue.popleft() if self._queue else None
            self._given[place] |= {name} if name else set()
            with suppress(BrokenPipeError):
                place.send(name)
        elif isinstance(message, Event):
            self._given[place] -= {message.name} if message.ended else set()
            yield message
        elif isinstance(message, LockonError):
            raise message
        else:
            process = self._processes.pop(place)
            process.join()
            place.close()
            self._codes.append(process.exitcode)
            for name in sorted(self._given[place]):
                yield Event(name, ended=True, error=f"{name}: its process died, {_ending(process.exitcode)}")

    def _all_dead(self) -> TrackerError:
        codes = first_few(dict.fromkeys(map(_ending, self._codes)))
        if RUN_AGAIN in self._codes:
            return TrackerError(
                "the workers run the script again that starts them, and would start workers in turn: "
                f"put what it does below {GUARD}"
            )
        if not self._began:
            return TrackerError(
                f"no worker could begin ({codes}; what they wrote stands above); a script that starts workers must be "
                f"a file, and do so below {GUARD}"
            )
        left = f"{len(self._queue)} sequences are left, first {self._queue[0]}"
        return TrackerError(f"all workers died ({codes}): {left}; run the same again")

    def _end(self) -> None:
        """Tells the processes that are left to end, and waits for them."""
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join(FAREWELL)
            process.kill()
            process.join()


def _ending(code: int | None) -> str:
    return f"exit code {code}"


def _receive(place: Connection) -> Any:
    """A message, or None from a process that has ended."""
    try:
        return place.recv()
    except (EOFError, ConnectionResetError):
        return None


def _serve(job: Job, parent: Connection) -> None:
    """What a process does until it is told that there is no more, or its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    signal.signal(signal.SIGTERM, _leave)
    Thread(target=_die_with_parent, daemon=True).start()
    told = 0.0
    with suppress(BrokenPipeError, ConnectionResetError, EOFError):
        try:
            with closing(work(job, _asked(parent))) as events:
                for event in events:
                    if event.ended or time.monotonic() > told + EVERY:
                        told = time.monotonic()
                        parent.send(event)
        except LockonError as error:
            parent.send(error)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to put in order


def _leave(*_: object) -> NoReturn:
    """Ends what is under way in order, with the commands that trackers run in."""
    sys.exit(128 + signal.SIGTERM)


def _die_with_parent() -> None:
    """Ends this process, whatever it is doing, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _asked(parent: Connection) -> Iterator[str]:
    """The names that the parent gives."""
    while True:
        parent.send("next")
        name = parent.recv()
        if name is None:
            return
        yield name
