"""ResNet trunks (He et al., CVPR 2016), with torchvision's parameter names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
        frozen_stages: the last stage whose parameters do not train: 0 the stem, 1 ``layer1``, ...; -1 if all train.
    """

    layers: tuple[int, ...] = (3, 4, 6)
    widths: tuple[int, ...] = (64, 128, 256)
    strides: tuple[int, ...] = (1, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1)
    block: Literal["bottleneck", "basic"] = "bottleneck"
    stem: int = 64
    frozen_norm: bool = True
    frozen_stages: int = -1

    @property
    def channels(self) -> int:
        """Channels that come out of the last stage."""
        return self.widths[-1] * (4 if self.block == "bottleneck" else 1)

    @property
    def stride(self) -> int:
        """Input pixels per cell of the last stage."""
        stride = 4  # stem and max pooling
        for s in self.strides:
            stride *= s
        return stride


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


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, dilation: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = norm(width)
        self.downsample = _shortcut(channels, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions with a shortcut; the stride sits on the 3x3 (version 1.5)."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, dilation: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = norm(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = norm(4 * width)
        self.downsample = _shortcut(channels, 4 * width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, 4 * width, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(channels: int, out: int, stride: int, norm: Norm) -> nn.Sequential:
    if stride == 1 and channels == out:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out))


class ResNet(nn.Module):
    """(B, 3, H, W) to (B, config.channels, H / config.stride, W / config.stride)."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        norm: Norm = FrozenBatchNorm2d if config.frozen_norm else nn.BatchNorm2d
        self.conv1 = nn.Conv2d(3, config.stem, 7, 2, 3, bias=False)
        self.bn1 = norm(config.stem)
        block = Bottleneck if config.block == "bottleneck" else BasicBlock
        channels = config.stem
        self.stages: list[str] = []
        shape = zip(config.layers, config.widths, config.strides, config.dilations, strict=True)
        for number, (count, width, stride, dilation) in enumerate(shape, start=1):
            blocks = []
            for index in range(count):
                blocks.append(block(channels, width, stride if index == 0 else 1, dilation, norm))
                channels = width * block.expansion
            self.stages.append(f"layer{number}")
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for name in ("conv1", "bn1") if config.frozen_stages >= 0 else ():
            self.get_submodule(name).requires_grad_(False)
        for name in self.stages[: max(0, config.frozen_stages)]:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images to the last stage's features."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return x

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of torchvision's weights of a classifier those of this trunk: further stages and the classifier fall
        away."""
        others = tuple(f"layer{n}." for n in range(len(self.stages) + 1, 5))
        return {name: value for name, value in tensors.items() if not name.startswith((*others, "fc."))}
