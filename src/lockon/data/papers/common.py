"""What the papers' samplers share: data sets by share, targets of these, and tries until a pair can be used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

from lockon.crops import CropSpec
from lockon.data.mix import Mix
from lockon.data.pick import pick
from lockon.data.sources import Shot, Source, Still, Track
from lockon.errors import DataError
from lockon.tracker import PairBatch

TRIES = 1000


@dataclass(frozen=True)
class MixConfig:
    """What every paper's pairs have.

    Attributes:
        mix: share of each data set, any sum; a name may say which part, as in "got10k:vot-train". Written
            ``lasot:1,got10k:vot-train:1`` on the command line.
        absent: share of pairs whose search patch does not show the target.
    """

    mix: dict[str, float]
    absent: float


@dataclass(frozen=True)
class Object:
    """An object of a still, like a track of one frame."""

    still: Still
    number: int

    def __len__(self) -> int:
        return 1

    def has_box(self, _: int) -> bool:
        """Whether its box can be used."""
        return bool(np.isfinite(self.still.boxes[self.number]).all())

    def shot(self, _: int) -> Shot:
        """The object."""
        return self.still.shot(self.number)


Video = Track | Object


class Videos:
    """The targets of a data set: objects of its stills, then its tracks."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.ends = np.cumsum([0, *(len(still.boxes) for still in source.stills)])

    def __len__(self) -> int:
        return int(self.ends[-1]) + len(self.source.tracks)

    def __getitem__(self, index: int) -> Video:
        objects = int(self.ends[-1])
        if index >= objects:
            return self.source.tracks[index - objects]
        place = int(np.searchsorted(self.ends, index, side="right")) - 1
        return Object(self.source.stills[place], index - int(self.ends[place]))


def _has_target(source: Source) -> bool:
    return any(np.isfinite(still.boxes).all(1).any() for still in source.stills) or any(
        track.visible.any() for track in source.tracks
    )


class PaperSampler(ABC):
    """Draws the pairs of a paper, as its official code does.

    Args:
        sources: the data sets of the mix, and no others.
        template, search: the model's crops.

    Raises:
        DataError: a data set without targets.
    """

    def __init__(self, sources: Sequence[Source], config: MixConfig, template: CropSpec, search: CropSpec) -> None:
        self.template, self.search, self.absent = template, search, config.absent
        shares = {name.partition(":")[0]: share for name, share in config.mix.items()}
        self.mix = Mix(sources, [shares[source.name] for source in sources])
        self.videos = {source.name: Videos(source) for source in sources}
        if empty := [str(source) for source in sources if not _has_target(source)]:
            raise DataError(f"{'; '.join(empty)}: no annotated target in this data that can be used")

    def draw(self, rng: Generator) -> PairBatch:
        """One pair, as a batch without its first dimension.

        Raises:
            DataError: no pair that can be used in a thousand tries.
            PictureError: a picture cannot be read.
        """
        present = bool(rng.random() >= self.absent)
        for _ in range(TRIES):
            pair = self.attempt(present, rng)
            if pair is not None:
                return pair
        raise DataError(
            f"{TRIES} pairs in a row could not be used: the data's videos are too short, or its boxes too small or "
            f"of strange shapes; the fields of the recipe's data say what is left out"
        )

    @abstractmethod
    def attempt(self, present: bool, rng: Generator) -> PairBatch | None:
        """A pair that shows the target in its search patch or does not; None if the draws gave none to use."""

    def target(self, rng: Generator) -> Video:
        """A target of a data set drawn by its share."""
        return self.target_of(self.mix.draw(rng).name, rng)

    def target_of(self, name: str, rng: Generator) -> Video:
        """A target of a data set, all alike."""
        videos = self.videos[name]
        return videos[int(rng.random() * len(videos))]

    def any_target(self, rng: Generator) -> Video:
        """A target of a data set, every set alike."""
        return self.target_of(pick(list(self.videos), rng.random()), rng)


def any_shot(video: Video, rng: Generator) -> Shot | None:
    """The target in any frame; None where it has no box."""
    number = int(rng.random() * len(video))
    return video.shot(number) if video.has_box(number) else None


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to the same without colour."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
