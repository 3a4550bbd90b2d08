"""What the command line writes over, which is nothing of the user's, and how it ends."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lockon.track import TrackWriter
from lockon.video import open_frames
from tests import scenes
from tests.test_cli import BOX, Command, Ran, clip, command, lines

__all__ = ["clip", "command"]  # fixtures
LOCKON = [sys.executable, "-m", "lockon"]


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_refused(ran: Ran, says: str) -> None:
    assert ran.code == 1
    assert says in ran.err
    assert ran.err.count("\n") == 1


# what is there already ---------------------------------------------------------------------------------------------


def test_the_source_and_the_box_file_are_never_written_over(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clip.txt").write_text(BOX + "\n")
    before = digests(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert_refused(command("track", "clip.mp4", "--box-file", "clip.txt", "--out", "."), "it is an input")
    assert digests(tmp_path) == before


def test_a_box_file_in_the_output_folder_is_never_written_over(command: Command, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "clip.txt").write_text(BOX + "\n")
    assert_refused(command("track", clip, "--box-file", out / "clip.txt", "--out", out), "it is an input")
    assert (out / "clip.txt").read_text() == BOX + "\n"


def test_a_link_to_the_source_is_not_written_through(command: Command, clip: Path, tmp_path: Path) -> None:
    before, out = clip.read_bytes(), tmp_path / "out"
    out.mkdir()
    (out / "clip.mp4").symlink_to(clip)
    assert_refused(command("track", clip, "--box", BOX, "--out", out), "it is an input")
    assert clip.read_bytes() == before


@pytest.mark.parametrize("name", ["clip.mp4", "clip.txt", "clip.jsonl"])
def test_files_of_the_users_are_never_written_over(command: Command, clip: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("a month's work")
    assert_refused(command("track", clip, "--box", BOX, "--out", out), f"{name}: is there already")
    assert (out / name).read_text() == "a month's work"
    assert [path.name for path in out.iterdir() if path.is_file()] == [name]


def test_the_pictures_of_a_data_set_are_never_written_over(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "img"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number:08d}.jpg").write_bytes(scenes.jpeg(scenes.picture(number)[0]))
    before = digests(folder)
    ran = command("track", folder, "--box", BOX, "--every-frame-image", "--out", tmp_path)
    assert_refused(ran, "img: is there already and holds files")
    assert digests(folder) == before


def test_the_same_command_may_run_again(command: Command, clip: Path, tmp_path: Path) -> None:
    run = ("track", clip, "--box", BOX, "--out", tmp_path / "out")
    assert command(*run).code == 0
    assert command(*run, "--start", 4).code == 0
    assert len(lines(tmp_path / "out" / "clip.txt")) == 6


def test_results_of_sources_of_one_name_are_told_apart(command: Command, tmp_path: Path) -> None:
    for sequence in ("Basketball", "Biker"):
        (tmp_path / sequence / "img").mkdir(parents=True)
        for number in range(2):
            data = scenes.jpeg(scenes.picture(number)[0])
            (tmp_path / sequence / "img" / f"{number:04d}.jpg").write_bytes(data)
    out = tmp_path / "out"
    assert command("track", tmp_path / "Basketball" / "img", "--box", BOX, "--out", out).code == 0
    before = digests(out)
    for _ in range(2):
        ran = command("track", tmp_path / "Biker" / "img", "--box", BOX, "--out", out)
        assert ran.code == 0, ran.err
        assert str(out / "img_2.txt") in ran.out
        assert before.items() <= digests(out).items()
    assert sorted(path.name for path in out.glob("*.txt")) == ["img.txt", "img_2.txt"]
    before = digests(out)
    assert command("track", tmp_path / "Basketball" / "img", "--box", BOX, "--out", out).code == 0
    assert digests(out)["img_2.txt"] == before["img_2.txt"]


def test_two_runs_into_one_folder_do_not_mix(command: Command, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with TrackWriter(out, "clip", 1, 25.0, maker=f"track {clip}"):
        assert_refused(command("track", clip, "--box", BOX, "--out", out), "another run is writing clip here")
    assert command("track", clip, "--box", BOX, "--out", out).code == 0


def test_no_video_is_written_where_none_is_wanted(command: Command, clip: Path, tmp_path: Path) -> None:
    ran = command("track", clip, "--box", BOX, "--out", tmp_path / "out", "--no-video")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in (tmp_path / "out").glob("clip*")) == ["clip.jsonl", "clip.txt"]
    assert "clip.mp4" not in ran.out


# the box file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf34,34,33,33\r\n", b"34 34\t33;33\r", b"\n34,34,33,33"])
def test_box_files_of_every_editor_are_read(command: Command, clip: Path, tmp_path: Path, text: bytes) -> None:
    (tmp_path / "box.txt").write_bytes(text)
    ran = command("track", clip, "--box-file", tmp_path / "box.txt", "--end", 2, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert lines(tmp_path / "out" / "clip.txt")[0] == "34.00,34.00,33.00,33.00"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is empty"),
        (b"34,34,33,33\nnone\n", "box.txt, line 2"),
        ("34,34,33,33".encode("utf-16"), "UTF-16"),
        (b"\xff\x00\x80", "UTF-8"),
    ],
)
def test_box_files_that_are_none_are_told(command: Command, clip: Path, tmp_path: Path, text: bytes, says: str) -> None:
    (tmp_path / "box.txt").write_bytes(text)
    assert_refused(command("track", clip, "--box-file", tmp_path / "box.txt", "--out", tmp_path / "out"), says)


# standard streams --------------------------------------------------------------------------------------------------


def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [*LOCKON, *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)  # type: ignore[call-overload]


def test_a_name_that_the_terminals_encoding_lacks(clip: Path, tmp_path: Path) -> None:
    clip.rename(tmp_path / "\u89c6\u9891 01.mp4")
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    source, out = tmp_path / "\u89c6\u9891 01.mp4", tmp_path / "out"
    ran = run("track", source, "--box", BOX, "--out", out, stdout=subprocess.PIPE, env=environment)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "\\u89c6\\u9891 01.mp4" in ran.stdout
    assert len(lines(out / "\u89c6\u9891 01.txt")) == 10


def test_a_summary_that_cannot_be_printed_does_not_undo_a_good_run(clip: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        ran = run("track", clip, "--box", BOX, "--out", tmp_path / "out", stdout=full)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(lines(tmp_path / "out" / "clip.txt")) == 10


def test_a_closed_standard_output_does_not_undo_a_good_run(clip: Path, tmp_path: Path) -> None:
    ran = run("track", clip, "--box", BOX, "--out", tmp_path / "out", preexec_fn=lambda: os.close(1))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(lines(tmp_path / "out" / "clip.txt")) == 10


def test_a_list_that_cannot_be_printed_is_a_failure() -> None:
    with open("/dev/full", "w") as full:
        ran = run("models", "stark-tiny", stdout=full)
    assert ran.returncode == 1
    assert ran.stderr == "lockon: standard output: cannot be written: No space left on device\n"


def test_a_reader_who_leaves_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        ran = run("models", "stark-tiny", stdout=closed)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_names_cannot_imitate_messages(command: Command, tmp_path: Path) -> None:
    name = "a\x1b[2J\nlockon: all is well.mp4"
    scenes.video(tmp_path / name, frames=2)
    ran = command("track", tmp_path / name, "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "\x1b" not in ran.out + ran.err
    assert not any(line.startswith("lockon: all is well") for line in ran.out.splitlines())


def test_markup_in_names_is_text(command: Command, tmp_path: Path) -> None:
    scenes.video(tmp_path / "[red]a.mp4", frames=2)
    ran = command("track", tmp_path / "[red]a.mp4", "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert "[red]a.mp4" in ran.out


# signals -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A video that takes far longer than it takes to send a signal."""
    scenes.video(tmp_path / "long.mp4", frames=2000)
    return tmp_path / "long.mp4"


def started(source: Path, out: Path) -> subprocess.Popen[bytes]:
    """A run that has written some frames."""
    child = subprocess.Popen(
        [*LOCKON, "track", str(source), "--box", BOX, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # under nohup it is ignored
    )
    boxes = out / "long.txt"
    while not (boxes.exists() and len(lines(boxes)) > 3):
        assert child.poll() is None
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.02)
    return child


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_leaves_complete_results(endless: Path, tmp_path: Path, name: str) -> None:
    child = started(endless, tmp_path / "out")
    number = getattr(signal, name)
    child.send_signal(number)
    out, err = child.communicate()
    assert (child.returncode, err) == (128 + number, f"lockon: ended by {name}\n".encode())
    boxes, rows = lines(tmp_path / "out" / "long.txt"), lines(tmp_path / "out" / "long.jsonl")
    with open_frames(tmp_path / "out" / "long.mp4") as video:
        shown = len(list(video))
    assert 3 < len(boxes) < 2000
    assert max(len(boxes), len(rows), shown) - min(len(boxes), len(rows), shown) <= 1
    assert b"frames per second" in out


@pytest.mark.parametrize("frames", [1, 7, 40])
def test_a_killed_run_can_be_repeated(endless: Path, tmp_path: Path, frames: int) -> None:
    out = tmp_path / "out"
    child = started(endless, out)
    while len(lines(out / "long.txt")) < frames:
        assert child.poll() is None
    child.kill()
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    again = ("track", endless, "--box", BOX, "--end", 30, "--quiet", "--out")
    assert run(*again, out, stdout=subprocess.PIPE).returncode == 0
    assert run(*again, tmp_path / "fresh", stdout=subprocess.PIPE).returncode == 0
    assert (out / "long.txt").read_bytes() == (tmp_path / "fresh" / "long.txt").read_bytes()
    untimed = [
        [{key: value for key, value in json.loads(row).items() if key != "ms"} for row in lines(folder / "long.jsonl")]
        for folder in (out, tmp_path / "fresh")
    ]
    assert untimed[0] == untimed[1]
    assert np.loadtxt(out / "long.txt", delimiter=",").shape == (30, 4)
