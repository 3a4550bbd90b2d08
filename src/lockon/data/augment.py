"""What is done to a training patch: one affine map from picture to patch, paste, occlusion.

Every function takes its random generator, so a pair depends on nothing but its seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.random import Generator

from lockon.boxes import Box
from lockon.crops import BLACK, CropSpec
from lockon.data.light import table
from lockon.data.sources import Shot

KNOTS = 5  # along each side of a patch that is bent
ANGLES = np.linspace(0, 2 * math.pi, 32, endpoint=False)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


@dataclass(frozen=True)
class Jitter:
    """How far a patch may differ from the crop that its box would give.

    Attributes:
        shift: largest move of the target away from the patch's centre, in units of sqrt(w * h) of its box.
        near: share of the patches whose shift is drawn from a narrow bell instead, as between successive frames.
        scale: standard deviation of the logarithm of the size.
        rotation: standard deviation in degrees.
        aspect: standard deviation of the logarithm of the change of width against height.
        bend: standard deviation of a smooth field of displacements, as of a body that moves its limbs, in units of
            sqrt(w * h).
    """

    shift: float = 0.0
    near: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    aspect: float = 0.0
    bend: float = 0.0


@dataclass(frozen=True)
class Placed:
    """A target in a patch.

    Attributes:
        image: (S, S, 3) uint8.
        padding: (S, S) bool, true where the patch shows nothing of the picture.
        box: x, y, w, h in patch pixels; it may reach beyond the patch.
        mask: (S, S) uint8, 0 to 255, or None.
    """

    image: np.ndarray
    padding: np.ndarray
    box: Box
    mask: np.ndarray | None


def place(
    shot: Shot, spec: CropSpec, jitter: Jitter, flip: bool, rng: Generator, border: Sequence[float] = BLACK
) -> Placed:
    """Cuts the target out of its picture as the tracker would, but shifted, scaled, turned and stretched at random.

    Outside the picture the patch has the colour ``border``, RGB, 0 to 255.
    """
    turned = _linear(jitter, flip, rng)  # picture to turned picture
    outline = _outline(shot) @ turned.T
    low, high = outline.min(0), outline.max(0)
    extent = math.sqrt((high - low).prod())
    side = spec.factor * spec.extent(*(high - low))
    zoom = spec.size / side * math.exp(_within(rng.normal(0, jitter.scale), 1.0))
    centre = spec.size / 2 + _shift(jitter, rng) * extent * zoom
    centre = np.clip(centre, 0.05 * spec.size, 0.95 * spec.size)  # what is enlarged stays in the patch
    shift = centre - zoom * (low + high) / 2
    shift += (zoom * turned.sum(1) - 1) / 2  # OpenCV's coordinates count from the middle of the first pixel
    matrix = np.column_stack([zoom * turned, shift])
    size = (spec.size, spec.size)
    image = cv2.warpAffine(shot.image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=tuple(border))
    padding = _padding(shot.image.shape[:2], matrix, spec.size)
    mask = None if shot.mask is None else cv2.warpAffine(shot.mask, matrix, size, flags=cv2.INTER_LINEAR)
    x, y = centre - zoom * (high - low) / 2
    w, h = zoom * (high - low)
    placed = Placed(image, padding, (x, y, w, h), mask)
    if not jitter.bend:
        return placed
    return bend(placed, zoom * (outline - (low + high) / 2) + centre, jitter.bend * extent * zoom, rng)


def _padding(shape: tuple[int, int], matrix: np.ndarray, size: int) -> np.ndarray:
    """(size, size) bool, where a patch shows nothing of a picture of ``shape`` that ``matrix`` puts into it."""
    last = size - 1.0
    corners = cv2.transform(np.array([[[0, 0], [last, 0], [0, last], [last, last]]]), cv2.invertAffineTransform(matrix))
    limit = np.array(shape[::-1]) - 1.1  # OpenCV rounds places to 1/32 pixel
    if (corners > 0.1).all() and (corners < limit).all():
        return np.zeros((size, size), bool)
    inside = cv2.warpAffine(np.full(shape, 255, np.uint8), matrix, (size, size), flags=cv2.INTER_LINEAR)
    return inside < 255


def bend(target: Placed, outline: np.ndarray, strength: float, rng: Generator) -> Placed:
    """The patch under a smooth field of displacements.

    Args:
        outline: (N, 2) points around the target in patch pixels; their new bounds are the new box.
        strength: standard deviation of the displacements in pixels.
    """
    size = target.image.shape[0]
    coarse = np.moveaxis(rng.normal(0, strength, (KNOTS, KNOTS, 2)).astype(np.float32), 2, 0)
    smooth = _smooth(size)
    field_x, field_y = smooth @ coarse @ smooth.T
    places = np.arange(size, dtype=np.float32)
    across, down = places - field_x, places[:, None] - field_y
    x, y = np.clip(outline, 0, size - 1).astype(int).T
    moved = outline + np.column_stack([field_x[y, x], field_y[y, x]])
    low, high = moved.min(0), moved.max(0)

    def warp(image: np.ndarray, border: int) -> np.ndarray:
        return cv2.remap(image, across, down, cv2.INTER_LINEAR, borderMode=border)

    padding = target.padding
    if padding.any():
        padding = warp(padding.view(np.uint8), cv2.BORDER_REPLICATE) > 0
    mask = None if target.mask is None else warp(target.mask, cv2.BORDER_REPLICATE)
    return Placed(warp(target.image, cv2.BORDER_REPLICATE), padding, (*low, *(high - low)), mask)


@lru_cache
def _smooth(size: int) -> np.ndarray:
    """(size, KNOTS), which enlarges a column by cubic interpolation; much cheaper than OpenCV for so few knots."""
    return cv2.resize(np.eye(KNOTS, dtype=np.float32), (KNOTS, size), interpolation=cv2.INTER_CUBIC)


def reframe(shot: Shot, rng: Generator) -> Shot:
    """The picture cut closer around the target, as if it filled its frame: each border at most 1.2 times
    sqrt(w * h) of the box away from it."""
    x, y, w, h = shot.box
    extent = math.sqrt(w * h)
    left, top, right, bottom = rng.uniform(0, 1.2, 4) * extent
    x1, y1 = max(0, int(x - left)), max(0, int(y - top))
    part = np.s_[y1 : math.ceil(y + h + bottom), x1 : math.ceil(x + w + right)]
    return Shot(shot.image[part], (x - x1, y - y1, w, h), None if shot.mask is None else shot.mask[part])


def _within(number: float, limit: float) -> float:
    return min(max(number, -limit), limit)


def _linear(jitter: Jitter, flip: bool, rng: Generator) -> np.ndarray:
    angle = math.radians(rng.normal(0, jitter.rotation)) if jitter.rotation else 0.0
    stretch = math.exp(_within(rng.normal(0, jitter.aspect), 0.7)) ** 0.5
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag([-stretch if flip else stretch, 1 / stretch])


def _outline(shot: Shot) -> np.ndarray:
    """(N, 2) points around the target: its mask's convex hull, else the ellipse inside its box."""
    if shot.mask is not None:
        edges, _ = cv2.findContours(shot.mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        hull = cv2.convexHull(np.concatenate(edges))[:, 0].astype(float)
        return np.concatenate([hull, hull + 1])  # both sides of the border pixels
    x, y, w, h = shot.box
    return (x, y) + np.array([w, h]) / 2 * (1 + CIRCLE)


def _shift(jitter: Jitter, rng: Generator) -> np.ndarray:
    if rng.random() < jitter.near:
        return np.clip(rng.normal(0, 0.25, 2), -jitter.shift, jitter.shift)
    return rng.uniform(-jitter.shift, jitter.shift, 2)


def paste(target: Placed, scene: np.ndarray) -> Placed:
    """The target, cut out by its mask, on another picture of the patch's size."""
    assert target.mask is not None
    image = _blend(target.image, scene, cv2.GaussianBlur(target.mask, (3, 3), 0))
    return Placed(image, np.zeros_like(target.padding), target.box, target.mask)


def _blend(over: np.ndarray, under: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    """One (S, S, 3) uint8 picture over another, as far as it is opaque, (S, S) uint8."""
    share = opaque.astype(np.float32) / 255
    return cv2.blendLinear(over, under, share, 1 - share)


def surround(target: Placed, scene: np.ndarray) -> Placed:
    """Another picture where the patch reaches beyond the target's own."""
    image = np.where(target.padding[..., None], scene, target.image)
    return Placed(image, np.zeros_like(target.padding), target.box, target.mask)


def beside(target: Placed, other: Placed) -> Placed:
    """Another object, cut out by its mask, behind the target; a target without a mask is taken for the ellipse in its
    box."""
    assert other.mask is not None
    opaque = np.minimum(other.mask, 255 - _silhouette(target))
    return replace(target, image=_blend(other.image, target.image, opaque), padding=target.padding & (opaque < 128))


def _silhouette(target: Placed) -> np.ndarray:
    """The target's mask, or where it has none the ellipse in its box, (S, S) uint8."""
    if target.mask is not None:
        return target.mask
    x, y, w, h = target.box
    mask = np.zeros(target.image.shape[:2], np.uint8)
    middle, axes = (round(x + w / 2), round(y + h / 2)), (max(1, round(w / 2)), max(1, round(h / 2)))
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, -1)
    return cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.04 * math.sqrt(w * h)))


def double(target: Placed, rng: Generator) -> Placed:
    """A look-alike beside the target, and behind it: its own picture, mirrored or not, in other colours.

    A target without a mask is taken for the ellipse in its box.
    """
    size = target.image.shape[0]
    x, y, w, h = target.box
    mask = _silhouette(target)
    zoom = math.exp(rng.normal(0, 0.2))
    turn = rng.uniform(0, 2 * math.pi)
    away = rng.uniform(0.75, 1.4) * np.array([w * math.cos(turn), h * math.sin(turn)])
    mirror = -zoom if rng.random() < 0.5 else zoom
    centre = np.array([x + w / 2, y + h / 2])
    linear = np.diag([mirror, zoom])
    matrix = np.column_stack([linear, centre + away - linear @ centre])
    gains = np.exp(rng.normal(0, 0.35, 3)) * math.exp(rng.normal(0, 0.2))
    other = cv2.warpAffine(target.image, matrix, (size, size), flags=cv2.INTER_LINEAR)
    other = cv2.LUT(other, table(np.linspace(0, 255, 256)[:, None] * gains))
    if rng.random() < 0.3:
        other = np.ascontiguousarray(other[..., rng.permutation(3)])
    there = cv2.warpAffine(mask, matrix, (size, size), flags=cv2.INTER_LINEAR)
    opaque = np.minimum(there, 255 - mask)
    image = _blend(other, target.image, opaque)
    return Placed(image, target.padding & (opaque < 128), target.box, target.mask)


def scene(image: np.ndarray, size: int, rng: Generator) -> np.ndarray:
    """A random square of a picture, at least a third of its shorter side, as a (size, size, 3) background."""
    height, width = image.shape[:2]
    side = int(rng.uniform(0.35, 1.0) * min(height, width))
    y, x = rng.integers(0, height - side + 1), rng.integers(0, width - side + 1)
    piece = image[y : y + side, x : x + side]
    if rng.random() < 0.5:
        piece = piece[:, ::-1]
    return cv2.resize(np.ascontiguousarray(piece), (size, size), interpolation=cv2.INTER_LINEAR)


def occlude(target: Placed, cover: np.ndarray, rng: Generator, whole: bool = False) -> Placed:
    """Hides a part of the target (a fifth to a half of its box), or all of it, behind a rectangle or an ellipse of
    another picture."""
    x, y, w, h = target.box
    size = target.image.shape[0]
    along = rng.uniform(0.2, 0.5)
    side = rng.integers(4)
    cx = x + w * (along / 2 if side == 0 else 1 - along / 2 if side == 1 else rng.uniform(0.2, 0.8))
    cy = y + h * (along / 2 if side == 2 else 1 - along / 2 if side == 3 else rng.uniform(0.2, 0.8))
    half_w = w * (along / 2 if side < 2 else rng.uniform(0.3, 0.7))
    half_h = h * (along / 2 if side >= 2 else rng.uniform(0.3, 0.7))
    if whole:
        cx, cy, half_w, half_h = x + w / 2, y + h / 2, w * rng.uniform(0.6, 0.9), h * rng.uniform(0.6, 0.9)
    shape = np.zeros((size, size), np.uint8)
    if rng.random() < 0.5:
        cv2.rectangle(shape, (int(cx - half_w), int(cy - half_h)), (int(cx + half_w), int(cy + half_h)), 255, -1)
    else:
        axes = (max(1, int(1.2 * half_w)), max(1, int(1.2 * half_h)))
        angle = 0.0 if whole else rng.uniform(0, 180)
        cv2.ellipse(shape, (int(cx), int(cy)), axes, angle, 0, 360, 255, -1)
    image = np.where(shape[..., None] > 0, cover, target.image)
    mask = None if target.mask is None else np.where(shape > 0, 0, target.mask).astype(np.uint8)
    return Placed(image, target.padding, target.box, mask)
