"""Healthy files that may look damaged are left alone.

Clips are as in ``test_video``: frame `i` is grey at level `20 + 8 i`, so that a frame tells its own number.
"""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lockon.errors import SourceError
from lockon.video import open_frames
from tests.clips import COUNT, grey, numbers
from tests.test_video import B_FRAMES, copy_packets, encode
from tests.test_video_damage import CLUSTERS, FRAGMENTS, GROUPS, HEVC

GAPS = [0, 0.04, 0.08, 5, 5.04, 30, 30.04, 95] + [95 + i / 25 for i in range(1, COUNT - 7)]
OPEN = {"x264-params": "keyint=8:min-keyint=8:open-gop=1:bframes=3:scenecut=0"}
HEVC_OPEN = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=8:min-keyint=8:bframes=3:open-gop=1"}
HIDDEN = {"auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"}
HEALTHY: dict[str, tuple[str, dict[str, str], dict[str, str], list[float] | None]] = {
    "gaps.mkv": ("libx264", GROUPS, CLUSTERS, GAPS),
    "gaps.mp4": ("libx264", B_FRAMES, {}, GAPS),
    "gaps.ts": ("libx264", GROUPS, {}, GAPS),
    "gaps.flv": ("libx264", B_FRAMES, {}, GAPS),
    "gaps.webm": ("libvpx-vp9", HIDDEN, CLUSTERS, GAPS),
    "open.mkv": ("libx264", OPEN, CLUSTERS, None),
    "open.ts": ("libx265", HEVC_OPEN, {}, None),
    "open.mp4": ("libx265", HEVC_OPEN, {}, None),
    "hidden.mkv": ("libvpx", HIDDEN, {}, None),
    "hidden.webm": ("libvpx-vp9", HIDDEN, {}, None),
    "hidden.ivf": ("libvpx", HIDDEN, {}, None),
    "live.mkv": ("libx264", GROUPS, CLUSTERS | {"live": "1"}, None),
    "live.webm": ("libvpx", {"g": "6"}, CLUSTERS | {"live": "1"}, None),
    "fields.ts": ("libx264", {"x264-params": "tff=1"}, {}, None),
    "fields.mpg": ("mpeg2video", {"flags": "+ildct+ilme", "bf": "2", "b": "3M"}, {}, None),
    "fragments.mp4": ("libx264", B_FRAMES, FRAGMENTS, None),
    "each.mp4": ("libx264", GROUPS, {"movflags": "frag_every_frame+empty_moov"}, None),
    "first.mp4": ("libx264", B_FRAMES, {"movflags": "frag_keyframe"}, None),
    "index.mp4": ("libx264", GROUPS, {"movflags": "frag_keyframe+empty_moov+dash+global_sidx"}, None),
    "blu.m2ts": ("libx264", GROUPS, {"mpegts_m2ts_mode": "1"}, None),
    "refresh.mp4": ("libx264", {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}, {}, None),
    "between.avi": ("mpeg4", {"bf": "2", "b": "2M"}, {}, None),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_files_are_left_alone(tmp_path: Path, name: str) -> None:
    codec, options, mux, times = HEALTHY[name]
    path = encode(tmp_path / name, codec, options, times, mux=mux)
    with open_frames(path) as source:
        frames = list(source)
    assert numbers(frames) == list(range(COUNT))
    assert not source.notes
    if not name.endswith("mpg"):  # which does not store all stamps
        expected = [i / 25 for i in range(COUNT)] if times is None else times
        assert [frame.time for frame in frames] == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("seconds", [0.3, 3])
@pytest.mark.parametrize(
    ("suffix", "sound"), [("mkv", "aac"), ("mp4", "aac"), ("ts", "mp2"), ("flv", "aac"), ("avi", "pcm_s16le")]
)
def test_sound_shorter_or_longer_than_the_picture_is_no_fault(
    tmp_path: Path, suffix: str, sound: str, seconds: float
) -> None:
    path = tmp_path / f"sound.{suffix}"
    with av.open(str(path), "w") as container:
        picture: Any = container.add_stream("libx264", 25, options=GROUPS)
        picture.width, picture.height, picture.pix_fmt = 96, 64, "yuv420p"
        noise: Any = container.add_stream(sound, 44100, layout="mono")
        container.start_encoding()
        size = noise.codec_context.frame_size or 1024
        for number in range(round(seconds * 44100 / size)):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, size), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 44100, number * size
            container.mux(noise.encode(samples))
        for number in range(COUNT):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(grey(number))))
        container.mux(picture.encode(None))
        container.mux(noise.encode(None))
    assert numbers(list(open_frames(path))) == list(range(COUNT))


@pytest.mark.parametrize(
    ("codec", "options", "suffix", "first"),
    [
        ("libx264", GROUPS, "ts", 6),
        ("libx264", GROUPS, "flv", 6),
        ("libx265", HEVC, "mp4", 8),
        ("libx265", HEVC, "mkv", 8),
        ("libx265", HEVC_OPEN, "ts", 8),
        ("libvpx-vp9", {"g": "6", "deadline": "realtime"}, "webm", 6),
        ("mpeg2video", {"g": "6", "bf": "2", "b": "3M"}, "ts", 6),
        ("mpeg2video", {"g": "6", "bf": "2", "b": "3M"}, "mov", 6),
    ],
)
def test_a_film_that_begins_within_a_group_starts_at_the_next(
    tmp_path: Path, codec: str, options: dict[str, str], suffix: str, first: int
) -> None:
    whole = encode(tmp_path / f"whole.{suffix}", codec, options)
    path = copy_packets(whole, tmp_path / f"part.{suffix}", lambda number, _: number > 3)
    frames = list(open_frames(path))
    assert numbers(frames)[0] >= first
    assert numbers(frames) == list(range(numbers(frames)[0], COUNT))
    assert (frames[0].index, frames[0].time) == (0, 0)


def test_a_film_that_begins_between_points_of_refreshment_starts_where_the_picture_is_whole(tmp_path: Path) -> None:
    options = {"x264-params": "intra-refresh=1:keyint=12:bframes=0"}
    times = [i / 25 for i in range(48)]
    whole = encode(tmp_path / "whole.mp4", options=options, times=times, picture=lambda number: grey(number % COUNT))
    path = copy_packets(whole, tmp_path / "part.mp4", lambda number, _: number > 3)
    frames = list(open_frames(path))
    assert 10 < len(frames) < 40
    assert numbers(frames) == [number % COUNT for number in range(48 - len(frames), 48)]


def test_memory_does_not_wait_for_python_to_collect_frames(tmp_path: Path) -> None:
    path = encode(
        tmp_path / "long.mp4", times=[i / 25 for i in range(100)], picture=lambda number: grey(number % COUNT)
    )
    gc.collect()
    gc.disable()
    try:
        with open_frames(path) as source:
            for _ in source:
                alive = sum(type(thing) is av.VideoFrame for thing in gc.get_objects())
                assert alive < 40
    finally:
        gc.enable()


def test_what_cannot_be_decoded_at_all_has_no_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "none.mkv", "libvpx-vp9", {"deadline": "realtime"})
    copy_packets(path, tmp_path / "rest.mkv", lambda number, _: number > 0)
    with pytest.raises(SourceError):
        open_frames(tmp_path / "rest.mkv")


SUFFIXES: dict[str, Callable[[bytes], bytes]] = {
    "tail.mkv": lambda data: data + b"\0" * 300,
    "tail.mp4": lambda data: data + b"\0" * 300,
    "tail.avi": lambda data: data + b"\0" * 300,
    "tail.flv": lambda data: data,
    "tail.gif": lambda data: data + b"\0\0\0",
}


@pytest.mark.parametrize("name", SUFFIXES)
def test_bytes_behind_the_film_are_no_fault(tmp_path: Path, name: str) -> None:
    codec = {"avi": "mpeg4", "gif": "gif"}.get(name[-3:], "libx264")

    def colours(stream: Any) -> None:
        if codec == "gif":
            stream.pix_fmt = "rgb8"

    path = encode(tmp_path / name, codec, prepare=colours)
    path.write_bytes(SUFFIXES[name](path.read_bytes()))
    assert len(list(open_frames(path))) == COUNT
