from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from lockon.boxes import Box
from lockon.crops import CropSpec
from lockon.errors import BoxError, SourceError
from lockon.models.stark import Stark
from lockon.tracker import Result, Tracker
from tests.small import SMALL, STARK

BOXES: list[Box] = [(40, 30, 30, 24), (90, 60, 20, 28)]
FRAMES = list(np.random.default_rng(0).integers(0, 255, (6, 120, 160, 3), np.uint8))


def small_tracker(**changes: object) -> Tracker:
    torch.manual_seed(0)
    return Tracker(Stark(replace(STARK, **changes)))  # type: ignore[arg-type]


def boxes_of(results: Result | list[Result]) -> list[Box]:
    return [r.box for r in results] if isinstance(results, list) else [results.box]


def test_one_box_in_gives_one_result_out() -> None:
    tracker = small_tracker()
    first = tracker.init(FRAMES[0], BOXES[0])
    result = tracker.update(FRAMES[1])
    assert isinstance(first, Result)
    assert first.box == BOXES[0]
    assert isinstance(result, Result)
    assert len(result.box) == 4
    assert 0 <= result.score <= 1
    assert set(result.times) == {"crop", "network", "resolve"}


def test_many_targets_in_one_batch_go_where_each_goes_alone() -> None:
    together = small_tracker()
    together.init(FRAMES[0], BOXES)
    alone = [small_tracker() for _ in BOXES]
    for tracker, box in zip(alone, BOXES, strict=True):
        tracker.init(FRAMES[0], box)
    for frame in FRAMES[1:]:
        batch = boxes_of(together.update(frame))
        np.testing.assert_allclose(batch, [boxes_of(t.update(frame))[0] for t in alone], atol=1e-3)


def test_all_targets_go_through_one_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = small_tracker()
    sizes = []
    forward = tracker.model.forward

    def spy(images: Tensor, padding: Tensor, memory: NamedTuple) -> NamedTuple:
        sizes.append(len(images))
        return forward(images, padding, memory)

    monkeypatch.setattr(tracker.model, "forward", spy)
    tracker.init(FRAMES[0], BOXES)
    tracker.update(FRAMES[1])
    assert sizes == [2]


def test_a_list_of_one_box_gives_a_list() -> None:
    tracker = small_tracker()
    assert isinstance(tracker.init(FRAMES[0], [BOXES[0]]), list)
    assert isinstance(tracker.update(FRAMES[1]), list)


@pytest.mark.parametrize("kind", ["array", "channels first", "channels last"])
def test_arrays_and_tensors_track_alike(kind: str) -> None:
    def convert(frame: np.ndarray) -> object:
        tensor = torch.from_numpy(frame)
        return {"array": frame, "channels first": tensor.permute(2, 0, 1), "channels last": tensor}[kind]

    tracker, expected = small_tracker(), small_tracker()
    tracker.init(convert(FRAMES[0]), torch.tensor(BOXES[0]))
    expected.init(FRAMES[0], BOXES[0])
    assert boxes_of(tracker.update(convert(FRAMES[1]))) == boxes_of(expected.update(FRAMES[1]))


def test_the_states_are_all_that_a_track_remembers() -> None:
    """A track can be paused, and taken up by another tracker of the same model."""
    one = small_tracker()
    one.init(FRAMES[0], BOXES[0])
    one.update(FRAMES[1])
    two = small_tracker()
    two.init(FRAMES[5], BOXES[1])
    two.states = list(one.states)
    assert boxes_of(two.update(FRAMES[2])) == boxes_of(one.update(FRAMES[2]))


def test_a_new_init_starts_afresh() -> None:
    tracker, fresh = small_tracker(), small_tracker()
    tracker.init(FRAMES[3], BOXES)
    tracker.update(FRAMES[4])
    tracker.init(FRAMES[0], BOXES[0])
    fresh.init(FRAMES[0], BOXES[0])
    assert boxes_of(tracker.update(FRAMES[1])) == boxes_of(fresh.update(FRAMES[1]))


def test_a_dynamic_template_is_renewed_on_time_and_only_when_the_score_allows() -> None:
    for above, renewed in ((-1.0, [False, True, False, True]), (2.0, [False] * 4)):
        tracker = small_tracker(templates=2, update_interval=2, update_above=above)
        tracker.init(FRAMES[0], BOXES[0])
        seen = []
        for frame in FRAMES[1:5]:
            before = tracker.states[0].memory.x
            tracker.update(frame)
            after = tracker.states[0].memory.x
            seen.append(not torch.equal(before, after))
            half = after.shape[1] // 2
            assert torch.equal(before[:, :half], after[:, :half])  # the first template stays
        assert seen == renewed


def test_update_before_init_says_what_to_do() -> None:
    with pytest.raises(BoxError, match=r"before init\(\)"):
        small_tracker().update(FRAMES[0])


@pytest.mark.parametrize("box", [(0, 0, -1, 5), (500, 500, 5, 5), (1, 2, 3), []])
def test_a_bad_box_is_refused(box: tuple[float, ...]) -> None:
    with pytest.raises(BoxError):
        small_tracker().init(FRAMES[0], box)


def test_something_that_is_no_image_is_refused() -> None:
    with pytest.raises(SourceError, match="not an image"):
        small_tracker().init("frame.jpg", BOXES[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_tracks_like_the_cpu() -> None:
    torch.manual_seed(0)
    gpu, cpu = Tracker(Stark(STARK), "cuda"), small_tracker()
    for tracker in (gpu, cpu):
        tracker.init(FRAMES[0], BOXES)
    np.testing.assert_allclose(boxes_of(gpu.update(FRAMES[1])), boxes_of(cpu.update(FRAMES[1])), atol=0.1)


def test_crops_of_a_model_that_asks_for_it_have_the_first_frames_mean_colour_around() -> None:
    tracker = small_tracker(search=CropSpec(4, 64, border="mean"))
    frame = np.zeros((40, 60, 3), np.uint8)
    frame[:, :30] = (200, 100, 0)
    tracker.init(frame, (5, 5, 20, 20))
    tracker.update(np.full_like(frame, 255))
    assert tracker.states[0].border == (100, 50, 0)


@pytest.mark.parametrize("name", SMALL)
def test_targets_of_several_videos_advance_in_one_batch_as_each_does_alone(name: str) -> None:
    torch.manual_seed(0)
    tracker = Tracker(SMALL[name]())
    videos = [FRAMES, [frame[:90, 10:] for frame in reversed(FRAMES)]]  # of two sizes

    def advance(videos: list[list[np.ndarray]], boxes: list[Box]) -> list[list[Box]]:
        firsts, *rest = zip(*videos, strict=True)
        advanced = tracker.start(firsts, boxes)
        found = []
        for frames in rest:
            advanced = tracker.step(frames, [state for state, _ in advanced])
            found.append([result.box for _, result in advanced])
        return found

    together = advance(videos, BOXES)
    alone = [advance([video], [box]) for video, box in zip(videos, BOXES, strict=True)]
    for step, boxes in enumerate(together):
        np.testing.assert_allclose(boxes, [one[step][0] for one in alone], atol=1e-2)
