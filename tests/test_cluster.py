"""A benchmark on a Ray cluster of two nodes, on this machine."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from lockon.errors import LockonError
from lockon.evaluation.runner import make_job, run
from tests.fakes import FakeOpenCV
from tests.kills import wait_until
from tests.videos import contents, write_benchmark

ray = pytest.importorskip("ray", reason="needs the ray extra")
MEMORY = 80 * 2**20  # bytes of a node's object store


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeOpenCV:
    """In the cluster's processes too, which take their path from the environment."""
    made = FakeOpenCV(tmp_path / "fake", monkeypatch)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    return made


@pytest.fixture
def address(fake: FakeOpenCV, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    size = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=size)
    cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    yield cluster.address
    cluster.shutdown()


def test_a_cluster_gives_the_results_of_one_process(address: str, tmp_path: Path) -> None:
    benchmark = write_benchmark(tmp_path / "data", "abcd")
    alone = make_job("stark-tiny", benchmark, tmp_path / "alone", "cpu")
    list(run(alone))
    job = make_job("stark-tiny", benchmark, tmp_path / "out", "cpu")
    ended = run(job, ray=address)
    assert sorted((event.name, event.error) for event in ended) == [(name, "") for name in "abcd"]
    assert contents(job.folder) == contents(alone.folder)


def test_what_a_worker_that_dies_was_at_is_tracked_elsewhere(address: str, fake: FakeOpenCV, tmp_path: Path) -> None:
    """It is killed while its tracker hangs, so that it cannot have finished."""
    benchmark = write_benchmark(tmp_path / "data", "abc")
    alone = make_job("opencv-mil", benchmark, tmp_path / "alone", "cpu")
    list(run(alone))
    job = make_job("opencv-mil", benchmark, tmp_path / "out", "cpu")
    fake.tell(152, update="hang")  # the width of b's pictures

    def kill() -> None:
        wait_until(fake.hung.exists)
        fake.forget(152)
        os.kill(int(fake.hung.read_text()), signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    ended = list(run(job, ray=address))
    killer.join()
    assert sorted((event.name, event.error) for event in ended) == [(name, "") for name in "abc"]
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
