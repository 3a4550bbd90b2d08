"""Sheets of training pairs, as the network gets them, for a person to look at."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from lockon.data.loader import PairDataset
from lockon.errors import DataError, OutputError
from lockon.files import Outputs, why
from lockon.tracker import PairBatch

GREEN, RED, YELLOW, WHITE = (64, 220, 96), (240, 70, 70), (250, 220, 60), (255, 255, 255)
MOST = 10_000
GAP, LINE = 4, 16  # pixels between patches, and for a line of text


def show_pairs(
    dataset: PairDataset,
    count: int,
    folder: Path,
    columns: int = 4,
    rows: int = 6,
    recipe: str = "",
    inputs: Iterable[str | Path] = (),
) -> list[Path]:
    """Draws the first pairs of a run on sheets ``pairs-1.png`` and so on.

    Args:
        recipe: name of the recipe: sheets of the same recipe are replaced, other files are left alone.
        inputs: what the pairs are drawn from; sheets among them would be read as data.

    Raises:
        DataError: more than 10,000 pairs.
        OutputError: a sheet cannot be written, or something else has its name.
    """
    if not 0 < count <= MOST:
        raise DataError(f"{count} pairs cannot be drawn; ask for 1 to {MOST}")
    inputs = list(inputs)
    for path in map(Path, inputs):
        with suppress(OSError, ValueError):
            if folder.samefile(path):
                raise OutputError(
                    f"{folder}: is the data itself, in which sheets would be taken for data; give another --out"
                )
    starts = range(0, count, columns * rows)
    names = [f"pairs-{number}.png" for number, _ in enumerate(starts, start=1)]
    with Outputs(folder, "pairs", f"pairs {recipe}", names, inputs) as outputs:
        for first, name in zip(starts, names, strict=True):
            numbers = range(first, min(first + columns * rows, count))
            image = sheet([draw_pair(dataset[number], number) for number in numbers], columns)
            good, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
            if not good:
                raise OutputError(f"{folder / name}: cannot make this picture")
            try:
                with outputs.create(name) as file:
                    file.write(data.tobytes())
            except OSError as error:
                raise OutputError(f"{folder / name}: cannot be written: {why(error)}") from None
    return [folder / name for name in names]


def draw_pair(pair: PairBatch, number: int) -> np.ndarray:
    """Templates and search patch of a pair (a batch without its first dimension) side by side, (H, W, 3) RGB.

    Boxes are yellow in templates; in the search patch green, or red where the target is not shown, and then the box
    says where it would have been. Masks are tinted green, padding violet.
    """
    present = bool(pair.present)
    mask = pair.masks if pair.masks.numel() and bool(pair.has_mask) else None
    patches = [
        _draw(image, padding, box, YELLOW)
        for image, padding, box in zip(pair.templates, pair.template_padding, pair.template_boxes, strict=True)
    ]
    patches.append(_draw(pair.search, pair.search_padding, pair.boxes, GREEN if present else RED, mask))
    height = max(len(patch) for patch in patches) + LINE
    patches = [np.pad(p, ((LINE, height - LINE - len(p)), (0, GAP), (0, 0))) for p in patches]
    canvas = np.concatenate(patches, axis=1)
    text = f"{number}  {'present' if present else 'absent'}{'' if mask is None else ', mask'}"
    return _write(canvas, text, GREEN if present else RED)


def sheet(images: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures of one size in rows."""
    blank = np.zeros_like(images[0])
    images = images + [blank] * (-len(images) % columns)
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in range(0, len(images), columns)]
    return np.concatenate(rows, axis=0)


def _draw(
    image: Tensor, padding: Tensor, box: Tensor, colour: tuple[int, int, int], mask: Tensor | None = None
) -> np.ndarray:
    """A patch (3, S, S) with its padding (S, S), its box, 0 to 1, and its mask (S, S)."""
    canvas = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    canvas[padding.numpy()] = (60, 0, 60)
    if mask is not None:
        inside = mask.numpy() > 0
        canvas[inside] = (0.6 * canvas[inside] + 0.4 * np.array(GREEN)).astype(np.uint8)
    x, y, w, h = (box * len(canvas)).tolist()
    return cv2.rectangle(canvas, (round(x), round(y)), (round(x + w), round(y + h)), colour, 1)


def _write(canvas: np.ndarray, text: str, colour: tuple[int, int, int]) -> np.ndarray:
    return cv2.putText(canvas, text, (2, LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, colour, 1, cv2.LINE_AA)
