"""ResNet trunks (He et al., CVPR 2016), with torchvision's parameter names."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.nn.norm import BatchNorm2d


@dataclass(frozen=True)
class ResNetConfig:
    """A trunk without its classifier.

    Attributes:
        layers: blocks per stage; the number of entries is the number of stages.
        widths: channels of each stage's 3x3 convolutions.
        strides, dilations: of each stage; a stage that keeps its resolution dilates instead of striding.
        block: "bottleneck" (four times ``widths`` come out of a stage) or "basic".
        stem: channels of the first convolution.
        frozen_norm: batch norm as a constant affine map, for backbones that come pretrained.
        style: "torchvision", or "siamrpn": the trunk of SiamRPN++ (Li et al., CVPR 2019), whose stem and striding
            blocks do not pad, so that a cell sees the same wherever it lies; there the first block of a dilated stage
            has half the stage's dilation, and a stage that strides or dilates begins with a 3x3 shortcut.
        frozen_stages: the last stage whose parameters do not train, nor its norms' statistics: 0 the stem, 1
            ``layer1``, ...; -1 if all train.
        merged: the last so many stages come out together, one channel after another, at the resolution of the first of
            them: fine detail and wide sight for small networks.
    """

    layers: tuple[int, ...] = (3, 4, 6)
    widths: tuple[int, ...] = (64, 128, 256)
    strides: tuple[int, ...] = (1, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1)
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem: int = 64
    frozen_norm: bool = True
    frozen_stages: int = -1
    style: Literal["torchvision", "siamrpn"] = "torchvision"
    merged: int = 1

    @property
    def outputs(self) -> tuple[int, ...]:
        """Channels of the stem and of each stage."""
        return self.stem, *(width * (4 if self.block == "bottleneck" else 1) for width in self.widths)

    @property
    def channels(self) -> int:
        """Channels that come out."""
        return sum(self.outputs[-self.merged :])

    @property
    def stride(self) -> int:
        """Input pixels per cell that comes out."""
        stride = 4  # stem and max pooling
        for s in self.strides[: len(self.strides) - self.merged + 1]:
            stride *= s
        return stride


TINY = ResNetConfig((1, 2, 2), (32, 64, 128), (1, 2, 2), (1, 1, 1), "basic", 24, frozen_norm=False, merged=2)


class FrozenBatchNorm2d(nn.Module):
    """Batch norm whose statistics and affine map are constants (buffers)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, fill in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), fill))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        shift = self.bias - self.running_mean * scale
        return x * scale[:, None, None] + shift[:, None, None]


Norm = Callable[[int], nn.Module]


@dataclass(frozen=True)
class Window3x3:
    """How a block's first 3x3 convolution moves over its input, and the side of the shortcut's kernel."""

    stride: int
    padding: int
    dilation: int
    shortcut: int = 1


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, window: Window3x3, norm: Norm) -> None:
        super().__init__()
        dilation = window.dilation
        self.conv1 = nn.Conv2d(channels, width, 3, window.stride, window.padding, dilation, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = norm(width)
        self.downsample = _shortcut(channels, width, window, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; the stride sits on the 3x3 (version 1.5)."""

    expansion = 4

    def __init__(self, channels: int, width: int, window: Window3x3, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, window.stride, window.padding, window.dilation, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = norm(4 * width)
        self.downsample = _shortcut(channels, 4 * width, window, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(channels: int, out: int, window: Window3x3, norm: Norm) -> nn.Sequential:
    if window.stride == 1 and channels == out:
        return nn.Sequential()
    if window.shortcut == 1:
        conv = nn.Conv2d(channels, out, 1, window.stride, bias=False)
    else:
        conv = nn.Conv2d(channels, out, 3, window.stride, window.padding, window.dilation, bias=False)
    return nn.Sequential(conv, norm(out))


def _windows(config: ResNetConfig, stage: int) -> tuple[Window3x3, Window3x3]:
    """Of the first block of a stage, and of the others."""
    stride, dilation = config.strides[stage], config.dilations[stage]
    others = Window3x3(1, dilation, dilation)
    if config.style == "torchvision":
        return Window3x3(stride, dilation, dilation), others
    first = max(1, dilation // 2)
    return Window3x3(stride, first if stride == 1 else 0, first, 3 if max(stride, dilation) > 1 else 1), others


class ResNet(nn.Module):
    """(B, 3, H, W) to (B, config.channels, H / config.stride, W / config.stride)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.merged = config.merged
        norm: Norm = FrozenBatchNorm2d if config.frozen_norm else BatchNorm2d
        self.conv1 = nn.Conv2d(3, config.stem, 7, 2, 3 if config.style == "torchvision" else 0, bias=False)
        self.bn1 = norm(config.stem)
        block = Bottleneck if config.block == "bottleneck" else BasicBlock
        channels = config.stem
        self.stages: list[str] = []
        for stage, (count, width) in enumerate(zip(config.layers, config.widths, strict=True)):
            first, others = _windows(config, stage)
            blocks = []
            for index in range(count):
                blocks.append(block(channels, width, first if index == 0 else others, norm))
                channels = width * block.expansion
            self.stages.append(f"layer{stage + 1}")
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.frozen = ["conv1", "bn1", *self.stages[: config.frozen_stages]] if config.frozen_stages >= 0 else []
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet:
        """Frozen stages stay in eval mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """Images to the features of the last stage, or of the last few."""
        last = deque(self.outputs(x), self.merged)  # the others are freed as it goes
        size = last[0].shape[2:]
        resized = [F.interpolate(y, size, mode="bilinear", align_corners=False) for y in list(last)[1:]]
        return torch.cat([last[0], *resized], 1) if resized else last[0]

    def outputs(self, x: Tensor) -> Iterator[Tensor]:
        """Images to the features of the stem (before its pooling) and of each stage."""
        x = F.relu(self.bn1(self.conv1(x)))
        yield x
        x = F.max_pool2d(x, 3, 2, 1)
        for name in self.stages:
            x = self.get_submodule(name)(x)
            yield x

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of this trunk, out of torchvision's of a classifier, whose further stages and last layer fall
        away, or out of those of a tracker with such a trunk."""
        prefixes = ("backbone.patch_embed.trunk.", "backbone.")
        prefix = next((p for p in prefixes if f"{p}conv1.weight" in tensors), "")
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        others = tuple(f"layer{n}." for n in range(len(self.stages) + 1, 5))
        return {name: value for name, value in own.items() if not name.startswith((*others, "fc."))}
