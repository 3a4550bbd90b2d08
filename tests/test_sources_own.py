"""``images`` and ``clips``: annotations of one's own with slips, tars and folders that are not what they should be."""

import io
import json
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockon.data.sources import Source, read_source
from lockon.errors import DataError, PictureError
from tests import scenes

NAN = float("nan")
JPEG = scenes.jpeg(scenes.picture()[0])
IMAGE = {"image": "sub/1.jpg", "w": scenes.WIDTH, "h": scenes.HEIGHT, "boxes": [[34, 34, 33, 33]]}
CLIP = {"clip": "sub", "frames": [1, 2], "boxes": [[34, 34, 33, 33], None]}
FILES = {"sub/1.jpg": JPEG, "sub/00000001.jpg": JPEG, "sub/00000002.jpg": JPEG, "2.jpg": JPEG}


def read(folder: Path, *rows: object, kind: str = "images", text: bytes | None = None) -> Source:
    """A folder with these lines."""
    lines = "\n".join(map(json.dumps, rows)).encode() if text is None else text
    return read_source(kind, [str(scenes.write_folder(folder, FILES | {"annotations.jsonl": lines}))])


def image(**fields: object) -> dict[str, object]:
    return {name: value for name, value in {**IMAGE, **fields}.items() if value is not ...}


def clip(**fields: object) -> dict[str, object]:
    return {name: value for name, value in {**CLIP, **fields}.items() if value is not ...}


@pytest.mark.parametrize(
    "row",
    [
        image(),
        image(image="./sub/1.jpg"),
        image(image="sub//1.jpg"),
        image(image="sub\\1.jpg"),
        image(w=..., h=...),
        image(w=None, h=None),
        image(w=float(scenes.WIDTH)),
        image(mask=None, polygons=None),
        image(names=["disc"], licence={"of": [1, 2]}, frame=3),  # fields besides ours
    ],
)
def test_lines_of_pictures_are_read_as_they_are_meant(tmp_path: Path, row: dict[str, object]) -> None:
    source = read(tmp_path, row)
    assert str(source) == "images: 1 pictures"
    assert source.stills[0].shot(0).box == (34, 34, 33, 33)


@pytest.mark.parametrize("boxes", [..., None, []])
def test_a_line_without_boxes_is_a_picture_without_label(tmp_path: Path, boxes: object) -> None:
    assert len(read(tmp_path, image(boxes=boxes)).stills[0].boxes) == 0


@pytest.mark.parametrize("row", [clip(), clip(clip="sub/"), clip(clip="./sub"), clip(frames=[1.0, 2.0]), clip(track=1)])
def test_lines_of_clips_are_read_as_they_are_meant(tmp_path: Path, row: dict[str, object]) -> None:
    (track,) = read(tmp_path, row, kind="clips").tracks
    assert (track.visible.tolist(), track.name) == ([True, False], "sub")


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf%s\n%s",
        b"%s\r\n%s\r\n",
        b"\n%s\n\n  \n%s\n\n",
        b"%s\r%s",
    ],
)
def test_lines_may_end_as_on_any_system_and_be_blank(tmp_path: Path, text: bytes) -> None:
    rows = [json.dumps(row, ensure_ascii=False).encode() for row in (image(note="a\u2028b"), image(image="2.jpg"))]
    assert len(read(tmp_path, text=text % tuple(rows)).stills) == 2


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (image(image=["sub/1.jpg"]), r"image: \['sub/1.jpg'\] is not the path of a file"),
        (image(image=None), "image: None is not the path of a file"),
        (image(image="/etc/passwd"), "image: '/etc/passwd' leads out of the data set"),
        (image(image="../1.jpg"), "image: '../1.jpg' leads out of the data set"),
        (image(image="sub\0"), "image: .* has characters that no name has"),
        (image(image=...), "there is no field 'image', which names what the line is of"),
        (image(w="160"), "w: '160' is no width or height"),
        (image(w=0), "w: 0 is no width or height"),
        (image(h=10**12), "h: 1000000000000 is no width or height"),
        (image(h=NAN), "h: nan is no width or height"),
        (image(h=True), "h: True is no width or height"),
        (image(boxes=7), "boxes is a number; expected a list of x, y, w, h"),
        (image(boxes={"x": 1}), "boxes is an object; expected a list"),
        (image(boxes=[1, 2, 3, 4]), r"boxes\[0\]: the box 1 is not x, y, w, h: four finite numbers"),
        (image(boxes=[[1, 2, 3]]), r"boxes\[0\]: the box \[1, 2, 3\] is not x, y, w, h"),
        (image(boxes=[[1, 2, 3, 4], [1, 2, "3", 4]]), r"boxes\[1\]: the box \[1, 2, '3', 4\] is not x, y, w, h"),
        (image(boxes=[[1, 2, NAN, 4]]), r"boxes\[0\]: the box \[1, 2, nan, 4\] is not x, y, w, h"),
        (image(boxes=[[1, 2, float("inf"), 4]]), r"boxes\[0\]: the box \[1, 2, inf, 4\] is not x, y, w, h"),
        (image(boxes=[[]]), r"boxes\[0\]: the box \[\] is not x, y, w, h"),
        (image(boxes=..., bboxes=[[1, 2, 3, 4]]), "there is no field 'bboxes'; did you mean 'boxes'"),
        (image(boxes=..., Boxes=[[1, 2, 3, 4]]), "there is no field 'Boxes'; did you mean 'boxes'"),
        (image(masks="2.png"), "there is no field 'masks'; did you mean 'mask'"),
        (image(mask="gone.png"), "gone.png is annotated but missing"),
        (image(mask=7), "mask: 7 is not the path of a file"),
        (image(mask="/a.png"), "mask: '/a.png' leads out of the data set"),
        (image(polygons=[[[1e9, 0, 1, 1, 2, 2]]]), "the polygons of sub/1.jpg are not"),
        (image(polygons=[[[NAN, 0, 1, 1, 2, 2]]]), "the polygons of sub/1.jpg are not"),
        (image(polygons=[{}]), "the polygons of sub/1.jpg are not"),
        (image(polygons=7), "the polygons of sub/1.jpg are not"),
        (image(polygons=[None], w=...), "they need w and h"),
        ([1], "is not JSON lines of one object each: .*line 2: it is a list"),
    ],
)
def test_a_slip_in_a_line_of_pictures_is_named_with_file_and_line(tmp_path: Path, row: object, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read(tmp_path, image(image="2.jpg"), row)
    assert "annotations.jsonl" in str(error.value) or "annotated but missing" in str(error.value)
    assert "line 2" in str(error.value) or "annotated but missing" in str(error.value)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (clip(boxes=None), "sub has 2 frames but 0 boxes"),
        (clip(boxes=...), "sub has 2 frames but 0 boxes"),
        (clip(boxes=[None]), "sub has 2 frames but 1 boxes"),
        (clip(clip=5), "clip: 5 is not the path of a file"),
        (clip(clip="../sub"), "clip: '../sub' leads out of the data set"),
        (clip(clip="."), "clip: '.' is not the path of a file"),
        (clip(clip="gone"), "gone/00000001.jpg is annotated but missing"),
        (clip(frames=[2, 1]), r"the frames of sub are not given as first, last: \[2, 1\]"),
        (clip(frames=[1.5, 2.5]), "the frames of sub are not given as first, last"),
        (clip(frames=["1", "2"]), "the frames of sub are not given as first, last"),
        (clip(frames=[-1, 0]), "the frames of sub are not given as first, last"),
        (clip(frames=[1, 2, 3]), "the frames of sub are not given as first, last"),
        (clip(frames=[True, 2]), "the frames of sub are not given as first, last"),
        (clip(frames=[1, NAN]), "the frames of sub are not given as first, last"),
        (clip(frames=None), "the frames of sub are not given as first, last: None"),
        (clip(frames=[1, 10**12]), "the frames of sub are not given as first, last"),
        (clip(frames=[1, 10**7]), "sub has 10000000 frames but 2 boxes"),
        (clip(frames=..., frame=[1, 2]), "there is no field 'frame'; did you mean 'frames'"),
        (clip(boxes=[[1, 2, 3, 4], [1, 2, NAN, 4]]), r"boxes\[1\]: the box \[1, 2, nan, 4\] is not x, y, w, h"),
    ],
)
def test_a_slip_in_a_line_of_clips_is_named_with_file_and_line(tmp_path: Path, row: object, says: str) -> None:
    with pytest.raises(DataError, match=says) as error:
        read(tmp_path, row, kind="clips")
    assert "annotations.jsonl, line 1" in str(error.value) or "annotated but missing" in str(error.value)


def test_a_span_of_frames_takes_no_memory_by_itself(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read(tmp_path, clip(frames=[1, 99_999_998]), kind="clips")
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("kind", "row"), [("images", image()), ("clips", clip())])
def test_the_same_line_twice_is_told(tmp_path: Path, kind: str, row: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"annotations.jsonl, line 2: the same as line 1"):
        read(tmp_path, row, row, kind=kind)


def test_one_clip_may_have_several_tracks(tmp_path: Path) -> None:
    assert len(read(tmp_path, clip(track=1), clip(track=2), kind="clips").tracks) == 2


def test_one_broken_line_is_named(tmp_path: Path) -> None:
    text = json.dumps(image()).encode() + b'\n\n{"image": "2.jpg", "boxes": [[1,\n'
    with pytest.raises(DataError, match=r"annotations.jsonl is not JSON lines of one object each: line 3 is not JSON"):
        read(tmp_path, text=text)


def test_a_file_of_other_labels_is_checked_alike(tmp_path: Path) -> None:
    folder = scenes.write_folder(tmp_path / "set", FILES)
    (tmp_path / "labels.jsonl").write_bytes(b"\xef\xbb\xbf" + json.dumps(image(boxes=[[1, 2, 3]])).encode())
    with pytest.raises(DataError, match=r"labels.jsonl, line 1, boxes\[0\]: the box \[1, 2, 3\] is not x, y, w, h"):
        read_source(f"images:{tmp_path / 'labels.jsonl'}", [str(folder)])


def test_labels_of_a_name_that_two_places_have_are_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        scenes.write_tar(tmp_path / f"{name}.tar", {"1.jpg": JPEG})
    (tmp_path / "labels.jsonl").write_text(json.dumps(image(image="1.jpg")))
    source = read_source(f"images:{tmp_path / 'labels.jsonl'}", [str(tmp_path / "?.tar")])
    assert source.dropped == {"files of a name that is in several places, of which the last is taken": 1}
    assert source.stills[-1].image.path.endswith("b.tar")


def test_a_polygon_of_a_claimed_size_is_not_made_before_the_picture_has_it(tmp_path: Path) -> None:
    source = read(tmp_path, image(w=65_000, h=65_000, polygons=[[[34, 34, 60, 34, 60, 60]]]))
    with pytest.raises(PictureError, match=r"its mask is of another size: 65000 x 65000"):
        source.stills[0].shot(0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(["sub", 1, 2]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["image", "w", "h", "boxes", "mask", "polygons", "clip", "frames"]), JSON)
def test_any_value_anywhere_is_read_or_an_error_of_the_data(tmp_path: Path, name: str, value: object) -> None:
    of_clip = name in ("clip", "frames")
    row = clip(**{name: value}) if of_clip else image(**{name: value})
    try:
        source = read(tmp_path, row, kind="clips" if of_clip else "images")
        [still.shot(n) for still in source.stills for n in np.flatnonzero(~np.isnan(still.boxes[:, 0])).tolist()]
    except DataError:
        return
    assert len(source.stills) + len(source.tracks) == 1


# Folders


def test_files_that_are_no_pictures_are_counted(tmp_path: Path) -> None:
    files = {"a.jpg": JPEG, "b.heic": b"", "labels.json": b"{}", "._a.jpg": b"what some systems leave behind"}
    source = read_source("images", [str(scenes.write_folder(tmp_path, files))])
    assert str(source) == "images: 1 pictures, 2 files that are no pictures by their names"


def test_links_are_followed_and_end(tmp_path: Path) -> None:
    scenes.write_folder(tmp_path / "disk", {"x/a.jpg": JPEG})
    (tmp_path / "set").mkdir()
    (tmp_path / "set/linked").symlink_to(tmp_path / "disk")
    (tmp_path / "disk/x/above").symlink_to(tmp_path / "disk")
    source = read_source("images", [str(tmp_path / "set")])
    assert [still.image.path for still in source.stills] == [str(tmp_path / "set/linked/x/a.jpg")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_no_files(tmp_path: Path) -> None:
    scenes.write_folder(tmp_path / "set", {"a.jpg": JPEG})
    os.mkfifo(tmp_path / "set/b.jpg")
    os.mkfifo(tmp_path / "set/annotations.jsonl")
    os.mkfifo(tmp_path / "pipe.tar")
    assert len(read_source("images", [str(tmp_path / "set")]).stills) == 1
    with pytest.raises(DataError, match=r"pipe.tar: cannot read this data: it is a named pipe, not a file"):
        read_source("images", [str(tmp_path / "*.tar")])


def test_brackets_in_the_name_of_a_folder_are_no_pattern(tmp_path: Path) -> None:
    for name in ("set[1]", "set1"):
        scenes.write_folder(tmp_path / name, {"a.jpg": JPEG})
    (still,) = read_source("images", [str(tmp_path / "set[1]")]).stills
    assert "set[1]" in still.image.path


def test_a_packed_file_of_another_kind_says_so(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"set.zip: neither a folder nor an uncompressed .tar; unpack it"):
        read_source("images", [str(tmp_path / "set.zip")])


# Tars

Change = Callable[[tarfile.TarInfo], object]


def write_tar(path: Path, *members: tuple[str, bytes, Change | None], shape: int = tarfile.GNU_FORMAT) -> Path:
    """A tar of files with changed headers."""
    with tarfile.open(path, "w", format=shape) as tar:
        for name, data, change in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            if change:
                change(info)
            tar.addfile(info, io.BytesIO(data))
    return path


def link(kind: bytes, target: str) -> Change:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = kind, target, 0

    return change


@pytest.mark.parametrize("name", ["/etc/a.jpg", "../a.jpg", "x/../../a.jpg"])
def test_a_name_that_leads_out_of_a_tar_is_refused(tmp_path: Path, name: str) -> None:
    tar = write_tar(tmp_path / "a.tar", ("b.jpg", JPEG, None), (name, JPEG, None))
    with pytest.raises(DataError, match=f"a.tar: '{name}' leads out of the data set"):
        read_source("images", [str(tar)])


def test_a_tar_that_is_cut_short_anywhere_is_told(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "a.tar", ("a.jpg", JPEG, None), ("b.jpg", JPEG, None)).read_bytes()
    member = 512 + -(-len(JPEG) // 512) * 512
    for length in (100, 512, 600, member - 700, member, member + 100, member + 512, member + 600, 2 * member):
        (tmp_path / "a.tar").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a.tar: (cannot read this data|the tar is cut short|[ab].jpg is cut off)"):
            read_source("images", [str(tmp_path / "a.tar")])


def test_a_tar_with_a_damaged_header_is_told(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", ("a.jpg", JPEG, None), ("b.jpg", JPEG, None))
    data = bytearray(tar.read_bytes())
    data[512 + -(-len(JPEG) // 512) * 512] ^= 255
    tar.write_bytes(data)
    with pytest.raises(DataError, match=r"a.tar: the tar is cut short or damaged: at byte \d+ there is neither"):
        read_source("images", [str(tar)])


def test_a_tar_behind_a_tar_is_told(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "a.tar", ("a.jpg", JPEG, None))
    tar.write_bytes(2 * tar.read_bytes())
    with pytest.raises(DataError, match=r"a.tar: the tar goes on behind its end, at byte \d+"):
        read_source("images", [str(tar)])


@pytest.mark.parametrize("size", [10**11, -512, -(10**6)])
def test_a_size_that_is_claimed_is_checked(tmp_path: Path, size: int) -> None:
    """A negative one sends Python's own reader round in a circle."""

    def change(info: tarfile.TarInfo) -> None:
        info.size = size

    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("b.jpg"))
        info = tarfile.TarInfo("a.jpg")
        change(info)
        tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    with pytest.raises(DataError, match=r"a.tar: (a.jpg is cut off or damaged|cannot read this data)"):
        read_source("images", [str(tmp_path / "a.tar")])


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.map": f"0,{len(JPEG)}"}
        info.pax_headers["GNU.sparse.size"] = str(len(JPEG))

    tar = write_tar(tmp_path / "a.tar", ("a.jpg", JPEG, change), shape=tarfile.PAX_FORMAT)
    with pytest.raises(DataError, match=r"a.tar: a.jpg is stored sparse, with holes; make the tar without --sparse"):
        read_source("images", [str(tar)])


def test_links_in_a_tar_lead_to_its_own_files_alone(tmp_path: Path) -> None:
    tar = write_tar(
        tmp_path / "a.tar",
        ("x/a.jpg", JPEG, None),
        ("hard.jpg", b"", link(tarfile.LNKTYPE, "x/a.jpg")),
        ("x/soft.jpg", b"", link(tarfile.SYMTYPE, "a.jpg")),
        ("out.jpg", b"", link(tarfile.SYMTYPE, "/etc/passwd")),
        ("above.jpg", b"", link(tarfile.SYMTYPE, "../../b.jpg")),
    )
    source = read_source("images", [str(tar)])
    assert source.dropped == {"files that are links out of the tar": 2}
    assert [still.image.size for still in source.stills] == [len(JPEG)] * 3


def test_of_files_of_one_name_in_a_tar_the_last_counts_and_it_is_told(tmp_path: Path) -> None:
    other = scenes.jpeg(scenes.picture(5)[0])
    (still,) = (source := read_source("images", [str(_twice(tmp_path, other))])).stills
    assert still.image.size == len(other)
    assert source.dropped == {"files of a name that comes again later in the tar": 1}


def _twice(folder: Path, other: bytes) -> Path:
    return write_tar(folder / "a.tar", ("a.jpg", JPEG, None), ("./a.jpg", other, None))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_tar_with_any_damage_is_read_or_an_error_of_the_data(tmp_path: Path, data: Any) -> None:
    whole = bytearray(
        write_tar(tmp_path / "a.tar", ("a.jpg", b"1" * 700, None), ("b.jpg", b"2" * 90, None)).read_bytes()
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, 4096))] = data.draw(st.integers(0, 255))
    (tmp_path / "a.tar").write_bytes(whole[: data.draw(st.integers(0, len(whole)))])
    try:
        source = read_source("images", [str(tmp_path / "a.tar")])
    except DataError:
        return
    assert all(still.image.offset + still.image.size <= len(whole) for still in source.stills)
