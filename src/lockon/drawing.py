"""Boxes and masks on frames, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import cv2
import numpy as np

from lockon.masks import extent
from lockon.pictures import as_rgb
from lockon.tracker import Result

COLOURS = ((64, 220, 96), (255, 160, 32), (64, 160, 255), (240, 80, 200), (250, 230, 60), (60, 230, 230))
LOST = (150, 150, 150)

FARTHEST = 2e9  # pixels: what fits into OpenCV's integers, which draws lines from there as well as others

Point = tuple[float, float]
Colour = tuple[int, int, int]


def draw_results(image: np.ndarray, results: Sequence[Result], size: tuple[int, int] | None = None) -> np.ndarray:
    """Draws each target's box and score, its mask tinted and its rotated box in thin lines where it has them.

    A target not found is grey. What lies outside the frame is left out, and a box or corner that is no number too.

    Args:
        image: (H, W, 3) uint8 RGB, or what else ``as_rgb`` takes; it is left as it is.
        results: in pixels of the image.
        size: width, height of the drawing, where it is not the image's own. Lines and text are as thick as in an image
            of that size.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        SourceError: not an image.
    """
    picture = as_rgb(image)
    height, width = picture.shape[:2]
    size = size or (width, height)
    zoom = (size[0] / width, size[1] / height)
    canvas = _canvas(picture, size)
    for number, result in enumerate(results):
        colour = COLOURS[number % len(COLOURS)] if result.found else LOST
        text = f"{number + 1}: {result.score:.2f}" if len(results) > 1 else f"{result.score:.2f}"
        if result.mask is not None:
            _tint(canvas, result.mask, colour)
        if result.polygon is not None:
            _outline(canvas, [_scaled(corner, zoom) for corner in result.polygon], colour)
        x, y, w, h = result.box
        corners = _scaled((x, y), zoom), _scaled((x + w, y + h), zoom)
        _frame(canvas, corners, colour, text if result.found else text + " lost")
    return canvas


def _scaled(point: Point, zoom: Point) -> Point:
    return float(point[0]) * zoom[0], float(point[1]) * zoom[1]


def _canvas(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if picture.shape[1::-1] == size:
        return picture.copy()
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)  # each pixel the mean of those it stands for


def _tint(canvas: np.ndarray, mask: np.ndarray, colour: Colour) -> None:
    """Mix a colour into the pixels of a mask, which covers the whole canvas whatever its own size."""
    if 0 in mask.shape:
        return
    if mask.shape != canvas.shape[:2]:
        rows, columns = (_centres(*lengths) for lengths in zip(canvas.shape, mask.shape, strict=False))
        mask = mask[np.ix_(rows, columns)]
    part = extent(mask)
    inside, region = mask[part].astype(bool), canvas[part]
    for channel, shade in enumerate(colour):
        mixed = (0.6 * np.arange(256) + 0.4 * shade).astype(np.uint8)
        region[..., channel][inside] = mixed[region[..., channel][inside]]


def _centres(length: int, source: int) -> np.ndarray:
    """(length,): which of ``source`` pixels the centre of each of ``length`` pixels falls on."""
    return ((np.arange(length) + 0.5) * source / length).astype(int)


def _frame(canvas: np.ndarray, corners: tuple[Point, Point], colour: Colour, text: str) -> None:
    """A box between two corners in pixels of the canvas, and a line of text over the first."""
    if any(isnan(value) for corner in corners for value in corner):
        return
    height, width = canvas.shape[:2]
    thick = max(2, round(min(height, width) / 240))
    margin = 2 * thick  # far enough out to be unseen; what a side costs then ends there
    (left, top), last = ((_near(x, width, margin), _near(y, height, margin)) for x, y in corners)
    cv2.rectangle(canvas, (left, top), last, colour, thick)
    place = (max(0, left), max(12 * thick // 2, top - 2 * thick))
    for shade, weight in (((0, 0, 0), thick + 1), (colour, thick - 1)):
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.25 * thick, shade, weight, cv2.LINE_AA)


def _near(value: float, length: int, margin: int) -> int:
    """The pixel of a place, at most ``margin`` outside."""
    return round(min(max(value, -margin), length + margin))


def _outline(canvas: np.ndarray, corners: Sequence[Point], colour: Colour) -> None:
    for start, end in zip([*corners[-1:], *corners[:-1]], corners, strict=True):
        if not any(isnan(value) for value in (*start, *end)):
            cv2.line(canvas, _pixel(start), _pixel(end), colour, 1, cv2.LINE_AA)


def _pixel(point: Point) -> tuple[int, int]:
    x, y = (round(min(max(value, -FARTHEST), FARTHEST)) for value in point)
    return x, y
