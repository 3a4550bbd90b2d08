"""Training pairs: a template patch and a search patch of the same target, a pure function of (seed, index)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.random import Generator

from lockon.crops import BLACK, CropSpec, mean_colour
from lockon.data.augment import (
    Jitter,
    Placed,
    beside,
    double,
    occlude,
    paste,
    place,
    reframe,
    scene,
    surround,
)
from lockon.data.light import Light, relight
from lockon.data.mix import Mix
from lockon.data.sources import Shot, Source, Still, Track
from lockon.errors import DataError
from lockon.registry import closest
from lockon.tracker import PairBatch

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PairConfig:
    """Which pairs are drawn.

    Attributes:
        clips: share of pairs from two frames of one track, at most ``max_gap`` frames apart. Sources of tracks have
            equal parts of it, sources of stills of the rest.
        mix: the weight of every source, in place of ``clips``; empty for the rule above. Written
            ``got10k:1,coco:0.5`` on the command line.
        favour: the weight of tracks whose clip's name begins with a word, 1 for all others; written ``sky:0.3``.
        regions: share of pairs whose target is a random part of a picture; the rest are annotated objects.
        pasted: of the objects that have a mask, the share pasted on another picture, with ``distractors`` others.
        surrounded: of the search patches that are more than a quarter padding, the share that gets another picture
            around it.
        absent: share of pairs whose search patch does not show the target: in ``hidden`` of these it is covered
            altogether, in the rest the patch is of something else.
        beside: share of the search patches that show other objects around the target, up to ``distractors``.
        doubled: share of the search patches that show a second target beside the first, of other colours.
        replaced: this share in place of ``doubled`` for targets that are hidden: the look-alike is still there.
        occluded: share of search patches in which a part of the target is hidden.
        reframed: share of pairs from clips whose frames are cut closer around the target, as if it filled them.
        smallest: objects with a side below this many pixels are not drawn.
        template, search, moving: jitter of the template, of a still's search patch, of a clip's search patch.
        light: photometric change of each patch.
    """

    clips: float = 0.4
    mix: dict[str, float] = field(default_factory=dict)
    favour: dict[str, float] = field(default_factory=dict)
    regions: float = 0.15
    pasted: float = 0.5
    distractors: int = 2
    surrounded: float = 0.3
    absent: float = 0.08
    hidden: float = 0.0
    beside: float = 0.0
    doubled: float = 0.0
    replaced: float = 0.0
    occluded: float = 0.15
    reframed: float = 0.4
    max_gap: int = 60
    smallest: float = 14.0
    template: Jitter = field(default_factory=lambda: Jitter(0.06, 0.0, 0.06, 3.0, 0.04))
    search: Jitter = field(default_factory=lambda: Jitter(1.4, 0.5, 0.25, 12.0, 0.15))
    moving: Jitter = field(default_factory=lambda: Jitter(1.4, 0.5, 0.25, 4.0, 0.06))
    light: Light = field(default_factory=Light)


class PairSampler:
    """Draws pairs from stills and tracks.

    Args:
        sources: those without a still or a track of two frames that show the target have no share; a warning says so.
        template, search: the model's crops.
        masks: whether pairs bring the target's mask in the search patch, where the source has one.
        unlit: leave light, colour, blur and noise to ``light.finish``, on the device that trains.
        templates: how many the model takes; those after the first are from near the search frame, as tracking will
            have them.

    Raises:
        DataError: nothing to draw from, boxes of which none can be drawn, or the configuration's mix names other
            sources.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        config: PairConfig,
        template: CropSpec,
        search: CropSpec,
        templates: int = 1,
        masks: bool = False,
        unlit: bool = False,
    ) -> None:
        self.config, self.template, self.search = config, template, search
        self.templates, self.masks, self.unlit = templates, masks, unlit
        drawn = _drawable(sources, config.smallest)
        self.mix = Mix(drawn, _weights(drawn, config))
        self.stills = [still for source in drawn for still in source.stills]
        self.tracks = [track for source in drawn for track in source.tracks]
        self.shares = {source.name: _shares(source.tracks, config.favour) for source in drawn}
        self.own = {source.name: _objects(source.stills, config.smallest) for source in drawn}
        self.objects = [item for objects in self.own.values() for item in objects]
        self.cutouts = [(still, number) for still, number in self.objects if still.masks is not None]

    def draw(self, rng: Generator) -> PairBatch:
        """One pair, as a batch without its first dimension."""
        c = self.config
        (first, second, *newer), moving = self._shots(rng)
        if moving and rng.random() < c.reframed:
            first, second, *newer = (reframe(shot, rng) for shot in (first, second, *newer))
        flip = rng.random() < 0.5
        flip_search = flip if rng.random() < 0.8 else not flip
        border = BLACK if self.search.border == "black" else mean_colour(first.image)
        template = place(first, self.template, c.template, flip, rng, border)
        present = rng.random() >= c.absent
        hidden = not present and c.hidden > 0 and rng.random() < c.hidden
        if not present and not hidden:
            second, moving = self._other(rng), False
        search = place(second, self.search, c.moving if moving else c.search, flip_search, rng, border)
        narrow = search.padding.mean() > 0.25 and rng.random() < c.surrounded
        if search.mask is not None and (narrow or rng.random() < c.pasted):
            search = self._paste(search, rng)
            if template.mask is not None and rng.random() < 0.3:
                template = paste(template, scene(self._picture(rng), self.template.size, rng))
        elif narrow:
            search = surround(search, scene(self._picture(rng), self.search.size, rng))
        if c.beside and c.distractors and self.cutouts and rng.random() < c.beside:
            for other in self._others(rng, 1 + int(rng.integers(c.distractors))):
                search = beside(search, other)
        doubled = c.replaced if hidden else c.doubled
        if doubled and rng.random() < doubled:
            search = double(search, rng)
        if hidden or rng.random() < c.occluded:
            search = occlude(search, scene(self._picture(rng), self.search.size, rng), rng, whole=hidden)
        templates = [template, *(place(shot, self.template, c.template, flip, rng, border) for shot in newer)]
        return self._pack(templates, search, present, rng)

    def _shots(self, rng: Generator) -> tuple[list[Shot], bool]:
        """Pictures of one target (for the first template, the search patch, the other templates), and whether they
        are from a clip."""
        c = self.config
        source = self.mix.draw(rng)
        if source.tracks:
            track = source.tracks[self._track(source, rng)]
            visible = np.flatnonzero(track.visible)
            one = visible[rng.integers(len(visible))]
            two = self._near(one, visible, rng)
            newer = [self._near(two, visible, rng) for _ in range(self.templates - 1)]
            return [track.shot(i) for i in (one, two, *newer)], True
        objects = self.own[source.name]
        shot = self._region(rng) if not objects or rng.random() < c.regions else _draw(objects, rng)
        return [shot] * (1 + self.templates), False

    def _track(self, source: Source, rng: Generator) -> int:
        if not self.config.favour:
            return int(rng.integers(len(source.tracks)))
        return int(np.searchsorted(self.shares[source.name][:-1], rng.random(), "right"))

    def _near(self, frame: int, visible: np.ndarray, rng: Generator) -> int:
        """Another frame that is not far from one, where there is one."""
        near = visible[(visible != frame) & (abs(visible - frame) <= self.config.max_gap)]
        return int(near[rng.integers(len(near))]) if len(near) else frame

    def _region(self, rng: Generator) -> Shot:
        """A random part of a picture as a target that has no name."""
        image = self._picture(rng)
        height, width = image.shape[:2]
        extent = min(height, width) * rng.uniform(0.12, 0.45)
        stretch = np.exp(np.clip(rng.normal(0, 0.35), -0.8, 0.8))
        w, h = min(extent * stretch, 0.9 * width), min(extent / stretch, 0.9 * height)
        return Shot(image, (rng.uniform(0, width - w), rng.uniform(0, height - h), w, h))

    def _other(self, rng: Generator) -> Shot:
        return _draw(self.objects, rng) if self.objects and rng.random() < 0.7 else self._region(rng)

    def _picture(self, rng: Generator) -> np.ndarray:
        if self.stills:
            return self.stills[rng.integers(len(self.stills))].image.decode()
        track = self.tracks[rng.integers(len(self.tracks))]
        return track.frames[int(rng.integers(len(track)))].decode()

    def _paste(self, search: Placed, rng: Generator) -> Placed:
        """The target on another background, behind it objects that are not the target."""
        background = scene(self._picture(rng), self.search.size, rng)
        for other in self._others(rng, int(rng.integers(self.config.distractors + 1))):
            background = paste(other, background).image
        return paste(search, background)

    def _others(self, rng: Generator, count: int) -> Iterator[Placed]:
        """Objects with masks, anywhere in a search patch."""
        for _ in range(count):
            shot = _draw(self.cutouts, rng)
            if shot.mask is not None:
                yield place(shot, self.search, Jitter(1.9, 0.0, 0.35, 15.0, 0.2), rng.random() < 0.5, rng)

    def _pack(self, templates: Sequence[Placed], search: Placed, present: bool, rng: Generator) -> PairBatch:
        gray = bool(rng.random() < self.config.light.gray)
        patches = [*templates, search]
        changes = [self.config.light.draw(gray, self.search.border, rng) for _ in patches]
        if not self.unlit:
            patches = [replace(p, image=relight(p.image, p.padding, c)) for p, c in zip(patches, changes, strict=True)]
        pair = pack(patches[:-1], patches[-1], self.template, self.search, present, self.masks)
        return pair._replace(light=torch.tensor(changes)) if self.unlit else pair


def pack(
    templates: Sequence[Placed], search: Placed, template: CropSpec, spec: CropSpec, present: bool, masks: bool = False
) -> PairBatch:
    """Patches as a batch without its first dimension.

    Args:
        template, spec: the crops of templates and search patch.
        present: whether the search patch shows the target.
        masks: whether the target's mask comes along.
    """
    pair = PairBatch(
        torch.from_numpy(np.stack([patch.image for patch in templates])).permute(0, 3, 1, 2),
        torch.from_numpy(np.stack([patch.padding for patch in templates])),
        torch.tensor([patch.box for patch in templates], dtype=torch.float32) / template.size,
        torch.from_numpy(search.image).permute(2, 0, 1),
        torch.from_numpy(search.padding),
        torch.tensor(search.box, dtype=torch.float32) / spec.size,
        torch.tensor(present),
    )
    if not masks:
        return pair
    mask = np.zeros_like(search.padding) if search.mask is None else search.mask > 127
    return pair._replace(masks=torch.from_numpy(mask), has_mask=torch.tensor(present and search.mask is not None))


def _drawable(sources: Sequence[Source], smallest: float) -> list[Source]:
    """The sources that can be drawn from, with the tracks that can."""
    drawn = []
    for source in sources:
        tracks = [track for track in source.tracks if track.visible.sum() > 1]
        if left_out := len(source.tracks) - len(tracks):
            log.warning("%s: %d tracks show their target in fewer than two frames, and are not drawn", source, left_out)
        boxes = sum(len(still.boxes) for still in source.stills)
        if boxes and not tracks and not any(_large(still, smallest).any() for still in source.stills):
            raise DataError(
                f"{source}: none of its {boxes} boxes can be drawn; they are left out, or have a side below "
                f"{smallest:g} pixels"
            )
        if tracks or source.stills:
            drawn.append(replace(source, tracks=tracks))
    if not drawn:
        had = f" in what was given ({'; '.join(map(str, sources))})" if sources else ""
        raise DataError(f"no training data{had}: give --data NAME=PATH, for example images=PATH or clips=PATH")
    return drawn


def _objects(stills: Sequence[Still], smallest: float) -> list[tuple[Still, int]]:
    """Every object that is large enough, as its still and number."""
    return [(still, int(number)) for still in stills for number in np.flatnonzero(_large(still, smallest))]


def _large(still: Still, smallest: float) -> np.ndarray:
    """(N,) whether the objects of a picture are large enough."""
    return np.all(still.boxes[:, 2:] >= smallest, axis=1)


def _draw(objects: Sequence[tuple[Still, int]], rng: Generator) -> Shot:
    still, number = objects[int(rng.integers(len(objects)))]
    return still.shot(number)


def _shares(tracks: Sequence[Track], favour: Mapping[str, float]) -> np.ndarray:
    """Where in 0 to 1 each track's part ends."""
    weights = [next((w for word, w in favour.items() if t.name.startswith(word)), 1.0) for t in tracks]
    if weights and not (min(weights) >= 0 and 0 < sum(weights) < np.inf):
        raise DataError(f"favour={dict(favour)}: weights are not negative, and some track must have one above 0")
    return np.cumsum(weights) / (sum(weights) or 1)


def _weights(sources: Sequence[Source], config: PairConfig) -> list[float]:
    """The share of each source, in any unit."""
    if not config.mix:
        moving = sum(bool(source.tracks) for source in sources)
        return [config.clips / moving if s.tracks else (1 - config.clips) / (len(sources) - moving) for s in sources]
    names = [source.name for source in sources]
    for name in config.mix:
        if name not in names:
            raise DataError(
                f"the mix names {name}, of which there is no data (--data {name}=PATH); {closest(name, names)}"
            )
    for name in names:
        if name not in config.mix:
            raise DataError(f"the mix has no weight for {name}; add {name}:WEIGHT, or leave that data out")
    return [config.mix[name] for name in names]
