"""Reading annotations as they are published: texts, names, rows of numbers, flags, JSON. Errors name file and line.

``read_text`` is the one reader of text files: UTF-8 with or without byte order mark, lines that end as on any system.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError, LockonError
from lockon.files import why
from lockon.names import name_of
from lockon.pictures import open_file

BOX = "x,y,w,h"
ABSENT = "where the target is absent, write nan,nan,nan,nan"
UTF16 = (b"\xff\xfe", b"\xfe\xff")  # UTF-32 begins so too, or has NUL bytes
LARGEST = 1e9  # pixels; a number beyond is as little a coordinate as infinity


def short(path: Path) -> str:
    """The end of a path, which tells files of a data set apart."""
    return "/".join(path.parts[-3:])


# Texts


def read_bytes(path: Path, *, error: type[LockonError] = DataError) -> bytes:
    """A file's content. What is no file is refused, since a pipe would be waited for.

    Args:
        error: what is raised.

    Raises:
        DataError: it is missing, cannot be read, or is a folder, pipe or device.
    """
    try:
        with open_file(path) as file:
            return file.read()
    except FileNotFoundError:
        raise error(f"{short(path)} is missing") from None
    except OSError as fault:
        raise error(f"{short(path)} cannot be read: {why(fault)}") from None
    except ValueError as fault:  # a path with a NUL
        raise error(f"{short(path)} cannot be read: {fault}") from None


def read_text(path: Path, *, may_be_empty: bool = False, error: type[LockonError] = DataError) -> str:
    """A text file in UTF-8; lines end with ``\\n``, whatever they end with in the file.

    Args:
        error: what is raised.

    Raises:
        DataError: it is missing, empty, no file or not such a text.
    """
    return text_of(read_bytes(path, error=error), short(path), may_be_empty=may_be_empty, error=error)


def text_of(data: bytes, name: str, *, may_be_empty: bool = False, error: type[LockonError] = DataError) -> str:
    """The text that a file's bytes are, as ``read_text`` reads it.

    Args:
        name: of the file, for errors.
        error: what is raised.

    Raises:
        DataError: it is empty or not such a text.
    """
    if data.startswith(UTF16):
        raise error(f"{name}, line 1 begins as UTF-16 text does; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(f"{name}, line {_line(data, fault.start)} is not UTF-8 text; save the file as UTF-8") from None
    if (place := data.find(b"\0")) >= 0:
        raise error(
            f"{name}, line {_line(data, place)} has a NUL byte: the file is damaged, or UTF-16 text; save it as UTF-8"
        )
    if not may_be_empty and (not text or text.isspace()):
        raise error(f"{name} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line(data: bytes, place: int) -> int:
    before = data[:place].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return before.count(b"\n") + 1


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it is missing, empty, not a text or not JSON.
    """
    return parse_json(read_text(path), short(path))


def parse_json(text: str, where: str) -> Any:
    """The content of a JSON text.

    Args:
        where: which file (and line), for errors.

    Raises:
        DataError: not JSON, nested too deeply, or with a number of thousands of digits.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise DataError(f"{where} is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise DataError(f"{where} is not JSON, perhaps half copied: {error}") from None


def read_names(path: Path) -> tuple[str, ...]:
    """The names in a list, one per line; blank lines count for nothing.

    Raises:
        DataError: it is missing, empty or not a text; a line is no name (see ``names.name_of``) or comes twice.
    """
    seen: dict[str, int] = {}
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not (name := line.strip()):
            continue
        name_of(name, f"{short(path)}, line {number}")
        if name in seen:
            raise DataError(f"{short(path)}, line {number}: {name} is in line {seen[name]} already; name it once")
        seen[name] = number
    return tuple(seen)


# Numbers


def read_boxes(path: Path, *, strict: bool = False) -> NDArray[np.float64]:
    """(N, 4) from lines of x,y,w,h: numbers parted by commas, blanks or tabs, NaN for none.

    Boxes without area stay as they are published, for the benchmarks' toolkits have rules for them.

    Args:
        strict: negative sizes, and rows that are NaN in part, are refused too.

    Raises:
        DataError: the file is missing, empty, not a text, or has other lines; the first is named.
    """
    return finite_rows(parse_rows(read_text(path), path, BOX), path, strict=strict)


def finite_rows(boxes: NDArray[np.float64], path: Path, *, strict: bool = False) -> NDArray[np.float64]:
    """The boxes of a file, (N, 4) with a row per line, if they are numbers that can be boxes.

    Raises:
        DataError: a number is infinite or beyond 1e9; or see ``read_boxes``. The first line is named.
    """
    refuse_rows(np.any(np.abs(boxes) > LARGEST, axis=1), boxes, path, "a coordinate is a finite number of pixels")
    if strict:
        gone = np.isnan(boxes).sum(1)
        refuse_rows((gone > 0) & (gone < boxes.shape[1]), boxes, path, f"some of it is NaN; {ABSENT}")
        refuse_rows(np.any(boxes[:, 2:] < 0, axis=1), boxes, path, "a width or height is negative; write x,y,w,h")
    return boxes


def refuse_rows(wrong: NDArray[np.bool_], boxes: NDArray[np.float64], path: Path, says: str) -> None:
    """Names the first wrong row of a file of boxes.

    Args:
        wrong: (N,) per row of ``boxes``, (N, 4), of which each is a line of the file.
        says: what is wrong with it, and what to do.

    Raises:
        DataError: some are wrong.
    """
    if wrong.any():
        row = int(wrong.argmax())
        shown = ",".join(f"{value:g}" for value in boxes[row])
        raise DataError(f"{short(path)}, line {row + 1}: {shown} is no box: {says}")


def parse_rows(text: str, path: Path, form: str) -> NDArray[np.float64]:
    """(N, columns) from the lines of a text, numbers parted by commas, blanks or tabs.

    Args:
        path: where the text is from, for errors.
        form: what a line should be, its columns parted by commas, such as "x,y,w,h".

    Raises:
        DataError: a line that is not; the first is named.
    """
    columns = form.count(",") + 1
    lines = text.rstrip().split("\n")
    rows = [line.replace(",", " ").split() for line in lines]
    try:
        numbers = np.array(list(map(float, chain.from_iterable(rows))))
    except ValueError:
        numbers = None
    if numbers is None or any(len(row) != columns for row in rows) or ",," in text or "_" in text:
        raise _wrong_line(lines, path, form)
    return numbers.reshape(-1, columns)


def _wrong_line(lines: Sequence[str], path: Path, form: str) -> DataError:
    for number, line in enumerate(lines, start=1):
        fields = line.replace(",", " ").split()
        if ",," in line or len(fields) != form.count(",") + 1 or None in map(number_of, fields):
            says = f": {line.strip()[:60]!r} is not" if line.strip() else " is empty, not"
            return DataError(f"{short(path)}, line {number}{says} {form}")
    raise AssertionError(f"{path} has no wrong line")


def number_of(text: str) -> float | None:
    """The number that a text is, NaN and infinity among them; None if it is none."""
    try:
        return None if "_" in text else float(text)  # 1_000 is Python's own way to write a number
    except ValueError:
        return None


def read_flags(path: Path, count: int) -> NDArray[np.int64]:
    """(count,) from whole numbers parted by commas, blanks or line ends, one per frame.

    Raises:
        DataError: the file is missing or has another number of them.
    """
    text = read_text(path)
    try:
        flags = np.array([int(flag) for flag in text.replace(",", " ").split()], np.int64)
    except (ValueError, OverflowError):
        flags = None
    if flags is None or "_" in text:
        raise DataError(f"{short(path)} is not made of whole numbers")
    if len(flags) != count:
        raise DataError(f"{short(path)} has {len(flags)} numbers for {count} frames")
    return flags
