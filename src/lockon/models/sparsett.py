"""SparseTT: Visual Tracking with Sparse Transformers (Fu et al., IJCAI 2022, arXiv 2205.03776).

A Swin Transformer describes template and search patch; an encoder refines the template's tokens; in a decoder each
search token attends to the few others that are most like it, then to the template; two heads, one of 1x1 and one of
3x3 convolutions, say for each cell of the search patch whether it is the target's and where the target's sides are.
The best cell is picked under a penalty on changes of size and a window on the place, and the size is smoothed.
Names in quotes are the paper's own.

Where paper and official code (fzh0917/SparseTT) differ, the code is followed. It counts pixels inclusively: the
centre of a box x, y, w, h is x + (w - 1) / 2, y + (h - 1) / 2, its last pixel x + w - 1. In the coordinates of a
``Window`` and of relative boxes, whose pixels have an extent, these are the same boxes half a pixel further on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.boxes import Box, xywh_to_xyxy, xyxy_to_cxcywh
from lockon.crops import CropSpec, Window
from lockon.errors import ModelError
from lockon.models import register
from lockon.nn.anchors import cosine_window
from lockon.nn.attention import MultiHeadAttention
from lockon.nn.correlation import Correlation
from lockon.nn.images import Normalise
from lockon.nn.norm import BatchNorm2d
from lockon.nn.position import LearnedPosition
from lockon.nn.precision import full
from lockon.nn.resnet import TINY, Bottleneck, ResNet, ResNetConfig, Window3x3
from lockon.nn.swin import Swin, SwinConfig
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, Result, State, TrackingModel


@dataclass(frozen=True)
class SparsettConfig:
    """A SparseTT network, its crops, its online rules and the weights of its loss.

    Attributes:
        template, search: crops; both show the target at the same scale.
        backbone: the trunk, a Swin in the paper; its stride is the size of a cell in pixels.
        dim, heads, feedforward, encoder_layers, decoder_layers, dropout: the transformer ("target focus network").
        top_k: how many keys a search token attends to in the decoder's self-attention; None for all of them.
        head: "double", or only the "fc" or the "conv" branch of it ("double-head predictor").
        correlation: for small networks, channels in which search and template are compared cell by cell before the
            transformer (``nn.correlation``); its tokens are then two by two cells of the backbone. 0, as in the
            paper, for no comparison.
        head_dim: channels of both branches; ``blocks``: bottlenecks of the conv branch after its first block.
        test_lr: how much of a new size is taken over, before the score and the penalty lessen it.
        window_influence: share of the window in the choice of the cell.
        penalty_k: how strongly changes of size and shape count against a cell.
        min_size: smallest side of a tracked box in pixels.
        found_above: a result is ``found`` where its score is above this.
        focal_alpha, focal_gamma: of the classification loss.
        deny_all: every cell of a negative pair is told that it is not the target's, not only those of the other object.
        cls_fc_weight, reg_fc_weight, cls_conv_weight, reg_conv_weight: of the four losses ("training loss").
    """

    template: CropSpec = CropSpec(1.0, 127, 0.5, "mean", "warped")
    search: CropSpec = CropSpec(289 / 127, 289, 0.5, "mean", "warped")
    backbone: SwinConfig | ResNetConfig = field(default_factory=SwinConfig)
    dim: int = 256
    heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 2
    decoder_layers: int = 2
    dropout: float = 0.1
    top_k: int | None = 32
    head: Literal["double", "fc", "conv"] = "double"
    correlation: int = 0
    head_dim: int = 1024
    blocks: int = 7
    test_lr: float = 0.95
    window_influence: float = 0.21
    penalty_k: float = 0.04
    min_size: float = 10.0
    found_above: float = 0.3
    focal_alpha: float = 0.75
    focal_gamma: float = 2.0
    cls_fc_weight: float = 1.4
    reg_fc_weight: float = 0.6
    cls_conv_weight: float = 0.5
    reg_conv_weight: float = 2.0
    deny_all: bool = False

    @property
    def coarse(self) -> int:
        """Cells of the backbone along a side of a token."""
        return 2 if self.correlation else 1

    def tokens(self, spec: CropSpec) -> int:
        """Tokens along a side of a patch."""
        return -(-spec.size // (self.backbone.stride * self.coarse))


class Template(NamedTuple):
    """The memory of a template.

    Attributes:
        tokens: (B, N, C) the encoder's output.
        kernels: (B, M, ``correlation``) what search cells are compared with; M = 0 without comparison.
    """

    tokens: Tensor
    kernels: Tensor


class Dense(NamedTuple):
    """What one branch of the head says of each of N cells, row by row.

    Attributes:
        logits: (B, N) of being the target's.
        boxes: (B, N, 4) first and last pixel x1, y1, x2, y2 in pixels of the search patch.
    """

    logits: Tensor
    boxes: Tensor


class SparsettPrediction(NamedTuple):
    """The network's answer for a batch of search patches, for each of N cells, row by row.

    Attributes:
        boxes: (B, N, 4) centre and size relative to the search patch (0 to 1).
        score: (B, N) 0 to 1: probability that the cell is the target's, by either branch.
        fc, conv: what the branches said; None for a branch that is not there.
    """

    boxes: Tensor
    score: Tensor
    fc: Dense | None
    conv: Dense | None


# Transformer


class SparseAttention(MultiHeadAttention):
    """Attention to the K keys whose product with the query is largest, for each head and query on its own."""

    def __init__(self, dim: int, heads: int, top_k: int | None, dropout: float = 0.0) -> None:
        super().__init__(dim, heads, dropout)
        self.top_k = top_k

    def forward(self, query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None = None) -> Tensor:
        """(B, Lq, C), (B, Lk, C), (B, Lk, C) to (B, Lq, C); ``padding`` only where no keys are left out."""
        if self.top_k is None:
            return super().forward(query, key, value, padding)
        q, k, v = self.project(query, key, value)
        weights = F.dropout(_top_k_weights(q, k, self.top_k), self.dropout, self.training)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """How much each query attends to each key, (B, heads, Lq, Lk)."""
        q, k, _ = self.project(query, key, key)
        return _top_k_weights(q, k, key.shape[1] if self.top_k is None else self.top_k)


def _top_k_weights(q: Tensor, k: Tensor, count: int) -> Tensor:
    """(B, heads, Lq, D) and (B, heads, Lk, D) to (B, heads, Lq, Lk): softmax over the largest, exactly 0 elsewhere."""
    logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    largest, places = logits.topk(count, dim=-1)
    kept = largest.softmax(-1)
    return kept.new_zeros(logits.shape).scatter(-1, places, kept)


class FeedForward(nn.Module):
    """Two linear layers and a ReLU, added and normalised."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.linear1.bias)
        nn.init.zeros_(self.linear2.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to the same."""
        return self.norm(x + self.dropout(self.linear2(F.relu(self.linear1(x)))))


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, normalised after the sum."""

    def __init__(self, config: SparsettConfig) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(config.dim, config.heads, config.dropout)
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.ffn = FeedForward(config.dim, config.feedforward, config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) to the same."""
        return self.ffn(self.norm(x + self.self_attn(x, x, x)))


class DecoderLayer(nn.Module):
    """Sparse self-attention of the search tokens, plain attention to the template's, feed-forward."""

    def __init__(self, config: SparsettConfig) -> None:
        super().__init__()
        self.self_attn = SparseAttention(config.dim, config.heads, config.top_k, config.dropout)
        self.cross_attn = MultiHeadAttention(config.dim, config.heads, config.dropout)
        self.norm1, self.norm2 = nn.LayerNorm(config.dim, eps=1e-6), nn.LayerNorm(config.dim, eps=1e-6)
        self.ffn = FeedForward(config.dim, config.feedforward, config.dropout)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        """(B, N, C) search tokens and (B, M, C) template tokens to (B, N, C)."""
        x = self.norm1(x + self.self_attn(x, x, x))
        return self.ffn(self.norm2(x + self.cross_attn(x, memory, memory)))


class Neck(nn.Module):
    """Layers whose input has its positions added once."""

    def __init__(self, layers: Iterable[nn.Module], side: int, dim: int) -> None:
        super().__init__()
        self.position = LearnedPosition(side, dim)
        self.layers = nn.ModuleList(layers)

    def forward(self, features: Tensor, *memory: Tensor) -> Tensor:
        """(B, C, side, side) features and, for decoders, (B, M, C) memory to (B, side * side, C) tokens."""
        x = (features + self.position()).flatten(2).transpose(1, 2)
        for layer in self.layers:
            x = layer(x, *memory)
        return x


# Head


class ConvNorm(nn.Module):
    """A convolution and a batch norm."""

    def __init__(self, channels: int, out: int, kernel: int = 1, bias: bool = False, eps: float = 1e-5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=bias)
        self.bn = BatchNorm2d(out, eps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        return self.bn(self.conv(x))


class Widen(nn.Module):
    """The first block of the conv branch: 3x3 and 1x1 convolutions, and a 1x1 shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3)
        self.conv2 = ConvNorm(channels, out)
        self.shortcut = ConvNorm(channels, out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def fc_trunk(channels: int, out: int) -> nn.Sequential:
    """Two fully connected layers for each cell."""
    first, second = nn.Conv2d(channels, out, 1), nn.Conv2d(out, out, 1)
    for layer in (first, second):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # there is one
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())


def conv_trunk(channels: int, out: int, blocks: int) -> nn.Sequential:
    """A block that widens, and bottlenecks."""
    rest = [Bottleneck(out, out // 4, Window3x3(1, 1, 1), BatchNorm2d) for _ in range(blocks)]
    trunk = nn.Sequential(Widen(channels, out), *rest)
    for module in trunk.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
    return trunk


class Branch(nn.Module):
    """One branch of the head: its trunk, and from that the logits and the distances to the target's sides."""

    def __init__(self, trunk: nn.Sequential, channels: int, stride: int) -> None:
        super().__init__()
        self.trunk, self.stride = trunk, stride
        self.cls, self.reg = ConvNorm(channels, 1), ConvNorm(channels, 4)
        self.scale, self.shift = nn.Parameter(torch.ones(())), nn.Parameter(torch.zeros(()))
        for layer in (self.cls.conv, self.reg.conv):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor, points: Tensor) -> Dense:
        """(B, C, H, W) features and the cells' points (1, H * W, 2) in patch pixels."""
        x = self.trunk(x)
        logits, sides = full(self.cls(x)[:, 0].flatten(1)), full(self.reg(x).flatten(2).transpose(1, 2))
        low, high = ((self.scale * sides + self.shift).exp() * self.stride).split(2, dim=-1)
        return Dense(logits, torch.cat([points - low, points + high], dim=-1))


class Head(nn.Module):
    """The double-head predictor, or one branch of it."""

    points: Tensor

    def __init__(self, config: SparsettConfig) -> None:
        super().__init__()
        channels, stride, size = 2 * config.dim, config.backbone.stride, config.search.size
        self.size, dim = size, config.head_dim
        self.fc = Branch(fc_trunk(channels, dim), dim, stride) if config.head != "conv" else None
        self.conv = Branch(conv_trunk(channels, dim, config.blocks), dim, stride) if config.head != "fc" else None
        side = _cells(config.search, stride)
        points = grid_points(side, stride, (size - 1 - (side - 1) * stride) // 2)
        self.register_buffer("points", points[None])

    def forward(self, x: Tensor) -> SparsettPrediction:
        """(B, C, H, W) features to the branches' answers, and to one out of both: a cell is the target's if either
        branch says so, and its box comes from the conv branch."""
        fc = None if self.fc is None else self.fc(x, self.points)
        conv = None if self.conv is None else self.conv(x, self.points)
        first, *others = [dense for dense in (conv, fc) if dense is not None]
        score = first.logits.sigmoid()
        for other in others:
            score = score + other.logits.sigmoid() * (1 - score)
        return SparsettPrediction(relative_boxes(first.boxes, self.size), score, fc, conv)


def _cells(spec: CropSpec, stride: int) -> int:
    return -(-spec.size // stride)


def grid_points(side: int, stride: int, offset: int) -> Tensor:
    """(side * side, 2) x, y in pixels of the points that the cells of a map stand for, row by row."""
    place = torch.arange(side, dtype=torch.float32) * stride + offset
    y, x = torch.meshgrid(place, place, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1)


def relative_boxes(boxes: Tensor, size: int) -> Tensor:
    """(..., 4) first and last pixel, in pixels of a patch, to centre and size relative to the patch."""
    return xyxy_to_cxcywh(boxes + boxes.new_tensor([0, 0, 1, 1])) / size


def pixel_boxes(boxes: Tensor, size: int) -> Tensor:
    """(..., 4) x, y, w, h relative to a patch to first and last pixel x1, y1, x2, y2."""
    return xywh_to_xyxy(boxes * size) - boxes.new_tensor([0, 0, 1, 1])


# The model


class Sparsett(TrackingModel):
    """The SparseTT network with its online rules and loss.

    Raises:
        ModelError: ``top_k`` is not between 1 and the number of search tokens.
    """

    def __init__(self, config: SparsettConfig) -> None:
        super().__init__()
        c = self.config = config
        self.template_crop, self.search_crop = c.template, c.search
        template, search = c.tokens(c.template), c.tokens(c.search)
        if c.top_k is not None and not 0 < c.top_k <= search**2:
            raise ModelError(f"top_k={c.top_k}: a search token can attend to 1 to {search**2} tokens")
        self.backbone = Swin(c.backbone) if isinstance(c.backbone, SwinConfig) else ResNet(c.backbone)
        self.adjust_template = ConvNorm(c.backbone.channels, c.dim, bias=True, eps=1e-3)
        self.adjust_search = ConvNorm(c.backbone.channels, c.dim, bias=True, eps=1e-3)
        self.encoder = Neck((EncoderLayer(c) for _ in range(c.encoder_layers)), template, c.dim)
        self.decoder = Neck((DecoderLayer(c) for _ in range(c.decoder_layers)), search, c.dim)
        self.head = Head(c)
        self.correlation = None
        if c.correlation:
            side = c.template.size // c.backbone.stride
            self.correlation = Correlation(c.backbone.channels, side, c.correlation, c.dim)
            self.enter_template, self.enter_search = (nn.Conv2d(c.dim, c.dim, c.coarse, c.coarse) for _ in range(2))
        self.normalise = Normalise()

    def memorize(self, images: Tensor, padding: Tensor | None = None, boxes: Tensor | None = None) -> Template:
        """Template patches (B, 3, S, S), 0 to 255, to tokens; where they are padding makes no difference, nor, without
        comparison, where the target is."""
        features = self.backbone(self.normalise(images))
        x = self.adjust_template(features)
        if self.correlation is None:
            return Template(tokens := self.encoder(x), tokens[:, :0])
        assert boxes is not None
        return Template(self.encoder(self.enter_template(x)), self.correlation.kernels(features, boxes))

    def forward(self, images: Tensor, padding: Tensor | None, memory: Template) -> SparsettPrediction:
        """Search patches (B, 3, S, S), 0 to 255, and their templates' tokens to boxes."""
        features = self.backbone(self.normalise(images))
        x = self.adjust_search(features)  # (B, C, H, W)
        if self.correlation is None:
            return self.head(torch.cat([self._decode(x, memory), x], dim=1))
        x = x + self.correlation(features, memory.kernels)
        decoded = self._decode(self.enter_search(x), memory)
        upper = F.interpolate(decoded, x.shape[2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([upper, x], dim=1))

    def _decode(self, x: Tensor, memory: Template) -> Tensor:
        return self.decoder(x, memory.tokens).transpose(1, 2).unflatten(2, x.shape[2:])

    def resolve(
        self,
        prediction: SparsettPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The best cell's box, its size smoothed, is the result and the next state; its score is what the head says
        of the cell, without penalty and window."""
        choice = choose(prediction, windows, [state.box for state in states], self.config)
        out = []
        for i, (window, state, best) in enumerate(zip(windows, states, choice.best.tolist(), strict=True)):
            score = prediction.score[i, best].item()
            rate = choice.penalty[i, best].item() * score * self.config.test_lr
            seen = window.to_frame(prediction.boxes[i, best].tolist())
            box = clip_centre(smooth(state.box, seen, rate), *frame_size, self.config.min_size)
            result = Result(box, score, score > self.config.found_above)
            out.append((replace(state, box=box, frame=state.frame + 1), result))
        return out

    def counts(self, batch: PairBatch) -> dict[str, Tensor]:
        """The cells of the targets."""
        return {"cells": (self.labels(batch)[0] == 1).sum()}

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The paper's four losses ("training loss") on a batch with positive and negative pairs."""
        memory = self.memorize(*batch.template(0))
        prediction = self(batch.search, batch.search_padding, memory)
        return dense_losses(prediction, *self.labels(batch), self.config, divisors.get("cells"))

    def labels(self, batch: PairBatch) -> tuple[Tensor, Tensor]:
        """``label_maps`` of a batch."""
        boxes = pixel_boxes(batch.boxes, self.config.search.size)
        classes, boxes = label_maps(boxes, batch.present, self.head.points[0])
        return classes.clamp(min=0) if self.config.deny_all else classes, boxes


# Online rules


class Choice(NamedTuple):
    """Which cell is taken for the target's.

    Attributes:
        penalty: (B, N) 0 to 1, of a cell's box for another size or shape than the target's.
        score: (B, N) the cells' scores with penalty and window.
        best: (B,) number of the cell with the largest of these, the first of equals.
    """

    penalty: Tensor
    score: Tensor
    best: Tensor


def choose(
    prediction: SparsettPrediction, windows: Sequence[Window], boxes: Sequence[Box], config: SparsettConfig
) -> Choice:
    """The best cell by score, penalty and window, given the targets' last boxes in frame pixels.

    The penalty is SiamRPN's: exp(-(r s - 1) k), with r and s the changes of the aspect ratio and of the size.
    """
    before = torch.tensor(
        [[[box[2] * w.scale / w.size, box[3] * w.scale / w.size]] for box, w in zip(boxes, windows, strict=True)],
        dtype=torch.float64,
    )  # (B, 1, wh)
    now = prediction.boxes[..., 2:].double()
    size = _change(_size(now) / _size(before))
    shape = _change((before[..., 0] / before[..., 1]) / (now[..., 0] / now[..., 1]))
    penalty = torch.exp(-(shape * size - 1) * config.penalty_k)
    influence = config.window_influence
    window = cosine_window(round(prediction.score.shape[1] ** 0.5))
    score = penalty * prediction.score * (1 - influence) + window * influence
    return Choice(penalty, score, score.argmax(-1))


def _size(wh: Tensor) -> Tensor:
    """(..., 2) to (...): the side of the square that a crop without factor would show."""
    return (wh + wh.mean(-1, keepdim=True)).prod(-1).sqrt()


def _change(quotient: Tensor) -> Tensor:
    return torch.maximum(quotient, 1 / quotient)


def smooth(before: Box, seen: Box, rate: float) -> Box:
    """A box around the centre of the one seen, its size between the two: that of the one seen for ``rate`` 1."""
    (x, y, w, h), (_, _, old_w, old_h) = seen, before
    new_w, new_h = old_w * (1 - rate) + w * rate, old_h * (1 - rate) + h * rate
    return x + 0.5 * (w - new_w), y + 0.5 * (h - new_h), new_w, new_h


def to_centre(box: Sequence[float]) -> Box:
    """x, y, w, h to the inclusive centre and the size."""
    x, y, w, h = box
    return x + 0.5 * (w - 1), y + 0.5 * (h - 1), w, h


def from_centre(box: Sequence[float]) -> Box:
    """The inverse of ``to_centre``."""
    cx, cy, w, h = box
    return cx - 0.5 * (w - 1), cy - 0.5 * (h - 1), w, h


def clip_centre(box: Box, width: int, height: int, smallest: float) -> Box:
    """The box moved until its centre lies in the frame, neither smaller than ``smallest`` nor larger than the frame."""
    cx, cy, w, h = to_centre(box)
    cx, cy = min(max(cx, 0.0), width), min(max(cy, 0.0), height)
    return from_centre((cx, cy, min(max(w, smallest), width), min(max(h, smallest), height)))


# Targets and losses


def label_maps(boxes: Tensor, present: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """What each cell should say ("training loss").

    Args:
        boxes: (B, 4) first and last pixel x1, y1, x2, y2 in patch pixels.
        present: (B,) bool, false for a negative pair, whose box is that of another object.
        points: (N, 2) of the cells.

    Returns:
        (B, N) int8 classes: 1 where a point is strictly inside a positive pair's box, 0 where it is not; of a negative
        pair 0 inside, and -1, which means ignored, outside. (B, N, 4) boxes, zeros where the class is not 1.
    """
    low, high = (corner[:, None] for corner in boxes.split(2, dim=-1))
    inside = ((points > low) & (points < high)).all(-1)
    classes = inside.to(torch.int8) - (~present)[:, None].to(torch.int8)
    return classes, boxes[:, None] * (classes == 1)[..., None]


def dense_losses(
    prediction: SparsettPrediction,
    classes: Tensor,
    boxes: Tensor,
    config: SparsettConfig,
    cells: Tensor | None = None,
) -> dict[str, Tensor]:
    """The losses of both branches against ``label_maps``; ``cells`` is what their sums are divided by, in place of the
    number of cells of class 1, at least 1.

    Returns:
        "cls_fc", "reg_fc", "cls_conv" and "reg_conv" of the branches that are there, weighted; "total", their sum; and
        "iou_fc" and "iou_conv", the mean overlap on the target's cells.
    """
    losses: dict[str, Tensor] = {}
    count = (classes == 1).sum().clamp(min=1) if cells is None else cells
    for name, dense, cls_weight, reg_weight in (
        ("fc", prediction.fc, config.cls_fc_weight, config.reg_fc_weight),
        ("conv", prediction.conv, config.cls_conv_weight, config.reg_conv_weight),
    ):
        if dense is not None:
            overlap = inclusive_iou(dense.boxes[classes == 1], boxes[classes == 1])
            focal = focal_loss(dense.logits, classes, config.focal_alpha, config.focal_gamma, count)
            losses[f"cls_{name}"] = cls_weight * focal
            far = -overlap.clamp(min=torch.finfo(overlap.dtype).tiny).log()
            losses[f"reg_{name}"] = reg_weight * far.sum() / count
            losses[f"iou_{name}"] = overlap.detach().sum() / count
    total = torch.stack([loss for name, loss in losses.items() if not name.startswith("iou")]).sum()
    return losses | {"total": total}


def focal_loss(logits: Tensor, classes: Tensor, alpha: float, gamma: float, count: Tensor) -> Tensor:
    """Focal loss (Lin et al., ICCV 2017) of (B, N) logits, summed over the cells that are not ignored and divided by
    ``count``, the number of those of class 1."""
    target = (classes == 1).to(logits.dtype)
    wrong = target + (1 - 2 * target) * logits.sigmoid()  # 1 - probability of the true class
    weight = (alpha * target + (1 - alpha) * (1 - target)) * wrong**gamma
    each = weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * (classes >= 0)).sum() / count


def inclusive_iou(a: Tensor, b: Tensor) -> Tensor:
    """Overlap of paired (N, 4) boxes given by first and last pixel, which both belong to them; (N,)."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2]) + 1).clamp(min=0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2] + 1).prod(-1).abs() for box in (a, b))
    return inner / (area_a + area_b - inner)


RENAMED = (
    (r"^basemodel(\.net)?", "backbone"),
    (r"^backbone\.norm2", "backbone.norm"),
    (r"\.w_msa\b", ""),
    (r"\.ffn\.layers\.0\.0\b", ".ffn.0"),
    (r"\.ffn\.layers\.1\b", ".ffn.2"),
    (r"^feat_adjuster_z", "adjust_template"),
    (r"^feat_adjuster_x", "adjust_search"),
    (r"^neck\.(en|de)coder", r"\1coder"),
    (r"\.(en|de)coder_layers\b", ".layers"),
    (r"\.spatial_position_encoding\b", ".position"),
    (r"\.slf_attn\b", ".self_attn"),
    (r"\.enc_attn\b", ".cross_attn"),
    (r"\.pos_ffn\b", ".ffn"),
    (r"\.ffn\.w_", ".ffn.linear"),
    (r"\.ffn\.layer_norm\b", ".ffn.norm"),
    (r"^head\.fm_ctr\b", "head.points"),
    (r"^head\.si_(fc|conv)\b", r"head.\1.scale"),
    (r"^head\.bi_(fc|conv)\b", r"head.\1.shift"),
    (r"^head\.(fc|conv)_branch_(cls|reg)\b", r"head.\1.\2"),
    (r"^head\.(fc|conv)_branch\b", r"head.\1.trunk"),
    (r"\.conv_identity\b", ".shortcut"),
)


def official_name(name: str) -> str:
    """A parameter's name here, from its name in the official checkpoints."""
    for theirs, ours in RENAMED:
        name = re.sub(theirs, ours, name)
    return name


PAPER = "SparseTT, IJCAI 2022, arXiv 2205.03776"


@register(
    paper=PAPER,
    official_name=official_name,
    settings={
        "otb2015": {"test_lr": 0.626, "window_influence": 0.2549, "penalty_k": 0.053},
        "uav123": {"test_lr": 0.7364, "window_influence": 0.2398, "penalty_k": 0.0734},
    },
    results={
        "GOT-10k AO": "69.3",
        "GOT-10k SR0.5": "79.1",
        "GOT-10k SR0.75": "63.8",
        "LaSOT AUC": "66.0",
        "LaSOT normalised precision": "74.8",
        "LaSOT precision": "70.1",
        "TrackingNet AUC": "81.7",
        "TrackingNet normalised precision": "86.6",
        "TrackingNet precision": "79.5",
        "UAV123 AUC": "70.4",
        "OTB2015 AUC": "70.4",
    },
    source="arXiv 2205.03776 (paper; figures not checked against it)",
)
def sparsett() -> Sparsett:
    """SparseTT: Swin-Tiny to its third stage."""
    return Sparsett(SparsettConfig())


@register(paper=PAPER, official_name=official_name, shipped=True)
def sparsett_tiny() -> Sparsett:
    """SparseTT's design at a size that runs in real time on two CPU cores, on a small convolutional trunk."""
    return Sparsett(
        SparsettConfig(
            template=CropSpec(1.0, 80, 0.5),
            search=CropSpec(2.0, 160, 0.5),
            backbone=TINY,
            dim=64,
            heads=2,
            feedforward=256,
            encoder_layers=1,
            decoder_layers=2,
            dropout=0.0,
            top_k=16,
            correlation=64,
            head_dim=96,
            blocks=2,
            deny_all=True,
            test_lr=0.6,
            window_influence=0.3,
            penalty_k=0.1,
            found_above=0.9,
        )
    )
