"""YouTube-BB and YouTube-VOS. Miniatures in the published layout."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lockon.data.sources import PictureFile, read_source
from lockon.errors import DataError, PictureError
from tests import scenes

PALETTE = bytes([0, 0, 0, 236, 95, 103, 249, 145, 87])


def palette_png(labels: np.ndarray) -> bytes:
    """(H, W) uint8 labels as a PNG with a palette, as YouTube-VOS has them."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = labels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in labels)
    chunks = [(b"IHDR", header), (b"PLTE", PALETTE), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def write_bb(root: Path) -> None:
    """One segment of four seconds: absent in the second, no longer to be had in the third, empty in the fourth."""
    folder = root / "yt_bb_detection_train" / "11"
    (x, y, w, h), _, _ = scenes.write_frames(folder, "vid-_1_{}_11_0.jpg", (0, 1000, 3000))
    good = f"{x / scenes.WIDTH},{(x + w) / scenes.WIDTH},{y / scenes.HEIGHT},{(y + h) / scenes.HEIGHT}"
    rows = [
        f"vid-_1,2000,11,cat,0,present,{good}",
        "vid-_1,3000,11,cat,0,present,0.5,0.5,0.1,0.2",
        f"vid-_1,0,11,cat,0,present,{good}",
        "gone,0,11,cat,0,present,0.1,0.2,0.1,0.2",
        "vid-_1,1000,11,cat,0,absent,-1.0,-1.0,-1.0,-1.0",
    ]
    (root / "yt_bb_detection_train.csv").write_text("\n".join(rows) + "\n")


@pytest.mark.parametrize("table", ["yt_bb_detection_train.csv", "youtube_boundingboxes_detection_train.csv"])
def test_youtube_bb_leaves_out_what_is_no_longer_to_be_had(table: str, tmp_path: Path) -> None:
    write_bb(tmp_path)
    (tmp_path / "yt_bb_detection_train.csv").rename(tmp_path / table)
    source = read_source("youtube-bb", [str(tmp_path)])
    (track,) = source.tracks
    assert [Path(track.frames[n].path).name[7:-9] for n in range(3)] == ["0", "1000", "3000"]
    assert track.visible.tolist() == [True, False, False]
    assert track.shot(0).box == pytest.approx(scenes.picture()[1], abs=1e-3)  # published as shares of the picture
    assert source.dropped == {"no picture": 2, "empty": 1}


def test_a_broken_table_and_a_folder_without_pictures_are_named(tmp_path: Path) -> None:
    write_bb(tmp_path)
    for picture in (tmp_path / "yt_bb_detection_train").rglob("*.jpg"):
        picture.unlink()
    with pytest.raises(
        DataError, match=r"youtube-bb: no segments with pictures found in .*expected there: yt_bb_detection"
    ):
        read_source("youtube-bb", [str(tmp_path)])
    with (tmp_path / "yt_bb_detection_train.csv").open("a") as table:
        table.write("vid,20")
    with pytest.raises(DataError, match=r"line 6 of .* is not a row of 10 columns"):
        read_source("youtube-bb", [str(tmp_path)])


def write_vos(root: Path) -> Path:
    """A video of three annotated frames: object 1 is the disc; object 2 is said to be in the last two, but is only in
    the second."""
    boxes = scenes.write_frames(root / "train/JPEGImages/0a", "{:05d}.jpg", (0, 5, 10))
    (root / "train/Annotations/0a").mkdir(parents=True)
    for place, (x, y, w, h) in enumerate(boxes):
        labels = np.zeros((scenes.HEIGHT, scenes.WIDTH), np.uint8)
        cv2.circle(labels, (int(x + w / 2), int(y + h / 2)), int(w / 2), 1, -1)
        labels[5:15, 100:130] = 2 if place == 1 else 0
        (root / f"train/Annotations/0a/{5 * place:05d}.png").write_bytes(palette_png(labels))
    objects = {
        "1": {"category": "disc", "frames": ["00000", "00005", "00010"]},
        "2": {"category": "bar", "frames": ["00005", "00010"]},
    }
    (root / "train/meta.json").write_text(json.dumps({"videos": {"0a": {"objects": objects}}}))
    return root


def test_youtube_vos_has_a_track_with_masks_per_object(tmp_path: Path) -> None:
    disc, bar = read_source("youtube-vos", [str(write_vos(tmp_path))]).tracks
    assert (disc.visible.tolist(), bar.visible.tolist()) == ([True] * 3, [False, True, True])
    assert bar.has_box(1)
    assert not bar.has_box(0)
    shot = disc.shot(2)
    assert shot.box == scenes.picture(2)[1]
    assert shot.mask is not None
    red = (shot.image[..., 0] > 178) & (shot.image[..., 1] < 62)
    assert ((shot.mask == 255) == red).mean() > 0.99
    assert bar.shot(1).box == (100, 5, 30, 10)
    with pytest.raises(PictureError, match=r"0a/00010.jpg: its mask does not show the target"):
        bar.shot(2)


def test_a_half_copied_youtube_vos_is_named_video_by_video(tmp_path: Path) -> None:
    write_vos(tmp_path)
    (tmp_path / "train/Annotations/0a/00010.png").unlink()
    with pytest.raises(DataError, match=r"1 of 1 sequences .*Annotations/0a/00010.png is annotated but missing"):
        read_source("youtube-vos", [str(tmp_path)])
    (tmp_path / "train/meta.json").write_text('{"videos": {"0a"')
    with pytest.raises(DataError, match=r"train/meta.json is not JSON, perhaps half copied"):
        read_source("youtube-vos", [str(tmp_path)])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([], r"train/meta.json: the content is a list, not an object with fields"),
        ({}, r"train/meta.json: videos is null, not an object with fields"),
        ({"videos": []}, r"videos is a list, not an object"),
        ({"videos": {"0a": []}}, r"video 0a is a list, not an object"),
        ({"videos": {"0a": {"expressions": {}}}}, r"objects of video 0a is null, not an object"),
        ({"videos": {"0a": {"objects": {"1": {}}}}}, r"video 0a, object 1: frames is null, not a list"),
        ({"videos": {"0a": {"objects": {"1": None}}}}, r"video 0a, object 1: it is null, not an object"),
        ({"videos": {"0a": {"objects": {"one": {"frames": ["00000"]}}}}}, r"'one' is no object's number from 1 to 255"),
        ({"videos": {"0a": {"objects": {"256": {"frames": ["00000"]}}}}}, r"'256' is no object's number from 1 to 255"),
        (
            {"videos": {"0a": {"objects": {"1": {"frames": [0]}}}}},
            r"video 0a, object 1: frames has '0'; expected numbers",
        ),
        ({"videos": {"0a": {"objects": {"1": {"frames": ["9" * 30]}}}}}, r"video 0a, object 1: frames has '99999999"),
        ({"videos": {"0a": {"objects": {"1": {"frames": ["-1"]}}}}}, r"video 0a, object 1: frames has '-1'"),
        (
            {"videos": {"../0a": {"objects": {"1": {"frames": ["00000"]}}}}},
            r"train/meta.json, videos: '../0a' is a path",
        ),
    ],
)
def test_what_is_wrong_in_meta_json_is_named(content: object, says: str, tmp_path: Path) -> None:
    (write_vos(tmp_path) / "train/meta.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=says):
        read_source("youtube-vos", [str(tmp_path)])


@pytest.mark.parametrize("objects", [{}, {"1": {"frames": []}}])
def test_videos_without_objects_are_left_out_and_counted(objects: object, tmp_path: Path) -> None:
    write_vos(tmp_path)
    good = json.loads((tmp_path / "train/meta.json").read_text())["videos"]
    (tmp_path / "train/meta.json").write_text(json.dumps({"videos": {"0b": {"objects": objects}, **good}}))
    assert str(read_source("youtube-vos", [str(tmp_path)])) == "youtube-vos: 2 tracks, 1 videos without objects"


@pytest.mark.parametrize(
    "row",
    [
        "vid,nan,11,cat,0,present,0.1,0.2,0.1,0.2",
        "vid,inf,11,cat,0,present,0.1,0.2,0.1,0.2",
        "vid,1e300,11,cat,0,present,0.1,0.2,0.1,0.2",
        "vid,0,11,cat,0,present,0.1,nan,0.1,0.2",
        "vid,0,11,cat,0,here,0.1,0.2,0.1,0.2",
        "vid,0,11,cat,0,present,0.1,0.2,0.1,",
        "vid,0,11,cat,0,present,0.1,0.2,0.1,0.2,0.3",
        f"vid,0,11,{'cat' * 100_000},0,present,0.1,0.2,0.1,0.2",
    ],
)
def test_a_row_of_the_table_that_is_none_is_named(row: str, tmp_path: Path) -> None:
    write_bb(tmp_path)
    with (tmp_path / "yt_bb_detection_train.csv").open("a") as table:
        table.write(f"{row}\n")
    with pytest.raises(DataError, match=r"line 6 of .* is not a row of 10 columns: video, milliseconds, class"):
        read_source("youtube-bb", [str(tmp_path)])


def test_a_table_may_have_a_mark_of_its_bytes_order_and_blank_lines(tmp_path: Path) -> None:
    write_bb(tmp_path)
    table = tmp_path / "yt_bb_detection_train.csv"
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes().replace(b"\n", b"\r\n\r\n"))
    assert len(read_source("youtube-bb", [str(tmp_path)]).tracks) == 1
    table.write_bytes(table.read_bytes() + b"caf\xe9")
    with pytest.raises(DataError, match=r"is not UTF-8 text after line"):
        read_source("youtube-bb", [str(tmp_path)])


@pytest.mark.parametrize("row", ["../v,0,11,cat,0", "v,0,../11,cat,0", "v,0,11,cat,a/b"])
def test_names_in_the_table_stay_names(row: str, tmp_path: Path) -> None:
    write_bb(tmp_path)
    (tmp_path / "yt_bb_detection_train.csv").write_text(f"{row},present,0.1,0.2,0.1,0.2\n")
    with pytest.raises(DataError, match=r"the table: '.*' is a path, not a name"):
        read_source("youtube-bb", [str(tmp_path)])


def test_braces_in_a_name_are_no_pattern(tmp_path: Path) -> None:
    scenes.write_frames(tmp_path / "yt_bb_detection_train/11", "{{0}}_{}_11_0.jpg", [0])
    (tmp_path / "yt_bb_detection_train.csv").write_text("{0},0,11,cat,0,present,0.1,0.2,0.1,0.2\n")
    (track,) = read_source("youtube-bb", [str(tmp_path)]).tracks
    assert Path(track.frames[0].path).name == "{0}_0_11_0.jpg"


def test_a_mask_that_cannot_be_read_or_has_another_size_is_an_error_of_that_picture(tmp_path: Path) -> None:
    disc = read_source("youtube-vos", [str(write_vos(tmp_path))]).tracks[0]
    file = tmp_path / "train/Annotations/0a/00000.png"
    for data, says in [
        (file.read_bytes()[:40], "not a readable PNG"),
        (scenes.png(np.zeros((4, 4, 3), np.uint8)), "00000.png: a colour picture; masks are object numbers"),
        (scenes.png(np.ones((4, 4), np.uint8)), "160 x 120 pixels, its mask is of another size"),
    ]:
        file.write_bytes(data)
        with pytest.raises(PictureError, match=says):
            disc.shot(0)


@pytest.mark.parametrize("write", [scenes.png, palette_png])
def test_masks_are_object_numbers_in_a_grey_or_palette_picture(write: Callable[..., bytes], tmp_path: Path) -> None:
    labels = np.array([[0, 1, 1, 0], [2, 2, 0, 0], [1, 0, 0, 2]], np.uint8)
    (tmp_path / "a.png").write_bytes(write(labels))
    for number in range(4):
        assert np.array_equal(PictureFile(str(tmp_path / "a.png")).mask(number), 255 * (labels == number))
