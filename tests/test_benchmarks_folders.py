"""Benchmarks whose folders tell the names: GOT-10k, TrackingNet, AVisT, and sequences of your own."""

import os
from pathlib import Path

import numpy as np
import pytest

from lockon.errors import DataError, PictureError
from lockon.evaluation.benchmarks import check, open_benchmark
from lockon.evaluation.metrics import score
from tests import layouts, scenes
from tests.layouts import lines

TEST = ("GOT-10k_Test_000002", "GOT-10k_Test_000001")
VAL = "GOT-10k_Val_000001"


def test_of_got10ks_test_set_the_first_boxes_are_told(tmp_path: Path) -> None:
    layouts.write_got10k(tmp_path, "test", TEST)
    benchmark = open_benchmark("got10k", tmp_path)
    assert (benchmark.names, benchmark.toolkit) == (TEST, "got10k-ao")  # in the order of list.txt
    one = benchmark.read("GOT-10k_Test_000001")
    assert (len(one), one.boxes.tolist(), one.hidden) == (4, [[1, 20, 30, 40]], True)


def test_got10ks_val_tells_what_is_covered(tmp_path: Path) -> None:
    layouts.write_got10k(tmp_path, "val", [VAL])
    one = open_benchmark("got10k_val", tmp_path).read(VAL)
    assert (one.boxes[:, 0].tolist(), one.hidden, one.size) == ([1, 2, 3, 4], False, (1920, 1080))
    assert {name: flags.tolist() for name, flags in one.labels.items()} == {
        "absent": [0, 1, 0, 0],
        "cover": [8, 8, 0, 8],
    }


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("groundtruth.txt", lines([1]), "groundtruth.txt has 1 lines for 4 frames"),
        ("cover.label", "8\n", "cover.label has 1 numbers for 4 frames"),
        ("meta_info.ini", "[METAINFO]\n", r"meta_info.ini has no line such as resolution: \(1920, 1080\)"),
        ("meta_info.ini", f"resolution: ({'9' * 5000}, 1)\n", r"meta_info.ini has no line such as resolution"),
        ("cover.label", f"8\n8\n8\n{10**30}\n", "cover.label is not made of whole numbers"),
        ("groundtruth.txt", lines([1, 2, 3]) + "inf,2,3,4\n", "groundtruth.txt, line 4: inf,2,3,4 is no box"),
    ],
)
def test_an_incomplete_val_of_got10k_is_refused(tmp_path: Path, file: str, text: str, says: str) -> None:
    layouts.write_got10k(tmp_path, "val", [VAL])
    layouts.write(tmp_path / "val" / VAL / file, text)
    with pytest.raises(DataError, match=f"got10k_val, {VAL}: .*{says}"):
        open_benchmark("got10k_val", tmp_path).read(VAL)


def test_the_part_of_got10k_given_for_the_whole_is_recognised(tmp_path: Path) -> None:
    layouts.write_got10k(tmp_path, "test", TEST)
    with pytest.raises(DataError, match=rf"did you mean {tmp_path}\?"):
        open_benchmark("got10k", tmp_path / "test")
    with pytest.raises(DataError, match=r"GOT-10k, val; expected there: val/list.txt; .* found: test"):
        open_benchmark("got10k_val", tmp_path)


def test_trackingnets_pictures_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    layouts.write_trackingnet(tmp_path, "zz-_0", 2)
    layouts.write_trackingnet(tmp_path, "-Ab_0", 12)
    benchmark = open_benchmark("trackingnet", tmp_path)
    assert benchmark.names == ("-Ab_0", "zz-_0")
    one = benchmark.read("-Ab_0")
    assert [file.name for file in one.files] == [f"{n}.jpg" for n in range(12)]
    assert (one.boxes.tolist(), one.hidden) == ([[1, 20, 30, 40]], True)


def test_a_trackingnet_that_was_not_unpacked_says_so(tmp_path: Path) -> None:
    file = layouts.write_trackingnet(tmp_path, "a_0", 3)
    (tmp_path / "TEST" / "frames" / "a_0" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"frames/a_0: 1 of 2 pictures are missing, first 1.jpg"):
        open_benchmark("trackingnet", tmp_path).read("a_0")
    layouts.write(file.parent / "b_0.txt", lines([1]))
    with pytest.raises(DataError, match=r"trackingnet, b_0: TEST/frames/b_0 is missing"):
        open_benchmark("trackingnet", tmp_path).read("b_0")


def test_avist_says_in_which_frames_the_target_is_absent(tmp_path: Path) -> None:
    layouts.write_pictures(tmp_path / "sequences" / "plaice", "img_{:05d}.jpg", range(1, 4))
    layouts.write(tmp_path / "anno" / "plaice.txt", lines(range(1, 4), " "))
    layouts.write(tmp_path / "full_occlusion" / "plaice_full_occlusion.txt", "0,1,0")
    layouts.write(tmp_path / "out_of_view" / "plaice_out_of_view.txt", "0,0,1")
    plaice = open_benchmark("avist", tmp_path).read("plaice")
    assert (plaice.boxes[:, 0].tolist(), plaice.labels["absent"].tolist()) == ([1, 2, 3], [0, 1, 1])


# Sequences of your own


def test_a_folder_has_its_sequences_by_name(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "two", 2)
    layouts.write_folder(tmp_path / "one", 3)
    layouts.write_pictures(tmp_path / "no annotation", "{:08d}.jpg", [1])
    one, two = open_benchmark("folder", tmp_path)
    assert [(s.name, len(s), s.boxes[:, 0].tolist()) for s in (one, two)] == [("one", 3, [1, 2, 3]), ("two", 2, [1, 2])]
    assert (one.labels, one.hidden) == ({}, False)


def test_a_folder_may_have_a_list(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "my cat")
    layouts.write_folder(tmp_path / "one")
    file = layouts.write(tmp_path / "list.txt", "my cat\nthree\n")
    benchmark = open_benchmark("folder", tmp_path)
    assert benchmark.names == ("my cat", "three")
    with pytest.raises(DataError, match=r"folder, three: .*/three is missing"):
        benchmark.read("three")
    file.write_text("one\n", encoding="utf-16")
    with pytest.raises(DataError, match=r"list.txt, line 1 begins as UTF-16 text does"):
        open_benchmark("folder", tmp_path)


def test_a_folder_may_have_got10ks_labels_and_absent_targets(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "one")
    layouts.write(tmp_path / "one" / "groundtruth.txt", "1,2,3,4\nnan,nan,nan,nan\n1,2,3,4\n")
    layouts.write(tmp_path / "one" / "absence.label", "0\n1\n0\n")
    one = open_benchmark("folder", tmp_path).read("one")
    assert np.isnan(one.boxes[1]).all()
    assert {name: flags.tolist() for name, flags in one.labels.items()} == {"absent": [0, 1, 0]}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("100,80,-40,40", "a width or height is negative"),
        ("inf,80,40,40", "a coordinate is a finite number of pixels"),
        ("1e12,80,40,40", "a coordinate is a finite number of pixels"),
        ("nan,80,40,40", "some of it is NaN; where the target is absent, write nan,nan,nan,nan"),
        ("0,0,0,0", "it has no area; where the target is absent, write nan,nan,nan,nan"),
        ("5,5,0,9", "it has no area"),
    ],
)
def test_a_box_that_is_none_is_named_by_check_and_when_it_is_read(tmp_path: Path, row: str, says: str) -> None:
    """A tracker that is right everywhere could not reach 1."""
    layouts.write_folder(tmp_path / "one")
    layouts.write(tmp_path / "one" / "groundtruth.txt", f"1,2,3,4\n{row}\n1,2,3,4\n")
    benchmark = open_benchmark("folder", tmp_path)
    (fault,) = check(benchmark)
    assert f"one/groundtruth.txt, line 2: {row.replace('1e12', '1e+12')} is no box: {says}" in fault
    with pytest.raises(DataError, match=f"line 2: .* is no box: {says}"):
        score("plain", benchmark, {"one": np.array([[1.0, 2, 3, 4]] * 3)})


def test_rows_of_zeros_are_taken_where_a_label_says_that_the_target_is_absent(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "one")
    layouts.write(tmp_path / "one" / "groundtruth.txt", "1,2,3,4\n0,0,0,0\n1,2,3,4\n")
    layouts.write(tmp_path / "one" / "absence.label", "0\n1\n0\n")
    benchmark = open_benchmark("folder", tmp_path)
    assert check(benchmark) == []
    perfect = score("plain", benchmark, {"one": benchmark.read("one").boxes})
    assert perfect.summary["ao"] == 1


def test_a_sequence_that_begins_without_its_target_is_told(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "one")
    layouts.write(tmp_path / "one" / "groundtruth.txt", "nan,nan,nan,nan\n1,2,3,4\n1,2,3,4\n")
    assert check(open_benchmark("folder", tmp_path)) == ["folder, one: its first frame has no box to start on"]


def test_folders_with_pictures_but_no_truth_are_told(tmp_path: Path) -> None:
    for name in ("one", ".hidden", "notes"):
        layouts.write_folder(tmp_path / name)
    (tmp_path / "notes" / "groundtruth.txt").unlink()
    layouts.write_pictures(tmp_path / "nested" / "img", "{:08d}.jpg", [1])
    layouts.write(tmp_path / "results" / "one.txt", "")
    layouts.write_pictures(tmp_path / ".trash" / "img", "{:08d}.jpg", [1])
    benchmark = open_benchmark("folder", tmp_path)
    assert benchmark.names == ("one",)
    assert check(benchmark) == [
        f"folder: {tmp_path.parent.name}/{tmp_path.name}/{name} has pictures but no groundtruth.txt: it is left out"
        for name in ("nested", "notes")
    ]
    layouts.write(tmp_path / "list.txt", "one\n")  # which says what is a sequence
    assert check(open_benchmark("folder", tmp_path)) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/etc", "'/etc' is a path, not a name"),
        ("../elsewhere", "'../elsewhere' is a path, not a name"),
        ("a\\b", "is a path, not a name"),
        ("C:", "is a path, not a name"),
        ("..", "begins with a dot"),
        (".lockon", "begins with a dot"),
        ("a\tb", "has characters that no name has"),
        ("x" * 300, "is too long"),
        ("one", "one is in line 1 already"),
    ],
)
@pytest.mark.parametrize("benchmark", ["folder", "got10k_val", "vot2022"])
def test_a_name_in_a_list_is_a_name(tmp_path: Path, benchmark: str, line: str, says: str) -> None:
    root = tmp_path / "val" if benchmark == "got10k_val" else tmp_path
    layouts.write_folder(root / "one")
    layouts.write(root / "list.txt", f"one\n\n{line}\n")
    with pytest.raises(DataError, match=f"list.txt, line 3: .*{says}"):
        open_benchmark(benchmark, tmp_path)


def test_names_that_some_disks_take_for_one_are_told(tmp_path: Path) -> None:
    for name in ("Walk", "walk", "run"):
        layouts.write_folder(tmp_path / name)
    (fault,) = check(open_benchmark("folder", tmp_path))
    assert fault.startswith("folder: the names Walk and walk differ in case or Unicode form alone")
    (tmp_path / "walk" / "groundtruth.txt").unlink()
    layouts.write(tmp_path / "list.txt", "run\nWalk\nWALK\n")
    (tmp_path / "WALK").symlink_to(tmp_path / "Walk")  # what a disk does that ignores case
    with pytest.raises(DataError, match=r"list.txt: Walk and WALK are one folder; name it once"):
        open_benchmark("folder", tmp_path)


@pytest.mark.parametrize("benchmark", ["trackingnet", "avist"])
def test_what_systems_leave_beside_annotations_is_no_sequence(tmp_path: Path, benchmark: str) -> None:
    anno = tmp_path / "TEST" / "anno" if benchmark == "trackingnet" else tmp_path / "anno"
    (tmp_path / "full_occlusion").mkdir()
    for name in ("one", "._one"):
        layouts.write(anno / f"{name}.txt", "1,2,3,4\n")
    assert open_benchmark(benchmark, tmp_path).names == ("one",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_among_the_pictures_is_none(tmp_path: Path) -> None:
    layouts.write_folder(tmp_path / "one")
    (tmp_path / "one" / "00000002.jpg").unlink()
    os.mkfifo(tmp_path / "one" / "00000002.jpg")
    with pytest.raises(DataError, match=r"groundtruth.txt has 3 lines for 2 frames"):
        open_benchmark("folder", tmp_path).read("one")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("{}.png", ["1.png", "2.png", "3.png", "4.png", "5.png", "6.png", "7.png", "8.png", "9.png", "10.png"]),
        ("{:02d}.JPEG", [f"{n:02d}.JPEG" for n in range(1, 11)]),
        ("img{:03d}.jpg", [f"img{n:03d}.jpg" for n in range(1, 11)]),
        ("img{}.bmp", [f"img{n}.bmp" for n in range(1, 11)]),
    ],
)
def test_pictures_of_a_folder_are_in_order(tmp_path: Path, pattern: str, names: list[str]) -> None:
    layouts.write_folder(tmp_path / "one", 10, pattern)
    (tmp_path / "one" / "._1.jpg").write_bytes(b"what some systems leave behind")
    assert [file.name for file in open_benchmark("folder", tmp_path).read("one").files] == names


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    scenes.write_frames(tmp_path / "one", "{:08d}.jpg", range(1, 4))
    layouts.write(tmp_path / "one" / "groundtruth.txt", lines(range(1, 4)))
    second = tmp_path / "one" / "00000002.jpg"
    second.write_bytes(second.read_bytes()[:50])
    frames = open_benchmark("folder", tmp_path).read("one").frames()
    assert next(frames).shape == (scenes.HEIGHT, scenes.WIDTH, 3)
    with pytest.raises(PictureError, match=f"{second}: the picture is not a readable JPEG or PNG"):
        next(frames)
