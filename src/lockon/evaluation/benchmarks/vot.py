"""The VOT challenges since 2016, short-term and long-term (Kristan et al.), as their toolkits store them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockon.annotations import read_text, short
from lockon.data.sources import PictureFile
from lockon.errors import DataError
from lockon.evaluation.benchmarks.files import pictures, read_list, read_names
from lockon.evaluation.regions import NOTHING, Code, Mask, Rectangle, enclosing_box, parse_region
from lockon.evaluation.sequences import Array, Sequence
from lockon.pictures import IMAGE_SUFFIXES

PATTERN = re.compile(r"(.*)%0?(\d*)d(\.\w+)")


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as shipped for VOT2018 and VOT2019, else as in list.txt, else of the folders."""
    there = sorted(file.parent.name for file in root.glob("*/groundtruth.txt"))
    if listed := read_list("vot").get(benchmark):
        return tuple(listed) if set(listed) & set(there) else ()
    return read_names(root / "list.txt") if there and (root / "list.txt").is_file() else tuple(there)


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """The annotated regions; boxes are their bounds (of a polygon the corners', of a mask whole pixels), NaN where the
    target is absent. Labels are the tags (camera_motion, occlusion, ...), 0 where a file ends early, and "anchor":
    where the multi-start experiment starts, forward (1) or backward (-1).

    A region is empty for an absent target, else as it is in the file; there are none where all are x,y,w,h.
    """
    folder = root / name
    properties = _properties(folder / "sequence")
    files = pictures(*_channel(folder, properties), 1, read_list("vot").get(benchmark, {}).get(name))
    boxes, regions = _read_regions(folder / "groundtruth.txt", len(files))
    labels = {file.stem: _read_tag(file, len(files)) for kind in ("tag", "label") for file in folder.glob(f"*.{kind}")}
    if (folder / "anchor.value").is_file():
        labels["anchor"] = _read_tag(folder / "anchor.value", len(files))
    if properties.get("width", "").isdecimal() and properties.get("height", "").isdecimal():
        size = int(properties["width"]), int(properties["height"])
    else:
        height, width = PictureFile(str(files[0])).decode().shape[:2]
        size = width, height
    return Sequence(name, files, boxes, labels=labels, regions=regions, size=size)


def _properties(file: Path) -> dict[str, str]:
    """The key=value lines of a file, none if it is missing."""
    lines = read_text(file).splitlines() if file.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _channel(folder: Path, properties: dict[str, str]) -> tuple[Path, str]:
    """Where the colour pictures are, and the pattern of their names; by a C format in the file ``sequence``."""
    default = "color" if (folder / "color").is_dir() else ""
    place = properties.get("channels.color", default).replace("\\", "/").rstrip("/")
    if not place.lower().endswith(IMAGE_SUFFIXES):
        place = f"{place}/%08d.jpg"
    found = PATTERN.fullmatch(place.rpartition("/")[2])
    if not found:
        raise DataError(f"{short(folder)}/sequence: channels.color is {place}; expected such as color/%08d.jpg")
    prefix, digits, suffix = found.groups()
    return folder / place.rpartition("/")[0].lstrip("/"), f"{prefix}{{:0{digits or 1}d}}{suffix}"


def _read_regions(file: Path, count: int) -> tuple[Array, tuple[str, ...]]:
    """(T, 4) bounds, and the regions unless all are boxes."""
    lines = [line.strip() for line in read_text(file).rstrip().splitlines()]
    if len(lines) != count:
        raise DataError(f"{short(file)} has {len(lines)} lines for {count} frames")
    boxes = np.full((count, 4), np.nan)
    plain = True
    for number, line in enumerate(lines):
        try:
            region = parse_region(line) if line else NOTHING
        except DataError as error:
            raise DataError(f"{short(file)}, line {number + 1}: {error}") from None
        plain &= isinstance(region, Code | Rectangle)
        if not isinstance(region, Code) and not (isinstance(region, Mask) and not region.pixels.any()):
            boxes[number] = enclosing_box(region)
    return boxes, () if plain else tuple("" if np.isnan(box[0]) else line for box, line in zip(boxes, lines))


def _read_tag(file: Path, count: int) -> NDArray[np.int64]:
    """(count,) whole numbers, one per line, 0 after the last."""
    words = read_text(file, may_be_empty=True).split()[:count]
    try:
        numbers = [int(float(word)) for word in words]
    except (OverflowError, ValueError):
        raise DataError(f"{short(file)} is not made of whole numbers") from None
    return np.pad(np.array(numbers, np.int64), (0, count - len(numbers)))
