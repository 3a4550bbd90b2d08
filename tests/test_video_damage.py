"""Damage in video files: what FFmpeg passes over is told, after the frames before it, and healthy files are left alone.

Clips are as in ``test_video``: frame `i` is grey at level `20 + 8 i`, so that a frame tells its own number.
"""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lockon.errors import FrameError
from lockon.video import Frame, open_frames
from tests.clips import COUNT, noisy, numbers
from tests.test_video import B_FRAMES, cut, encode, read_to_fault

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


def test_noise_between_fragments_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "noise.mp4", options=GROUPS, mux=FRAGMENTS)
    whole = list(open_frames(path))
    change(path, fragments(path)[2], b"\x7f" * 40)
    assert_told(path, whole, 10, 12)


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


def test_bytes_lost_from_asf_are_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "lost.wmv", "wmv2", {"b": "2M"}, picture=noisy)
    whole = list(open_frames(path))
    size = path.stat().st_size
    assert_told(remove(path, size // 2, size // 2 + 16), whole, 3, COUNT - 2)


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
    [
        ("cut.gif", "gif"),
        ("cut.y4m", "rawvideo"),
        ("cut.ivf", "libvpx-vp9"),
        ("cut.mxf", "mpeg2video"),
        ("cut.wmv", "wmv2"),
    ],
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
