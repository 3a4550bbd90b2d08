"""Annotations as they come: delimiters, encodings, and lines that are not what they should be."""

from pathlib import Path

import numpy as np
import pytest

from lockon.annotations import read_boxes, read_flags
from lockon.errors import DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "set" / "seq").mkdir(parents=True)
    return tmp_path / "set" / "seq" / "boxes.txt"


@pytest.mark.parametrize(
    "text",
    ["1,2,3,4\n5,6,7,8\n", "1\t2\t3\t4\r\n5\t6\t7\t8\r\n", "1, 2, 3, 4\n 5  6 7 8", "\ufeff1,2,3,4,\n5,6,7,8\n\n"],
)
def test_numbers_are_parted_by_commas_blanks_or_tabs(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    np.testing.assert_array_equal(read_boxes(file), [[1, 2, 3, 4], [5, 6, 7, 8]])


def test_a_target_that_is_not_there_is_nan(file: Path) -> None:
    file.write_text("NaN,NaN,NaN,NaN\n1.5,-2,3,4\nnan nan nan nan\n")
    boxes = read_boxes(file)
    assert np.isnan(boxes[[0, 2]]).all()
    assert boxes[1].tolist() == [1.5, -2, 3, 4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3,4\n1,2,3\n", "line 2: '1,2,3' is not x,y,w,h"),
        ("1,2,3\n1,2,3,4,5\n", "line 1: '1,2,3' is not x,y,w,h"),  # 8 numbers in all
        ("1,2,3,4\n1;2;3;4\n", "line 2: '1;2;3;4' is not x,y,w,h"),
        ("1,2,3,4\n1,5 2,5 3,5 4,5\n", "line 2: '1,5 2,5 3,5 4,5' is not x,y,w,h"),
        ("1,2,3,4\n1,,2,3,4\n", "line 2: '1,,2,3,4' is not x,y,w,h"),
        ("1,2,3,4\n\n1,2,3,4\n", "line 2 is empty, not x,y,w,h"),
        ("x,y,w,h\n1,2,3,4\n", "line 1: 'x,y,w,h' is not x,y,w,h"),
    ],
)
def test_a_wrong_line_is_named(file: Path, text: str, says: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError) as error:
        read_boxes(file)
    assert str(error.value) == f"set/seq/boxes.txt, {says}"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "set/seq/boxes.txt is empty"),
        (b" \n\n", "set/seq/boxes.txt is empty"),
        ("1,2,3,4\n".encode("utf-16"), "boxes.txt, line 1 begins as UTF-16 text does; save the file as UTF-8"),
        (b"1,2,3,4\n1,2,3,4\xa0\n", "boxes.txt, line 2 is not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_file_that_is_no_text_says_so(file: Path, data: bytes, says: str) -> None:
    file.write_bytes(data)
    with pytest.raises(DataError, match=says):
        read_boxes(file)


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    with pytest.raises(DataError, match=r"set/seq/boxes.txt is missing"):
        read_boxes(file)
    file.mkdir()
    with pytest.raises(DataError, match=r"set/seq/boxes.txt cannot be read: "):
        read_boxes(file)


@pytest.mark.parametrize("text", ["0,1,0", "0\n1\n0\n", "0 1 0\n"])
def test_flags_are_one_line_or_many(file: Path, text: str) -> None:
    file.write_text(text)
    assert read_flags(file, 3).tolist() == [0, 1, 0]
    with pytest.raises(DataError, match=r"boxes.txt has 3 numbers for 4 frames"):
        read_flags(file, 4)
