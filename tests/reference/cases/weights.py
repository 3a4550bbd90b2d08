# ruff: noqa
# mypy: ignore-errors
# The file that comes with the reference cases, unchanged below these lines.
"""Deterministic weights, images and numbers for the reference cases in this folder.

Every reference case was computed from weights and inputs that this file makes, so a case stores only names,
shapes and expected outputs. ``numpy.random.RandomState`` is used because its stream is frozen by NumPy's policy.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(name: str, salt: str = "") -> np.random.RandomState:
    """A random stream that depends on ``name`` and ``salt`` alone."""
    return np.random.RandomState(zlib.crc32(f"{salt}|{name}".encode()) & 0x7FFFFFFF)


def tensor(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The reference value of the parameter or buffer called ``name`` in the official checkpoint.

    Integer counters (``num_batches_tracked``) are zero; ``running_var`` is positive; one-dimensional weights are
    near one; biases and ``running_mean`` are small; everything else is normal with variance 1 / fan_in, where
    fan_in is the product of all dimensions but the first (the last dimension where there is only one such, of 1).
    """
    shape = tuple(int(n) for n in shape)
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    normal = stream(name, salt).standard_normal(shape).astype(np.float32)
    if name.endswith("running_var"):
        return 0.75 + 0.25 * np.abs(normal)
    if name.endswith("running_mean") or name.endswith("bias"):
        return 0.1 * normal
    if len(shape) <= 1:
        return 1.0 + 0.1 * normal
    fan_in = int(np.prod(shape[1:])) or 1
    if fan_in == 1:
        fan_in = shape[0]
    return normal / np.float32(np.sqrt(fan_in))


def image(name: str, height: int, width: int, salt: str = "") -> np.ndarray:
    """A smooth random RGB image, uint8, height x width x 3, with edges that move features around."""
    rng = stream(f"image:{name}", salt)
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float64)
    canvas = np.zeros((height, width, 3))
    for _ in range(24):
        cy, cx = rng.uniform(0, height), rng.uniform(0, width)
        ry, rx = rng.uniform(0.03, 0.3) * height, rng.uniform(0.03, 0.3) * width
        colour = rng.uniform(-1, 1, 3)
        inside = ((ys - cy) / ry) ** 2 + ((xs - cx) / rx) ** 2 < 1
        canvas[inside] += colour
    canvas += 0.15 * rng.standard_normal((height, width, 3))
    canvas = (canvas - canvas.min()) / (canvas.max() - canvas.min())
    return np.round(canvas * 255).astype(np.uint8)


def values(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """Standard normal float32 numbers, for feeding a module directly."""
    return stream(f"values:{name}", salt).standard_normal(tuple(shape)).astype(np.float32)
