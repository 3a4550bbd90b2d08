"""A benchmark on a Ray cluster of two nodes, on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lockon.errors import LockonError
from lockon.evaluation.runner import make_job, run
from tests.videos import contents, write_benchmark

ray = pytest.importorskip("ray", reason="needs the ray extra")
MEMORY = 80 * 2**20  # bytes of a node's object store


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    size = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    yield cluster.address
    cluster.shutdown()


def kill_a_busy_worker() -> None:
    """Kills a worker of this process's cluster while it tracks a sequence."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for process in psutil.Process().children(recursive=True):
            try:
                if process.name().startswith("ray::track"):
                    process.kill()
                    return
            except psutil.NoSuchProcess:
                continue
    raise AssertionError("no worker was at work")


def test_a_cluster_gives_the_results_of_one_process_though_a_worker_dies(address: str, tmp_path: Path) -> None:
    benchmark = write_benchmark(tmp_path / "data", "abcdef", frames=8)
    alone = make_job("stark-tiny", benchmark, tmp_path / "alone", "cpu")
    list(run(alone))
    job = make_job("stark-tiny", benchmark, tmp_path / "out", "cpu")
    events = run(job, ray=address)
    ended = [next(events)]
    kill_a_busy_worker()
    ended += events
    assert sorted((event.name, event.error) for event in ended) == [(name, "") for name in "abcdef"]
    assert contents(job.folder) == contents(alone.folder)


def test_what_cannot_be_read_there_is_named_here(address: str, tmp_path: Path) -> None:
    benchmark = write_benchmark(tmp_path / "data", "ab")
    (tmp_path / "data" / "a" / "00000002.jpg").write_bytes(b"")
    job = make_job("still", benchmark, tmp_path / "out")
    errors = {event.name: event.error for event in run(job, ray=address)}
    assert errors["a"].startswith("a, frame 2: ")
    assert errors["b"] == ""


def test_an_address_without_a_cluster_is_one_clear_error(tmp_path: Path) -> None:
    job = make_job("still", write_benchmark(tmp_path / "data", "a"), tmp_path / "out")
    with pytest.raises(LockonError, match=r"no Ray cluster at 127\.0\.0\.1:1: .*refused"):
        list(run(job, ray="127.0.0.1:1"))
