"""Small made-up pictures and videos for the tests: a coloured disc on a textured ground, with its true box."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.video import VideoWriter

WIDTH, HEIGHT = 160, 120


def picture(number: int = 0, seed: int = 0) -> tuple[np.ndarray, Box]:
    """An RGB picture whose red disc moves with ``number``, and the disc's box."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 150, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    x, y, r = 50 + 2 * number, 50 + number, 16
    cv2.circle(image, (x, y), r, (250, 20, 20), -1)
    return image, (x - r, y - r, 2 * r + 1, 2 * r + 1)


def video(path: Path, frames: int = 12) -> list[Box]:
    """Writes a clip of the moving disc; returns its boxes."""
    boxes = []
    with VideoWriter(path, 25.0) as writer:
        for number in range(frames):
            image, box = picture(number)
            writer.write(image, number / 25)
            boxes.append(box)
    return boxes


def jpeg(image: np.ndarray) -> bytes:
    """An RGB image as JPEG bytes."""
    return cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def png(image: np.ndarray) -> bytes:
    """A grey image as PNG bytes."""
    return cv2.imencode(".png", image)[1].tobytes()


def image_set(count: int = 3, masks: bool = True) -> dict[str, bytes]:
    """Files of a set of annotated still images."""
    files, lines = {}, []
    for number in range(count):
        image, (x, y, w, h) = picture(number, seed=number)
        files[f"images/{number}.jpg"] = jpeg(image)
        row = {"image": f"images/{number}.jpg", "w": WIDTH, "h": HEIGHT, "boxes": [[x, y, w, h]], "names": ["disc"]}
        if masks:
            mask = np.zeros((HEIGHT, WIDTH), np.uint8)
            cv2.circle(mask, (int(x + w / 2), int(y + h / 2)), int(w / 2), 1, -1)
            files[f"masks/{number}.png"] = png(mask)
            row["mask"] = f"masks/{number}.png"
        lines.append(json.dumps(row))
    return files | {"annotations.jsonl": "\n".join(lines).encode()}


def clip_set(frames: int = 6) -> dict[str, bytes]:
    """Files of one annotated clip; the target is absent in its third frame."""
    files, boxes = {}, []
    for number in range(frames):
        image, box = picture(number)
        files[f"disc/{number + 1:08d}.jpg"] = jpeg(image)
        boxes.append(None if number == 2 else list(box))
    row = {"clip": "disc", "track": 1, "frames": [1, frames], "boxes": boxes}
    return files | {"annotations.jsonl": json.dumps(row).encode()}


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    """Files as a tar."""
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    """Files as a folder."""
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def write_frames(folder: Path, pattern: str, numbers: Iterable[int]) -> list[Box]:
    """Pictures of the moving disc under a pattern such as ``{:08d}.jpg``, the first as of picture 0; their boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    boxes = []
    for place, number in enumerate(numbers):
        image, box = picture(place)
        (folder / pattern.format(number)).write_bytes(jpeg(image))
        boxes.append(box)
    return boxes


def box_lines(boxes: Iterable[Sequence[float]]) -> str:
    """Boxes as lines of x,y,w,h."""
    return "".join(",".join(f"{v:g}" for v in box) + "\n" for box in boxes)
