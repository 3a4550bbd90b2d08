"""Reading annotations as they are published: texts, rows of numbers, flags. Errors name file and line."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError

BOX = "x,y,w,h"
UTF16 = (b"\xff\xfe", b"\xfe\xff")


def short(path: Path) -> str:
    """The end of a path, which tells files of a data set apart."""
    return "/".join(path.parts[-3:])


def read_text(path: Path, *, may_be_empty: bool = False) -> str:
    """A text file in UTF-8, with or without byte order mark.

    Raises:
        DataError: it is missing, empty or not such a text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{short(path)} is missing") from None
    except OSError as error:
        raise DataError(f"{short(path)} cannot be read: {error.strerror}") from None
    if data.startswith(UTF16):
        raise DataError(f"{short(path)}, line 1 begins as UTF-16 text does; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{short(path)}, line {line} is not UTF-8 text; save the file as UTF-8") from None
    if not text.strip() and not may_be_empty:
        raise DataError(f"{short(path)} is empty")
    return text


def read_boxes(path: Path) -> NDArray[np.float64]:
    """(N, 4) from lines of x,y,w,h: numbers parted by commas, blanks or tabs, NaN for none.

    Raises:
        DataError: the file is missing, empty, not a text, or has other lines.
    """
    return parse_rows(read_text(path), path, BOX)


def parse_rows(text: str, path: Path, form: str) -> NDArray[np.float64]:
    """(N, columns) from the lines of a text, numbers parted by commas, blanks or tabs.

    Args:
        path: where the text is from, for errors.
        form: what a line should be, its columns parted by commas, such as "x,y,w,h".

    Raises:
        DataError: a line that is not; the first is named.
    """
    columns = form.count(",") + 1
    lines = text.rstrip().splitlines()
    rows = [line.replace(",", " ").split() for line in lines]
    try:
        numbers = np.array(list(map(float, chain.from_iterable(rows))))
    except ValueError:
        numbers = None
    if numbers is None or any(len(row) != columns for row in rows) or ",," in text:
        raise _wrong_line(lines, path, form)
    return numbers.reshape(-1, columns)


def _wrong_line(lines: list[str], path: Path, form: str) -> DataError:
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if ",," in line or len(fields) != form.count(",") + 1 or not all(map(_is_number, fields)):
            says = f": {line.strip()[:60]!r} is not" if line.strip() else " is empty, not"
            return DataError(f"{short(path)}, line {number}{says} {form}")
    raise AssertionError(f"{path} has no wrong line")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_flags(path: Path, count: int) -> NDArray[np.int64]:
    """(count,) from whole numbers parted by commas, blanks or line ends, one per frame.

    Raises:
        DataError: the file is missing or has another number of them.
    """
    try:
        flags = np.array([int(flag) for flag in read_text(path).replace(",", " ").split()], np.int64)
    except ValueError:
        raise DataError(f"{short(path)} is not made of whole numbers") from None
    if len(flags) != count:
        raise DataError(f"{short(path)} has {len(flags)} numbers for {count} frames")
    return flags
