"""A command that a tracker runs in: every wait for it ends, and so does all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import IO, Any, Generic, TypeVar

FAREWELL = 3.0  # seconds in which a process may end by itself
LAST_LINES = 5  # of what it wrote to standard error that are told
LAST_BYTES = 2**13  # of it that are kept

T = TypeVar("T")


class LateError(Exception):
    """There was no answer in time."""


class Child:
    """A running command, its standard input and output, and the end of what it writes to standard error.

    Attributes:
        stdin, stdout: pipes to and from it.

    Raises:
        OSError, ValueError: it cannot be started.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=None if environment is None else os.environ | environment,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self._words = _Words(self._process.stderr)
        self._waiting: _Call[Any] | None = None
        self._killed = self._lost = False

    def within(self, seconds: float, call: Callable[[], T]) -> T:
        """What a function gives that talks to the command; its errors are raised here.

        Raises:
            LateError: it took longer. The command is ended, and the child is of no more use.
        """
        waiting = _Call(call)
        self._waiting = waiting
        if not waiting.ended(seconds):
            self.kill()
            self._lost = not waiting.ended(FAREWELL)
            raise LateError(f"gave no answer in {seconds:g} seconds")
        self._waiting = None
        return waiting.answer()

    def wait(self, seconds: float = FAREWELL) -> int | None:
        """The code that it ends with, negative for a signal; None if it does not end by itself."""
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def kill(self) -> None:
        """Ends it, and what it started."""
        if self._killed:
            return
        self._killed = True
        with suppress(ProcessLookupError, PermissionError):  # nobody is left; on macOS, none but the dead
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self.wait()  # unless it hangs in the system itself, where nothing reaches it

    def last_words(self) -> str:
        """Kills it, and tells the last lines that it wrote to standard error."""
        self.kill()
        self._words.wait(FAREWELL)
        lines = [line.strip() for line in self._words.text().splitlines() if line.strip()]
        return f"its last words: {' | '.join(lines[-LAST_LINES:])}" if lines else "it wrote no error"

    def close(self) -> None:
        """Kills it, and closes the pipes."""
        self.kill()
        if self._lost or (self._waiting is not None and not self._waiting.ended(FAREWELL)):
            _ABANDONED.append(self)  # its call may still read from the pipes, which somebody else keeps open
            return
        for pipe in (self.stdin, self.stdout):
            with suppress(OSError):
                pipe.close()


_ABANDONED: list[Child] = []


class _Call(Generic[T]):
    """A function that runs in a thread, which nothing waits for at the end of this process."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._answers: SimpleQueue[T | BaseException] = SimpleQueue()
        self._answer: list[T | BaseException] = []
        Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Callable[[], T]) -> None:
        try:
            self._answers.put(call())
        except BaseException as error:
            self._answers.put(error)

    def ended(self, seconds: float) -> bool:
        """Whether it has an answer, at the latest after so long."""
        if not self._answer:
            with suppress(Empty):
                self._answer.append(self._answers.get(timeout=seconds))
        return bool(self._answer)

    def answer(self) -> T:
        """What it gave."""
        answer = self._answer[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer


class _Words:
    """The end of what comes through a pipe, which is read as long as something comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._kept, self._lock = pipe, b"", Lock()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with self._pipe, suppress(OSError):
            while part := os.read(self._pipe.fileno(), LAST_BYTES):
                with self._lock:
                    self._kept = (self._kept + part)[-LAST_BYTES:]

    def wait(self, seconds: float) -> None:
        """Until all is read, or so long."""
        self._reader.join(seconds)

    def text(self) -> str:
        """What is kept."""
        with self._lock:
            return self._kept.decode(errors="replace")
