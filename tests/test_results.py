"""Folders of results: whole files, read strictly, of one configuration, claimed by one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lockon.errors import DataError, OutputError
from lockon.evaluation.results import Claim, is_complete, open_folder, read_trace, write_trace
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
    with pytest.raises(DataError, match=r"no run\.json"):
        open_folder(tmp_path, "otb2015", "one", CONFIG)


HOLD = "import sys, time; from lockon.evaluation.results import *; from pathlib import Path\n"
HOLD += "held = Claim.take(Path(sys.argv[1]), 'car'); print(held is not None, flush=True); time.sleep(60)"


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
