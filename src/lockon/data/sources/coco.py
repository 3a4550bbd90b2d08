"""COCO 2017 (Lin et al., ECCV 2014), and files of its form: pictures with boxes and masks of every object.

The form has few fields that every tool writes. What may be missing here: of an annotation all but its picture's id and
its box or mask, of a picture its size, of a file its annotations and categories.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockon.annotations import read_json, short
from lockon.data.sources.base import Source, Still
from lockon.data.sources.fields import Row, are_numbers, box_of, kind_of, row_of, rows_of, side_of
from lockon.data.sources.layout import Layout, drop_unusable
from lockon.data.sources.outlines import Code, code_of, code_of_runs, runs_of, usable_outlines
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.names import path_inside
from lockon.pictures import PictureFile

EXPECTED = "annotations/instances_train2017.json and train2017/000000000009.jpg and so on (val2017 likewise)"
CROWD = {None: False, 0: False, 1: True, "0": False, "1": True}

Key = str | int


@dataclass(frozen=True, slots=True)
class CodedMasks:
    """Masks as run lengths in COCO's code, one per object of a picture of ``height`` x ``width`` pixels; None for an
    object without mask."""

    height: int
    width: int
    counts: tuple[Code | None, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width that the annotation claims."""
        return self.height, self.width

    def __getitem__(self, number: int, /) -> np.ndarray:
        from pycocotools.mask import decode

        code = self.counts[number]
        if code is None:
            return np.zeros(self.size, np.uint8)
        mask: np.ndarray = decode({"size": [self.height, self.width], "counts": code})
        return mask * np.uint8(255)


@dataclass(frozen=True)
class Annotations:
    """A file of COCO's form, its joins made.

    Attributes:
        name: of the file, for errors.
        pictures: by id.
        objects: annotations by their picture's id, each with what errors call it.
        dropped: how many are of no picture in the file.
    """

    name: str
    pictures: Mapping[Key, Row]
    objects: Mapping[Key, Sequence[tuple[str, Row]]]
    dropped: Counter[str]


@source("coco", "train2017", "val2017")
def coco(path: str, part: str) -> Source:
    """COCO 2017, or other pictures in its layout: stills with masks where there are some, crowds left out.

    Masks take pycocotools (``pip install 'lockon[coco]'``). Reading takes about a minute for train2017, since polygons
    become run lengths, which are small.
    """
    try:
        import pycocotools.mask  # noqa: F401
    except ImportError:
        raise DataError("coco needs pycocotools: pip install 'lockon[coco]'") from None
    layout = Layout("coco", Path(path), EXPECTED)
    file = layout.need(f"annotations/instances_{part}.json")
    folder = layout.need(part)
    there = set(os.listdir(folder))
    data = read_annotations(file)
    dropped = data.dropped

    def read(key: Key) -> list[Still]:
        picture = PictureFile(str(_find(data.pictures[key], f"{data.name}, image {key}", folder, there)))
        return [_still(picture, key, data, dropped)]

    stills = layout.each(list(data.pictures), read, "pictures")
    return Source("coco", stills, dropped=+dropped)


def read_annotations(file: Path) -> Annotations:
    """Reads a file of COCO's form.

    Raises:
        DataError: it is not, has two pictures of one id, or none of its annotations is of one of its pictures.
    """
    name = short(file)
    data = row_of(read_json(file), name, "the content")
    pictures: dict[Key, Row] = {}
    for number, row in enumerate(rows_of(data.get("images", []), name, "images")):
        key = _key(row.get("id"), f"{name}, images[{number}]", "id")
        if key in pictures:
            raise DataError(f"{name}: two images have the id {key}; which annotations are whose cannot be told")
        pictures[key] = row
    objects: dict[Key, list[tuple[str, Row]]] = defaultdict(list)
    rows = rows_of(data.get("annotations") or [], name, "annotations")
    dropped: Counter[str] = Counter()
    for number, row in enumerate(rows):
        what = f"{name}, annotation {row['id']}" if type(row.get("id")) is int else f"{name}, annotations[{number}]"
        key = _key(row.get("image_id"), what, "image_id")
        if key in pictures:
            objects[key].append((what, row))
        else:
            dropped["annotations of no picture in the file"] += 1
    if rows and not objects:
        raise DataError(
            f"{name}: none of its {len(rows)} annotations is of one of its {len(pictures)} images; the first has "
            f"image_id {rows[0]['image_id']!r}"
        )
    dropped["pictures without annotations"] = len(pictures) - len(objects)
    return Annotations(name, pictures, objects, dropped)


def _key(value: object, where: str, field: str) -> Key:
    """An id, the same whether it is written as 7, 7.0 or "7"."""
    if type(value) is int or (type(value) is float and value.is_integer()):
        return int(value)
    if isinstance(value, str) and value:
        return int(value) if value.isdecimal() and len(value) < 20 and str(int(value)) == value else value
    raise DataError(f"{where}: {field} is {kind_of(value)}, not a whole number or a text")


def _find(row: Row, where: str, folder: Path, there: set[str]) -> Path:
    """Where a picture is: in the part's folder, or named from the data set's own on."""
    name = path_inside(row.get("file_name"), f"{where}, file_name")
    if name in there and (folder / name).is_file():
        return folder / name
    for place in (folder / name, folder.parent / name):
        if "/" in name and place.is_file():
            return place
    raise DataError(f"{folder.name}/{name} is annotated but missing")


def _still(picture: PictureFile, key: Key, data: Annotations, dropped: Counter[str]) -> Still:
    width, height = _size(data.pictures[key], f"{data.name}, image {key}", picture)
    objects = [(what, row) for what, row in data.objects.get(key, ()) if not _is_crowd(what, row, dropped)]
    codes = [_code(what, row.get("segmentation"), height, width, dropped) for what, row in objects]
    boxes = np.full((len(objects), 4), np.nan, np.float32)
    for number, ((what, row), code) in enumerate(zip(objects, codes, strict=True)):
        boxes[number] = _box(what, row.get("bbox"), code, height, width)
    given = ~np.isnan(boxes[:, 0])
    if missing := int((~given).sum()):
        dropped["missing"] += missing
    boxes = drop_unusable(boxes, given, dropped, (width, height))
    masks = CodedMasks(height, width, tuple(codes)) if any(code is not None for code in codes) else None
    return Still(picture, boxes, masks)


def _size(row: Row, where: str, picture: PictureFile) -> tuple[int, int]:
    """Width and height, of the picture itself where the file does not say (some tools write 0)."""
    width, height = (side_of(row.get(side) or None, f"{where}, {side}") for side in ("width", "height"))
    if width is None or height is None:
        height, width = picture.decode().shape[:2]
    return width, height


def _is_crowd(what: str, row: Row, dropped: Counter[str]) -> bool:
    value = row.get("iscrowd")
    if not isinstance(value, int | float | str | None) or value not in CROWD:
        raise DataError(f"{what}: iscrowd is {kind_of(value)}; expected 0 or 1")
    dropped["crowd"] += CROWD[value]  # type: ignore[index]
    return CROWD[value]  # type: ignore[index]


def _box(what: str, value: object, code: Code | None, height: int, width: int) -> Sequence[float]:
    """x, y, w, h; the mask's bounds where there is no box, and NaN where there is no mask either."""
    from pycocotools.mask import toBbox

    if value not in (None, []):
        return box_of(value, what)
    if code is None:
        return [np.nan] * 4
    bounds: Sequence[float] = toBbox({"size": [height, width], "counts": code}).tolist()
    return bounds


def _code(what: str, value: Any, height: int, width: int, dropped: Counter[str]) -> Code | None:
    """A mask from polygons, one polygon, or run lengths, coded or not; None where there is none."""
    if value in (None, [], {}):
        return None
    if isinstance(value, dict):
        counts = value.get("counts")
        if value.get("size") != [height, width]:
            raise DataError(f"{what}: its mask is not of the picture's size, {height} x {width} (height x width)")
        runs = runs_of(counts, what) if isinstance(counts, str) else counts
        return code_of_runs(runs, what, height, width)
    polygons = [value] if isinstance(value, list) and are_numbers(value) else value
    outlines = usable_outlines(polygons, what, height, width)
    if not outlines:
        dropped["masks left out (an outline without area, or far outside the picture)"] += 1
        return None
    return code_of(outlines, height, width)
