"""Benchmarks whose sequences lockon knows by name: OTB, UAV123, NfS, LaSOT. Miniatures in the published layouts."""

from pathlib import Path

import numpy as np
import pytest

from lockon.errors import DataError
from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.sequences import Sequence
from tests import layouts
from tests.layouts import lines


def read(benchmark: str, root: Path, name: str) -> Sequence:
    return open_benchmark(benchmark, root).read(name)


def numbers(sequence: Sequence) -> list[int]:
    """Of the first and the last picture, and of the frames whose boxes go with them."""
    return [int(sequence.files[i].stem) for i in (0, -1)] + sequence.boxes[[0, -1], 0].astype(int).tolist()


# OTB


@pytest.mark.parametrize("comma", [",", "\t", " "])
def test_otb_has_commas_tabs_or_blanks(tmp_path: Path, comma: str) -> None:
    layouts.write_otb(tmp_path, "Deer", range(1, 72), lines(range(1, 72), comma))
    deer = read("otb2015", tmp_path, "Deer")
    assert deer.boxes[70].tolist() == [71, 20, 30, 40]
    assert deer.attributes == {"MB", "FM", "IPR", "BC"}


def test_otb_has_two_targets_in_one_folder(tmp_path: Path) -> None:
    layouts.write_otb(tmp_path, "Jogging", range(1, 308), lines(range(1, 308)), "groundtruth_rect.1.txt")
    layouts.write_otb(tmp_path, "Jogging", range(1, 308), lines(range(501, 808)), "groundtruth_rect.2.txt")
    one, two = (read("otb2013", tmp_path, name) for name in ("Jogging-1", "Jogging-2"))
    assert one.files == two.files
    assert (numbers(one), numbers(two)) == ([1, 307, 1, 307], [1, 307, 501, 807])


def test_the_target_of_human4_is_its_second(tmp_path: Path) -> None:
    layouts.write_otb(tmp_path, "Human4", range(1, 668), "", "groundtruth_rect.1.txt")
    layouts.write_otb(tmp_path, "Human4", range(1, 668), lines(range(1, 668)), "groundtruth_rect.2.txt")
    assert numbers(read("otb50", tmp_path, "Human4-2")) == [1, 667, 1, 667]


@pytest.mark.parametrize(
    ("name", "pictures", "first", "last"),
    [
        ("David", range(1, 771), 300, 770),
        ("BlurCar3", range(3, 360), 3, 359),
        ("BlurCar4", range(18, 398), 18, 397),
        ("Football1", range(1, 82), 1, 74),
        ("Diving", range(1, 232), 1, 215),
    ],
)
def test_otb_takes_the_pictures_that_are_annotated(
    tmp_path: Path, name: str, pictures: range, first: int, last: int
) -> None:
    layouts.write_otb(tmp_path, name, pictures, lines(range(first, last + 1)))
    assert numbers(read("otb2015", tmp_path, name)) == [first, last, first, last]


def test_the_first_five_frames_of_tiger1_are_left_out(tmp_path: Path) -> None:
    layouts.write_otb(tmp_path, "Tiger1", range(1, 355), lines(range(1, 355)))
    tiger = read("otb2013", tmp_path, "Tiger1")
    assert (len(tiger), numbers(tiger)) == (349, [6, 354, 6, 354])


def test_a_row_of_blurcar1_has_blanks(tmp_path: Path) -> None:
    text = lines(range(247, 988)) + lines([988], " ")
    layouts.write_otb(tmp_path, "BlurCar1", range(247, 989), text)
    assert numbers(read("otb2015", tmp_path, "BlurCar1")) == [247, 988, 247, 988]


def test_the_pictures_of_board_have_five_digits(tmp_path: Path) -> None:
    layouts.write_pictures(tmp_path / "Board" / "img", "{:05d}.jpg", range(1, 699))
    layouts.write(tmp_path / "Board" / "groundtruth_rect.txt", lines(range(1, 698)) + "0,0,0,0\n")
    board = read("otb2015", tmp_path, "Board")
    assert board.files[0].name == "00001.jpg"
    assert board.boxes[-1].tolist() == [0, 0, 0, 0]


def test_an_otb_annotation_of_another_release_is_refused(tmp_path: Path) -> None:
    layouts.write_otb(tmp_path, "ClifBar", range(1, 473), lines(range(1, 330)))
    with pytest.raises(DataError, match=r"otb2015, ClifBar: .*groundtruth_rect.txt has 329 lines for 472 frames"):
        read("otb2015", tmp_path, "ClifBar")


# UAV123


def test_uav123_cuts_several_sequences_from_one_folder(tmp_path: Path) -> None:
    layouts.write_uav(tmp_path, "UAV123", "bird1_2", "bird1", range(775, 1478))
    file = layouts.write_uav(tmp_path, "UAV123", "bird1_1", "bird1", range(1, 254))
    file.write_text("NaN,NaN,NaN,NaN\n".join([lines(range(1, 101)), lines(range(102, 254))]))
    one, two = (read("uav123", tmp_path, name) for name in ("bird1_1", "bird1_2"))
    assert (numbers(one), numbers(two)) == ([1, 253, 1, 253], [775, 1477, 1, 703])
    assert np.flatnonzero(np.isnan(one.boxes).all(1)).tolist() == [100]
    assert {"FOC", "OV"} <= one.attributes


def test_uav20l_has_names_of_its_own_for_the_same_pictures(tmp_path: Path) -> None:
    layouts.write_uav(tmp_path, "UAV20L", "person7", "person7", range(1, 2066))
    assert numbers(read("uav20l", tmp_path, "uav_person7")) == [1, 2065, 1, 2065]
    with pytest.raises(DataError, match="no sequence is called 'person7_1'"):
        read("uav20l", tmp_path, "person7_1")


def test_a_uav123_whose_pictures_were_not_unpacked_says_so(tmp_path: Path) -> None:
    layouts.write(tmp_path / "anno" / "UAV123" / "uav6.txt", lines(range(1, 110)))
    with pytest.raises(DataError, match=r"uav123, uav6: data_seq/UAV123/uav6 is missing"):
        read("uav123", tmp_path, "uav6")


# NfS


@pytest.mark.parametrize("nested", [False, True])
def test_nfs_has_corners_and_a_class_in_quotes(tmp_path: Path, nested: bool) -> None:
    layouts.write_nfs(tmp_path, "bee", 45, 45, nested=nested)
    bee = read("nfs", tmp_path, "bee")
    assert (len(bee), bee.boxes[44].tolist()) == (45, [45, 20, 30, 40])


@pytest.mark.parametrize(("pictures", "rows", "frames"), [(45, 360, 45), (45, 355, 45), (45, 353, 45), (45, 352, 44)])
def test_nfs_takes_every_eighth_row_of_240_fps_for_30(tmp_path: Path, pictures: int, rows: int, frames: int) -> None:
    layouts.write_nfs(tmp_path, "bee", pictures, rows)
    bee = read("nfs", tmp_path, "bee")
    assert (len(bee), bee.boxes[:3, 0].tolist(), bee.boxes[-1, 0]) == (frames, [1, 9, 17], 8 * frames - 7)


@pytest.mark.parametrize(("pictures", "rows"), [(45, 44), (44, 45)])
def test_nfs_is_cut_to_the_shorter_of_pictures_and_rows(tmp_path: Path, pictures: int, rows: int) -> None:
    layouts.write_nfs(tmp_path, "bee", pictures, rows)
    bee = read("nfs", tmp_path, "bee")
    assert len(bee.files) == len(bee.boxes) == 44


def test_nfs_at_240_fps_is_a_benchmark_of_its_own(tmp_path: Path) -> None:
    layouts.write_nfs(tmp_path, "bee", 45, 45)
    layouts.write_nfs(tmp_path, "bee", 360, 360, fps=240)
    assert (len(read("nfs", tmp_path, "bee")), len(read("nfs240", tmp_path, "bee"))) == (45, 360)
    layouts.write_nfs(tmp_path, "bottle", 45, 360, fps=240)
    with pytest.raises(DataError, match=r"240/bottle.txt has 360 lines for 45 frames"):
        read("nfs240", tmp_path, "bottle")


def test_nfs_as_pytracking_has_it(tmp_path: Path) -> None:
    layouts.write_pictures(tmp_path / "sequences" / "Skiing_red", "{:05d}.jpg", range(1, 70))
    layouts.write(tmp_path / "anno" / "nfs_Skiing_red.txt", lines(range(1, 70), "\t"))
    skiing = read("nfs", tmp_path, "nfs_Skiing_red")
    assert (skiing.name, numbers(skiing)) == ("Skiing_red", [1, 69, 1, 69])


@pytest.mark.parametrize(
    ("pictures", "rows", "says"), [(45, 43, "bee.txt has 43 lines for 45 frames"), (45, 300, "bee.txt has 300 lines")]
)
def test_an_nfs_annotation_that_does_not_go_with_the_pictures_is_refused(
    tmp_path: Path, pictures: int, rows: int, says: str
) -> None:
    layouts.write_nfs(tmp_path, "bee", pictures, rows)
    with pytest.raises(DataError, match=says):
        read("nfs", tmp_path, "bee")


def test_a_picture_missing_in_the_middle_is_not_taken_for_the_difference_of_one(tmp_path: Path) -> None:
    file = layouts.write_nfs(tmp_path, "bee", 45, 45)
    (file.parent / "bee" / "00007.jpg").unlink()
    with pytest.raises(DataError, match=r"30/bee: 1 of 44 pictures are missing, first 00007.jpg"):
        read("nfs", tmp_path, "bee")


def test_a_wrong_row_of_nfs_is_named(tmp_path: Path) -> None:
    file = layouts.write_nfs(tmp_path, "bee", 45, 45)
    file.write_text(layouts.nfs_lines(range(1, 45)) + '0 45 20 75 60 45 "toy car"\n')
    with pytest.raises(DataError, match=r"bee.txt, line 45: '0 45 20 75 60 45' is not id,xmin,ymin,xmax,ymax,"):
        read("nfs", tmp_path, "bee")


def test_an_infinite_corner_of_nfs_is_named(tmp_path: Path) -> None:
    file = layouts.write_nfs(tmp_path, "bee", 45, 45)
    file.write_text(layouts.nfs_lines(range(1, 45)) + '0 45 20 inf 60 45 0 0 1 "toy car"\n')
    with pytest.raises(DataError, match=r"bee.txt, line 45: 45,20,inf,40 is no box: a coordinate is a finite number"):
        read("nfs", tmp_path, "bee")


# LaSOT


@pytest.mark.parametrize("place", ["sheep/sheep-5", "sheep-5"])
def test_lasot_says_in_which_frames_the_target_is_absent(tmp_path: Path, place: str) -> None:
    layouts.write_lasot(tmp_path / place, 1000, occluded=[2, 3], outside=[3, 1000])
    sheep = read("lasot", tmp_path, "sheep-5")
    assert sheep.files[-1] == tmp_path / place / "img" / "00001000.jpg"
    assert (np.flatnonzero(sheep.labels["absent"]) + 1).tolist() == [2, 3, 1000]
    assert sheep.boxes[1].tolist() == [2, 20, 30, 40]
    assert sheep.attributes == {"POC", "DEF", "BC", "SV", "ARC"}


def test_lasot_is_the_test_set_in_the_order_of_its_list(tmp_path: Path) -> None:
    (tmp_path / "sheep" / "sheep-5").mkdir(parents=True)
    names = open_benchmark("lasot", tmp_path).names
    assert names[:4] == ("airplane-1", "airplane-9", "airplane-13", "airplane-15")
    assert "sheep-1" not in names  # of the training set


def test_the_extension_of_lasot(tmp_path: Path) -> None:
    layouts.write_lasot(tmp_path / "atv" / "atv-10", 5, outside=[4])
    atv = read("lasot_ext", tmp_path, "atv-10")
    assert (numbers(atv), atv.labels["absent"].tolist()) == ([1, 5, 1, 5], [0, 0, 0, 1, 0])
    layouts.write(tmp_path / "atv" / "atv-10" / "groundtruth.txt", lines(range(1, 5)))
    with pytest.raises(DataError, match=r"atv-10/groundtruth.txt has 4 lines for 5 frames"):
        read("lasot_ext", tmp_path, "atv-10")


def test_a_lasot_sequence_cut_short_is_refused(tmp_path: Path) -> None:
    """Pictures and annotation agree, but some of both are not there."""
    layouts.write_lasot(tmp_path / "sheep-5", 990)
    with pytest.raises(DataError, match=r"sheep-5/img: 10 of 1000 pictures are missing, first 00000991.jpg"):
        read("lasot", tmp_path, "sheep-5")
    layouts.write_pictures(tmp_path / "sheep-5" / "img", "{:08d}.jpg", range(991, 1002))
    with pytest.raises(DataError, match=r"sheep-5/img has 1001 pictures, expected 1000"):
        read("lasot", tmp_path, "sheep-5")


@pytest.mark.parametrize("row", ["1,2,3,-11", "1,2,-1,-1", "0,0,0,0"])
def test_boxes_that_lasot_publishes_stay_as_they_are(tmp_path: Path, row: str) -> None:
    """tiger-6, lion-5 and many of absent targets; its toolkit, pysot and pytracking have rules for them."""
    layouts.write_lasot(tmp_path / "atv-1", 3)
    layouts.write(tmp_path / "atv-1" / "groundtruth.txt", f"1,2,3,4\n{row}\n1,2,3,4\n")
    assert read("lasot_ext", tmp_path, "atv-1").boxes[1].tolist() == [float(v) for v in row.split(",")]


def test_lasot_without_its_flags_is_refused(tmp_path: Path) -> None:
    layouts.write_lasot(tmp_path / "atv-1", 5)
    (tmp_path / "atv-1" / "out_of_view.txt").write_text("0,0,0,0")
    with pytest.raises(DataError, match=r"atv-1/out_of_view.txt has 4 numbers for 5 frames"):
        read("lasot_ext", tmp_path, "atv-1")
    (tmp_path / "atv-1" / "full_occlusion.txt").unlink()
    with pytest.raises(DataError, match=r"atv-1/full_occlusion.txt is missing"):
        read("lasot_ext", tmp_path, "atv-1")
