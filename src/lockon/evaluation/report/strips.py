"""Film strips: frames of the sequences that a tracker is worst on, with its box and the annotated one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np

from lockon.data.sources.pictures import PictureFile
from lockon.errors import DataError
from lockon.evaluation.metrics import Array
from lockon.evaluation.report.comparison import Comparison
from lockon.evaluation.sequences import Sequence

FRAMES = 6
HEIGHT = 168  # of a picture in pixels
LOST = 0.2  # an overlap at which eyes say that the target is lost
TRUTH, ANSWER = (255, 255, 255), (255, 140, 0)  # RGB; both are edged in black


@dataclass(frozen=True)
class Still:
    """One picture of a strip.

    Attributes:
        frame: its number, counted from 1.
        overlap: of the two boxes; NaN where the target is absent.
        jpeg: the picture, shrunk, with both boxes.
        size: its width and height in pixels.
    """

    frame: int
    overlap: float
    jpeg: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class Strip:
    """Frames of one sequence as one tracker saw it, and its score there."""

    tracker: str
    sequence: str
    score: float
    stills: tuple[Still, ...]


def worst_strips(comparison: Comparison, worst: int) -> tuple[list[Strip], dict[str, str]]:
    """A strip for each tracker's worst sequences, worst first.

    Returns:
        Strips, and by sequence why there is none: a picture is missing or corrupt.
    """
    strips: list[Strip] = []
    faults: dict[str, str] = {}
    by_name = {sequence.name: sequence for sequence in comparison.sequences}
    for tracker, scores in comparison.main.items():
        values = scores.per_sequence[comparison.headline]
        for row in np.argsort(values, kind="stable")[:worst]:
            sequence = by_name[scores.names[row]]
            overlaps = comparison.overlaps(tracker, sequence)
            boxes = comparison.boxes(tracker, sequence)
            try:
                stills = tuple(_still(sequence, boxes, overlaps, frame) for frame in telling(overlaps))
            except DataError as error:
                faults[sequence.name] = str(error)
            else:
                strips.append(Strip(tracker, sequence.name, float(values[row]), stills))
    return strips, faults


def telling(overlaps: Array) -> list[int]:
    """Frames, counted from 0, that tell most of a track: the first, the last before the target is lost, the first
    where it is, and others evenly between and after."""
    frames = len(overlaps)
    chosen = {0, frames - 1}
    lost = np.flatnonzero(overlaps < LOST)
    if len(lost) and lost[0]:
        chosen |= {int(lost[0]) - 1, int(lost[0])}
    while len(chosen) < min(FRAMES, frames):  # into the middle of the widest gap
        places = sorted(chosen)
        left, right = max(pairwise(places), key=lambda gap: gap[1] - gap[0])
        chosen.add((left + right) // 2)
    return sorted(chosen)


def _still(sequence: Sequence, boxes: Array, overlaps: Array, frame: int) -> Still:
    """One frame with its boxes.

    Raises:
        DataError: its picture is missing or cannot be read.
    """
    image = PictureFile(str(sequence.files[frame])).decode()
    zoom = HEIGHT / image.shape[0]
    width = max(1, round(image.shape[1] * zoom))
    picture = cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    for box, colour in ((sequence.boxes[frame], TRUTH), (boxes[frame], ANSWER)):
        if np.isfinite(box).all():
            _draw(picture, box * zoom, colour)
    _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return Still(frame + 1, float(overlaps[frame]), jpeg.tobytes(), (width, HEIGHT))


def _draw(picture: np.ndarray, box: Array, colour: tuple[int, int, int]) -> None:
    """A rectangle of two pixels with a dark edge, so that it shows on any ground."""
    low = np.clip(box[:2], -1e4, 1e4).round().astype(int)
    high = np.clip(box[:2] + box[2:], -1e4, 1e4).round().astype(int)
    cv2.rectangle(picture, low.tolist(), high.tolist(), (0, 0, 0), 4)
    cv2.rectangle(picture, low.tolist(), high.tolist(), colour, 2)
