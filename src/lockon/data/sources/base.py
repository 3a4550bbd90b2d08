"""What a data set becomes: stills and tracks whose pictures stay on disk until they are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from lockon.boxes import Box
from lockon.errors import PictureError
from lockon.pictures import Frames, PictureFile

LARGER = 10  # times the picture is the most that a box may be
THINGS = ("annotations", "files", "masks", "pictures", "videos")  # what else than boxes can be left out


@dataclass(frozen=True)
class Shot:
    """One target in one picture.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        box: x, y, w, h in pixels.
        mask: (H, W) uint8, 255 on the target, where there is one.
    """

    image: np.ndarray
    box: Box
    mask: np.ndarray | None = None


class Masks(Protocol):
    """(H, W) uint8 masks, 255 on the target, by object (of a still) or frame (of a track); decoded when asked for.

    Raises:
        PictureError: a mask that cannot be read.
    """

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width that the annotation claims; None where a mask is a picture and has its own.

        No mask of another size than its picture is made: the claim may be of any size.
        """

    def __getitem__(self, number: int, /) -> np.ndarray: ...


@dataclass(frozen=True, slots=True)
class Still:
    """A picture with its objects.

    Attributes:
        image: where the picture is.
        boxes: (N, 4) x, y, w, h in pixels; NaN where the published box cannot be used, so that numbers stay.
        masks: by object, where the data set has them.
    """

    image: PictureFile
    boxes: np.ndarray
    masks: Masks | None = None

    def shot(self, number: int) -> Shot:
        """Object ``number`` of the picture; without a mask where it is hidden behind smaller objects.

        Raises:
            PictureError: the picture or mask is corrupt, or the box lies outside the picture.
        """
        shot = _shot(self.image, self.boxes[number], self.masks, number)
        return shot if shot.mask is None or shot.mask.any() else replace(shot, mask=None)


@dataclass(frozen=True, slots=True)
class Track:
    """One target through a clip.

    Attributes:
        frames: where the pictures are.
        boxes: (N, 4) x, y, w, h in pixels, NaN where there is none; shares of the picture's size if ``relative``;
            None where the data set has masks alone, whose bounds are then the boxes.
        visible: (N,) bool, frames that have a box and show the target according to the data set's flags.
        masks: by frame, where the data set has them.
        relative: the data set gives boxes as shares of the picture's width and height.
        name: of the clip, where a recipe may ask for it.
    """

    frames: Frames
    boxes: np.ndarray | None
    visible: np.ndarray
    masks: Masks | None = None
    relative: bool = False
    name: str = ""

    def __len__(self) -> int:
        return len(self.visible)

    def has_box(self, number: int) -> bool:
        """Whether frame ``number`` has a box: every visible frame, and some in which the target is hidden."""
        return bool(self.visible[number] if self.boxes is None else not np.isnan(self.boxes[number, 0]))

    def shot(self, number: int) -> Shot:
        """The target in frame ``number``, which must have a box.

        Raises:
            PictureError: the picture or mask is corrupt, the box lies outside the picture, or the mask is empty.
        """
        assert self.has_box(number)
        box = None if self.boxes is None else self.boxes[number]
        return _shot(self.frames[number], box, self.masks, number, self.relative)


@dataclass(frozen=True)
class Source:
    """A data set as read.

    Attributes:
        name: in the registry, such as "got10k".
        dropped: how many published boxes are not used, by reason; and how many of what else, under a text that begins
            with what it is, such as "pictures without annotations".
    """

    name: str
    stills: Sequence[Still] = ()
    tracks: Sequence[Track] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [
            f"{len(things)} {kind}" for things, kind in ((self.tracks, "tracks"), (self.stills, "pictures")) if things
        ]
        parts += [
            f"{count} {reason}" if reason.startswith(THINGS) else f"{count} boxes left out ({reason})"
            for reason, count in self.dropped.items()
        ]
        return f"{self.name}: {', '.join(parts) or 'nothing'}"


def _shot(
    picture: PictureFile, box: np.ndarray | None, masks: Masks | None, number: int, relative: bool = False
) -> Shot:
    image = picture.decode()
    height, width = image.shape[:2]
    mask = None if masks is None else _mask(masks, number, picture, (height, width))
    if box is None:
        assert mask is not None
        box = _bounds(mask, picture)
    x, y, w, h = (box * (width, height, width, height) if relative else box).tolist()
    if not (x < width and y < height and x + w > 0 and y + h > 0):
        raise PictureError(f"{picture}: box {x:g},{y:g},{w:g},{h:g} lies outside it ({width} x {height} pixels)")
    if max(w, h) > LARGER * max(width, height):  # a crop around it would take memory without end
        raise PictureError(f"{picture}: box {x:g},{y:g},{w:g},{h:g} is far larger than it ({width} x {height} pixels)")
    return Shot(image, (x, y, w, h), mask)


def _mask(masks: Masks, number: int, picture: PictureFile, size: tuple[int, int]) -> np.ndarray:
    claimed = masks.size
    mask = masks[number] if claimed in (None, size) else None
    if mask is None or mask.shape != size:
        height, width = size
        told = f": {claimed[1]} x {claimed[0]}" if claimed else ""
        raise PictureError(f"{picture}: the picture is {width} x {height} pixels, its mask is of another size{told}")
    return mask


def _bounds(mask: np.ndarray, picture: PictureFile) -> np.ndarray:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise PictureError(f"{picture}: its mask does not show the target that the annotation promises")
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]], float)
