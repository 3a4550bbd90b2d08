"""A tracker over a benchmark: by one process, in lockstep, by several processes; what fails is named, the rest done."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lockon.boxes import Box
from lockon.errors import BoxError, DataError, LockonError, OutputError
from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.results import Claim, is_complete, read_config, read_trace
from lockon.evaluation.runner import Event, Job, Lane, follow, make_job, one_pass, run
from lockon.evaluation.sequences import Benchmark
from lockon.evaluation.trackers import Entrant, Still
from lockon.models import MODELS, ModelInfo
from lockon.tracker import Result, Tracker
from tests import scenes
from tests.small import SMALL
from tests.videos import contents, write_benchmark


def track(job: Job, **how: Any) -> list[Event]:
    """All that a run tells."""
    return list(run(job, **how))


def ended(events: list[Event]) -> dict[str, str]:
    """The errors of the sequences that ended, empty where there is none."""
    return {event.name: event.error for event in events if event.ended}


@pytest.fixture
def benchmark_(tmp_path: Path) -> Benchmark:
    return write_benchmark(tmp_path / "data")


def test_every_frame_of_every_sequence_has_a_box_and_a_time(benchmark_: Benchmark, tmp_path: Path) -> None:
    job = make_job("stark-tiny", benchmark_, tmp_path / "out")
    assert ended(track(job)) == {"a": "", "b": "", "c": ""}
    for sequence in benchmark_:
        trace = read_trace(job.folder, sequence.name, len(sequence))
        np.testing.assert_array_equal(trace.boxes[0], sequence.boxes[0])
        assert (trace.seconds > 0).all()
        assert ((trace.scores >= 0) & (trace.scores <= 1)).all()


def test_events_tell_how_far_each_sequence_is(benchmark_: Benchmark, tmp_path: Path) -> None:
    events = track(make_job("still", benchmark_, tmp_path / "out"))
    assert [(e.frames, e.length, e.ended) for e in events if e.name == "a"] == [(n, 5, n == 5) for n in range(1, 6)]


def test_the_configuration_is_recorded_with_the_papers_settings(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"folder": {"update_interval": 3, "templates": 2}}
    info = ModelInfo(MODELS["stark-tiny"].build, "none", str, shipped=True, settings=settings)
    monkeypatch.setitem(MODELS, "stark-tiny", info)
    config = read_config(make_job("stark-tiny", benchmark_, tmp_path / "out", "cpu").folder)
    assert config["settings"] == settings["folder"]
    assert len(config["weights"]["stark-tiny.safetensors"]) == 64
    assert config["benchmark"] == "folder"
    assert config["versions"]["torch"] == torch.__version__


def test_results_of_other_settings_are_not_mixed_in(benchmark_: Benchmark, tmp_path: Path) -> None:
    make_job("stark-tiny", benchmark_, tmp_path / "out", "cpu", threads=1)
    with pytest.raises(DataError, match="threads is 1 there and 2 now"):
        make_job("stark-tiny", benchmark_, tmp_path / "out", "cpu", threads=2)


def test_lockstep_and_processes_write_the_same_files_as_one_after_another(
    benchmark_: Benchmark, tmp_path: Path
) -> None:
    def files(out: str, batch: int = 1, **how: Any) -> dict[str, bytes]:
        job = make_job("stark-tiny", benchmark_, tmp_path / out, "cpu", batch=batch)
        assert ended(track(job, **how)) == {"a": "", "b": "", "c": ""}
        return contents(job.folder)

    alone = files("alone")
    assert len(alone) == 6
    assert files("lockstep", batch=2) == alone
    assert files("processes", batch=2, workers=2) == alone


@pytest.mark.parametrize("name", SMALL)
def test_lanes_in_one_forward_go_where_each_goes_alone(name: str) -> None:
    """Lanes of other lengths and frame sizes; two run at a time, and the third takes the place of the first to end."""
    torch.manual_seed(0)
    tracker = Tracker(SMALL[name]())

    def lanes() -> list[Lane]:
        pictures = [[scenes.picture(n, seed)[0][: 120 - 9 * seed] for n in range(3 + seed)] for seed in range(3)]
        return [Lane(str(i), iter(p), (50, 50, 33, 33), len(p)) for i, p in enumerate(pictures)]

    def boxes(together: bool, batch: int) -> dict[str, list[Box]]:
        entrant = Entrant("small", tracker, together=together)
        done = {lane.name: lane for lane in follow(entrant, iter(lanes()), batch)}
        assert all(lane.complete for lane in done.values())
        return {name: [result.box for result in lane.results] for name, lane in done.items()}

    alone = boxes(together=False, batch=1)
    assert boxes(together=False, batch=2) == alone
    for number, found in boxes(together=True, batch=2).items():
        np.testing.assert_allclose(found, alone[number], atol=0.01)


def test_lanes_in_one_forward_are_as_many_as_there_is_room_for() -> None:
    calls = []

    class Counted(Still):
        def step(self, frames: Sequence[Any], states: Sequence[Result]) -> list[tuple[Any, Result]]:
            calls.append(len(frames))
            return super().step(frames, states)

    lanes = (Lane(str(i), iter([np.zeros((9, 9, 3))] * n), (1, 1, 5, 5), n) for i, n in enumerate((2, 4, 3)))
    for _ in follow(Entrant("counted", Counted(), together=True), lanes, batch=2):
        pass
    assert calls == [2, 1, 2, 1]


def test_what_one_lane_of_a_forward_does_wrong_the_others_do_not_suffer() -> None:
    class Picky(Still):
        def step(self, frames: Sequence[Any], states: Sequence[Result]) -> list[tuple[Any, Result]]:
            if any(frame.max() > 0 for frame in frames):
                raise BoxError("too bright")
            return super().step(frames, states)

    dark, bright = np.zeros((9, 9, 3)), np.ones((9, 9, 3))
    lanes = [Lane("good", iter([dark] * 3), (1, 1, 5, 5), 3), Lane("bad", iter([dark, bright]), (1, 1, 5, 5), 2)]
    for _ in follow(Entrant("picky", Picky(), together=True), iter(lanes), batch=2):
        pass
    assert lanes[0].complete
    assert lanes[1].error == "bad, frame 2: too bright"


def test_an_unreadable_frame_is_named_and_the_next_sequence_tracked(benchmark_: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "data" / "b" / "00000003.jpg").write_bytes(b"no picture")
    job = make_job("still", benchmark_, tmp_path / "out")
    errors = ended(track(job))
    assert errors["a"] == errors["c"] == ""
    assert errors["b"].startswith(f"b, frame 3: {tmp_path}/data/b/00000003.jpg: ")
    assert [is_complete(job.folder, name) for name in "abc"] == [True, False, True]


def test_a_sequence_that_cannot_be_read_is_named_and_the_next_one_tracked(
    benchmark_: Benchmark, tmp_path: Path
) -> None:
    (tmp_path / "data" / "a" / "groundtruth.txt").write_text("1,2\n")
    errors = ended(track(make_job("still", benchmark_, tmp_path / "out")))
    assert "groundtruth.txt" in errors["a"]
    assert errors["b"] == errors["c"] == ""


def test_a_sequence_without_a_first_box_is_named(benchmark_: Benchmark, tmp_path: Path) -> None:
    truth = tmp_path / "data" / "a" / "groundtruth.txt"
    truth.write_text("\n".join(["nan,nan,nan,nan", *truth.read_text().splitlines()[1:]]))
    errors = ended(track(make_job("opencv-mil", benchmark_, tmp_path / "out")))
    assert errors == {"a": "a: its first frame has no box to start on", "b": "", "c": ""}


def test_mended_data_is_all_that_a_second_run_tracks(benchmark_: Benchmark, tmp_path: Path) -> None:
    broken = tmp_path / "data" / "b" / "00000003.jpg"
    good = broken.read_bytes()
    broken.write_bytes(b"")
    job = make_job("still", benchmark_, tmp_path / "out")
    track(job)
    broken.write_bytes(good)
    assert ended(track(job)) == {"b": ""}


def test_a_full_disk_ends_the_run_and_what_was_complete_stays(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("still", benchmark_, tmp_path / "out")
    events = run(job)
    assert [next(events).ended for _ in range(5)][-1]  # the first sequence

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OutputError, match=r"b_time\.txt: cannot be written: No space left on device"):
        list(events)
    monkeypatch.undo()
    assert ended(track(job)) == {"b": "", "c": ""}


def test_an_error_of_a_worker_that_ends_the_run_is_raised(benchmark_: Benchmark, tmp_path: Path) -> None:
    job = make_job("still", benchmark_, tmp_path / "out")
    (job.folder / "times").write_text("in the way")
    with pytest.raises(OutputError, match="times"):
        track(job, workers=2)


def test_a_sequence_that_another_run_works_on_is_waited_for(benchmark_: Benchmark, tmp_path: Path) -> None:
    job = make_job("still", benchmark_, tmp_path / "out")
    other = Claim.take(job.folder, "a")
    assert other is not None
    events = run(job)
    assert [next(events).name for _ in range(13)] == ["b"] * 6 + ["c"] * 7
    other.release()  # it gave up
    assert {event.name for event in events} == {"a"}
    assert is_complete(job.folder, "a")


def test_frames_in_memory_are_tracked_in_one_pass() -> None:
    frames = [scenes.picture(n)[0] for n in range(4)]
    trace = one_pass(Still(), frames, (50, 50, 33, 33), len(frames))
    np.testing.assert_array_equal(trace.boxes, [(50, 50, 33, 33)] * 4)
    assert np.isnan(trace.scores).all()
    with pytest.raises(LockonError, match="outside the frame"):
        one_pass(Tracker(SMALL["stark"]()), frames, (500, 50, 33, 33), len(frames))


# Real processes


def command(data: Path, out: Path) -> list[str]:
    options = ["--benchmark", "folder", "--data", str(data), "--out", str(out), "--device", "cpu"]
    return [sys.executable, "-m", "lockon", "eval", "--tracker", "stark-tiny", *options]


@pytest.fixture(scope="module")
def longer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Sequences that take a moment, and what an uninterrupted run says of them."""
    place = tmp_path_factory.mktemp("longer")
    job = make_job("stark-tiny", write_benchmark(place / "data", "abcdef", frames=12), place / "out", "cpu")
    track(job)
    return place / "data", contents(job.folder)


def wait_for(condition: Iterator[bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not next(condition):
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_loses_nothing(
    longer: tuple[Path, dict[str, bytes]], tmp_path: Path, workers: int
) -> None:
    data, expected = longer
    folder = tmp_path / "folder" / "stark-tiny"
    started = [*command(data, tmp_path), "--workers", str(workers)]
    with subprocess.Popen(started, stdout=subprocess.DEVNULL) as child:
        wait_for(is_complete(folder, "b") for _ in iter(int, 1))
        os.kill(child.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.txt")}
    assert 1 <= len(kept) < 6
    subprocess.run(command(data, tmp_path), check=True, stdout=subprocess.DEVNULL)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {name: text for name, text in contents(folder).items() if not name.endswith(".part")} == expected


def test_two_runs_at_once_share_a_folder(longer: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    data, expected = longer
    runs = [subprocess.Popen(command(data, tmp_path), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in runs:
        told, _ = one.communicate(timeout=240)
        assert one.returncode == 0
        assert "6 of 6 sequences" in told
    assert contents(tmp_path / "folder" / "stark-tiny") == expected


def test_of_a_worker_that_dies_the_sequence_is_named_and_others_go_on(
    longer: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    data, expected = longer
    job = make_job("stark-tiny", open_benchmark("folder", data), tmp_path, "cpu")
    seen: dict[str, str] = {}
    for event in run(job, workers=2):
        before = len(seen)
        seen[event.name] = event.error
        if before == 1 and len(seen) == 2:  # both are at work
            multiprocessing.active_children()[0].kill()
    assert set(seen) == set("abcdef")
    failed = [error for error in seen.values() if error]
    assert len(failed) == 1
    assert "its process died, exit code -9" in failed[0]
    track(job)
    assert contents(job.folder) == expected
