"""Reading other people's results: folders that may lead in circles, files of any size, names of any kind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from lockon.annotations import read_bytes, short, text_of
from lockon.errors import DataError, printable
from lockon.files import why

MOST_BYTES = 2**30  # of a file of results; masks of the longest sequences take a tenth


def folders(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A folder and those below it, in alphabetical order, with the names of their folders and files.

    Links to folders come last, and each folder once. Names may be taken out of the list of folders to leave these out.

    Raises:
        DataError: a folder cannot be read.
    """
    seen: set[tuple[int, int]] = set()
    waiting = [root]
    while waiting:
        for place, below, files in os.walk(waiting.pop(0), onerror=_told):
            identity = _identity(place)
            if identity in seen:
                below.clear()
                continue
            seen.add(identity)
            below.sort()
            yield Path(place), below, sorted(files)
            waiting += [link for name in below if (link := Path(place, name)).is_symlink()]


def _identity(place: str) -> tuple[int, int]:
    try:
        found = os.stat(place)
    except OSError as error:
        _told(error)
    return found.st_dev, found.st_ino


def _told(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: cannot be read: {why(error)}")


def result_bytes(path: Path) -> bytes:
    """A file's content.

    Raises:
        DataError: it cannot be read, is no file, or is larger than any result.
    """
    try:
        size = os.stat(path).st_size
    except (OSError, ValueError):
        size = 0  # read_bytes says why
    if size > MOST_BYTES:
        raise DataError(f"{short(path)} is larger than {MOST_BYTES} bytes, and no file of results")
    return read_bytes(path)


def result_text(path: Path, *, may_be_empty: bool = False) -> str:
    """A text of results; lines end with ``\\n``.

    Raises:
        DataError: as ``result_bytes``, or it is empty or no text.
    """
    return text_of(result_bytes(path), short(path), may_be_empty=may_be_empty)


def label_of(name: str, where: Path) -> str:
    """A tracker's name, from a folder's, if it can be shown in any table and plot.

    Raises:
        DataError: it has characters that are none, or turn text round.
    """
    if printable(name) != name:
        raise DataError(f"{where}: the folder's name has characters that cannot be shown; rename it")
    return name
