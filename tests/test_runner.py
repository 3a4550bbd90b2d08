"""A tracker over a benchmark: by one process, in lockstep, by several processes; what fails is named, the rest done."""

import math
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from lockon.boxes import Box
from lockon.errors import BoxError, DataError, LockonError, OutputError, TrackerError
from lockon.evaluation import sequences
from lockon.evaluation.results import Claim, folds_case, is_complete, read_config, read_trace
from lockon.evaluation.runner import Event, Job, Lane, follow, make_job, one_pass, run
from lockon.evaluation.sequences import Benchmark
from lockon.evaluation.trackers import Entrant, Still
from lockon.models import MODELS, ModelInfo
from lockon.tracker import Result, Tracker
from tests import scenes
from tests.fakes import FakeOpenCV
from tests.kills import Killed, children, descendants, is_alive, wait_for_end, wait_until
from tests.small import SMALL
from tests.videos import contents, write_benchmark

KILLS = (4, 13, 11)  # seeds: a run, a worker, both


def contents_of(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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


# Answers that are none


class Odd(Still):
    """Answers something else in one frame."""

    def __init__(self, frame: int, **change: Any) -> None:
        self.frame, self.change, self.seen = frame, change, 1

    def step(self, frames: Sequence[Any], states: Sequence[Result]) -> list[tuple[Any, Result]]:
        self.seen += 1
        answers = super().step(frames, states)
        if self.seen != self.frame:
            return answers
        return [(state, replace(result, **self.change)) for state, result in answers]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"box": (math.nan, 1, 2, 3)}, "the tracker answered nan,1,2,3;"),
        ({"box": (1, 2, math.inf, 3)}, "the tracker answered 1,2,inf,3;"),
        ({"box": (1, 2, -3, 4)}, "the tracker answered 1,2,-3,4;"),
        ({"box": (1, 2, 3)}, "the tracker answered 1,2,3;"),
        ({"polygon": ((0, 0), (1, 0), (1, math.nan))}, "the tracker answered 0,0,1,0,1,nan;"),
    ],
)
def test_an_answer_that_is_no_box_is_told_with_its_frame_and_nothing_is_written(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], told: str
) -> None:
    job = make_job("still", benchmark_, tmp_path / "out")
    monkeypatch.setattr("lockon.evaluation.runner.open_tracker", lambda *_: Entrant("odd", Odd(3, **change)))
    errors = ended(track(job))
    assert errors["a"].startswith(f"a, frame 3: {told}")
    assert errors["b"] == errors["c"] == ""
    assert [is_complete(job.folder, name) for name in "abc"] == [False, True, True]
    assert not (job.folder / "times" / "a_time.txt").exists()


def test_a_score_that_is_no_number_counts_as_none_told(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job("still", benchmark_, tmp_path / "out")
    monkeypatch.setattr("lockon.evaluation.runner.open_tracker", lambda *_: Entrant("odd", Odd(3, score=math.inf)))
    assert not any(ended(track(job)).values())
    assert np.isnan(read_trace(job.folder, "a", 5).scores).all()


# What a run leaves alone


@pytest.mark.parametrize("out", ["data", "data/results", "data/a"])
def test_results_do_not_go_into_the_data(benchmark_: Benchmark, tmp_path: Path, out: str) -> None:
    before = contents_of(tmp_path / "data")
    with pytest.raises(OutputError, match="lies in the data set"):
        make_job("still", benchmark_, tmp_path / out)
    assert contents_of(tmp_path / "data") == before


def test_nor_by_a_link(benchmark_: Benchmark, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "data")
    with pytest.raises(OutputError, match="lies in the data set"):
        make_job("still", benchmark_, tmp_path / "out")


def test_results_of_other_data_with_the_same_names_are_not_gone_on_with(tmp_path: Path) -> None:
    one = write_benchmark(tmp_path / "one", "ab")
    track(make_job("still", one, tmp_path / "out"))
    other = write_benchmark(tmp_path / "other", "ab", frames=7)
    with pytest.raises(DataError, match=r"a\.txt: results of other data: they are of 5 frames, the sequence has 7"):
        make_job("still", other, tmp_path / "out")
    moved = write_benchmark(tmp_path / "moved", "ab")
    truth = tmp_path / "moved" / "a" / "groundtruth.txt"
    truth.write_text("\n".join(["1,2,30,40", *truth.read_text().splitlines()[1:]]))
    with pytest.raises(DataError, match="they begin with the box 34,34,33,33, the sequence with 1,2,30,40"):
        make_job("still", moved, tmp_path / "out")
    copied = write_benchmark(tmp_path / "copied", "ab")
    assert not track(make_job("still", copied, tmp_path / "out"))


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("a", "../b"), "a separator of folders"),
        (("a", "/etc/b"), "a separator of folders"),
        (("a", "a\\b"), "a separator of folders"),
        (("a", "C:b"), "begins like a drive"),
        (("a", ".."), "empty, or dots and blanks alone"),
        (("a", ""), "empty, or dots and blanks alone"),
        (("a", "b\x1b[2J"), "control characters"),
        (("a", "b" * 300), "longer than 200 bytes"),
        (("a", "b", "a"), "two sequences are called 'a'"),
    ],
)
def test_names_that_would_be_paths_or_share_files_are_refused_before_anything_is_made(
    tmp_path: Path, names: tuple[str, ...], fault: str
) -> None:
    def unread(name: str) -> Any:
        raise AssertionError(name)

    with pytest.raises(DataError) as caught:
        make_job("still", Benchmark("folder", names, unread), tmp_path / "out")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("names", [("Car", "car"), ("caf\u00e9", "cafe\u0301")])
def test_names_that_differ_in_case_alone_are_refused_where_the_disk_takes_them_for_one(
    tmp_path: Path, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = write_benchmark(tmp_path / "data", "a").read("a")
    benchmark = Benchmark("folder", names, lambda name: replace(one, name=name))
    monkeypatch.setattr("lockon.evaluation.results.folds_case", lambda folder: True)
    with pytest.raises(DataError, match="its disk takes the names"):
        make_job("still", benchmark, tmp_path / "folding")
    monkeypatch.undo()
    if folds_case(tmp_path / "folding" / "folder" / "still"):
        pytest.skip("this disk does")
    job = make_job("still", benchmark, tmp_path / "out")
    assert not any(ended(track(job)).values())
    assert len(list(job.folder.glob("*.txt"))) == 2


def test_a_disk_that_takes_names_for_one_is_known_by_its_record(tmp_path: Path) -> None:
    assert not folds_case(tmp_path)
    (tmp_path / "run.json").touch()
    (tmp_path / "RUN.JSON").touch()  # which such a disk has by then
    assert folds_case(tmp_path)


def test_a_first_box_without_area_is_named_where_the_benchmark_publishes_one(
    benchmark_: Benchmark, tmp_path: Path
) -> None:
    def read(name: str) -> sequences.Sequence:
        sequence = benchmark_.read(name)
        boxes = sequence.boxes.copy()
        boxes[0] = (10, 20, 0, 40)
        return replace(sequence, boxes=boxes) if name == "a" else sequence

    errors = ended(track(make_job("still", replace(benchmark_, read=read), tmp_path / "out")))
    assert errors == {"a": "a: its first frame has a box without area, 10,20,0,40", "b": "", "c": ""}


def test_a_first_box_without_area_is_named(benchmark_: Benchmark, tmp_path: Path) -> None:
    truth = tmp_path / "data" / "a" / "groundtruth.txt"
    truth.write_text("\n".join(["10,20,0,40", *truth.read_text().splitlines()[1:]]))
    errors = ended(track(make_job("still", benchmark_, tmp_path / "out")))
    assert "groundtruth.txt, line 1: 10,20,0,40 is no box: it has no area" in errors.pop("a")
    assert errors == {"b": "", "c": ""}


def test_a_run_gives_the_threads_back(benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = make_job("still", benchmark_, tmp_path / "out", threads=2)
    before, during = (torch.get_num_threads(), cv2.getNumThreads()), set()
    for _ in run(job):
        during.add(torch.get_num_threads())
    assert during == {2}
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before


# Real processes


def command(data: Path, out: Path) -> list[str]:
    options = ["--benchmark", "folder", "--data", str(data), "--out", str(out), "--device", "cpu"]
    return [sys.executable, "-m", "lockon", "eval", "--tracker", "stark-tiny", *options]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Sequences that take a moment, and what an uninterrupted run says of them."""
    return Killed(tmp_path_factory.mktemp("killed"))


@pytest.mark.parametrize("seed", KILLS)
def test_a_killed_run_goes_on_and_loses_nothing(killed: Killed, tmp_path: Path, seed: int) -> None:
    killed.check(tmp_path / "out", seed)


def test_two_runs_at_once_share_a_folder(killed: Killed, tmp_path: Path) -> None:
    data = killed.place / "data"
    runs = [subprocess.Popen(command(data, tmp_path), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for one in runs:
        told, _ = one.communicate(timeout=240)
        assert one.returncode == 0
        assert "6 of 6 sequences" in told
    assert contents(tmp_path / "folder" / "stark-tiny") == killed.expected


def kill_who_hangs(fake: FakeOpenCV) -> Thread:
    """Kills the process whose tracker hangs, when it does."""

    def kill() -> None:
        wait_until(fake.hung.exists)
        os.kill(int(fake.hung.read_text()), signal.SIGKILL)

    thread = Thread(target=kill, daemon=True)
    thread.start()
    return thread


def test_of_a_worker_that_dies_the_sequence_is_named_and_others_go_on(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed while its tracker hangs, so that it cannot have finished."""
    fake = FakeOpenCV(tmp_path / "fake", monkeypatch)
    fake.tell(152, update="hang")  # the width of b's pictures
    job = make_job("opencv-mil", benchmark_, tmp_path / "out", "cpu")
    kill_who_hangs(fake)
    errors = ended(track(job, workers=2))
    assert errors == {"a": "", "b": "b: its process died, exit code -9", "c": ""}
    fake.forget(152)
    assert ended(track(job)) == {"b": ""}


def test_if_all_workers_die_the_run_ends_with_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeOpenCV(tmp_path / "fake", monkeypatch)
    benchmark = write_benchmark(tmp_path / "data", "abcd")
    for width in (160, 152):
        fake.tell(width, init="hang")
    job = make_job("opencv-mil", benchmark, tmp_path / "out", "cpu")
    seen: list[Event] = []

    def kill_both() -> None:
        for _ in range(2):
            wait_until(fake.hung.exists)
            victim = int(fake.hung.read_text())
            fake.hung.unlink()
            os.kill(victim, signal.SIGKILL)

    Thread(target=kill_both, daemon=True).start()
    with pytest.raises(TrackerError) as caught:
        seen.extend(run(job, workers=2))
    assert str(caught.value).startswith("all workers died (exit code -9): 2 sequences are left, first c; run the same")


def test_workers_that_cannot_begin_say_so(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a script that comes from standard input: no worker can run it again."""
    code = (
        "from pathlib import Path\n"
        "from lockon.evaluation.benchmarks import open_benchmark\n"
        "from lockon.evaluation.runner import make_job, run\n"
        "list(run(make_job('still', open_benchmark('folder', 'data'), Path('out')), workers=2))\n"
    )
    ran = subprocess.run([sys.executable, "-"], input=code, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "TrackerError: no worker could begin (exit code 1; what they wrote stands above)" in ran.stderr


def test_a_worker_ends_with_the_run_that_started_it(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is in the middle of a frame that never ends."""
    fake = FakeOpenCV(tmp_path / "fake", monkeypatch)
    for width in (160, 152, 144):
        fake.tell(width, update="hang")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    options = [*command(tmp_path / "data", tmp_path / "out"), "--tracker", "opencv-mil", "--workers", "2"]
    options[options.index("stark-tiny")] = "still"
    with subprocess.Popen(options, env=environment, stdout=subprocess.DEVNULL) as child:
        wait_until(lambda: fake.hung.exists() or child.poll() is not None)
        below = children(child.pid)
        assert int(fake.hung.read_text()) in below
        child.kill()
    for pid in below:
        wait_for_end(pid)


def test_a_run_that_is_told_to_end_ends_its_workers_and_their_trackers(
    benchmark_: Benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeOpenCV(tmp_path / "fake", monkeypatch)
    for width in (160, 152, 144):
        fake.tell(width, update="hang")
    job = make_job("opencv-mil", benchmark_, tmp_path / "out", "cpu")
    events = run(job, workers=2)
    next(events)
    wait_until(fake.hung.exists)
    worker = int(fake.hung.read_text())
    trackers = descendants(worker)
    assert trackers
    events.close()
    assert not is_alive(worker)
    for pid in trackers:
        wait_for_end(pid)


def limited() -> None:
    """For a process that is to come: no file may grow beyond a few bytes, as if the disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (80, 80))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_line_and_what_was_complete_stays(
    benchmark_: Benchmark, tmp_path: Path, workers: int
) -> None:
    short = command(tmp_path / "data", tmp_path / "out")
    short[short.index("stark-tiny")] = "still"
    job = make_job("still", benchmark_, tmp_path / "out")
    track(job)
    before = (job.folder / "b.txt").read_bytes()
    for name in "ac":
        (job.folder / f"{name}.txt").unlink()
    ran = subprocess.run([*short, "--workers", str(workers)], preexec_fn=limited, capture_output=True, text=True)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    assert ran.stderr.endswith(".txt: cannot be written: File too large\n")
    assert {path.name: path.read_bytes() for path in job.folder.glob("*.txt")} == {"b.txt": before}
    assert subprocess.run(short, capture_output=True).returncode == 0
