"""Pictures of other types than uint8: how their values become grey levels."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lockon.errors import PictureError, SourceError
from lockon.pictures import Image, Levels, PictureFile, Range, as_rgb
from lockon.video import open_frames
from tests.clips import grey
from tests.tiffs import tiff

Picture = np.ndarray[Any, Any]
HEIGHT, WIDTH = 40, 60


def ramp(low: float, high: float, dtype: str = "u2") -> Picture:
    """Values that grow from corner to corner, two rows and columns of each end."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    share = ((x + y) / (HEIGHT + WIDTH - 2)).clip(0.05, 0.95) / 0.9 - 0.05 / 0.9
    return (low + (high - low) * share).astype(dtype)


def folder(path: Path, *pictures: Picture) -> Path:
    """A folder of TIFFs."""
    path.mkdir()
    for number, picture in enumerate(pictures):
        (path / f"{number}.tif").write_bytes(tiff([picture]))
    return path


def shown(source: Path, levels: Range | None = None) -> tuple[list[Image], list[str]]:
    """One channel of each frame, and the notes."""
    with open_frames(source, levels=levels) as frames:
        images = [frame.image for frame in frames]
    assert all(image.dtype == np.uint8 and image.shape == (HEIGHT, WIDTH, 3) for image in images)
    return [image[..., 0] for image in images], frames.notes


def expected(picture: Picture, low: float, high: float) -> Image:
    return ((picture.astype(float) - low) * 255 / (high - low)).clip(0, 255).round().astype(np.uint8)


# Whole sources ---------------------------------------------------------------------------------------------------


def test_counts_of_a_thermal_camera_keep_their_contrast(tmp_path: Path) -> None:
    first, second = ramp(7300, 8000), ramp(7400, 8100)
    images, notes = shown(folder(tmp_path / "thermal", first, second))
    assert len(np.unique(images[0])) > 80
    low, high = 7300 - 175, 8000 + 175
    assert np.array_equal(images[0], expected(first, low, high))
    assert np.array_equal(images[1], expected(second, low, high))  # the same stretch
    assert notes == [
        "uint16 values from 7125 to 8175 become black to white in all pictures, since frame 0 has 7300 to 8000; levels "
        "of your own (LOW,HIGH) take the place of these"
    ]


def test_the_range_is_that_of_the_first_frame_given(tmp_path: Path) -> None:
    source = folder(tmp_path / "thermal", ramp(100, 200), ramp(7300, 8000))
    with open_frames(source, start=1) as frames:
        image = next(frames).image
    assert np.array_equal(image[..., 0], expected(ramp(7300, 8000), 7125, 8175))
    assert "since frame 1 has 7300 to 8000" in frames.notes[0]


@pytest.mark.parametrize("high", [17_000, 40_000, 65_535])
def test_16_bits_that_are_used_keep_their_high_byte(tmp_path: Path, high: int) -> None:
    picture = ramp(0, high)
    images, notes = shown(folder(tmp_path / "full", picture, ramp(7300, 8000)))
    assert np.array_equal(images[0], picture >> 8)
    assert set(np.unique(images[1])) == {28, 29, 30, 31}
    assert notes == []


def test_the_stretch_stays_within_what_16_bits_hold(tmp_path: Path) -> None:
    dark, bright = ramp(0, 4095), ramp(62_000, 65_535)
    assert np.array_equal(shown(folder(tmp_path / "dark", dark))[0][0], expected(dark, 0, 4095 * 1.25))
    low = 62_000 - 3535 / 4
    assert np.array_equal(shown(folder(tmp_path / "bright", bright))[0][0], expected(bright, low, 65_535))


def test_dead_pixels_and_lines_do_not_count(tmp_path: Path) -> None:
    picture = ramp(7300, 8000)
    picture[10, 10], picture[20, 30], picture[:, 40] = 65_535, 0, 65_535
    images, _ = shown(folder(tmp_path / "dead", picture))
    assert len(np.unique(images[0])) > 80
    assert (images[0][10, 10], images[0][20, 30]) == (255, 0)


def test_a_uniform_picture_decides_nothing(tmp_path: Path) -> None:
    black = np.zeros((HEIGHT, WIDTH), np.uint16)
    images, notes = shown(folder(tmp_path / "late", black, black, ramp(7300, 8000)))
    assert [int(image.max()) for image in images[:2]] == [0, 0]
    assert len(np.unique(images[2])) > 80
    assert "since frame 2 has" in notes[0]


def test_floats_from_0_to_1_are_taken_as_they_are(tmp_path: Path) -> None:
    picture = ramp(0, 1, "f4")
    images, notes = shown(folder(tmp_path / "floats", picture))
    assert np.array_equal(images[0], (picture * 255).round())
    assert notes == []


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i2", "i4", "u4"])
@pytest.mark.parametrize(("low", "high"), [(20, 1020), (-300, 500)])
def test_other_values_are_stretched_by_the_first_picture(tmp_path: Path, dtype: str, low: int, high: int) -> None:
    low = low + 300 if dtype == "u4" else low
    picture = ramp(low, high, dtype)
    images, notes = shown(folder(tmp_path / "values", picture, picture + np.array(50, dtype)))
    first, last = picture.min(), picture.max()
    margin = (float(last) - float(first)) / 4
    for image, stored in zip(images, (picture, picture + np.array(50, dtype)), strict=True):
        wanted = expected(stored, first - margin, last + margin)
        assert np.abs(image.astype(int) - wanted).max() <= 1
        assert np.mean(image == wanted) > 0.99
    assert len(notes) == 1
    assert notes[0].startswith(f"{np.dtype(dtype)} values from ")


def test_large_numbers_lose_nothing(tmp_path: Path) -> None:
    picture = ramp(2_000_000_000, 2_000_000_300, "u4")
    assert len(np.unique(shown(folder(tmp_path / "large", picture))[0][0])) > 80


def test_what_is_not_finite_is_black_or_white(tmp_path: Path) -> None:
    picture = ramp(20, 40, "f4")
    picture[:10] = np.nan
    picture[10, :5], picture[10, 5:10] = np.inf, -np.inf
    images, _ = shown(folder(tmp_path / "holes", picture))
    assert (images[0][:10].max(), images[0][10, :5].min(), images[0][10, 5:10].max()) == (0, 255, 0)
    span = picture[11:].max() - picture[11:].min()
    wanted = expected(picture[11:], picture[11:].min() - span / 4, picture[11:].max() + span / 4)
    assert np.abs(images[0][11:].astype(int) - wanted).max() <= 3  # where the median of single values is another
    empty = np.full((HEIGHT, WIDTH), np.nan, np.float32)
    images, notes = shown(folder(tmp_path / "empty", empty))
    assert (images[0].max(), notes) == (0, [])


def test_colours_are_stretched_together(tmp_path: Path) -> None:
    picture = np.stack([ramp(1000, 1400), ramp(1400, 1000), ramp(1100, 1200)], axis=2)
    with open_frames(folder(tmp_path / "colours", picture)) as frames:
        image = next(frames).image
    assert np.array_equal(image, expected(picture, 900, 1500))


def test_types_in_one_folder_have_a_stretch_each(tmp_path: Path) -> None:
    source = folder(tmp_path / "mixed", ramp(7300, 8000), ramp(20, 40, "f4"), ramp(0, 200, "u1"))
    images, notes = shown(source)
    assert [len(np.unique(image)) > 70 for image in images] == [True, True, True]
    assert np.array_equal(images[2], ramp(0, 200, "u1"))
    assert [note.split()[0] for note in notes] == ["uint16", "float32"]


def test_stacks_and_16_bit_png_are_stretched_too(tmp_path: Path) -> None:
    pictures = [ramp(7300, 8000), ramp(7400, 8100)]
    (tmp_path / "stack.tif").write_bytes(tiff(pictures))
    images, notes = shown(tmp_path / "stack.tif")
    assert [np.array_equal(i, expected(p, 7125, 8175)) for i, p in zip(images, pictures, strict=True)] == [True, True]
    assert len(notes) == 1
    (tmp_path / "png").mkdir()
    for number, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"png/{number}.png"), picture)
    assert all(np.array_equal(one, two) for one, two in zip(shown(tmp_path / "png")[0], images, strict=True))


@pytest.mark.parametrize("order", "<>")
def test_big_endian_pictures_are_pictures(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([ramp(7300, 8000)], order=order))
    assert np.array_equal(shown(path)[0][0], expected(ramp(7300, 8000), 7125, 8175))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_levels_of_ones_own_take_the_place_of_these(tmp_path: Path, dtype: str) -> None:
    picture = ramp(10, 110, dtype)
    images, notes = shown(folder(tmp_path / "own", picture), (20, 100.5))
    assert np.array_equal(images[0], expected(picture, 20, 100.5))
    assert notes == []


@pytest.mark.parametrize("levels", [(5, 5), (9, 3), (0, np.inf), (np.nan, 1), (1,), (1, 2, 3), "12", ("a", "b"), 7])
def test_levels_that_are_none_are_refused(tmp_path: Path, levels: Any) -> None:
    source = folder(tmp_path / "own", ramp(10, 110))
    with pytest.raises(SourceError, match=r"^levels=.*: expected two"):
        open_frames(source, levels=levels)


def test_levels_are_for_pictures(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    for source in (tmp_path / "clip.mp4", "rtsp://127.0.0.1:9/live", "7", 7):
        with pytest.raises(SourceError, match="levels are for pictures"):
            open_frames(source, levels=(0, 1))


def test_8_bits_are_never_stretched_unasked() -> None:
    picture = ramp(100, 110, "u1")
    levels = Levels()
    assert np.array_equal(levels.apply(picture)[..., 0], picture)
    assert levels.notes == []


# Training and evaluation -----------------------------------------------------------------------------------------


def test_training_keeps_the_high_byte(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), ramp(7300, 48_000))
    image = PictureFile(str(tmp_path / "a.png")).decode()
    assert np.array_equal(image[..., 1], ramp(7300, 48_000) >> 8)


def test_training_takes_no_floats(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff([ramp(0, 1, "f4")]))
    with pytest.raises(PictureError, match=r"a\.tif: the picture has values of type float32; 8 or 16 bits are read"):
        PictureFile(str(tmp_path / "a.tif")).decode()


# Single arrays ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [">u2", ">f4", ">f8", "<u2"])
def test_arrays_in_either_order_of_bytes_are_pictures(dtype: str) -> None:
    values = ramp(0, 65_535, "u2") if "u2" in dtype else ramp(0, 1, "f8")
    assert np.array_equal(as_rgb(values.astype(dtype)), as_rgb(values.astype(np.dtype(dtype).newbyteorder("="))))


@pytest.mark.parametrize("dtype", ["i1", "i2", ">i2", "i4", "u4", "u8", "c8"])
def test_arrays_of_other_numbers_are_told_as_what_they_are(dtype: str) -> None:
    name = np.dtype(dtype).newbyteorder("=").name
    with pytest.raises(SourceError, match=f"not an image: {name}; expected uint8, uint16, bool or float"):
        as_rgb(ramp(0, 100, dtype))


def test_a_16_bit_array_of_few_levels_is_warned_of() -> None:
    with pytest.warns(UserWarning, match="values from 7300 to 8000 become 4 of 256 grey levels") as caught:
        image = as_rgb(ramp(7300, 8000))
    assert caught[0].filename == __file__
    assert np.array_equal(image[..., 0], ramp(7300, 8000) >> 8)
    with warnings.catch_warnings(record=True) as caught_all:
        warnings.simplefilter("default")
        for _ in range(3):
            as_rgb(ramp(7300, 8000))
    assert len(caught_all) == 1


@pytest.mark.parametrize(("low", "high"), [(0, 4096), (20_000, 24_096), (0, 65_535), (5, 5)])
def test_other_16_bit_arrays_are_not_warned_of(low: int, high: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        as_rgb(np.array([[low, high]], np.uint16))


def test_grey_8_bit_arrays_are_untouched() -> None:
    assert as_rgb(grey(3)) is not None
    assert np.array_equal(as_rgb(grey(3)), grey(3))
