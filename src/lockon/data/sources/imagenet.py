"""ImageNet's annotations of objects: one XML file per picture."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from lockon.annotations import number_of, read_text, short
from lockon.boxes import Box
from lockon.data.sources.fields import LARGEST_SIDE, is_number
from lockon.errors import DataError

DECLARATIONS = ("<!DOCTYPE", "<!ENTITY")  # annotations have none; they could name other files, or grow without end
SIDES = ("xmin", "ymin", "xmax", "ymax")


class Target(NamedTuple):
    """One object of a picture: the track that it belongs to (empty in DET), x, y, w, h, and whether it is occluded."""

    track: str
    box: Box
    occluded: bool


def is_annotation(name: str) -> bool:
    """Whether a file is one by its name; what some systems leave beside each file is not."""
    return name.endswith(".xml") and not name.startswith(".")


def read_xml(file: Path) -> tuple[tuple[int, int], list[Target]]:
    """Width and height of a picture, and its objects.

    Raises:
        DataError: not an annotation of ImageNet; the first tag that is missing or wrong is named.
    """
    text = read_text(file)
    name = short(file)
    if any(declaration in text.upper() for declaration in DECLARATIONS):
        raise DataError(f"{name} is not an annotation: it declares entities, as no annotation of ImageNet does")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{name} is not an annotation: {error}") from None
    width, height = (_number(root, f"size/{side}", name) for side in ("width", "height"))
    if not (1 <= width <= LARGEST_SIDE and 1 <= height <= LARGEST_SIDE):
        raise DataError(f"{name} is not an annotation: its size is {width:g} x {height:g} pixels")
    return (int(width), int(height)), [_target(node, name) for node in root.iter("object")]


def _target(node: ElementTree.Element, name: str) -> Target:
    x1, y1, x2, y2 = (_number(node, f"bndbox/{side}", name) for side in SIDES)
    track, occluded = (node.findtext(tag, "").strip() for tag in ("trackid", "occluded"))
    return Target(track, (x1, y1, x2 - x1, y2 - y1), occluded == "1")


def _number(node: ElementTree.Element, tag: str, name: str) -> float:
    text = node.findtext(tag)
    if text is None:
        raise DataError(f"{name} is not an annotation: {node.tag} has no {tag}")
    value = number_of(text)
    if not is_number(value):
        raise DataError(f"{name} is not an annotation: {tag} is {text.strip()[:40]!r}, not a number of pixels")
    return value
