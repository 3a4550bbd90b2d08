"""RepVGG trunks (Ding et al., CVPR 2021), with the parameter names of the published models.

A block trains with three parallel branches, of which each is linear, and is folded into one convolution for use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.nn.norm import BatchNorm2d
from lockon.nn.resnet import FrozenBatchNorm2d, Norm

FEWEST_CHANNELS = 8  # of a 1x1 convolution with a stride: with fewer its gradient writes beyond its memory, where
# PyTorch's oneDNN uses AVX2 and the channels come last (uxlfoundation/oneDNN, issue 6035)


@dataclass(frozen=True)
class RepVGGConfig:
    """A trunk without its classifier; the defaults are RepVGG-A0 to its stage 3.

    Attributes:
        layers: blocks of stages 1, 2, ...; stage 0 is always one block.
        widths: channels of stages 0, 1, 2, ...; each stage halves the resolution.
        frozen_norm: batch norm as a constant affine map, for backbones that come pretrained.
        frozen_stages: the last stage whose parameters do not train, counted from 0; -1 if all train.
    """

    layers: tuple[int, ...] = (2, 4, 14)
    widths: tuple[int, ...] = (48, 48, 96, 192)
    frozen_norm: bool = False
    frozen_stages: int = -1

    @property
    def channels(self) -> int:
        """Channels that come out of the last stage."""
        return self.widths[-1]

    @property
    def stride(self) -> int:
        """Input pixels per cell of the last stage."""
        return 2 ** len(self.widths)


class Branch(nn.Module):
    """A convolution and its batch norm."""

    def __init__(self, conv: nn.Conv2d, norm: Norm) -> None:
        super().__init__()
        self.conv, self.bn = conv, norm(conv.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the convolution's shape."""
        return self.bn(self._convolve(x))

    def _convolve(self, x: Tensor) -> Tensor:
        step, *_ = self.conv.stride
        if self.conv.kernel_size != (1, 1) or step == 1 or self.conv.in_channels >= FEWEST_CHANNELS:
            return self.conv(x)
        return F.conv2d(x[..., ::step, ::step], self.conv.weight)  # the same cells, chosen beforehand


class RepVGGBlock(nn.Module):
    """A 3x3 and a 1x1 convolution, and the input itself where the shape is kept, each with batch norm, summed."""

    rbr_identity: nn.Module | None
    folded: nn.Conv2d | None

    def __init__(self, channels: int, width: int, stride: int = 1, norm: Norm = BatchNorm2d) -> None:
        super().__init__()
        self.rbr_identity = norm(width) if stride == 1 and channels == width else None
        self.rbr_dense = Branch(nn.Conv2d(channels, width, 3, stride, 1, bias=False), norm)
        self.rbr_1x1 = Branch(nn.Conv2d(channels, width, 1, stride, bias=False), norm)
        self.folded = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, width, H / stride, W / stride)."""
        if self.folded is not None:
            return F.relu(self.folded(x))
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        return F.relu(y if self.rbr_identity is None else y + self.rbr_identity(x))

    @torch.no_grad()
    def fold(self) -> None:
        """Puts one 3x3 convolution in the place of the branches; batch norm counts as in eval mode."""
        if self.folded is not None:
            return
        dense = self.rbr_dense.conv
        kernel, bias = _scaled(dense.weight, self.rbr_dense.bn)
        one, shift = _scaled(self.rbr_1x1.conv.weight, self.rbr_1x1.bn)
        kernel, bias = kernel + F.pad(one, (1, 1, 1, 1)), bias + shift
        if self.rbr_identity is not None:
            unit = torch.eye(len(kernel), device=kernel.device)[..., None, None]
            same, shift = _scaled(unit, self.rbr_identity)
            kernel, bias = kernel + F.pad(same, (1, 1, 1, 1)), bias + shift
        conv = nn.Conv2d(dense.in_channels, dense.out_channels, 3, dense.stride[0], 1, device=kernel.device)
        conv.weight.copy_(kernel)
        conv.bias.copy_(bias)  # type: ignore[union-attr]
        self.folded = conv
        del self.rbr_dense, self.rbr_1x1
        self.rbr_identity = None


def fold(model: nn.Module) -> None:
    """Folds every RepVGG block of a trained model, in place: the same function up to rounding, faster and smaller."""
    for module in model.modules():
        if isinstance(module, RepVGGBlock):
            module.fold()


def _scaled(weight: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """A convolution's (O, I, k, k) weight and zero bias with the batch norm after it multiplied in."""
    assert isinstance(norm, (nn.BatchNorm2d, FrozenBatchNorm2d))
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class RepVGG(nn.Module):
    """(B, 3, H, W) to (B, config.channels, H / config.stride, W / config.stride)."""

    def __init__(self, config: RepVGGConfig) -> None:
        super().__init__()
        norm: Norm = FrozenBatchNorm2d if config.frozen_norm else BatchNorm2d
        first, *others = config.widths
        self.config, self.stages = config, ["stage0"]
        self.stage0: nn.Module = RepVGGBlock(3, first, 2, norm)
        channels = first
        for number, (count, width) in enumerate(zip(config.layers, others, strict=True), start=1):
            blocks = []
            for index in range(count):
                blocks.append(RepVGGBlock(channels, width, 2 if index == 0 else 1, norm))
                channels = width
            self.stages.append(f"stage{number}")
            self.add_module(f"stage{number}", nn.Sequential(*blocks))
        for name in self.stages[: config.frozen_stages + 1]:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Images to the last stage's features."""
        for name in self.stages:
            x = self.get_submodule(name)(x)
        return x

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of a published model's weights those of this trunk: further stages and blocks, and the classifier, fall
        away."""
        counts = zip(self.stages[1:], self.config.layers, strict=True)
        blocks = [f"{name}.{i}." for name, count in counts for i in range(count)]
        ours, others = ("stage0.", *blocks), ("stage", "linear.")
        return {name: value for name, value in tensors.items() if name.startswith(ours) or not name.startswith(others)}
