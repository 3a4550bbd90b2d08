"""Swin Transformer trunks (Liu et al., ICCV 2021), on maps of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class SwinConfig:
    """A trunk without its classifier.

    Attributes:
        dim: channels of the first stage; each further stage doubles them.
        depths, heads: blocks and attention heads of each stage.
        window: tokens along a side of an attention window.
        patch: pixels along a side of a token of the first stage.
        expansion: hidden channels of a block's MLP, in units of its own.
        out: number of the stage, from 0, whose features come out. Later stages hold weights, so that checkpoints of
            whole trunks load, but are neither run nor trained.
        drop_path: probability, in the last block, that training leaves out a residual branch of a sample; it grows
            linearly from 0 in the first block of all.
    """

    dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    heads: tuple[int, ...] = (3, 6, 12, 24)
    window: int = 7
    patch: int = 4
    expansion: int = 4
    out: int = 2
    drop_path: float = 0.2

    @property
    def channels(self) -> int:
        """Channels that come out."""
        return self.dim << self.out

    @property
    def stride(self) -> int:
        """Input pixels per cell that comes out; a last cell may lie partly outside the image."""
        return self.patch << self.out


class WindowAttention(nn.Module):
    """Self-attention inside windows (section 3.2), every other block with the windows moved by half their size.

    Maps are padded with zeros at the right and the bottom to whole windows, and these tokens are attended to like any
    other. In a shifted map, which is rolled, tokens from opposite ends share a window and are kept apart by -100 on
    their logits.
    """

    relative_position_index: Tensor

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", _relative_positions(window))

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        w, (height, width) = self.window, x.shape[1:3]
        x = F.pad(x, (0, 0, 0, -width % w, 0, -height % w))
        padded = x.shape
        if self.shift:
            x = x.roll((-self.shift, -self.shift), (1, 2))
        x = _split(x, w)  # (B, windows, w * w, C)
        count = x.shape[1]
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).flatten(1, 2)
        q, k, v = qkv.unbind()  # (B * windows, heads, w * w, C / heads)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)[None]
        if self.shift:
            apart = _apart(padded[1], padded[2], w, self.shift, x.device)
            bias = (bias + apart[:, None].to(bias.dtype)).repeat(len(q) // count, 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = self.proj(x.transpose(1, 2).flatten(2)).unflatten(0, (-1, count))
        x = _join(x, padded[1] // w, w)
        if self.shift:
            x = x.roll((self.shift, self.shift), (1, 2))
        return x[:, :height, :width]


def _split(x: Tensor, window: int) -> Tensor:
    """(B, H, W, ...) to its windows, (B, H * W / window^2, window^2, ...), row by row."""
    x = x.unflatten(2, (-1, window)).unflatten(1, (-1, window))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _join(x: Tensor, rows: int, window: int) -> Tensor:
    """The inverse of ``_split``, for a map with ``rows`` rows of windows."""
    x = x.unflatten(2, (window, window)).unflatten(1, (rows, -1))
    return x.transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _relative_positions(window: int) -> Tensor:
    """(w * w, w * w): the row of the bias table for a query and a key, by how far the key lies to the upper left."""
    place = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    away = place[:, None] - place + window - 1
    return away[..., 0] * (2 * window - 1) + away[..., 1]


def _apart(height: int, width: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(windows, w * w, w * w): -100 between tokens of a rolled map that were no neighbours before, else 0."""

    def ends(length: int) -> Tensor:
        place = torch.arange(length, device=device)
        return (place >= length - window).long() + (place >= length - shift).long()

    region = _split((3 * ends(height)[:, None] + ends(width))[None], window)[0]
    return -100.0 * (region[:, :, None] != region[:, None, :]).float()


class SwinBlock(nn.Module):
    """Window attention and an MLP, each normalised first and added."""

    def __init__(self, dim: int, heads: int, window: int, shift: int, expansion: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = WindowAttention(dim, heads, window, shift)
        self.ffn = nn.Sequential(nn.Linear(dim, expansion * dim), nn.GELU(), nn.Linear(expansion * dim, dim))
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to the same."""
        x = x + self._drop(self.attn(self.norm1(x)))
        return x + self._drop(self.ffn(self.norm2(x)))

    def _drop(self, branch: Tensor) -> Tensor:
        """Stochastic depth: the branch, zero for some samples and larger for the others in training."""
        if not self.training or self.drop_path == 0:
            return branch
        keep = 1 - self.drop_path
        return branch * branch.new_empty(len(branch), 1, 1, 1).bernoulli_(keep) / keep


class PatchEmbed(nn.Module):
    """Squares of pixels to tokens; images are padded with zeros at the right and the bottom."""

    def __init__(self, dim: int, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(3, dim, patch, patch)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, H / patch, W / patch, C)."""
        x = F.pad(x, (0, -x.shape[3] % self.patch, 0, -x.shape[2] % self.patch))
        return self.norm(self.projection(x).permute(0, 2, 3, 1))


class PatchMerging(nn.Module):
    """Two by two tokens to one with twice the channels; maps are padded with zeros to even sizes.

    The order of the 4 C values is that of ``F.unfold``, all four places of a channel together.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H / 2, W / 2, 2 C)."""
        x = F.pad(x, (0, 0, 0, x.shape[2] % 2, 0, x.shape[1] % 2))
        x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, H / 2, 2, W / 2, 2, C)
        return self.reduction(self.norm(x.permute(0, 1, 3, 5, 2, 4).flatten(3)))


class Stage(nn.Module):
    """Blocks, and the merging of their tokens where another stage follows."""

    def __init__(self, config: SwinConfig, number: int) -> None:
        super().__init__()
        dim, first, total = config.dim << number, sum(config.depths[:number]), sum(config.depths)
        self.blocks = nn.Sequential(
            *(
                SwinBlock(
                    dim,
                    config.heads[number],
                    config.window,
                    config.window // 2 if i % 2 else 0,
                    config.expansion,
                    config.drop_path * (first + i) / max(1, total - 1),
                )
                for i in range(config.depths[number])
            )
        )
        self.downsample = PatchMerging(dim) if number + 1 < len(config.depths) else nn.Identity()
        if number >= config.out:
            self.downsample.requires_grad_(False)
        if number > config.out:
            self.blocks.requires_grad_(False)

    def forward(self, x: Tensor, merge: bool) -> Tensor:
        """(B, H, W, C) to the same, or with ``merge`` to (B, H / 2, W / 2, 2 C)."""
        x = self.blocks(x)
        return self.downsample(x) if merge else x


class Swin(nn.Module):
    """(B, 3, H, W) to (B, config.channels, H / config.stride, W / config.stride), rounded up."""

    def __init__(self, config: SwinConfig) -> None:
        super().__init__()
        self.patch_embed = PatchEmbed(config.dim, config.patch)
        self.stages = nn.ModuleList(Stage(config, number) for number in range(len(config.depths)))
        self.norm = nn.LayerNorm(config.channels)
        self.out = config.out
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images to the features of stage ``config.out``, normalised."""
        x = self.patch_embed(x)
        for number, stage in enumerate(self.stages[: self.out + 1]):
            x = stage(x, merge=number < self.out)
        return self.norm(x).permute(0, 3, 1, 2)

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Of a classifier's weights as the authors of Swin publish them those of this trunk.

        They concatenate the four places of a merging as (0, 0), (1, 0), (0, 1), (1, 1), with all channels of a place
        together. Their classifier and last norm are left out, so ``norm`` keeps its own values.
        """
        names = {"layers.": "stages.", "mlp.fc1.": "ffn.0.", "mlp.fc2.": "ffn.2.", "embed.proj.": "embed.projection."}
        out = {f"norm.{name}": value for name, value in self.norm.state_dict().items()}
        for name, value in tensors.items():
            if name.startswith(("head.", "norm.")) or name.endswith("attn_mask"):
                continue
            if ".downsample." in name:
                value = value.unflatten(-1, (2, 2, -1)).movedim(-1, -3).transpose(-1, -2).flatten(-3)
            for theirs, ours in names.items():
                name = name.replace(theirs, ours)
            out[name] = value
        return out
