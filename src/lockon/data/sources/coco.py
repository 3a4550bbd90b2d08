"""COCO 2017 (Lin et al., ECCV 2014): pictures with boxes and masks of every object of 80 kinds."""

from __future__ import annotations

import contextlib
import io
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lockon.data.sources.base import Source, Still
from lockon.data.sources.layout import Layout, drop_unusable
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import PictureFile

EXPECTED = "annotations/instances_train2017.json and train2017/000000000009.jpg and so on (val2017 likewise)"


@dataclass(frozen=True, slots=True)
class CodedMasks:
    """Masks as run lengths in COCO's code, one per object of a picture of ``height`` x ``width`` pixels."""

    height: int
    width: int
    counts: tuple[bytes, ...]

    def __getitem__(self, number: int, /) -> np.ndarray:
        from pycocotools.mask import decode

        mask: np.ndarray = decode({"size": [self.height, self.width], "counts": self.counts[number]})
        return mask * np.uint8(255)


@source("coco", "train2017", "val2017")
def coco(path: str, part: str) -> Source:
    """COCO 2017 by pycocotools (``pip install 'lockon[coco]'``): stills with masks, crowds left out.

    Reading takes about a minute for train2017, since polygons become run lengths, which are small.
    """
    try:
        from pycocotools.coco import COCO
    except ImportError:
        raise DataError("coco needs pycocotools: pip install 'lockon[coco]'") from None
    layout = Layout("coco", Path(path), EXPECTED)
    file = layout.need(f"annotations/instances_{part}.json")
    there = set(os.listdir(layout.need(part)))
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it reports on its progress
            data = COCO(str(file))
    except ValueError as error:
        raise DataError(f"coco: {file} is not JSON, perhaps half copied: {error}") from None
    dropped: Counter[str] = Counter()

    def read(image: dict[str, Any]) -> list[Still]:
        if image["file_name"] not in there:
            raise DataError(f"{part}/{image['file_name']} is annotated but missing")
        objects = [a for a in data.imgToAnns[image["id"]] if not a["iscrowd"]]
        boxes = np.array([a["bbox"] for a in objects], np.float32).reshape(-1, 4)
        size = image["width"], image["height"]
        boxes = drop_unusable(boxes, np.ones(len(boxes), bool), dropped, size)
        masks = CodedMasks(*size[::-1], tuple(data.annToRLE(a)["counts"] for a in objects))
        return [Still(PictureFile(f"{path}/{part}/{image['file_name']}"), boxes, masks)]

    return Source("coco", layout.each(list(data.imgs.values()), read, "pictures"), dropped=dropped)
