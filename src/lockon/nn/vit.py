"""Vision transformer (Dosovitskiy et al., ICLR 2021) in parts, with the parameter names of MAE's checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.nn.resnet import ResNet, ResNetConfig


@dataclass(frozen=True)
class ViTConfig:
    """A plain vision transformer; the default is ViT-B/16.

    Attributes:
        trunk: convolutions whose features are cut into tokens in place of the picture, for small networks.
        patch: side of a token in pixels.
        dim, depth, heads, feedforward: width, number of blocks, attention heads, width inside the MLP.
        drop_path: share of the samples that skip a branch of the last block in training; it grows linearly from 0 in
            the first block.
    """

    patch: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    feedforward: int = 3072
    drop_path: float = 0.1
    trunk: ResNetConfig | None = None


VIT_LARGE = ViTConfig(dim=1024, depth=24, heads=16, feedforward=4096)


class PatchEmbed(nn.Module):
    """(B, 3, H, W) images to (B, H * W / patch^2, C) tokens, row by row."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.trunk = ResNet(config.trunk) if config.trunk else nn.Identity()
        channels, stride = (config.trunk.channels, config.trunk.stride) if config.trunk else (3, 1)
        self.proj = nn.Conv2d(channels, config.dim, config.patch // stride, config.patch // stride)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images to tokens, and to the trunk's features (without a trunk the images themselves)."""
        features = self.trunk(images)
        return self.proj(features).flatten(2).transpose(1, 2), features


class Attention(nn.Module):
    """Self-attention; ``split`` and ``merge`` stand alone for those who attend in a way of their own."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to (B, N, C): every token sees all."""
        return self.merge(F.scaled_dot_product_attention(*self.split(x)))

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, N, C) to queries, keys and values, (B, heads, N, C / heads) each."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def merge(self, x: Tensor) -> Tensor:
        """What the heads found, (B, heads, N, C / heads), to (B, N, C)."""
        return self.proj(x.transpose(1, 2).flatten(2))


def attention_logits(query: Tensor, key: Tensor) -> Tensor:
    """(B, heads, N, D) and (B, heads, M, D) to the (B, heads, N, M) scaled products."""
    return (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, width), nn.Linear(width, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Attention and MLP, each normalised before and added to its input."""

    def __init__(self, config: ViTConfig, number: int, attention: Attention | None = None) -> None:
        """``number`` counts from 0 and sets the drop path; ``attention`` in place of the plain one."""
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.dim, eps=1e-6), nn.LayerNorm(config.dim, eps=1e-6)
        self.attn = Attention(config.dim, config.heads) if attention is None else attention
        self.mlp = FeedForward(config.dim, config.feedforward)
        self.drop_rate = config.drop_path * number / max(1, config.depth - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to (B, N, C)."""
        return self.think(x + self.drop(self.attn(self.norm1(x))))

    def think(self, x: Tensor) -> Tensor:
        """The second half: the MLP's branch, (B, N, C) to the same."""
        return x + self.drop(self.mlp(self.norm2(x)))

    def drop(self, branch: Tensor) -> Tensor:
        """In training, a branch without the samples that chance drops."""
        if not self.training or self.drop_rate == 0:
            return branch
        return drop_path(branch, self.drop_rate, torch.rand(len(branch), device=branch.device))


def drop_path(branch: Tensor, rate: float, draws: Tensor) -> Tensor:
    """Stochastic depth (Huang et al., ECCV 2016).

    Args:
        branch: (B, ...) what is to be added to the input.
        rate: share of the samples that are dropped; the others are scaled up to keep the expectation.
        draws: (B,) uniform in [0, 1); samples below ``rate`` become zero.
    """
    kept = (draws >= rate).to(branch.dtype) / (1 - rate)
    return branch * kept.view(-1, *[1] * (branch.dim() - 1))


def resize_positions(table: Tensor, side: int, prefix: int = 1) -> Tensor:
    """A learned table of positions for a grid of another size, by bicubic interpolation.

    Args:
        table: (1, prefix + n * n, C).
        side: of the new grid.
        prefix: entries before the grid that are left out (a class token; DeiT's distilled models have two).

    Returns:
        (1, side * side, C).
    """
    grid = table[:, prefix:].transpose(1, 2)
    n = round(grid.shape[2] ** 0.5)
    grid = F.interpolate(grid.unflatten(2, (n, n)), (side, side), mode="bicubic", align_corners=False)
    return grid.flatten(2).transpose(1, 2)


def init_vit(module: nn.Module) -> None:
    """Weights as a vision transformer starts: linear layers from a narrow normal distribution, biases zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)
