"""Light, colour, blur and noise of training patches.

What is to happen to a patch is drawn with its pair, as a row of numbers. The process that makes the pair does it with
OpenCV (``relight``), or leaves it to the GPU that trains, which does it to all patches of a batch at once
(``finish``): the same picture but for rounding and the grain of the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F

from lockon.tracker import PairBatch

KERNEL = 13  # side of the largest blur
LEVELS = np.linspace(0, 1, 256)[:, None]
GRAY = (0.299, 0.587, 0.114)
Number = TypeVar("Number", float, Tensor)


class Change(NamedTuple, Generic[Number]):
    """What happens to the light of one patch, in this order.

    Attributes:
        coarse: the side of the picture to which it shrinks, and from which it grows again, in units of its own side.
        blur: standard deviation of a blur in pixels, or 0.
        motion, angle: length in pixels and direction in degrees of a blur along a line; length 0 for none.
        gamma, contrast, red, green, blue: the tone curve: a power, a factor around the middle, each channel's gain.
        gray: 1 for a picture without colour, else 0.
        noise: standard deviation of the noise in levels of 255, or 0.
        grain: which noise, a whole number.
        mean: 1 where what lies outside the picture takes the mean colour that it has by then, 0 where it is black.
    """

    coarse: Number
    blur: Number
    motion: Number
    angle: Number
    gamma: Number
    contrast: Number
    red: Number
    green: Number
    blue: Number
    gray: Number
    noise: Number
    grain: Number
    mean: Number


@dataclass(frozen=True)
class Light:
    """Photometric change; each probability is of one patch.

    Attributes:
        gain, colour: standard deviations of the logarithms of the overall and of each channel's gain.
        contrast, gamma: standard deviations of their logarithms.
        gray, blur, noise, coarse: probabilities of a grey picture, a blur (half of them in a direction), noise, and
            a picture that lost its detail by shrinking.
    """

    gain: float = 0.2
    colour: float = 0.08
    contrast: float = 0.2
    gamma: float = 0.15
    gray: float = 0.08
    blur: float = 0.2
    noise: float = 0.15
    coarse: float = 0.15

    def draw(self, gray: bool, border: str, rng: Generator) -> Change[float]:
        """The change of one patch.

        Args:
            gray: whether it loses its colour; the caller draws that, for it belongs to the pair.
            border: what the patch has outside the picture, "black" or its "mean" colour.
        """
        coarse = rng.uniform(0.35, 0.8) if rng.random() < self.coarse else 1.0
        blur, motion, angle = 0.0, 0.0, 0.0
        if rng.random() < self.blur:
            if rng.random() < 0.5:
                blur = rng.uniform(0.5, 1.8)
            else:
                motion, angle = float(rng.integers(3, 10)), rng.uniform(0, 180)
        gamma, contrast = math.exp(rng.normal(0, self.gamma)), math.exp(rng.normal(0, self.contrast))
        gains = math.exp(rng.normal(0, self.gain)) * np.exp(rng.normal(0, self.colour, 3))
        noise, grain = 0.0, 0.0
        if rng.random() < self.noise:
            noise, grain = rng.uniform(2, 12), float(rng.integers(1 << 24))  # what a float32 holds
        tone = (gamma, contrast, *map(float, gains))
        return Change(*(coarse, blur, motion, angle, *tone, float(gray), noise, grain, float(border == "mean")))


def relight(image: np.ndarray, padding: np.ndarray, change: Change[float]) -> np.ndarray:
    """An (S, S, 3) uint8 patch in other light; ``padding``, (S, S) bool, is true where it shows nothing."""
    size = image.shape[0]
    if change.coarse < 1:
        small = int(size * change.coarse)
        image = cv2.resize(cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (size, size))
    if change.blur:
        image = cv2.GaussianBlur(image, (KERNEL, KERNEL), change.blur)
    if change.motion:
        image = cv2.filter2D(image, -1, _line(change.motion, change.angle))
    curve = LEVELS**change.gamma
    curve = ((curve - 0.5) * change.contrast + 0.5) * np.array([change.red, change.green, change.blue])
    image = cv2.LUT(image, table(255 * curve))
    if change.gray:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if change.noise:
        cv2.setRNGSeed(int(change.grain))  # OpenCV's numbers take a fifth of the time of NumPy's
        noise = cv2.randn(np.empty(image.shape, np.float32), np.full(3, -0.5), np.full(3, change.noise))
        image = cv2.add(image, noise, dtype=cv2.CV_8U)  # which rounds; all else here cuts fractions off
    if not change.mean:
        return cv2.bitwise_and(image, image, mask=(~padding).view(np.uint8))
    if padding.any():
        image[padding] = cv2.mean(image, padding.view(np.uint8))[:3]
    return image


def table(values: np.ndarray) -> np.ndarray:
    """What becomes of each value of each channel, (256, 3), as OpenCV wants it."""
    return np.clip(values, 0, 255).astype(np.uint8)[None]


def _line(length: float, angle: float) -> np.ndarray:
    """The kernel of a blur along a line through its middle."""
    half = math.ceil(length / 2)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, off = abs(x * cos + y * sin), abs(y * cos - x * sin)
    kernel = np.clip(length / 2 + 0.5 - along, 0, 1) * np.clip(1 - off, 0, 1)
    return kernel / kernel.sum()


def finish(pairs: PairBatch) -> PairBatch:
    """Pairs whose light was left to their device, in that light; others stay as they are."""
    if not pairs.light.numel():
        return pairs
    *templates, search = pairs.light.unbind(1)
    lit = [relight_all(*pairs.template(i)[:2], changes) for i, changes in enumerate(templates)]
    last = relight_all(pairs.search, pairs.search_padding, search)
    return pairs._replace(templates=torch.stack(lit, dim=1), search=last, light=pairs.light[:0])


def relight_all(images: Tensor, padding: Tensor, changes: Tensor) -> Tensor:
    """Patches in other light, each by its own row, on any device; nothing waits for it.

    Args:
        images: (N, 3, S, S) uint8.
        padding: (N, S, S) bool, where patches show nothing.
        changes: (N, 13) float32, rows of ``Change``.

    Returns:
        (N, 3, S, S) uint8.
    """
    change = Change(*changes[:, :, None, None, None].unbind(1))  # (N, 1, 1, 1) each
    shrink = _coarse(change.coarse[:, 0], images.shape[-1])
    x = _blurred(shrink @ images.float() @ shrink.mT, change)
    x = (x.clamp(0, 255) / 255) ** change.gamma
    x = ((x - 0.5) * change.contrast + 0.5) * torch.cat([change.red, change.green, change.blue], dim=1) * 255
    x = x.clamp(0, 255)
    colourless = (x * x.new_tensor(GRAY)[:, None, None]).sum(1, keepdim=True)
    x = torch.where(change.gray > 0, colourless, x)
    x = (x + change.noise * _noise(change.grain, x.shape)).clamp(0, 255)
    outside = padding[:, None]
    fill = (x * outside).sum((2, 3), keepdim=True) / outside.sum((2, 3), keepdim=True).clamp(min=1)
    return torch.where(outside, change.mean * fill, x).to(torch.uint8)


def _coarse(shares: Tensor, size: int) -> Tensor:
    """(N, 1, 1) shares of a side to (N, 1, size, size), which shrinks columns by areas and enlarges them bilinearly."""
    small = torch.where(shares < 1, (size * shares).floor(), size)
    step = size / small
    at = torch.arange(size, device=shares.device, dtype=torch.float32)
    low, high = at[:, None] * step, (at[:, None] + 1) * step  # what small pixels cover
    shrink = (torch.minimum(high, at + 1) - torch.maximum(low, at)).clamp(min=0) / step  # (N, small, size)
    source = ((at[:, None] + 0.5) / step - 0.5).clamp(min=0).minimum(small - 1)
    enlarge = (1 - (source - at).abs()).clamp(min=0)  # (N, size, small)
    return (enlarge @ shrink)[:, None]


def _blurred(images: Tensor, changes: Change[Tensor]) -> Tensor:
    """(N, 3, S, S) under each one's own kernel; those of patches without a blur are a single 1."""
    half = KERNEL // 2
    at = torch.arange(-half, half + 1, device=images.device, dtype=torch.float32)
    y, x = at[:, None], at  # beside the changes' (N, 1, 1, 1)
    bell = torch.exp(-0.5 * (x**2 + y**2) / changes.blur.clamp(min=0.05) ** 2)
    angle = torch.deg2rad(changes.angle)
    along, off = (x * angle.cos() + y * angle.sin()).abs(), (y * angle.cos() - x * angle.sin()).abs()
    line = (changes.motion / 2 + 0.5 - along).clamp(0, 1) * (1 - off).clamp(min=0)
    kernels = torch.where(changes.motion > 0, line, bell)  # (N, 1, K, K)
    kernels = (kernels / kernels.sum((2, 3), keepdim=True)).repeat_interleave(3, dim=0)
    padded = F.pad(images, [half] * 4, mode="reflect").flatten(0, 1)[None]
    return F.conv2d(padded, kernels, groups=len(kernels)).unflatten(1, (-1, 3))[0]


def _noise(grain: Tensor, shape: torch.Size) -> Tensor:
    """Normal numbers of a shape (N, ...), each row a function of its own grain alone, whatever the batch and device."""
    places = torch.arange(math.prod(shape[1:]), device=grain.device).view(1, *shape[1:])
    first, second = (_hash(_hash(grain.long() + side) + places) / 2**32 for side in (0, 1 << 24))
    return (-2 * first.clamp(min=1e-9).log()).sqrt() * (2 * math.pi * second).cos()  # Box and Muller


def _hash(x: Tensor) -> Tensor:
    """Whole numbers to whole numbers below 2 ** 32 that look random (PCG's output function, O'Neill 2014)."""
    low = 2**32 - 1
    x = (x * 747796405 + 2891336453) & low
    x = (((x >> ((x >> 28) + 4)) ^ x) * 277803737) & low
    return (x >> 22) ^ x
