"""OSTrack: Joint Feature Learning and Relation Modeling for Tracking (Ye et al., ECCV 2022, arXiv 2203.11991).

One vision transformer reads the tokens of template and search patch together, so that features are extracted and
compared in the same layers; a center head on the search tokens gives the box. On the way, search tokens that the
target's middle hardly attends to can be dropped (candidate elimination). A Hann window on the score map keeps the
target near its last place; the box it chooses is the next state.

``OneStream`` is what OSTrack and GRM share; ``OSTrack`` adds the elimination. Where paper and official code
(botaoye/OSTrack) differ, the code is followed.
"""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from lockon.boxes import clip_box, cxcywh_to_xyxy, xywh_to_xyxy
from lockon.crops import CropSpec, Window
from lockon.errors import ModelError
from lockon.models import register
from lockon.nn.correlation import Correlation, Fine
from lockon.nn.heads import CenterHead, centered_boxes
from lockon.nn.images import Normalise
from lockon.nn.losses import box_loss, center_loss, center_map
from lockon.nn.resnet import ResNet
from lockon.nn.vit import Block, PatchEmbed, ViTConfig, attention_logits, init_vit, resize_positions
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, Result, State, TrackingModel


@dataclass(frozen=True)
class OneStreamConfig:
    """What OSTrack and GRM have in common.

    Attributes:
        template, search: crops (section 4.1).
        vit: the transformer.
        correlation: for small networks with a convolutional trunk, whose cells are half as wide as a token: channels
            in which search and template are compared cell by cell before the transformer (``nn.correlation``). 0, as
            in the papers, for no comparison.
        head: channels of the center head's convolutions.
        margin: a tracked box keeps this many pixels inside the frame.
        found_above: a result is ``found`` where its score is above this; the official code does not judge.
        giou_weight, l1_weight, score_weight: of the loss's terms (section 3.3, equation 9).
    """

    template: CropSpec = CropSpec(2.0, 128)
    search: CropSpec = CropSpec(4.0, 256)
    vit: ViTConfig = ViTConfig()
    correlation: int = 0
    head: tuple[int, ...] = (256, 128, 64, 32)
    margin: float = 10.0
    found_above: float = 0.2
    giou_weight: float = 2.0
    l1_weight: float = 5.0
    score_weight: float = 1.0


class Template(NamedTuple):
    """The memory of a template; L is its number of tokens.

    Attributes:
        tokens: (B, L, C) with their positions.
        target: (B, L) bool, true for the tokens that stand for the target, as far as the model asks.
        kernels: (B, M, ``correlation``) what search cells are compared with; M = 0 without comparison.
    """

    tokens: Tensor
    target: Tensor
    kernels: Tensor


class OneStreamPrediction(NamedTuple):
    """The network's answer for a batch of search patches; S cells along a side of its maps.

    Attributes:
        boxes: (B, 4) centre and size relative to the search patch (0 to 1), where the score is highest.
        score: (B,) the highest score.
        scores, sizes, offsets: (B, S, S), (B, 2, S, S), (B, 2, S, S), the head's maps (``nn.heads.Centers``), whose
            cells are as wide as a token, or as the trunk's cells with ``correlation``.
        chosen: (B, layers, N) 0 or 1: the search tokens that each layer that sorts them has chosen: OSTrack's
            elimination to keep, GRM's division to relate to the template. No layers where none sorts.
    """

    boxes: Tensor
    score: Tensor
    scores: Tensor
    sizes: Tensor
    offsets: Tensor
    chosen: Tensor


class Backbone(nn.Module):
    """The transformer's parts: patch embedding, a table of positions for each patch, blocks and the last norm.

    ``cls_token`` and ``pos_embed`` are what the pretrained transformer had for them. Nothing reads them; they are in
    the official checkpoints.
    """

    def __init__(self, config: OneStreamConfig, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        dim, patch = config.vit.dim, config.vit.patch
        self.sides = config.template.size // patch, config.search.size // patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim), requires_grad=False)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + 14**2, dim), requires_grad=False)
        self.pos_embed_z, self.pos_embed_x = (nn.Parameter(torch.zeros(1, side**2, dim)) for side in self.sides)
        self.patch_embed = PatchEmbed(config.vit)
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        init_vit(self)
        for table in (self.pos_embed_z, self.pos_embed_x):
            nn.init.trunc_normal_(table, std=0.02)

    def published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The weights of a vision transformer that was pretrained on pictures (MAE's, or DeiT's) as those of this one.

        With a convolutional trunk, they are the trunk's. The table of positions is resized for both patches. Classifier
        and decoder fall away; what only trackers have (GRM's division) is added as it stands here.
        """
        own = self.state_dict()
        trunk = self.patch_embed.trunk
        if isinstance(trunk, ResNet):  # the transformer on it is the tracker's own
            return own | {f"patch_embed.trunk.{name}": value for name, value in trunk.published(tensors).items()}
        fitting = {name: value for name, value in own.items() if "divide" in name or name == "pos_embed"}
        fitting |= {name: value for name, value in tensors.items() if name in own and name != "pos_embed"}
        if "pos_embed" in tensors:
            prefix = 2 if "dist_token" in tensors else 1
            for name, side in zip(("pos_embed_z", "pos_embed_x"), self.sides, strict=True):
                fitting[name] = resize_positions(tensors["pos_embed"], side, prefix)
        return fitting


class OneStream(TrackingModel):
    """Template and search tokens through one transformer, a center head, its online rules and loss."""

    config: OneStreamConfig

    def __init__(self, config: OneStreamConfig, blocks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.template_crop, self.search_crop = config.template, config.search
        self.normalise = Normalise()
        self.backbone = Backbone(config, blocks)
        self.box_head = CenterHead(config.correlation or config.vit.dim, config.head)
        self.correlation, self.fine, self.side = None, None, self.backbone.sides[1]
        if config.correlation:
            trunk = config.vit.trunk
            if trunk is None:
                raise ModelError("correlation compares the cells of a convolutional trunk: give the vit one")
            template, self.side = (spec.size // trunk.stride for spec in (config.template, config.search))
            self.correlation = Correlation(trunk.channels, template, config.correlation, config.correlation)
            self.fine = Fine(trunk.channels, config.correlation, config.vit.dim, config.vit.patch // trunk.stride)

    @abstractmethod
    def find_target(self, boxes: Tensor) -> Tensor:
        """The template's tokens that stand for the target: (B, 4) x, y, w, h relative to the patch, to (B, L) bool."""

    @abstractmethod
    def relate(self, x: Tensor, target: Tensor, noise: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
        """The transformer.

        Args:
            x: (B, L + N, C) tokens, the template's first.
            target: (B, L) of ``Template``.
            noise: of ``forward``.

        Returns:
            The search tokens behind the last norm, (B, N, C), and ``chosen`` of ``OneStreamPrediction``.
        """

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor) -> Template:
        """Template patches (B, 3, S, S), 0 to 255, and their targets (B, 4) to tokens; padding is not looked at."""
        embedded, features = self.backbone.patch_embed(self.normalise(images))
        tokens = embedded + self.backbone.pos_embed_z
        kernels = tokens[:, :0] if self.correlation is None else self.correlation.kernels(features, boxes)
        return Template(tokens, self.find_target(boxes), kernels)

    def forward(
        self, images: Tensor, padding: Tensor, memory: Template, noise: Sequence[Tensor] | None = None
    ) -> OneStreamPrediction:
        """Search patches (B, 3, S, S), 0 to 255, and their templates to boxes; padding is not looked at.

        ``noise`` is what a network that draws in training (GRM) takes in place of its own draws.
        """
        embedded, features = self.backbone.patch_embed(self.normalise(images))
        search, matched = embedded + self.backbone.pos_embed_x, None
        if self.correlation is not None and self.fine is not None:
            matched = self.correlation(features, memory.kernels)
            search = search + self.fine.enter(matched).flatten(2).transpose(1, 2)
        related, chosen = self.relate(torch.cat([memory.tokens, search], dim=1), memory.target, noise)
        maps = related.transpose(1, 2).unflatten(2, (self.backbone.sides[1], -1))
        if self.fine is not None and matched is not None:
            maps = self.fine(maps, features, matched)
        scores, sizes, offsets = self.box_head(maps)
        boxes = centered_boxes(scores, sizes, offsets)
        return OneStreamPrediction(boxes, scores.flatten(1).amax(1), scores, sizes, offsets, chosen)

    def resolve(
        self,
        prediction: OneStreamPrediction,
        windows: Sequence[Window],
        states: Sequence[State],
        frame_size: tuple[int, int],
    ) -> list[tuple[State, Result]]:
        """The box where score times Hann window is highest, clipped to the frame, is the result and the next state
        (section 3.4). That product, at most 1, is the result's score, uncalibrated; the official code returns none."""
        response = prediction.scores * hann_window(prediction.scores.shape[-1])
        boxes = centered_boxes(response, prediction.sizes, prediction.offsets)
        best = response.flatten(1).amax(1).clamp(0, 1).tolist()
        out = []
        for box, score, window, state in zip(boxes.tolist(), best, windows, states, strict=True):
            clipped = clip_box(window.to_frame(box), *frame_size, self.config.margin)
            result = Result(clipped, score, score > self.config.found_above)
            out.append((replace(state, box=clipped, frame=state.frame + 1), result))
        return out

    def counts(self, batch: PairBatch) -> dict[str, Tensor]:
        """Pairs that show the target, and peaks of their label maps."""
        labels = center_map(batch.boxes, self.side) * batch.present[:, None, None]
        return super().counts(batch) | {"peaks": (labels == 1).sum()}

    def loss(
        self, batch: PairBatch, divisors: Divisors = NO_DIVISORS, noise: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The paper's losses (section 3.3) of a batch; ``noise`` as in ``forward``."""
        prediction = self(batch.search, batch.search_padding, self.memorize(*batch.template(0)), noise)
        return self.losses(prediction, batch.boxes, batch.present, divisors)

    def losses(
        self, prediction: OneStreamPrediction, boxes: Tensor, present: Tensor, divisors: Divisors = NO_DIVISORS
    ) -> dict[str, Tensor]:
        """The losses of a prediction: boxes and score map, the boxes those of the highest predicted score.

        Args:
            boxes: (B, 4) x, y, w, h of the target relative to the search patch.
            present: (B,) bool; where false, which the paper does not have, all scores should be low.

        Returns:
            "box" (weighted sum of "giou" and "l1"), "iou", "score" and "total".
        """
        c = self.config
        truth = xywh_to_xyxy(boxes).clamp(0, 1)[present]
        corners = cxcywh_to_xyxy(prediction.boxes[present])
        losses = box_loss(corners, truth, c.giou_weight, c.l1_weight, divisors.get("present"))
        labels = center_map(boxes, prediction.scores.shape[-1]) * present[:, None, None]
        losses["score"] = center_loss(prediction.scores, labels, divisors.get("peaks"))
        return losses | {"total": losses["box"] + c.score_weight * losses["score"]}


def hann_window(size: int) -> Tensor:
    """(size, size): high in the middle, falling towards the border without reaching zero (section 3.4)."""
    row = 0.5 * (1 - torch.cos(2 * math.pi * torch.arange(1, size + 1, dtype=torch.float64) / (size + 1)))
    return (row[:, None] * row).float()


@dataclass(frozen=True)
class OSTrackConfig(OneStreamConfig):
    """An OSTrack.

    Attributes:
        eliminate_in: blocks, counted from 0, in which search tokens are dropped (section 3.2); none for an ablation.
        keep_ratio: share of the search tokens that each of them keeps.
        keep_all, keep_fewer: epochs of training in which all are kept, and in which the share then falls to
            ``keep_ratio`` (see ``keep_schedule``); the models for GOT-10k alone have 50 of the latter.
        judges: the template tokens whose attention decides: the "point" in the middle, the "middle" four, those
            inside the target's "box", or "all".
    """

    eliminate_in: tuple[int, ...] = (3, 6, 9)
    keep_ratio: float = 0.7
    keep_all: int = 20
    keep_fewer: int = 80
    judges: Literal["point", "middle", "box", "all"] = "point"


class CandidateBlock(Block):
    """A block that may drop search tokens between its attention and its MLP (section 3.2)."""

    def forward(  # type: ignore[override]  # a plain block has nothing to drop
        self, x: Tensor, places: Tensor, judges: Tensor, keep_ratio: float
    ) -> tuple[Tensor, Tensor]:
        """The arguments of ``eliminate``, to the tokens and places that are left."""
        query, key, value = self.attn.split(self.norm1(x))
        weights = attention_logits(query, key).softmax(-1)
        x = x + self.drop(self.attn.merge(weights @ value))
        x, places, _ = eliminate(x, weights, places, judges, keep_ratio)
        return self.think(x), places


def eliminate(
    x: Tensor, weights: Tensor, places: Tensor, judges: Tensor, keep_ratio: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Drops the search tokens that the judging template tokens attend to least.

    Args:
        x: (B, L + N, C) tokens, the template's first.
        weights: (B, heads, L + N, L + N) attention weights; the mean over heads counts.
        places: (B, N) where in the search patch each search token was at first.
        judges: (B, L) bool, some of each row true.
        keep_ratio: share that is kept, rounded up to whole tokens.

    Returns:
        The tokens that are left, and the places of the kept and of the dropped search tokens, each in falling order of
        the attention.
    """
    length = judges.shape[1]
    kept = math.ceil(keep_ratio * places.shape[1])
    if kept == places.shape[1]:
        return x, places, places[:, kept:]
    asked = weights[:, :, :length, length:] * judges[:, None, :, None]
    attention = (asked.sum(2) / judges.sum(1).clamp(min=1)[:, None, None]).mean(1)  # (B, N)
    order = attention.argsort(dim=1, descending=True)
    search = x[:, length:].gather(1, order[:, :kept, None].expand(-1, -1, x.shape[2]))
    places = places.gather(1, order)
    return torch.cat([x[:, :length], search], dim=1), places[:, :kept], places[:, kept:]


def judging_tokens(boxes: Tensor, side: int, judges: str, patch: int = 16) -> Tensor:
    """The template tokens that decide on the elimination, by ``OSTrackConfig.judges``.

    Args:
        boxes: (B, 4) x, y, w, h of the target relative to the template patch.
        side: tokens along a side of it.
        patch: pixels along a side of a token.

    Returns:
        (B, side * side) bool.
    """
    cells = torch.arange(side, device=boxes.device)
    if judges == "box":  # the official code paints the box in pixels, less a row and a column, and shrinks the picture
        start = (boxes[:, :2] * side * patch).trunc()
        end = ((boxes[:, :2] + boxes[:, 2:]) * side * patch - 1).trunc()
        middle = patch * cells + patch // 2  # of the token's pixels, this one and the one before are seen
        inside = (middle >= start[..., None]) & (middle - 1 < end[..., None])  # (B, xy, side)
    else:
        first = 0 if judges == "all" else side // 2 - 1
        count = {"point": 1, "middle": 2, "all": side}[judges]
        inside = ((cells >= first) & (cells < first + count)).expand(len(boxes), 2, -1)
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).flatten(1)


def keep_schedule(epoch: int, start: int = 20, warm: int = 80, base: float = 0.7) -> float:
    """``keep_ratio`` in training: 1 up to epoch ``start``, then down to ``base`` in a cosine over ``warm`` epochs; they
    are counted from 1."""
    done = min(max((epoch - start) / warm, 0.0), 1.0)
    return base + (1 - base) * 0.5 * (1 + math.cos(math.pi * done))


class OSTrack(OneStream):
    """OSTrack, with its candidate elimination."""

    config: OSTrackConfig

    def __init__(self, config: OSTrackConfig) -> None:
        blocks = [
            (CandidateBlock if number in config.eliminate_in else Block)(config.vit, number)
            for number in range(config.vit.depth)
        ]
        super().__init__(config, blocks)
        self.keep_ratio = config.keep_ratio  # in training

    def enter_epoch(self, epoch: int) -> None:
        """Elimination sets in late."""
        c = self.config
        self.keep_ratio = keep_schedule(epoch, c.keep_all, c.keep_fewer, c.keep_ratio)

    def find_target(self, boxes: Tensor) -> Tensor:
        """The tokens that judge on the elimination."""
        return judging_tokens(boxes, self.backbone.sides[0], self.config.judges, self.config.vit.patch)

    def relate(self, x: Tensor, target: Tensor, noise: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """As in ``OneStream``; tokens that were dropped are zero."""
        c = self.config
        length = target.shape[1]
        keep_ratio = self.keep_ratio if self.training else c.keep_ratio
        batch, count, dim = len(x), x.shape[1] - length, x.shape[2]
        places = torch.arange(count, device=x.device).expand(batch, -1)
        chosen = []
        for number, block in enumerate(self.backbone.blocks):
            if number in c.eliminate_in:
                x, places = block(x, places, target, keep_ratio)
                chosen.append(torch.zeros(batch, count, device=x.device).scatter(1, places, 1.0))
            else:
                x = block(x)
        search = self.backbone.norm(x)[:, length:]
        if chosen:
            search = search.new_zeros(batch, count, dim).scatter(1, places[..., None].expand(-1, -1, dim), search)
        return search, torch.stack(chosen, 1) if chosen else x.new_zeros(batch, 0, count)


def official_name(name: str) -> str:
    """A parameter's name here, from its name in the official checkpoints of OSTrack and GRM."""
    return re.sub(r"^box_head\.conv(\d)_(ctr|size|offset)\.", lambda m: f"box_head.{m[2]}.{int(m[1]) - 1}.", name)


PAPER = "OSTrack, ECCV 2022, arXiv 2203.11991"
SOURCE = "README of botaoye/OSTrack; GOT-10k by a model of the same network trained on it alone"


@register(
    paper=PAPER,
    official_name=official_name,
    results={"GOT-10k AO": "71.0", "LaSOT AUC": "69.1", "TrackingNet AUC": "83.1", "UAV123 AUC": "68.3"},
    source=SOURCE,
)
def ostrack_256() -> OSTrack:
    """OSTrack-256: ViT-B/16 on a search patch of 256 pixels, with candidate elimination."""
    return OSTrack(OSTrackConfig())


@register(
    paper=PAPER,
    official_name=official_name,
    results={"GOT-10k AO": "73.7", "LaSOT AUC": "71.1", "TrackingNet AUC": "83.9", "UAV123 AUC": "70.7"},
    source=SOURCE,
)
def ostrack_384() -> OSTrack:
    """OSTrack-384: OSTrack-256 on larger patches."""
    return OSTrack(OSTrackConfig(template=CropSpec(2.0, 192), search=CropSpec(5.0, 384)))
