"""ImageNet VID and DET, and COCO: several objects per picture. Miniatures in the published layout."""

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from lockon.data.sources import read_source
from lockon.errors import DataError
from tests import scenes

BOX = scenes.picture()[1]
Thing = tuple[Sequence[float], int | None, bool]  # box, trackid, occluded


def xml(*objects: Thing) -> str:
    """An annotation of ImageNet."""
    text = f"<annotation><size><width>{scenes.WIDTH}</width><height>{scenes.HEIGHT}</height></size>"
    for (x, y, w, h), track, occluded in objects:
        sides = f"<xmax>{x + w:g}</xmax><xmin>{x:g}</xmin><ymax>{y + h:g}</ymax><ymin>{y:g}</ymin>"
        text += "<object>" + (f"<trackid>{track}</trackid>" if track is not None else "") + "<name>n01</name>"
        text += f"<bndbox>{sides}</bndbox>" + (f"<occluded>{int(occluded)}</occluded></object>")
    return text + "</annotation>"


def write_vid(root: Path, part: str = "train") -> None:
    """Five frames: track 0 in frames 1 to 4 but not in 3, occluded in 2; track 1 in the last frame, outside it."""
    video = f"{part}/ILSVRC2015_VID_train_0000/video0" if part == "train" else f"{part}/video0"
    boxes = scenes.write_frames(root / "Data/VID" / video, "{:06d}.JPEG", range(5))
    folder = root / "Annotations/VID" / video
    folder.mkdir(parents=True)
    things: list[list[Thing]] = [
        [],
        [(boxes[1], 0, False)],
        [(boxes[2], 0, True)],
        [],
        [(boxes[4], 0, False), ((400, 5, 20, 20), 1, False)],
    ]
    for number, objects in enumerate(things):
        (folder / f"{number:06d}.xml").write_text(xml(*objects))


@pytest.mark.parametrize("part", ["train", "val"])
def test_vid_has_a_track_per_trackid(part: str, tmp_path: Path) -> None:
    write_vid(tmp_path, part)
    source = read_source(f"vid:{part}", [str(tmp_path)])
    disc, outside = source.tracks
    assert disc.visible.tolist() == [True, False, False, True]
    assert [disc.has_box(n) for n in range(4)] == [True, True, False, True]
    assert disc.frames[0].path.endswith("video0/000001.JPEG")
    assert disc.shot(3).box == scenes.picture(4)[1]
    assert not outside.visible.any()
    assert source.dropped == {"outside the picture": 1}


def test_a_half_copied_vid_is_named_video_by_video(tmp_path: Path) -> None:
    write_vid(tmp_path)
    (video,) = (tmp_path / "Annotations/VID/train").glob("*/*")
    (tmp_path / "Data/VID/train" / video.parent.name / "video0/000004.JPEG").unlink()
    with pytest.raises(DataError, match=r"1 of 1 .*video0/000004.JPEG is annotated but missing"):
        read_source("vid", [str(tmp_path)])
    (video / "000002.xml").write_text("<annotation><object>")
    with pytest.raises(DataError, match=r"video0/000002.xml is not an annotation"):
        read_source("vid", [str(tmp_path)])


GOOD = xml((BOX, 0, False))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("<xmax>67</xmax>", ""), "object has no bndbox/xmax"),
        (GOOD.replace("<xmax>67</xmax>", "<xmax></xmax>"), "bndbox/xmax is '', not a number of pixels"),
        (GOOD.replace("<xmax>67</xmax>", "<xmax>1_0</xmax>"), "bndbox/xmax is '1_0', not a number of pixels"),
        (GOOD.replace("<xmax>67</xmax>", "<xmax>nan</xmax>"), "bndbox/xmax is 'nan', not a number of pixels"),
        (GOOD.replace("<xmax>67</xmax>", "<xmax>1e99</xmax>"), "bndbox/xmax is '1e99', not a number of pixels"),
        (GOOD.replace("size", "shape"), "annotation has no size/width"),
        (GOOD.replace("<width>160", "<width>0"), "its size is 0 x 120 pixels"),
        (GOOD.replace("<width>160", "<width>99999999"), "its size is 1e+08 x 120 pixels"),
        ("", "is empty"),
        ("not xml", "is not an annotation: syntax error"),
        ('<!DOCTYPE a [<!ENTITY x "y">]>' + GOOD, "it declares entities"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>', "it declares entities"),
        ("<annotation>&x;</annotation>", "undefined entity"),
    ],
)
def test_what_is_wrong_in_an_annotation_is_named(text: str, says: str, tmp_path: Path) -> None:
    write_vid(tmp_path)
    (video,) = (tmp_path / "Annotations/VID/train").glob("*/*")
    (video / "000002.xml").write_text(text)
    with pytest.raises(DataError, match=f"video0/000002.xml .*{re.escape(says)}"):
        read_source("vid", [str(tmp_path)])


def test_a_file_of_vid_is_called_by_its_frame(tmp_path: Path) -> None:
    write_vid(tmp_path)
    (video,) = (tmp_path / "Annotations/VID/train").glob("*/*")
    (video / "._000001.xml").write_text("what some systems leave behind")
    assert len(read_source("vid", [str(tmp_path)]).tracks) == 2
    for name in ("one.xml", "9999999999999999999999.xml"):
        (video / name).write_text(GOOD)
        with pytest.raises(DataError, match=f"video0/{name} is not called by the number of its frame"):
            read_source("vid", [str(tmp_path)])
        (video / name).unlink()


def test_a_track_of_vid_has_the_frames_that_have_a_file(tmp_path: Path) -> None:
    """A number far away takes no memory for the frames between."""
    write_vid(tmp_path)
    (video,) = (tmp_path / "Annotations/VID/train").glob("*/*")
    (video / "999999999.xml").write_text(GOOD)
    place = tmp_path / "Data/VID/train" / video.parent.name / "video0"
    (place / "999999999.JPEG").write_bytes((place / "000004.JPEG").read_bytes())
    disc = read_source("vid", [str(tmp_path)]).tracks[0]
    assert [Path(disc.frames[number].path).stem for number in range(len(disc))] == [
        "000001",
        "000002",
        "000003",
        "000004",
        "999999999",
    ]


def write_det(root: Path) -> Path:
    """Two pictures of the training set, one of them without objects."""
    for folder, name in (("ILSVRC2013_train/n01440764", "a_1"), ("ILSVRC2014_train_0000", "b_2")):
        scenes.write_frames(root / "Data/DET/train" / folder, name + ".JPEG", [0])
        (root / "Annotations/DET/train" / folder).mkdir(parents=True)
        objects: list[Thing] = [((5, 5, 0, 9), None, False), (BOX, None, False)] if name == "a_1" else []
        (root / "Annotations/DET/train" / folder / f"{name}.xml").write_text(xml(*objects))
    return root


def test_det_is_stills(tmp_path: Path) -> None:
    source = read_source("det", [str(write_det(tmp_path))])
    one, two = source.stills
    assert one.shot(1).box == BOX
    assert np.isnan(one.boxes[0]).all()
    assert source.dropped == {"empty": 1}
    assert len(two.boxes) == 0


def test_a_half_copied_det_is_named_picture_by_picture(tmp_path: Path) -> None:
    write_det(tmp_path)
    (tmp_path / "Data/DET/train/ILSVRC2014_train_0000/b_2.JPEG").unlink()
    with pytest.raises(DataError, match=r"1 of 2 pictures .*ILSVRC2014_train_0000/b_2.JPEG is annotated but missing"):
        read_source("det", [str(tmp_path)])


def write_coco(root: Path) -> None:
    """Two pictures; the first has the disc as a polygon, a crowd, and a box outside the picture."""
    scenes.write_frames(root / "train2017", "{:012d}.jpg", (9, 25))
    x, y, w, h = BOX
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    disc = np.column_stack([x + w / 2 * (1 + np.cos(angle)), y + h / 2 * (1 + np.sin(angle))])
    square = [200.0, 5, 230, 5, 230, 30, 200, 30]
    things: list[dict[str, object]] = [
        {"id": 1, "image_id": 9, "bbox": [0, 0, 50, 50], "iscrowd": 1, "segmentation": {"counts": [], "size": [1, 1]}},
        {"id": 2, "image_id": 9, "bbox": [200, 5, 30, 25], "iscrowd": 0, "segmentation": [square]},
        {"id": 3, "image_id": 9, "bbox": list(BOX), "iscrowd": 0, "segmentation": [disc.ravel().tolist()]},
    ]
    annotations = [thing | {"category_id": 1} for thing in things]
    size = {"width": scenes.WIDTH, "height": scenes.HEIGHT}
    images = [{"id": n, "file_name": f"{n:012d}.jpg", **size} for n in (9, 25)]
    (root / "annotations").mkdir()
    text = json.dumps({"images": images, "annotations": annotations, "categories": []})
    (root / "annotations/instances_train2017.json").write_text(text)


def test_coco_is_stills_with_masks_and_without_crowds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path)
    source = read_source("coco", [str(tmp_path)])
    one, two = source.stills
    assert source.dropped == {"outside the picture": 1, "crowd": 1, "pictures without annotations": 1}
    assert len(one.boxes) == 2
    shot = one.shot(1)
    assert shot.box == BOX
    assert shot.mask is not None
    red = (shot.image[..., 0] > 178) & (shot.image[..., 1] < 62)
    assert set(np.unique(shot.mask)) == {0, 255}
    assert ((shot.mask == 255) == red).mean() > 0.99
    assert len(two.boxes) == 0
    assert capsys.readouterr().out == ""


def test_a_half_copied_coco_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "train2017/000000000025.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 2 pictures .*train2017/000000000025.jpg is annotated but missing"):
        read_source("coco", [str(tmp_path)])
    (tmp_path / "annotations/instances_train2017.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"instances_train2017.json is not JSON, perhaps half copied"):
        read_source("coco", [str(tmp_path)])


def test_coco_without_pycocotools_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(DataError, match=r"pip install 'lockon\[coco\]'"):
        read_source("coco", [str(tmp_path)])
