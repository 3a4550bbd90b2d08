"""COCO files as labelling tools export them: what the form makes optional, and what is told."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from lockon.data.sources import Source, read_source
from lockon.data.sources.fields import are_numbers, is_number
from lockon.data.sources.outlines import code_of_runs, runs_of
from lockon.errors import DataError, PictureError
from tests import scenes

Content = dict[str, Any]
BOX = [34.0, 34.0, 33.0, 33.0]  # of the disc in the first picture
SQUARE = [34, 34, 66, 34, 66, 66, 34, 66]
EMPTY = np.zeros((scenes.HEIGHT, scenes.WIDTH), np.uint8)


def content(count: int = 2) -> Content:
    """Pictures with one object each, with all fields."""
    size = {"width": scenes.WIDTH, "height": scenes.HEIGHT}
    return {
        "images": [{"id": n, "file_name": f"{n}.jpg", **size} for n in range(count)],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {
                "id": 10 + n,
                "image_id": n,
                "category_id": 1,
                "bbox": BOX,
                "area": 9,
                "iscrowd": 0,
                "segmentation": [SQUARE],
            }
            for n in range(count)
        ],
    }


def write(root: Path, data: object) -> Path:
    """The published layout; pictures 0.jpg and 1.jpg."""
    if not (root / "train2017").exists():
        scenes.write_frames(root / "train2017", "{}.jpg", range(2))
        (root / "annotations").mkdir()
    (root / "annotations/instances_train2017.json").write_text(json.dumps(data))
    return root


def read(root: Path, change: Callable[[Content], object] = lambda data: None, count: int = 2) -> Source:
    data = content(count)
    change(data)
    return read_source("coco", [str(write(root, data))])


def of_each(**fields: object) -> Callable[[Content], None]:
    """Changes fields of every annotation; those that become ... are taken away."""

    def change(data: Content) -> None:
        for row in data["annotations"]:
            row.update(fields)
            for name in [name for name, value in row.items() if value is ...]:
                del row[name]

    return change


@pytest.mark.parametrize(
    "change",
    [
        of_each(iscrowd=...),
        of_each(iscrowd=None),
        of_each(iscrowd=False),
        of_each(iscrowd="0"),
        of_each(area=...),
        of_each(category_id=...),
        of_each(id=...),
        of_each(segmentation=[SQUARE], keypoints=[1, 2, 2], num_keypoints=1),
        of_each(segmentation=SQUARE),  # one polygon without its list
        lambda data: data.pop("categories"),
        lambda data: [row.update(image_id=str(row["image_id"])) for row in data["annotations"]],
        lambda data: [row.update(image_id=float(row["image_id"])) for row in data["annotations"]],
        lambda data: [row.update(id=str(row["id"])) for row in data["images"]],
        lambda data: (
            [row.update(id=20231231235959123) for row in data["images"][:1]]
            + [row.update(image_id=20231231235959123) for row in data["annotations"][:1]]
        ),
        lambda data: [row.pop("width") for row in data["images"]],
        lambda data: [row.update(width=None, height=None) for row in data["images"]],
        lambda data: [row.update(width=0, height=0) for row in data["images"]],
        lambda data: [row.update(width=float(scenes.WIDTH)) for row in data["images"]],
        lambda data: [row.update(file_name=f"./{row['file_name']}") for row in data["images"]],
        lambda data: [row.update(file_name=f"train2017\\{row['file_name']}") for row in data["images"]],
    ],
)
def test_what_the_form_makes_optional_is_optional(tmp_path: Path, change: Callable[[Content], object]) -> None:
    source = read(tmp_path, change)
    assert source.dropped == {}
    shot = source.stills[0].shot(0)
    assert shot.box == tuple(BOX)
    assert shot.mask is not None
    assert (shot.mask > 0).sum() == pytest.approx(32 * 32, rel=0.1)


def test_pictures_may_lie_in_folders(tmp_path: Path) -> None:
    write(tmp_path, content())
    (tmp_path / "train2017/sub").mkdir()
    os.rename(tmp_path / "train2017/1.jpg", tmp_path / "train2017/sub/1.jpg")
    source = read(tmp_path, lambda data: data["images"][1].update(file_name="sub/1.jpg"))
    assert source.stills[1].image.path.endswith("train2017/sub/1.jpg")


@pytest.mark.parametrize(
    "change", [{"segmentation": ...}, {"segmentation": None}, {"segmentation": []}, {"segmentation": {}}]
)
def test_an_object_without_mask_keeps_its_box(tmp_path: Path, change: dict[str, object]) -> None:
    source = read(tmp_path, of_each(**change))
    assert (source.dropped, source.stills[0].masks) == ({}, None)
    assert source.stills[0].shot(0).box == tuple(BOX)


@pytest.mark.parametrize(
    "polygons",
    [[[]], [[60, 80, 40, 40]], [60, 80, 40, 40], [[1, 2]], [[0, 0, 1e8, 0, 1e8, 1e8]], [[-5e3, 0, 9, 9, 0, 9]]],
)
def test_outlines_without_area_or_far_away_are_left_out_and_counted(tmp_path: Path, polygons: object) -> None:
    source = read(tmp_path, of_each(segmentation=polygons))
    assert source.dropped == {"masks left out (an outline without area, or far outside the picture)": 2}
    assert source.stills[0].shot(0).mask is None


def test_masks_and_no_masks_are_told_apart_in_one_picture(tmp_path: Path) -> None:
    def change(data: Content) -> None:
        data["annotations"][1].update(image_id=0, segmentation=None)

    one, _ = read(tmp_path, change).stills
    assert one.shot(0).mask is not None
    assert one.shot(1).mask is None


@pytest.mark.parametrize("coded", [True, False])
def test_masks_may_be_run_lengths(tmp_path: Path, coded: bool) -> None:
    mask = EMPTY.copy()
    mask[34:67, 34:67] = 1
    code = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
    counts = code if coded else runs_of(code, "")
    source = read(tmp_path, of_each(segmentation={"size": list(mask.shape), "counts": counts}))
    shot = source.stills[0].shot(0)
    assert shot.mask is not None
    assert np.array_equal(shot.mask, mask * 255)


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**32))
def test_run_lengths_are_those_of_pycocotools(height: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.asfortranarray(rng.random((height, width)) < rng.random(), dtype=np.uint8)
    code = coco_mask.encode(mask)["counts"]
    runs = runs_of(code.decode(), "")
    assert np.array_equal(np.repeat(np.arange(len(runs)) % 2, runs), mask.T.ravel())
    assert code_of_runs(runs, "", height, width) == code


@pytest.mark.parametrize("box", [..., None, []])
def test_the_bounds_of_a_mask_are_its_box_where_it_has_none(tmp_path: Path, box: object) -> None:
    source = read(tmp_path, of_each(bbox=box))
    assert source.stills[0].shot(0).box == pytest.approx(BOX, abs=1.5)
    assert source.dropped == {}


def test_keypoints_alone_are_no_target_and_are_counted(tmp_path: Path) -> None:
    source = read(tmp_path, of_each(bbox=..., segmentation=..., keypoints=[1, 2, 2], num_keypoints=1))
    assert str(source) == "coco: 2 pictures, 2 boxes left out (missing)"
    assert np.isnan(source.stills[0].boxes).all()


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    def change(data: Content) -> None:
        first, second = data["annotations"]
        first.update(iscrowd=1)
        second.update(image_id=0)
        data["annotations"] += [{"image_id": 7, "bbox": BOX}, {"image_id": 0, "bbox": [5, 5, 0, 9]}]

    assert str(read(tmp_path, change)) == (
        "coco: 2 pictures, 1 annotations of no picture in the file, 1 pictures without annotations, "
        "1 boxes left out (crowd), 1 boxes left out (empty)"
    )


@pytest.mark.parametrize("annotations", [..., None, []])
def test_a_file_without_annotations_is_pictures_alone_and_says_so(tmp_path: Path, annotations: object) -> None:
    def change(data: Content) -> None:
        data["annotations"] = annotations
        if annotations is ...:
            del data["annotations"]

    assert str(read(tmp_path, change)) == "coco: 2 pictures, 2 pictures without annotations"


def test_a_join_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"none of its 2 annotations is of one of its 2 images; the first has image_id 'a'"
    ):
        read(tmp_path, of_each(image_id="a"))


NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            of_each(bbox=["1", "2", "3", "4"]),
            r"annotation 10: the box \['1', '2', '3', '4'\] is not x, y, w, h: four finite",
        ),
        (of_each(bbox=[1, 2, 3]), r"annotation 10: the box \[1, 2, 3\] is not x, y, w, h"),
        (of_each(bbox=[1, 2, 3, True]), r"annotation 10: the box .* is not x, y, w, h"),
        (of_each(bbox=[1, 2, NAN, 4]), r"annotation 10: the box \[1, 2, nan, 4\] is not x, y, w, h"),
        (of_each(bbox=[1, 2, 10**400, 4]), r"annotation 10: the box .* is not x, y, w, h"),
        (of_each(bbox={"x": 1}), r"annotation 10: the box .* is not x, y, w, h"),
        (of_each(bbox="1,2,3,4", id=...), r"annotations\[0\]: the box '1,2,3,4' is not x, y, w, h"),
        (of_each(segmentation=[[1, 2, 3]]), r"annotation 10: the polygon \[1, 2, 3\] is not x, y, x, y"),
        (of_each(segmentation=[["a", "b"]]), r"annotation 10: the polygon \['a', 'b'\] is not x, y, x, y"),
        (of_each(segmentation=[None]), r"annotation 10: the polygon None is not x, y, x, y"),
        (of_each(segmentation=[[[1, 2], [3, 4]]]), r"annotation 10: the polygon .* is not x, y, x, y"),
        (of_each(segmentation=[[1, NAN] * 4]), r"annotation 10: the polygon .* is not x, y, x, y"),
        (of_each(segmentation="polygon"), r"annotation 10: its mask is a text; expected a list of polygons"),
        (of_each(segmentation={"counts": [1]}), r"annotation 10: its mask is not of the picture's size, 120 x 160"),
        (
            of_each(segmentation={"size": [10**6, 10**6], "counts": [10**12]}),
            r"annotation 10: its mask is not of the picture's size, 120 x 160",
        ),
        (of_each(segmentation={"size": [120, 160], "counts": [5]}), r"add up to 5, not to 120 x 160 pixels"),
        (of_each(segmentation={"size": [120, 160], "counts": [-5, 19205]}), r"its mask has no run lengths"),
        (of_each(segmentation={"size": [120, 160], "counts": None}), r"its mask has no run lengths"),
        (of_each(segmentation={"size": [120, 160], "counts": ""}), r"add up to 0, not to 120 x 160 pixels"),
        (of_each(segmentation={"size": [120, 160], "counts": "é"}), r"are not in COCO's code"),
        (of_each(segmentation={"size": [120, 160], "counts": "o" * 99}), r"are not in COCO's code"),
        (of_each(segmentation={"size": [120, 160], "counts": "oo"}), r"end within a number"),
        (of_each(iscrowd=2), r"annotation 10: iscrowd is a number; expected 0 or 1"),
        (of_each(iscrowd=[1]), r"annotation 10: iscrowd is a list; expected 0 or 1"),
        (of_each(image_id=...), r"annotation 10: image_id is null, not a whole number or a text"),
        (of_each(image_id=[1]), r"annotation 10: image_id is a list"),
        (of_each(image_id=0.5), r"annotation 10: image_id is a number, not a whole number"),
        (of_each(image_id=True), r"annotation 10: image_id is true or false"),
        (lambda data: data["images"][0].pop("id"), r"images\[0\]: id is null, not a whole number or a text"),
        (lambda data: data["images"][1].update(id=0.0), r"two images have the id 0"),
        (lambda data: data["images"][0].pop("file_name"), r"image 0, file_name: None is not the path of a file"),
        (lambda data: data["images"][0].update(file_name="/a/0.jpg"), r"image 0, file_name: '/a/0.jpg' leads out of"),
        (lambda data: data["images"][0].update(file_name="../0.jpg"), r"image 0, file_name: '../0.jpg' leads out of"),
        (lambda data: data["images"][0].update(file_name="..\\0.jpg"), r"image 0, file_name: .* leads out of"),
        (lambda data: data["images"][0].update(file_name="C:\\0.jpg"), r"image 0, file_name: .* leads out of"),
        (
            lambda data: data["images"][0].update(file_name="gone/0.jpg"),
            r"train2017/gone/0.jpg is annotated but missing",
        ),
        (lambda data: data["images"][0].update(width="160"), r"image 0, width: '160' is no width or height"),
        (lambda data: data["images"][0].update(height=-1), r"image 0, height: -1 is no width or height"),
        (lambda data: data["images"][0].update(width=10**6), r"image 0, width: 1000000 is no width or height"),
        (lambda data: data.update(images={"0": 1}), r"images is an object, not a list"),
        (lambda data: data.update(annotations=[1]), r"annotations\[0\] is a number, not an object with fields"),
        (lambda data: data.pop("images"), r"none of its 2 annotations is of one of its 0 images"),
        (lambda data: data.clear(), r"coco: no pictures found"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_id(
    tmp_path: Path, change: Callable[[Content], object], says: str
) -> None:
    with pytest.raises(DataError, match=says) as error:
        read(tmp_path, change)
    assert "instances_train2017.json" in str(error.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "instances_train2017.json is empty"),
        ("[]", "instances_train2017.json: the content is a list, not an object"),
        ("7", "the content is a number"),
        ('{"images": ', "is not JSON, perhaps half copied"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_file_of_another_form_says_so(tmp_path: Path, text: str, says: str) -> None:
    root = write(tmp_path, {})
    (root / "annotations/instances_train2017.json").write_text(text)
    with pytest.raises(DataError, match=says):
        read_source("coco", [str(root)])


def test_a_mask_of_a_claimed_size_is_not_made_before_the_picture_has_it(tmp_path: Path) -> None:
    """65,500 x 65,500 pixels would take four gigabytes."""
    source = read(tmp_path, lambda data: data["images"][0].update(width=65_500, height=65_500))
    with pytest.raises(PictureError, match=r"picture is 160 x 120 pixels, its mask is of another size: 65500 x 65500"):
        source.stills[0].shot(0)


def test_an_absurdly_long_outline_is_refused_before_it_is_drawn(tmp_path: Path) -> None:
    def change(data: Content) -> None:
        data["images"][0].update(width=65_500, height=65_500)
        data["annotations"][0].update(segmentation=[[0, 0, 65_000, 65_000] * 100])

    with pytest.raises(DataError, match=r"annotation 10: a polygon is longer than 2000000 pixels"):
        read(tmp_path, change)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["0.jpg", 0, 1]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
PLACES = [("images", key) for key in ("id", "file_name", "width", "height")] + [
    ("annotations", key) for key in ("id", "image_id", "bbox", "iscrowd", "segmentation")
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PLACES), JSON)
def test_any_value_anywhere_is_read_or_an_error_of_the_data(
    tmp_path: Path, place: tuple[str, str], value: object
) -> None:
    try:
        source = read(tmp_path, lambda data: data[place[0]][0].update({place[1]: value}))
        [
            still.shot(number)
            for still in source.stills
            for number in np.flatnonzero(~np.isnan(still.boxes[:, 0])).tolist()
        ]
    except DataError:
        return
    assert len(source.stills) == 2


@settings(max_examples=300)
@given(st.lists(st.integers() | st.floats() | st.booleans() | st.text(max_size=1) | st.just(10**400), max_size=5))
def test_many_numbers_are_checked_as_each_is(values: list[object]) -> None:
    assert are_numbers(values) == all(map(is_number, values))
