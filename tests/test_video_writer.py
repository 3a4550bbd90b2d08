"""Frames out. Files are read back with `open_frames` or, where its checks would be in the way, with PyAV alone."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import lockon
from lockon.errors import OutputError
from lockon.pictures import Image
from lockon.video import Frame, VideoWriter, open_frames
from tests.clips import COUNT, grey, numbers


def write(path: Path, pictures: Sequence[Image], times: Sequence[float] | None = None) -> list[Frame]:
    with VideoWriter(path, fps=25) as out:
        for number, picture in enumerate(pictures):
            out.write(picture, number / 25 if times is None else times[number])
    return list(open_frames(path))


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
        container.seek(0)
    assert b"moof" not in (tmp_path / "out.mp4").read_bytes()[-200:]


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


def in_child(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code that kills or cripples its process, with an empty `lockon` around `video`, which loads faster."""
    setup = f"""
import os, resource, signal, sys, types
import numpy as np
lockon = sys.modules["lockon"] = types.ModuleType("lockon")
lockon.__path__ = [{str(Path(lockon.__file__).parent)!r}]
from lockon.video.writer import VideoWriter
"""
    command = [sys.executable, "-c", setup + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path) -> None:
    code = """
out = VideoWriter(sys.argv[1], fps=25)
for i in range(150):
    out.write(np.full((64, 96, 3), 20 + 8 * (i % 24), np.uint8), i / 25)
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / "killed.mp4"
    assert in_child(code, path).returncode == -signal.SIGKILL
    frames = list(open_frames(path))
    assert numbers(frames) == [i % 24 for i in range(len(frames))]
    assert len(frames) > 150 - 2 * 25 - 25  # a fragment of a second, and what x264 looks ahead


FILL = """
try:
    with VideoWriter(sys.argv[1], fps=25) as out:
        for i in range(200):
            out.write(np.random.default_rng(i).integers(0, 255, (240, 320, 3), np.uint8), i / 25)
except Exception as error:
    print(i, type(error).__name__, error)
"""


def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    limit = "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (500000,) * 2)\n"
    path = tmp_path / "big.mp4"
    child = in_child(limit + FILL, path)
    assert child.returncode == 0, child.stderr
    number, _, message = child.stdout.partition(" ")
    assert 0 < int(number) < 199
    assert message == f"OutputError {path}: cannot be written, File too large\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    path = tmp_path / "full.mp4"
    path.symlink_to("/dev/full")
    child = in_child(FILL, path)
    assert child.returncode == 0, child.stderr
    assert child.stdout == f"0 OutputError {path}: cannot be written, No space left on device\n"


@pytest.mark.parametrize(("name", "reason"), [("", "Is a directory"), ("no/out.mp4", "No such file or directory")])
def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(OutputError, match=f"cannot be written, {reason}") as caught:
        VideoWriter(tmp_path / name, 25)
    assert str(tmp_path / name) in str(caught.value)


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
