"""SparseTT's training pairs, as its official code (fzh0917/SparseTT) draws them.

Two frames of a video, or of two; the search patch is shifted and scaled as long as it shows the whole target. Nothing
is done to light and colour. Centres are counted inclusively: x + (w - 1) / 2, y + (h - 1) / 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from lockon.boxes import Box
from lockon.crops import CropSpec, beyond, mean_colour, warp, warp_matrix
from lockon.data.augment import Placed
from lockon.data.pairs import pack
from lockon.data.papers.common import MixConfig, PaperSampler, any_shot
from lockon.data.pick import pick
from lockon.data.sources import Source
from lockon.tracker import PairBatch

ALL_SETS = {"trackingnet": 0.65, "lasot": 0.3, "got10k": 0.2, "vid": 0.2, "det": 0.08, "coco": 0.07}


@dataclass(frozen=True)
class SparsettPairs(MixConfig):
    """Pairs of SparseTT.

    Attributes:
        absent: share of pairs of two frames that have nothing to do with each other.
        max_gap: how many frames the search frame may lie before the template's.
        max_ratio: boxes that are longer than this in units of their width, or wider in units of their length, are left
            out.
        max_scale, max_shift: of the search crop: by how much its scale may change, and how far from its middle the
            target may be, in halves of its side; ``template_scale`` and ``template_shift`` are the template's.
        tries: how often a crop is drawn anew that does not show the whole target.
    """

    mix: dict[str, float] = field(default_factory=lambda: dict(ALL_SETS))
    absent: float = 0.33
    max_gap: int = 100
    max_ratio: float = 10.0
    max_scale: float = 0.3
    max_shift: float = 0.4
    template_scale: float = 0.0
    template_shift: float = 0.0
    tries: int = 50

    def second_frames(self, first: int, length: int) -> range:
        """The frames that may be searched when ``first`` of a video is the template: far ones before it are left out,
        but not far ones after it, which the official code means to leave out too."""
        return range(max(0, first - self.max_gap), length)

    def accepts(self, w: float, h: float) -> bool:
        """Whether a pair may have a box of this size. The official code means to leave out very small and very large
        boxes too, but its test of the area is always true."""
        ratio = h / (w + 1e-6)
        return max(ratio, 1 / max(ratio, 1e-6)) < self.max_ratio


class SparsettSampler(PaperSampler):
    """Draws ``SparsettPairs``."""

    def __init__(self, sources: Sequence[Source], config: SparsettPairs, template: CropSpec, search: CropSpec) -> None:
        super().__init__(sources, config, template, search)
        self.config = config

    def attempt(self, present: bool, rng: Generator) -> PairBatch | None:
        """As in ``PaperSampler``."""
        video = self.target(rng)
        if present:
            first = int(rng.random() * len(video))
            second = pick(self.config.second_frames(first, len(video)), rng.random())
            shots = [video.shot(n) if video.has_box(n) else None for n in (first, second)]
        else:
            shots = [any_shot(video, rng), any_shot(self.target(rng), rng)]
        one, two = shots
        if one is None or two is None or not all(self.config.accepts(*shot.box[2:]) for shot in (one, two)):
            return None
        specs, draws = (self.template, self.search), rng.random((self.config.tries, 6))
        template, search = cut_pair((one.image, two.image), (one.box, two.box), specs, self.config, draws)
        return pack([template], search, self.template, self.search, present)


def cut_pair(
    frames: tuple[np.ndarray, np.ndarray],
    boxes: tuple[Box, Box],
    specs: tuple[CropSpec, CropSpec],
    config: SparsettPairs,
    draws: Iterable[Sequence[float]],
) -> tuple[Placed, Placed]:
    """Template and search patch of a training pair; outside of their frames both have the template frame's mean colour.

    Args:
        frames: (height, width, 3) uint8, of template and search.
        boxes: x, y, w, h of the target in each, in frame pixels.
        specs: the crops of both.
        draws: rows of six numbers from 0 to 1, such as ``rng.random((config.tries, 6))``: the scale of the search
            and of the template crop, then the shift x, y of both. The first row that leaves the whole target in both
            patches is used; if none does, nothing is changed.
    """
    border = mean_colour(frames[0])
    for row in draws:
        moves = _moves(row, config)
        if all(_shows(spec, _moved(spec, box, move).box) for spec, box, move in zip(specs, boxes, moves, strict=True)):
            break
    else:
        moves = (Move(1.0, 0.0, 0.0), Move(1.0, 0.0, 0.0))
    one, two = (
        _cut(frame, spec, _moved(spec, box, move), border)
        for frame, spec, box, move in zip(frames, specs, boxes, moves, strict=True)
    )
    return one, two


class Move(NamedTuple):
    """How a crop differs from its usual one: its side by a factor, its place in halves of the side."""

    stretch: float
    dx: float
    dy: float


class Cut(NamedTuple):
    """A changed crop: centre and side in frame pixels, and the target's box in the patch."""

    centre: tuple[float, float]
    side: float
    box: Box


def _moves(row: Sequence[float], c: SparsettPairs) -> tuple[Move, Move]:
    """Six numbers from 0 to 1 to the changes of template and search crop."""
    scale, template_scale, dx, dy, template_dx, template_dy = row

    def stretch(draw: float, most: float) -> float:
        low, high = 1 / (1 + most), 1 + most
        return low + (high - low) * draw

    def shift(draw: float, most: float) -> float:
        return (2 * draw - 1) * most

    most = c.template_shift
    return (
        Move(stretch(template_scale, c.template_scale), shift(template_dx, most), shift(template_dy, most)),
        Move(stretch(scale, c.max_scale), shift(dx, c.max_shift), shift(dy, c.max_shift)),
    )


def _moved(spec: CropSpec, box: Box, move: Move) -> Cut:
    x, y, w, h = box
    cx, cy = x + 0.5 * (w - 1), y + 0.5 * (h - 1)
    side = spec.extent(w, h) * spec.factor * move.stretch
    scale, middle = spec.size / side, 0.5 * (spec.size - 1)
    w, h = w * scale, h * scale
    x, y = (middle + 0.5 * d * spec.size - 0.5 * (length - 1) for d, length in ((move.dx, w), (move.dy, h)))
    return Cut((cx - 0.5 * move.dx * side, cy - 0.5 * move.dy * side), side, (x, y, w, h))


def _shows(spec: CropSpec, box: Box) -> bool:
    x, y, w, h = box
    return min(x, y) >= 0 and max(x + w, y + h) <= spec.size


def _cut(frame: np.ndarray, spec: CropSpec, cut: Cut, border: Sequence[float]) -> Placed:
    matrix = warp_matrix(cut.centre, cut.side, spec.size)
    return Placed(warp(frame, matrix, spec.size, border), beyond(matrix, spec.size, frame.shape), cut.box, None)
