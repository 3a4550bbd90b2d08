"""SiamAttn's training pairs, which are those of SiamRPN++ (STVIR/pysot), as the official code draws them.

A square around each target is cut first, so large that the patches, shifted and scaled, lie in it; then come colour,
blur and a mirror. Two frames are of one video, or of two. Coordinates inside this file are those of pixels' middles.
The official code adds its colours without bounds; patches are bytes here, and colours end at 0 and 255.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator

from lockon.boxes import Box
from lockon.crops import CropSpec, beyond, mean_colour, warp
from lockon.data.augment import Placed
from lockon.data.pairs import pack
from lockon.data.papers.common import MixConfig, Object, PaperSampler, Video, any_shot, grey
from lockon.data.pick import pick
from lockon.data.sources import Shot, Source
from lockon.tracker import PairBatch

PAIRS_PER_PASS = {"coco": 117_266, "trackingnet": 2e5, "lasot": 2e5, "youtube-vos": 1.5e5, "got10k": 1.5e5}
WIDE = 511 / 127  # side of the square that is cut first, in sides of the template's
BLURS = range(5, 46, 2)  # sides of the blur's kernel in pixels
COLOURS = np.array(  # how red, green and blue change with three normal draws
    [
        [-0.55919361, 0.98062831, -0.41940627],
        [1.72091413, 0.19879334, -1.82968581],
        [4.64467907, 4.73710203, 4.88324118],
    ]
)


@dataclass(frozen=True)
class Shake:
    """What is done to a patch.

    Attributes:
        shift: largest shift in pixels.
        scale: largest change of width and height, as a share.
        colour, blur, flip: shares of patches with changed colours, blurred by motion, mirrored.
    """

    shift: float
    scale: float
    colour: float = 0.5
    blur: float = 0.0
    flip: float = 0.0


@dataclass(frozen=True)
class SiamattnPairs(MixConfig):
    """Pairs of SiamAttn.

    Attributes:
        mix: by the number of pairs that a data set gives to a pass through all; COCO gives one for each picture.
        absent: share of pairs of two frames that have nothing to do with each other.
        max_gap: largest distance of a pair's frames, counted in frames that have a box, by data set.
        template, search: what is done to the patches.
        grey: share of pairs without colour; 0.2 for the weights published for OTB.
    """

    mix: dict[str, float] = field(default_factory=lambda: dict(PAIRS_PER_PASS))
    absent: float = 0.2
    max_gap: dict[str, int] = field(
        default_factory=lambda: {"coco": 1, "trackingnet": 100, "lasot": 300, "youtube-vos": 20, "got10k": 30}
    )
    template: Shake = Shake(4, 0.05)
    search: Shake = Shake(64, 0.18, blur=0.2, flip=0.2)
    grey: float = 0.0


class SiamattnSampler(PaperSampler):
    """Draws ``SiamattnPairs``.

    Args:
        masks: whether pairs bring the target's mask in the search patch, where the source has one.
    """

    def __init__(
        self, sources: Sequence[Source], config: SiamattnPairs, template: CropSpec, search: CropSpec, masks: bool
    ) -> None:
        super().__init__(sources, config, template, search)
        self.config, self.masks = config, masks
        self.stills = {source.name: [still for still in source.stills if len(still.boxes)] for source in sources}

    def target_of(self, name: str, rng: Generator) -> Video:
        """As in ``PaperSampler``, but of stills every picture alike, and any object in it."""
        if not self.stills[name]:
            return super().target_of(name, rng)
        still = pick(self.stills[name], rng.random())
        return Object(still, int(rng.random() * len(still.boxes)))

    def attempt(self, present: bool, rng: Generator) -> PairBatch | None:
        """As in ``PaperSampler``."""
        shots = self._shots(present, rng)
        if len(shots) < 2:
            return None
        colourless = bool(rng.random() < self.config.grey)
        template = self._patch(shots[0], self.template, self.config.template, colourless, rng)
        search = self._patch(shots[1], self.search, self.config.search, colourless, rng)
        return pack([template], search, self.template, self.search, present, self.masks)

    def _shots(self, present: bool, rng: Generator) -> list[Shot]:
        """A target in two frames, or two targets; fewer where one has no box."""
        name = self.mix.draw(rng).name
        video = self.target_of(name, rng)
        if not present:
            found = any_shot(video, rng), any_shot(self.any_target(rng), rng)
            return [shot for shot in found if shot is not None]
        boxed = [number for number in range(len(video)) if video.has_box(number)]
        if not boxed:
            return []
        first, gap = int(rng.random() * len(boxed)), self.config.max_gap.get(name, 1)
        second = pick(range(max(0, first - gap), min(first + gap + 1, len(boxed))), rng.random())
        return [video.shot(boxed[number]) for number in (first, second)]

    def _patch(self, shot: Shot, spec: CropSpec, shake: Shake, colourless: bool, rng: Generator) -> Placed:
        """A patch as it is trained on."""
        size = round(WIDE * self.template.size)
        outer = wide_matrix(shot.box, self.template, size)
        inner = shaken_matrix(size, spec.size, shake, rng.uniform(-1, 1, 4).tolist())
        wide = warp(shot.image, outer, size, mean_colour(shot.image))
        image = warp(wide, inner, spec.size)
        mask = None if shot.mask is None else warp(warp(shot.mask, outer, size), inner, spec.size)
        padding = beyond(outer @ np.vstack([inner, [0, 0, 1]]), spec.size, shot.image.shape)
        x, y, w, h = shot.box
        corners = seen_box(seen_box((x, y, x + w, y + h), outer), inner)
        if colourless:
            image = grey(image)
        if rng.random() < shake.colour:
            image = shift_colours(image, rng.standard_normal(3))
        if rng.random() < shake.blur:
            image = cv2.filter2D(image, -1, motion_kernel(pick(BLURS, rng.random()), rng.random()))
        if rng.random() < shake.flip:
            corners = flip_box(corners, spec.size)
            image, padding = (np.ascontiguousarray(x[:, ::-1]) for x in (image, padding))
            mask = None if mask is None else np.ascontiguousarray(mask[:, ::-1])
        x1, y1, x2, y2 = corners
        return Placed(image, padding, (x1 + 0.5, y1 + 0.5, x2 - x1, y2 - y1), mask)


# Maps from the pixels of a patch to those of the picture that it is cut from, (2, 3)


def wide_matrix(box: Box, template: CropSpec, size: int) -> np.ndarray:
    """Of the square of ``size`` pixels around a box x, y, w, h, at the scale of its template."""
    x, y, w, h = box
    step = template.factor * template.extent(w, h) / template.size
    return np.array([[step, 0.0, x + w / 2 - size // 2 * step], [0.0, step, y + h / 2 - size // 2 * step]])


def shaken_matrix(length: int, size: int, shake: Shake, draws: Sequence[float]) -> np.ndarray:
    """Of a patch from the middle of a square, stretched and shifted within it.

    Args:
        length, size: of the square and of the patch in pixels.
        draws: four numbers in -1 to 1: for the scales of x and y, for the shifts in x and y.
    """
    matrix = np.zeros((2, 3))
    span = size - 1
    for axis in range(2):
        stretch = min(1 + draws[axis] * shake.scale, length / span)
        low, high = length // 2 - span * stretch / 2, length // 2 + span * stretch / 2
        matrix[axis, axis] = stretch
        matrix[axis, 2] = low + max(-low, min(length - 1 - high, draws[2 + axis] * shake.shift))
    return matrix


def seen_box(corners: Sequence[float], matrix: np.ndarray) -> Box:
    """Where a box x1, y1, x2, y2 of the picture lies in the patch."""
    x1, y1, x2, y2 = ((v - matrix[i % 2, 2]) / matrix[i % 2, i % 2] for i, v in enumerate(corners))
    return x1, y1, x2, y2


def flip_box(corners: Sequence[float], size: int) -> Box:
    """x1, y1, x2, y2 in a patch whose columns are reversed."""
    x1, y1, x2, y2 = corners
    return size - 1 - x2, y1, size - 1 - x1, y2


# Light


def shift_colours(image: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """An (H, W, 3) uint8 RGB picture less a colour that three standard normal draws decide."""
    return np.clip(image - COLOURS @ normals, 0, 255).astype(np.uint8)


def motion_kernel(size: int, share: float) -> np.ndarray:
    """A (size, size) blur along a cross: ``share`` of it upright, the rest level."""
    kernel = np.zeros((size, size))
    kernel[:, size // 2] += share / size
    kernel[size // 2] += (1 - share) / size
    return kernel
