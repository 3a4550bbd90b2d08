"""Folders, globs and numbered names: which files are frames, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from lockon.data.sources import read_sources
from lockon.errors import SourceError
from lockon.evaluation.benchmarks.files import list_pictures
from lockon.pictures import IMAGE_SUFFIXES
from lockon.video import FrameSource, open_frames
from tests.clips import grey, numbers


def fill(folder: Path, *names: str) -> Path:
    """Pictures, the first of grey level 0 of ``grey``, and so on; other files are empty."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".png":
            path.write_bytes(cv2.imencode(".png", grey(number))[1].tobytes())
        else:
            path.touch()
    return folder


def read(source: object) -> tuple[list[int], FrameSource]:
    with open_frames(source) as frames:  # type: ignore[arg-type]
        return numbers(list(frames)), frames


# What is left out ------------------------------------------------------------------------------------------------


def test_files_that_are_left_out_are_named(tmp_path: Path) -> None:
    fill(tmp_path, "0.png", "1.png", "2.exr", "preview.gif", ".3.png", "a\x1b[2Jb.dng", "clip.mp4", "x.heic", "y.raw")
    found, source = read(tmp_path)
    assert found == [0, 1]
    assert source.notes == ["left out, 7 in all: 2.exr, .3.png, a\\x1b[2Jb.dng, clip.mp4, preview.gif, and 2 more"]


@pytest.mark.parametrize(
    "name",
    ["groundtruth.txt", "boxes.json", "b.csv", "c.xml", "README.md", "Thumbs.db", ".DS_Store", "._0.png", "LICENSE"],
)
def test_usual_companions_need_no_remark(tmp_path: Path, name: str) -> None:
    fill(tmp_path, "0.png")
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub").mkdir()
    found, source = read(tmp_path)
    assert (found, source.notes) == ([0], [])


def test_two_kinds_of_one_name_are_told(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    for name in ("1.bmp", "2.bmp"):
        cv2.imwrite(str(tmp_path / name), grey(7))
    found, source = read(tmp_path)
    assert found == [7, 0, 7, 1]
    names = "1.bmp and 1.png are two frames, as are others of one name"
    assert source.notes == [f"{names}; a glob such as *.png takes one kind"]
    assert read(f"{tmp_path}/*.png")[1].notes == []


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.gif", "b.mp4")
    for source in (tmp_path, f"{tmp_path}/*"):
        with pytest.raises(SourceError, match="no images there; looked for"):
            open_frames(source)


# One list --------------------------------------------------------------------------------------------------------


def test_every_reader_knows_the_same_suffixes(tmp_path: Path) -> None:
    names = [f"a{number}{suffix.upper()}" for number, suffix in enumerate(IMAGE_SUFFIXES)]
    fill(tmp_path, *names, "b.txt")
    for name in names:
        (tmp_path / name).write_bytes(cv2.imencode(".png", grey(1))[1].tobytes())
    assert sorted(list_pictures(tmp_path)) == sorted(names)
    (source,) = read_sources({"images": [str(tmp_path)]})
    assert len(source.stills) == len(names)
    assert len(read(tmp_path)[0]) == len(names)


# Globs -----------------------------------------------------------------------------------------------------------


def test_a_glob_in_a_folder_with_brackets_in_its_name(tmp_path: Path) -> None:
    folder = fill(tmp_path / "cam[1]", "0.png", "1.png")
    assert read(f"{folder}/*.png")[0] == [0, 1]
    assert read(folder)[0] == [0, 1]


def test_a_file_with_a_pattern_in_its_name_is_that_file(tmp_path: Path) -> None:
    fill(tmp_path, "img%04d.png", "img0001.png", "a*.png", "ab.png")
    assert read(tmp_path / "img%04d.png")[0] == [0]
    assert read(tmp_path / "a*.png")[0] == [2]


# Numbered names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("%04d.png", ["0000.png", "0001.png", "0002.png"]),
        ("img%d.png", ["img8.png", "img9.png", "img10.png"]),
        ("img%05i-left.png", ["img00012-left.png", "img00013-left.png", "img00014-left.png"]),
        ("%3d.png", ["  8.png", "  9.png", " 10.png"]),
        ("%02d.png", ["98.png", "99.png", "100.png"]),
        ("100%%-%d.png", ["100%-1.png", "100%-2.png", "100%-3.png"]),
        ("a.b(%03u).png", ["a.b(007).png", "a.b(008).png", "a.b(009).png"]),
    ],
)
def test_numbered_names_are_a_sequence(tmp_path: Path, pattern: str, names: list[str]) -> None:
    folder = fill(tmp_path / "seq", *names)
    fill(folder, *names, "other.png", "00000001.png", "axb(007).png", "img8.txt")
    found, source = read(folder / pattern)
    assert found == [0, 1, 2]
    assert (source.name, source.length, source.notes) == ("seq", 3, [])


def test_numbers_that_are_missing_are_told(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{number:03d}.png" for number in (5, 6, 8, 12, 13)))
    found, source = read(tmp_path / "%03d.png")
    assert found == [0, 1, 2, 3, 4]
    assert source.notes == ["of the numbers 5 to 13 some have no picture and are no frames: 7, 9 to 11"]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("%04d.jpg", r"%04d\.jpg: no such file.*; nor is there one with a number in place of %04d$"),
        ("img%d-%d.png", r"expected one number such as %04d in the name; or give a glob with \*"),
        ("%s%d.png", r"expected one number such as %04d in the name"),
        ("%0999999999d.png", "expected one number such as %04d in the name"),
        ("gone/%04d.png", "no such file, nor a folder"),
        ("100%done.mp4", r"100%done\.mp4: no such file; nor is there one with a number in place of %d"),
    ],
)
def test_patterns_that_nothing_fits_are_told(tmp_path: Path, pattern: str, message: str) -> None:
    fill(tmp_path, "0000.png", "0001.png")
    with pytest.raises(SourceError, match=message):
        open_frames(tmp_path / pattern)


def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    for source in (tmp_path, tmp_path / "%d.png", tmp_path / "missing.mp4"):
        with pytest.raises(SourceError, match="cannot be read, Permission denied"):
            open_frames(source)
