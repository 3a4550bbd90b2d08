"""Miniatures of what each toolkit writes, read back."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from lockon.errors import DataError
from lockon.evaluation.foreign import Results, distinct, read_results
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from tests.scenes import box_lines

TRUTH = {
    "Basketball": np.array([[198.0, 214, 34, 81], [197, 214, 34, 81], [195, 214, 34, 81]]),
    "Jogging-1": np.array([[111.0, 98, 25, 101], [111, 98, 25, 101]]),
}
ANSWER = {name: boxes + np.array([0.0, 0, 0.75, 0]) for name, boxes in TRUTH.items()}


def benchmark(name: str = "otb2015", truth: Mapping[str, Array] = TRUTH) -> Benchmark:
    return Benchmark(name, tuple(truth), lambda one: Sequence(one, (Path("1.jpg"),) * len(truth[one]), truth[one]))


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def rows(boxes: Array, separator: str = ",") -> str:
    return box_lines(boxes.tolist()).replace(",", separator)


def only(path: Path, of: Benchmark | None = None) -> Results:
    (found,) = read_results(path, of or benchmark())
    return found


def test_lockon_s_own_folder_with_times_and_configuration(tmp_path: Path) -> None:
    folder = tmp_path / "otb2015" / "stark-tiny"
    for name, boxes in ANSWER.items():
        write(folder / f"{name}.txt", rows(boxes))
        write(folder / "times" / f"{name}_time.txt", "0.5\n" + "0.25\n" * (len(boxes) - 1))
        write(folder / "scores" / f"{name}_score.txt", "1.0\n" * len(boxes))
        write(folder / "polygons" / f"{name}.txt", "1,2,3,4,5,6,7,8\n" * len(boxes))
    write(folder / "run.json", json.dumps({"tracker": "stark-tiny"}))
    found = only(tmp_path)
    assert (found.tracker, found.layout, found.folder) == ("stark-tiny", "lockon's results", folder)
    assert found.run == {"tracker": "stark-tiny"}
    for name, boxes in ANSWER.items():
        np.testing.assert_array_equal(found.boxes[name], boxes)
    np.testing.assert_array_equal(found.seconds["Jogging-1"], [0.5, 0.25])
    assert found.fps == pytest.approx(5 / 1.75)


def test_runs_of_pytracking_are_repetitions_of_one_tracker(tmp_path: Path) -> None:
    for run in range(2):
        folder = tmp_path / "tracking_results" / "dimp" / f"dimp50_{run:03d}"
        write(folder / "Basketball.txt", rows((ANSWER["Basketball"] + run).astype(int), "\t"))
        write(folder / "Basketball_time.txt", "0.1\n" * 3)
        write(folder / "Jogging_1.txt", rows((ANSWER["Jogging-1"] + run).astype(int), "\t"))
    found = only(tmp_path)
    assert (found.tracker, found.layout) == ("dimp/dimp50", "pytracking's results, whole pixels, 2 repetitions")
    assert found.boxes["Basketball"].shape == (2, 3, 4)
    np.testing.assert_array_equal(found.boxes["Jogging-1"][1], ANSWER["Jogging-1"].astype(int) + 1)
    assert found.seconds["Basketball"].shape == (2, 3)
    assert "Jogging-1" not in found.seconds


def test_pytracking_puts_the_benchmark_before_names_and_ostrack_its_folder_after_the_tracker(tmp_path: Path) -> None:
    truth = {"bike1": TRUTH["Basketball"], "car1_1": TRUTH["Jogging-1"], "car11": TRUTH["Basketball"]}
    for name, boxes in truth.items():
        write(tmp_path / "ostrack" / "vitb_256" / "uav" / f"uav_{name}.txt", rows(boxes, "\t"))
    found = only(tmp_path, benchmark("uav123", truth))
    assert found.tracker == "ostrack/vitb_256"
    assert {name: len(boxes) for name, boxes in found.boxes.items()} == {"bike1": 3, "car1_1": 2, "car11": 3}


def test_repetitions_of_got10k(tmp_path: Path) -> None:
    folder = tmp_path / "GOT-10k" / "SiamFC"
    truth = {"GOT-10k_Val_000001": TRUTH["Basketball"]}
    for name, boxes in truth.items():
        for repetition in (1, 2, 3):
            write(folder / name / f"{name}_{repetition:03d}.txt", rows(boxes + repetition))
        write(folder / name / f"{name}_time.txt", "0.1,0.2,0.4\n" * 3)
    found = only(tmp_path, benchmark("got10k_val", truth))
    assert (found.tracker, found.layout) == ("SiamFC", "GOT-10k's results, 3 repetitions")
    assert found.boxes["GOT-10k_Val_000001"][:, 0, 0].tolist() == [199, 200, 201]
    assert found.seconds["GOT-10k_Val_000001"][:, 0].tolist() == [0.1, 0.2, 0.4]


def test_one_pass_results_of_got10k_pysot_and_lasot_are_told_apart(tmp_path: Path) -> None:
    for name, boxes in ANSWER.items():
        write(tmp_path / "a" / f"{name.replace('-', '.')}.txt", rows(boxes))
        write(tmp_path / "a" / "times" / f"{name.replace('-', '.')}_time.txt", "0.1\n" * len(boxes))
        shifted = TRUTH[name].copy()
        shifted[0, :2] += 0.5
        write(tmp_path / "b" / f"{name}.txt", rows(shifted))
        write(tmp_path / "c_tracking_result" / f"{name.lower()}.txt", rows(boxes))
        write(tmp_path / "d" / f"{name}.txt", rows(boxes, " "))
    found = read_results(tmp_path, benchmark())
    assert {result.tracker: result.layout for result in found} == {
        "a": "got10k's results",
        "b": "pysot's results, first row half a pixel off",
        "c": "LaSOT's results",
        "d": "rows of x, y, w, h",
    }
    assert all(result.boxes.keys() == TRUTH.keys() for result in found)
    assert found[0].seconds.keys() == TRUTH.keys()


def test_one_tracker_s_folder_alone_is_called_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "ATOM" / "OTB100" / "Basketball.txt", rows(TRUTH["Basketball"]))
    assert only(tmp_path / "ATOM" / "OTB100").tracker == "ATOM"
    assert only(tmp_path / "ATOM").tracker == "ATOM"


def test_results_of_a_benchmark_with_the_same_names_are_left_alone(tmp_path: Path) -> None:
    for folder in ("UAV123", "UAV20L"):
        write(tmp_path / folder / "KCF" / "bike1.txt", rows(TRUTH["Basketball"] + (folder == "UAV20L")))
    found = only(tmp_path, benchmark("uav20l", {"bike1": TRUTH["Basketball"]}))
    assert found.tracker == "KCF"
    assert found.boxes["bike1"][0, 0] == 199


def test_missing_values_are_kept(tmp_path: Path) -> None:
    write(tmp_path / "A" / "Basketball.txt", "198,214,34,81\nNaN,NaN,NaN,NaN\n0,0,0,0\n")
    assert np.isnan(only(tmp_path).boxes["Basketball"][1]).all()


def test_labels_that_two_folders_share_are_numbered() -> None:
    assert [r.tracker for r in distinct([Results("A", {}), Results("B", {}), Results("A", {})])] == ["A", "B", "A (2)"]


def test_labels_that_look_numbered_already_stay_apart() -> None:
    given = [Results(label, {}) for label in ("A", "A (2)", "A", "A")]
    assert [r.tracker for r in distinct(given)] == ["A", "A (2)", "A (3)", "A (4)"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("198,214,34,81\n198,214,34\n", "Basketball.txt, line 2: '198,214,34' is not x,y,w,h"),
        ("198,214,34,81\n1\n", "line 2: '1' is not x,y,w,h"),
        ("198,214,34,x\n", "line 1: '198,214,34,x' is not x,y,w,h"),
        ("", "Basketball.txt is empty"),
        ("198,214,34,81\n1_0,214,34,81", "line 2: '1_0,214,34,81' is not x,y,w,h"),
        ("198;214;34;81\n", "line 1: '198;214;34;81' is not x,y,w,h"),
        ("198,214,34,81\n1\0\n", "line 2 has a NUL byte"),
        ("\xff\xfe1\0", "begins as UTF-16 text does"),
        ("198,214,34,81\n\xe9", "line 2 is not UTF-8 text"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "Basketball.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=says):
        read_results(tmp_path, benchmark())


def test_a_folder_without_results(tmp_path: Path) -> None:
    (tmp_path / "Bolt.txt").write_text("1,2,3,4\n")
    with pytest.raises(DataError, match=r"no results of otb2015; .* TRACKER/Basketball\.txt"):
        read_results(tmp_path, benchmark())
    with pytest.raises(DataError, match="no such folder"):
        read_results(tmp_path / "nowhere", benchmark())


def test_two_files_for_one_sequence(tmp_path: Path) -> None:
    for name in ("Jogging-1", "Jogging.1"):
        write(tmp_path / f"{name}.txt", rows(TRUTH["Jogging-1"]))
    with pytest.raises(DataError, match="both are Jogging-1's"):
        read_results(tmp_path, benchmark())


def test_two_folders_of_one_tracker_are_not_taken_for_repetitions(tmp_path: Path) -> None:
    for folder in ("OTB100", "OTB2015"):  # two names of one benchmark
        write(tmp_path / folder / "KCF" / "Basketball.txt", rows(TRUTH["Basketball"]))
    with pytest.raises(DataError, match=r"OTB100/KCF and .*OTB2015/KCF: both have results of KCF"):
        read_results(tmp_path, benchmark())
    assert only(tmp_path / "OTB100").tracker == "KCF"


def test_repetitions_of_different_lengths(tmp_path: Path) -> None:
    write(tmp_path / "A_000" / "Basketball.txt", rows(TRUTH["Basketball"]))
    write(tmp_path / "A_001" / "Basketball.txt", rows(TRUTH["Basketball"][:2]))
    with pytest.raises(DataError, match=r"A_000/Basketball.txt 3, A_001/Basketball.txt 2 rows"):
        read_results(tmp_path, benchmark())


def test_a_configuration_that_is_none(tmp_path: Path) -> None:
    write(tmp_path / "Basketball.txt", rows(TRUTH["Basketball"]))
    write(tmp_path / "run.json", "{")
    with pytest.raises(DataError, match=r"run.json: cannot be read"):
        read_results(tmp_path, benchmark())


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_texts_as_any_editor_saves_them(tmp_path: Path, begin: bytes, end: bytes) -> None:
    text = rows(TRUTH["Basketball"]).encode().replace(b"\n", end)
    (tmp_path / "Basketball.txt").write_bytes(begin + text)
    np.testing.assert_array_equal(only(tmp_path).boxes["Basketball"], TRUTH["Basketball"])


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Basketball.txt")
    with pytest.raises(DataError, match=r"Basketball.txt cannot be read: it is a named pipe, not a file"):
        read_results(tmp_path, benchmark())
    (tmp_path / "Basketball.txt").unlink()
    with (tmp_path / "Basketball.txt").open("wb") as file:
        file.truncate(2**40)  # a hole: no disk is filled
    with pytest.raises(DataError, match=r"Basketball.txt is larger than 1073741824 bytes"):
        read_results(tmp_path, benchmark())
    (tmp_path / "Basketball.txt").unlink()
    (tmp_path / "Basketball.txt").symlink_to("Basketball.txt")
    with pytest.raises(DataError, match=r"Basketball.txt cannot be read: Too many levels of symbolic links"):
        read_results(tmp_path, benchmark())


def test_links_to_folders_are_followed_and_circles_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "KCF" / "Basketball.txt", rows(TRUTH["Basketball"]))
    write(tmp_path / "results" / "run" / "Basketball.txt", rows(TRUTH["Basketball"]))
    (tmp_path / "results" / "latest").symlink_to("run")  # the same again
    (tmp_path / "results" / "run" / "up").symlink_to("..")
    (tmp_path / "results" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "results" / "gone").symlink_to("nowhere")
    assert [result.tracker for result in read_results(tmp_path / "results", benchmark())] == ["linked/KCF", "run"]


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2J", "a\u202eb", "a\udcff"])
def test_a_folder_whose_name_cannot_be_shown(tmp_path: Path, name: str) -> None:
    write(tmp_path / name / "Basketball.txt", rows(TRUTH["Basketball"]))
    with pytest.raises(DataError, match="the folder's name has characters that cannot be shown; rename it") as caught:
        read_results(tmp_path, benchmark())
    assert str(caught.value).isprintable()


def test_times_that_are_none(tmp_path: Path) -> None:
    write(tmp_path / "A" / "Basketball.txt", rows(TRUTH["Basketball"]))
    times = tmp_path / "A" / "times" / "Basketball_time.txt"
    write(times, "nan\n-1\n0\n")
    assert only(tmp_path).fps is None
    write(times, "0.1\ninf\n0.1\n")
    with pytest.raises(DataError, match=r"Basketball_time.txt, line 2: an infinite time"):
        read_results(tmp_path, benchmark())
    write(times, "0.1\n0.2,0.3\n0.1\n")
    with pytest.raises(DataError, match=r"Basketball_time.txt, line 2: '0.2,0.3' is not seconds"):
        read_results(tmp_path, benchmark())
