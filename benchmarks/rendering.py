"""Made-up tracking video: cutouts of annotated pictures move over a photograph that a hand-held camera films.

A video is a pure function of its pictures, its kind and its seed. Positions are pixels x, y of a world that the
camera shows at zoom 1 and without roll; ``Camera.view`` takes them to the frame.

Kinds: ``plain`` (few other objects), ``crowd`` (look-alikes around the target), ``fast`` (dashes of up to one target
size per frame, a shaken camera), ``cross`` (look-alikes pass in front of the target and behind it, and a post hides a
part of it), ``leave`` (the target is out of view, or behind a wall, for 10 to 40 frames, and comes back).
"""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from lockon.data.sources import PictureFile, Still, read_images
from lockon.errors import DataError

Array = NDArray[np.float64]
Item = TypeVar("Item")

KINDS = ("plain", "crowd", "fast", "cross", "leave", "gone")
WIDTH, HEIGHT = 480, 270
VIEW = np.array([WIDTH, HEIGHT], float)
SHUTTER = 0.4  # share of the time between two frames in which the picture is exposed
HIDDEN = 0.1  # an object of which less than this share is visible counts as absent


@dataclass(frozen=True)
class Video:
    """A rendered video and where everything is in it.

    Attributes:
        name: kind and seed.
        frames: (T) JPEG pictures.
        boxes: (N, T, 4) x, y, w, h in pixels of each object, the target first: its whole extent, hidden parts
            included, cut at the picture's edges; NaN where less than ``HIDDEN`` of it is visible.
    """

    name: str
    frames: list[bytes]
    boxes: Array

    def save(self, folder: Path) -> None:
        """Writes pictures and the target's boxes as ``lockon eval --benchmark folder`` reads them."""
        place = folder / self.name
        place.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(self.frames, 1):
            (place / f"{number:08d}.jpg").write_bytes(frame)
        np.savetxt(place / "groundtruth.txt", self.boxes[0], "%.2f", ",")


@dataclass(frozen=True)
class Cutout:
    """An object without its picture.

    Attributes:
        image: (h, w, 4) uint8 RGBA.
        look: (7,) mean and spread of its Lab colour and the logarithm of its aspect, weighted for comparison.
    """

    image: np.ndarray
    look: Array


@dataclass(frozen=True)
class Pictures:
    """What videos are made of: photographs, and cutouts by the set that they come from."""

    photos: list[PictureFile]
    sets: list[list[Cutout]]


@dataclass(frozen=True)
class Camera:
    """Where the camera looks: (T, 2) centre, (T,) zoom, (T,) roll in radians."""

    centre: Array
    zoom: Array
    roll: Array

    def matrix(self, frame: int) -> Array:
        """(2, 3) from the world to the frame."""
        linear = self.zoom[frame] * _turn(self.roll[frame])
        return np.column_stack([linear, VIEW / 2 - linear @ self.centre[frame]])

    def view(self, path: Array, frame: int) -> Array:
        """(2,) where a (T, 2) path in the world is seen in a frame."""
        return self.matrix(frame) @ [*path[frame], 1.0]

    def motion(self, path: Array, frame: int) -> Array:
        """(2,) pixels that it moves there while the picture is exposed."""
        last = len(path) - 1
        return SHUTTER / 2 * (self.view(path, min(frame + 1, last)) - self.view(path, max(frame - 1, 0)))


@dataclass(frozen=True)
class Actor:
    """An object of a scene.

    Attributes:
        image: (h, w, 4) uint8 RGBA, premultiplied.
        path: (T, 2) of its centre in the world.
        shape: (T, 3) logarithms of its width and height in units of the image's, and its turn in radians.
        sway: amplitude of the waves that bend it, in units of its size; 0 is rigid.
        pace: (T, 2) phases of these waves, along its height and along its width.
        light: (T,) gain.
    """

    image: np.ndarray
    path: Array
    shape: Array
    sway: float
    pace: Array
    light: Array


@dataclass(frozen=True)
class Scene:
    """A video before it is rendered.

    Attributes:
        photo: (H, W, 3) RGB, the background.
        actors: from front to back.
        target: which of them it is.
        light: (T, 3) gain of red, green, blue.
        grain: (HEIGHT + 32, WIDTH + 32, 3) noise of the sensor.
    """

    photo: np.ndarray
    camera: Camera
    actors: list[Actor]
    target: int
    light: Array
    grain: np.ndarray


def read_pictures(patterns: Sequence[str]) -> Pictures:
    """Photographs and cutouts of image sets, read as ``lockon train --data images=PATTERN`` reads them.

    Raises:
        DataError: no set has as many as 20 cutouts; or see ``read_images``.
    """
    photos, sets = [], []
    for path in [p for pattern in patterns for p in sorted(glob.glob(pattern)) or [pattern]]:
        stills = read_images(path)
        photos += [still.image for still in stills]
        cutouts = [c for still in stills for n in range(len(still.boxes)) if (c := cut_out(still, n)) is not None]
        if len(cutouts) >= 20:
            sets.append(cutouts)
    if not sets:
        raise DataError(f"no set of pictures with 20 masks or more in {', '.join(patterns)}: give --data images=PATH")
    return Pictures(photos, sets)


def cut_out(still: Still, number: int) -> Cutout | None:
    """Object ``number`` of a picture, if it is whole, large enough to be shown and not of one plain colour."""
    if still.masks is None or not (still.boxes[number, 2:] >= 40).all():
        return None
    shot = still.shot(number)
    if shot.mask is None:
        return None
    height, width = shot.mask.shape
    _, labels, pieces, middles = cv2.connectedComponentsWithStats(shot.mask)
    largest = 1 + int(pieces[1:, 4].argmax())
    x, y, w, h, area = pieces[largest].tolist()
    column, row = middles[largest].astype(int)
    whole = area > 0.95 * (shot.mask > 0).sum() and area > 0.3 * w * h and labels[row, column] == largest
    inside = x > 1 and y > 1 and x + w < width - 1 and y + h < height - 1
    if not (whole and inside and min(w, h) >= 40 and 1 / 3 < w / h < 3):
        return None
    part = np.s_[y - 1 : y + h + 1, x - 1 : x + w + 1]
    alpha = cv2.GaussianBlur(cv2.erode(shot.mask[part], np.ones((3, 3), np.uint8)), (3, 3), 0)
    lab = cv2.cvtColor(shot.image[part], cv2.COLOR_RGB2LAB)[alpha > 127].astype(float)
    if lab.std(0)[0] < 12:
        return None
    look = np.concatenate([lab.mean(0), lab.std(0), [40 * math.log(w / h)]])
    return Cutout(np.dstack([shot.image[part], alpha]), look)


def make_video(kind: str, number: int, pictures: Pictures, seed: int = 0) -> Video:
    """Video ``number`` of a kind."""
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    scene = _draw(kind, pictures, rng)
    while _render(scene, 0)[2][scene.target] < 0.95:  # the target starts in full view
        scene = _draw(kind, pictures, rng)
    frames, boxes = [], []
    for t in range(len(scene.light)):
        image, places, visible = _render(scene, t)
        places[visible < HIDDEN] = np.nan
        order = [scene.target, *(i for i in range(len(places)) if i != scene.target)]
        boxes.append(places[order])
        frames.append(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes())
    return Video(f"{kind}_{number:02d}", frames, np.stack(boxes, 1))


# What moves, and how.


def _draw(kind: str, pictures: Pictures, rng: Generator) -> Scene:
    frames, size = int(rng.integers(80, 121)), rng.uniform(40, 80)
    objects = _pick(pictures.sets, rng)
    hero = _pick(objects, rng)
    camera, path, smooth = _follow(kind, size, frames, rng)
    target = _actor(hero.image, size, path, rng)
    front = []
    if kind == "cross":
        front.append(_wall(pictures, path[rng.integers(20, frames - 20)], rng.uniform(0.3, 0.6) * size, frames, rng))
    elif kind in ("leave", "gone") and rng.random() < 0.5:
        target = replace(target, path=_walk_out(path, camera, size, rng))
    elif kind in ("leave", "gone"):
        width = 1.3 * target.image.shape[1] * math.exp(target.shape[:, 0].max()) + 10
        path, place = _walk_behind(path, camera, width + size, rng)
        target = replace(target, path=path)
        front.append(_wall(pictures, place, width, frames, rng))
    counts = {"plain": (1, 3), "crowd": (7, 4), "fast": (3, 3), "cross": (4, 3), "leave": (4, 3), "gone": (0, 5)}
    alike, others = counts[kind]
    actors = []
    for image in _look_alikes(hero, objects, alike, rng):
        if kind == "cross":
            path = _cross(smooth, size, rng)
        else:
            path = _stay_near(smooth, size, rng) if kind == "crowd" else _stroll(kind, camera, rng)
        actors.append(_actor(image, size * rng.uniform(0.8, 1.2), path, rng))
    for _ in range(others):
        image = _pick(_pick(pictures.sets, rng), rng).image
        actors.append(_actor(image, rng.uniform(35, 100), _stroll(kind, camera, rng), rng))
    actors = [actors[i] for i in rng.permutation(len(actors))]
    behind = int(rng.integers(len(actors) + 1))
    light = np.exp(0.15 * _drift(rng, frames, 70) + 0.05 * _drift(rng, frames, 90, 3))
    grain = rng.standard_normal((HEIGHT + 32, WIDTH + 32, 3), np.float32) * rng.uniform(1, 4)
    actors = [*front, *actors[:behind], target, *actors[behind:]]
    return Scene(_pick(pictures.photos, rng).decode(), camera, actors, len(front) + behind, light, grain)


def _pick(items: Sequence[Item], rng: Generator) -> Item:
    return items[int(rng.integers(len(items)))]


def _drift(rng: Generator, frames: int, period: float, dims: int = 1) -> Array:
    """(frames, dims) smooth noise between -1 and 1, whose waves last about ``period`` frames."""
    weights = rng.dirichlet(np.full(3, 4.0), dims)
    speeds = 2 * math.pi / (period * rng.uniform(0.7, 1.6, (dims, 3)))
    phases = rng.uniform(0, 2 * math.pi, (dims, 3))
    return (weights * np.sin(speeds * np.arange(frames)[:, None, None] + phases)).sum(2)


def _smooth(path: Array, sigma: float) -> Array:
    reach = int(3 * sigma)
    bell = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(path, ((reach, reach), (0, 0)), "edge")
    return np.column_stack([np.convolve(column, bell / bell.sum(), "valid") for column in padded.T])


def _follow(kind: str, size: float, frames: int, rng: Generator) -> tuple[Camera, Array, Array]:
    """A camera that follows the target, late and with an unsteady hand, but never loses it; the target's path, and
    the same without its dashes."""
    smooth = _drift(rng, frames, 120, 2) * [160, 60] + _drift(rng, frames, 40, 2) * rng.uniform(20, 90)
    path, shake = smooth, rng.uniform(0.5, 4)
    if kind == "fast":
        dashes = _drift(rng, frames, 13, 2) * (1 + _drift(rng, frames, 50)) * [1, 0.6]
        fastest = np.hypot(*np.diff(dashes, axis=0).T).max()
        path, shake = path + dashes * rng.uniform(0.6, 1.0) * size / fastest, rng.uniform(6, 12)
    centre = _smooth(path, rng.uniform(8, 14)) + _drift(rng, frames, 90, 2) * [100, 40]
    centre += shake * _drift(rng, frames, 9, 2)
    zoom = np.exp(0.15 * _drift(rng, frames, 90)[:, 0])
    offset = (path - centre) * zoom[:, None]
    limit = VIEW / 2 - 0.75 * size
    centre += (offset - offset.clip(-limit, limit)) / zoom[:, None]
    return Camera(centre, zoom, math.radians(4) * _drift(rng, frames, 70)[:, 0]), path, smooth


def _stay(frames: int, rng: Generator) -> tuple[Array, int]:
    """(T, 1) share of the way to a place where the target stays, and a frame amid the stay; with the end of the way
    there and the start of the way back, the target is out of sight for 10 to 40 frames."""
    length = int(rng.integers(7, 35))
    first = int(rng.integers(22, frames - length - 21))
    t = np.arange(frames)[:, None]
    way = np.maximum(first - t, t - (first + length - 1)).clip(0) / rng.integers(8, 15)
    way = way.clip(0, 1)
    return 1 - way**2 * (3 - 2 * way), first + length // 2


def _walk_out(path: Array, camera: Camera, size: float, rng: Generator) -> Array:
    """The path with a stay beyond an edge of the view; the way back may cross another edge."""
    share, middle = _stay(len(path), rng)
    exits = rng.uniform(-0.3, 0.3, (2, 2)) * VIEW
    for place in exits:
        axis = int(rng.random() < 0.3)
        place[axis] = rng.choice([-1, 1]) * (VIEW[axis] / 2 + 1.2 * size)
    early = np.arange(len(path))[:, None] < middle
    goal = camera.centre + np.where(early, exits[0], exits[1]) / camera.zoom[:, None]
    return path + share * (goal - path)


def _walk_behind(path: Array, camera: Camera, step: float, rng: Generator) -> tuple[Array, Array]:
    """The path with a stay at a place aside from it, ``step`` towards the middle of the view; and that place."""
    share, middle = _stay(len(path), rng)
    aside = -np.sign(path[middle, 0] - camera.centre[middle, 0]) * step
    place = path[middle] + [aside, 0]
    return path + share * (place - path), place


def _stay_near(path: Array, size: float, rng: Generator) -> Array:
    """Around another path, one to three sizes away."""
    angle = rng.uniform(0, 2 * math.pi) + 1.5 * _drift(rng, len(path), 70)
    radius = size * (rng.uniform(1.2, 2.4) + 0.8 * _drift(rng, len(path), 50))
    return path + radius * np.column_stack([np.cos(angle), np.sin(angle)])


def _cross(path: Array, size: float, rng: Generator) -> Array:
    """Along another path, from one side of it to the other at some time."""
    when = rng.uniform(15, len(path) - 10)
    angle, far = rng.uniform(0, 2 * math.pi), size * rng.uniform(1.8, 3.5)
    side = far * np.tanh((np.arange(len(path))[:, None] - when) / rng.uniform(6, 18))
    return path + side * [math.cos(angle), 0.6 * math.sin(angle)] + 0.3 * size * _drift(rng, len(path), 40, 2)


def _stroll(kind: str, camera: Camera, rng: Generator) -> Array:
    """Anywhere in view and a little beyond."""
    period = rng.uniform(25, 60) if kind == "fast" else rng.uniform(50, 120)
    frames = len(camera.zoom)
    return _smooth(camera.centre, 10) + VIEW * (_drift(rng, frames, period, 2) * 0.7 + rng.uniform(-0.15, 0.15, 2))


def _look_alikes(hero: Cutout, objects: Sequence[Cutout], count: int, rng: Generator) -> list[np.ndarray]:
    """Objects of the same set whose colour and shape are nearest, and, one of three, the target mirrored and a
    little recoloured."""
    near = sorted(objects, key=lambda o: float(np.linalg.norm(o.look - hero.look)))[1 : count + 4]
    images = []
    for number in range(count):
        image = _pick(near, rng).image
        if number % 3 == 0:
            image = hero.image[:, ::-1].astype(np.float32) * [*np.exp(rng.normal(0, 0.04, 3)), 1]
        images.append(image.clip(0, 255).astype(np.uint8))
    return images


def _actor(image: np.ndarray, size: float, path: Array, rng: Generator) -> Actor:
    """A cutout, sqrt(w * h) = ``size`` on average, that grows, turns and bends."""
    frames = len(path)
    height, width = image.shape[:2]
    zoom = min(1.0, 1.5 * size / math.sqrt(width * height))
    image = np.dstack([image[..., :3] * (image[..., 3:] / np.float32(255)), image[..., 3]]).astype(np.uint8)
    image = cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    grow = math.log(size / math.sqrt(image.shape[0] * image.shape[1])) + 0.25 * _drift(rng, frames, 80)
    shape = np.hstack([grow + 0.15 * _drift(rng, frames, 60), grow, 0.2 * _drift(rng, frames, 60)])
    pace = np.arange(frames)[:, None] * 2 * math.pi / rng.uniform(15, 45, 2) + rng.uniform(0, 2 * math.pi, 2)
    light = np.exp(0.1 * _drift(rng, frames, 60))[:, 0]
    return Actor(image, path, shape, rng.uniform(0.015, 0.05), pace, light)


def _wall(pictures: Pictures, place: Array, width: float, frames: int, rng: Generator) -> Actor:
    """A piece of a photograph that stands still in the world, higher than the view."""
    photo = _pick(pictures.photos, rng).decode()
    size = (round(width), round(1.6 * HEIGHT))
    across = min(photo.shape[1], round(size[0] / size[1] * photo.shape[0]))
    left = rng.integers(photo.shape[1] - across + 1)
    image = cv2.resize(np.ascontiguousarray(photo[:, left : left + across]), size)
    image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    x, _ = place
    still = np.zeros((frames, 3))
    return Actor(image, np.tile([x, 0.0], (frames, 1)), still, 0.0, still[:, :2], np.ones(frames))


# How it is seen.


def _render(scene: Scene, frame: int) -> tuple[np.ndarray, Array, Array]:
    """A picture (HEIGHT, WIDTH, 3) uint8 RGB; each actor's box (N, 4) cut at its edges, and visible share (N,)."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    free = np.ones((HEIGHT, WIDTH, 1), np.float32)  # how much of what is behind shows
    boxes, shares = np.full((len(scene.actors), 4), np.nan), np.zeros(len(scene.actors))
    for number, actor in enumerate(scene.actors):
        layer, (left, top), box = _layer(actor, scene.camera, frame)
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + layer.shape[1], WIDTH), min(top + layer.shape[0], HEIGHT)
        if x1 >= x2 or y1 >= y2:
            continue
        seen = layer[y1 - top : y2 - top, x1 - left : x2 - left]
        part, alpha = np.s_[y1:y2, x1:x2], seen[..., 3:] / np.float32(255)
        shares[number] = (alpha * free[part]).sum() * 255 / layer[..., 3].sum(dtype=float)
        boxes[number] = _clip(box)
        picture[part] += free[part] * seen[..., :3] * np.float32(actor.light[frame])
        free[part] *= 1 - alpha
    picture += free * _background(scene, frame)
    picture *= scene.light[frame].astype(np.float32)
    y, x = np.random.default_rng(frame).integers(0, 33, 2)
    picture += scene.grain[y : y + HEIGHT, x : x + WIDTH]
    return picture.clip(0, 255).astype(np.uint8), boxes, shares


def _layer(actor: Actor, camera: Camera, frame: int) -> tuple[np.ndarray, tuple[int, int], Array]:
    """An actor as seen: (h, w, 4) premultiplied uint8 RGBA with motion blur, its corner x, y in the picture, and
    its box there without the blur."""
    height, width = actor.image.shape[:2]
    size = np.array([width, height])
    *stretch, angle = actor.shape[frame]
    linear = camera.matrix(frame)[:, :2] @ _turn(angle) @ np.diag(np.exp(stretch))
    centre, motion = camera.view(actor.path, frame), camera.motion(actor.path, frame)
    reach = np.abs(linear) @ size * (0.5 + actor.sway) + np.abs(motion) + 2
    corner = np.floor(centre - reach)
    w, h = np.ceil(2 * reach).astype(int) + 1
    x = (np.arange(w) + 0.5 + corner[0] - centre[0]).astype(np.float32)
    y = (np.arange(h) + 0.5 + corner[1] - centre[1]).astype(np.float32)[:, None]
    inverse = (np.linalg.inv(linear) / size[:, None]).astype(np.float32)
    u, v = (row[0] * x + row[1] * y + np.float32(0.5) for row in inverse)  # in units of the image's size
    wave, pace = np.float32(2 * math.pi), actor.pace[frame].astype(np.float32)
    across = width * (u + actor.sway * np.sin(wave * v + pace[0])) - 0.5
    down = height * (v + actor.sway * np.sin(wave * u + pace[1])) - 0.5
    layer = cv2.remap(actor.image, across, down, cv2.INTER_LINEAR)
    solid = layer[..., 3] > 127
    columns, rows = np.flatnonzero(solid.any(0)), np.flatnonzero(solid.any(1))
    box = np.array([columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1], float)
    box[:2] += corner
    return _blur(layer, motion), (int(corner[0]), int(corner[1])), box


def _background(scene: Scene, frame: int) -> np.ndarray:
    """The photograph, half as large again as the view, its mirror images around it."""
    height, width = scene.photo.shape[:2]
    zoom = max(1.5 * WIDTH / width, 1.5 * HEIGHT / height)
    to_frame = scene.camera.matrix(frame)
    matrix = np.column_stack([zoom * to_frame[:, :2], to_frame @ [-zoom * width / 2, -zoom * height / 2, 1]])
    image = cv2.warpAffine(scene.photo, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    middle = np.tile(scene.camera.centre[frame], (len(scene.light), 1))
    return _blur(image, scene.camera.motion(middle, frame))


def _blur(image: np.ndarray, motion: Array) -> np.ndarray:
    """Spread along a line of ``motion`` pixels."""
    reach = math.ceil(np.abs(motion).max() / 2)
    if np.hypot(*motion) < 1.5:
        return image
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, 8 * reach + 1):
        x, y = np.rint(reach + share * motion).astype(int)
        kernel[y, x] += 1
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT)


def _clip(box: Array) -> Array:
    low, high = box[:2].clip(0, VIEW), (box[:2] + box[2:]).clip(0, VIEW)
    return np.concatenate([low, high - low])


def _turn(angle: float) -> Array:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
