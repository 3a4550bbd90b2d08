"""Files that are made: whole or not at all, and never in the place of what the user has."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lockon.errors import DataError, LockonError, OutputError, first_few
from lockon.files import Outputs, lock, whole_file, write_whole

MAKER = "track clip.mp4"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# whole files -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\0\1", b"\0\1"), ("a\nb\u00e9", "a\nb\u00e9".encode()), (["a", "b"], b"a\nb\n")]
)
def test_a_whole_file_holds_what_it_was_given(
    tmp_path: Path, content: bytes | str | list[str], expected: bytes
) -> None:
    write_whole(tmp_path / "new" / "file.txt", content)
    assert (tmp_path / "new" / "file.txt").read_bytes() == expected
    assert names(tmp_path / "new") == ["file.txt"]


def test_files_with_names_like_those_of_unfinished_ones_stay(tmp_path: Path) -> None:
    kept = {name: f"{name} of the user's" for name in ("mine.tmp", "mine.part", ".mine.part", "mine.safetensors.tmp")}
    for name, text in kept.items():
        (tmp_path / name).write_text(text)
    write_whole(tmp_path / "mine.safetensors", b"new")
    assert {name: (tmp_path / name).read_text() for name in kept} == kept
    assert names(tmp_path) == sorted([*kept, "mine.safetensors"])


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")

    def write() -> None:
        with whole_file(tmp_path / "file") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    (tmp_path / "file").write_text("old")
    code = f"""
import resource, signal
from pathlib import Path
from lockon.errors import OutputError
from lockon.files import write_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_whole(Path({str(tmp_path / "file")!r}), bytes(5000))
except OutputError as error:
    print(error)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"{tmp_path / 'file'}: cannot be written: File too large"
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_existing_file_is_kept_where_that_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(OutputError, match="is there already"):
        write_whole(tmp_path / "file", "new", replace=False)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_file_that_comes_meanwhile_is_kept_too(tmp_path: Path) -> None:

    def write() -> None:
        with whole_file(tmp_path / "file", replace=False) as file:
            file.write(b"new")
            (tmp_path / "file").write_text("of another")

    with pytest.raises(OutputError, match="is there already"):
        write()
    assert (tmp_path / "file").read_text() == "of another"
    assert names(tmp_path) == ["file"]


def test_file_systems_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    write_whole(tmp_path / "file", "new", replace=False)
    assert names(tmp_path) == ["file"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("old")
    (tmp_path / "file").symlink_to("precious")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "precious").read_text() == "old"
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("replace", [True, False])
def test_a_folder_in_the_place_of_a_file_is_told(tmp_path: Path, replace: bool) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OutputError, match="file: "):
        write_whole(tmp_path / "file", "new", replace=replace)
    assert names(tmp_path) == ["file"]


# claimed names -----------------------------------------------------------------------------------------------------


def make(folder: Path, text: str, maker: str = MAKER) -> None:
    """One whole run."""
    with Outputs(folder, "clip", maker, ["clip.txt", "clip.jsonl"]) as outputs, outputs.create("clip.txt") as file:
        file.write(text.encode())


def test_a_later_run_of_the_same_replaces_what_the_earlier_made(tmp_path: Path) -> None:
    for text in ("one", "two", "three"):
        make(tmp_path, text)
        assert (tmp_path / "clip.txt").read_text() == text


def test_what_an_earlier_run_made_stays_until_it_is_replaced(tmp_path: Path) -> None:
    make(tmp_path, "one")
    with Outputs(tmp_path, "clip", MAKER, ["clip.txt", "clip.jsonl"]):
        assert (tmp_path / "clip.txt").read_text() == "one"  # and the run fails before it writes
    make(tmp_path, "two")
    assert (tmp_path / "clip.txt").read_text() == "two"


def test_what_is_changed_during_a_run_stays(tmp_path: Path) -> None:
    make(tmp_path, "one")
    with Outputs(tmp_path, "clip", MAKER, ["clip.txt"]) as outputs:
        (tmp_path / "clip.txt").write_text("one, and a note of the user's")
        with pytest.raises(OutputError, match=r"clip\.txt: is there already"):
            outputs.create("clip.txt")
    assert (tmp_path / "clip.txt").read_text() == "one, and a note of the user's"


def test_several_files_replace_those_of_an_earlier_run_all_at_once(tmp_path: Path) -> None:
    for contents in ({"a": b"1", "b": b"2"}, {"b": b"3", "c": b"4"}):
        with Outputs(tmp_path, "report", "report", "abc") as outputs:
            outputs.write_all(contents)
        assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path) if name != ".lockon"} == contents


@pytest.mark.parametrize("file", ["clip.txt", "clip.jsonl"])
def test_a_file_that_no_run_made_is_in_the_way(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("of the user's")
    with pytest.raises(OutputError, match=rf"{file}: is there already and was not made"):
        make(tmp_path, "new")
    assert (tmp_path / file).read_text() == "of the user's"


def test_what_was_made_of_another_source_is_in_the_way(tmp_path: Path) -> None:
    make(tmp_path, "one")
    with pytest.raises(OutputError, match="was not made by this command from this source"):
        make(tmp_path, "two", "track other/clip.mp4")
    assert (tmp_path / "clip.txt").read_text() == "one"


def test_what_was_changed_since_is_in_the_way(tmp_path: Path) -> None:
    make(tmp_path, "one")
    (tmp_path / "clip.txt").write_text("one, and notes of the user's")
    with pytest.raises(OutputError, match=r"clip\.txt"):
        make(tmp_path, "two")


def test_what_was_put_in_its_place_is_in_the_way(tmp_path: Path) -> None:
    make(tmp_path, "one")
    (tmp_path / "mine").write_text("two")
    (tmp_path / "mine").replace(tmp_path / "clip.txt")
    with pytest.raises(OutputError, match=r"clip\.txt"):
        make(tmp_path, "three")
    assert (tmp_path / "clip.txt").read_text() == "two"


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test_what_is_no_file_is_in_the_way(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "clip.txt"
    (tmp_path / "precious").write_text("old")
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("precious" if kind == "link" else "nowhere")
    with pytest.raises(OutputError, match=r"clip\.txt: is there already"):
        make(tmp_path, "new")
    assert (tmp_path / "precious").read_text() == "old"
    assert not (tmp_path / "nowhere").exists()


def test_a_link_to_an_input_is_called_an_input(tmp_path: Path) -> None:
    (tmp_path / "holiday.mp4").write_text("film")
    (tmp_path / "clip.txt").hardlink_to(tmp_path / "holiday.mp4")
    with pytest.raises(OutputError, match="it is an input"):
        Outputs(tmp_path, "clip", MAKER, ["clip.txt"], [tmp_path / "holiday.mp4"])
    assert (tmp_path / "holiday.mp4").read_text() == "film"


def test_a_killed_run_is_replaced_too(tmp_path: Path) -> None:
    code = f"""
import os
from pathlib import Path
from lockon.files import Outputs
outputs = Outputs(Path({str(tmp_path)!r}), "clip", {MAKER!r}, ["clip.txt", "clip.jsonl"])
file = outputs.create("clip.txt")
file.write(b"half")
file.flush()
os.kill(os.getpid(), 9)
"""
    ran = subprocess.run([sys.executable, "-c", code], check=False)
    assert ran.returncode == -signal.SIGKILL
    assert (tmp_path / "clip.txt").read_text() == "half"
    make(tmp_path, "whole")
    assert (tmp_path / "clip.txt").read_text() == "whole"


def test_two_runs_cannot_have_the_same_names_at_once(tmp_path: Path) -> None:
    with Outputs(tmp_path, "clip", MAKER, ["clip.txt"]) as outputs:
        with outputs.create("clip.txt") as file:
            file.write(b"one")
        with pytest.raises(OutputError, match="another run is writing clip here"):
            Outputs(tmp_path, "clip", MAKER, ["clip.txt"])
    assert (tmp_path / "clip.txt").read_text() == "one"
    make(tmp_path, "two")


def test_a_refused_run_leaves_the_notes_of_the_earlier_one(tmp_path: Path) -> None:
    make(tmp_path, "one")
    with pytest.raises(OutputError):
        make(tmp_path, "two", "another")
    make(tmp_path, "three")
    assert (tmp_path / "clip.txt").read_text() == "three"


@pytest.mark.parametrize(
    "notes",
    ["", "nonsense", "[]", "{}", '{"maker": "M", "files": 3}', "[" * 100_000, '{"maker":"M","files":{"clip.txt":7}}'],
)
def test_damaged_notes_make_nothing_fair_game(tmp_path: Path, notes: str) -> None:
    make(tmp_path, "one")
    (tmp_path / ".lockon" / "clip.json").write_text(notes.replace('"M"', f'"{MAKER}"'))
    with pytest.raises(OutputError, match=r"clip\.txt: is there already"):
        make(tmp_path, "two")


def test_a_lock_is_held_until_its_file_is_closed(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as first:
        assert lock(first)
        with (tmp_path / "a").open("w") as second:
            assert not lock(second)
    with (tmp_path / "a").open("w") as third:
        assert lock(third)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        make(tmp_path, "one")


def test_a_folder_on_a_file_system_that_may_not_be_written() -> None:
    with pytest.raises(OutputError, match="cannot write results here"):
        make(Path("/proc/lockon"), "one")


# messages ----------------------------------------------------------------------------------------------------------


def test_control_characters_of_names_are_escaped_in_messages() -> None:
    error = DataError("a\x1b[2Jb\r\nlockon: all is well\u202e\x00.txt is missing")
    assert str(error) == r"a\x1b[2Jb\r\nlockon: all is well\u202e\x00.txt is missing"
    assert str(LockonError("Stra\u00dfe \u89c6\u9891 \U0001f3a5.mp4")) == "Stra\u00dfe \u89c6\u9891 \U0001f3a5.mp4"


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://joe:hunter2@cam/live",
        "rtsp://joe:hun@ter2@cam:554/live",
        "http://cam/video.cgi?user=joe&password=hunter2",
        "rtsp://cam/user=joe_password=hunter2_channel=1.sdp",
        "http://cam/live.m3u8?token=hunter2",
    ],
)
def test_secrets_in_addresses_are_masked_in_messages(address: str) -> None:
    text = str(LockonError(f"{address}: no answer"))
    assert "***" in text
    assert "cam" in text
    assert not any(secret in text for secret in ("hunter2", "ter2", "joe"))


def test_the_first_few_are_named_and_the_rest_counted() -> None:
    assert first_few("abc") == "a, b, c"
    assert first_few("abcdefg", 3) == "a, b, c, and 4 more"
