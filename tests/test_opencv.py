"""OpenCV's trackers: what they answer, and what they do to nobody else."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lockon.errors import BoxError, DataError, ModelError, TrackerError
from lockon.evaluation import child, opencv
from lockon.evaluation.opencv_child import Track, is_box, reason, score_of
from lockon.evaluation.results import is_complete, read_trace
from lockon.evaluation.runner import make_job, run
from lockon.evaluation.trackers import Entrant, open_tracker
from lockon.tracker import Result
from tests import scenes
from tests.fakes import FakeOpenCV
from tests.kills import wait_for_end, wait_until
from tests.videos import write_benchmark

WIDTHS = {"a": 160, "b": 152, "c": 144}  # of ``write_benchmark``'s sequences


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeOpenCV:
    return FakeOpenCV(tmp_path / "fake", monkeypatch)


def follow(entrant: Entrant, width: int = 160, frames: int = 3) -> list[Result]:
    """Results of a track that starts on the box 10, 20, 30, 40.6."""
    picture = np.zeros((100, width, 3), np.uint8)
    ((state, result),) = entrant.steps.start([picture], [(10, 20, 30, 40.6)])
    results = [result]
    for _ in range(frames - 1):
        ((state, result),) = entrant.steps.step([picture], [state])
        results.append(result)
    return results


def errors(tmp_path: Path) -> dict[str, str]:
    """How the sequences of a small benchmark end."""
    job = make_job("opencv-mil", write_benchmark(tmp_path / "data"), tmp_path / "out", "cpu")
    ended = {event.name: event.error for event in run(job) if event.ended}
    assert {name: is_complete(job.folder, name) for name in ended} == {name: not e for name, e in ended.items()}
    return ended


# What they answer


def test_a_track_begins_on_whole_pixels_and_has_no_score_where_opencv_tells_none(fake: FakeOpenCV) -> None:
    first, second, third = follow(tracker := open_tracker("opencv-mil"))
    tracker.close()
    assert (first.box, first.found) == ((10, 20, 30, 40.6), True)
    assert (second.box, third.box) == ((11, 20, 30, 41), (12, 20, 30, 41))
    assert math.isnan(second.score)
    assert 0 <= second.times["elsewhere"] < 1e6


@pytest.mark.parametrize("word", ["lost", "nan", "far", "negative", "empty"])
def test_the_last_box_stays_where_there_is_no_other(fake: FakeOpenCV, word: str) -> None:
    fake.tell(160, update=word)
    *_, last = follow(tracker := open_tracker("opencv-mil"))
    tracker.close()
    assert (last.box, last.found) == ((10, 20, 30, 40.6), False)


def test_what_opencv_prints_is_no_answer(fake: FakeOpenCV) -> None:
    fake.tell(160, init="print", update="print")
    *_, last = follow(tracker := open_tracker("opencv-mil"))
    tracker.close()
    assert last.box == (12, 20, 30, 41)


def test_a_box_of_a_pixel_and_a_part_is_one_of_a_pixel(fake: FakeOpenCV) -> None:
    tracker = open_tracker("opencv-mil")
    picture = np.zeros((100, 160, 3), np.uint8)
    ((state, _),) = tracker.steps.start([picture], [(10, 20, 1.4, 1.2)])
    ((_, result),) = tracker.steps.step([picture], [state])
    tracker.close()
    assert result.box == (11, 20, 1, 1)


def test_a_box_outside_the_frame_is_refused_before_opencv_sees_it(fake: FakeOpenCV) -> None:
    tracker = open_tracker("opencv-mil")
    try:
        for box, fault in (((200, 20, 30, 40), "outside the frame"), ((10, 20, 0.4, 0.2), "less than a pixel")):
            with pytest.raises(BoxError, match=fault):
                tracker.steps.start([np.zeros((100, 160, 3), np.uint8)], [box])
    finally:
        tracker.close()


def test_several_targets_at_once_do_not_mix(fake: FakeOpenCV) -> None:
    tracker = open_tracker("opencv-mil")
    pictures = [np.zeros((100, 160, 3), np.uint8)] * 2
    states = [state for state, _ in tracker.steps.start(pictures, [(10, 20, 30, 40), (50, 20, 30, 40)])]
    assert [result.box[0] for _, result in tracker.steps.step(pictures, states)] == [11, 51]
    tracker.close()


def test_scores_are_those_that_say_something() -> None:
    class Scored:
        def __init__(self, score: float) -> None:
            self.getTrackingScore = lambda: score

    assert [score_of(Scored(score)) for score in (0.5, 0.0, -1.0, math.nan)] == [0.5, 0.0, None, None]
    assert score_of(object()) is None  # OpenCV before 4.9


def test_a_box_is_four_numbers_with_an_area_somewhere_near() -> None:
    assert is_box([0, -3, 1, 1])
    none: list[list[float]] = [[0, 0, 1], [0, 0, 0, 1], [0, 0, 1, -1], [-(2**31), 0, 1, 1]]
    none += [[math.nan, 0, 1, 1], [0, 0, math.inf, 1]]
    assert not any(map(is_box, none))


def test_opencvs_errors_are_told_in_one_line_without_the_place_in_its_code() -> None:
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 0, 3), np.uint8), (5, 5))
    told = reason(caught.value)
    assert told.startswith("Assertion failed: ")
    assert "/" not in told
    assert "OpenCV(" not in told
    assert "\n" not in told
    assert reason(ValueError("other\n things")) == "other things"
    assert reason(MemoryError()) == "MemoryError"


def test_a_tracker_of_opencv_answers_the_same_in_a_process_of_its_own() -> None:
    """MIL alone is in every build; its samples are drawn anew with each track, from the time."""
    kind = next((kind for kind in ("KCF", "CSRT") if hasattr(cv2, f"Tracker{kind}_create")), "MIL")
    frames = [scenes.picture(number)[0] for number in range(4)]
    track, expected = Track(getattr(cv2, f"Tracker{kind}_create")), []
    track.answer({"box": [34, 34, 33, 33]}, frames[0])
    for frame in frames[1:]:
        expected.append(track.answer({}, frame)["box"])
    tracker = open_tracker(f"opencv-{kind.lower()}")
    ((state, _),) = tracker.steps.start(frames[:1], [(34, 34, 33, 33)])
    boxes = []
    for frame in frames[1:]:
        ((state, result),) = tracker.steps.step([frame], [state])
        boxes.append(list(result.box))
    tracker.close()
    np.testing.assert_allclose(boxes, expected, atol=0 if kind != "MIL" else 12)


# What they do to nobody else


def test_one_that_does_not_come_back_costs_its_own_sequence(fake: FakeOpenCV, tmp_path: Path) -> None:
    fake.be_late_when_hung()
    fake.tell(WIDTHS["b"], update="hang")
    told = errors(tmp_path)
    assert (told["a"], told["c"]) == ("", "")
    assert told["b"].startswith("b, frame 2: opencv-mil: gave no answer in 30 seconds")


def test_one_that_does_not_come_back_from_its_start(fake: FakeOpenCV, tmp_path: Path) -> None:
    fake.be_late_when_hung()
    fake.tell(WIDTHS["b"], init="hang")
    told = errors(tmp_path)
    assert (told["a"], told["c"]) == ("", "")
    assert told["b"].startswith("b, frame 1: opencv-mil: gave no answer in 60 seconds")


def test_patience_can_be_set(fake: FakeOpenCV) -> None:
    fake.tell(160, update="hang")
    tracker = open_tracker("opencv-mil", patience=300)
    assert tracker.steps._frame_seconds == 300  # type: ignore[attr-defined]
    picture = np.zeros((100, 160, 3), np.uint8)
    ((state, _),) = tracker.steps.start([picture], [(10, 20, 30, 40)])
    tracker.steps._frame_seconds = 0.1  # type: ignore[attr-defined]
    with pytest.raises(TrackerError, match=r"gave no answer in 0\.1 seconds"):
        tracker.steps.step([picture], [state])
    tracker.close()
    for none in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(DataError, match="patience of"):
            open_tracker("opencv-mil", patience=none)


def test_one_that_takes_its_process_with_it(fake: FakeOpenCV, tmp_path: Path) -> None:
    fake.tell(WIDTHS["b"], update="die")
    told = errors(tmp_path)
    assert (told["a"], told["c"]) == ("", "")
    assert told["b"] == "b, frame 2: opencv-mil: its process died, exit code -11; its last words: no luck"


@pytest.mark.parametrize(
    ("word", "fault"),
    [("raise", "cannot start on box 34,34,33,33: Assertion failed: "), ("refuse", "it refuses the box")],
)
def test_one_that_refuses_a_box_says_why(fake: FakeOpenCV, tmp_path: Path, word: str, fault: str) -> None:
    fake.tell(WIDTHS["a"], init=word)
    told = errors(tmp_path)
    assert (told["b"], told["c"]) == ("", "")
    assert told["a"].startswith("a, frame 1: opencv-mil: cannot start on box")
    assert fault in told["a"]


def test_in_lockstep_too_each_costs_its_own_sequence(fake: FakeOpenCV, tmp_path: Path) -> None:
    fake.tell(WIDTHS["b"], update="die")
    job = make_job("opencv-mil", write_benchmark(tmp_path / "data"), tmp_path / "out", "cpu", batch=3)
    told = {event.name: event.error for event in run(job) if event.ended}
    assert (told["a"], told["c"]) == ("", "")
    assert "its process died" in told["b"]


def test_a_process_takes_one_target_after_the_other(fake: FakeOpenCV, tmp_path: Path) -> None:
    job = make_job("opencv-mil", write_benchmark(tmp_path / "data"), tmp_path / "out", "cpu")
    started = []
    with pytest.MonkeyPatch.context() as patch:
        begin = child.Child

        def counted(*arguments: object) -> object:
            started.append(arguments)
            return begin(*arguments)  # type: ignore[arg-type]

        patch.setattr(opencv, "Child", counted)
        assert not [event.error for event in run(job) if event.error]
    assert len(started) == 1
    trace = read_trace(job.folder, "a", 5)
    np.testing.assert_array_equal(trace.boxes[:, 0], [34, 35, 36, 37, 38])
    assert (trace.seconds > 0).all()


def test_a_tracker_that_cannot_be_made_is_told_at_once(fake: FakeOpenCV, tmp_path: Path) -> None:
    with (tmp_path / "fake" / "sitecustomize.py").open("a") as code:
        code.write("def make(): raise cv2.error('OpenCV(5.0.0) /io/x.cpp:1: error: (-215:Assertion failed) no')\n")
        code.write("cv2.TrackerMIL_create = make\n")
    with pytest.raises(ModelError, match="opencv-mil: cannot be made: Assertion failed: no"):
        open_tracker("opencv-mil")


def test_a_process_ends_with_the_one_that_started_it(fake: FakeOpenCV, tmp_path: Path) -> None:
    """Also out of the middle of a frame."""
    fake.tell(160, update="hang")
    code = (
        "import sys, numpy as np; from lockon.evaluation.trackers import open_tracker\n"
        "t = open_tracker('opencv-mil'); p = np.zeros((100, 160, 3), np.uint8)\n"
        "((s, _),) = t.steps.start([p], [(10, 20, 30, 40)])\n"
        "print(s.process._child._process.pid, flush=True)\n"
        "t.steps.step([p], [s])\n"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": paths}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until(lambda: fake.hung.exists() or parent.poll() is not None)
        parent.kill()
    wait_for_end(pid)
