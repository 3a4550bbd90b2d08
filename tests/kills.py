"""Runs of ``lockon eval`` that are killed at any moment and started again, for tests with few and with many of them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lockon.evaluation.runner import make_job, run
from tests.videos import contents, write_benchmark

LONGEST = 300  # seconds in which a run ends, on the slowest machine


class Killed:
    """A small benchmark, and what an undisturbed run says of it."""

    def __init__(self, place: Path, tracker: str = "stark-tiny", names: str = "abcdef", frames: int = 12) -> None:
        self.place, self.tracker, self.names = place, tracker, names
        job = make_job(tracker, write_benchmark(place / "data", names, frames), place / "whole", "cpu")
        assert not [event.error for event in run(job) if event.error]
        self.expected = contents(job.folder)

    def command(self, out: Path, workers: int = 1) -> list[str]:
        """``lockon eval`` on all of it."""
        where = ["--benchmark", "folder", "--data", str(self.place / "data"), "--out", str(out), "--device", "cpu"]
        lockon = [sys.executable, "-m", "lockon", "eval", "--quiet", "--tracker", self.tracker]
        return [*lockon, *where, "--workers", str(workers)]

    def disturb(self, out: Path, seed: int) -> set[str]:
        """Kills a run, one of its workers or both, once a number of sequences is complete that the seed draws.

        Returns:
            The sequences that were complete when the kill had been sent.
        """
        rng = random.Random(seed)
        workers = rng.choice([1, 2])
        victims = rng.choice(["run", "worker", "both"]) if workers > 1 else "run"
        wanted, moment = rng.randrange(len(self.names)), rng.uniform(0, 0.05)
        with subprocess.Popen(
            self.command(out, workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as child:
            self._wait(child, out, wanted)
            time.sleep(moment)  # anywhere between two files
            below = children(child.pid) if workers > 1 else []
            if victims != "run":
                for pid in below[: 1 + (victims == "both")]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            if victims != "worker":
                child.kill()
            child.wait(LONGEST)
        for pid in below:
            wait_for_end(pid)
        return self.complete(out)

    def again(self, out: Path) -> subprocess.CompletedProcess[str]:
        """The same command, left alone."""
        return subprocess.run(self.command(out), capture_output=True, text=True, timeout=LONGEST)

    def complete(self, out: Path) -> set[str]:
        """The sequences whose results are there."""
        return {path.stem for path in self.folder(out).glob("*.txt")}

    def folder(self, out: Path) -> Path:
        """Where results are."""
        return out / "folder" / self.tracker

    def check(self, out: Path, seed: int) -> None:
        """Whether a killed run that was started again says what one says that nobody disturbed.

        Raises:
            AssertionError: it does not; the seed is told.
        """
        kept = {name: self._stamp(out, name) for name in self.disturb(out, seed)}
        ran = self.again(out)
        assert ran.returncode == 0, f"seed {seed}: {ran.stderr}"
        assert contents(self.folder(out)) == self.expected, f"seed {seed}"
        assert kept == {name: self._stamp(out, name) for name in kept}, f"seed {seed}: tracked twice"

    def _stamp(self, out: Path, name: str) -> tuple[int, int]:
        found = (self.folder(out) / f"{name}.txt").stat()
        return found.st_ino, found.st_mtime_ns

    def _wait(self, child: subprocess.Popen[bytes], out: Path, count: int) -> None:
        """Until so many sequences are complete, or the run has ended."""
        wait_until(lambda: len(self.complete(out)) >= count or child.poll() is not None)


def wait_until(condition: Callable[[], bool]) -> None:
    """Until something is so; an error where it never is."""
    end = time.monotonic() + LONGEST
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def children(pid: int) -> list[int]:
    """Processes that a process has started and that have not ended, the oldest first, without helpers of Python's."""
    import psutil

    try:
        below = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [process.pid for process in below if "spawn_main" in " ".join(_command(process))]


def descendants(pid: int) -> list[int]:
    """Processes that a process has started, and those that they have."""
    import psutil

    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def _command(process: object) -> list[str]:
    import psutil

    try:
        return list(process.cmdline())  # type: ignore[attr-defined]
    except psutil.Error:
        return []


def wait_for_end(pid: int) -> None:
    """Until a process is gone that nobody tells to end."""
    wait_until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent to hear of it does not."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
