import json
import tracemalloc
from math import inf, nan
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lockon.drawing import draw_results
from lockon.errors import SourceError
from lockon.track import Tracked, TrackWriter
from lockon.tracker import Result
from lockon.video import Frame

GREY = np.full((120, 160, 3), 100, np.uint8)


def masked_result() -> Result:
    mask = np.zeros((120, 160), bool)
    mask[60:80, 50:90] = True
    return Result((40, 50, 60, 40), 0.9, True, mask, ((50, 60), (90, 60), (90, 80), (50, 80)))


def test_a_mask_is_tinted_and_the_picture_itself_left_alone() -> None:
    before = GREY.copy()
    drawn = draw_results(GREY, [masked_result()])
    np.testing.assert_array_equal(before, GREY)
    inside, outside = drawn[65:75, 60:80], drawn[100:110, 110:150]
    assert (inside == inside[0, 0]).all()
    assert inside[0, 0, 1] > inside[0, 0, 0]  # the first target's colour is green
    assert (outside == 100).all()


def test_the_rotated_box_is_drawn_and_written(tmp_path: Path) -> None:
    result = masked_result()
    plain = draw_results(GREY, [Result(result.box, result.score, True, result.mask)])
    changed = (draw_results(GREY, [result]) != plain).any(-1)
    assert changed[60, 70]
    assert changed[70, 90]
    assert not changed[65:75, 60:80].any()
    with TrackWriter(tmp_path, "clip", 1, 25.0) as writer:
        writer.write(Tracked(Frame(0, GREY, 0.0), [result], {}))
    row = json.loads((tmp_path / "clip.jsonl").read_text())
    assert row["polygon"] == [[50, 60], [90, 60], [90, 80], [50, 80]]


def boxed(*box: float, **more: Any) -> list[Result]:
    return [Result(box, 0.5, True, **more)]  # type: ignore[arg-type]


def drawn_on(image: np.ndarray, results: list[Result]) -> np.ndarray:
    """(H, W) bool: the pixels that drawing changes."""
    changed: np.ndarray = (draw_results(image, results) != image).any(-1)
    return changed


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((40, 50, 1e9, 30), [50, 80], [40]),  # its right side is out of sight
        ((-1e9, 50, 1e9 + 100, 30), [50, 80], [100]),
        ((40, -1e300, 60, 2e300), [], [40, 100]),
        ((40, 50, inf, 30), [50, 80], [40]),
        ((100, 80, -60, -30), [50, 80], [40, 100]),  # corners the other way round
        ((-1e5, -1e5, 2e5, 2e5), [], []),
        ((1e9, 1e9, 5, 5), [], []),
        ((2**63, -(2**70), 2**80, 1), [], []),
    ],
)
def test_the_sides_of_a_box_that_are_in_sight_are_drawn(
    box: tuple[float, float, float, float], rows: list[int], columns: list[int]
) -> None:
    changed = drawn_on(GREY, boxed(*box))
    inner = changed[52:78, 45:95]  # what the text leaves alone
    assert [row for row in (50, 80) if changed[row, 45:95].all()] == rows
    assert [column for column in (40, 100) if changed[55:75, column].all()] == columns
    assert not inner.any()


@pytest.mark.parametrize(
    "box", [(nan, 1, 5, 5), (1, nan, 5, 5), (1, 1, nan, 5), (1, 1, 5, nan), (-inf, 5, inf, 5), (nan,) * 4]
)
def test_a_box_that_is_none_is_left_out(box: tuple[float, float, float, float]) -> None:
    assert not drawn_on(GREY, boxed(*box)).any()


def test_the_cost_of_a_box_does_not_grow_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    corners: list[int] = []
    rectangle = cv2.rectangle

    def noted(canvas: np.ndarray, first: tuple[int, int], last: tuple[int, int], *rest: Any) -> None:
        corners.extend([*first, *last])
        rectangle(canvas, first, last, *rest)

    monkeypatch.setattr(cv2, "rectangle", noted)
    draw_results(GREY, boxed(-1e9, -1e9, 1e12, 1e12))
    assert min(corners) > -10
    assert max(corners) < 170


def test_the_label_of_a_box_that_begins_outside_is_in_sight() -> None:
    assert drawn_on(GREY, boxed(-500, 60, 550, 30))[48:56, :15].any()


@pytest.mark.parametrize("far", [1e3, 1e6, 1e9])
def test_lines_from_far_away_are_straight(far: float) -> None:
    corners = ((80 - far, 60 - far), (80 + far, 60 + far), (80 + far, 60 + far))
    results = boxed(nan, 0, 0, 0, polygon=corners)
    ys, xs = np.nonzero(drawn_on(GREY, results))
    assert len(ys) >= 120
    assert np.abs((xs - 80) - (ys - 60)).max() <= 2


@pytest.mark.parametrize("corner", [(nan, 5), (5, nan), (inf, -inf), (1e300, 1e300), (-(2**70), 2**40)])
def test_corners_that_are_none_end_nothing(corner: tuple[float, float]) -> None:
    changed = drawn_on(GREY, boxed(nan, 0, 0, 0, polygon=((20, 20), (60, 20), corner)))
    assert changed[20, 20:61].all()  # the side between the others


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 5000), (5000, 1)])
def test_tiny_and_narrow_frames_are_drawn_on(shape: tuple[int, int]) -> None:
    image = np.full((*shape, 3), 100, np.uint8)
    mask = np.ones(shape, bool)
    results = [*boxed(0, 0, 1, 1, mask=mask, polygon=((0, 0), (1, 0), (1, 1))), Result((-9, 5, 1e9, 3), nan, False)]
    drawn = draw_results(image, results)
    assert drawn.shape == image.shape
    assert (drawn != image).any()


def test_a_drawing_in_another_size_is_one_of_the_scaled_frame() -> None:
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    mask = np.zeros((480, 640), bool)
    mask[240:320, 200:360] = True
    large = [Result((160, 200, 240, 160), 0.9, True, mask, ((200, 240), (360, 240), (360, 320), (200, 320)))]
    small = [Result((40, 50, 60, 40), 0.9, True, mask[::4, ::4], ((50, 60), (90, 60), (90, 80), (50, 80)))]
    scaled = cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(draw_results(image, large, (160, 120)), draw_results(scaled, small))


def test_a_large_frame_is_not_copied_for_a_small_drawing() -> None:
    image = np.full((4000, 5000, 3), 100, np.uint8)
    results = boxed(1000, 1000, 900, 900, mask=np.ones((4000, 5000), bool))
    tracemalloc.start()
    drawn = draw_results(image, results, (500, 400))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn.shape == (400, 500, 3)
    assert peak < image.nbytes / 10


def test_a_mask_of_another_size_covers_the_frame_too() -> None:
    left = np.array([[1, 0]], np.uint8)
    changed = drawn_on(GREY, boxed(nan, 0, 0, 0, mask=left))
    assert changed[:, :80].all()
    assert not changed[:, 80:].any()
    assert not drawn_on(GREY, boxed(nan, 0, 0, 0, mask=np.zeros((0, 0), bool))).any()


def test_usual_pictures_are_drawn_on_and_others_refused() -> None:
    results = boxed(40, 50, 60, 40)
    expected = draw_results(GREY, results)
    np.testing.assert_array_equal(draw_results(GREY[..., 0], results), expected)
    np.testing.assert_array_equal(draw_results(np.repeat(GREY, 2, 1)[:, ::2], results), expected)
    for nonsense in (np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 3), np.int32), "picture"):
        with pytest.raises(SourceError, match="not an image"):
            draw_results(nonsense, results)  # type: ignore[arg-type]
