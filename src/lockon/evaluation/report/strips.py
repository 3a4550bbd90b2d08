"""Film strips: frames of the sequences that a tracker is worst on, with its box (or region) and the annotated one."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Rows
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from lockon.errors import DataError
from lockon.evaluation.metrics import Array
from lockon.evaluation.regions import FAILED, NOTHING, Mask, Polygon, Rectangle, Region
from lockon.evaluation.report.comparison import Comparison
from lockon.evaluation.sequences import Sequence
from lockon.pictures import PictureFile

FRAMES = 6
HEIGHT = 168  # of a picture in pixels
WIDEST = 6 * HEIGHT  # a picture that would be wider is shown lower
LOST = 0.2  # an overlap at which eyes say that the target is lost
TRUTH, ANSWER = (255, 255, 255), (255, 140, 0)  # RGB; both are edged in black


@dataclass(frozen=True)
class Still:
    """One picture of a strip.

    Attributes:
        frame: its number, counted from 1.
        overlap: of the two regions; NaN where there is nothing to compare.
        jpeg: the picture, shrunk, with both regions.
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


@dataclass(frozen=True, eq=False)
class Track:
    """What a strip is cut from: one tracker on one sequence of T frames.

    Attributes:
        score: there.
        targets, answers: (T,) annotated regions, and the tracker's.
        overlaps: (T,) NaN where there is nothing to compare.
    """

    tracker: str
    sequence: Sequence
    score: float
    targets: Rows[Region]
    answers: Rows[Region]
    overlaps: Array

    @property
    def lost(self) -> NDArray[np.bool_]:
        """(T,) where a supervised run failed, or in others the overlap says so."""
        failed = np.array([answer == FAILED for answer in self.answers])
        return failed if failed.any() else self.overlaps < LOST


def worst_strips(comparison: Comparison, worst: int) -> tuple[list[Strip], dict[str, str]]:
    """A strip for each tracker's worst sequences, worst first; see ``cut_strips``."""
    tracks: list[Track] = []
    by_name = {sequence.name: sequence for sequence in comparison.sequences}
    for tracker, scores in comparison.main.items():
        values = scores.per_sequence[comparison.headline]
        for row in np.argsort(values, kind="stable")[:worst]:
            sequence = by_name[scores.names[row]]
            targets, answers = _regions(sequence.boxes), _regions(comparison.boxes(tracker, sequence))
            overlaps = comparison.overlaps(tracker, sequence)
            tracks.append(Track(tracker, sequence, float(values[row]), targets, answers, overlaps))
    return cut_strips(tracks)


def _regions(boxes: Array) -> list[Region]:
    return [Rectangle(*box) if np.isfinite(box).all() else NOTHING for box in boxes.tolist()]


def cut_strips(tracks: Iterable[Track]) -> tuple[list[Strip], dict[str, str]]:
    """A strip of each track.

    Returns:
        Strips, and by sequence why there is none: a picture is missing or corrupt.
    """
    strips: list[Strip] = []
    faults: dict[str, str] = {}
    for track in tracks:
        try:
            stills = tuple(_still(track, frame) for frame in telling(track.lost))
        except DataError as error:
            faults[track.sequence.name] = str(error)
        else:
            strips.append(Strip(track.tracker, track.sequence.name, track.score, stills))
    return strips, faults


def telling(lost: NDArray[np.bool_]) -> list[int]:
    """Frames, counted from 0, that tell most of a track: the first, the last before the target is lost, the first
    where it is, and others evenly between and after.

    Args:
        lost: (T,) whether it is.
    """
    frames = len(lost)
    chosen = {0, frames - 1}
    if lost.any() and not lost[0]:
        chosen |= {int(lost.argmax()) - 1, int(lost.argmax())}
    while len(chosen) < min(FRAMES, frames):  # into the middle of the widest gap
        places = sorted(chosen)
        left, right = max(pairwise(places), key=lambda gap: gap[1] - gap[0])
        chosen.add((left + right) // 2)
    return sorted(chosen)


def _still(track: Track, frame: int) -> Still:
    """One frame with both regions.

    Raises:
        DataError: its picture is missing or cannot be read.
    """
    if frame >= len(track.sequence.files):
        raise DataError(f"the sequence has {len(track.sequence.files)} pictures for {len(track.targets)} boxes")
    image = PictureFile(str(track.sequence.files[frame])).decode()
    zoom = min(HEIGHT / image.shape[0], WIDEST / image.shape[1])
    width, height = (max(1, round(side * zoom)) for side in (image.shape[1], image.shape[0]))
    picture = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    for region, colour in ((track.targets[frame], TRUTH), (track.answers[frame], ANSWER)):
        lines = [(points * zoom).clip(-1e4, 1e4).round().astype(np.int32) for points in _outlines(region)]
        for edge, thick in (((0, 0, 0), 4), (colour, 2)):  # dark below, so that it shows on any ground
            cv2.polylines(picture, lines, True, edge, thick)
    _, jpeg = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return Still(frame + 1, float(track.overlaps[frame]), jpeg.tobytes(), (width, height))


def _outlines(region: Region) -> list[Array]:
    """(N, 2) x, y of each closed line around a region; none around a code."""
    match region:
        case Rectangle(x, y, w, h):
            return [np.array([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])]
        case Polygon(points):
            return [np.array(points)]
        case Mask(x, y, pixels):
            found, _ = cv2.findContours(pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            return [line[:, 0] + np.array([x, y], float) for line in found]
    return []
