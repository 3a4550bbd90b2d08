"""VOT: polygons, boxes and masks, tags and anchors, in the toolkit's layout and the old one."""

from pathlib import Path

import numpy as np
import pytest

from lockon.errors import DataError
from lockon.evaluation.benchmarks import check, open_benchmark
from lockon.evaluation.sequences import Sequence
from tests import layouts

POLYGON = "10,20,30,20,30.5,60,10,60"
MASK = "m5,6,4,3,5,2,2,1"  # rows of 4: .... .##. .#..


def read(root: Path, name: str, benchmark: str = "vot2016") -> Sequence:
    return open_benchmark(benchmark, root).read(name)


@pytest.mark.parametrize("colour", [True, False])
def test_polygons_are_kept_and_have_their_bounds(tmp_path: Path, colour: bool) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON] * 3, colour)
    bag = read(tmp_path, "bag")
    assert (bag.regions, bag.boxes.tolist()) == ((POLYGON,) * 3, [[10, 20, 20.5, 40]] * 3)
    assert bag.files[2] == (folder / "color" if colour else folder) / "00000003.jpg"
    assert bag.size == (layouts.WIDTH, layouts.HEIGHT)  # of the first picture


def test_where_all_are_boxes_there_are_no_regions(tmp_path: Path) -> None:
    layouts.write_vot(tmp_path, "bag", ["1,2,3.5,4", "nan,nan,nan,nan", "5,6,7,8"])
    bag = read(tmp_path, "bag", "vot2020_lt")
    np.testing.assert_array_equal(bag.boxes, [[1, 2, 3.5, 4], [np.nan] * 4, [5, 6, 7, 8]])
    assert bag.regions == ()


def test_masks_have_the_bounds_of_their_pixels(tmp_path: Path) -> None:
    layouts.write_vot(tmp_path, "bag", [MASK, "m5,6,4,3,0,4", "m5,6,4,3,3,2", "m5,6,2,2,1,1,1,1"])
    bag = read(tmp_path, "bag", "vot2020")
    assert bag.boxes.tolist() == [[6, 7, 2, 2], [5, 6, 4, 1], [5, 6, 4, 2], [6, 6, 1, 2]]
    assert bag.regions[0] == MASK


@pytest.mark.parametrize("empty", ["", "0", "m0,0,0,0", "m3,4,5,6,30", "m0,0,1,1,0", "nan,nan,nan,nan"])
def test_an_absent_target_has_no_box_and_an_empty_region(tmp_path: Path, empty: str) -> None:
    layouts.write_vot(tmp_path, "bag", [MASK, empty, MASK])
    bag = read(tmp_path, "bag", "vot2020")
    assert bag.regions == (MASK, "", MASK)
    assert np.isnan(bag.boxes).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "region",
    ["1,2", "1,2,3,4,5", "1,2,3,4,5,6,7", "a,b,c,d", "m1,2,3", "m0,0,2,2,1,4", "m0,0,2,2,-1,4", f"m0,0,2,2,{10**30}"],
)
def test_a_line_that_is_no_region_is_named(tmp_path: Path, region: str) -> None:
    layouts.write_vot(tmp_path, "bag", [POLYGON, region])
    with pytest.raises(DataError, match=r"vot2016, bag: .*/bag/groundtruth.txt, line 2: .* (is not|are no) "):
        read(tmp_path, "bag")


def test_tags_may_end_early_or_never_begin(tmp_path: Path) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON] * 4)
    layouts.write(folder / "occlusion.tag", "0\n1\n")
    layouts.write(folder / "size_change.label", "")
    layouts.write(folder / "camera_motion.tag", "1\n1\n1\n1\n")
    labels = {name: flags.tolist() for name, flags in read(tmp_path, "bag").labels.items()}
    assert labels == {"occlusion": [0, 1, 0, 0], "size_change": [0, 0, 0, 0], "camera_motion": [1, 1, 1, 1]}
    layouts.write(folder / "occlusion.tag", "0\nyes\n")
    with pytest.raises(DataError, match=r"bag/occlusion.tag is not made of whole numbers"):
        read(tmp_path, "bag")


def test_anchors_tell_where_to_start_and_which_way(tmp_path: Path) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [MASK] * 4)
    layouts.write(folder / "anchor.value", "1\n0\n0\n-1\n")
    assert read(tmp_path, "bag", "vot2022").labels["anchor"].tolist() == [1, 0, 0, -1]


@pytest.mark.parametrize(
    ("channel", "place"),
    [
        ("color/%08d.jpg", "color/{:08d}.jpg"),
        ("color\\%08d.jpg", "color/{:08d}.jpg"),
        ("color/", "color/{:08d}.jpg"),
        ("rgb/f%d.png", "rgb/f{}.png"),
        ("%05d.jpg", "{:05d}.jpg"),
    ],
)
def test_the_file_sequence_says_where_the_pictures_are(tmp_path: Path, channel: str, place: str) -> None:
    layouts.write(tmp_path / "bag" / "groundtruth.txt", "1,2,3,4\n" * 2)
    layouts.write(tmp_path / "bag" / "sequence", f"name=bag\nchannels.color={channel}\nwidth=640\nheight=480\n")
    folder, pattern = (tmp_path / "bag" / place).parent, (tmp_path / "bag" / place).name
    layouts.write_pictures(folder, pattern, (1, 2))
    bag = read(tmp_path, "bag")
    assert [str(file) for file in bag.files] == [str(tmp_path / "bag" / place).format(n) for n in (1, 2)]
    assert bag.size == (640, 480)


def test_a_channel_without_numbers_is_refused(tmp_path: Path) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON])
    layouts.write(folder / "sequence", "channels.color=color/film.jpg\n")
    with pytest.raises(DataError, match=r"bag/sequence: channels.color is color/film.jpg; expected such as color/%08d"):
        read(tmp_path, "bag")


@pytest.mark.parametrize("channel", ["/etc/%08d.jpg", "../../%08d.jpg", "..\\%08d.jpg", "C:/%08d.jpg"])
def test_pictures_lie_in_their_sequence(tmp_path: Path, channel: str) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON])
    layouts.write(folder / "sequence", f"channels.color={channel}\n")
    with pytest.raises(DataError, match=r"bag/sequence, channels.color: .* leads out of the data set"):
        read(tmp_path, "bag")


@pytest.mark.parametrize("channel", ["color/%0999999999d.jpg", "color/{0.__class__}%08d.jpg"])
def test_the_pattern_of_pictures_is_a_plain_one(tmp_path: Path, channel: str) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON])
    layouts.write(folder / "sequence", f"channels.color={channel}\n")
    with pytest.raises(DataError, match=r"bag/sequence: channels.color is .*; expected such as color/%08d.jpg"):
        read(tmp_path, "bag")


@pytest.mark.parametrize("width", ["0", "-5", "1" * 5000, "wide", "1000000"])
def test_a_width_that_no_picture_has_is_read_from_the_picture(tmp_path: Path, width: str) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON])
    with (folder / "sequence").open("a") as file:
        file.write(f"width={width}\nheight=480\n")
    assert read(tmp_path, "bag").size == (layouts.WIDTH, layouts.HEIGHT)


@pytest.mark.parametrize("mask", ["m0,0,1000000,1000000,5,7", f"m0,0,{10**30},1,5", "m0, 0, 1000000, 4,5"])
def test_a_mask_larger_than_its_frame_is_not_made(tmp_path: Path, mask: str) -> None:
    layouts.write_vot(tmp_path, "bag", [MASK, mask])
    with pytest.raises(DataError, match=r"bag/groundtruth.txt, line 2: a mask of .* is not of a frame of 16 x 12"):
        read(tmp_path, "bag", "vot2020")


def test_the_target_may_be_absent_in_the_last_frames(tmp_path: Path) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [MASK, "", ""])
    assert read(tmp_path, "bag", "vot2020").regions == (MASK, "", "")
    layouts.write(folder / "groundtruth.txt", f"{MASK}\n\n\n\n \n")  # blank lines behind them
    assert read(tmp_path, "bag", "vot2020").regions == (MASK, "", "")


@pytest.mark.parametrize("tag", ["1e30", "inf", "nan", "x"])
def test_tags_are_whole_numbers(tmp_path: Path, tag: str) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON])
    layouts.write(folder / "occlusion.tag", f"{tag}\n")
    with pytest.raises(DataError, match=r"bag/occlusion.tag is not made of whole numbers"):
        read(tmp_path, "bag")


def test_names_are_those_of_the_list(tmp_path: Path) -> None:
    for name in ("bag", "ball1", "soldier"):
        layouts.write_vot(tmp_path, name, [POLYGON])
    assert open_benchmark("vot2016", tmp_path).names == ("bag", "ball1", "soldier")
    layouts.write(tmp_path / "list.txt", "soldier\nbag\n")
    assert open_benchmark("vot2016", tmp_path).names == ("soldier", "bag")
    assert check(open_benchmark("vot2016", tmp_path)) == ["vot2016: 2 sequences, expected 60"]


def test_another_years_sequences_are_told_from_vot2018s(tmp_path: Path) -> None:
    layouts.write_vot(tmp_path, "ball2", [POLYGON] * 41)
    layouts.write_vot(tmp_path, "leaves", [POLYGON] * 62)
    layouts.write_vot(tmp_path, "agility", [POLYGON])
    layouts.write(tmp_path / "list.txt", "agility\nball2\nleaves\n")
    faults = check(open_benchmark("vot2018", tmp_path))
    assert len(faults) == 59  # ball2 is complete, agility is of 2019
    assert any("leaves/color: 1 of 63 pictures are missing, first 00000063.jpg" in fault for fault in faults)


def test_annotation_and_pictures_must_be_as_many(tmp_path: Path) -> None:
    folder = layouts.write_vot(tmp_path, "bag", [POLYGON] * 3)
    layouts.write(folder / "groundtruth.txt", f"{POLYGON}\n" * 2)
    with pytest.raises(DataError, match=r"bag/groundtruth.txt has 2 lines for 3 frames"):
        read(tmp_path, "bag")
