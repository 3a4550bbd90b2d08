"""Boxes and masks on frames, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lockon.masks import extent
from lockon.tracker import Result

COLOURS = ((64, 220, 96), (255, 160, 32), (64, 160, 255), (240, 80, 200), (250, 230, 60), (60, 230, 230))


def draw_results(image: np.ndarray, results: Sequence[Result]) -> np.ndarray:
    """A copy of an (H, W, 3) uint8 RGB image with each target's box and score, its mask tinted and its rotated box in
    thin lines where it has them; a target not found is drawn grey."""
    canvas = image.copy()
    thick = max(2, round(min(canvas.shape[:2]) / 240))
    for number, result in enumerate(results):
        colour = COLOURS[number % len(COLOURS)] if result.found else (150, 150, 150)
        if result.mask is not None:
            part = extent(result.mask)
            inside, region = result.mask[part], canvas[part]
            region[inside] = (0.6 * region[inside] + 0.4 * np.array(colour)).astype(np.uint8)
        if result.polygon is not None:
            cv2.polylines(canvas, [np.array(result.polygon).round().astype(np.int32)], True, colour, 1, cv2.LINE_AA)
        x, y, w, h = result.box
        corner = (round(x), round(y))
        cv2.rectangle(canvas, corner, (round(x + w), round(y + h)), colour, thick)
        text = f"{number + 1}: {result.score:.2f}" if len(results) > 1 else f"{result.score:.2f}"
        if not result.found:
            text += " lost"
        place = (corner[0], max(12 * thick // 2, corner[1] - 2 * thick))
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.25 * thick, (0, 0, 0), thick + 1, cv2.LINE_AA)
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.25 * thick, colour, thick - 1, cv2.LINE_AA)
    return canvas
