"""Damage in video files: what FFmpeg passes over is told, after the frames before it, and healthy files are left alone.

Clips are as in ``test_video``: frame `i` is grey at level `20 + 8 i`, so that a frame tells its own number.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lockon.errors import FrameError, SourceError
from lockon.video import Frame, open_frames
from tests.test_video import B_FRAMES, COUNT, copy_packets, cut, encode, grey, noisy, numbers, read_to_fault

GROUPS = {"g": "6", "bf": "0", "sc_threshold": "0"}
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none:keyint=8:min-keyint=8:bframes=3"}
CLUSTERS = {"cluster_time_limit": "200"}
CLUSTER = b"\x1f\x43\xb6\x75"
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def places(data: bytes, mark: bytes) -> list[int]:
    return [at for at in range(len(data)) if data.startswith(mark, at)]


def change(path: Path, at: int, new: bytes) -> Path:
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data)
    return path


def remove(path: Path, start: int, end: int) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[:start] + data[end:])
    return path


def packets(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [p for p in container.demux(container.streams.video[0]) if p.size]


def assert_told(path: Path, whole: list[Frame], least: int, most: int) -> FrameError:
    """The frames before the damage come as they were, then comes an error."""
    frames: list[Frame] = []
    with pytest.raises(FrameError) as caught, open_frames(path) as source:
        frames.extend(source)
    assert least <= len(frames) <= most
    assert all((f.image == w.image).all() for f, w in zip(frames, whole, strict=False))
    assert caught.value.index == len(frames)
    return caught.value


# Lost in the container -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "codec"), [("hole.mkv", "libx264"), ("hole.webm", "libvpx")])
@pytest.mark.parametrize("which", [0, 1, 2, -1])
@pytest.mark.parametrize("bit", [0, 20, 31])
def test_a_lost_cluster_is_told(tmp_path: Path, name: str, codec: str, which: int, bit: int) -> None:
    path = encode(tmp_path / name, codec, {"g": "6"}, mux=CLUSTERS)
    whole = list(open_frames(path))
    data = path.read_bytes()
    starts = places(data, CLUSTER)
    lost = starts[which]
    before = sum(p.pos < lost for p in packets(path))
    change(path, lost + bit // 8, bytes([data[lost + bit // 8] ^ 1 << bit % 8]))
    assert_told(path, whole, max(before - 3, 0), before)


def test_a_lost_block_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "block.mkv", "mjpeg", mux=CLUSTERS)
    whole = list(open_frames(path))
    place = packets(path)[10].pos
    for offset in (0, -1, -2, -3):  # the track's number, the size, the kind of the element
        good = path.read_bytes()
        change(path, place + offset, bytes([good[place + offset] ^ 0x1C]))
        assert_told(path, whole, 8, 10)
        path.write_bytes(good)


@pytest.mark.parametrize("fps", [25, 240])
def test_matroska_cut_anywhere_gives_all_frames_or_tells(tmp_path: Path, fps: int) -> None:
    times = [i / fps for i in range(COUNT)]
    whole = encode(tmp_path / "whole.mkv", options={"bf": "0"}, times=times).read_bytes()
    told = 0
    for lost in range(1, 700, 9):
        path = tmp_path / "cut.mkv"
        path.write_bytes(whole[:-lost])
        frames: list[Frame] = []
        error = None
        try:
            frames.extend(open_frames(path))
        except FrameError as fault:
            error = fault
        assert len(frames) == (COUNT if error is None else error.index)
        assert numbers(frames) == list(range(len(frames)))
        told += error is not None
    assert told > 20


def test_matroska_cut_between_clusters_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "between.mkv", options=GROUPS, mux=CLUSTERS)
    data = path.read_bytes()
    starts = places(data, CLUSTER)
    path.write_bytes(data[: starts[-1]])
    before = len(packets(path))
    frames, error = read_to_fault(path)
    assert (numbers(frames), error.index) == (list(range(before)), before)


def test_a_matroska_file_that_lost_only_its_table_of_contents_is_whole(tmp_path: Path) -> None:
    path = encode(tmp_path / "cues.mkv", options=GROUPS, mux=CLUSTERS)
    data = path.read_bytes()
    path.write_bytes(data[: data.rindex(b"\x1c\x53\xbb\x6b") + 6])
    assert numbers(list(open_frames(path))) == list(range(COUNT))


def fragments(path: Path) -> list[int]:
    return [at - 4 for at in places(path.read_bytes(), b"moof")]


def test_a_lost_fragment_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "lost.mp4", options=GROUPS, mux=FRAGMENTS)
    whole = list(open_frames(path))
    starts = fragments(path)
    assert len(starts) == 4
    error = assert_told(remove(path, starts[1], starts[2]), whole, 4, 6)
    assert "a fragment is missing" in str(error)


@pytest.mark.parametrize("which", [0, 1, 3])
def test_a_fragment_whose_list_is_unreadable_is_told(tmp_path: Path, which: int) -> None:
    path = encode(tmp_path / "list.mp4", options=GROUPS, mux=FRAGMENTS)
    whole = list(open_frames(path))
    change(path, fragments(path)[which] + 4, b"noof")  # still letters: a box of a kind that nobody knows
    assert_told(path, whole, max(6 * which - 2, 0), 6 * which)


def test_fragments_cut_at_a_border_play(tmp_path: Path) -> None:
    path = encode(tmp_path / "border.mp4", options=GROUPS, mux=FRAGMENTS)
    path.write_bytes(path.read_bytes()[: fragments(path)[2]])
    assert numbers(list(open_frames(path))) == list(range(12))


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_fragments_cut_within_are_told(tmp_path: Path, share: float) -> None:
    path = encode(tmp_path / "within.mp4", options=GROUPS, picture=noisy, mux=FRAGMENTS)
    whole = list(open_frames(path))
    assert_told(cut(path, share), whole, 5, COUNT - 3)


def test_a_lost_chunk_of_avi_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "chunk.avi", "mjpeg")
    whole = list(open_frames(path))
    change(path, packets(path)[10].pos - 8, b"10dc")
    assert_told(path, whole, 8, 10)


def test_a_lost_tag_of_flash_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "tag.flv", options=GROUPS)
    whole = list(open_frames(path))
    change(path, packets(path)[10].pos, b"\x1d")
    assert_told(path, whole, 8, 10)


def test_a_lost_page_of_ogg_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "page.ogg", "libvpx", {"g": "6"}, picture=noisy)
    whole = list(open_frames(path))
    pages = places(path.read_bytes(), b"OggS")
    assert len(pages) > 4
    change(path, pages[3] + 200, b"\xaa\xaa\xaa")  # its checksum does not fit: FFmpeg leaves it out
    assert_told(path, whole, 0, COUNT - 1)


def test_a_hole_in_a_transport_stream_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "hole.ts", options=GROUPS, picture=noisy)
    whole = list(open_frames(path))
    start, end = (packets(path)[n].pos for n in (10, 12))
    change(path, start, bytes(end - start))  # whole pictures, so that what is left is clean
    assert_told(path, whole, 8, 10)


def test_packets_lost_from_a_transport_stream_are_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "lost.ts", options=GROUPS, picture=noisy)
    whole = list(open_frames(path))
    start, end = (packets(path)[n].pos for n in (9, 12))  # up to a key frame, which is clean again
    assert_told(remove(path, start, end), whole, 7, 9)


def test_a_transport_stream_cut_within_a_packet_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "cut.ts", options=GROUPS, picture=noisy)
    whole = list(open_frames(path))
    path.write_bytes(path.read_bytes()[: packets(path)[15].pos + 100])
    assert_told(path, whole, 13, 15)


def test_a_hole_in_a_program_stream_is_told(tmp_path: Path) -> None:
    path = tmp_path / "hole.mpg"
    encode(path, "mpeg2video", {"g": "6"}, picture=lambda number: noisy(number, (320, 240)))
    whole = list(open_frames(path))
    packs = places(path.read_bytes(), b"\0\0\1\xba")
    change(path, packs[len(packs) // 2] + 3, b"\xbf")
    change(path, packs[len(packs) // 2], b"\7\7\7")
    assert_told(path, whole, 3, COUNT - 3)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("cut.gif", "gif"), ("cut.y4m", "rawvideo"), ("cut.ivf", "libvpx-vp9"), ("cut.mxf", "mpeg2video")],
)
def test_cut_files_of_other_kinds_are_told(tmp_path: Path, name: str, codec: str) -> None:
    def colours(stream: Any) -> None:
        if codec == "gif":
            stream.pix_fmt = "rgb8"

    path = encode(tmp_path / name, codec, picture=noisy, prepare=colours)
    whole = list(open_frames(path))
    assert len(whole) == COUNT
    assert_told(cut(path, 0.6), whole, 5, COUNT - 3)


# Lost in the decoder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("first.mp4", "libx264", B_FRAMES),
        ("first.mkv", "libx264", GROUPS),
        ("first.flv", "libx264", GROUPS),
        ("first.mp4", "libx265", HEVC),
        ("first.mov", "libx265", HEVC),
        ("first.mkv", "libx265", HEVC),
        ("first.webm", "libvpx-vp9", {"g": "6", "deadline": "realtime"}),
    ],
)
def test_a_first_picture_that_cannot_be_decoded_is_told(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(tmp_path / name, codec, options, picture=noisy)
    first = bytes(packets(path)[0])
    data = path.read_bytes()
    tail = first[-60:]
    assert data.count(tail) == 1
    end = data.index(tail) + 60
    size = len(first) - 8
    change(path, end - size, bytes(size))
    with pytest.raises(FrameError) as caught:
        open_frames(path)
    assert caught.value.index == 0


@pytest.mark.parametrize(("codec", "options", "unit"), [("libx264", GROUPS, b"\x65"), ("libx265", HEVC, b"\x28")])
def test_a_first_picture_of_a_kind_that_decoders_skip_is_told(
    tmp_path: Path, codec: str, options: dict[str, str], unit: bytes
) -> None:
    path = encode(tmp_path / "skipped.ts", codec, options, picture=noisy)
    change(path, path.read_bytes().index(b"\0\0\1" + unit) + 3, b"\x60")
    with pytest.raises(FrameError) as caught:
        open_frames(path)
    assert caught.value.index == 0


@pytest.mark.parametrize("suffix", ["mov", "mkv"])
def test_a_later_picture_that_the_decoder_leaves_out_is_told(tmp_path: Path, suffix: str) -> None:
    path = encode(tmp_path / f"later.{suffix}", "libx265", HEVC, picture=noisy)
    whole = list(open_frames(path))
    packet = packets(path)[10]
    assert bytes(packet)[4] >> 1 < 10
    change(path, packet.pos + (4 if suffix == "mkv" else 0) + 4, b"\x60")  # a kind of unit that decoders skip
    assert_told(path, whole, 5, 12)


def test_altered_pictures_of_motion_jpeg_are_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "altered.avi", "mjpeg", picture=noisy)
    whole = list(open_frames(path))
    packet = packets(path)[10]
    change(path, packet.pos + packet.size // 2, bytes(packet.size // 3))
    assert_told(path, whole, 8, 10)


@pytest.mark.parametrize("number", [3, 10, 13])
def test_frames_of_a_bare_bitstream_are_good_up_to_the_fault(tmp_path: Path, number: int) -> None:
    options = B_FRAMES | {"crf": "18"}
    path = encode(tmp_path / "bare.h264", options=options, picture=lambda number: noisy(number, (320, 240)))
    whole = list(open_frames(path))
    packet = packets(path)[number]
    change(path, packet.pos + packet.size // 3, np.random.default_rng(0).bytes(packet.size // 2))
    assert_told(path, whole, 0, COUNT - 1)


# Healthy, though it may not look so ------------------------------------------------------------------------------

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
    import gc

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
