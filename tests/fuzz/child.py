"""Runs of the command line in processes that are forked off, so that a thousand of them need one start of PyTorch."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

import lockon.cli

FAILED = 70  # exit code of a child whose function raised
SPACE = 8 << 30  # bytes of address space: what asks for more fails there and not on the whole machine


class Ran(NamedTuple):
    """How a child ended.

    Attributes:
        code: its exit code, None where a signal ended it.
        signal: that ended it, 0 for none.
        timed_out: it was killed because it took too long.
        out, err: what it printed.
        megabytes: of memory that it held at most, the parent's among them.
    """

    code: int | None
    signal: int
    timed_out: bool
    out: str
    err: str
    megabytes: float


class Child:
    """A function in a process of its own, which must not have started threads before."""

    def __init__(self, act: Callable[[], object], folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._out, self._err = folder / "stdout.txt", folder / "stderr.txt"
        self._pid = os.fork()
        if self._pid == 0:
            self._live(act, folder)

    def _live(self, act: Callable[[], object], folder: Path) -> None:
        code = FAILED
        try:
            os.setsid()
            os.chdir(folder)
            for number, path in ((0, os.devnull), (1, self._out), (2, self._err)):
                flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                os.dup2(os.open(path, flags, 0o644), number)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
            act()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def kill(self, alone: bool = False) -> None:
        """Ends it at once, and all that it has started unless it is to die ``alone``."""
        for send in (os.kill,) if alone else (os.killpg, os.kill):
            try:
                send(self._pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def wait(self, seconds: float) -> Ran:
        """Waits until it has ended, so many seconds at most."""
        end = time.monotonic() + seconds
        timed_out = False
        while True:
            pid, status, used = os.wait4(self._pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end and not timed_out:
                timed_out = True
                self.kill()
            time.sleep(0.005)
        code = os.waitstatus_to_exitcode(status)
        out, err = (path.read_text(errors="replace") if path.exists() else "" for path in (self._out, self._err))
        return Ran(code if code >= 0 else None, max(-code, 0), timed_out, out, err, used.ru_maxrss / 1024)


def command(*arguments: object) -> Callable[[], None]:
    """Gives the function that runs the command line with these arguments."""

    def act() -> None:
        torch.set_num_threads(1)
        sys.argv = ["lockon", *map(str, arguments)]
        lockon.cli.main()

    return act
