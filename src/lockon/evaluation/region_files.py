"""Result files of the VOT challenges: one region per frame, as text (``.txt``) or binary (``.bin``)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from lockon.errors import DataError, OutputError
from lockon.evaluation.regions import (
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
    run_lengths,
)


def result_file(folder: Path, stem: str) -> Path:
    """The binary file of that name if there is one, else the text file."""
    binary = folder / f"{stem}.bin"
    return binary if binary.is_file() else folder / f"{stem}.txt"


def read_regions(path: Path) -> list[Region]:
    """The regions of a text file, one per line, or of a binary one (``.bin``).

    Raises:
        DataError: the file is missing or malformed; names file and line, or region.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if path.suffix == ".bin":
        return _decode(content, path)
    try:
        return parse_lines(path, content.decode("ascii").rstrip().splitlines())
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not a text of regions, one per line; binary ones are called .bin") from None


def write_regions(path: Path, regions: Iterable[Region]) -> None:
    """Writes regions as text, or binary where the file is called ``.bin``; makes the folder.

    Raises:
        OutputError: the file cannot be written, or a number is too large for the binary form.
    """
    try:
        content = _encode(list(regions)) if path.suffix == ".bin" else _lines(regions).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except (OSError, struct.error, OverflowError) as error:
        raise OutputError(f"{path}: cannot write regions: {error}") from None


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
            height, width = mask.pixels.shape
            runs = [part for run in run_lengths(mask.pixels) for part in _split(run)]
            return struct.pack(f"<B2h3H{len(runs)}H", 3, mask.x, mask.y, width, height, len(runs), *runs)


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
        raise DataError(f"{path}: region {len(regions) + 1} cannot be read: {error}") from None
    if version != _VERSION or place != len(content):
        raise DataError(f"{path}: is not a binary result of version {_VERSION}, or has more than its {count} regions")
    return regions


def _decode_region(content: bytes, place: int) -> tuple[Region, int]:
    """The region at a place, and the place after it."""
    kind, place = content[place] if place < len(content) else -1, place + 1
    match kind:
        case 0:
            return Code(*struct.unpack_from("<I", content, place)), place + 4
        case 1:
            return region_of(struct.unpack_from("<4f", content, place)), place + 16
        case 2:
            (count,) = struct.unpack_from("<H", content, place)
            corners = struct.unpack_from(f"<{2 * count}f", content, place + 2)
            return Polygon(tuple(zip(corners[::2], corners[1::2], strict=True))), place + 2 + 8 * count
        case 3:
            x, y, width, height, count = struct.unpack_from("<2h3H", content, place)
            runs = struct.unpack_from(f"<{count}H", content, place + 10)
            return from_run_lengths(x, y, width, height, runs), place + 10 + 2 * count
    raise DataError("expected a code, rectangle, polygon or mask (0 to 3)")
