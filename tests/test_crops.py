import cv2
import numpy as np
import pytest

from lockon.crops import CropSpec, crop
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
