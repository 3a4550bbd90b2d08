"""Frames in. Clips tell their own frames apart, see `tests.clips`.

Frames of one and the same file decode identically, so those are compared exactly.
"""

import ast
import pickle
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from lockon.errors import BoxError, FrameError, LockonError, OutputError, SourceError
from lockon.pictures import IMAGE_SUFFIXES, Image, as_rgb, natural_key
from lockon.video import CameraSource, Frame, camera, container, open_frames, read_ahead
from tests.clips import COUNT, SIZE, grey, noisy, numbers

# Three B-frames after each P-frame: decoding order differs from the order of time.
B_FRAMES = {"x264-params": "bframes=3:b-adapt=0:scenecut=0:keyint=12:min-keyint=12"}
CLIPS = {
    "clip.mp4": ("libx264", B_FRAMES),
    "clip.mov": ("libx264", B_FRAMES),
    "clip.mkv": ("libx264", B_FRAMES),
    "clip.ts": ("libx264", B_FRAMES),
    "avc.avi": ("libx264", B_FRAMES),
    "clip.avi": ("mpeg4", {}),
    "mjpeg.avi": ("mjpeg", {}),
    "vp8.webm": ("libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10"}),
    "vp9.webm": ("libvpx-vp9", {"cpu-used": "8"}),
}


def encode(
    path: Path,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    times: Sequence[float] | None = None,
    picture: Callable[[int], Image] = grey,
    prepare: Callable[[Any], object] = lambda stream: None,
    mux: dict[str, str] | None = None,
) -> Path:
    """Write a clip: a frame at each of `times` in seconds, 25 a second unless given."""
    times = [i / 25 for i in range(COUNT)] if times is None else times
    height, width = picture(0).shape[:2]
    # AVI has one slot of time for each tick, so its ticks must be frames; MPEG-2 has but a few rates.
    tick = Fraction(1, 25 if path.suffix == ".avi" or codec == "mpeg2video" else 1000)
    with av.open(str(path), "w", options=mux or {}) as container:
        stream: Any = container.add_stream(codec, 25, options=options or {})
        stream.width, stream.height = width, height
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = tick
        prepare(stream)
        container.start_encoding()
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number))
            frame.pts, frame.time_base = round(time / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def copy_packets(source: Path, target: Path, change: Callable[[int, Any], bool], **mux: str) -> Path:
    """Remux; `change` may alter a packet, given its number in decoding order, and says whether to keep it."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=mux) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(p for p in old.demux(old.streams.video[0]) if p.size):
            if change(number, packet):
                packet.stream = stream
                new.mux(packet)
    return target


def damage(path: Path, number: int) -> int:
    """Overwrite the packet that is shown as frame `number`; return where it stands in decoding order."""
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(container.streams.video[0]) if p.size]
    shown = sorted(packets, key=lambda packet: packet.pts or 0)[number]
    data = bytearray(path.read_bytes())
    assert shown.pos is not None
    data[shown.pos + 8 : shown.pos + shown.size] = b"\xaa" * (shown.size - 8)
    path.write_bytes(data)
    return packets.index(shown)


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def read_to_fault(path: Path, **options: Any) -> tuple[list[Frame], FrameError]:
    frames: list[Frame] = []
    with pytest.raises(FrameError) as caught, open_frames(path, **options) as source:
        frames.extend(source)
    return frames, caught.value


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for name, (codec, options) in CLIPS.items():
        encode(folder / name, codec, options)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(12):
        cv2.imwrite(str(folder / f"img{number}.png"), grey(number))
    return folder


# Errors and imports ----------------------------------------------------------------------------------------------


def test_errors_are_one_family() -> None:
    assert issubclass(FrameError, SourceError)
    assert issubclass(BoxError, ValueError)
    assert all(issubclass(kind, LockonError) for kind in (SourceError, OutputError, BoxError))


def test_a_frame_error_survives_pickling_between_processes() -> None:
    error = pickle.loads(pickle.dumps(FrameError("clip.mp4: damaged", 7)))
    assert (str(error), error.index) == ("clip.mp4: damaged", 7)


def test_video_needs_no_other_rooms_than_pictures_and_errors() -> None:
    imported = set()
    for file in Path(camera.__file__).parent.glob("*.py"):
        nodes = ast.walk(ast.parse(file.read_text()))
        imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    others = {module for module in imported if module.startswith("lockon") and not module.startswith("lockon.video")}
    assert others == {"lockon.errors", "lockon.pictures"}


# natural_key and as_rgb ------------------------------------------------------------------------------------------


def test_numbers_sort_by_value() -> None:
    names = ["img10.jpg", "img2.jpg", "IMG1.jpg", "img02.jpg", "a", "7", "007b12", "007b3"]
    expected = ["7", "007b3", "007b12", "a", "IMG1.jpg", "img02.jpg", "img2.jpg", "img10.jpg"]
    assert sorted(names, key=natural_key) == expected


def test_rgb_passes_without_a_copy() -> None:
    image = grey(3)
    assert as_rgb(image) is image


RGB = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
PICTURES = {
    "rgb": RGB,
    "strided": np.repeat(RGB, 2, axis=1)[:, ::2],
    "alpha": np.dstack([RGB, RGB[..., 0]]),
    "uint16": RGB.astype(np.uint16) << 8 | 77,
    "float": RGB / 255,
    "float16 with overshoot": (RGB / 255 * 1.0005).astype(np.float16),
    "torch": torch.from_numpy(RGB),
    "torch planar": torch.from_numpy(RGB).permute(2, 0, 1),
    "torch planar float with gradient": (torch.from_numpy(RGB).permute(2, 0, 1) / 255).requires_grad_(),
}


@pytest.mark.parametrize("name", PICTURES)
def test_usual_pictures_become_rgb(name: str) -> None:
    image = as_rgb(PICTURES[name])
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_allclose(image.astype(int), RGB, atol=1 if "float16" in name else 0)


def test_bfloat16_tensors_and_masks_are_pictures_too() -> None:
    assert (as_rgb(torch.ones(3, 6, 4, dtype=torch.bfloat16)) == 255).all()
    assert as_rgb(np.eye(4, dtype=bool)).tolist() == (np.eye(4)[..., None] * [255, 255, 255]).tolist()


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1)])
def test_grey_becomes_rgb(shape: tuple[int, ...]) -> None:
    image = as_rgb(np.arange(24, dtype=np.uint8).reshape(shape))
    assert image.shape == (6, 4, 3)
    assert (image == np.arange(24).reshape(6, 4, 1)).all()


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        ("clip.mp4", "str; give a NumPy array"),
        ([[0, 1]], "list; give a NumPy array"),
        (None, "NoneType"),
        (np.zeros((4, 6, 2), np.uint8), r"shape \(4, 6, 2\)"),
        (np.zeros((1, 4, 6, 3), np.uint8), r"shape \(1, 4, 6, 3\)"),
        (np.zeros((0, 6, 3), np.uint8), r"shape \(0, 6, 3\)"),
        (np.zeros((4, 6, 3), np.int64), "int64; expected uint8"),
        (np.full((4, 6, 3), 200.0), r"floats from 200 to 200; scale them to \[0, 1\]"),
        (np.full((4, 6, 3), np.nan), "floats from nan"),
        (torch.zeros(2, 4, 6), r"shape \(2, 4, 6\)"),
    ],
)
def test_other_things_are_refused(picture: object, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        as_rgb(picture)


# Video: healthy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPS)
def test_a_video_gives_every_frame_with_its_number_and_time(clips: Path, name: str) -> None:
    with open_frames(clips / name) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert numbers(frames) == list(range(COUNT))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(COUNT)], abs=2e-3)
    assert all(f.image.dtype == np.uint8 and f.image.flags.c_contiguous for f in frames)
    assert all(f.image.flags.writeable for f in frames)
    assert (source.name, source.size, source.live) == (name.split(".")[0], SIZE, False)
    assert source.fps == pytest.approx(25)
    assert source.length == (None if name.endswith(("mkv", "webm", "ts")) else COUNT)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize(("start", "end"), [(0, 5), (7, None), (13, 14), (20, 99)])
def test_start_and_end_are_exact(clips: Path, name: str, start: int, end: int | None) -> None:
    expected = list(open_frames(clips / name))[start:end]
    with open_frames(str(clips / name), start, end) as source:
        frames = list(source)
    assert [(f.index, f.time) for f in frames] == [(f.index, f.time) for f in expected]
    assert all((f.image == e.image).all() for f, e in zip(frames, expected, strict=True))
    assert source.length in (None, len(expected))


def test_skipped_frames_are_not_converted(clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upright, converted = container._upright, []

    def convert(frame: Any, matrix: Any) -> Image:
        converted.append(frame)
        return upright(frame, matrix)

    monkeypatch.setattr(container, "_upright", convert)
    assert len(list(open_frames(clips / "clip.mp4", start=20))) == len(converted) == 4


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_frame_rate_is_kept(tmp_path: Path, suffix: str) -> None:
    times = [0, 0.04, 0.2, 0.21, 0.5, 1.3]
    frames = list(open_frames(encode(tmp_path / f"vfr.{suffix}", times=times)))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-3)


def test_time_counts_from_the_first_frame(tmp_path: Path) -> None:
    path = encode(tmp_path / "late.mkv", times=[3, 3.04, 3.08])
    assert [frame.time for frame in open_frames(path)] == pytest.approx([0, 0.04, 0.08])


def test_an_edit_list_hides_frames_without_a_fault(tmp_path: Path, clips: Path) -> None:
    def earlier(number: int, packet: Any) -> bool:
        packet.pts -= round(0.4 / packet.time_base)
        packet.dts -= round(0.4 / packet.time_base)
        return True

    path = copy_packets(clips / "clip.mp4", tmp_path / "edit.mp4", earlier, avoid_negative_ts="disabled")
    with open_frames(path) as source:
        frames = list(source)
    assert (source.length, numbers(frames)) == (14, list(range(10, 24)))
    assert frames[0].time == 0


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_clip_that_begins_between_key_frames_starts_at_the_next(tmp_path: Path, clips: Path, suffix: str) -> None:
    path = copy_packets(clips / "clip.mp4", tmp_path / f"cut.{suffix}", lambda number, _: number > 4)
    frames = list(open_frames(path))
    assert (numbers(frames), frames[0].index, frames[0].time) == (list(range(12, 24)), 0, 0)


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_video_is_shown_upright(tmp_path: Path, turn: int) -> None:
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:32, :48] = 255, 0, 0  # red, at the top left
    stored = np.ascontiguousarray(np.rot90(upright, -turn // 90))
    path = encode(
        tmp_path / "turned.mp4",
        times=[0, 0.04],
        picture=lambda number: stored,
        prepare=lambda stream: stream.set_display_rotation(turn),
    )
    with open_frames(path) as source:
        image = next(source).image
    assert source.size == (96, 64)
    np.testing.assert_allclose(image[16, 24].astype(int), (255, 0, 0), atol=8)
    assert image[48:, 60:].max() < 8


def test_pixels_are_taken_as_square(tmp_path: Path) -> None:
    def stretch(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)

    assert open_frames(encode(tmp_path / "wide.mp4", prepare=stretch)).size == SIZE


def test_each_frame_keeps_its_own_size_and_a_bare_bitstream_counts_time(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.h264", times=[0, 0.04, 0.08])
    large = encode(tmp_path / "large.h264", times=[0, 0.04], picture=partial(grey, size=(128, 96)))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = list(open_frames(both))
    assert [frame.image.shape for frame in frames] == [(64, 96, 3)] * 3 + [(96, 128, 3)] * 2
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(5)])


def test_colours_survive(tmp_path: Path) -> None:
    colour = (200, 40, 90)
    path = encode(tmp_path / "c.mp4", times=[0], picture=lambda _: np.full((64, 96, 3), colour, np.uint8))
    np.testing.assert_allclose(next(open_frames(path)).image.mean((0, 1)), colour, atol=4)


def test_drawing_on_a_frame_does_not_reach_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "still.mov"  # uncompressed differences of RGB: the decoder's own picture is RGB too
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", 25)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "rgb24"
        for number in range(3):
            coded = av.VideoFrame.from_ndarray(grey(5))
            coded.pts, coded.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(coded))
        container.mux(stream.encode(None))
    for frame in open_frames(path):
        assert (frame.image == grey(5)).all()
        frame.image[:] = 0


def test_memory_stays_flat(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = encode(tmp_path / "long.mp4", times=[i / 25 for i in range(150)], picture=lambda i: grey(i % 24, (640, 480)))
    with open_frames(path) as source:
        next(source)
        before = psutil.Process().memory_info().rss
        assert sum(1 for _ in source) == 149  # 137 MB as images
        assert psutil.Process().memory_info().rss - before < 40e6


def test_closing_ends_the_frames(clips: Path) -> None:
    source = open_frames(clips / "clip.mp4")
    assert next(source).index == 0
    source.close()
    source.close()
    assert list(source) == []


# Video: damaged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cut.mp4", "cut.mkv", "cut.avi", "cut.webm", "avc.avi"])
def test_a_cut_video_gives_what_is_left_and_then_a_fault(tmp_path: Path, name: str) -> None:
    codec = {"cut.avi": "mpeg4", "cut.webm": "libvpx"}.get(name, "libx264")
    options = B_FRAMES | {"crf": "12"} if codec == "libx264" else {}
    times = [i / 25 for i in range(50)]
    mux = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = encode(tmp_path / name, codec, options, times, lambda i: noisy(i % 24), mux=mux)
    whole = list(open_frames(path))
    assert len(whole) == 50

    frames, error = read_to_fault(cut(path, 0.6))
    assert 5 < len(frames) < 45
    assert all((f.image == w.image).all() for f, w in zip(frames, whole, strict=False))
    assert error.index == len(frames)
    assert f"{path}: damaged at frame {len(frames)}" in str(error)
    assert f"end={len(frames)}" in str(error)
    assert len(list(open_frames(path, end=error.index))) == len(frames)


def test_frames_still_in_the_decoder_at_the_cut_are_given_out(tmp_path: Path, clips: Path) -> None:
    path = copy_packets(clips / "clip.mp4", tmp_path / "start.mp4", lambda number, _: True, movflags="faststart")
    with av.open(str(path)) as container:  # in decoding order: frames 0, 4, 2, 1, 3, 8, ...
        ends = [p.pos + p.size for p in container.demux(container.streams.video[0]) if p.pos is not None and p.size]
    for packets, count in [(1, 1), (2, 1), (3, 1), (4, 3), (5, 5), (6, 5)]:
        path.write_bytes(path.read_bytes()[: ends[packets - 1]])
        frames, error = read_to_fault(path)
        assert (numbers(frames), error.index) == (list(range(count)), count)
        copy_packets(clips / "clip.mp4", path, lambda number, _: True, movflags="faststart")


def test_a_cut_mp4_without_its_index_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"late\.mp4: not a video"):
        open_frames(cut(encode(tmp_path / "late.mp4"), 0.6))


@pytest.mark.parametrize("number", [1, 10, 12, 16, 22, 23])
def test_frames_before_overwritten_bytes_are_good(tmp_path: Path, number: int) -> None:
    path = encode(tmp_path / "hole.mp4", options=B_FRAMES, picture=noisy)
    whole = list(open_frames(path))
    damage(path, number)
    frames, error = read_to_fault(path)
    # A frame shown before the fault may have been coded from it, and is then not good either.
    assert number - 4 < len(frames) <= number
    assert error.index == len(frames)
    assert all((f.image == w.image).all() for f, w in zip(frames, whole, strict=False))


def test_a_fault_before_start_is_told_when_opening(tmp_path: Path) -> None:
    path = encode(tmp_path / "hole.mp4", options=B_FRAMES, picture=noisy)
    damage(path, 12)
    with pytest.raises(FrameError, match="damaged at frame"):
        open_frames(path, start=20)


@pytest.mark.parametrize("name", ["hole.avi", "hole.mkv"])
def test_damage_is_seen_in_other_containers(tmp_path: Path, name: str) -> None:
    path = encode(tmp_path / name, "mpeg4", picture=noisy)
    damage(path, 15)
    frames, error = read_to_fault(path)
    assert (len(frames), error.index) == (15, 15)


# Sources that are none -------------------------------------------------------------------------------------------


def silence(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", 8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("text.mp4", lambda path: path.write_text("hello\n" * 50), "not a video"),
        ("notes.txt", lambda path: path.write_text("hello world\n" * 50), "has no video stream"),
        ("empty.mp4", lambda path: path.touch(), "not a video that can be read"),
        ("noise.mkv", lambda path: path.write_bytes(bytes(range(256)) * 20), "not a video that can be read"),
        ("sound.wav", silence, "not a video, it has no video stream"),
        ("none.h264", lambda path: path.write_bytes(b"\0\0\1\x09\x10" * 9), "frame|video"),
        ("none.avi", lambda path: encode(path, "mpeg4", times=[]), "has no frames"),
        ("folder", lambda path: path.mkdir(), r"folder: no images there; looked for \.apng \.avif \.bmp"),
    ],
)
def test_what_is_no_source_is_told_at_once(
    tmp_path: Path, name: str, make: Callable[[Path], Any], message: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(SourceError, match=message) as caught:
        open_frames(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_is_told_with_names_like_it(clips: Path) -> None:
    with pytest.raises(SourceError, match=r"clpi\.mp4: no such file; did you mean clip\.mp4 or"):
        open_frames(clips / "clpi.mp4")
    with pytest.raises(SourceError, match=r"xyz$|xyz: no such file$"):
        open_frames(clips / "xyz")
    with pytest.raises(SourceError, match="nor a folder /nowhere"):
        open_frames("/nowhere/clip.mp4")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_start_past_the_end_says_how_many_frames_there_are(clips: Path, name: str) -> None:
    with pytest.raises(SourceError, match="has 24 frames, start=24 is past the end"):
        open_frames(clips / name, start=24)


@pytest.mark.parametrize(("start", "end"), [(-1, None), (5, 5), (5, 3), (0, 0)])
def test_an_empty_range_is_refused(clips: Path, start: int, end: int | None) -> None:
    with pytest.raises(SourceError, match="0 <= start < end"):
        open_frames(clips / "clip.mp4", start, end)


# Images ----------------------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_read_in_natural_order(images: Path) -> None:
    (images / "notes.txt").write_text("not an image")
    (images / "._img0.png").write_text("what macOS leaves behind")
    with open_frames(images) as source:
        frames = list(source)
    assert numbers(frames) == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / 30 for i in range(12)])
    assert (source.name, source.size, source.fps, source.length) == ("images", SIZE, 30, 12)


def test_a_folder_has_start_and_end_too(images: Path) -> None:
    with open_frames(images, 3, 7) as source:
        assert source.length == 4
        assert [frame.index for frame in source] == [3, 4, 5, 6]
    with pytest.raises(SourceError, match="has 12 frames, start=12 is past the end"):
        open_frames(images, 12)


def test_a_glob_picks_images(images: Path) -> None:
    with open_frames(f"{images}/img1*.png") as source:
        assert (source.name, numbers(list(source))) == ("images", [1, 10, 11])
    with pytest.raises(SourceError, match=r"nothing\*\.png: no images there"):
        open_frames(f"{images}/nothing*.png")


def test_one_image_is_a_source_of_one_frame(images: Path) -> None:
    with open_frames(images / "img7.png") as source:
        assert (source.name, numbers(list(source))) == ("img7", [7])


def test_a_folder_named_like_a_camera_is_a_folder(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images.rename(images.parent / "0001")
    monkeypatch.chdir(images.parent)
    assert open_frames("0001").name == "0001"


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_every_image_suffix_is_read(tmp_path: Path, suffix: str) -> None:
    written = {".apng": ".png", ".jfif": ".jpg", ".pbm": ".pgm"}.get(suffix, suffix)  # what OpenCV can write
    pixels = grey(4)[..., 0] if written == ".pgm" else grey(4)
    floats = suffix in (".hdr", ".pfm")
    _, data = cv2.imencode(written, pixels.astype(np.float32) / 255 if floats else pixels)
    (tmp_path / f"a{suffix.upper()}").write_bytes(data.tobytes())
    assert numbers(list(open_frames(tmp_path, levels=(0, 1) if floats else None))) == [4]


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit", "16 bit grey"])
def test_unusual_pixels_become_rgb(tmp_path: Path, kind: str) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    expected = colour[..., :1].repeat(3, axis=2) if "grey" in kind else colour
    stored = expected[..., 0] if "grey" in kind else expected[..., ::-1]  # OpenCV writes BGR
    stored = stored.astype(np.uint16) << 8 | 99 if "16" in kind else stored
    stored = np.dstack([stored, expected[..., 0]]) if kind == "alpha" else stored
    cv2.imwrite(str(tmp_path / "a.png"), stored)
    assert (next(open_frames(tmp_path)).image == expected).all()


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    _, data = cv2.imencode(".jpg", grey(3))
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"  # orientation 6: turn clockwise
    exif = b"Exif\0\0MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + b"\x00\x00\x00\x00"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "a.jpg").write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    assert open_frames(tmp_path).size == (64, 96)


def test_images_may_differ_in_size(images: Path) -> None:
    cv2.imwrite(str(images / "img5.png"), grey(5, (40, 30)))
    with open_frames(images) as source:
        shapes = [frame.image.shape for frame in source]
    assert shapes[4:7] == [(64, 96, 3), (30, 40, 3), (64, 96, 3)]


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_an_unreadable_image_is_named_after_those_before_it(images: Path, content: bytes | None) -> None:
    bad = images / "img4.png"
    bad.write_bytes(cut(bad, 0.6).read_bytes() if content is None else content)
    frames, error = read_to_fault(images)
    assert (numbers(frames), error.index) == ([0, 1, 2, 3], 4)
    assert f"{bad}: frame 4 cannot be read" in str(error)
    assert len(list(open_frames(images, start=5))) == 7


def test_a_folder_in_place_of_an_image_is_a_fault_too(images: Path) -> None:
    (images / "img4.png").unlink()
    (images / "img4.png").mkdir()
    frames, error = read_to_fault(images)
    assert (len(frames), error.index) == (4, 4)


# Cameras and streams ---------------------------------------------------------------------------------------------


class FakeCapture:
    """A camera 7 that gives five frames, blue as OpenCV has them, and then fails."""

    def __init__(self, index: int, frames: int = 5) -> None:
        self.index, self.left, self.released = index, frames, False

    def isOpened(self) -> bool:
        return self.index == 7

    def get(self, _: int) -> float:
        return 0.0

    def read(self) -> tuple[bool, Image | None]:
        self.left -= 1
        return (True, np.full((64, 96, 3), (255, 0, 0), np.uint8)) if self.left >= 0 else (False, None)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def cameras(monkeypatch: pytest.MonkeyPatch) -> list[FakeCapture]:
    opened: list[FakeCapture] = []

    def capture(index: int) -> FakeCapture:
        opened.append(FakeCapture(index))
        return opened[-1]

    monkeypatch.setattr(camera, "_open_capture", capture)
    return opened


@pytest.mark.parametrize("number", [7, "7"])
def test_a_camera_gives_frames_as_they_arrive(cameras: list[FakeCapture], number: int | str) -> None:
    with open_frames(number) as source:
        frames = [next(source), next(source)]
    assert isinstance(source, CameraSource)
    assert (source.name, source.size, source.fps, source.length, source.live) == ("camera7", SIZE, 30, None, True)
    assert (frames[0].image == (0, 0, 255)).all()
    assert 0 == frames[0].time <= frames[1].time
    assert cameras[0].released


def test_a_camera_that_stops_is_told(cameras: list[FakeCapture]) -> None:
    frames: list[Frame] = []
    with pytest.raises(FrameError, match="camera 7 stopped after frame 4") as caught, open_frames(7) as source:
        frames.extend(source)
    assert (len(frames), caught.value.index) == (5, 5)
    assert cameras[0].released


def test_a_live_source_is_not_read_ahead(cameras: list[FakeCapture]) -> None:
    with open_frames(7) as source, read_ahead(source) as frames:
        next(frames)
        assert cameras[0].left == 4  # one of five was taken


def test_reading_ahead_gives_the_same_frames_and_the_fault_in_its_place(images: Path) -> None:
    with open_frames(images) as source:
        plain = [frame.index for frame in source]
    with open_frames(images) as source, read_ahead(source) as frames:
        assert [frame.index for frame in frames] == plain
    max(images.iterdir(), key=lambda path: natural_key(path.name)).write_bytes(b"broken")
    with open_frames(images) as source, read_ahead(source) as frames:
        assert [next(frames).index for _ in plain[:-1]] == plain[:-1]
        with pytest.raises(FrameError):
            next(frames)


def test_a_camera_stops_at_end(cameras: list[FakeCapture]) -> None:
    assert [frame.index for frame in open_frames(7, 1, 5)] == [1, 2, 3, 4]  # the next one would be a fault


def test_a_camera_that_gives_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_open_capture", partial(FakeCapture, frames=0))
    with pytest.raises(FrameError, match="camera 7 gives no frames"):
        open_frames(7)


def test_no_such_camera(cameras: list[FakeCapture]) -> None:
    with pytest.raises(SourceError, match="no camera 3: check its cable"):
        open_frames(3)
    assert cameras[0].released


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as http:
        Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_a_network_stream_is_live(tmp_path: Path, server: str) -> None:
    encode(tmp_path / "door.ts", options=B_FRAMES)
    with open_frames(f"{server}/door.ts", 2, 20) as source:
        assert (source.name, source.size, source.length, source.live) == ("door", SIZE, None, True)
        assert numbers(list(source)) == list(range(2, 20))


def test_a_stream_plays_on_through_damage(tmp_path: Path, server: str) -> None:
    damage(encode(tmp_path / "door.mkv", options=B_FRAMES, picture=noisy), 10)
    frames = list(open_frames(f"{server}/door.mkv"))
    assert len(frames) > 12
    assert numbers(frames[-6:]) == list(range(18, 24))


def test_a_stream_that_is_not_there_is_told(server: str) -> None:
    with pytest.raises(SourceError, match=r"no\.ts: not a stream that can be read"):
        open_frames(f"{server}/no.ts")
    with pytest.raises(SourceError, match="not a stream that can be read"):
        open_frames("rtsp://127.0.0.1:9/live")
