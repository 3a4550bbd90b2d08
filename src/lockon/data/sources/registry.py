"""Names to readers of data sets."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from lockon.data.sources.base import Source
from lockon.errors import DataError
from lockon.files import why
from lockon.registry import closest

log = logging.getLogger(__name__)

Reader = Callable[[str, str], Source]  # path, part


@dataclass(frozen=True)
class SourceInfo:
    """How a data set is read.

    Attributes:
        read: from a path and a part.
        parts: names of its parts; the first is read where none is named.
        others: what a part may be besides, in words; empty if nothing.
    """

    read: Reader
    parts: tuple[str, ...]
    others: str


SOURCES: dict[str, SourceInfo] = {}


def source(name: str, *parts: str, others: str = "") -> Callable[[Reader], Reader]:
    """Registers a reader, ``read(path, part)``, under a name and with the parts that it knows."""

    def register(read: Reader) -> Reader:
        SOURCES[name] = SourceInfo(read, parts, others)
        return read

    return register


def read_source(name: str, paths: Sequence[str]) -> Source:
    """A data set from its place or places.

    Args:
        name: as registered, such as "got10k", or with a part of it, such as "got10k:vot-train".
        paths: its folders as published; for ``images`` and ``clips`` also tars and globs.

    Raises:
        DataError: unknown name or part (the closest are named), or data that is not there or not complete.
    """
    base, colon, part = name.partition(":")
    if base not in SOURCES:
        raise DataError(f"unknown data {base!r}; {closest(base, SOURCES)}")
    info = SOURCES[base]
    if not colon:
        part = info.parts[0] if info.parts else ""
    elif part not in info.parts and not (part and info.others):
        raise unknown_part(base, part)
    return _pool(base, [_read(info, path, part) for path in paths])


def _read(info: SourceInfo, path: str, part: str) -> Source:
    if "\0" in path + part:
        raise DataError(f"{path}: no path has a NUL in it")
    try:
        return info.read(path, part)
    except OSError as error:  # a folder that may not be listed, a disk that fails
        raise DataError(f"{error.filename or path}: cannot be read: {why(error)}") from None


def unknown_part(name: str, part: str) -> DataError:
    """The error for a part that a data set has not."""
    info = SOURCES[name]
    known = closest(part, info.parts) if info.parts else "it has none"
    return DataError(f"unknown part {part!r} of {name}; {known}" + (f" (or {info.others})" if info.others else ""))


def read_sources(data: Mapping[str, Sequence[str]]) -> list[Source]:
    """The data sets of ``--data NAME=PATH`` arguments in the order of their names, parts of one data set together.

    Raises:
        DataError: as for ``read_source``.
    """
    read: dict[str, list[Source]] = {}
    for name, paths in data.items():
        made = read_source(name, paths)
        read.setdefault(made.name, []).append(made)
    pooled = [_pool(name, read[name]) for name in sorted(read)]  # what is drawn does not depend on the arguments' order
    for made in pooled:
        log.log(logging.WARNING if made.dropped else logging.INFO, "%s", made)
    return pooled


def _pool(name: str, sources: Sequence[Source]) -> Source:
    stills = [still for source in sources for still in source.stills]
    tracks = [track for source in sources for track in source.tracks]
    dropped: Counter[str] = sum((Counter(source.dropped) for source in sources), Counter())
    return Source(name, stills, tracks, dropped)
