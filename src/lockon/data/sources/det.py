"""ImageNet DET (ILSVRC; Russakovsky et al., IJCV 2015): pictures with boxes of the objects of 200 kinds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from lockon.data.sources.base import Source, Still
from lockon.data.sources.imagenet import is_annotation, read_xml
from lockon.data.sources.layout import Layout, drop_unusable, lister, walk
from lockon.data.sources.registry import source
from lockon.errors import DataError
from lockon.pictures import PictureFile

EXPECTED = "Annotations/DET/train/.../NAME.xml and Data/DET/train/.../NAME.JPEG (val likewise)"


@source("det", "train", "val")
def det(path: str, part: str) -> Source:
    """ImageNet DET: stills without masks, one per XML file."""
    layout = Layout("det", Path(path), EXPECTED)
    root, pictures = layout.need(f"Annotations/DET/{part}"), layout.need(f"Data/DET/{part}")
    files = [os.path.join(folder, name) for folder, names in walk(root) for name in names if is_annotation(name)]
    dropped: Counter[str] = Counter()
    names_in = lister()

    def read(file: str) -> list[Still]:
        picture = pictures / Path(file).relative_to(root).with_suffix(".JPEG")
        if picture.name not in names_in(str(picture.parent)):
            raise DataError(f"{picture.parent.name}/{picture.name} is annotated but missing")
        size, targets = read_xml(Path(file))
        boxes = np.array([target.box for target in targets], np.float32).reshape(-1, 4)
        boxes = drop_unusable(boxes, np.ones(len(boxes), bool), dropped, size)
        return [Still(PictureFile(str(picture)), boxes)]

    return Source("det", layout.each(files, read, "pictures"), dropped=dropped)
