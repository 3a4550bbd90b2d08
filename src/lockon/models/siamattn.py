"""SiamAttn: Deformable Siamese Attention Networks for Visual Object Tracking (Yu et al., CVPR 2020, arXiv 2004.06711).

SiamRPN++ with attention between its branches: features of template and search patch attend to themselves and to each
other's channels, a deformable convolution follows, and correlating the two gives scores and boxes at five anchors per
cell on three levels. The best box, after penalties and a window, is refined by a head that pools its region, and
another head draws the target's mask. The template never changes, and the mask never feeds back into the track.

Where paper and official code (msight-tech/research-siamattn) differ, the code is followed; its training script lacks
parts (several modules are not in its optimiser), of which the loss here is what they were meant to be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.boxes import Polygon, cxcywh_to_xyxy, iou_and_giou, xywh_to_xyxy, xyxy_to_cxcywh
from lockon.crops import CropSpec, Window
from lockon.masks import mask_in_frame, outline
from lockon.models import register
from lockon.nn.anchors import cosine_window, decode, encode, make_anchors, move_boxes
from lockon.nn.attention import steep_softmax
from lockon.nn.correlation import Correlation
from lockon.nn.deform import DeformConv, DeformRoIPool
from lockon.nn.images import Normalise
from lockon.nn.norm import BatchNorm2d
from lockon.nn.resnet import TINY, ResNet, ResNetConfig
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, Result, State, TrackingModel

SPREAD = (0.1, 0.1, 0.2, 0.2)  # what the box head's four outputs are multiplied by


@dataclass(frozen=True)
class SiamAttnConfig:
    """A SiamAttn network, its crops, its online rules and its training.

    Attributes:
        template, search: crops; both show the target at the same scale.
        backbone: the CNN; correlation works on its last ``levels`` stages, masks on its stem and first stage too,
            which keep their published weights.
        dim: channels of every level.
        cells: rows and columns in the middle of the template's map that stand for the target.
        stride, ratios, scale: anchors: pixels per cell, height to width, side in cells.
        key_dim: channels of queries and keys of the spatial attention.
        normalised: pictures are RGB of zero mean, not BGR from 0 to 255.
        correlation: for small networks, channels in which search and template are also compared cell by cell
            (``nn.correlation``); what that finds is added to what the levels' correlations find. 0, as in the paper,
            for no comparison.
        self_attention, cross_attention: the parts of the attention (section 3.2); without both, features pass through.
        convolution: what follows the attention: the deformable convolution, a plain one, or none.
        refine: whether the box is refined (section 3.3); without, the step is SiamRPN++'s.
        segment: whether a mask is drawn. These two can also be switched off in a model that has the heads.
        box_cells, mask_cells, mask_convs, mask_zoom: bins on a side of the two heads' regions, convolutions of the
            mask head, and mask pixels per bin.
        hidden, box_hidden: widths of the layers that find the bins' offsets, and of the box head's.
        penalty: how strongly a change of size or shape lowers a box's rank.
        window: share of the cosine window in the rank.
        rate: how fast the size follows.
        smallest: a tracked box keeps at least this width and height in pixels.
        mask_above: probability above which a pixel belongs to the target.
        outlined_above: area in pixels above which the largest piece of the mask gives the rotated box.
        found_above: a result is ``found`` where its score is above this.
        cls_weight, loc_weight, box_weight, mask_weight: of the losses (section 3.4).
        positive_above, negative_below, positives, negatives: overlaps from which an anchor is an example, and how many
            of each are drawn; ``strangers``: negatives of a pair that does not show the target.
        rois, roi_above: boxes per pair that train the heads, and their least overlap with the target.
        hardest: share of the mask's pixels, those with the largest loss, that count.
    """

    template: CropSpec = CropSpec(1.0, 127, 0.5, "mean", "rounded")
    search: CropSpec = CropSpec(255 / 127, 255, 0.5, "mean", "rounded")
    backbone: ResNetConfig = ResNetConfig(
        (3, 4, 6, 3),
        (64, 128, 256, 512),
        (1, 2, 1, 1),
        (1, 1, 2, 4),
        frozen_norm=False,
        frozen_stages=1,
        style="siamrpn",
    )
    levels: int = 3
    dim: int = 256
    cells: int = 7
    stride: int = 8
    ratios: tuple[float, ...] = (0.33, 0.5, 1, 2, 3)
    scale: float = 8
    key_dim: int = 32
    normalised: bool = False
    correlation: int = 0
    self_attention: bool = True
    cross_attention: bool = True
    convolution: Literal["deformable", "plain", "none"] = "deformable"
    refine: bool = True
    segment: bool = True
    box_cells: int = 4
    mask_cells: int = 16
    mask_convs: int = 4
    mask_zoom: int = 4
    hidden: int = 1024
    box_hidden: int = 512
    penalty: float = 0.1
    window: float = 0.25
    rate: float = 0.45
    smallest: float = 10.0
    mask_above: float = 0.2
    outlined_above: float = 100.0
    found_above: float = 0.5
    cls_weight: float = 5.0
    loc_weight: float = 1.2
    box_weight: float = 1.0
    mask_weight: float = 0.5
    positive_above: float = 0.6
    negative_below: float = 0.3
    positives: int = 16
    negatives: int = 48
    strangers: int = 16
    rois: int = 15
    roi_above: float = 0.5
    hardest: float = 0.7


class Template(NamedTuple):
    """The memory of a target.

    Attributes:
        levels: (B, levels, C, cells, cells) features before the attention.
        kernels: (B, M, ``correlation``) what search cells are compared with; M = 0 without comparison.
    """

    levels: Tensor
    kernels: Tensor


class Features(NamedTuple):
    """What the two heads pool from: (B, C, h, w), or None where there is no such head."""

    box: Tensor | None
    mask: Tensor | None


class SiamAttnPrediction(NamedTuple):
    """The network's answer for a batch of search patches; A anchors at each cell.

    Attributes:
        logits: (B, 2 A, H, W) of background for every anchor, then of the target.
        deltas: (B, 4 A, H, W) x of every anchor, then y, w, h: shifts in units of the anchor's size, logarithms of
            factors.
        features: for ``refine`` and ``segment``.
    """

    logits: Tensor
    deltas: Tensor
    features: Features


# The network


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """(B, C, h, w) at the resolution of another map; where stages dilate, as in the paper, all have the same."""
    size = like.shape[2:]
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


def _sum(maps: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, maps)


class ConvNorm(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False)
        self.bn = BatchNorm2d(out)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, out, H, W)."""
        return F.relu(self.bn(self.conv(x)))


class SpatialAttention(nn.Module):
    """Every place looks at all others; what it sees is added, at first with no weight."""

    def __init__(self, dim: int, key_dim: int) -> None:
        super().__init__()
        self.query_conv, self.key_conv = nn.Conv2d(dim, key_dim, 1), nn.Conv2d(dim, key_dim, 1)
        self.value_conv = nn.Conv2d(dim, dim, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        for conv in (self.query_conv, self.key_conv, self.value_conv):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        query, key, value = (conv(x).flatten(2) for conv in (self.query_conv, self.key_conv, self.value_conv))
        attention = steep_softmax(query.transpose(1, 2) @ key)  # (B, HW, HW), not scaled
        return self.gamma * (value @ attention.transpose(1, 2)).view_as(x) + x


def channel_attention(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, C) weights with which a channel looks at all channels, most at those least like it."""
    flat = x.flatten(2)
    return steep_softmax(-(flat @ flat.transpose(1, 2)))


class ChannelAttention(nn.Module):
    """Adds a mixture of channels, at first with no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, attention: Tensor) -> Tensor:
        """(B, C, H, W) and (B, C, C), of these features or of the other branch's, to (B, C, H, W)."""
        return self.gamma * (attention @ x.flatten(2)).view_as(x) + x


class SiameseAttention(nn.Module):
    """Deformable Siamese attention, level by level, the same for template and search patch (section 3.2).

    Each attention brings its input along, so that features enter the sum once for every part that is on.
    """

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        c = config
        self.cross = c.cross_attention
        levels = range(c.levels)
        self.pams = nn.ModuleList(SpatialAttention(c.dim, c.key_dim) for _ in levels if c.self_attention)
        self.cam_uses = nn.ModuleList(ChannelAttention() for _ in levels if c.self_attention or c.cross_attention)
        if c.convolution == "deformable":
            self.deform_convs = nn.ModuleList(DeformConv(c.dim, c.dim) for _ in levels)
        else:
            plain = c.convolution == "plain"
            self.deform_convs = nn.ModuleList(
                nn.Conv2d(c.dim, c.dim, 3, padding=1, bias=False) if plain else nn.Identity() for _ in levels
            )

    def forward(self, template: Sequence[Tensor], search: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """The levels (B, C, h, w) of template and search patch to the same."""
        pairs = [self._level(i, z, x) for i, (z, x) in enumerate(zip(template, search, strict=True))]
        return [z for z, _ in pairs], [x for _, x in pairs]

    def _level(self, i: int, z: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        of_z, of_x = channel_attention(z), channel_attention(x)
        return self._enhance(i, z, of_z, of_x), self._enhance(i, x, of_x, of_z)

    def _enhance(self, i: int, x: Tensor, own: Tensor, other: Tensor) -> Tensor:
        terms = [self.pams[i](x), self.cam_uses[i](x, own)] if self.pams else []
        if self.cross:
            terms.append(self.cam_uses[i](x, other))
        return self.deform_convs[i](_sum(terms) if terms else x)


def correlate(search: Tensor, kernel: Tensor) -> Tensor:
    """Each channel of each sample with its own kernel: (B, C, H, W), (B, C, h, w) to (B, C, H - h + 1, W - w + 1)."""
    batch, channels = kernel.shape[:2]
    found = F.conv2d(search.flatten(0, 1)[None], kernel.flatten(0, 1)[:, None], groups=batch * channels)
    return found[0].unflatten(0, (batch, channels))


class DepthwiseCorrelation(nn.Module):
    """Both branches adapted, correlated channel by channel, and read out (SiamRPN++)."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()

        def unit(kernel: int) -> list[nn.Module]:
            return [nn.Conv2d(dim, dim, kernel, bias=False), BatchNorm2d(dim), nn.ReLU()]

        self.conv_kernel, self.conv_search = nn.Sequential(*unit(3)), nn.Sequential(*unit(3))
        self.head = nn.Sequential(*unit(1), nn.Conv2d(dim, out, 1))

    def forward(self, template: Tensor, search: Tensor, matched: Tensor | None = None) -> Tensor:
        """(B, C, h, w), (B, C, H, W) to (B, out, H - h + 1, W - w + 1); ``matched``, (B, C) and the same size, is added
        in front of the readout."""
        found = correlate(self.conv_search(search), self.conv_kernel(template))
        return self.head(found if matched is None else found + matched)


def _middle(x: Tensor, size: int) -> Tensor:
    """The middle of a square map (B, C, H, H), (B, C, size, size); between cells, where it lies there."""
    if (x.shape[-1] - size) % 2:
        x = F.avg_pool2d(x, 2, stride=1)
    first = (x.shape[-1] - size) // 2
    return x[..., first : first + size, first : first + size]


class LevelHead(nn.Module):
    """Scores and boxes of one level."""

    def __init__(self, dim: int, anchors: int) -> None:
        super().__init__()
        self.cls, self.loc = DepthwiseCorrelation(dim, 2 * anchors), DepthwiseCorrelation(dim, 4 * anchors)

    def forward(self, template: Tensor, search: Tensor, matched: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, C, h, w), (B, C, H, W) and, with comparison, (B, C, H', W') to (B, 2 A, H', W') logits and (B, 4 A, H',
        W') deltas."""
        return self.cls(template, search, matched), self.loc(template, search, matched)


class RegionProposals(nn.Module):
    """Scores and boxes, the levels mixed with learned weights."""

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        heads = [LevelHead(config.dim, len(config.ratios)) for _ in range(config.levels)]
        self.levels = nn.ModuleList(heads)
        self.cls_weight = nn.Parameter(torch.ones(config.levels))
        self.loc_weight = nn.Parameter(torch.ones(config.levels))

    def forward(
        self, template: Sequence[Tensor], search: Sequence[Tensor], matched: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Enhanced levels, and what comparison found in the whole search patch, to (B, 2 A, H, W) logits and (B, 4 A,
        H, W) deltas."""
        if matched is not None:
            matched = _middle(matched, search[0].shape[-1] - template[0].shape[-1] + 1)
        pairs = [head(z, x, matched) for head, z, x in zip(self.levels, template, search, strict=True)]
        logits, deltas = (torch.stack(maps, -1) for maps in zip(*pairs, strict=True))
        return logits @ self.cls_weight.softmax(0), deltas @ self.loc_weight.softmax(0)


class FeatureFusion(nn.Module):
    """The features that the two heads pool from (section 3.3)."""

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        c = config
        self.refine, self.segment = c.refine, c.segment
        if c.refine:
            self.xcorr = nn.ModuleList(DepthwiseCorrelation(c.dim, c.dim) for _ in range(c.levels))
            self.convs = nn.ModuleList(ConvNorm(c.dim, c.dim, 1) for _ in range(c.levels))
        if c.segment:
            channels = [*c.backbone.outputs[:2], *[c.dim] * c.levels]
            self.lateral_convs = nn.ModuleList(ConvNorm(n, c.dim, 1) for n in channels)

    def box(self, template: Sequence[Tensor], search: Sequence[Tensor]) -> Tensor:
        """Enhanced levels to (B, C, H, W): where and how the template fits."""
        pairs = zip(self.xcorr, self.convs, template, search, strict=True)
        return _sum(conv(xcorr(z, x)) for xcorr, conv, z, x in pairs)

    def mask(self, search: Sequence[Tensor]) -> Tensor:
        """Stem, first stage and enhanced levels of the search patch to (B, C, H, W) at the first stage's size."""
        size = search[1].shape[2:]
        resized = [F.interpolate(x, size, mode="bilinear", align_corners=True) for x in search]
        return _sum(conv(x) for conv, x in zip(self.lateral_convs, resized, strict=True))


class BoxHead(nn.Module):
    """From a region to the move of its box."""

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        c = config
        self.roi_pool_b = DeformRoIPool(c.dim, c.box_cells, hidden=c.hidden)
        one, two = nn.Linear(c.dim * c.box_cells**2, c.box_hidden), nn.Linear(c.box_hidden, c.box_hidden)
        self.tail_det = nn.Sequential(one, nn.ReLU(), two, nn.ReLU())
        self.tail_det_box = nn.Linear(c.box_hidden, 4)
        for layer in (one, two, self.tail_det_box):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.normal_(self.tail_det_box.weight, std=0.001)

    def forward(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """(B, C, H, W), (R, 5) and cells per pixel to (R, 4), to be multiplied by ``SPREAD``."""
        return self.tail_det_box(self.tail_det(self.roi_pool_b(features, rois, scale).flatten(1)))


class MaskHead(nn.Module):
    """From a region to the mask in it."""

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        c = config
        self.roi_pool_m = DeformRoIPool(c.dim, c.mask_cells, hidden=c.hidden)
        self.convs = nn.ModuleList(ConvNorm(c.dim, c.dim, 3) for _ in range(c.mask_convs))
        self.upsample = nn.ConvTranspose2d(c.dim, c.dim, c.mask_zoom, c.mask_zoom)
        self.conv_logits = nn.Conv2d(c.dim, 1, 1)
        nn.init.kaiming_normal_(self.conv_logits.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.conv_logits.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, rois: Tensor, scale: float) -> Tensor:
        """(B, C, H, W), (R, 5) and cells per pixel to (R, 1, M, M) logits."""
        x = self.roi_pool_m(features, rois, scale)
        for conv in self.convs:
            x = conv(x)
        return self.conv_logits(F.relu(self.upsample(x)))


class SiamAttn(TrackingModel):
    """The SiamAttn network with its online rules and loss."""

    def __init__(self, config: SiamAttnConfig) -> None:
        super().__init__()
        c = self.config = config
        self.template_crop, self.search_crop, self.segments = c.template, c.search, c.segment
        self.normalise = Normalise() if c.normalised else None
        self.backbone = ResNet(c.backbone)
        self.neck = nn.ModuleList(
            nn.Sequential(nn.Conv2d(n, c.dim, 1, bias=False), BatchNorm2d(c.dim))
            for n in c.backbone.outputs[-c.levels :]
        )
        self.feature_enhance = SiameseAttention(c)
        self.rpn_head = RegionProposals(c)
        self.feature_fusion = FeatureFusion(c)
        self.bbox_head = BoxHead(c) if c.refine else None
        self.mask_head = MaskHead(c) if c.segment else None
        self.correlation = None
        if c.correlation:
            channels = sum(c.backbone.outputs[-c.levels :])
            self.correlation = Correlation(channels, c.template.size // c.stride, c.correlation, c.dim)

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor | None = None) -> Template:
        """Template patches (B, 3, S, S), RGB, 0 to 255, to the features in their middle."""
        stages = self._stages(images)
        levels = torch.stack(self._levels(stages), 1)
        rows, columns = ((n - self.config.cells) // 2 for n in levels.shape[3:])
        levels = levels[..., rows : rows + self.config.cells, columns : columns + self.config.cells]
        if self.correlation is None:
            return Template(levels, levels[:, :0])
        assert boxes is not None
        return Template(levels, self.correlation.kernels(self._together(stages), boxes))

    def forward(self, images: Tensor, padding: Tensor, memory: Template) -> SiamAttnPrediction:
        """Search patches (B, 3, S, S), RGB, 0 to 255, and their templates to maps of scores and boxes."""
        c = self.config
        stages = self._stages(images)
        z, x = self.feature_enhance(memory.levels.unbind(1), self._levels(stages))
        matched = None if self.correlation is None else self.correlation(self._together(stages), memory.kernels)
        box = self.feature_fusion.box(z, x) if c.refine else None
        mask = self.feature_fusion.mask([*stages[:2], *x]) if c.segment else None
        logits, deltas = self.rpn_head(z, x, matched)
        return SiamAttnPrediction(logits, deltas, Features(box, mask))

    def refine(self, features: Features, rois: Tensor) -> Tensor:
        """Regions (R, 5), index into the batch and corners in search pixels, to the moves of their boxes (R, 4)."""
        assert features.box is not None
        assert self.bbox_head is not None
        moves = self.bbox_head(features.box, rois.to(features.box), features.box.shape[-1] / self.search_crop.size)
        return moves * moves.new_tensor(SPREAD)

    def segment(self, features: Features, rois: Tensor) -> Tensor:
        """Regions (R, 5) as for ``refine`` to the logits of the masks that fill them, (R, M, M)."""
        assert features.mask is not None
        assert self.mask_head is not None
        scale = features.mask.shape[-1] / self.search_crop.size
        return self.mask_head(features.mask, rois.to(features.mask), scale)[:, 0]

    def _stages(self, images: Tensor) -> list[Tensor]:
        """What stem and stages of the backbone say; the paper's network knows BGR, not normalised."""
        if self.normalise is not None:
            return list(self.backbone.outputs(self.normalise(images)))
        return list(self.backbone.outputs(images.flip(1).to(self.backbone.conv1.weight.dtype)))

    def _levels(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """The last stages, each with ``dim`` channels, at the resolution of the first of them."""
        levels = [neck(x) for neck, x in zip(self.neck, stages[-self.config.levels :], strict=True)]
        return [_resized(x, levels[0]) for x in levels]

    def _together(self, stages: Sequence[Tensor]) -> Tensor:
        """The last stages, one channel after another, at the resolution of the first of them."""
        last = stages[-self.config.levels :]
        return torch.cat([_resized(x, last[0]) for x in last], 1)

    def _anchors(self, size: int, centre: float = 0.0) -> Tensor:
        return make_anchors(self.config.stride, self.config.ratios, self.config.scale, size, centre)

    # The online rules

    def resolve(
        self,
        prediction: SiamAttnPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The best box, refined; its centre and, following slowly, its size are the next state (section 4.1).

        The score is the probability of the target at the chosen anchor. With ``segment``, a mask is drawn in the
        region of the final box, and ``polygon`` is the smallest rotated box around its largest piece.
        """
        c = self.config
        sight = look(windows, states, c.search)
        ranking = self.rank(prediction, sight)
        best = ranking.ranks.argmax(1)
        chosen = torch.arange(len(best)), best
        boxes, scores = ranking.boxes[chosen], ranking.scores[chosen]
        rate = (ranking.penalties[chosen] * scores * c.rate)[:, None]
        if c.refine:
            boxes = clip_proposals(shifted(boxes, c.search.size / 2), c)
            inner = torch.tensor([0.5, 0.5, -0.5, -0.5])
            moves = self.refine(prediction.features, with_index(cxcywh_to_xyxy(boxes) + inner)).cpu()
            boxes = move_boxes(boxes, moves.double())
            centres = boxes[:, :2] / sight.scale + sight.origin
        else:
            centres = boxes[:, :2] / sight.scale + sight.centres
        sizes = (1 - rate) * sight.sizes + rate * boxes[:, 2:] / sight.scale
        limits = torch.tensor(frame_size, dtype=torch.float64) - 1
        centres = centres.minimum(limits).clamp(min=0)
        sizes = sizes.minimum(limits).clamp(min=c.smallest)
        final = torch.cat([centres - sizes / 2, sizes], 1).tolist()
        drawn = self._draw(prediction, sight, centres, sizes, frame_size)
        out = []
        for (x, y, w, h), score, state, (mask, polygon) in zip(final, scores.tolist(), states, drawn, strict=True):
            result = Result((x, y, w, h), score, score > c.found_above, mask, polygon)
            out.append((replace(state, box=result.box, frame=state.frame + 1), result))
        return out

    def rank(self, prediction: SiamAttnPrediction, sight: Sight) -> Ranking:
        """Every anchor's box in the search patch, and what speaks for it: N = A x H x W of them, in this order."""
        c = self.config
        size = prediction.logits.shape[-1]
        anchors = self._anchors(size)
        boxes = decode(prediction.deltas.double(), anchors)
        scores = prediction.logits.unflatten(1, (2, -1)).softmax(1)[:, 1].flatten(1).double()
        before = sight.sizes * sight.scale
        growth = change(extents(boxes[..., 2:]) / extents(before)[:, None])
        stretch = change((before[:, 0] / before[:, 1])[:, None] / (boxes[..., 2] / boxes[..., 3]))
        penalties = (-c.penalty * (growth * stretch - 1)).exp()
        window = cosine_window(size).repeat(len(c.ratios))
        return Ranking(boxes, scores, penalties, (1 - c.window) * penalties * scores + c.window * window)

    def _draw(
        self, prediction: SiamAttnPrediction, sight: Sight, centres: Tensor, sizes: Tensor, frame_size: tuple[int, int]
    ) -> Iterator[tuple[np.ndarray | None, Polygon | None]]:
        """The targets' masks in the frame and the rotated boxes around them."""
        c = self.config
        if not c.segment:
            yield from [(None, None)] * len(centres)
            return
        low, extent = (centres - sight.origin - sizes / 2) * sight.scale, sizes * sight.scale
        logits = self.segment(prediction.features, with_index(torch.cat([low, low + extent], 1)))
        # the crop's side is a whole number of pixels, so that its true zoom is not quite the scale
        places = torch.cat([low * sight.zoom + sight.origin, extent * sight.zoom], 1).tolist()
        boxes = torch.cat([centres - sizes / 2, sizes], 1).tolist()
        for probability, place, box in zip(logits.float().sigmoid().cpu().numpy(), places, boxes, strict=True):
            mask = mask_in_frame(probability, place, frame_size, c.mask_above)
            yield mask, outline(mask, box, c.outlined_above)

    # Training

    def counts(self, batch: PairBatch) -> dict[str, Tensor]:
        """Pairs that show the target, those with a mask, and anchors that are examples of each kind."""
        labels = self.anchor_targets(self._truth(batch), batch.present, self.map_size(), choose_first).labels
        examples = {"positive": (labels == 1).sum(), "negative": (labels == 0).sum()}
        return super().counts(batch) | {"masked": _masked(batch).sum()} | examples

    def map_size(self) -> int:
        """Cells along a side of the maps, behind stem, pooling, second stage and correlation with the template."""
        side = (self.search_crop.size - 7) // 2 + 1
        side = (side - 1) // 2 + 1
        return (side - 3) // 2 + 1 - self.config.cells + 1

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        """The paper's losses (section 3.4); masks count where the batch has them, boxes where the target is shown."""
        prediction = self(batch.search, batch.search_padding, self.memorize(*batch.template(0)))
        truth = self._truth(batch)
        with torch.no_grad():
            anchors = self.anchor_targets(truth, batch.present, prediction.logits.shape[-1])
            masks = batch.masks if batch.masks.numel() else batch.search_padding.new_zeros(1).expand(len(truth), 1, 1)
            rois = self.roi_targets(prediction.deltas, truth, masks)
        return self.losses(prediction, anchors, rois, batch.present, _masked(batch), divisors)

    def _truth(self, batch: PairBatch) -> Tensor:
        """The boxes as x1, y1, x2, y2 in search pixels, the middle of pixel 0 at 0."""
        return xywh_to_xyxy(batch.boxes) * self.config.search.size - 0.5

    def losses(
        self,
        prediction: SiamAttnPrediction,
        anchors: AnchorTargets,
        rois: RoITargets,
        boxed: Tensor,
        masked: Tensor,
        divisors: Divisors = NO_DIVISORS,
    ) -> dict[str, Tensor]:
        """The losses of a prediction; ``boxed`` and ``masked`` (B,) bool say which pairs train the two heads."""
        c = self.config
        losses = {
            "cls": cls_loss(prediction.logits, anchors.labels, divisors),
            "loc": loc_loss(prediction.deltas, anchors),
            "box": prediction.deltas.new_zeros(()),
            "mask": prediction.deltas.new_zeros(()),
        }
        count = rois.rois.shape[1]
        flat = with_index(rois.rois.flatten(0, 1), count)
        if c.refine and boxed.any():
            moves = self.refine(prediction.features, flat) / flat.new_tensor(SPREAD)
            losses["box"] = box_loss(moves.unflatten(0, (-1, count)), rois.moves, boxed, divisors.get("present"))
        if c.segment and masked.any():
            logits = self.segment(prediction.features, flat).unflatten(0, (-1, count))
            losses["mask"] = mask_loss(logits, rois.masks, masked, c.hardest, divisors.get("masked"))
        weights = {"cls": c.cls_weight, "loc": c.loc_weight, "box": c.box_weight, "mask": c.mask_weight}
        total = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        return losses | {"total": total}

    def anchor_targets(self, truth: Tensor, present: Tensor, size: int, choose: Choose | None = None) -> AnchorTargets:
        """What the maps should say.

        Args:
            truth: (B, 4) x1, y1, x2, y2 in search pixels, the middle of pixel 0 at 0.
            present: (B,) bool; where false, anchors near the given place are examples of what the target is not.
            size: of the maps.
            choose: which of the candidates are examples, given how many there are and how many are wanted.
        """
        c = self.config
        choose = choose or choose_some
        anchors = self._anchors(size, c.search.size // 2).to(truth)  # (N, 4)
        overlaps = iou_and_giou(cxcywh_to_xyxy(anchors), truth[:, None])[0] * present[:, None]
        deltas = encode(xyxy_to_cxcywh(truth)[:, None], anchors) * present[:, None, None]
        labels = torch.full_like(overlaps, -1, dtype=torch.int8)
        weights = torch.zeros_like(overlaps)
        for row, label, weight, box, shown in zip(overlaps, labels, weights, truth, present.tolist(), strict=True):
            if shown:
                examples = _chosen(row > c.positive_above, c.positives, choose)
                others = _chosen(row < c.negative_below, c.negatives, choose)
                label[examples] = 1
                weight[examples] = 1 / (len(examples) + 1e-6)
            else:
                others = _chosen(near_cells(box, c, size).repeat(len(c.ratios)), c.strangers, choose)
            label[others] = 0
        shape = (len(c.ratios), size, size)
        return AnchorTargets(
            labels.unflatten(1, shape),
            deltas.transpose(1, 2).unflatten(2, shape),
            weights.unflatten(1, shape),
            overlaps.unflatten(1, shape),
        )

    def roi_targets(
        self, deltas: Tensor, truth: Tensor, masks: Tensor, choose: Callable[[int], Tensor] | None = None
    ) -> RoITargets:
        """Boxes that train the two heads, drawn from those that the maps give and the true one, and what to answer.

        Args:
            deltas: (B, 4 A, H, W).
            truth: (B, 4) x1, y1, x2, y2 in search pixels, the middle of pixel 0 at 0.
            masks: (B, S, S) the target's pixels, or anything where masks are not trained.
            choose: which boxes are taken, given how many overlap enough; each pair as many.
        """
        c = self.config
        boxes = torch.cat([self.proposals(deltas), truth[:, None]], 1)
        overlaps = iou_and_giou(boxes, truth[:, None])[0]
        picked = []
        for box, overlap in zip(boxes, overlaps, strict=True):
            near = (overlap >= c.roi_above).nonzero()[:, 0]
            near = near if len(near) else near.new_tensor([len(box) - 1])
            choice = choose_all(len(near), c.rois) if choose is None else choose(len(near))
            picked.append(box[near[choice.to(near.device)]])
        rois = torch.stack(picked)
        moves = encode(xyxy_to_cxcywh(truth)[:, None], xyxy_to_cxcywh(rois)) / rois.new_tensor(SPREAD)
        return RoITargets(rois, moves, mask_targets(masks, rois, c.mask_cells * c.mask_zoom, c.search.size))

    def proposals(self, deltas: Tensor) -> Tensor:
        """(B, 4 A, H, W) to every anchor's box, (B, N, 4) x1, y1, x2, y2 in search pixels, no gradient."""
        c = self.config
        boxes = decode(deltas.detach(), self._anchors(deltas.shape[-1]).to(deltas))
        return cxcywh_to_xyxy(clip_proposals(shifted(boxes, c.search.size // 2), c))


# Boxes in the search patch


def shifted(boxes: Tensor, by: float) -> Tensor:
    """Centre and size (..., 4), the centre moved right and down."""
    return torch.cat([boxes[..., :2] + by, boxes[..., 2:]], -1)


def clip_proposals(boxes: Tensor, config: SiamAttnConfig) -> Tensor:
    """Centre and size (..., 4) in search pixels: the centre in the patch, the size neither tiny nor beyond it."""
    last = config.search.size - 1
    return torch.cat([boxes[..., :2].clamp(0, last), boxes[..., 2:].clamp(config.smallest, last)], -1)


def with_index(boxes: Tensor, each: int = 1) -> Tensor:
    """Boxes (R, 4) to regions (R, 5) float32: ``each`` of them in a row belong to one sample of the batch."""
    index = torch.arange(len(boxes), device=boxes.device) // each
    return torch.cat([index[:, None].float(), boxes.float()], 1)


# What the online rules look at


class Sight(NamedTuple):
    """How the search patches see their targets; (B, 1) or (B, 2), float64.

    Attributes:
        centres, sizes: of the targets' last boxes in the frame.
        scale: patch pixels per frame pixel by the target's size.
        zoom: frame pixels per patch pixel by the crop, whose side is rounded.
        origin: upper left of the patch in the frame.
    """

    centres: Tensor
    sizes: Tensor
    scale: Tensor
    zoom: Tensor
    origin: Tensor


class Ranking(NamedTuple):
    """Boxes (B, N, 4), centre and size in search pixels from the patch's middle; (B, N) probabilities, penalties (1:
    none) and ranks. All float64."""

    boxes: Tensor
    scores: Tensor
    penalties: Tensor
    ranks: Tensor


def look(windows: Sequence[Window], states: Sequence[State], spec: CropSpec) -> Sight:
    """How the windows, cut by ``spec`` around the states' boxes, see them."""
    boxes = torch.tensor([state.box for state in states], dtype=torch.float64)
    sizes = boxes[:, 2:]
    centres = boxes[:, :2] + sizes / 2
    spans = [spec.factor * spec.extent(*size) for size in sizes.tolist()]
    scale = spec.size / torch.tensor(spans, dtype=torch.float64)[:, None]
    zoom = torch.tensor([[1 / window.scale] for window in windows], dtype=torch.float64)
    return Sight(centres, sizes, scale, zoom, centres - zoom * spec.size / 2)


def extents(sizes: Tensor) -> Tensor:
    """(..., 2) widths and heights to (...) sides of the squares that boxes with their context would fill."""
    return (sizes + sizes.sum(-1, keepdim=True) / 2).prod(-1).sqrt()


def change(ratio: Tensor) -> Tensor:
    """By what factor, up or down."""
    return torch.maximum(ratio, 1 / ratio)


# Training targets


Choose = Callable[[int, int], Tensor]  # number of candidates, number wanted, to the places of those taken


class AnchorTargets(NamedTuple):
    """(B, A, H, W) labels 1, 0 or -1 (no example), deltas (B, 4, A, H, W), their weights and overlaps (B, A, H, W)."""

    labels: Tensor
    deltas: Tensor
    weights: Tensor
    overlaps: Tensor


class RoITargets(NamedTuple):
    """(B, R, 4) x1, y1, x2, y2 in search pixels, the (B, R, 4) moves to the truth over ``SPREAD``, and (B, R, M, M)
    bool masks."""

    rois: Tensor
    moves: Tensor
    masks: Tensor


def choose_some(count: int, wanted: int) -> Tensor:
    """At most ``wanted`` different places, at random."""
    return torch.randperm(count)[:wanted]


def choose_first(count: int, wanted: int) -> Tensor:
    """At most ``wanted`` different places, the first ones: as many as ``choose_some`` takes."""
    return torch.arange(min(count, wanted))


def choose_all(count: int, wanted: int) -> Tensor:
    """Exactly ``wanted`` places, at random: different ones, or if there are too few, all as often as they fit in and
    some once more."""
    return torch.cat([torch.arange(count).repeat(wanted // count), torch.randperm(count)[: wanted % count]])


def _chosen(candidates: Tensor, wanted: int, choose: Choose) -> Tensor:
    places = candidates.nonzero()[:, 0]
    return places[choose(len(places), wanted).to(places.device)]


def near_cells(box: Tensor, config: SiamAttnConfig, size: int) -> Tensor:
    """(size * size) bool: the 7 x 7 cells around the middle of a box x1, y1, x2, y2."""
    middle = (box[:2] + box[2:]) / 2 - config.search.size // 2
    x, y = (size // 2 + (middle / config.stride + 0.5).ceil()).tolist()
    cells = torch.arange(size, device=box.device)
    return (((cells - y).abs() <= 3)[:, None] & ((cells - x).abs() <= 3)).flatten()


def mask_targets(masks: Tensor, rois: Tensor, size: int, patch: int) -> Tensor:
    """The parts of (B, S, S) masks that lie in (B, R, 4) boxes, each scaled to (size, size) by its nearest pixels."""
    low, high = rois.clamp(0, patch - 1).long().unflatten(-1, (2, 2)).unbind(2)  # (B, R, xy)
    steps = torch.arange(size, device=rois.device)
    nearest = low[..., None] + steps * (high - low + 1)[..., None] // size  # (B, R, xy, size)
    columns, rows = nearest.clamp(max=masks.shape[-1] - 1).unbind(2)
    batch = torch.arange(len(masks), device=masks.device)[:, None, None, None]
    return masks[batch, rows[..., :, None], columns[..., None, :]].bool()


# Losses


def _masked(batch: PairBatch) -> Tensor:
    """(B,) which pairs train the masks."""
    return batch.has_mask & batch.present if batch.masks.numel() else torch.zeros_like(batch.present)


def cls_loss(logits: Tensor, labels: Tensor, divisors: Divisors = NO_DIVISORS) -> Tensor:
    """Cross-entropy of (B, 2 A, H, W) with (B, A, H, W) labels, examples of both kinds weighing the same; ``divisors``
    may have their numbers, "negative" and "positive"."""
    each = F.cross_entropy(logits.unflatten(1, (2, -1)), labels.long(), ignore_index=-1, reduction="none")
    halves = [
        (each * (labels == label)).sum() / divisors.get(name, (labels == label).sum().clamp(min=1))
        for label, name in enumerate(("negative", "positive"))
    ]
    return 0.5 * (halves[0] + halves[1])


def loc_loss(deltas: Tensor, targets: AnchorTargets) -> Tensor:
    """L1 of (B, 4 A, H, W) with the targets, weighted, summed over a pair, and averaged over pairs."""
    gap = (deltas.unflatten(1, (4, -1)) - targets.deltas).abs().sum(1)
    return (gap * targets.weights).sum() / len(deltas)


def box_loss(moves: Tensor, targets: Tensor, counted: Tensor, pairs: Tensor | None = None) -> Tensor:
    """Smooth L1 of (B, R, 4), the mean over the pairs that are ``counted`` (B,), or over ``pairs`` of them; 0 if none
    is."""
    moves, targets = moves[counted], targets[counted]
    each = F.smooth_l1_loss(moves, targets, reduction="none").mean((1, 2))
    return each.sum() / (max(1, len(each)) if pairs is None else pairs)


def mask_loss(
    logits: Tensor, targets: Tensor, counted: Tensor, hardest: float = 1.0, pairs: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of (B, R, M, M), the mean over the pixels with the largest loss, this share of all pixels
    of the pairs that are ``counted`` (B,), of which ``pairs`` are there in all; 0 if none is."""
    logits, targets = logits[counted], targets[counted]
    if not len(logits):
        return logits.sum()
    each = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none").flatten()
    mean = each.topk(int(hardest * len(each)), sorted=False).values.mean()
    return mean if pairs is None else mean * len(logits) / pairs


def official_name(name: str) -> str:
    """A parameter's name here, from its name in the official checkpoints."""
    name = re.sub(r"^neck\.downsample(\d)\.downsample\.", lambda m: f"neck.{int(m[1]) - 2}.", name)
    name = re.sub(r"^rpn_head\.rpn(\d)\.", lambda m: f"rpn_head.levels.{int(m[1]) - 2}.", name)
    return name.replace(".BN256.", ".bn.")


VOT = {"penalty": 0.1, "window": 0.25, "rate": 0.45, "mask_above": 0.2}
OTB = {"penalty": 0.2, "window": 0.35, "rate": 0.5, "mask_above": 0.2}


PAPER = "SiamAttn, CVPR 2020, arXiv 2004.06711"


@register(
    paper=PAPER,
    official_name=official_name,
    settings={"vot2018": VOT, "otb2015": OTB},
    results={"VOT2016 EAO": "0.537", "VOT2018 EAO": "0.470"},
    source="README of msight-tech/research-siamattn; VOT2016 with settings that are not published",
)
def siamattn() -> SiamAttn:
    """SiamAttn: dilated ResNet-50, refinement and masks; the settings are VOT2018's."""
    return SiamAttn(SiamAttnConfig())


@register(paper=PAPER, official_name=official_name, shipped=True)
def siamattn_tiny() -> SiamAttn:
    """SiamAttn's design at a size that runs in real time on two CPU cores, on two levels of a small trunk."""
    return SiamAttn(
        SiamAttnConfig(
            template=CropSpec(1.0, 80, 0.5),
            search=CropSpec(2.0, 160, 0.5),
            backbone=TINY,
            levels=2,
            dim=64,
            normalised=True,
            correlation=64,
            cells=6,
            scale=5,
            key_dim=16,
            mask_cells=8,
            mask_convs=2,
            hidden=128,
            box_hidden=128,
            rois=4,
            mask_above=0.5,
            found_above=0.99,
        )
    )
