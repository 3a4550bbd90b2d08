"""Names and paths that come from data: lists, archives, JSON. Data says what a thing is called, never where it lies."""

from __future__ import annotations

import re
import reprlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from lockon.errors import DataError

LONGEST = 200  # bytes of a name: results add endings of their own, and file systems take 255
LONGEST_PATH = 1000
UNWRITTEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")  # control, line ends, halves of characters
DRIVE = re.compile(r"[A-Za-z]:")


def name_of(text: object, where: str) -> str:
    """A name that is safe as one part of a path: of a sequence, a video, a clip.

    Args:
        text: what the data says.
        where: which file and line, for errors.

    Raises:
        DataError: no text, empty, more than one part of a path, hidden (``.`` and ``..`` too), with a drive letter or
            control characters, or longer than 200 bytes.
    """
    if not isinstance(text, str) or not text.strip():
        fault = "is no name"
    elif "/" in text or "\\" in text or DRIVE.match(text):
        fault = "is a path, not a name"
    elif text.startswith("."):
        fault = "is no name: it begins with a dot"
    else:
        fault = _unfit(text, LONGEST)
    if fault:
        raise DataError(f"{where}: {reprlib.repr(text)} {fault}")
    assert isinstance(text, str)
    return text


def path_inside(text: object, where: str) -> str:
    """A path inside a data set, with ``/`` between its parts and neither ``.`` nor empty parts; sub-folders are fine.

    Args:
        text: what the data says; ``\\`` counts as ``/``, since tools on Windows write it.
        where: which file and line, for errors.

    Raises:
        DataError: no text, empty, absolute, with ``..``, a drive letter or control characters, or absurdly long.
    """
    if not isinstance(text, str):
        raise DataError(f"{where}: {reprlib.repr(text)} is not the path of a file")
    path = text.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if path.startswith("/") or DRIVE.match(path) or ".." in parts:
        fault = "leads out of the data set; give paths from its folder on"
    elif not parts:
        fault = "is not the path of a file"
    else:
        fault = _unfit(path, LONGEST_PATH)
    if fault:
        raise DataError(f"{where}: {reprlib.repr(text)} {fault}")
    return "/".join(parts)


def alike(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Names that some disks take for one, together: they differ in case, or in how Unicode writes a letter."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _unfit(text: str, longest: int) -> str:
    if UNWRITTEN.search(text):
        return "has characters that no name has"
    size = len(text.encode())
    return f"is too long: {size} bytes, the most is {longest}" if size > longest else ""
