import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import lockon
from lockon.boxes import Box, parse_box
from lockon.crops import CropSpec
from lockon.errors import BoxError, ModelError, SourceError, StateError
from lockon.models.siamattn import SiamAttn
from lockon.models.stark import Stark
from lockon.tracker import Result, State, Tracker
from lockon.video import open_frames
from tests.small import SIAMATTN, SMALL, STARK

BOXES: list[Box] = [(40, 30, 30, 24), (90, 60, 20, 28)]
FRAMES = list(np.random.default_rng(0).integers(0, 255, (6, 120, 160, 3), np.uint8))


def small_tracker(**changes: object) -> Tracker:
    torch.manual_seed(0)
    return Tracker(Stark(replace(STARK, **changes)))  # type: ignore[arg-type]


def small(name: str) -> Tracker:
    torch.manual_seed(0)
    return Tracker(SMALL[name](), name=name)


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


# States


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("boxes", [BOXES[0], BOXES[:1], BOXES], ids=["one box", "a list of one", "two"])
def test_states_go_on_in_a_new_tracker_as_if_nothing_had_happened(name: str, boxes: Any) -> None:
    one, two = small(name), small(name)
    one.init(FRAMES[0], boxes)
    one.update(FRAMES[1])
    two.states = pickle.loads(pickle.dumps(one.states))
    for frame in FRAMES[2:5]:
        assert two.update(frame) == one.update(frame)


@pytest.mark.parametrize("name", SMALL)
def test_the_state_of_one_of_many_targets_is_as_small_as_of_one_alone(name: str) -> None:
    tracker = small(name)
    sizes = []
    for boxes in (BOXES[:1], 10 * BOXES[:1]):
        tracker.init(FRAMES[0], boxes)
        tracker.update(FRAMES[1])
        sizes.append(len(pickle.dumps(tracker.states[0])))
    assert sizes[1] < 1.1 * sizes[0]


def test_states_go_on_in_another_process(tmp_path: Path) -> None:
    code = (
        "import pickle, sys, torch; torch.set_num_threads(1)\n"
        "from tests.test_tracker import FRAMES, small\n"
        "tracker = small('stark')\n"
        "tracker.states = pickle.load(open(sys.argv[1], 'rb'))\n"
        "pickle.dump([tracker.update(frame) for frame in FRAMES[2:4]], open(sys.argv[2], 'wb'))\n"
    )
    tracker = small("stark")
    tracker.init(FRAMES[0], BOXES[0])
    tracker.update(FRAMES[1])
    (tmp_path / "states").write_bytes(pickle.dumps(tracker.states))
    subprocess.run([sys.executable, "-c", code, tmp_path / "states", tmp_path / "results"], check=True, timeout=120)
    theirs = pickle.loads((tmp_path / "results").read_bytes())
    assert all(isinstance(result, Result) for result in theirs)
    ours = [tracker.update(frame) for frame in FRAMES[2:4]]
    np.testing.assert_allclose([r.box for r in theirs], [boxes_of(r)[0] for r in ours], atol=1e-3)


def test_states_put_back_after_another_track_answer_as_before() -> None:
    tracker = small_tracker()
    tracker.init(FRAMES[0], BOXES)
    two = tracker.states
    tracker.init(FRAMES[0], BOXES[0])
    one = tracker.states
    tracker.states = two
    answer = tracker.update(FRAMES[1])
    assert isinstance(answer, list)
    assert len(answer) == 2
    tracker.states = one
    assert isinstance(tracker.update(FRAMES[1]), Result)


def test_states_of_two_tracks_of_one_box_are_a_list_and_stay_one() -> None:
    tracker = small_tracker()
    states = []
    for box in BOXES:
        tracker.init(FRAMES[0], box)
        states += tracker.states
    tracker.states = states
    assert len(tracker.states) == 2
    answer = tracker.update(FRAMES[1])
    assert isinstance(answer, list)
    tracker.states = tracker.states[:1]  # one of the list is left
    assert isinstance(tracker.update(FRAMES[2]), list)


def test_a_state_may_be_changed_in_place() -> None:
    tracker, other = small_tracker(), small_tracker()
    for each in (tracker, other):
        each.init(FRAMES[0], BOXES[0])
    memory = tracker.states[0].memory
    tracker.states = [replace(tracker.states[0], frame=0)]
    assert tracker.states[0].memory is memory
    tracker.states[0] = replace(tracker.states[0], box=(20.0, 20.0, 30.0, 30.0))
    other.states = [replace(other.states[0], box=(20.0, 20.0, 30.0, 30.0))]
    assert tracker.update(FRAMES[1]) == other.update(FRAMES[1])


def of_another_model() -> list[State]:
    tracker = small("sparsett")
    tracker.init(FRAMES[0], BOXES[0])
    return tracker.states


def of_another_size() -> list[State]:
    tracker = small_tracker(dim=16)
    tracker.init(FRAMES[0], BOXES[0])
    return tracker.states


NONSENSE: list[Callable[[], Any]] = [
    lambda: None,
    lambda: 5,
    lambda: [None],
    lambda: ["state"],
    lambda: [(10, 20, 30, 40)],
    lambda: [State((10.0, 20.0, 30.0, 40.0), "memory")],
    lambda: [State((10.0, 20.0, 30.0, -4.0), None)],
    lambda: small_tracker().start(FRAMES[:1], BOXES[:1]),
    of_another_model,
    of_another_size,
]


@pytest.mark.parametrize("make", NONSENSE)
def test_states_that_are_none_are_refused_and_change_nothing(make: Callable[[], Any]) -> None:
    tracker, other = small_tracker(), small_tracker()
    for each in (tracker, other):
        each.init(FRAMES[0], BOXES[0])
    with pytest.raises(StateError):
        tracker.states = make()
    assert tracker.update(FRAMES[1]) == other.update(FRAMES[1])
    tracker.states.append(5)  # type: ignore[arg-type]
    with pytest.raises(StateError, match="5 is not the state of a target"):
        tracker.update(FRAMES[2])


@pytest.mark.parametrize(
    ("frame", "boxes"),
    [
        (FRAMES[0], [BOXES[0], (900, 900, 5, 5)]),
        (FRAMES[0], None),
        (FRAMES[0], [BOXES[0], 5]),
        ("frame", BOXES[0]),
    ],
)
def test_an_init_that_fails_changes_nothing(frame: Any, boxes: Any) -> None:
    tracker, other = small_tracker(), small_tracker()
    for each in (tracker, other):
        each.init(FRAMES[0], BOXES[0])
    with pytest.raises((BoxError, SourceError)):
        tracker.init(frame, boxes)
    assert tracker.update(FRAMES[1]) == other.update(FRAMES[1])


def test_an_update_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker, other = small_tracker(), small_tracker()
    for each in (tracker, other):
        each.init(FRAMES[0], BOXES)
    with pytest.raises(SourceError):
        tracker.update(None)
    with monkeypatch.context() as patch:
        patch.setattr(tracker, "_refresh", lambda *_: (_ for _ in ()).throw(MemoryError))
        with pytest.raises(MemoryError):
            tracker.update(FRAMES[1])
    assert tracker.update(FRAMES[1]) == other.update(FRAMES[1])


def test_trackers_in_threads_can_share_a_model() -> None:
    model = small_tracker().model

    def run(box: Box) -> list[Box]:
        tracker = Tracker(model)
        tracker.init(FRAMES[0], box)
        return [boxes_of(tracker.update(frame))[0] for frame in 4 * FRAMES]

    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(run, BOXES))
    np.testing.assert_allclose(together, [run(box) for box in BOXES], atol=1e-3)


# Boxes and frames at their limits


@pytest.mark.parametrize("box", [BOXES[0], BOXES[:1]])
def test_boxes_of_any_kind_start_a_track(box: Any) -> None:
    tracker, other = small_tracker(), small_tracker()
    expected = other.init(FRAMES[0], box)
    assert tracker.init(FRAMES[0], torch.tensor(box, dtype=torch.bfloat16)) == expected
    assert tracker.update(FRAMES[1]) == other.update(FRAMES[1])


@pytest.mark.parametrize("name", SMALL)
def test_the_largest_box_that_is_allowed_is_tracked(name: str) -> None:
    tracker = small(name)
    tracker.init(FRAMES[0], (-700, -700, 1600, 1600))
    result = tracker.update(FRAMES[1])
    assert isinstance(result, Result)
    assert np.isfinite(result.box).all()


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 2), (5, 3), (9, 200), (12, 12)])
def test_frames_of_a_few_pixels_are_tracked_or_held(name: str, size: tuple[int, int]) -> None:
    tracker = small(name)
    frames = [frame[: size[0], : size[1]] for frame in FRAMES]
    tracker.init(frames[0], (0, 0, 10, 10))
    for frame in frames[1:]:
        result = tracker.update(frame)
        assert isinstance(result, Result)
        assert np.isfinite((*result.box, result.score)).all()


@pytest.mark.parametrize("name", SMALL)
def test_the_size_of_frames_may_change_on_the_way(name: str) -> None:
    tracker = small(name)
    tracker.init(FRAMES[0], [(120, 90, 30, 24), (5, 5, 20, 20)])
    sizes = [(30, 40), (1, 1), (120, 160), (8, 160), (60, 80)]
    for (height, width), frame in zip(sizes, FRAMES[1:], strict=True):
        for result in tracker.update(frame[:height, :width]):  # type: ignore[union-attr]
            assert np.isfinite((*result.box, result.score)).all()
            assert result.mask is None or result.mask.shape == (height, width)


def test_a_target_beyond_the_edge_of_a_smaller_frame_waits_for_a_larger_one() -> None:
    tracker, other = small_tracker(found_above=-1.0), small_tracker(found_above=-1.0)
    for each in (tracker, other):
        each.init(FRAMES[0], (120, 90, 30, 24))
    assert tracker.update(FRAMES[1][:20, :20]) == Result((120, 90, 30, 24), 0.0, False)
    assert boxes_of(tracker.update(FRAMES[2])) == boxes_of(other.update(FRAMES[2]))


@pytest.mark.parametrize("poisoned", ["backbone", "head", "template"])
def test_a_network_that_answers_with_no_numbers_is_told_and_changes_nothing(poisoned: str) -> None:
    tracker = Tracker(small_tracker().model, name="stark-mine")
    tracker.init(FRAMES[0], BOXES)
    before = list(tracker.states)
    part = tracker.model.get_submodule("cls_head" if poisoned == "head" else "backbone")
    for parameter in part.parameters():
        parameter.data.fill_(float("inf" if poisoned == "head" else "nan"))
    call = (lambda: tracker.init(FRAMES[0], BOXES)) if poisoned == "template" else (lambda: tracker.update(FRAMES[1]))
    with pytest.raises(ModelError, match=r"^stark-mine: the network answers with NaN or infinity .* check its weights"):
        call()
    assert all(a is b for a, b in zip(tracker.states, before, strict=True))


@pytest.mark.parametrize("name", SMALL)
def test_every_model_tells_of_weights_that_are_no_numbers(name: str) -> None:
    tracker = small(name)
    tracker.init(FRAMES[0], BOXES[0])
    for parameter in tracker.model.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(ModelError, match=f"^{name}: the network answers with NaN"):
        tracker.update(FRAMES[1])


# Frames that show nothing


@pytest.mark.parametrize("name", ["stark-tiny", "siamattn-tiny"])
@pytest.mark.parametrize("level", [0, 255])
def test_a_still_target_is_found_again_after_a_dark_or_blinding_moment(name: str, level: int) -> None:
    assets = Path(lockon.__file__).parent / "assets"
    with open_frames(assets / "clip.mp4") as source:
        still = next(iter(source)).image
    tracker = lockon.load(name, device="cpu")
    tracker.init(still, parse_box((assets / "clip.txt").read_text().splitlines()[0]))
    (before,) = boxes_of(tracker.update(still))
    for _ in range(10):
        gone = tracker.update(np.full_like(still, level))
        assert isinstance(gone, Result)
        assert (gone.box, gone.score, gone.found) == (before, 0.0, False)
    for _ in range(3):
        back = tracker.update(still)
    assert isinstance(back, Result)
    assert back.found
    np.testing.assert_allclose(back.box, before, rtol=0.2, atol=5)


def dark(noise: float = 2.0, seed: int = 0) -> np.ndarray:
    """What a camera sees with its cap on."""
    return np.abs(np.rint(np.random.default_rng(seed).normal(0, noise, FRAMES[0].shape))).astype(np.uint8)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("count", [1, 30])
def test_after_a_dark_moment_a_track_goes_on_as_if_there_had_been_none(name: str, count: int) -> None:
    tracker, other = small(name), small(name)
    for each in (tracker, other):
        each.init(FRAMES[0], BOXES)
        each.update(FRAMES[1])
    before = tracker.states
    for number in range(count):
        for result, state in zip(tracker.update(dark(seed=number)), before, strict=True):  # type: ignore[arg-type]
            assert (result.box, result.score, result.found) == (state.box, 0.0, False)
    for state, old in zip(tracker.states, before, strict=True):
        assert state == replace(old, frame=old.frame + count)
    assert boxes_of(tracker.update(FRAMES[2])) == boxes_of(other.update(FRAMES[2]))


def test_no_template_is_taken_from_the_dark() -> None:
    tracker = small_tracker(templates=2, update_interval=1, update_above=-1.0)
    tracker.init(FRAMES[0], BOXES[0])
    before = tracker.states[0].memory
    tracker.update(np.zeros_like(FRAMES[0]))
    assert tracker.states[0].memory is before
    tracker.update(FRAMES[1])
    assert tracker.states[0].memory is not before


def test_a_template_that_would_show_nothing_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search patch shows the rest of the frame, the place of the box is flat."""
    tracker = small_tracker(templates=2, update_interval=1, update_above=-1.0)
    tracker.init(FRAMES[0], BOXES[0])
    before = tracker.states[0].memory
    frame = np.full_like(FRAMES[0], 90)
    frame[:, 150:] = 250
    tracker.states = [replace(tracker.states[0], box=(96.0, 40.0, 30.0, 24.0))]
    resolved = tracker.model.resolve

    def stay(prediction: Any, windows: Any, states: Any, size: Any) -> Any:
        pairs = resolved(prediction, windows, states, size)
        return [(replace(s, box=states[0].box, refresh=True), r) for s, r in pairs]

    monkeypatch.setattr(tracker.model, "resolve", stay)
    tracker.update(frame)
    assert torch.equal(tracker.states[0].memory.x, before.x)
    assert not tracker.states[0].refresh


def test_where_one_target_is_in_the_dark_the_others_go_on() -> None:
    frame = FRAMES[1].copy()
    frame[:, :80] = 3
    boxes: list[Box] = [(10, 30, 10, 10), (120, 60, 10, 10)]
    tracker, alone = small_tracker(), small_tracker()
    tracker.init(FRAMES[0], boxes)
    alone.init(FRAMES[0], boxes[1:])
    held, followed = tracker.update(frame)  # type: ignore[misc]
    assert (held.box, held.score, held.found) == (boxes[0], 0.0, False)
    np.testing.assert_allclose(followed.box, boxes_of(alone.update(frame))[0], atol=1e-3)


def test_the_network_is_not_asked_about_the_dark(monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = small_tracker()
    tracker.init(FRAMES[0], BOXES)
    monkeypatch.setattr(tracker.model, "forward", lambda *_: pytest.fail("asked"))
    tracker.update(dark())


def test_a_model_that_segments_draws_an_empty_mask_in_the_dark() -> None:
    torch.manual_seed(0)
    tracker = Tracker(SiamAttn(SIAMATTN))
    tracker.init(FRAMES[0], BOXES[0])
    result = tracker.update(dark())
    assert isinstance(result, Result)
    assert result.mask is not None
    assert result.mask.shape == FRAMES[0].shape[:2]
    assert not result.mask.any()
    assert result.polygon == ((40, 30), (70, 30), (70, 54), (40, 54))


@pytest.mark.parametrize("name", SMALL)
def test_what_was_nothing_to_begin_with_is_never_found(name: str) -> None:
    tracker = small(name)
    assert tracker.init(dark(), BOXES[0]) == Result(BOXES[0], 0.0, False)
    tracker.states = copy.deepcopy(tracker.states)
    for frame in FRAMES[:3]:
        result = tracker.update(frame)
        assert isinstance(result, Result)
        assert (result.box, result.score, result.found) == (BOXES[0], 0.0, False)
