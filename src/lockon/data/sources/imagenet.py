"""ImageNet's annotations of objects: one XML file per picture."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from lockon.boxes import Box
from lockon.errors import DataError


class Target(NamedTuple):
    """One object of a picture: the track that it belongs to (empty in DET), x, y, w, h, and whether it is occluded."""

    track: str
    box: Box
    occluded: bool


def read_xml(file: Path) -> tuple[tuple[int, int], list[Target]]:
    """Width and height of a picture, and its objects.

    Raises:
        DataError: not an annotation of ImageNet.
    """
    try:
        root = ElementTree.parse(file).getroot()
        size = int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
        return size, [_target(node) for node in root.iter("object")]
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise DataError(f"{file.parent.name}/{file.name} is not an annotation: {error}") from None


def _target(node: ElementTree.Element) -> Target:
    x1, y1, x2, y2 = (float(node.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return Target(node.findtext("trackid", ""), (x1, y1, x2 - x1, y2 - y1), node.findtext("occluded", "0") == "1")
