"""Tars and folders of pictures as lists of their files. Nothing is unpacked: a file of a tar is a part of it."""

from __future__ import annotations

import glob
import os
import posixpath
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lockon.data.sources.layout import walk
from lockon.errors import DataError
from lockon.files import why
from lockon.names import path_inside
from lockon.pictures import PictureFile, open_file

BLOCK = tarfile.BLOCKSIZE
CHUNK = 1 << 20  # bytes read at once
Files = dict[str, PictureFile]  # by path inside the place, with "/" between its parts


def list_places(pattern: str, dropped: Counter[str]) -> Iterator[tuple[str, Files]]:
    """Path, and files by name, of every tar or folder that a path or glob matches.

    Args:
        dropped: counts of what is left out, added to.

    Raises:
        DataError: nothing is there; or a tar is damaged, or has files that cannot be read where they lie in it.
    """
    found = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern))  # brackets may be part of a name
    for place in found or [pattern]:
        yield place, list_tar(place, dropped) if place.endswith(".tar") else list_folder(place)


def list_folder(place: str) -> Files:
    """The files in a folder and those below; links are followed.

    Raises:
        DataError: it is no folder, or a file has a name that no list can have.
    """
    if os.path.isfile(place):
        raise DataError(f"{place}: neither a folder nor an uncompressed .tar; unpack it")
    if not Path(place).is_dir():
        raise DataError(f"{place}: no such tar file or folder (training data is given as --data NAME=PATH)")
    found = sorted(os.path.join(folder, name) for folder, names in walk(place) for name in names)
    return {path_inside(os.path.relpath(path, place), place): PictureFile(path) for path in found}


def list_tar(place: str, dropped: Counter[str]) -> Files:
    """The files in an uncompressed tar, hard and symbolic links to others in it among them.

    Of files of one name the last counts, as when a tar is unpacked.

    Raises:
        DataError: it is missing, compressed or damaged, ends too early, or goes on behind its end; or a file's name
            leads out of it, or a file is stored sparse.
    """
    try:
        with open_file(place) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            length = os.fstat(file.fileno()).st_size
            files = _list_members(tar, place, length, dropped)
            _check_end(file, tar.offset, place)
            return files
    except (OSError, tarfile.TarError, ValueError, LookupError, ArithmeticError, MemoryError, RecursionError) as error:
        says = why(error) if isinstance(error, OSError) else str(error) or type(error).__name__
        raise DataError(f"{place}: cannot read this data: {says}") from None


def _list_members(tar: tarfile.TarFile, place: str, length: int, dropped: Counter[str]) -> Files:
    files: Files = {}
    links: dict[str, str] = {}
    for member in tar:
        if member.size < 0 or (member.isreg() and member.offset_data + member.size > length):
            raise DataError(f"{place}: {member.name} is cut off or damaged: its {member.size} bytes are not in the tar")
        if not (member.isreg() or member.issym() or member.islnk()):
            continue
        name = path_inside(member.name, place)
        if member.issparse():
            raise DataError(f"{place}: {name} is stored sparse, with holes; make the tar without --sparse")
        if name in files or name in links:
            dropped["files of a name that comes again later in the tar"] += 1
        files.pop(name, None)
        links.pop(name, None)
        if member.isreg():
            files[name] = PictureFile(place, member.offset_data, member.size)
        else:
            links[name] = (
                member.linkname if member.islnk() else posixpath.join(posixpath.dirname(name), member.linkname)
            )
    for name, target in links.items():
        if (path := posixpath.normpath(target)) in files:
            files[name] = files[path]
        else:
            dropped["files that are links out of the tar"] += 1
    return files


def _check_end(file: BinaryIO, place_of_end: int, place: str) -> None:
    """Looks for the blocks of zeros that end a tar: without them it was cut, or its list ends at a damaged place."""
    file.seek(place_of_end)
    block = file.read(BLOCK)
    if block != bytes(BLOCK):
        raise DataError(
            f"{place}: the tar is cut short or damaged: at byte {place_of_end} there is neither a file nor the end; "
            "copy it again"
        )
    while chunk := file.read(CHUNK):
        if chunk.strip(b"\0"):
            raise DataError(
                f"{place}: the tar goes on behind its end, at byte {place_of_end}; make one tar of all files"
            )
