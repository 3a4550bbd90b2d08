import json
from pathlib import Path

import numpy as np
import pytest

import lockon
from lockon.errors import FrameError, OutputError
from lockon.track import TrackWriter, follow
from lockon.tracker import Result, Tracker
from lockon.video import Frame, open_frames
from tests import scenes
from tests.test_tracker import small_tracker


@pytest.fixture
def tracker() -> Tracker:
    return small_tracker()


def frames(count: int) -> list[Frame]:
    return [Frame(n, scenes.picture(n)[0], n / 25) for n in range(count)]


def test_track_yields_a_result_per_frame_from_the_given_box_on(tmp_path: Path, tracker: Tracker) -> None:
    boxes = scenes.video(tmp_path / "clip.mp4", frames=8)
    results = list(lockon.track(tmp_path / "clip.mp4", boxes[0], tracker))
    assert len(results) == 8
    assert all(isinstance(r, Result) for r in results)
    assert results[0] == Result(boxes[0], 1.0, True)


def test_track_starts_afresh_with_a_tracker_that_was_used_before(tmp_path: Path, tracker: Tracker) -> None:
    boxes = scenes.video(tmp_path / "clip.mp4", frames=4)
    first = list(lockon.track(tmp_path / "clip.mp4", boxes[0], tracker))
    assert list(lockon.track(tmp_path / "clip.mp4", boxes[0], tracker)) == first


def test_track_from_a_later_frame(tmp_path: Path, tracker: Tracker) -> None:
    boxes = scenes.video(tmp_path / "clip.mp4", frames=8)
    results = list(lockon.track(tmp_path / "clip.mp4", boxes[3], tracker, start=3, end=6))
    assert len(results) == 3


def test_several_boxes_give_lists(tmp_path: Path, tracker: Tracker) -> None:
    boxes = scenes.video(tmp_path / "clip.mp4", frames=3)
    results = list(lockon.track(tmp_path / "clip.mp4", [boxes[0], (5, 5, 30, 30)], tracker))
    assert [len(r) for r in results if isinstance(r, list)] == [2, 2, 2]


def test_the_files_hold_what_was_tracked(tmp_path: Path, tracker: Tracker) -> None:
    tracked = list(follow(frames(5), [scenes.picture()[1]], tracker))
    with TrackWriter(tmp_path / "out", "clip", 1, 25.0, images=True) as writer:
        for item in tracked:
            writer.write(item)
    boxes = np.loadtxt(tmp_path / "out" / "clip.txt", delimiter=",")
    np.testing.assert_allclose(boxes, [t.results[0].box for t in tracked], atol=0.005)
    rows = [json.loads(line) for line in (tmp_path / "out" / "clip.jsonl").read_text().splitlines()]
    assert [row["frame"] for row in rows] == [0, 1, 2, 3, 4]
    assert {"box", "score", "found", "time", "target", "ms"} <= set(rows[0])
    assert set(rows[1]["ms"]) == {"decode", "crop", "network", "resolve", "write"}
    assert sorted(p.name for p in (tmp_path / "out" / "clip").iterdir()) == [f"{n:08d}.jpg" for n in range(5)]
    with open_frames(tmp_path / "out" / "clip.mp4") as video:
        shown = list(video)
    assert [round(f.time, 2) for f in shown] == [0, 0.04, 0.08, 0.12, 0.16]
    changed = np.abs(shown[0].image.astype(int) - tracked[0].frame.image).max(-1) > 60
    assert changed.any()  # the box is drawn
    assert np.argwhere(changed).min() > 12  # and nothing else


def test_several_targets_get_a_boxes_file_each(tmp_path: Path, tracker: Tracker) -> None:
    with TrackWriter(tmp_path, "clip", 2, 25.0) as writer:
        for item in follow(frames(2), [scenes.picture()[1], (5, 5, 30, 30)], tracker):
            writer.write(item)
    assert [len((tmp_path / f"clip-{n}.txt").read_text().splitlines()) for n in (1, 2)] == [2, 2]
    rows = [json.loads(line) for line in (tmp_path / "clip.jsonl").read_text().splitlines()]
    assert [row["target"] for row in rows] == [1, 2, 1, 2]


def test_a_video_that_breaks_off_raises_after_its_good_frames(tmp_path: Path, tracker: Tracker) -> None:
    for n in range(4):
        data = scenes.jpeg(scenes.picture(n)[0])
        (tmp_path / f"{n}.jpg").write_bytes(data if n != 2 else b"broken")
    results = lockon.track(tmp_path, scenes.picture()[1], tracker)
    assert [isinstance(next(results), Result) for _ in range(2)] == [True, True]
    with pytest.raises(FrameError, match=r"2\.jpg"):
        next(results)


def test_an_output_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot write results"):
        TrackWriter(tmp_path / "file" / "out", "clip", 1, 25.0)
