"""The VOT challenges since 2016, short-term and long-term (Kristan et al.), as their toolkits store them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockon.annotations import read_names, read_text, short
from lockon.data.sources import PictureFile
from lockon.errors import DataError
from lockon.evaluation.benchmarks.files import pictures, read_list, with_truth
from lockon.evaluation.regions import NOTHING, Code, Mask, Rectangle, enclosing_box, parse_region
from lockon.evaluation.sequences import Array, Sequence
from lockon.names import path_inside
from lockon.pictures import IMAGE_SUFFIXES

PATTERN = re.compile(r"([^{}]*)%0?(\d?)d(\.\w+)")
SIDE = re.compile(r"[1-9]\d{0,4}")  # of a frame in pixels; more digits than a picture can have are damage
MASK = re.compile(r"m\s*-?\d+\s*,\s*-?\d+\s*,\s*(\d+)\s*,\s*(\d+)")  # x, y, width, height
DIGITS = 10
LARGER = 2  # times the frame is the most that a mask may be, for targets that reach beyond it


def find(benchmark: str, root: Path) -> tuple[str, ...]:
    """Names, as shipped for VOT2018 and VOT2019, else as in list.txt, else of the folders."""
    there = with_truth(root)
    if listed := read_list("vot").get(benchmark):
        return tuple(listed) if set(listed) & set(there) else ()
    return read_names(root / "list.txt") if there and (root / "list.txt").is_file() else there


def read(benchmark: str, root: Path, name: str) -> Sequence:
    """The annotated regions; boxes are their bounds (of a polygon the corners', of a mask whole pixels), NaN where the
    target is absent. Labels are the tags (camera_motion, occlusion, ...), 0 where a file ends early, and "anchor":
    where the multi-start experiment starts, forward (1) or backward (-1).

    A region is empty for an absent target, else as it is in the file; there are none where all are x,y,w,h.
    """
    folder = root / name
    properties = _properties(folder / "sequence")
    files = pictures(*_channel(folder, properties), 1, read_list("vot").get(benchmark, {}).get(name))
    boxes, regions = _read_regions(folder / "groundtruth.txt", files)
    labels = {file.stem: _read_tag(file, len(files)) for kind in ("tag", "label") for file in folder.glob(f"*.{kind}")}
    if (folder / "anchor.value").is_file():
        labels["anchor"] = _read_tag(folder / "anchor.value", len(files))
    return Sequence(name, files, boxes, labels=labels, regions=regions, size=_size(properties, files[0]))


def _properties(file: Path) -> dict[str, str]:
    """The key=value lines of a file, none if it is missing."""
    lines = read_text(file).split("\n") if file.is_file() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition("=") for line in lines)}


def _size(properties: dict[str, str], first: Path) -> tuple[int, int]:
    """Width and height of the frames, by the file ``sequence`` or else the first picture."""
    told = properties.get("width", ""), properties.get("height", "")
    if all(map(SIDE.fullmatch, told)):
        return int(told[0]), int(told[1])
    return _size_of(first)


def _size_of(picture: Path) -> tuple[int, int]:
    height, width = PictureFile(str(picture)).decode().shape[:2]
    return width, height


def _channel(folder: Path, properties: dict[str, str]) -> tuple[Path, str]:
    """Where the colour pictures are, and the pattern of their names; by a C format in the file ``sequence``."""
    default = "color" if (folder / "color").is_dir() else ""
    place = properties.get("channels.color", default).replace("\\", "/").rstrip("/")
    if not place.lower().endswith(IMAGE_SUFFIXES):
        place = f"{place}/%08d.jpg" if place else "%08d.jpg"
    above, _, name = path_inside(place, f"{short(folder)}/sequence, channels.color").rpartition("/")
    found = PATTERN.fullmatch(name)
    if not found:
        raise DataError(f"{short(folder)}/sequence: channels.color is {place}; expected such as color/%08d.jpg")
    prefix, digits, suffix = found.groups()
    return folder / above, f"{prefix}{{:0{digits or 1}d}}{suffix}"


def _read_regions(file: Path, pictures: tuple[Path, ...]) -> tuple[Array, tuple[str, ...]]:
    """(T, 4) bounds, and the regions unless all are boxes; of the frames that have these pictures."""
    lines = [line.strip() for line in read_text(file).removesuffix("\n").split("\n")]
    count = len(pictures)
    while len(lines) > count and not lines[-1]:  # but an empty line may be the region of a target that is absent
        lines.pop()
    if len(lines) != count:
        raise DataError(f"{short(file)} has {len(lines)} lines for {count} frames")
    size = _size_of(pictures[0]) if any(line.startswith("m") for line in lines) else (0, 0)
    boxes = np.full((count, 4), np.nan)
    plain = True
    for number, line in enumerate(lines):
        try:
            _check_mask(line, size)
            region = parse_region(line) if line else NOTHING
        except DataError as error:
            raise DataError(f"{short(file)}, line {number + 1}: {error}") from None
        plain &= isinstance(region, Code | Rectangle)
        if not isinstance(region, Code) and not (isinstance(region, Mask) and not region.pixels.any()):
            boxes[number] = enclosing_box(region)
    return boxes, () if plain else tuple("" if np.isnan(box[0]) else line for box, line in zip(boxes, lines))


def _check_mask(line: str, size: tuple[int, int]) -> None:
    """Refuses a mask that says to be larger than its frame, before one of that size is made."""
    if (found := MASK.match(line)) and not all(
        len(told) < DIGITS and int(told) <= LARGER * side for told, side in zip(found.groups(), size, strict=True)
    ):
        raise DataError(
            f"a mask of {found[1][:DIGITS]} x {found[2][:DIGITS]} is not of a frame of {size[0]} x {size[1]}"
        )


def _read_tag(file: Path, count: int) -> NDArray[np.int64]:
    """(count,) whole numbers, one per line, 0 after the last."""
    words = read_text(file, may_be_empty=True).split()[:count]
    try:
        numbers = np.array([int(float(word)) for word in words], np.int64)
    except (OverflowError, ValueError):
        raise DataError(f"{short(file)} is not made of whole numbers") from None
    return np.pad(numbers, (0, count - len(numbers)))
