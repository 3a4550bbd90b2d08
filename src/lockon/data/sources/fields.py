"""Values out of JSON, which may be anything: checked before they are used, and named where they are wrong."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from typing import Any, TypeGuard, cast

from lockon.annotations import LARGEST
from lockon.errors import DataError

Row = dict[str, Any]
LARGEST_SIDE = 65_500  # pixels; JPEG has no more, and the square of it fits into the 32 bits of COCO's masks


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number, finite and not beyond 1e9; true and false are none."""
    return type(value) in (int, float) and -LARGEST <= value <= LARGEST  # type: ignore[operator]


def are_numbers(values: Sequence[object]) -> TypeGuard[Sequence[float]]:
    """Whether all of them are numbers as ``is_number`` has them; quicker, for files have millions."""
    if not values:
        return True
    if not set(map(type, values)) <= {int, float}:
        return False
    numbers = cast(Sequence[float], values)
    return min(numbers) >= -LARGEST and max(numbers) <= LARGEST and not math.isnan(sum(numbers))


def is_whole(value: object) -> TypeGuard[float]:
    """Whether it is a whole number, also where it is written as 3.0."""
    return is_number(value) and value == int(value)


def rows_of(value: object, where: str, what: str) -> list[Row]:
    """A list of JSON objects.

    Args:
        where: which file, for errors.
        what: the list's name in it, for errors.

    Raises:
        DataError: it is something else, or one of them is.
    """
    if not isinstance(value, list):
        raise DataError(f"{where}: {what} is {kind_of(value)}, not a list")
    for number, row in enumerate(value):
        if not isinstance(row, dict):
            raise DataError(f"{where}: {what}[{number}] is {kind_of(row)}, not an object with fields")
    return value


def row_of(value: object, where: str, what: str) -> Row:
    """A JSON object.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, dict):
        raise DataError(f"{where}: {what} is {kind_of(value)}, not an object with fields")
    return value


def box_of(value: object, where: str) -> Sequence[float]:
    """x, y, w, h.

    Raises:
        DataError: not four finite numbers.
    """
    if isinstance(value, list) and len(value) == 4 and are_numbers(value):
        return value
    raise DataError(f"{where}: the box {reprlib.repr(value)} is not x, y, w, h: four finite numbers")


def side_of(value: object, where: str) -> int | None:
    """Width or height of a picture in pixels; None where it is null.

    Raises:
        DataError: not a whole number from 1 to 65,500.
    """
    if value is None:
        return None
    if is_whole(value) and 1 <= value <= LARGEST_SIDE:
        return int(value)
    raise DataError(f"{where}: {reprlib.repr(value)} is no width or height: a whole number from 1 to {LARGEST_SIDE}")


def outline_of(value: object, where: str) -> Sequence[float]:
    """Corners x, y, x, y, ...

    Raises:
        DataError: not an even number of finite numbers.
    """
    if isinstance(value, list) and len(value) % 2 == 0 and are_numbers(value):
        return value
    raise DataError(f"{where}: the polygon {reprlib.repr(value)} is not x, y, x, y, ...: pairs of finite numbers")


def kind_of(value: object) -> str:
    """What a value is, in JSON's words."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
