"""Frames out. Files are read back with `open_frames` or, where its checks would be in the way, with PyAV alone."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from io import FileIO
from math import inf, nan
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lockon
from lockon.errors import OutputError, SourceError
from lockon.pictures import Image
from lockon.video import Frame, VideoWriter, mp4, open_frames, writer
from lockon.video.writer import LONGEST_GAP, LONGEST_SIDE, MAX_PENDING, MOST_BLOCKS, Clock, video_size
from tests.clips import COUNT, SIZE, grey, noisy, numbers

TICK = 1 / mp4.TICKS


def write(path: Path, pictures: Sequence[Image], times: Sequence[float] | None = None) -> list[Frame]:
    with VideoWriter(path, fps=25) as out:
        for number, picture in enumerate(pictures):
            out.write(picture, number / 25 if times is None else times[number])
    return list(open_frames(path))


def played(path: Path) -> list[Frame]:
    """The frames of a file to its end, as a player shows them: a fault is an error of PyAV's."""
    with av.open(str(path)) as container:
        shown: Iterator[tuple[int, Any]] = enumerate(container.decode(video=0))
        return [Frame(number, picture.to_ndarray(format="rgb24"), float(picture.time)) for number, picture in shown]


def boxes(path: Path) -> list[str]:
    """The kinds of a file's outermost boxes."""
    data, place, kinds = path.read_bytes(), 0, []
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        kinds.append(data[place + 4 : place + 8].decode())
        place += int.from_bytes(data[place + 8 : place + 16], "big") if size == 1 else size
    return kinds


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    frames = write(tmp_path / "out.mp4", [grey(i) for i in range(COUNT)])
    assert numbers(frames) == list(range(COUNT))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(COUNT)])
    assert frames[0].image.shape == (64, 96, 3)


def test_a_browser_can_play_it(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", [grey(i) for i in range(COUNT)])
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.frames == COUNT
        assert float(stream.average_rate or 0) == pytest.approx(25)
        assert stream.duration == Fraction(COUNT, 25) / (stream.time_base or 1)
    assert boxes(tmp_path / "out.mp4") == ["ftyp", "mdat", "moov"]


def test_it_can_be_sought_in(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", [grey(i % 24) for i in range(200)])
    with av.open(str(tmp_path / "out.mp4")) as container:
        container.seek(5_000_000)  # microseconds
        first = next(container.decode(video=0))
    assert first.key_frame
    assert 3 <= float(first.time or 0) <= 5


def test_the_same_pictures_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.mp4"):
        write(tmp_path / name, [noisy(i) for i in range(COUNT)])
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_a_file_of_more_than_four_gigabytes_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add = mp4.GrowingMp4.add

    def far_on(self: mp4.GrowingMp4, packet: bytes, stamp: int, key: bool) -> None:
        if len(self) == 2:
            self._end += 2**32  # a hole, which takes no space
        add(self, packet, stamp, key)

    monkeypatch.setattr(mp4.GrowingMp4, "add", far_on)
    path = tmp_path / "long.mp4"
    with VideoWriter(path, fps=25) as out:
        for number in range(5):
            out.write(grey(number), number / 25)
    assert path.stat().st_size > 2**32
    assert numbers(played(path)) == [0, 1, 2, 3, 4]
    path.unlink()


def test_colours_are_written(tmp_path: Path) -> None:
    colour = (200, 40, 90)
    frames = write(tmp_path / "out.mp4", [np.full((64, 96, 3), colour, np.uint8)] * 2)
    np.testing.assert_allclose(frames[1].image.mean((0, 1)), colour, atol=4)


def test_variable_times_survive_writing(tmp_path: Path) -> None:
    times = [7.0, 7.04, 7.2, 7.21, 7.5, 8.3]  # as they come from the middle of a video
    frames = write(tmp_path / "out.mp4", [grey(i) for i in range(6)], times)
    assert [frame.time for frame in frames] == pytest.approx([t - 7 for t in times], abs=1e-4)


def test_a_time_gone_by_is_moved_after_the_last(tmp_path: Path) -> None:
    frames = write(tmp_path / "out.mp4", [grey(i) for i in range(4)], [0, 0.2, 0.1, 0.2])
    times = [frame.time for frame in frames]
    assert numbers(frames) == [0, 1, 2, 3]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([7, 7.04, 9], [0, 0.04, 2]),
        ([nan] * 4, [0, 0.1, 0.2, 0.3]),
        ([nan, 5, 5.04], [0, 0.1, 0.14]),
        ([0, inf, -inf, 0.5], [0, 0.1, 0.2, 0.5]),
        ([-3, -2.5, 1], [0, 0.5, 4]),
        ([0, 0, 0.2], [0, TICK, 0.2]),  # a double stamp moves no other
        ([0] * 8, [0, TICK, 2 * TICK, 3 * TICK, 4 * TICK, 0.1 + 4 * TICK, 0.2 + 4 * TICK, 0.3 + 4 * TICK]),
        ([0, 50, 0, 0.04, 0.5], [0, 50, 50.1, 50.14, 50.6]),  # a clock that starts anew
        ([1e9, 1e9 + 0.5, 1e9 + 0.75], [0, 0.5, 0.75]),
        ([0, 3 * 86_400, 3 * 86_400 + 1], [0, 6 * 3600, 6 * 3600 + 1]),
        ([-1e308, 1e308, 0, 0.25], [0, 6 * 3600, 6 * 3600 + 0.1, 6 * 3600 + 0.35]),
    ],
)
def test_any_times_become_times_that_rise(tmp_path: Path, times: list[float], expected: list[float]) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=10) as out:
        for number, moment in enumerate(times):
            out.write(grey(number), moment)
    frames = played(path)
    assert numbers(frames) == list(range(len(times)))
    assert [frame.time for frame in frames] == pytest.approx(expected, abs=TICK / 2)


def test_stamps_go_on_beyond_32_bits() -> None:
    clock = Clock(25)
    stamps = [clock.stamp(day * 86_400) for day in range(100)]
    assert stamps == [day * LONGEST_GAP for day in range(100)]
    assert LONGEST_GAP < 2**31 < 2**32 < stamps[-1]


@pytest.mark.parametrize("fps", [1e-320, 1e-6, 1, 24000 / 1001, np.float32(29.97), 1e6, 1e300])
def test_any_positive_fps_will_do(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps) as out:
        for number in range(5):
            out.write(grey(number), nan)
    frames = played(path)
    assert numbers(frames) == [0, 1, 2, 3, 4]
    step = min(max(1 / fps, TICK), 6 * 3600)
    assert [frame.time for frame in frames] == pytest.approx([i * step for i in range(5)], abs=5 * TICK)


@pytest.mark.parametrize(("size", "even"), [((97, 65), (98, 66)), ((96, 65), (96, 66)), ((1, 1), (2, 2))])
def test_odd_sizes_are_rounded_up(tmp_path: Path, size: tuple[int, int], even: tuple[int, int]) -> None:
    frames = write(tmp_path / "out.mp4", [grey(i, size) for i in range(3)])
    assert frames[0].image.shape == (even[1], even[0], 3)
    assert numbers(frames) == [0, 1, 2]


def test_other_sizes_are_fitted_between_black_borders(tmp_path: Path) -> None:
    frames = write(tmp_path / "out.mp4", [grey(20), grey(20, (32, 64)), grey(20, (400, 100)), grey(20)])
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    tall, wide = frames[1].image, frames[2].image
    assert tall[:, 36:60].mean() == pytest.approx(180, abs=5)
    assert max(tall[:, :28].mean(), tall[:, 68:].mean()) < 5
    assert wide[24:40].mean() == pytest.approx(180, abs=5)
    assert max(wide[:16].mean(), wide[48:].mean()) < 5


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (1, 1)),
        ((1920, 1080), (1920, 1080)),
        ((4095, 2303), (4095, 2303)),
        ((4096, 2304), (4096, 2304)),
        ((2304, 4096), (2304, 4096)),
        ((4097, 4), (4096, 4)),
        ((8192, 4096), (4096, 2048)),
        ((17_000, 400), (4096, 96)),
        ((400, 17_000), (96, 4096)),
        ((17_000, 4), (4096, 2)),
        ((6000, 6000), (3072, 3072)),
        ((100_000, 1), (4096, 2)),
    ],
)
def test_sizes_beyond_what_decoders_take_are_scaled_down(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert video_size(*size) == expected


def test_scaled_sizes_are_within_the_limits_and_keep_the_aspect() -> None:
    sides = np.random.default_rng(0).integers(2000, 60_000, (300, 2)).tolist()
    for width, height in sides:
        w, h = video_size(width, height)
        assert max(w, h) <= LONGEST_SIDE
        assert -(-w // 16) * -(-h // 16) <= MOST_BLOCKS
        assert abs(w - h * width / height) <= 1 + max(1, width / height)
        assert (w, h) == (width, height) or w % 2 == h % 2 == 0


@pytest.mark.parametrize("size", [(2, 1), (17_000, 4), (4, 17_000), (70_000, 2), (5000, 4000)])
def test_a_picture_of_any_size_is_written(tmp_path: Path, size: tuple[int, int]) -> None:
    frames = write(tmp_path / "out.mp4", [grey(i, size) for i in range(2)])
    width, height = video_size(*size)
    assert frames[0].image.shape == (height + height % 2, width + width % 2, 3)
    assert numbers(frames) == [0, 1]


def test_frames_that_wait_have_the_size_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = []
    monkeypatch.setattr(VideoWriter, "_encode", lambda self, planes, stamp: waiting.append(planes.nbytes))
    with VideoWriter(tmp_path / "out.mp4", 25) as out:
        out.write(np.zeros((6000, 6000, 3), np.uint8), 0)
    assert waiting == [3072 * 3072 * 3 // 2]


def test_sizes_may_change_to_any_other(tmp_path: Path) -> None:
    sizes = [SIZE, (5000, 1), (1, 5000), (1, 1), SIZE]
    frames = write(tmp_path / "out.mp4", [grey(20, size) for size in sizes])
    assert {frame.image.shape for frame in frames} == {(64, 96, 3)}
    assert numbers(frames[::4]) == [20, 20]


@pytest.mark.parametrize(
    "nonsense", [np.zeros((0, 5, 3), np.uint8), np.zeros((4, 4, 3), np.int64), np.zeros(7), "picture", None]
)
def test_what_is_no_picture_is_refused_and_the_file_goes_on(tmp_path: Path, nonsense: Any) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25) as out:
        out.write(grey(0), 0)
        with pytest.raises(SourceError, match="not an image"):
            out.write(nonsense, 0.04)
        out.write(grey(1), 0.08)
    assert numbers(played(tmp_path / "out.mp4")) == [0, 1]


def test_pixels_keep_their_shape(tmp_path: Path) -> None:
    for size in (SIZE, (6000, 3000)):
        with VideoWriter(tmp_path / "out.mp4", 25, Fraction(16, 11)) as out:
            out.write(grey(1, size), 0)
            out._encoder.submit(lambda: None).result()
            growing = shape_of_pixels(tmp_path / "out.mp4")
        assert growing == shape_of_pixels(tmp_path / "out.mp4") == {Fraction(16, 11)}


@pytest.mark.parametrize(
    ("aspect", "expected"),
    [(0, 1), (-2, 1), (nan, 1), (inf, 1), (256, 1), (1e-9, 1), (1, 1), (0.5, Fraction(1, 2)), (255, 255)],
)
def test_a_shape_that_no_pixel_has_counts_as_square(tmp_path: Path, aspect: float, expected: Fraction) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25, aspect) as out:
        out.write(grey(1), 0)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.streams.video[0].sample_aspect_ratio or 1) == expected


def shape_of_pixels(path: Path) -> set[Fraction]:
    """What the container and the pictures in it say."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {Fraction(stream.sample_aspect_ratio or 1), Fraction(stream.codec_context.sample_aspect_ratio or 1)}


def test_grey_images_can_be_written(tmp_path: Path) -> None:
    assert numbers(write(tmp_path / "out.mp4", [grey(i)[..., 0] for i in range(3)])) == [0, 1, 2]


def test_nothing_written_leaves_no_file(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", 25):
        pass
    assert not list(tmp_path.iterdir())


def test_an_error_while_writing_leaves_a_file_that_plays(tmp_path: Path) -> None:
    out = VideoWriter(tmp_path / "out.mp4", 25)
    with pytest.raises(KeyError), out:
        write_two_and_fail(out)
    assert numbers(list(open_frames(tmp_path / "out.mp4"))) == [0, 1]
    out.close()
    with pytest.raises(OutputError, match=r"out\.mp4: closed"):
        out.write(grey(2), 0.08)
    assert numbers(list(open_frames(tmp_path / "out.mp4"))) == [0, 1]


def write_two_and_fail(out: VideoWriter) -> None:
    out.write(grey(0), 0)
    out.write(grey(1), 0.04)
    raise KeyError


# Whatever stops it ------------------------------------------------------------------------------------------------

SETUP = f"""
import os, resource, signal, sys, types
import numpy as np
lockon = sys.modules["lockon"] = types.ModuleType("lockon")  # without the library around `video` it loads faster
lockon.__path__ = [{str(Path(lockon.__file__).parent)!r}]
from lockon.errors import OutputError
from lockon.video.writer import VideoWriter

def grey(i):
    return np.full((64, 96, 3), 20 + 8 * (i % 24), np.uint8)

def noise(i):
    return np.random.default_rng(i).integers(0, 255, (240, 320, 3), np.uint8)
"""


def in_child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code that kills or cripples its process, or of which all that it prints is wanted."""
    command = [sys.executable, "-c", SETUP + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("fps", "count"), [(25, 5), (25, 150), (1, 10), (0.01, 10), (1000, 60)])
def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path, fps: float, count: int) -> None:
    code = """
path, fps, count = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
out = VideoWriter(path, fps)
for i in range(count):
    out.write(grey(i), i / fps)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "killed.mp4"
    assert in_child(code, path, fps, count).returncode == -signal.SIGKILL
    frames = played(path)
    assert numbers(frames) == [i % 24 for i in range(len(frames))]
    second = sum(1 for i in range(count) if i / fps > (count - 1) / fps - 1)  # frames of the last second
    assert count - min(second, MAX_PENDING) <= len(frames) <= count


@pytest.fixture
def slow_child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Writes a frame for each line that it reads, tells when it was handed over, and then waits."""
    code = """
out = VideoWriter(sys.argv[1], fps=25)
for i, _ in enumerate(sys.stdin):
    out.write(grey(i), i / 25)
    print(i, flush=True)
"""
    command = [sys.executable, "-c", SETUP + code, str(tmp_path / "killed.mp4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        yield child
        child.kill()


@pytest.mark.parametrize("count", [1, 3, 10, 60])
def test_every_frame_is_in_the_file_before_the_next_one_comes(
    tmp_path: Path, slow_child: subprocess.Popen[str], count: int
) -> None:
    assert slow_child.stdin
    assert slow_child.stdout
    for number in range(count):
        slow_child.stdin.write("next\n")
        slow_child.stdin.flush()
        assert slow_child.stdout.readline() == f"{number}\n"
    while frames_in(tmp_path / "killed.mp4") < count:  # the encoder's thread needs a moment, but no other frame
        assert slow_child.poll() is None
        time.sleep(0.01)
    slow_child.kill()
    slow_child.wait()
    frames = played(tmp_path / "killed.mp4")
    assert numbers(frames) == [i % 24 for i in range(count)]
    assert numbers(list(open_frames(tmp_path / "killed.mp4"))) == [i % 24 for i in range(count)]
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(count)])


def frames_in(path: Path) -> int:
    try:
        return len(played(path))
    except av.FFmpegError:  # nothing yet
        return 0


@pytest.mark.parametrize("seed", range(4))
def test_a_process_killed_at_any_moment_leaves_whole_frames(tmp_path: Path, seed: int) -> None:
    code = """
out = VideoWriter(sys.argv[1], fps=25)
for i in range(10_000):
    out.write(noise(i), i / 25)
    print(i, flush=True)
"""
    path, told = tmp_path / "killed.mp4", random.Random(seed).randrange(5, 120)
    command = [sys.executable, "-c", SETUP + code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for _ in range(told):
            child.stdout.readline()
        child.kill()
    assert child.returncode == -signal.SIGKILL
    frames = played(path)
    assert len(frames) >= told - MAX_PENDING
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(len(frames))])


def test_every_write_cut_anywhere_leaves_whole_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put, writes = mp4.GrowingMp4._put, []

    def noted(self: mp4.GrowingMp4, place: int, content: bytes) -> None:
        writes.append((place, bytes(content)))
        put(self, place, content)

    monkeypatch.setattr(mp4.GrowingMp4, "_put", noted)
    write(tmp_path / "out.mp4", [noisy(i) for i in range(6)], [0, 0.04, 0.5, 0.54, 0.58, 2])
    header, fragments, end = writes[:2], writes[2:14], writes[14:]
    assert len(end) == 3  # an index as free space, the same as an index, and what is before it as its data
    content = bytearray(b"".join(data for place, data in header if place == 0 and len(data) > 8))
    content[:8] = header[1][1]
    path, whole = tmp_path / "cut.mp4", 0
    for number, (place, data) in enumerate([*fragments, *end]):
        # A change of a few bytes in the middle of a file is made at once or not at all.
        for length in {0, 1, 4, 7, 8, 100, len(data) // 2, len(data) - 1} if len(data) > 16 else {0}:
            path.write_bytes(content[:place] + data[:length] + content[place + length :])
            if whole:
                assert numbers(played(path)) == list(range(whole))
        content[place : place + len(data)] = data
        whole += number % 2 if number < len(fragments) else 0
    path.write_bytes(content)
    assert path.read_bytes() == (tmp_path / "out.mp4").read_bytes()
    assert numbers(played(path)) == list(range(6))


FILL = """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
out = VideoWriter(sys.argv[1], fps=25)
try:
    for i in range(200):
        out.write(noise(i), i / 25)
except OutputError as error:
    print(i, error)
if sys.argv[3] == "die":
    os._exit(0)
out.close()
out.close()
"""


@pytest.mark.parametrize("end", ["close", "die"])
@pytest.mark.parametrize("limit", [100, 200_000, 500_000, 2_000_000])
def test_a_disk_that_fills_up_leaves_the_frames_that_found_space(tmp_path: Path, limit: int, end: str) -> None:
    path = tmp_path / "big.mp4"
    child = in_child(FILL, path, limit, end)
    assert (child.returncode, child.stderr) == (0, "")
    number, _, message = child.stdout.partition(" ")
    assert message == f"{path}: cannot be written, File too large\n"
    frames = played(path) if limit > 100 else []
    assert int(number) - MAX_PENDING - 1 <= len(frames) < 199
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(len(frames))])
    assert path.exists() == (limit > 100 or end == "die")


class SmallDisk(FileIO):
    """A file for which there are only so many bytes."""

    space = 0

    def write(self, data: Any, /) -> int:
        room = self.space - self.tell()
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(memoryview(data)[:room])


def small_disk(monkeypatch: pytest.MonkeyPatch, space: int) -> None:
    monkeypatch.setattr(SmallDisk, "space", space)
    monkeypatch.setattr(writer, "FileIO", SmallDisk)


def test_a_full_disk_is_told_once_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_disk(monkeypatch, 20_000)
    path = tmp_path / "full.mp4"
    out = VideoWriter(path, 25)
    with pytest.raises(OutputError) as caught:
        write_all(out, 100)
    assert str(caught.value) == f"{path}: cannot be written, No space left on device"
    with pytest.raises(OutputError, match="failed before"):
        out.write(grey(0), 9)
    out.close()
    frames = played(path)
    assert 2 < len(frames) < 100
    assert numbers(frames) == [i % 24 for i in range(len(frames))]


def write_all(out: VideoWriter, count: int) -> None:
    for number in range(count):
        out.write(noisy(number % 24), number / 25)


def test_no_space_for_the_index_alone_leaves_all_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.mp4"
    write(path, [noisy(i) for i in range(COUNT)])
    small_disk(monkeypatch, path.stat().st_size - 100)
    with pytest.raises(OutputError, match="No space left on device"), VideoWriter(path, 25) as out:
        write_all(out, COUNT)
    assert boxes(path) == ["ftyp", "free", "moov"] + ["moof", "mdat"] * COUNT
    assert numbers(played(path)) == list(range(COUNT))


def test_an_encoder_that_fails_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, encoded = tmp_path / "out.mp4", []
    add = VideoWriter._add

    def failing(self: VideoWriter, frame: av.VideoFrame | None) -> None:
        encoded.append(frame)
        if len(encoded) > 5:
            raise av.error.ExternalError(1, "Generic error in an external library")
        add(self, frame)

    monkeypatch.setattr(VideoWriter, "_add", failing)
    with pytest.raises(OutputError, match="Generic error"), VideoWriter(path, 25) as out:
        write_all(out, 30)
    assert len(encoded) == 6
    assert boxes(path) == ["ftyp", "mdat", "moov"]
    assert numbers(played(path)) == [0, 1, 2, 3, 4]


def test_what_went_wrong_in_the_block_is_told_and_not_what_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_disk(monkeypatch, 0)
    with pytest.raises(KeyError), VideoWriter(tmp_path / "out.mp4", 25) as out:
        write_two_and_fail(out)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_wait_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = VideoWriter(tmp_path / "out.mp4", 25)
    write_all(out, 3)
    monkeypatch.setattr(out, "_wait", interrupt)
    with pytest.raises(KeyboardInterrupt), out:
        write_all(out, 1)
    assert boxes(tmp_path / "out.mp4") == ["ftyp", "mdat", "moov"]
    assert numbers(played(tmp_path / "out.mp4")) == [0, 1, 2]


def test_neither_ffmpeg_nor_x264_chatter(tmp_path: Path) -> None:
    code = """
for fps in (1e-6, 25, 1e6):
    for size in ((1, 1), (17000, 4), (4100, 40)):
        with VideoWriter(sys.argv[1], fps, 16 / 11) as out:
            for time in (0, 0, float("nan"), 1e9, 5):
                out.write(np.zeros((*size, 3), np.uint8), time)
"""
    child = in_child(code, tmp_path / "out.mp4")
    assert (child.returncode, child.stdout, child.stderr) == (0, "", "")


# Places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "Is a directory"),
        ("no/out.mp4", "No such file or directory"),
        ("a" * 300, "File name too long"),
        ("a\0b", "embedded null byte"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OutputError, match=f"cannot be written, {reason}") as caught:
        VideoWriter(tmp_path / name, 25)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "link", "dangling link", "link to a device"])
def test_only_ordinary_files_are_replaced(tmp_path: Path, kind: str) -> None:
    path, mine = tmp_path / "out.mp4", tmp_path / "mine.mp4"
    mine.write_bytes(b"my holidays")
    if kind == "pipe":
        os.mkfifo(path)  # nobody reads it: opening it would wait for ever
    else:
        targets = {"link": mine, "dangling link": tmp_path / "new", "link to a device": Path("/dev/full")}
        path.symlink_to(targets[kind])
    with pytest.raises(OutputError, match=r"out\.mp4: cannot be written, it is a link, a device or a pipe"):
        VideoWriter(path, 25)
    assert mine.read_bytes() == b"my holidays"
    assert sorted(tmp_path.iterdir()) == [mine, path]


@pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
def test_a_device_is_refused(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"no {device} here")
    before = os.stat(device)
    with pytest.raises(OutputError, match="it is a link, a device or a pipe"):
        VideoWriter(device, 25)
    assert stat.S_ISCHR(before.st_mode)
    assert os.stat(device).st_rdev == before.st_rdev


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_path_without_permission_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "out.mp4").touch(mode=0o444)
    with pytest.raises(OutputError, match="cannot be written, Permission denied"):
        VideoWriter(tmp_path / "out.mp4", 25)


def test_an_ordinary_file_is_replaced_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"x" * 100_000)
    before = path.stat().st_ino  # what a folder's records know it by
    assert numbers(write(path, [grey(1), grey(2)])) == [1, 2]
    assert path.stat().st_ino == before
    assert path.stat().st_size < 10_000


def test_a_file_that_came_in_the_place_of_an_empty_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 25):
        path.unlink()
        path.write_bytes(b"another's")
    assert path.read_bytes() == b"another's"


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
def test_fps_must_be_positive(tmp_path: Path, fps: float) -> None:
    with pytest.raises(OutputError, match="expected a positive number"):
        VideoWriter(tmp_path / "out.mp4", fps)


def test_another_encoder_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "Codec", without("libx264"))
    assert numbers(write(tmp_path / "out.mp4", [grey(i) for i in range(3)])) == [0, 1, 2]


def test_no_encoder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(av, "Codec", without("libx264", "h264"))
    with pytest.raises(OutputError, match=r"no H\.264 encoder; install PyAV"):
        VideoWriter(tmp_path / "out.mp4", 25)


def without(*names: str) -> Callable[[str, str], av.Codec]:
    codec = av.Codec

    def find(name: str, mode: Any) -> av.Codec:
        if name in names:
            raise av.codec.codec.UnknownCodecError(name)
        return codec(name, mode)

    return find
