"""Result files of the VOT challenges: one region per frame, as text (``.txt``) or binary (``.bin``)."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from lockon.annotations import short
from lockon.errors import DataError, OutputError
from lockon.evaluation.reading import result_bytes, result_text
from lockon.evaluation.regions import (
    CODES,
    Code,
    Mask,
    Polygon,
    Rectangle,
    Region,
    crop,
    format_region,
    from_run_lengths,
    numbers,
    parse_lines,
    region_of,
)
from lockon.files import write_whole


def result_file(folder: Path, stem: str) -> Path:
    """The binary or the text file of that name; the latter's name where there is none.

    Raises:
        DataError: there are both, and toolkits differ in which one counts.
    """
    binary, text = folder / f"{stem}.bin", folder / f"{stem}.txt"
    there = os.path.lexists(binary)
    if there and os.path.lexists(text):
        raise DataError(f"{short(text)} and {binary.name} are of one run, and one alone can count; remove the other")
    return binary if there else text


def read_regions(path: Path) -> list[Region]:
    """The regions of a text file, one per line, or of a binary one (``.bin``).

    Raises:
        DataError: the file is missing or malformed; names file and line, or region.
    """
    if path.suffix == ".bin":
        return _decode(result_bytes(path), path)
    return parse_lines(short(path), result_text(path).rstrip().split("\n"))


def write_regions(path: Path, regions: Iterable[Region]) -> None:
    """Writes regions as text, or binary where the file is called ``.bin``; makes the folder.

    Raises:
        OutputError: the file cannot be written, or a number is too large for the binary form.
    """
    try:
        content = _encode(list(regions)) if path.suffix == ".bin" else _lines(regions)
    except (struct.error, OverflowError) as error:
        raise OutputError(f"{path}: cannot write regions: {error}") from None
    write_whole(path, content)


def _lines(regions: Iterable[Region]) -> str:
    return "".join(f"{format_region(region)}\n" for region in regions)


# The binary form: version and number of regions, then each with its type; little endian.

_HEADER, _VERSION = struct.Struct("<hI"), 1
_LONGEST_RUN = 2**16 - 1


def _encode(regions: Sequence[Region]) -> bytes:
    return _HEADER.pack(_VERSION, len(regions)) + b"".join(map(_encode_region, regions))


def _encode_region(region: Region) -> bytes:
    match region:
        case Code():
            return struct.pack("<BI", 0, region.value)
        case Rectangle():
            return struct.pack("<B4f", 1, *numbers(region))
        case Polygon():
            count = len(region.points)
            return struct.pack(f"<BH{2 * count}f", 2, count, *numbers(region))
        case Mask():
            mask = crop(region)
            runs = [part for run in mask.runs.tolist() for part in _split(run)]
            return struct.pack(f"<B2h3H{len(runs)}H", 3, mask.x, mask.y, mask.width, mask.height, len(runs), *runs)


def _split(run: int) -> list[int]:
    """A run as runs that 16 bits hold, with runs of nothing between them."""
    whole, rest = divmod(run, _LONGEST_RUN)
    return [_LONGEST_RUN, 0] * whole + [rest]


def _decode(content: bytes, path: Path) -> list[Region]:
    regions: list[Region] = []
    try:
        version, count = _HEADER.unpack_from(content)
        place = _HEADER.size
        for _ in range(count):
            region, place = _decode_region(content, place)
            regions.append(region)
    except (struct.error, DataError) as error:
        raise DataError(f"{short(path)}: region {len(regions) + 1} cannot be read: {error}") from None
    if version != _VERSION or place != len(content):
        raise DataError(
            f"{short(path)}: is not a binary result of version {_VERSION}, or has more than its {count} regions"
        )
    return regions


def _decode_region(content: bytes, place: int) -> tuple[Region, int]:
    """The region at a place, and the place after it."""
    kind, place = content[place] if place < len(content) else -1, place + 1
    match kind:
        case 0:
            (code,) = struct.unpack_from("<I", content, place)
            if code not in CODES:
                raise DataError(f"{code} is no code: expected 0, 1 or 2")
            return Code(code), place + 4
        case 1:
            return region_of(struct.unpack_from("<4f", content, place)), place + 16
        case 2:
            (count,) = struct.unpack_from("<H", content, place)
            if count < 3:
                raise DataError(f"{count} corners are no polygon")
            return region_of(struct.unpack_from(f"<{2 * count}f", content, place + 2)), place + 2 + 8 * count
        case 3:
            x, y, width, height, count = struct.unpack_from("<2h3H", content, place)
            runs = struct.unpack_from(f"<{count}H", content, place + 10)
            return from_run_lengths(x, y, width, height, runs), place + 10 + 2 * count
        case 4:
            return region_of(struct.unpack_from("<2f", content, place)), place + 8  # a point, since vot-toolkit 0.8
    raise DataError("expected a code, rectangle, polygon or mask (0 to 3)")
