"""Files that hold several pictures: TIFF stacks, animated PNG and WebP."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageDraw

from lockon.errors import FrameError
from lockon.pictures import PictureFile, holds_several, pages, unpack
from lockon.video import Frame, ImageSource, VideoSource, open_frames
from tests.tiffs import tiff

COUNT = 7
SECONDS = [0.04, 0.08, 0.12, 0.04, 0.2, 0.04, 0.06]
STARTS = [0, 0.04, 0.12, 0.24, 0.28, 0.48, 0.52]
Picture = np.ndarray[Any, Any]


def drawings(mode: str = "RGB") -> list[Pillow.Image]:
    """A rectangle that moves; every third ground is transparent, every second rectangle half so."""
    made = []
    for number in range(COUNT):
        image = Pillow.new("RGBA", (64, 48), (30, 60, 90, 255) if number % 3 else (0, 0, 0, 0))
        colour = (200, 20 * number, 40, 255 if number % 2 else 128)
        ImageDraw.Draw(image).rectangle((6 * number, 10, 6 * number + 12, 24), fill=colour)
        made.append(image.convert("RGB").quantize(16) if mode == "P" else image.convert(mode))
    return made


def animation(path: Path, mode: str = "RGB", **options: Any) -> Path:
    first, *rest = drawings(mode)
    milliseconds = [round(1000 * seconds) for seconds in SECONDS]
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, **options)
    return path


def composed(path: Path) -> list[tuple[Picture, Picture]]:
    """RGB as OpenCV composes it, and where anything is drawn."""
    good, found = cv2.imreadanimation(str(path))
    assert good
    out = []
    for frame in found.frames:
        if frame.ndim == 2:
            frame = cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR)
        drawn = frame[..., 3] > 0 if frame.shape[2] == 4 else np.ones(frame.shape[:2], bool)
        out.append((cv2.cvtColor(frame, cv2.COLOR_BGRA2RGB if frame.shape[2] == 4 else cv2.COLOR_BGR2RGB), drawn))
    return out


def read_to_fault(path: Path) -> tuple[list[Frame], FrameError]:
    frames: list[Frame] = []
    with pytest.raises(FrameError) as caught, open_frames(path) as source:
        frames.extend(source)
    return frames, caught.value


# Animations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("a.png", "RGBA", {}),
        ("a.png", "P", {}),
        ("a.png", "L", {}),
        ("a.apng", "RGBA", {"format": "PNG", "disposal": 1}),
        ("a.png", "RGBA", {"disposal": 2, "blend": 1}),
        ("a.png", "RGBA", {"disposal": 1, "blend": 1}),
        ("a.webp", "RGB", {"lossless": True, "minimize_size": True}),
        ("a.webp", "RGBA", {"lossless": True}),
        ("a.webp", "RGBA", {"quality": 60}),
        ("a.webp", "RGB", {"quality": 60, "kmin": 1, "kmax": 2}),
    ],
)
def test_every_picture_of_an_animation_is_a_frame(
    tmp_path: Path, name: str, mode: str, options: dict[str, object]
) -> None:
    path = animation(tmp_path / name, mode, **options)
    with open_frames(path) as source:
        frames = list(source)
    assert (source.name, source.length, source.notes) == ("a", COUNT, [])
    assert source.fps == pytest.approx(COUNT / sum(SECONDS))
    assert [frame.time for frame in frames] == pytest.approx(STARTS)
    for frame, (expected, drawn) in zip(frames, composed(path), strict=True):
        assert np.array_equal(frame.image[drawn], expected[drawn])


def test_a_picture_before_the_animation_is_no_frame(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png", default_image=True)
    frames = list(open_frames(path))
    assert len(frames) == COUNT - 1
    assert all(np.array_equal(f.image, e) for f, (e, _) in zip(frames, composed(path), strict=True))


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_frames_before_the_start_are_composed_all_the_same(tmp_path: Path, name: str) -> None:
    path = animation(tmp_path / name, lossless=True)
    everything = list(open_frames(path))
    some = list(open_frames(path, start=3, end=6))
    assert [frame.index for frame in some] == [3, 4, 5]
    assert [frame.time for frame in some] == [frame.time for frame in everything[3:6]]
    assert all(np.array_equal(one.image, two.image) for one, two in zip(some, everything[3:6], strict=True))


def test_an_animation_of_16_bits_is_composed_with_16_bits(tmp_path: Path) -> None:
    pictures = [np.full((20, 30), 257 * (20 + 40 * n) + 5, np.uint16) for n in range(3)]
    stills = [cv2.imencode(".png", picture)[1].tobytes() for picture in pictures]
    path = tmp_path / "a.png"
    path.write_bytes(animated(stills, (30, 20)))
    assert [page.unpack()[0].dtype for page in pages(BytesIO(path.read_bytes()))] == [np.uint16] * 3
    with open_frames(path, levels=(0, 65535)) as source:
        assert [int(frame.image.mean()) for frame in source] == [20, 60, 100]


def animated(stills: list[bytes], size: tuple[int, int]) -> bytes:
    """PNG files of one form, as an animation at 10 a second, each 0/100 s where a denominator is missing."""
    from lockon.pictures.png import HEADER, chunk, walk

    def content(still: bytes, kind: bytes) -> bytes:
        chunks = [c for c in walk(BytesIO(still)) if c.kind == kind]
        return b"".join(still[c.start : c.start + c.size] for c in chunks)

    out = HEADER + chunk(b"IHDR", content(stills[0], b"IHDR")) + chunk(b"acTL", struct.pack(">II", len(stills), 0))
    counter = itertools.count()
    for number, still in enumerate(stills):
        control = struct.pack(">IIIIIHHBB", next(counter), *size, 0, 0, 10, 0, 0, 0)
        data = content(still, b"IDAT")
        out += chunk(b"fcTL", control)
        out += chunk(b"fdAT", struct.pack(">I", next(counter)) + data) if number else chunk(b"IDAT", data)
    return out + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["a.png", "a.webp"])
def test_an_animation_that_is_cut_gives_what_is_whole(tmp_path: Path, name: str) -> None:
    path = animation(tmp_path / name, lossless=True)
    everything = [frame.image for frame in open_frames(path)]
    path.write_bytes(path.read_bytes()[:-100])
    frames, error = read_to_fault(path)
    assert 3 < len(frames) < COUNT
    assert all(np.array_equal(frame.image, whole) for frame, whole in zip(frames, everything))
    assert str(error) == f"{path}: frame {len(frames)} cannot be read, it ends too early"
    assert error.index == len(frames)


def test_a_damaged_picture_of_an_animation_is_told_in_its_place(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png")
    data = bytearray(path.read_bytes())
    places = [at for at in range(len(data)) if data[at : at + 4] == b"fdAT"]
    data[places[2] + 12] ^= 1
    path.write_bytes(data)
    frames, error = read_to_fault(path)
    assert (len(frames), error.index) == (3, 3)
    assert "it is damaged, the checksum of fdAT differs" in str(error)


@pytest.mark.parametrize(("place", "value"), [(12, 60), (4, 65)], ids=["beside", "larger"])
def test_a_picture_beyond_its_canvas_is_told(tmp_path: Path, place: int, value: int) -> None:
    still = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    data = animated([still, still], (64, 48))
    from lockon.pictures.png import chunk

    start = data.rindex(b"fcTL") + 4
    control = bytearray(data[start : start + 26])
    control[place : place + 4] = struct.pack(">I", value)
    path = tmp_path / "a.png"
    path.write_bytes(data[: start - 8] + chunk(b"fcTL", bytes(control)) + data[start + 30 :])
    frames, error = read_to_fault(path)
    assert (len(frames), error.index) == (1, 1)
    assert "a picture of it is larger than the whole" in str(error)


@pytest.mark.parametrize("name", ["a.gif", "gif.png", "still.gif"])
def test_gif_is_for_ffmpeg_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "still.gif":
        drawings()[0].save(path)
    else:
        path = animation(path, "P", format="GIF")
    with open_frames(path) as source:
        assert isinstance(source, VideoSource)
        assert len(list(source)) == (1 if name == "still.gif" else COUNT)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.tif"])
def test_a_single_picture_stays_one_frame(tmp_path: Path, name: str) -> None:
    drawings()[1].save(tmp_path / name)
    assert not holds_several((tmp_path / name).read_bytes())
    with open_frames(tmp_path / name) as source:
        assert (source.length, len(list(source))) == (1, 1)


def test_ffmpeg_agrees_about_times_and_pixels(tmp_path: Path) -> None:
    path = animation(tmp_path / "a.png")
    with av.open(str(path)) as container:
        theirs = [(float(f.time or 0), f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    ours = list(open_frames(path))
    assert [frame.time for frame in ours] == pytest.approx([time for time, _ in theirs])
    assert all(np.array_equal(frame.image, image) for frame, (_, image) in zip(ours, theirs, strict=True))


# Stacks ----------------------------------------------------------------------------------------------------------


def noise(dtype: str, shape: tuple[int, ...] = (3, 37, 53, 3)) -> Picture:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4", "f2", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("tile", [0, 16])
def test_every_page_has_its_own_values(
    dtype: str, order: str, big: bool, planar: bool, deflate: bool, tile: int
) -> None:
    stack = noise(dtype)
    predictor = 2 if deflate and "f" not in dtype else 1
    data = tiff(list(stack), order=order, big=big, planar=planar, deflate=deflate, tile=tile, predictor=predictor)
    read = [page.unpack() for page in pages(BytesIO(data))]
    assert [fault for _, fault in read] == [""] * 3
    assert all(np.array_equal(one, two) for (one, _), two in zip(read, stack, strict=True))
    assert np.array_equal(unpack(data)[0], stack[0])


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "jpeg", "tiff_adobe_deflate", "group4"])
def test_stacks_of_other_compressions_are_those_that_opencv_reads(tmp_path: Path, compression: str) -> None:
    mode = "1" if compression == "group4" else "RGB"
    path = tmp_path / "a.tif"
    first, *rest = [Pillow.fromarray(picture).convert(mode) for picture in noise("u1")]
    first.save(path, save_all=True, append_images=rest, compression=compression)
    good, expected = cv2.imreadmulti(str(path), flags=cv2.IMREAD_COLOR)
    assert good
    frames = list(open_frames(path))
    assert all(np.array_equal(f.image, e[..., ::-1]) for f, e in zip(frames, expected, strict=True))
    some = list(open_frames(path, start=2))
    assert np.array_equal(some[0].image, frames[2].image)


def test_a_stack_has_a_nominal_rate_and_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    path.write_bytes(tiff(list(noise("u1"))))
    with open_frames(path) as source:
        frames = list(source)
    assert isinstance(source, ImageSource)
    assert (source.name, source.length, source.fps, source.size) == ("cells", 3, 30, (53, 37))
    assert [frame.time for frame in frames] == pytest.approx([0, 1 / 30, 2 / 30])


@pytest.mark.parametrize("name", ["stack.dat", "stack.stk", "stack"])
def test_a_stack_is_one_whatever_its_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(tiff(list(noise("u1"))))
    assert len(list(open_frames(tmp_path / name))) == 3


def test_smaller_copies_and_masks_are_no_frames(tmp_path: Path) -> None:
    whole, small = noise("u1")[0], noise("u1")[0, ::2, ::2]
    path = tmp_path / "a.tif"
    for kind in (1, 4):
        path.write_bytes(tiff([whole, small], last={254: kind}))
        assert [frame.image.shape for frame in open_frames(path)] == [(37, 53, 3)]
    path.write_bytes(tiff([whole, small]))
    assert [frame.image.shape for frame in open_frames(path)] == [(37, 53, 3), (19, 27, 3)]


def test_a_large_stack_of_imagej_has_one_directory_for_all(tmp_path: Path) -> None:
    stack = noise("u2", (5, 20, 30))
    plain = tiff([stack[0]], rows=20)
    note = b"ImageJ=1.54f\nimages=5\nslices=5\n\0"
    (place,) = struct.unpack_from("<I", plain, 4)
    (count,) = struct.unpack_from("<H", plain, place)
    entries = [plain[place + 2 + 12 * n :][:12] for n in range(count)]
    start = 8 + 2 + 12 * (count + 1) + 4
    moved = struct.pack("<HHII", 273, 4, 1, start + len(note))
    entries = [moved if entry[:2] == struct.pack("<H", 273) else entry for entry in entries]
    entries = sorted([*entries, struct.pack("<HHII", 270, 2, len(note), start)])
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2]))
    head = plain[:8] + struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
    path = tmp_path / "a.tif"
    path.write_bytes(head + note + stack.tobytes())
    read = [page.unpack()[0] for page in pages(BytesIO(path.read_bytes()))]
    assert len(read) == 5
    assert all(np.array_equal(one, two) for one, two in zip(read, stack))


@pytest.mark.parametrize("share", [0.45, 0.95])
def test_a_stack_that_is_cut_gives_what_is_whole(tmp_path: Path, share: float) -> None:
    stack = noise("u1", (10, 37, 53, 3))
    data = tiff(list(stack))
    path = tmp_path / "a.tif"
    path.write_bytes(data[: int(share * len(data))])
    frames, error = read_to_fault(path)
    assert len(frames) == int(share * 10)
    assert all(np.array_equal(frame.image, picture) for frame, picture in zip(frames, stack))
    assert str(error) == f"{path}: frame {len(frames)} cannot be read, it ends too early"


def test_pages_that_go_in_a_circle_come_once(tmp_path: Path) -> None:
    data = bytearray(tiff(list(noise("u1"))))
    place, after = 8, 0
    for _ in range(3):
        (count,) = struct.unpack_from("<H", data, place)
        after = place + 2 + 12 * count
        (place,) = struct.unpack_from("<I", data, after)
    struct.pack_into("<I", data, after, 8)
    path = tmp_path / "a.tif"
    path.write_bytes(data)
    assert len(list(open_frames(path))) == 3


def test_a_long_stack_takes_the_memory_of_a_few_pages(tmp_path: Path) -> None:
    page = np.zeros((256, 256, 3), np.uint8)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([page] * 200))
    tracemalloc.start()
    try:
        assert sum(1 for _ in open_frames(path)) == 200
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 20 * page.nbytes


@pytest.mark.parametrize(
    ("picture", "options", "message"),
    [
        (noise("u2", (8, 9, 5)), {"tags": {262: 1}}, "it has 5 channels; grey pictures and RGB are read"),
        (noise("u1", (8, 9)), {"tags": {259: 50000}}, r"of a kind of TIFF that is not read \(compression Zstandard, 8"),
        (noise("u2", (8, 9, 3)), {"tags": {259: 5}, "planar": True}, "16-bit colours plane by plane"),
    ],
)
def test_kinds_of_tiff_that_are_not_read_are_named(
    tmp_path: Path, picture: Picture, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([picture], **options))
    with pytest.raises(FrameError, match=message):
        open_frames(path)


def test_white_is_zero_in_16_bits_too(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ramp = np.linspace(0, 65535, 60 * 40).astype(np.uint16).reshape(40, 60)
    path.write_bytes(tiff([ramp], tags={262: 0}))
    assert np.array_equal(next(open_frames(path)).image[..., 0], (65535 - ramp) >> 8)


# Among others ----------------------------------------------------------------------------------------------------


def test_of_stacks_in_a_folder_the_first_page_is_taken_and_that_is_told(tmp_path: Path) -> None:
    stack = noise("u1")
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(tiff(list(stack)))
    with open_frames(tmp_path) as source:
        frames = list(source)
    assert [np.array_equal(frame.image, stack[0]) for frame in frames] == [True, True]
    assert source.notes == [
        "a.tif holds several pictures, of which only the first is a frame, as of other such files here; open one alone "
        "for all its pictures"
    ]


@pytest.mark.parametrize("kind", ["gif", "avif", "png", "webp"])
def test_of_animations_in_a_folder_too(tmp_path: Path, kind: str) -> None:
    animation(tmp_path / "a.png", "P" if kind == "gif" else "RGB", format=kind.upper())
    drawings("P" if kind == "gif" else "RGB")[0].save(tmp_path / "b.png", format=kind.upper())
    assert not holds_several((tmp_path / "b.png").read_bytes())
    with open_frames(tmp_path) as source:
        assert len(list(source)) == 2
    assert [note[:30] for note in source.notes] == ["a.png holds several pictures, "]
    (tmp_path / "b.png").unlink()
    with open_frames(tmp_path) as source:  # PNG and WebP give all
        assert len(list(source)) + len(source.notes) == (2 if kind in ("gif", "avif") else COUNT)


def test_a_stack_alone_in_a_folder_gives_all_its_pages(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(list(noise("u1"))))
    assert len(list(open_frames(tmp_path))) == 3
    assert len(list(open_frames(f"{tmp_path}/*.tif"))) == 3


def test_for_training_a_stack_is_its_first_page(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(list(noise("u1"))))
    assert np.array_equal(PictureFile(str(tmp_path / "a.tif")).decode(), noise("u1")[0])
