"""Folders of results: whole files, read strictly, of one configuration, claimed by one process at a time."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from lockon.errors import DataError, OutputError
from lockon.evaluation.results import Claim, is_complete, open_folder, read_config, read_trace, write_trace
from lockon.evaluation.sequences import Trace

BOXES = np.array([[1, 2, 30, 40], [1.23456, 2, 30, 40], [3, -4.5, 30, 40]])
TRACE = Trace(BOXES, np.array([0.5, 0.01, 0.02]), np.array([1, 0.75, 0.5]), np.array([True, True, False]))
SILENT = Trace(BOXES, np.full(3, np.nan), np.full(3, np.nan), np.ones(3, bool))


def test_the_files_are_those_of_the_got10k_toolkit(tmp_path: Path) -> None:
    write_trace(tmp_path, "car", TRACE)
    assert (tmp_path / "car.txt").read_text().splitlines()[1] == "1.2346,2.0000,30.0000,40.0000"
    assert (tmp_path / "times" / "car_time.txt").read_text() == "0.50000000\n0.01000000\n0.02000000\n"
    assert (tmp_path / "scores" / "car_score.txt").read_text().splitlines()[2] == "0.50000000"
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {
        "car.txt",
        "car_time.txt",
        "car_score.txt",
    }


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_trace(tmp_path, "car", TRACE)
    trace = read_trace(tmp_path, "car", 3)
    np.testing.assert_allclose(trace.boxes, TRACE.boxes, atol=5e-5)
    np.testing.assert_array_equal(trace.seconds, TRACE.seconds)
    np.testing.assert_array_equal(trace.scores, TRACE.scores)


def test_a_tracker_without_a_score_has_no_file_of_scores(tmp_path: Path) -> None:
    write_trace(tmp_path, "car", SILENT)
    assert not (tmp_path / "scores").exists()
    assert np.isnan(read_trace(tmp_path, "car", 3).scores).all()


def test_rotated_boxes_have_a_file_of_their_own(tmp_path: Path) -> None:
    polygon = ((0.0, 1.0), (2.0, 1.0), (2.0, 3.0), (0.0, 3.0))
    write_trace(tmp_path, "car", TRACE, [polygon] * 3)
    line = "0.0000,1.0000,2.0000,1.0000,2.0000,3.0000,0.0000,3.0000\n"
    assert (tmp_path / "polygons" / "car.txt").read_text() == 3 * line


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1,2,3,4\n" * 2, "car.txt: 2 lines, but the sequence has 3 frames; remove the file and run again"),
        ("1,2,3,4\n1,2,3\n1,2,3,4\n", "car.txt, line 2: 3 numbers in place of 4"),
        ("1,2,3,4\n1,2,x,4\n1,2,3,4\n", "car.txt: could not convert string to float: 'x'"),
        ("1,2,3,4\n1,2,nan,4\n1,2,3,4\n", "car.txt, line 2: not finite"),
        ("1,2,3,4\n1,2,inf,4\n1,2,3,4\n", "car.txt, line 2: not finite"),
        ("1,2,3,4\n1,2,-3,4\n1,2,3,4\n", "car.txt, line 2: a negative size"),
        ("", "car.txt: 0 lines"),
        ("1,2,3,4\n\xff\n", "car.txt: 'utf-8' codec"),
    ],
)
def test_a_file_that_is_not_as_written_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "car.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_trace(tmp_path, "car", 3)
    assert fault in str(caught.value)


def test_a_missing_result_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"car\.txt: cannot be read: No such file"):
        read_trace(tmp_path, "car", 3)


def test_a_sequence_of_which_a_file_fails_is_not_complete_and_others_stay(tmp_path: Path) -> None:
    write_trace(tmp_path, "car", TRACE)
    before = (tmp_path / "times" / "car_time.txt").read_text()

    (tmp_path / "scores").rename(tmp_path / "gone")
    (tmp_path / "scores").write_text("in the way")
    with pytest.raises(OutputError, match="bus_score"):
        write_trace(tmp_path, "bus", TRACE)
    assert not is_complete(tmp_path, "bus")
    assert is_complete(tmp_path, "car")
    assert (tmp_path / "times" / "car_time.txt").read_text() == before
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda number: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(OutputError, match=r"car_time\.txt: cannot be written: No space left on device"):
        write_trace(tmp_path, "car", TRACE)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


CONFIG = {"tracker": "one", "settings": {"rate": 0.5}, "machine": "here", "started": "now"}


def test_a_folder_tells_how_its_results_were_made(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert folder == tmp_path / "otb2015" / "one"
    assert json.loads((folder / "run.json").read_text()) == CONFIG


def test_the_same_configuration_goes_on_elsewhere_and_later(tmp_path: Path) -> None:
    first = open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert open_folder(tmp_path, "otb2015", "one", CONFIG | {"machine": "there", "started": "later"}) == first


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"settings": {"rate": 0.6}}, "settings is {'rate': 0.5} there and {'rate': 0.6} now"),
        ({"weights": "abc"}, "weights is None there and 'abc' now"),
    ],
)
def test_another_configuration_is_refused(tmp_path: Path, change: dict[str, object], told: str) -> None:
    open_folder(tmp_path, "otb2015", "one", CONFIG)
    with pytest.raises(DataError) as caught:
        open_folder(tmp_path, "otb2015", "one", CONFIG | change)
    assert told in str(caught.value)
    assert "choose another --out" in str(caught.value)


def test_results_without_a_configuration_are_left_alone(tmp_path: Path) -> None:
    write_trace(tmp_path / "otb2015" / "one", "car", TRACE)
    with pytest.raises(DataError, match=r"no run\.json .*car\.txt"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)


@pytest.mark.parametrize("name", ["notes.txt", "img", "times", "00000001.jpg", ".hidden"])
def test_a_folder_that_no_run_made_is_left_alone(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "otb2015" / "one"
    (folder / name).mkdir(parents=True)
    with pytest.raises(DataError, match=r"has no run\.json to say how what is there was made") as caught:
        open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert name in str(caught.value)
    assert [path.name for path in folder.iterdir()] == [name]


def test_what_a_run_leaves_that_is_killed_at_its_beginning_is_no_hindrance(tmp_path: Path) -> None:
    folder = tmp_path / "otb2015" / "one"
    (folder / ".claims").mkdir(parents=True)
    (folder / ".claims" / "run.json").touch()
    (folder / ".a_b3d5fg.part").write_text("{")
    open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert sorted(path.name for path in folder.rglob("*")) == [".claims", "run.json"]


def test_unfinished_files_are_removed_once_nobody_works_there(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    write_trace(folder, "car", TRACE)
    left = [folder / ".a_b3d5fg.part", folder / "times" / ".abcdefgh.part"]
    kept = [folder / "mine.part", folder / ".short.part", folder / "times" / ".abcdefgh.txt"]
    for file in (*left, *kept):
        file.write_text("1")
    busy = Claim.take(folder, "bus")
    assert busy is not None
    open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert all(file.exists() for file in (*left, *kept))
    busy.release()
    open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert not any(file.exists() for file in left)
    assert all(file.exists() for file in kept)
    assert is_complete(folder, "car")


def test_nor_where_locks_say_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    (folder / ".a_b3d5fg.part").write_text("1")
    monkeypatch.setattr("lockon.evaluation.results.lock", lambda file: True)
    open_folder(tmp_path, "otb2015", "one", CONFIG)
    assert (folder / ".a_b3d5fg.part").exists()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[1, 2]", "it should be an object of settings, not list"),
        (b"null", "it should be an object of settings, not NoneType"),
        (b'"text"', "it should be an object of settings, not str"),
        (b"{", "it is not JSON"),
        (b"", "it is not JSON"),
        (b'{"settings": NaN}', "it is not JSON (NaN is no number)"),
        (b'{"settings": -Infinity}', "it is not JSON (-Infinity is no number)"),
        (b"[" * 200_000, "it is not JSON"),
        (b"\x80\x00\xff", "it is not a text"),
        (b" " * 2_000_000, "it is larger than 1048576 bytes"),
    ],
)
def test_a_record_that_is_none_is_one_clear_error(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "otb2015" / "one").mkdir(parents=True)
    (tmp_path / "otb2015" / "one" / "run.json").write_bytes(content)
    with pytest.raises(DataError) as caught:
        open_folder(tmp_path, "otb2015", "one", CONFIG)
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}/otb2015/one/run.json: cannot be read: ")
    assert fault in told
    assert len(told) < 400


def test_settings_of_other_types_are_another_configuration(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    (folder / "run.json").write_text('{"tracker": ["one"], "settings": 3}')
    with pytest.raises(DataError, match=r"tracker is \['one'\] there and 'one' now; settings is 3 there and"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)


def test_a_record_that_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "otb2015" / "one"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "run.json")
    with pytest.raises(DataError, match=r"run\.json: cannot be read: not a file"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)
    (folder / "run.json").unlink()
    (folder / "run.json").mkdir()
    with pytest.raises(DataError, match=r"run\.json: cannot be read: not a file"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)


@pytest.mark.parametrize("name", ["times", "scores", "polygons", ".claims"])
def test_no_folder_of_results_is_a_link(tmp_path: Path, name: str) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "car_time.txt").write_text("mine")
    if (folder / name).exists():
        (folder / name).rmdir()
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(OutputError, match="is a link, and results are not written through links"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)
    with pytest.raises(OutputError, match="is a link, and results are not written through links"):
        write_trace(folder, "car", TRACE)
    assert [file.read_text() for file in elsewhere.iterdir()] == ["mine"]


def test_a_link_in_the_place_of_a_result_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    folder = open_folder(tmp_path, "otb2015", "one", CONFIG)
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (folder / "times").mkdir()
    for link in (folder / "car.txt", folder / "times" / "car_time.txt"):
        link.symlink_to(mine)
    write_trace(folder, "car", TRACE)
    assert mine.read_text() == "mine"
    assert not (folder / "car.txt").is_symlink()
    assert read_trace(folder, "car", 3).boxes.shape == (3, 4)


def test_a_claim_neither_follows_a_link_nor_empties_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    (tmp_path / ".claims").mkdir()
    (tmp_path / ".claims" / "car").symlink_to(mine)
    with pytest.raises(OutputError, match="is a link"):
        Claim.take(tmp_path, "car")
    (tmp_path / ".claims" / "bus").write_text("mine, too")
    claim = Claim.take(tmp_path, "bus")
    assert claim is not None
    claim.release()
    assert (mine.read_text(), (tmp_path / ".claims" / "bus").read_text()) == ("mine", "mine, too")
    os.mkfifo(tmp_path / ".claims" / "van")
    with pytest.raises(OutputError, match="it is not a file"):
        Claim.take(tmp_path, "van")


@pytest.mark.parametrize(
    "name", ["../car", "/tmp/car", "a/b", "a\\b", "..", ".", "", "c\x00r", "c\nr", "C:car", "c" * 300]
)
def test_a_name_that_is_a_path_reaches_no_file(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "car.txt").write_text("1,2,3,4\n" * 3)
    for use in (
        lambda: is_complete(inside, name),
        lambda: write_trace(inside, name, TRACE),
        lambda: read_trace(inside, name, 3),
        lambda: Claim.take(inside, name),
    ):
        with pytest.raises(DataError, match="cannot name a sequence") as caught:
            use()
        assert len(str(caught.value)) < 400
    assert not list(inside.iterdir())


def test_names_of_real_sequences_are_names(tmp_path: Path) -> None:
    for name in ("Human4-2", "GOT-10k_Test_000001", "-3TIfnTSM6c_1", "..hack", "two words", "caf\u00e9", "a.b", "CON"):
        write_trace(tmp_path, name, TRACE)
        assert is_complete(tmp_path, name)


def test_something_in_the_place_of_a_result_is_told(tmp_path: Path) -> None:
    (tmp_path / "car.txt").mkdir()
    os.mkfifo(tmp_path / "bus.txt")
    (tmp_path / "van.txt").symlink_to(tmp_path / "gone")
    for name, fault in (("car", "not a file"), ("bus", "not a file"), ("van", "a link to nothing")):
        with pytest.raises(DataError, match=rf"{name}\.txt: is .*{fault}"):
            is_complete(tmp_path, name)
    with pytest.raises(DataError, match=r"bus\.txt: cannot be read: not a file"):
        read_trace(tmp_path, "bus", 3)


@pytest.mark.parametrize("box", [(np.nan, 1, 2, 3), (1, np.inf, 2, 3), (1, 2, -1, 3)])
def test_a_box_that_is_none_is_not_written(tmp_path: Path, box: tuple[float, ...]) -> None:
    boxes = BOXES.copy()
    boxes[1] = box
    with pytest.raises(DataError, match=r"car, frame 2: .* is no box, and no result is written"):
        write_trace(tmp_path, "car", replace(TRACE, boxes=boxes))
    assert not list(tmp_path.iterdir())


def test_a_record_never_has_a_number_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        open_folder(tmp_path, "otb2015", "one", CONFIG | {"settings": {"rate": float("nan")}})


def test_out_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="cannot hold results: Not a directory"):
        open_folder(tmp_path / "out", "otb2015", "one", CONFIG)


def test_a_record_is_what_one_of_two_runs_that_begin_at_once_wrote(tmp_path: Path) -> None:
    """The other waits for it, and compares."""
    (tmp_path / "otb2015" / "one").mkdir(parents=True)
    first = Claim.take(tmp_path / "otb2015" / "one", "run.json")
    assert first is not None
    faults: list[Exception] = []

    def second() -> None:
        try:
            open_folder(tmp_path, "otb2015", "one", CONFIG | {"settings": {}})
        except DataError as error:
            faults.append(error)

    thread = Thread(target=second)
    thread.start()
    (tmp_path / "otb2015" / "one" / "run.json").write_text(json.dumps(CONFIG))
    first.release()
    thread.join()
    assert ["settings is {'rate': 0.5} there and {} now" in str(fault) for fault in faults] == [True]
    assert read_config(tmp_path / "otb2015" / "one") == CONFIG


HOLD = "import sys, time; from lockon.evaluation.results import *; from pathlib import Path\n"
HOLD += "held = Claim.take(Path(sys.argv[1]), 'car'); print(held is not None, flush=True); time.sleep(600)"


def test_a_claim_is_one_processs_until_it_dies(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert Claim.take(tmp_path, "car") is None
        free = Claim.take(tmp_path, "bus")
        assert free is not None
        free.release()
        other.kill()
    mine = Claim.take(tmp_path, "car")
    assert mine is not None
    assert Claim.take(tmp_path, "car") is None
    mine.release()
    assert not list((tmp_path / ".claims").iterdir())
