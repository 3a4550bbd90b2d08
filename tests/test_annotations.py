"""Annotations as they come: delimiters, encodings, and lines that are not what they should be."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockon.annotations import finite_rows, parse_json, read_boxes, read_flags, read_names, read_text
from lockon.errors import BoxError, DataError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "set" / "seq").mkdir(parents=True)
    return tmp_path / "set" / "seq" / "boxes.txt"


@pytest.mark.parametrize(
    "text",
    [
        "1,2,3,4\n5,6,7,8\n",
        "1\t2\t3\t4\r\n5\t6\t7\t8\r\n",
        "1, 2, 3, 4\n 5  6 7 8",
        "\ufeff1,2,3,4,\n5,6,7,8\n\n",
        "1,2,3,4\r5,6,7,8\r",
        "1,2,3,4 \t\n5,6,7,8\n \n\t\n",
    ],
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
        ("1,2,3,4\n1_0,2,3,4\n", "line 2: '1_0,2,3,4' is not x,y,w,h"),  # Python reads 10
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
        (b"1,2,3,4\r1,2,3,4\r\n1,2,\xa0,4\n", "boxes.txt, line 3 is not UTF-8 text"),
        ("1,2,3,4\n".encode("utf-16-le"), "boxes.txt, line 1 has a NUL byte: the file is damaged, or UTF-16 text"),
        (b"1,2,3,4\n" + bytes(512), "boxes.txt, line 2 has a NUL byte: the file is damaged"),
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


@pytest.mark.parametrize("text", ["0 1 1_0", "0 1 99999999999999999999", "0 1 " + "9" * 5000, "0 1 nan", "0 1 0.5"])
def test_flags_that_are_none_are_refused(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match=r"boxes.txt is not made of whole numbers"):
        read_flags(file, 3)


@pytest.mark.parametrize("row", ["inf,80,40,40", "1,2,3,-inf", "1e400,2,3,4", "1,2,1e300,4"])
def test_a_number_that_is_no_coordinate_is_named(file: Path, row: str) -> None:
    file.write_text(f"1,2,3,4\n{row}\n")
    with pytest.raises(DataError, match=r"set/seq/boxes.txt, line 2: .* is no box: a coordinate is a finite number"):
        read_boxes(file)


@pytest.mark.parametrize("row", ["100,80,-40,40", "1,2,-1,-1", "0,0,0,0", "nan,2,3,4"])
def test_what_toolkits_have_rules_for_stays_as_it_is_published(file: Path, row: str) -> None:
    """LaSOT has sizes of -11 and -1, OTB has rows of zeros."""
    file.write_text(f"1,2,3,4\n{row}\n")
    np.testing.assert_array_equal(read_boxes(file)[1], [float(v) for v in row.split(",")])


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("100,80,-40,40", "a width or height is negative"),
        ("nan,2,3,4", "some of it is NaN; where the target is absent, write nan,nan,nan,nan"),
    ],
)
def test_boxes_of_ones_own_are_read_strictly(file: Path, row: str, says: str) -> None:
    file.write_text(f"1,2,3,4\nnan,nan,nan,nan\n{row}\n")
    with pytest.raises(DataError, match=f"boxes.txt, line 3: {row} is no box: {says}"):
        read_boxes(file, strict=True)
    assert len(finite_rows(np.array([[1.0, 2, 3, 4]]), file, strict=True)) == 1


def test_lines_end_as_on_any_system(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\nfour \xe2\x80\xa8 still four")
    assert read_text(file) == "one\ntwo\nthree\nfour \u2028 still four"


def test_who_reads_a_text_says_which_error_it_is(file: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(BoxError, match=r"begins as UTF-16 text does"):
        read_text(file, error=BoxError)
    with pytest.raises(BoxError, match=r"gone.txt is missing"):
        read_text(file.with_name("gone.txt"), error=BoxError)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    said: list[str] = []

    def read() -> None:
        try:
            read_boxes(file)
        except DataError as error:
            said.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(30)
    assert said == ["set/seq/boxes.txt cannot be read: it is a named pipe, not a file"]


def test_a_list_has_names_line_by_line(file: Path) -> None:
    file.write_bytes("\ufeffmy cat\r\n\r\n two \r\n".encode())
    assert read_names(file) == ("my cat", "two")


@pytest.mark.parametrize(
    ("line", "says"), [("../c", "line 3: '../c' is a path"), ("a", "line 3: a is in line 1 already")]
)
def test_a_wrong_name_in_a_list_is_named(file: Path, line: str, says: str) -> None:
    file.write_text(f"a\nb\n{line}\n")
    with pytest.raises(DataError, match=f"boxes.txt, {says}"):
        read_names(file)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "perhaps half copied"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "is not JSON"),
        ("", "is not JSON"),
    ],
)
def test_what_is_no_json_says_so(text: str, says: str) -> None:
    with pytest.raises(DataError, match=f"meta.json is not JSON.*{says}|meta.json {says}"):
        parse_json(text, "meta.json")


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_any_bytes_are_boxes_or_an_error_of_the_data(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(data)
    try:
        boxes = read_boxes(path)
    except DataError:
        return
    assert boxes.shape[1] == 4
    assert not np.isinf(boxes).any()
