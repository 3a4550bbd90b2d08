"""STARK: Learning Spatio-Temporal Transformer for Visual Tracking (Yan et al., ICCV 2021, arXiv 2103.17154).

A CNN describes template and search patch; a transformer encoder mixes the tokens of both; a decoder with one query
asks where the target is; the answer, compared with every search token, weights the search features, and two corner
maps give the box. No window, no penalty, no smoothing: the predicted box is the next state.

STARK-S has one template; STARK-ST a second one, taken anew from the video where a score head trusts the box.
STARK-Lightning is the authors' later network for speed: a RepVGG trunk, one attention layer from search to all tokens.
Where paper and official code (researchmm/Stark) differ, the code is followed, as in the depth of the corner head
(``nn.heads.CornerHead``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.boxes import clip_box, cxcywh_to_xyxy, xywh_to_xyxy, xyxy_to_cxcywh
from lockon.crops import CropSpec, Window
from lockon.models import register
from lockon.nn.attention import MultiHeadAttention, start_similar
from lockon.nn.correlation import Correlation, Fine
from lockon.nn.heads import MLP, CornerHead, Corners, expected_boxes, soft_argmax
from lockon.nn.images import Normalise
from lockon.nn.losses import box_loss
from lockon.nn.position import LearnedPosition, sine_position
from lockon.nn.repvgg import RepVGG, RepVGGBlock, RepVGGConfig
from lockon.nn.resnet import TINY, ResNet, ResNetConfig
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, Result, State, TrackingModel


@dataclass(frozen=True)
class StarkConfig:
    """A STARK network, its crops, its online rules and the weights of its loss.

    Attributes:
        template, search: crops (section 4.1).
        backbone: the CNN; its stride is the size of a token in pixels. As in the official code, stem and layer1 of
            the pretrained ones do not train.
        dim, heads, feedforward, encoder_layers, decoder_layers, dropout: the transformer (section 3.1).
        correlation: for small networks, channels in which search and template are compared cell by cell before the
            transformer (``nn.correlation``); its tokens are then two by two cells of the backbone. 0, as in the
            paper, for no comparison.
        head: channels of the corner head's convolutions.
        score_head: whether a score head reads the decoder's output (section 3.2) and says if the target is there.
        templates: 1, or 2 with a dynamic one (section 3.2), which every ``update_interval`` frames is taken anew if
            the score is above ``update_above``.
        margin: a tracked box keeps this many pixels inside the frame.
        spread: for small networks, how far a corner is expected from that of the last box, in units of sqrt(w * h)
            (``heads.expected_boxes``); 0, as in the paper, expects nothing.
        found_above: a result is ``found`` where its score is above this.
        start_similar: the encoder's keys start equal to its queries, so that attention begins as similarity and
            matching need not be found first; for training from nothing.
        giou_weight, l1_weight: of the box loss (section 3.1).
        score_weight: of the score head's cross-entropy. The official training has it 0 in the first stage; in the
            second, it is 1, the box loss has no weight, and the score head alone trains (section 3.2).
        corner_weight, similarity_weight: of two more terms, not in the paper, that make training from scratch on
            little data possible; 0 leaves them out.
    """

    template: CropSpec = CropSpec(2.0, 128)
    search: CropSpec = CropSpec(5.0, 320)
    backbone: ResNetConfig = field(default_factory=lambda: ResNetConfig(frozen_stages=1))
    dim: int = 256
    heads: int = 8
    feedforward: int = 2048
    encoder_layers: int = 6
    decoder_layers: int = 6
    dropout: float = 0.1
    correlation: int = 0
    head: tuple[int, ...] = (256, 128, 64, 32)
    score_head: bool = False
    templates: int = 1
    update_interval: int = 200
    update_above: float = 0.5
    margin: float = 10.0
    spread: float = 0.0
    found_above: float = -1.0
    start_similar: bool = False
    giou_weight: float = 2.0
    l1_weight: float = 5.0
    corner_weight: float = 0.0
    similarity_weight: float = 0.0
    score_weight: float = 0.0

    @property
    def coarse(self) -> int:
        """Cells of the backbone along a side of a token."""
        return 2 if self.correlation else 1

    @property
    def stride(self) -> int:
        """Pixels along a side of a token."""
        return self.backbone.stride * self.coarse


class Tokens(NamedTuple):
    """A patch as the transformer sees it: the memory of a template, or of several.

    Attributes:
        x: (B, N, C) features.
        position: (B, N, C) position encoding.
        padding: (B, N) bool, true = outside the frame.
        kernels: (B, M, ``correlation``) what search cells are compared with, of the first template; else M = 0.
    """

    x: Tensor
    position: Tensor
    padding: Tensor
    kernels: Tensor


class StarkPrediction(NamedTuple):
    """The network's answer for a batch of search patches.

    Attributes:
        boxes: (B, 4) centre and size relative to the search patch (0 to 1); the size may be negative.
        score: (B,) 0 to 1: the score head's probability that the target is in view; without a score head, how
            concentrated the two corner maps are (uncalibrated).
        score_logit: (B,) the score head's output before the sigmoid; zeros without one.
        corners: (B, 2, H, W) corner maps before the softmax.
        similarity: (B, h, w) product of the decoder's output with every search token.
    """

    boxes: Tensor
    score: Tensor
    score_logit: Tensor
    corners: Tensor
    similarity: Tensor


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, normalised after the sum; positions join queries and keys only."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """(B, N, C), (B, N, C), (B, N) to (B, N, C)."""
        query = x + position
        x = self.norm1(x + self.dropout(self.self_attn(query, query, x, padding)))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, cross-attention to the memory, feed-forward."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = MultiHeadAttention(dim, heads, dropout)
        self.multihead_attn = MultiHeadAttention(dim, heads, dropout)
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, query: Tensor, memory: Tensor, position: Tensor, padding: Tensor) -> Tensor:
        """(B, Q, C) content and query embedding, (B, N, C) memory and positions, (B, N), to (B, Q, C)."""
        x = self.norm1(x + self.dropout(self.self_attn(x + query, x + query, x)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x + query, memory + position, memory, padding)))
        return self.norm3(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class Stack(nn.Module):
    """Layers under the official names."""

    norm: nn.LayerNorm

    def __init__(self, layers: Iterable[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)


class Transformer(nn.Module):
    """Encoder over all tokens, decoder with learned queries."""

    def __init__(self, config: StarkConfig) -> None:
        super().__init__()
        shape = (config.dim, config.heads, config.feedforward, config.dropout)
        self.encoder = Stack(EncoderLayer(*shape) for _ in range(config.encoder_layers))
        self.decoder = Stack(DecoderLayer(*shape) for _ in range(config.decoder_layers))
        self.decoder.norm = nn.LayerNorm(config.dim)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if config.start_similar:
            start_similar(self.encoder)

    def forward(self, x: Tensor, position: Tensor, padding: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, C), (B, N, C), (B, N) and queries (Q, C) to the decoder's output (B, Q, C) and the
        encoder's memory (B, N, C)."""
        for layer in self.encoder.layers:
            x = layer(x, position, padding)
        query = query.expand(x.shape[0], -1, -1)
        out = torch.zeros_like(query)
        for layer in self.decoder.layers:
            out = layer(out, query, x, position, padding)
        return self.decoder.norm(out), x


class Stark(TrackingModel):
    """The STARK-S and STARK-ST network with its online rules and loss."""

    def __init__(self, config: StarkConfig) -> None:
        super().__init__()
        self.config = config
        self.template_crop, self.search_crop = config.template, config.search
        self.normalise = Normalise()
        self.backbone = ResNet(config.backbone)
        channels = config.backbone.channels
        self.bottleneck = nn.Conv2d(channels, config.dim, config.coarse, config.coarse)
        self.correlation, self.fine = None, None
        if config.correlation:
            side = config.template.size // config.backbone.stride
            self.correlation = Correlation(channels, side, config.correlation, config.correlation)
            self.fine = Fine(channels, config.correlation, config.dim, config.coarse)
        self.transformer = Transformer(config)
        self.query_embed = nn.Embedding(1, config.dim)
        self.box_head = CornerHead(config.correlation or config.dim, config.head)
        self.cls_head = MLP(config.dim, config.dim, config.dim, 1) if config.score_head else None

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor | None = None) -> Tokens:
        """Template patches (B, 3, S, S), 0 to 255, and their padding (B, S, S) to tokens; where the target is (B, 4)
        matters to the comparison alone."""
        features = self.backbone(self.normalise(images))  # (B, C, H, W)
        tokens = self._tokens(self.bottleneck(features), padding)
        if self.correlation is None:
            return tokens
        assert boxes is not None
        return tokens._replace(kernels=self.correlation.kernels(features, boxes))

    def remember(self, memory: Tokens | None, template: Tokens) -> Tokens:
        """The first template for good, and with ``templates=2`` the newest behind it."""
        if self.config.templates == 1:
            return template
        tokens = template.x.shape[1]
        if memory is None:
            return joined(template, template)
        x, position, padding = (part[:, :tokens] for part in memory[:3])
        return joined(Tokens(x, position, padding, memory.kernels), template)

    def forward(self, images: Tensor, padding: Tensor, memory: Tokens) -> StarkPrediction:
        """Search patches (B, 3, S, S), 0 to 255, their padding (B, S, S) and their templates' tokens to boxes."""
        features = self.backbone(self.normalise(images))  # (B, C, H, W)
        x, matched = self.bottleneck(features), None
        if self.correlation is not None and self.fine is not None:
            matched = self.correlation(features, memory.kernels)
            x = x + self.fine.enter(matched)
        search = self._tokens(x, padding)
        both = joined(memory, search)
        hs, encoded = self.transformer(both.x, both.position, both.padding, self.query_embed.weight)
        return self.predict(hs, encoded[:, -search.x.shape[1] :], features, matched)

    def predict(
        self, hs: Tensor, encoded: Tensor, features: Tensor | None = None, matched: Tensor | None = None
    ) -> StarkPrediction:
        """The heads: the decoder's output (B, 1, C) and the encoded search tokens (B, h * w, C) to a prediction; with
        comparison also the backbone's features (B, C, H, W) and what it has found in them."""
        side = int(encoded.shape[1] ** 0.5)
        similarity = encoded @ hs.transpose(1, 2)  # (B, H * W, 1)
        attended = (encoded * similarity).transpose(1, 2).unflatten(2, (side, side))  # (B, C, h, w)
        if self.fine is not None and features is not None and matched is not None:
            attended = self.fine(attended, features, matched)
        corners = self.box_head(attended)
        if self.cls_head is None:
            logit = hs.new_zeros(hs.shape[0])
            score = _concentration(corners.scores)
        else:
            logit = self.cls_head(hs)[:, 0, 0].float()
            score = logit.sigmoid()
        return StarkPrediction(
            xyxy_to_cxcywh(corners.boxes),
            score,
            logit,
            corners.scores,
            similarity[..., 0].unflatten(1, (side, side)),
        )

    def resolve(
        self,
        prediction: StarkPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The box is followed, and a second template asked for when one is due (section 3.2)."""
        c = self.config
        if c.spread:
            last = torch.tensor([window.to_patch(state.box) for window, state in zip(windows, states, strict=True)])
            corners = expected_boxes(prediction.corners, last, c.spread)
            prediction = prediction._replace(boxes=xyxy_to_cxcywh(corners))
        out = []
        for state, result in follow_box(prediction, windows, states, frame_size, c.margin, c.found_above):
            due = c.templates > 1 and state.frame % c.update_interval == 0 and result.score > c.update_above
            out.append((replace(state, refresh=due), result))
        return out

    def counts(self, batch: PairBatch) -> dict[str, Tensor]:
        """Pairs that show the target; with ``similarity_weight`` also cells inside and outside of it."""
        if not self.config.similarity_weight:
            return super().counts(batch)
        cells = self.config.search.size // self.config.stride
        inside = target_cells(batch.boxes, batch.present, cells)
        return super().counts(batch) | {"inside": inside.sum(), "outside": (1 - inside).sum()}

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The box loss on the pairs that show the target, the score's on all, and the configured extra terms."""
        c, count = self.config, divisors.get("present")
        memory = None
        for index in range(c.templates):
            memory = self.remember(memory, self.memorize(*batch.template(index)))
        assert memory is not None
        out = self(batch.search, batch.search_padding, memory)
        truth = xywh_to_xyxy(batch.boxes).clamp(0, 1)[batch.present]
        losses = box_loss(cxcywh_to_xyxy(out.boxes[batch.present]), truth, c.giou_weight, c.l1_weight, count)
        total = losses["box"]
        if c.corner_weight:
            losses["corner"] = corner_loss(out.corners[batch.present], truth, count)
            total = total + c.corner_weight * losses["corner"]
        if c.similarity_weight:
            logits = out.similarity / c.dim**0.5
            losses["similarity"] = similarity_loss(logits, batch.boxes, batch.present, divisors)
            total = total + c.similarity_weight * losses["similarity"]
        if c.score_weight:
            losses["score"] = F.binary_cross_entropy_with_logits(out.score_logit, batch.present.float())
            total = total + c.score_weight * losses["score"]
        return losses | {"total": total}

    def _tokens(self, x: Tensor, padding: Tensor) -> Tokens:
        stride = self.config.stride
        padding = padding[:, ::stride, ::stride]
        return as_tokens(x, sine_position(padding, x.shape[1]), padding)


def as_tokens(x: Tensor, position: Tensor, padding: Tensor) -> Tokens:
    """Maps (B, C, h, w), (B, C, h, w) and (B, h, w) to tokens, row by row."""
    tokens = x.flatten(2).transpose(1, 2)
    return Tokens(tokens, position.flatten(2).transpose(1, 2), padding.flatten(1), tokens[:, :0])


def joined(first: Tokens, second: Tokens) -> Tokens:
    """The tokens of both, one after another, with the kernels of the first."""
    x, position, padding = (torch.cat(pair, dim=1) for pair in zip(first[:3], second[:3], strict=True))
    return Tokens(x, position, padding, first.kernels)


def follow_box(
    prediction: StarkPrediction,
    windows: Sequence[Window],
    states: Sequence[State],
    frame_size: tuple[int, int],
    margin: float,
    found_above: float,
) -> list[tuple[State, Result]]:
    """The predicted box, clipped to the frame, is the result and the next state (section 3.1)."""
    out = []
    for box, score, window, state in zip(*prediction[:2], windows, states, strict=True):
        clipped = clip_box(window.to_frame(box.tolist()), *frame_size, margin)
        result = Result(clipped, score.item(), score.item() > found_above)
        out.append((replace(state, box=clipped, frame=state.frame + 1), result))
    return out


def _concentration(scores: Tensor) -> Tensor:
    """(B, 2, H, W) corner maps to (B,): the largest probability mass of two by two cells, of the less sure corner."""
    p = scores.flatten(2).float().softmax(-1).unflatten(-1, scores.shape[-2:])
    return 4 * F.avg_pool2d(p, 2, stride=1).flatten(2).amax(-1).amin(-1)


def corner_loss(scores: Tensor, truth: Tensor, count: Tensor | None = None) -> Tensor:
    """Cross-entropy of the corner maps with the corner spread over its four nearest cells.

    The soft-argmax alone tells a map its mean, not its shape; this term makes it peak, which is what speeds up
    training from scratch.

    Args:
        scores: (N, 2, H, W) before the softmax.
        truth: (N, 4) x1, y1, x2, y2 relative to the map (0 to 1).
        count: what the sum over targets is divided by, in place of N.
    """
    size = scores.shape[-1]
    place = (truth.unflatten(1, (2, 2)) * size).clamp(0, size - 1)  # (N, corner, xy) in cells
    cells = torch.arange(size, device=place.device)
    near = (1 - (place[..., None] - cells).abs()).clamp(min=0)  # (N, corner, xy, size)
    target = near[:, :, 1, :, None] * near[:, :, 0, None, :]  # (N, corner, H, W)
    logs = scores.flatten(2).float().log_softmax(-1).unflatten(-1, (size, size))
    return -(target * logs).sum() / (2 * (max(1, len(truth)) if count is None else count))


def target_cells(boxes: Tensor, present: Tensor, size: int) -> Tensor:
    """(B, size, size): 1 in the cells whose centre lies in a box (B, 4), x, y, w, h relative to the map; none where
    ``present`` (B,) is false."""
    centres = (torch.arange(size, device=boxes.device) + 0.5) / size
    low, high = boxes[:, :2, None], (boxes[:, :2] + boxes[:, 2:])[..., None]
    inside = (centres > low) & (centres < high)  # (B, xy, size)
    return (inside[:, 1, :, None] & inside[:, 0, None, :] & present[:, None, None]).float()


def similarity_loss(logits: Tensor, boxes: Tensor, present: Tensor, divisors: Divisors = NO_DIVISORS) -> Tensor:
    """Binary cross-entropy of the similarity map (B, H, W) with ``target_cells``, halves weighted alike; ``divisors``
    may have the numbers of cells "inside" and "outside"."""
    target = target_cells(boxes, present, logits.shape[-1])
    each = F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none")
    positive = divisors.get("inside", target.sum().clamp(min=1))
    negative = divisors.get("outside", (1 - target).sum().clamp(min=1))
    return 0.5 * ((each * target).sum() / positive + (each * (1 - target)).sum() / negative)


# STARK-Lightning


@dataclass(frozen=True)
class LightningConfig:
    """A STARK-Lightning network (of the official repository, not in the paper), its crops and its loss.

    Attributes:
        template, search: crops.
        backbone: RepVGG to stride 16; the official one keeps its first stage as it came.
        dim, heads, feedforward, dropout: the one attention layer.
        head: RepVGG blocks of the corner head.
        margin: a tracked box keeps this many pixels inside the frame.
        found_above: a result is ``found`` where its score is above this.
        giou_weight, l1_weight: of the box loss.
    """

    template: CropSpec = CropSpec(2.0, 128)
    search: CropSpec = CropSpec(5.0, 320)
    backbone: RepVGGConfig = field(
        default_factory=lambda: RepVGGConfig(layers=(2, 4, 4), frozen_norm=True, frozen_stages=0)
    )
    dim: int = 128
    heads: int = 8
    feedforward: int = 1024
    dropout: float = 0.1
    head: int = 2
    margin: float = 10.0
    found_above: float = -1.0
    giou_weight: float = 2.0
    l1_weight: float = 5.0


class SearchAttention(EncoderLayer):
    """The search tokens attend to all tokens; unlike in ``EncoderLayer``, the positions stay in what they become."""

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(dim, heads, feedforward, dropout)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, search: Tokens, memory: Tokens) -> Tensor:  # type: ignore[override]
        """Search and template tokens to (B, N, C), N of the search."""
        x, position, padding, _ = joined(memory, search)
        query = search.x + search.position
        y = self.norm1(query + self.dropout(self.self_attn(query, x + position, x, padding)))
        return self.norm2(y + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(y))))))


class PixelHead(nn.Module):
    """Both corner maps from one stack of convolutions; a cell stands for its middle, not its top-left corner."""

    def __init__(self, dim: int, blocks: int) -> None:
        super().__init__()
        self.conv_tower = nn.Sequential(
            *(RepVGGBlock(dim, dim) for _ in range(blocks)), nn.Conv2d(dim, 2, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Corners:
        """(B, C, H, W) features to the corners."""
        scores = self.conv_tower(x)  # (B, 2, H, W)
        return Corners(soft_argmax(scores, offset=0.5).flatten(1), scores)


class StarkLightning(TrackingModel):
    """The STARK-Lightning network; ``nn.repvgg.fold`` makes it faster once it is trained."""

    def __init__(self, config: LightningConfig) -> None:
        super().__init__()
        self.config = config
        self.template_crop, self.search_crop = config.template, config.search
        stride = config.backbone.stride
        self.normalise = Normalise()
        self.backbone = RepVGG(config.backbone)
        self.bottleneck = nn.Conv2d(config.backbone.channels, config.dim, 1)
        self.encoder = SearchAttention(config.dim, config.heads, config.feedforward, config.dropout)
        self.box_head = PixelHead(config.dim, config.head)
        self.pos_emb_z0 = LearnedPosition(config.template.size // stride, config.dim)
        self.pos_emb_x = LearnedPosition(config.search.size // stride, config.dim)

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor | None = None) -> Tokens:
        """Template patches (B, 3, S, S), 0 to 255, and their padding (B, S, S) to tokens."""
        return self._embed(images, padding, self.pos_emb_z0)

    def forward(self, images: Tensor, padding: Tensor, memory: Tokens) -> StarkPrediction:
        """Search patches (B, 3, S, S), 0 to 255, their padding (B, S, S) and their templates' tokens to boxes."""
        encoded = self.encoder(self._embed(images, padding, self.pos_emb_x), memory)  # (B, H * W, C)
        side = int(encoded.shape[1] ** 0.5)
        corners = self.box_head(encoded.transpose(1, 2).unflatten(2, (side, side)))
        nothing = torch.zeros_like(corners.scores[:, 0])
        score = _concentration(corners.scores)
        return StarkPrediction(xyxy_to_cxcywh(corners.boxes), score, torch.zeros_like(score), corners.scores, nothing)

    def resolve(
        self,
        prediction: StarkPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The box is followed."""
        return follow_box(prediction, windows, states, frame_size, self.config.margin, self.config.found_above)

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The box loss on the pairs that show the target."""
        out = self(batch.search, batch.search_padding, self.memorize(*batch.template(0)))
        truth = xywh_to_xyxy(batch.boxes).clamp(0, 1)[batch.present]
        boxes = cxcywh_to_xyxy(out.boxes[batch.present])
        losses = box_loss(boxes, truth, self.config.giou_weight, self.config.l1_weight, divisors.get("present"))
        return losses | {"total": losses["box"]}

    def _embed(self, images: Tensor, padding: Tensor, position: LearnedPosition) -> Tokens:
        x = self.bottleneck(self.backbone(self.normalise(images)))  # (B, C, h, w)
        stride = self.config.backbone.stride
        return as_tokens(x, position().expand(len(x), -1, -1, -1), padding[:, ::stride, ::stride])


# Names


def official_name(name: str) -> str:
    """A parameter's name here, from its name in the official checkpoints."""
    name = name.replace("backbone.0.body.", "backbone.", 1)
    name = re.sub(r"^box_head\.conv(\d)_(tl|br)\.", lambda m: f"box_head.{m[2]}.{int(m[1]) - 1}.", name)
    return re.sub(r"^cls_head\.layers\.(\d)\.", lambda m: f"cls_head.{2 * int(m[1])}.", name)


def official_lightning_name(name: str) -> str:
    """As ``official_name``, for STARK-Lightning."""
    return name.replace("backbone.body.", "backbone.", 1).replace("transformer.encoder.", "encoder.", 1)


PAPER = "STARK, ICCV 2021, arXiv 2103.17154"
SOURCE = "README of researchmm/Stark"
SOURCE_GOT = f"{SOURCE}; GOT-10k by models trained on GOT-10k alone, VOT2020 with Alpha-Refine masks"


def _figures(*values: str) -> dict[str, str]:
    names = ("LaSOT AUC", "GOT-10k AO", "TrackingNet AUC", "VOT2020 EAO", "VOT2020-LT F")
    return dict(zip(names, values, strict=False))


def _intervals(**frames: int) -> dict[str, dict[str, int]]:
    """Frames between updates of the second template, by benchmark."""
    return {benchmark: {"update_interval": count} for benchmark, count in frames.items()}


@register(
    paper=PAPER,
    official_name=official_name,
    results=_figures("65.8", "67.2", "80.3", "0.462"),
    source=SOURCE_GOT,
)
def stark_s50() -> Stark:
    """STARK-S50: ResNet-50 to its third stage, one template."""
    return Stark(StarkConfig())


@register(
    paper=PAPER,
    official_name=official_name,
    settings=_intervals(got10k=200, lasot=200, trackingnet=25, vot2020=10, vot2020_lt=200),
    results=_figures("66.4", "68.0", "81.3", "0.505", "70.2"),
    source=SOURCE_GOT,
)
def stark_st50() -> Stark:
    """STARK-ST50: ResNet-50, a dynamic template and a score head."""
    return Stark(StarkConfig(templates=2, score_head=True, found_above=0.5))


@register(
    paper=PAPER,
    official_name=official_name,
    settings=_intervals(got10k=200, lasot=200, trackingnet=25, vot2020=10, vot2020_lt=100),
    results=_figures("67.1", "68.8", "82.0", "0.497", "70.1"),
    source=SOURCE_GOT,
)
def stark_st101() -> Stark:
    """STARK-ST101: ST50 with ResNet-101."""
    config = StarkConfig(templates=2, score_head=True, found_above=0.5)
    return Stark(replace(config, backbone=replace(config.backbone, layers=(3, 4, 23))))


@register(
    paper="STARK-Lightning, researchmm/Stark, 2022",
    official_name=official_lightning_name,
    results={"LaSOT AUC": "58.2"},
    source=SOURCE,
)
def stark_lightning() -> StarkLightning:
    """STARK-Lightning: RepVGG-A0 to its third stage, one attention layer."""
    return StarkLightning(LightningConfig())


@register(paper=PAPER, official_name=official_name, shipped=True)
def stark_tiny() -> Stark:
    """STARK's design at a size that runs in real time on two CPU cores, with a score head."""
    return Stark(
        StarkConfig(
            template=CropSpec(2.0, 80),
            search=CropSpec(4.0, 160),
            backbone=TINY,
            dim=128,
            correlation=64,
            heads=4,
            feedforward=512,
            encoder_layers=2,
            decoder_layers=2,
            dropout=0.0,
            head=(64, 64, 32, 16),
            score_head=True,
            templates=2,
            update_interval=10,
            update_above=0.9,
            spread=0.2,
            found_above=0.8,
            start_similar=True,
            corner_weight=0.5,
            similarity_weight=1.0,
            score_weight=0.5,
        )
    )
