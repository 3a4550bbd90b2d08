"""AiATrack: Attention in Attention for Transformer Visual Tracking (Gao et al., ECCV 2022, arXiv 2207.09603).

A CNN and a transformer encoder describe a patch. The search patch then attends to references: the first frame (long
term), and frames of the track that were trusted (short term). All patches are alike in size and content, so what was
computed of a search patch is kept as it is when its frame becomes a reference. Two learned vectors, added to the
values, tell a reference's target from its background.

Attention in attention refines an attention map before its softmax: a correlation that disagrees with those of
similar keys is likely wrong, so a second, inner attention compares the keys by their correlations with all queries.

Two corner maps give the box, which is the next state as it is. A second head predicts its IoU with the target; where
that is high, the frame joins the cache of references. Where paper and official code (Little-Podi/AiATrack) differ,
the code is followed: attention looks at padding too, and only the position encoding knows of it.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.boxes import clip_box, cxcywh_to_xyxy, iou_and_giou, xywh_to_xyxy, xyxy_to_cxcywh, xyxy_to_xywh
from lockon.crops import CropSpec, Window
from lockon.errors import ModelError
from lockon.models import register
from lockon.nn.attention import MultiHeadAttention, start_similar
from lockon.nn.correlation import Correlation, Fine
from lockon.nn.heads import CornerHead, expected_boxes
from lockon.nn.images import Normalise
from lockon.nn.losses import box_loss
from lockon.nn.norm import BatchNorm2d
from lockon.nn.position import sine_position
from lockon.nn.precision import full
from lockon.nn.resnet import TINY, ResNet, ResNetConfig
from lockon.nn.roi import precise_roi_pool
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, Result, State, TrackingModel


@dataclass(frozen=True)
class AiATrackConfig:
    """An AiATrack network, its crop, its online rules and its training targets.

    Attributes:
        crop: of references and search patches alike (section 4.1). Its size fixes the number of tokens, and with it
            the inner attention's weights.
        backbone: the CNN; its stride is the size of a token in pixels.
        dim, heads, feedforward, encoder_layers, decoder_layers, dropout: the transformer (section 3.2).
        correlation: for small networks, channels in which the search patch is compared with the first frame's target
            cell by cell (``nn.correlation``); tokens are then two by two cells of the backbone. 0, as in the paper, for
            no comparison.
        match: channels in which the inner attention compares keys (section 3.1).
        inner: what refines an attention map: "attention" (the paper's), or instead a "convolution" over each
            reference's map; "cascade" refines nothing, but puts two plain attentions in place of one (section 4.3).
        inner_in: where: in the encoder's "self" attention, the decoder's "cross" attention, "both" or "none".
        marks: how values tell the target from its background (section 3.2): by a learned "embedding" of each, by a
            "mask" that leaves the target alone, or by "none".
        short_term: whether the short-term references have an attention "separate" from the first frame's, are "mixed"
            with it in one, or are left out ("none").
        references: short-term references that a search patch attends to, spread evenly over the cache.
        cache: frames kept to choose them from; the first stays, then the oldest makes room.
        accept_above: a frame joins the cache where the IoU head's output, -1 to 1, is above this.
        margin: a tracked box keeps this many pixels inside the frame.
        spread: for small networks, how far a corner is expected from that of the last box, in units of sqrt(w * h)
            (``heads.expected_boxes``); 0, as in the paper, expects nothing.
        found_above: a result is ``found`` where its score, the predicted IoU, is above this.
        head: channels of the corner head's convolutions.
        start_similar: keys start equal to queries, so that attention begins as similarity and matching need not be
            found first; for training from nothing.
        giou_weight, l1_weight, iou_weight: of the loss (section 3.2).
        templates: references of a training sample, the first long-term, the others short-term.
        proposals: boxes per target that the IoU head is trained on.
        spreads: their standard deviations, relative to the target's size; one is drawn for each proposal.
        min_iou, tries, shrink: a proposal below this IoU is drawn again, up to this often in all, each time with its
            deviation multiplied by ``shrink``.
        judge_absent: whether pairs that do not show the target, which the paper does not have, teach the IoU head that
            no box fits.
    """

    crop: CropSpec = CropSpec(5.0, 320)
    backbone: ResNetConfig = field(default_factory=lambda: ResNetConfig(frozen_stages=1))
    dim: int = 256
    heads: int = 4
    feedforward: int = 1024
    encoder_layers: int = 3
    decoder_layers: int = 1
    dropout: float = 0.1
    correlation: int = 0
    match: int = 64
    inner: Literal["attention", "convolution", "cascade"] = "attention"
    inner_in: Literal["both", "self", "cross", "none"] = "both"
    marks: Literal["embedding", "mask", "none"] = "embedding"
    short_term: Literal["separate", "mixed", "none"] = "separate"
    references: int = 3
    cache: int = 100
    accept_above: float = 0.7
    margin: float = 10.0
    spread: float = 0.0
    found_above: float = 0.5
    head: tuple[int, ...] = (256, 128, 64, 32)
    start_similar: bool = False
    giou_weight: float = 2.0
    l1_weight: float = 5.0
    iou_weight: float = 2.0
    templates: int = 2
    proposals: int = 16
    spreads: tuple[float, ...] = (0.03, 0.05, 0.1, 0.2, 0.3)
    min_iou: float = 0.1
    tries: int = 10
    shrink: float = 0.9
    judge_absent: bool = False

    @property
    def coarse(self) -> int:
        """Cells of the backbone along a side of a token."""
        return 2 if self.correlation else 1

    @property
    def stride(self) -> int:
        """Pixels along a side of a token."""
        return self.backbone.stride * self.coarse

    @property
    def grid(self) -> int:
        """Tokens per side of a patch."""
        return self.crop.size // self.stride


class References(NamedTuple):
    """R references of each of B targets: the memory of a target, and with R = 1 what is kept of a frame.

    Attributes:
        x: (B, R, N, C) encoded tokens.
        target: (B, R, N) bool, true in the cells that belong to the target.
        position: (B, R, N, match) position encoding for the inner attention.
        kernels: (B, R, M, ``correlation``) what search cells are compared with: the first frame's, which all references
            hand on; M = 0 without comparison.
    """

    x: Tensor
    target: Tensor
    position: Tensor
    kernels: Tensor

    @staticmethod
    def joined(parts: Sequence[References]) -> References:
        """The references of all parts, in their order."""
        return References(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))


class AiATrackPrediction(NamedTuple):
    """The network's answer for a batch of search patches.

    Attributes:
        boxes: (B, 4) centre and size relative to the search patch (0 to 1); the size may be negative.
        score: (B,) 0 to 1: the predicted IoU of the box with the target.
        iou: (B,) the IoU head's output, trained to be twice the IoU minus one.
        corners: (B, 2, H, W) corner maps before the softmax.
        candidate: what the search patch and its box would be as a reference.
    """

    boxes: Tensor
    score: Tensor
    iou: Tensor
    corners: Tensor
    candidate: References


# Attention in attention (section 3.1)


class InnerAttention(nn.Module):
    """Corrects the correlations of queries and keys: keys are the tokens, their correlations the features.

    References never mix here. The values are the normalised correlations themselves; in place of a shortcut, the
    projection of the output is added to it.
    """

    def __init__(self, tokens: int, match: int, dropout: float) -> None:
        super().__init__()
        self.dropout = dropout
        self.corr_proj = nn.Linear(tokens, match)
        self.q_proj, self.k_proj = nn.Linear(match, match), nn.Linear(match, match)
        self.out_proj = nn.Linear(tokens, tokens)
        self.feat_norm1, self.feat_norm2 = nn.LayerNorm(match), nn.LayerNorm(tokens)
        for linear in (self.q_proj, self.k_proj, self.out_proj):
            nn.init.zeros_(linear.bias)

    def forward(self, scores: Tensor, position: Tensor) -> Tensor:
        """Correlations (B, heads, N, R * N) and positions (B, R, N, match) of the keys to what is to be added."""
        keys = scores.unflatten(3, position.shape[1:3]).permute(0, 1, 3, 4, 2)  # (B, heads, R, N keys, N queries)
        x = self.feat_norm1(self.corr_proj(keys)) + position[:, None]  # (B, heads, R, N, match)
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(
            self.q_proj(x).flatten(0, 1),
            self.k_proj(x).flatten(0, 1),
            self.feat_norm2(keys).flatten(0, 1),
            dropout_p=dropout,
        ).unflatten(0, keys.shape[:2])
        out = F.dropout(out + self.out_proj(out), dropout)
        return out.permute(0, 1, 4, 2, 3).flatten(3)


class InnerConvolution(nn.Module):
    """In place of the inner attention (section 4.3): a convolution sees the keys near a key, not those like it.

    The paper leaves its layers open; these are as wide as the inner attention.
    """

    def __init__(self, tokens: int, match: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(tokens, match, 1), nn.ReLU(), nn.Conv2d(match, match, 3, padding=1), nn.ReLU()
        )
        self.out = nn.Conv2d(match, tokens, 1)

    def forward(self, scores: Tensor, position: Tensor) -> Tensor:
        """As ``InnerAttention``; the position is not needed."""
        batch, heads, queries, _ = scores.shape
        references, side = position.shape[1], int(position.shape[2] ** 0.5)
        keys = scores.unflatten(3, (references, side, side)).transpose(2, 3)  # (B, heads, R, N queries, H, W)
        out = self.out(self.layers(keys.flatten(0, 2)))
        return out.reshape(batch, heads, references, queries, -1).transpose(2, 3).flatten(3)


class RefinedAttention(MultiHeadAttention):
    """Multi-head attention whose map is refined before the softmax."""

    def __init__(self, config: AiATrackConfig) -> None:
        super().__init__(config.dim, config.heads, config.dropout)
        tokens = config.grid**2
        self.inner_attn: nn.Module
        if config.inner == "attention":
            self.inner_attn = InnerAttention(tokens, config.match, config.dropout)
        else:
            self.inner_attn = InnerConvolution(tokens, config.match)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Tensor:  # type: ignore[override]
        """(B, N, C), (B, R * N, C), (B, R * N, C) and (B, R, N, match) to (B, N, C)."""
        q, k, v = self.project(query, key, value)
        weights = F.dropout(self.weigh(q, k, position), self.dropout, self.training)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))

    def weigh(self, q: Tensor, k: Tensor, position: Tensor) -> Tensor:
        """Projected queries and keys, (B, heads, L, C / heads) each, to the attention weights (B, heads, Lq, Lk)."""
        scores = (q / q.shape[-1] ** 0.5) @ k.transpose(2, 3)
        return (scores + self.inner_attn(scores, position)).softmax(-1)


class PlainAttention(nn.Module):
    """One multi-head attention, or a cascade in which the next starts from what the one before has found."""

    def __init__(self, config: AiATrackConfig, count: int) -> None:
        super().__init__()
        shape = (config.dim, config.heads, config.dropout)
        self.cascade = nn.ModuleList(MultiHeadAttention(*shape) for _ in range(count))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Tensor:
        """As ``RefinedAttention``; the position is not needed."""
        found = torch.zeros_like(query)
        for attend in self.cascade:
            found = attend(query + found, key, value)
        return found


def _attention(config: AiATrackConfig, place: Literal["self", "cross"]) -> nn.Module:
    if config.inner_in not in (place, "both"):
        return PlainAttention(config, 1)
    return PlainAttention(config, 2) if config.inner == "cascade" else RefinedAttention(config)


# The network (section 3.2)


class EncoderLayer(nn.Module):
    """Self-attention of a patch and feed-forward, normalised after the sum; positions join queries and keys only."""

    def __init__(self, config: AiATrackConfig) -> None:
        super().__init__()
        dim, feedforward = config.dim, config.feedforward
        self.self_attn = _attention(config, "self")
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, position: Tensor, inner_position: Tensor) -> Tensor:
        """(B, N, C), (B, N, C), (B, N, match) to (B, N, C)."""
        query = x + position
        x = self.norm1(x + self.dropout(self.self_attn(query, query, x, inner_position[:, None])))
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


class DecoderLayer(nn.Module):
    """Cross-attention from the search patch to its references, and feed-forward.

    Only the inner attention knows where the references' tokens are.
    """

    def __init__(self, config: AiATrackConfig) -> None:
        super().__init__()
        dim, feedforward = config.dim, config.feedforward
        self.long_term_attn = _attention(config, "cross")
        self.short_term_attn = _attention(config, "cross") if config.short_term == "separate" else None
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Tensor:
        """(B, N, C), (B, R, N, C), (B, R, N, C), (B, R, N, match) to (B, N, C); the first reference is long-term."""
        references = (key, value, position)
        if self.short_term_attn is None:
            found = self.dropout(_look(self.long_term_attn, x, *references))
        else:
            found = self.dropout(_look(self.long_term_attn, x, *(part[:, :1] for part in references)))
            found = found + self.dropout(_look(self.short_term_attn, x, *(part[:, 1:] for part in references)))
        x = self.norm1(x + found)
        return self.norm2(x + self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x))))))


def _look(attend: nn.Module, x: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Tensor:
    return attend(x, key.flatten(1, 2), value.flatten(1, 2), position)


class IoUHead(nn.Module):
    """Predicts how well boxes fit, from the features inside them (section 3.2; IoU-Net, Jiang et al., ECCV 2018)."""

    def __init__(self, channels: int, size: int = 4) -> None:
        super().__init__()
        self.size = size
        self.conv1, self.conv2, self.conv3 = (
            nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), BatchNorm2d(channels), nn.ReLU())
            for _ in range(3)
        )
        layers = {"linear": nn.Linear(channels * size**2, channels), "bn": nn.BatchNorm1d(channels), "relu": nn.ReLU()}
        self.fc = nn.Sequential(OrderedDict(layers))
        self.iou_predictor = nn.Linear(channels, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                nn.init.uniform_(module.weight)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(B, C, H, W) and (B, P, 4) x1, y1, x2, y2 relative to the map to (B, P), twice the IoU minus one."""
        x = self.conv3(self.conv2(self.conv1(features)))
        pooled = precise_roi_pool(x, boxes * features.shape[-1], self.size)  # (B, P, C, size, size)
        return full(self.iou_predictor(self.fc(pooled.flatten(2).flatten(0, 1)))).view(boxes.shape[:2])


class AiATrack(TrackingModel):
    """The AiATrack network with its online rules and loss."""

    def __init__(self, config: AiATrackConfig) -> None:
        super().__init__()
        self.config = config
        self.template_crop = self.search_crop = config.crop
        self.normalise = Normalise()
        self.backbone = ResNet(config.backbone)
        channels = config.backbone.channels
        self.bottleneck = nn.Conv2d(channels, config.dim, config.coarse, config.coarse)
        self.correlation, self.fine = None, None
        if config.correlation:
            cells = config.crop.size // config.backbone.stride
            if cells % 4:
                raise ModelError(f"correlation takes the middle half of a patch: {cells} cells have none")
            self.correlation = Correlation(channels, cells // 2, config.correlation, config.correlation)
            self.fine = Fine(channels, config.correlation, config.dim, config.coarse)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.norm = nn.LayerNorm(config.dim)
        for parameter in (*self.encoder.parameters(), *self.decoder.parameters()):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if config.start_similar:
            start_similar(self)
        if config.marks == "embedding":
            self.foreground_embed, self.background_embed = nn.Embedding(1, config.dim), nn.Embedding(1, config.dim)
        self.box_head = CornerHead(config.correlation or config.dim, config.head)
        self.iou_head = IoUHead(config.correlation or config.dim)

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor) -> References:
        """Patches (B, 3, S, S), 0 to 255, their padding (B, S, S) and targets (B, 4), x, y, w, h relative to the
        patch, to one reference each."""
        features = self.backbone(self.normalise(images))
        x, position = self.encode(features, padding)
        target = target_map(boxes, self.config.grid).flatten(1)
        kernels = x[:, :0]
        if self.correlation is not None:  # the target is in the middle, and half the patch is enough around it
            kernels = self.correlation.kernels(*middle(features, boxes))
        return References(x[:, None], target[:, None], position[:, None], kernels[:, None])

    def remember(self, memory: References | None, template: References) -> References:
        """The first frame, in the place of all references until there are others."""
        return self.choose([template])

    def choose(self, cache: Sequence[References]) -> References:
        """The memory: of the frames in the cache the first, then some evenly spaced, the newest last (section 3.3)."""
        count = 0 if self.config.short_term == "none" else self.config.references
        spread = [(len(cache) - 1) * place // count for place in range(1, count + 1)]
        return References.joined([cache[0], *(cache[index] for index in spread)])

    def forward(self, images: Tensor, padding: Tensor, memory: References) -> AiATrackPrediction:
        """Search patches (B, 3, S, S), 0 to 255, their padding (B, S, S) and their references to boxes."""
        found, x, position = self.find(images, padding, memory)
        corners, maps = self.box_head(found)
        iou = self.iou_head(found, corners[:, None])[:, 0]
        target = target_map(xyxy_to_xywh(corners), self.config.grid).flatten(1)
        candidate = References(x[:, None], target[:, None], position[:, None], memory.kernels[:, :1])
        return AiATrackPrediction(xyxy_to_cxcywh(corners), ((iou + 1) / 2).clamp(0, 1), iou, maps, candidate)

    def find(self, images: Tensor, padding: Tensor, memory: References) -> tuple[Tensor, Tensor, Tensor]:
        """Search patches and their references, as in ``forward``, to features for the heads (B, C, H, W), and the
        results of ``encode``."""
        features = self.backbone(self.normalise(images))
        x, position = self.encode(features, padding)
        if self.correlation is None or self.fine is None:
            return self.attend(x, memory), x, position
        matched = self.correlation(features, memory.kernels[:, 0])
        asked = x + self.fine.enter(matched).flatten(2).transpose(1, 2)
        return self.fine(self.attend(asked, memory), features, matched), x, position

    def encode(self, features: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's features of a patch (B, channels, H, W), by themselves: encoded tokens (B, N, C), and the
        inner attention's positions (B, N, match)."""
        x = self.bottleneck(features)  # (B, C, h, w)
        cells = self.cells(padding)
        position, inner = (
            sine_position(cells, channels).flatten(2).transpose(1, 2)
            for channels in (self.config.dim, self.config.match)
        )
        x = x.flatten(2).transpose(1, 2)
        for layer in self.encoder:
            x = layer(x, position, inner)
        return x, inner

    def cells(self, padding: Tensor) -> Tensor:
        """The padding of a patch (B, S, S) as its tokens see it, (B, H, W)."""
        stride = self.config.stride
        return padding[:, ::stride, ::stride]

    def attend(self, x: Tensor, memory: References) -> Tensor:
        """Search tokens (B, N, C) and their references to features for the heads, (B, C, H, W)."""
        tokens = self.decode(x, memory.x, self.mark(memory), memory.position)
        return tokens.transpose(1, 2).unflatten(2, (self.config.grid, self.config.grid))

    def decode(self, x: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Tensor:
        """All layers of the decoder: (B, N, C), (B, R, N, C), (B, R, N, C), (B, R, N, match) to (B, N, C)."""
        for layer in self.decoder:
            x = layer(x, key, value, position)
        return self.norm(x)

    def mark(self, memory: References) -> Tensor:
        """The values of the references' tokens, (B, R, N, C)."""
        if self.config.marks == "none":
            return memory.x
        if self.config.marks == "mask":
            return memory.x * memory.target[..., None]
        return memory.x + self.embed(memory.target)

    def embed(self, target: Tensor) -> Tensor:
        """Target maps (...) to the embedding of their cells (..., C)."""
        return torch.where(target[..., None], self.foreground_embed.weight[0], self.background_embed.weight[0])

    def resolve(
        self,
        prediction: AiATrackPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The predicted box, clipped to the frame, is the result and the next state; a frame that is trusted becomes
        a reference (section 3.3)."""
        c = self.config
        if c.spread:
            last = torch.tensor([window.to_patch(state.box) for window, state in zip(windows, states, strict=True)])
            corners = expected_boxes(prediction.corners, last, c.spread)
            target = target_map(xyxy_to_xywh(corners), c.grid).flatten(1)[:, None]
            candidate = prediction.candidate._replace(target=target.to(prediction.candidate.target.device))
            prediction = prediction._replace(boxes=xyxy_to_cxcywh(corners), candidate=candidate)
        out = []
        for i, (window, state) in enumerate(zip(windows, states, strict=True)):
            box = clip_box(window.to_frame(prediction.boxes[i].tolist()), *frame_size, c.margin)
            score = prediction.score[i].item()
            following = replace(state, box=box, frame=state.frame + 1)
            if prediction.iou[i].item() > c.accept_above:
                # a copy, lest one frame keep the whole batch alive
                accepted = References(*(part[i : i + 1].clone() for part in prediction.candidate))
                cache = state.past or (References(*(part[:, :1] for part in state.memory)),)
                if len(cache) >= c.cache:
                    cache = (cache[0], *cache[2:])
                cache = (*cache, accepted)
                following = replace(following, past=cache, memory=self.choose(cache))
            out.append((following, Result(box, score, score > c.found_above)))
        return out

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The paper's loss (section 3.2), the IoU head on proposals drawn around each target."""
        return self.loss_on(batch, draw_proposals(batch.boxes, self.config), divisors.get("present"))

    def loss_on(self, batch: PairBatch, proposals: Proposals, count: Tensor | None = None) -> dict[str, Tensor]:
        """The loss with given proposals for the IoU head.

        The first of a target's templates is its long-term reference, the others are short-term ones; where there is
        but one, it is both. Pairs that do not show the target have no part in the box's loss.
        """
        templates = [self.memorize(*batch.template(index)) for index in range(batch.templates.shape[1])]
        short = [] if self.config.short_term == "none" else templates[1:] or templates
        memory = References.joined([templates[0], *short])
        features, _, _ = self.find(batch.search, batch.search_padding, memory)
        corners = self.box_head(features).boxes
        iou = self.iou_head(features, xywh_to_xyxy(proposals.boxes))
        here = batch.present
        judged = here | self.config.judge_absent
        quality = proposals.quality.where(here[:, None], -1.0)
        return tracking_loss(corners[here], batch.boxes[here], iou[judged], quality[judged], self.config, count)


def middle(features: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The middle half of a map (B, C, S, S), and boxes (B, 4), x, y, w, h relative to the map, relative to that."""
    side = features.shape[-1] // 4
    part = features[..., side : 3 * side, side : 3 * side]
    return part, torch.cat([2 * boxes[:, :2] - 0.5, 2 * boxes[:, 2:]], dim=1)


def target_map(boxes: Tensor, grid: int) -> Tensor:
    """The cells of a patch that count as its target (section 3.2).

    Position and size of the box are rounded each on its own. As in the official code, which slices, a box that ends
    before the patch begins has its end counted from the far side.

    Args:
        boxes: (B, 4) x, y, w, h relative to the patch.

    Returns:
        (B, grid, grid) bool.
    """
    rounded = (boxes * grid).round()
    start, end = rounded[:, :2, None], (rounded[:, :2] + rounded[:, 2:])[..., None]  # (B, xy, 1)
    end = torch.where(end < 0, end + grid, end)
    cell = torch.arange(grid, device=boxes.device)
    inside = (cell >= start) & (cell < end)  # (B, xy, grid)
    return inside[:, 1, :, None] & inside[:, 0, None, :]


# Training (section 3.2)


class Proposals(NamedTuple):
    """Boxes that the IoU head learns to judge.

    Attributes:
        boxes: (B, P, 4) x, y, w, h relative to the search patch.
        quality: (B, P) twice the IoU with the target minus one.
    """

    boxes: Tensor
    quality: Tensor


def draw_proposals(boxes: Tensor, config: AiATrackConfig) -> Proposals:
    """Random boxes around the targets (B, 4), x, y, w, h."""
    shape = (len(boxes), config.proposals)
    spreads = torch.tensor(config.spreads, device=boxes.device)
    spread = spreads[torch.randint(len(spreads), shape, device=boxes.device)]
    normals = torch.randn(config.tries, *shape, 4, device=boxes.device)
    return proposals_from(boxes, spread, normals, config.min_iou, config.shrink)


def proposals_from(boxes: Tensor, spread: Tensor, normals: Tensor, min_iou: float, shrink: float) -> Proposals:
    """Proposals from given random numbers.

    Args:
        boxes: (B, 4) x, y, w, h of the targets.
        spread: (B, P) standard deviations for the first try, in units of sqrt(w * h); each next try has ``shrink``
            times the one before.
        normals: (tries, B, P, 4) standard normal numbers that move centre x, centre y, w and h.
        min_iou: the first try with an IoU above this is taken, or the last.
    """
    truth = xywh_to_xyxy(boxes)[:, None]  # (B, 1, 4)
    size = boxes[:, 2:].prod(-1).clamp(min=0).sqrt()[:, None]  # (B, 1)
    shrunk = shrink ** torch.arange(len(normals), device=boxes.device)[:, None, None]
    tried = cxcywh_to_xyxy(xyxy_to_cxcywh(truth) + normals * (spread * size * shrunk)[..., None])
    iou = iou_and_giou(tried, truth)[0]  # (tries, B, P)
    near = iou > min_iou
    near[-1] = True
    taken = near.int().argmax(0, keepdim=True)  # the first that is true
    corners = tried.gather(0, taken[..., None].expand(-1, -1, -1, 4))[0]
    return Proposals(xyxy_to_xywh(corners), 2 * iou.gather(0, taken)[0] - 1)


def tracking_loss(
    corners: Tensor, boxes: Tensor, iou: Tensor, quality: Tensor, config: AiATrackConfig, count: Tensor | None = None
) -> dict[str, Tensor]:
    """The box loss (``nn.losses.box_loss``) and the squared error of the IoU head.

    Args:
        corners: (B, 4) predicted x1, y1, x2, y2.
        boxes: (B, 4) x, y, w, h of the targets, of which the part in the patch counts.
        iou, quality: (B, P) the IoU head's output and what it should be.
        count: what sums over targets are divided by, in place of B; where absence is judged, the IoU head's over all
            pairs are not.
    """
    losses = box_loss(corners, xywh_to_xyxy(boxes).clamp(0, 1), config.giou_weight, config.l1_weight, count)
    each = F.mse_loss(iou, quality, reduction="none").mean(1)
    losses["quality"] = each.sum() / (max(1, len(each)) if count is None or config.judge_absent else count)
    return losses | {"total": losses["box"] + config.iou_weight * losses["quality"]}


def official_name(name: str) -> str:
    """A parameter's or module's name here, from its name in the official checkpoints."""
    name = name.replace("backbone.0.body.", "backbone.", 1).replace("transformer.decoder.norm.", "norm.", 1)
    name = re.sub(r"^transformer\.(encoder|decoder)\.layers\.", r"\1.", name)
    name = re.sub(r"\.corr_attn\.([qk]_proj)_(weight|bias)$", r".\1.\2", name).replace(".corr_attn.", ".", 1)
    return re.sub(r"^box_head\.conv(\d)_(tl|br)\.", lambda m: f"box_head.{m[2]}.{int(m[1]) - 1}.", name)


PAPER = "AiATrack, ECCV 2022, arXiv 2207.09603"


@register(
    paper=PAPER,
    official_name=official_name,
    settings={
        "got10k": {"cache": 80, "references": 4},
        "lasot": {"references": 4, "accept_above": 0.8},
        "lasot_ext": {"references": 6, "accept_above": 0.8},
        "trackingnet": {"references": 6},
        "nfs": {"cache": 80, "accept_above": 0.6},
        "otb2015": {},
        "uav123": {},
        "vot2020": {},
    },
    results={
        "LaSOT AUC": "69.0",
        "LaSOT normalised precision": "79.4",
        "LaSOT precision": "73.8",
        "LaSOT extension AUC": "47.7",
        "LaSOT extension normalised precision": "55.6",
        "LaSOT extension precision": "55.4",
        "TrackingNet AUC": "82.7",
        "TrackingNet normalised precision": "87.8",
        "TrackingNet precision": "80.4",
        "GOT-10k AO": "69.6",
        "GOT-10k SR0.75": "63.2",
        "GOT-10k SR0.5": "80.0",
        "NfS AUC": "67.9",
        "OTB2015 AUC": "69.6",
        "UAV123 AUC": "70.6",
    },
    source="README of Little-Podi/AiATrack; on GOT-10k with weights trained on GOT-10k alone",
)
def aiatrack() -> AiATrack:
    """AiATrack: ResNet-50 to its third stage, three encoder layers, one decoder layer."""
    return AiATrack(AiATrackConfig())


@register(paper=PAPER, official_name=official_name, shipped=True)
def aiatrack_tiny() -> AiATrack:
    """AiATrack's design at a size that runs in real time on two CPU cores."""
    return AiATrack(
        AiATrackConfig(
            crop=CropSpec(4.0, 160),
            backbone=TINY,
            dim=128,
            correlation=64,
            feedforward=384,
            encoder_layers=1,
            dropout=0.0,
            match=32,
            head=(64, 48, 24),
            start_similar=True,
            judge_absent=True,
            spread=0.2,
            found_above=0.8,
        )
    )
