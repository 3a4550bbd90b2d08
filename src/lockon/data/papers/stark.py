"""Training pairs of STARK, AiATrack, OSTrack and GRM, as their official code (one grew from the other) draws them.

Frames of one video; search patches, in AiATrack later references too, are cut around a box near the target's; all
patches of a pair may be grey or mirrored together, then each is brightened and mirrored on its own. The papers tell of
flips and brightness alone (STARK, section 4.1). Patches are bytes here, so brightness is rounded to whole levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator

from lockon.boxes import Box
from lockon.crops import CropSpec, crop
from lockon.data.augment import Placed
from lockon.data.pairs import pack
from lockon.data.papers.common import MixConfig, Object, PaperSampler, Video, any_shot, grey
from lockon.data.pick import draw_in_order, draw_trident, pick
from lockon.data.sources import Shot, Source, Track
from lockon.data.sources.trackingnet import keyframes
from lockon.errors import BoxError, DataError
from lockon.tracker import PairBatch

FOUR_SETS = {"lasot": 1.0, "got10k:vot-train": 1.0, "coco": 1.0, "trackingnet": 1.0}
FRAMES = {"causal": 2, "references": 3, "trident": 3}  # patches of a pair
STRIDE = 16  # pixels of a token: one of them must not be padding


@dataclass(frozen=True)
class StarkPairs(MixConfig):
    """Pairs of STARK and those that grew from it.

    Attributes:
        frames: "causal", a template and a later search frame (STARK-S, OSTrack, GRM); "references", an earlier
            template before these two (AiATrack); "trident", a template and a search frame anywhere and a dynamic
            template near the search frame (STARK-ST; see ``pick.pick_trident``).
        max_gap: frames between one and the next.
        shortest: a video needs this many frames; and more than twice as many that show the target as a pair has
            patches. Objects of stills serve for all frames of a pair.
        keyframes: of TrackingNet every thirtieth frame alone, those that people annotated (AiATrack, OSTrack, GRM).
        scale, shift: of the box around which a search patch is cut: standard deviation of the logarithms of width and
            height, and twice the largest move of its centre in units of sqrt(w h).
        jittered: AiATrack's later references are cut so too.
        grey, flip: share of pairs whose pictures all lose their colour, and are all mirrored.
        brightness: largest change of a patch's brightness.
        mirror: share of patches mirrored on their own.
    """

    mix: dict[str, float] = field(default_factory=lambda: dict(FOUR_SETS))
    absent: float = 0.0
    frames: Literal["causal", "references", "trident"] = "causal"
    max_gap: int = 200
    shortest: int = 20
    keyframes: bool = False
    scale: float = 0.5
    shift: float = 4.5
    jittered: bool = False
    grey: float = 0.05
    flip: float = 0.5
    brightness: float = 0.2
    mirror: float = 0.5


class StarkSampler(PaperSampler):
    """Draws ``StarkPairs``.

    Args:
        templates: how many the model takes.

    Raises:
        DataError: pairs of this kind have another number of templates, or a data set has no target.
    """

    def __init__(
        self, sources: Sequence[Source], config: StarkPairs, template: CropSpec, search: CropSpec, templates: int
    ) -> None:
        super().__init__(sources, config, template, search)
        self.config, self.count = config, FRAMES[config.frames]
        if self.count != 1 + templates:
            has = "one template" if self.count == 2 else "two templates"
            raise DataError(f"pairs with data.frames={config.frames} have {has}, and this model takes {templates}")

    def target_of(self, name: str, rng: Generator) -> Video:
        """As in ``PaperSampler``, of TrackingNet with its keyframes alone."""
        video = super().target_of(name, rng)
        if self.config.keyframes and name == "trackingnet" and isinstance(video, Track):
            return keyframes(video)
        return video

    def attempt(self, present: bool, rng: Generator) -> PairBatch | None:
        """As in ``PaperSampler``."""
        c, video = self.config, self.target(rng)
        shots = self._shots(video, rng)
        other = None if present or not shots else self._without(video, rng)
        if not shots or (not present and other is None):
            return None
        shots[-1] = other or shots[-1]
        mirrored, colourless = bool(rng.random() < c.flip), bool(rng.random() < c.grey)
        patches = []
        for number, shot in enumerate(shots):
            last = number == len(shots) - 1
            spec, jitter = self.search if last else self.template, last or (c.jittered and number > 0)
            patch = self._patch(shot, spec, jitter, mirrored, colourless, rng)
            if patch is None:
                return None
            patches.append(patch)
        return pack(patches[:-1], patches[-1], self.template, self.search, present)

    def _shots(self, video: Video, rng: Generator) -> list[Shot]:
        """The target in the frames of a pair, the search frame last; none if the video is too short for one."""
        c = self.config
        if isinstance(video, Object):
            return [video.shot(0)] * self.count if video.has_box(0) else []
        if len(video) < c.shortest or np.count_nonzero(video.visible) <= 2 * self.count:
            return []
        if c.frames == "trident":
            numbers: Sequence[int] = draw_trident(video.visible, c.max_gap, rng)
        else:
            numbers = draw_in_order(video.visible, c.max_gap, self.count, rng)
        return [video.shot(n) for n in numbers] if all(video.has_box(n) for n in numbers) else []

    def _without(self, video: Video, rng: Generator) -> Shot | None:
        """A search frame that does not show the target: one of its video, with a box an eighth of its size in the
        middle, or else another target."""
        if isinstance(video, Object) or video.visible.all():
            return any_shot(self.target(rng), rng)
        gone = np.flatnonzero(~video.visible).tolist()
        image = video.frames[pick(gone, rng.random())].decode()
        height, width = image.shape[:2]
        w, h = width // 8, height // 8
        return Shot(image, ((width - w) // 2, (height - h) // 2, w, h))

    def _patch(
        self, shot: Shot, spec: CropSpec, jitter: bool, mirrored: bool, colourless: bool, rng: Generator
    ) -> Placed | None:
        """A patch as it is trained on; None where it would show next to nothing of its frame."""
        c = self.config
        image, (x, y, w, h) = shot.image, shot.box
        if mirrored:
            image, x = image[:, ::-1], image.shape[1] - 1 - (x + w)
        around = draw_jittered((x, y, w, h), c.scale, c.shift, rng) if jitter else (x, y, w, h)
        try:
            patch = crop(image, around, spec)
        except BoxError:
            return None
        if patch.padding[::STRIDE, ::STRIDE].all():
            return None
        left, top, width, height = (spec.size * v for v in patch.window.to_patch((x, y, w, h)))
        seen, padding = patch.image, patch.padding
        if colourless:
            seen = grey(seen)
        seen = brighten(seen, rng.uniform(1 - c.brightness, 1 + c.brightness))
        if rng.random() < c.mirror:
            seen, padding, left = seen[:, ::-1], padding[:, ::-1], spec.size - (left + width)
        return Placed(np.ascontiguousarray(seen), np.ascontiguousarray(padding), (left, top, width, height), None)


def brighten(image: np.ndarray, factor: float) -> np.ndarray:
    """A uint8 picture times a factor, within 0 to 255."""
    return cv2.convertScaleAbs(image, alpha=factor)


def jitter_box(
    box: Sequence[float], normal: Sequence[float], uniform: Sequence[float], scale: float, shift: float
) -> Box:
    """A box near another, for the official search crops of STARK, AiATrack and GRM, as draws give it.

    Args:
        box: x, y, w, h.
        normal: two standard normal draws, for width and height: each changes by exp(``scale`` * draw).
        uniform: two draws in 0 to 1, for x and y: the centre moves by at most ``shift`` / 2 times sqrt(w * h) of the
            new size.
    """
    x, y, w, h = box
    new_w, new_h = (side * math.exp(scale * draw) for side, draw in zip((w, h), normal, strict=True))
    reach = math.sqrt(new_w * new_h) * shift
    cx, cy = (x + w / 2 + reach * (uniform[0] - 0.5), y + h / 2 + reach * (uniform[1] - 0.5))
    return cx - new_w / 2, cy - new_h / 2, new_w, new_h


def draw_jittered(box: Sequence[float], scale: float, shift: float, rng: Generator) -> Box:
    """``jitter_box`` with draws from a generator."""
    return jitter_box(box, rng.standard_normal(2).tolist(), rng.random(2).tolist(), scale, shift)
