import math
import tracemalloc

import cv2
import numpy as np
import pytest

from lockon import crops
from lockon.crops import CropSpec, Patch, Window, crop, is_blank
from lockon.errors import BoxError

FRAME = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


def test_a_crop_that_needs_no_resizing_is_the_frame_itself() -> None:
    patch = crop(FRAME, (70, 50, 20, 20), CropSpec(factor=2, size=40))
    np.testing.assert_array_equal(patch.image, FRAME[40:80, 60:100])
    assert not patch.padding.any()


def test_the_window_maps_the_whole_patch_and_the_target_back() -> None:
    window = crop(FRAME, (70, 50, 20, 20), CropSpec(factor=4, size=160)).window
    assert window.to_frame((0.5, 0.5, 1, 1)) == pytest.approx((40, 20, 80, 80))
    assert window.to_frame((0.5, 0.5, 0.25, 0.25)) == pytest.approx((70, 50, 20, 20))


def test_outside_the_frame_is_black_and_marked() -> None:
    patch = crop(FRAME, (0, 0, 20, 20), CropSpec(factor=2, size=40))
    assert patch.padding[:10].all()
    assert patch.padding[:, :10].all()
    assert not patch.padding[10:, 10:].any()
    assert not patch.image[patch.padding].any()
    np.testing.assert_array_equal(patch.image[10:, 10:], FRAME[:30, :30])


def test_outside_the_frame_may_have_another_colour() -> None:
    patch = crop(FRAME, (0, 0, 20, 20), CropSpec(factor=2, size=40), border=(9.9, 0, 200))
    assert (patch.image[patch.padding] == (9, 0, 200)).all()


def test_context_widens_the_crop() -> None:
    patch = crop(FRAME, (60, 40, 10, 20), CropSpec(factor=1, size=50, context=0.5))  # sqrt(25 x 35) = 29.6
    assert patch.window.scale == 50 / 30


def test_a_box_in_the_frame_has_a_place_in_the_patch() -> None:
    window = crop(FRAME, (70, 50, 20, 20), CropSpec(factor=4, size=160)).window
    half = 0.5 / 160
    assert window.to_patch((70, 50, 20, 20)) == pytest.approx((0.375 - half, 0.375 - half, 0.25, 0.25))
    assert window.to_patch((40, 20, 80, 80)) == pytest.approx((-half, -half, 1, 1))


def test_a_crop_that_touches_the_right_border_loses_the_last_column() -> None:
    patch = crop(FRAME, (130, 50, 20, 20), CropSpec(factor=2, size=40))  # columns 120 to 159
    assert patch.padding[:, 39].all()
    assert not patch.padding[:, :39].any()


def test_a_box_far_outside_gives_nothing_but_padding() -> None:
    patch = crop(FRAME, (900, 900, 20, 20), CropSpec(factor=2, size=40))
    assert patch.padding.all()
    assert not patch.image.any()


def test_resizing_is_opencv_bilinear() -> None:
    patch = crop(FRAME, (60, 40, 30, 30), CropSpec(factor=2, size=40))
    np.testing.assert_array_equal(patch.image, cv2.resize(FRAME[25:85, 45:105], (40, 40)))


def test_a_box_without_area_cannot_be_cropped() -> None:
    with pytest.raises(BoxError, match="too small"):
        crop(FRAME, (10, 10, 0, 5), CropSpec(factor=2, size=40))


WARPED = CropSpec(factor=2, size=41, rule="warped")


def test_a_warped_crop_that_needs_no_resizing_is_the_frame_itself() -> None:
    patch = crop(FRAME, (70, 50, 21, 21), CropSpec(factor=41 / 21, size=41, rule="warped"))
    np.testing.assert_array_equal(patch.image, FRAME[40:81, 60:101])
    assert not patch.padding.any()


def test_a_warped_crop_puts_the_middle_of_the_box_in_the_middle_of_the_patch() -> None:
    frame = np.zeros((120, 160, 3), np.uint8)
    frame[60, 80] = 255
    image = crop(frame, (71, 51, 19, 19), WARPED).image  # its middle pixel is 80, 60
    assert image[20, 20].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(image, image[::-1, ::-1])


def test_a_warped_crop_has_a_whole_side_but_keeps_its_scale() -> None:
    window = crop(FRAME, (60, 40, 10.2, 10.2), WARPED).window  # a side of 20.4, rounded to 20
    assert window.scale == pytest.approx(41 / 20.4)
    assert window.to_frame((0.5, 0.5, 0.5, 0.5)) == pytest.approx((60, 40, 10.2, 10.2))


def test_a_warped_crop_has_the_border_colour_outside_the_frame() -> None:
    patch = crop(FRAME, (-10, 40, 20, 20), WARPED, border=(9.9, 0, 200))
    assert patch.padding[:, :19].all()
    assert not patch.padding[:, 21:].any()
    assert (patch.image[:, :19] == (9, 0, 200)).all()
    far = crop(FRAME, (900, 900, 20, 20), WARPED, border=(9.9, 0, 200))
    assert far.padding.all()
    assert (far.image == (9, 0, 200)).all()


def test_a_box_without_area_cannot_be_warped() -> None:
    with pytest.raises(BoxError, match="too small"):
        crop(FRAME, (10, 10, 0, 5), WARPED)


def test_by_the_rounded_rule_the_side_is_rounded_and_the_last_column_counts() -> None:
    spec = CropSpec(factor=1, size=29, context=0.5, rule="rounded")
    patch = crop(FRAME, (60, 40, 10, 19), spec)  # sqrt(24.5 x 33.5) = 28.6
    assert patch.window.scale == 1
    np.testing.assert_array_equal(patch.image, FRAME[35:64, 50:79])  # corner 35.0, 50.5 goes down
    patch = crop(FRAME, (130, 50, 20, 20), CropSpec(factor=2, size=40, rule="rounded"))  # columns 120 to 159
    assert not patch.padding.any()
    np.testing.assert_array_equal(patch.image, FRAME[40:80, 120:])


def whole_square(frame: np.ndarray, box: tuple[float, ...], spec: CropSpec, border: tuple[int, ...]) -> np.ndarray:
    """The patch by way of the whole square, with its border in memory."""
    x, y, w, h = box
    exact = spec.extent(w, h) * spec.factor
    side = math.ceil(exact) if spec.rule == "padded" else round(exact)
    corner, lost = (round, 1) if spec.rule == "padded" else (math.floor, 0)
    x1, y1 = corner(x + 0.5 * w - 0.5 * side), corner(y + 0.5 * h - 0.5 * side)
    square = np.full((side, side, 3), border, np.uint8)
    for row in range(max(0, y1), min(y1 + side, len(frame) - lost)):
        left, right = max(0, x1), min(x1 + side, frame.shape[1] - lost)
        square[row - y1, left - x1 : right - x1] = frame[row, left:right]
    return cv2.resize(square, (spec.size, spec.size), interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("rule", ["padded", "rounded"])
def test_a_square_that_is_only_looked_up_is_to_the_bit_what_resizing_it_gives(
    monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    monkeypatch.setattr(crops, "LARGE", 0)
    rng = np.random.default_rng(1)
    for _ in range(40):
        w, h = np.exp(rng.uniform(math.log(30), math.log(900), 2))
        box = (rng.uniform(-w, FRAME.shape[1]), rng.uniform(-h, FRAME.shape[0]), w, h)
        border = tuple(int(v) for v in rng.integers(0, 256, 3))
        spec = CropSpec(2.0, int(rng.choice([31, 80, 160])), rng.choice([0.0, 0.5]), rule=rule)  # type: ignore[arg-type]
        np.testing.assert_array_equal(crop(FRAME, box, spec, border).image, whole_square(FRAME, box, spec, border))


@pytest.mark.parametrize("side", [2047, 2049, 2600])
def test_nothing_changes_where_squares_begin_to_be_looked_up(side: int) -> None:
    box, spec = (-40.5, -700.5, side / 2, side / 2), CropSpec(2.0, 160)
    np.testing.assert_array_equal(
        crop(FRAME, box, spec, (9, 0, 200)).image, whole_square(FRAME, box, spec, (9, 0, 200))
    )


@pytest.mark.parametrize("rule", ["padded", "rounded", "warped"])
@pytest.mark.parametrize("side", [1e4, 1e5, 1e7, 1e12])
def test_a_patch_of_a_box_of_any_size_costs_what_a_patch_costs(rule: str, side: float) -> None:
    spec = CropSpec(4.0, 160, rule=rule)  # type: ignore[arg-type]
    tracemalloc.start()
    patch = crop(FRAME, (-side / 2, -side / 2, side, side), spec, (9, 0, 200))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert patch.image.shape == (160, 160, 3)
    assert (patch.image[patch.padding] == (9, 0, 200)).mean() > 0.99
    assert peak < 5e6


def seen_as(frame: np.ndarray, box: tuple[float, ...] = (130, 130, 40, 40), factor: float = 4.0) -> Patch:
    return crop(frame, box, CropSpec(factor, 160))


@pytest.mark.parametrize("side", [10, 40, 90, 250])
@pytest.mark.parametrize("level", [0, 20, 128, 255])
@pytest.mark.parametrize("noise", [0, 1, 3, 4.5])
def test_one_colour_is_blank_and_so_is_a_cameras_noise_on_it(side: float, level: int, noise: float) -> None:
    rng = np.random.default_rng(2)
    frame = np.clip(np.rint(rng.normal(level, noise, (300, 300, 3))), 0, 255).astype(np.uint8)
    assert is_blank(seen_as(frame, (150 - side / 2, 150 - side / 2, side, side)))


@pytest.mark.parametrize("side", [10, 40, 90])
def test_a_target_a_few_grey_levels_off_is_not_blank_nor_is_texture(side: int) -> None:
    low = 150 - side // 2
    frame = np.full((300, 300, 3), 20, np.uint8)
    frame[low : low + side, low : low + side] += 6
    assert not is_blank(seen_as(frame, (low, low, side, side)))
    texture = np.random.default_rng(3).integers(0, 256, (300, 300, 3), np.uint8)
    assert not is_blank(seen_as(texture, (low, low, side, side)))
    fine = np.full((300, 300, 3), 100, np.uint8)
    fine[::2, ::2] = 130  # of one colour on the whole, but not a camera's noise
    assert not is_blank(seen_as(fine, (low, low, side, side)))


def test_only_what_a_patch_shows_of_the_frame_makes_it_blank_or_not() -> None:
    flat = np.full((300, 300, 3), 128, np.uint8)
    assert is_blank(seen_as(flat, (-10, -10, 40, 40)))  # the black border does not count
    assert is_blank(seen_as(flat, (900, 900, 40, 40)))
    flat[:20, :10] = 255
    assert not is_blank(seen_as(flat, (-10, -10, 40, 40)))


def test_a_patch_that_shows_a_corner_of_the_frame_is_judged_by_that() -> None:
    padding = np.ones((80, 80), bool)
    padding[78:, 79:] = False
    image = np.random.default_rng(4).integers(0, 256, (80, 80, 3), np.uint8)
    window = Window(0.0, 0.0, 1.0, 80)
    image[78:, 79] = 7
    assert is_blank(Patch(image, padding, window))
    image[79, 79] = 200
    assert not is_blank(Patch(image, padding, window))
