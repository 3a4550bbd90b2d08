"""Recordings joined to one: frames go on, and so does the time, where nothing is missing."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lockon.errors import FrameError, SourceError
from lockon.pictures import Image
from lockon.video import Frame, open_frames
from tests.clips import COUNT, grey, noisy, numbers
from tests.test_video import B_FRAMES, copy_packets, encode
from tests.test_video import server as server

GROUPS = {"g": "6", "bf": "0", "sc_threshold": "0"}
HALF = COUNT // 2
LIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-PLAYLIST-TYPE:VOD\n"


def later(first: int, number: int) -> Image:
    return noisy(first + number)


def parts(folder: Path, options: dict[str, str], suffix: str = "ts", starts: Sequence[float] = (0, 0)) -> list[Path]:
    """Two halves of a film, with clocks of their own that start at `starts` seconds."""
    files = []
    for half, start in enumerate(starts):
        times = [start + i / 25 for i in range(HALF)]
        path = folder / f"part{half}.{suffix}"
        files.append(encode(path, options=options, times=times, picture=partial(later, half * HALF)))
    return files


def joined(path: Path, files: Sequence[Path]) -> Path:
    path.write_bytes(b"".join(file.read_bytes() for file in files))
    return path


def playlist(path: Path, files: Sequence[Path]) -> Path:
    entries = [f"#EXTINF:0.48,\n{file.name}\n" for file in files]
    path.write_text(LIST + "#EXT-X-DISCONTINUITY\n".join(entries) + "#EXT-X-ENDLIST\n")
    return path


def assert_goes_on(source: str | Path) -> None:
    with open_frames(source) as opened:
        frames = list(opened)
    assert numbers(frames) == list(range(COUNT))
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(COUNT)], abs=2e-3)
    assert not any(frame.fault for frame in frames)
    assert len(opened.notes) == 1
    assert "its clock starts anew after 12 pictures" in opened.notes[0]


@pytest.mark.parametrize("options", [GROUPS, B_FRAMES])
def test_joined_transport_streams_play_on(tmp_path: Path, options: dict[str, str]) -> None:
    assert_goes_on(joined(tmp_path / "joined.ts", parts(tmp_path, options)))


def test_a_joined_clock_that_is_far_ahead_goes_on_too(tmp_path: Path) -> None:
    assert_goes_on(joined(tmp_path / "joined.ts", parts(tmp_path, GROUPS, starts=(0, 5000))))


@pytest.mark.parametrize("options", [GROUPS, B_FRAMES])
def test_a_list_of_streams_plays_on(tmp_path: Path, options: dict[str, str]) -> None:
    assert_goes_on(playlist(tmp_path / "list.m3u8", parts(tmp_path, options)))


def test_a_list_of_streams_on_a_network_plays_on(tmp_path: Path, server: str) -> None:
    playlist(tmp_path / "list.m3u8", parts(tmp_path, GROUPS))
    assert_goes_on(f"{server}/list.m3u8")


def test_a_start_behind_the_joint_counts_frames_of_both(tmp_path: Path) -> None:
    path = joined(tmp_path / "joined.ts", parts(tmp_path, GROUPS))
    with open_frames(path, start=14, end=20) as source:
        frames = list(source)
    assert numbers(frames) == list(range(14, 20))
    assert frames[0].time == pytest.approx(14 / 25, abs=2e-3)


def test_a_clock_that_goes_on_needs_no_remark(tmp_path: Path) -> None:
    path = joined(tmp_path / "joined.ts", parts(tmp_path, GROUPS, starts=(0, HALF / 25)))
    with open_frames(path) as source:
        assert numbers(list(source)) == list(range(COUNT))
    assert not source.notes


@pytest.mark.parametrize("lost", [1, 3])
def test_pictures_lost_at_a_joint_are_told(tmp_path: Path, lost: int) -> None:
    path = joined(tmp_path / "joined.ts", parts(tmp_path, GROUPS, starts=(0, (HALF + lost) / 25)))
    frames: list[Frame] = []
    with pytest.raises(FrameError), open_frames(path) as source:
        frames.extend(source)
    assert numbers(frames) == list(range(len(frames)))
    assert 8 < len(frames) <= HALF


def test_a_first_part_that_was_cut_within_a_picture_is_told(tmp_path: Path) -> None:
    files = [
        encode(tmp_path / f"part{half}.ts", options=GROUPS, picture=lambda number: noisy(number, (320, 240)))
        for half in range(2)
    ]
    data = files[0].read_bytes()
    files[0].write_bytes(data[: len(data) * 3 // 4 // 188 * 188])
    frames: list[Frame] = []
    with pytest.raises(FrameError), open_frames(joined(tmp_path / "joined.ts", files)) as source:
        frames.extend(source)
    assert numbers(frames) == list(range(len(frames)))
    assert 8 < len(frames) < COUNT


def test_two_sizes_in_joined_streams_keep_their_own(tmp_path: Path) -> None:
    small = encode(tmp_path / "small.ts", options=B_FRAMES, times=[i / 25 for i in range(HALF)])
    large = encode(
        tmp_path / "large.ts",
        options=B_FRAMES,
        times=[i / 25 for i in range(HALF)],
        picture=lambda i: grey(HALF + i, (128, 96)),
    )
    with open_frames(joined(tmp_path / "joined.ts", [small, large])) as source:
        frames = list(source)
    assert numbers(frames) == list(range(COUNT))
    assert [frame.image.shape for frame in frames] == [(64, 96, 3)] * HALF + [(96, 128, 3)] * HALF


@pytest.mark.parametrize("suffix", ["mkv", "mp4"])
def test_stamps_that_fall_back_in_a_file_are_shown_one_after_the_other(tmp_path: Path, suffix: str) -> None:
    whole = encode(tmp_path / "whole.ts", options=GROUPS, picture=noisy)

    def earlier(number: int, packet: Any) -> bool:
        return number < HALF

    path = copy_packets(whole, tmp_path / f"part.{suffix}", earlier)
    times = [frame.time for frame in open_frames(path)]
    assert times == sorted(set(times))


def test_a_list_whose_file_is_not_there_is_told(tmp_path: Path) -> None:
    files = parts(tmp_path, GROUPS)
    path = playlist(tmp_path / "list.m3u8", files)
    files[1].unlink()
    with pytest.raises(SourceError, match=r"list\.m3u8: lists part1\.ts, which is not there"):
        open_frames(path)
