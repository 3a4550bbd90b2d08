"""GRM: Generalized Relation Modeling for Transformer Tracking (Gao et al., CVPR 2023, arXiv 2303.16580).

OSTrack's network, in which each layer decides for every search token whether it exchanges with the template. The
template sees itself and the search tokens that are chosen; these see everything; the other search tokens see the
search patch alone. With all chosen this is a one-stream tracker, with none a two-stream one.

What goes around the division (tokens, head, online rules, loss) is OSTrack's. Where paper and official code
(Little-Podi/GRM) differ, the code is followed: it masks attention when tracking too, where the paper attends group by
group, and the mask leaves a trace of attention to what is masked (``masked_softmax``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lockon.crops import CropSpec
from lockon.models import register
from lockon.models.ostrack import OneStream, OneStreamConfig, OneStreamPrediction, official_name
from lockon.nn.precision import full
from lockon.nn.resnet import TINY
from lockon.nn.vit import VIT_LARGE, Attention, Block, ViTConfig, attention_logits
from lockon.tracker import NO_DIVISORS, Divisors

Pooling = Literal["allmax", "allavg", "roimax", "roiavg"]


@dataclass(frozen=True)
class GrmConfig(OneStreamConfig):
    """A GRM.

    Attributes:
        division: how search tokens are divided: "learned" (section 3.2); for ablations all are chosen ("one-stream") or
            none is ("two-stream") whatever a trained predictor says; "none" has no predictors and is OSTrack without
            elimination.
        undivided: this many blocks at the beginning do not divide.
        pooling: how the predictor sums up the template: maximum or mean over all its tokens ("allmax", "allavg") or
            over those of the target, all others counting as zeros ("roimax", "roiavg").
        late: the predictor's first layer is one map for the search token and one for the template, added.
        predictor: widths of its hidden layers.
        threshold: a token is chosen, when tracking, if its probability of belonging to the search patch alone is below
            this; 0 leaves the choice to the larger probability.
        ratio: at least this share of the tokens, the likeliest ones, is chosen when tracking.
        grouped: when tracking, attend group by group with an exact softmax: nothing is masked.
        tau: temperature of the Gumbel-softmax in training.
        entropy_weight: of a loss that keeps the share of chosen tokens from 0 and 1; off in the paper's models.
    """

    division: Literal["learned", "one-stream", "two-stream", "none"] = "learned"
    undivided: int = 1
    pooling: Pooling = "allmax"
    late: bool = False
    predictor: tuple[int, int] = (384, 192)
    threshold: float = 0.0
    ratio: float = 0.0
    grouped: bool = False
    tau: float = 1.0
    entropy_weight: float = 0.0


class DividedAttention(Attention):
    """Attention that first divides the search tokens (section 3.2)."""

    def __init__(self, dim: int, heads: int, late: bool = False, widths: tuple[int, int] = (384, 192)) -> None:
        super().__init__(dim, heads)
        self.late = late
        if late:
            self.divide_global_transform = nn.Sequential(nn.Linear(dim, widths[0]))
            self.divide_local_transform = nn.Sequential(nn.Linear(dim, widths[0]))
        self.divide_predict = nn.Sequential(
            nn.Identity() if late else nn.Linear(2 * dim, widths[0]),
            nn.GELU(),
            nn.Linear(*widths),
            nn.GELU(),
            nn.Linear(widths[1], 2),
            nn.LogSoftmax(-1),
        )

    def forward(  # type: ignore[override]  # a plain attention divides nothing
        self, x: Tensor, target: Tensor, config: GrmConfig, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attends within the groups.

        Args:
            x: (B, L + N, C) tokens, the template's first.
            target: (B, L) the template's tokens that show the target.
            config: how to divide.
            noise: (B, N, 2) Gumbel noise for training, drawn here where None.

        Returns:
            (B, L + N, C), and (B, N) 1 for the search tokens that are chosen, else 0.
        """
        length = target.shape[1]
        chosen = self.divide(x[:, :length], x[:, length:], target, config, noise)
        query, key, value = self.split(x)
        if config.grouped and not self.training:
            return self.merge(grouped_attention(query, key, value, chosen.bool())), chosen
        mask = relation_mask(group_tokens(chosen, length))[:, None]
        weights = masked_softmax(attention_logits(query, key), mask)
        return self.merge(weights @ value), chosen

    def divide(
        self, template: Tensor, search: Tensor, target: Tensor, config: GrmConfig, noise: Tensor | None
    ) -> Tensor:
        """(B, L, C), (B, N, C) and (B, L) to (B, N): 1 for the search tokens that are chosen, else 0."""
        if config.division != "learned":
            return search.new_full(search.shape[:2], float(config.division == "one-stream"))
        log_probs = self.predict(search, pool_template(template, target, config.pooling))
        if not self.training:
            return choose(log_probs, config.threshold, config.ratio).to(search.dtype)
        return choose_softly(log_probs, gumbel_noise(log_probs) if noise is None else noise, config.tau)

    def predict(self, search: Tensor, summary: Tensor) -> Tensor:
        """(B, N, C) and the template's summary (B, C) to (B, N, 2) logarithms of the probabilities of belonging to the
        search patch alone, and of relating to the template."""
        if self.late:
            mixed = self.divide_local_transform(search) + self.divide_global_transform(summary)[:, None]
        else:
            mixed = torch.cat([search, summary[:, None].expand_as(search)], dim=-1)
        return full(self.divide_predict(mixed))


def pool_template(template: Tensor, target: Tensor, pooling: Pooling) -> Tensor:
    """Template tokens (B, L, C) and those of the target (B, L) to (B, C), by ``GrmConfig.pooling``."""
    if pooling.startswith("roi"):
        template = template * target[..., None]
    return template.amax(1) if pooling.endswith("max") else template.mean(1)


def choose(log_probs: Tensor, threshold: float = 0.0, ratio: float = 0.0) -> Tensor:
    """The division when tracking, (B, N, 2) to (B, N) bool, by ``GrmConfig.threshold`` and ``ratio``."""
    chosen = log_probs.softmax(-1)[..., 0] < threshold if threshold else log_probs[..., 1] > log_probs[..., 0]
    forced = int(ratio * chosen.shape[1])
    likeliest = log_probs[..., 1].topk(forced, dim=1).indices
    return chosen.scatter(1, likeliest, True)


def choose_softly(log_probs: Tensor, noise: Tensor, tau: float = 1.0) -> Tensor:
    """The division in training: a hard draw, with the gradient of a soft one (Gumbel-softmax, Jang et al., ICLR 2017).

    Args:
        log_probs, noise: (B, N, 2); the noise from ``gumbel_noise``.
        tau: temperature of the soft draw.

    Returns:
        (B, N) 0 or 1.
    """
    soft = ((log_probs + noise) / tau).softmax(-1)[..., 1]
    hard = (log_probs + noise).argmax(-1).to(soft.dtype)
    return hard - soft.detach() + soft


def gumbel_noise(like: Tensor) -> Tensor:
    """Draws from the standard Gumbel distribution, of a tensor's shape."""
    return -torch.empty_like(like).exponential_().log()


TEMPLATE, ALONE, CHOSEN = range(3)  # the groups: template, search patch alone, related to both
SEES = (
    (TEMPLATE, TEMPLATE),
    (TEMPLATE, CHOSEN),
    (ALONE, ALONE),
    (ALONE, CHOSEN),
    (CHOSEN, TEMPLATE),
    (CHOSEN, ALONE),
    (CHOSEN, CHOSEN),
)


def group_tokens(chosen: Tensor, length: int) -> Tensor:
    """The division (B, N) behind ``length`` template tokens, to (B, length + N, 3): 1 for each token's group."""
    template = F.pad(torch.ones_like(chosen[:, :1]).expand(-1, length), (0, chosen.shape[1]))
    return torch.stack([template, F.pad(1 - chosen, (length, 0)), F.pad(chosen, (length, 0))], dim=-1)


def relation_mask(groups: Tensor) -> Tensor:
    """Which token sees which (section 3.3): (B, N, 3) of ``group_tokens`` to (B, N, N), 0 or 1.

    A sum of products, so that gradients reach the division.
    """
    seeing, seen = zip(*SEES, strict=True)
    return groups[..., list(seeing)] @ groups[..., list(seen)].transpose(1, 2)


def masked_softmax(logits: Tensor, mask: Tensor, eps: float = 1e-6) -> Tensor:
    """Softmax over what a 0/1 mask leaves, through which gradients reach the mask.

    What is masked keeps a weight of eps / N over the sum. The largest logit of all, masked ones too, is subtracted
    first, so the trace is seen where it dominates.

    Args:
        logits: (..., N).
        mask: the same shape, or one that expands to it.
    """
    z = full(logits)
    raised = (z - z.amax(-1, keepdim=True)).exp() * mask
    weights = (raised + eps / z.shape[-1]) / (raised.sum(-1, keepdim=True) + eps)
    return weights.to(logits.dtype)


def grouped_attention(query: Tensor, key: Tensor, value: Tensor, chosen: Tensor) -> Tensor:
    """Each group attends to what it may see, exactly and with no work on the rest (section 3.3).

    Args:
        query, key, value: (B, heads, L + N, D), the template's tokens first.
        chosen: (B, N) bool; read on the host, sample by sample, because groups differ in size.

    Returns:
        (B, heads, L + N, D).
    """
    length = key.shape[2] - chosen.shape[1]
    out = torch.empty_like(query)
    template = torch.arange(length, device=key.device)
    search = torch.arange(length, key.shape[2], device=key.device)
    for sample, picked in enumerate(chosen):
        related, alone = search[picked], search[~picked]
        sees = ((template, torch.cat([template, related])), (alone, search), (related, torch.cat([template, search])))
        q, k, v = query[sample], key[sample], value[sample]
        for group, seen in sees:
            out[sample, :, group] = F.scaled_dot_product_attention(q[:, group], k[:, seen], v[:, seen])
    return out


class DividedBlock(Block):
    """A block with divided attention."""

    attn: DividedAttention

    def __init__(self, config: GrmConfig, number: int) -> None:
        vit = config.vit
        super().__init__(vit, number, DividedAttention(vit.dim, vit.heads, config.late, config.predictor))

    def forward(  # type: ignore[override]  # a plain block divides nothing
        self, x: Tensor, target: Tensor, config: GrmConfig, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The arguments and results of ``DividedAttention``."""
        y, chosen = self.attn(self.norm1(x), target, config, noise)
        return self.think(x + self.drop(y)), chosen


class Grm(OneStream):
    """The GRM network; ``config`` may be replaced by one that divides otherwise, but for what the layers are built of:
    ``late``, ``undivided``, and whether ``division`` is "none"."""

    config: GrmConfig

    def __init__(self, config: GrmConfig) -> None:
        vit = config.vit
        plain = vit.depth if config.division == "none" else config.undivided
        blocks = [Block(vit, n) if n < plain else DividedBlock(config, n) for n in range(vit.depth)]
        super().__init__(config, blocks)

    def find_target(self, boxes: Tensor) -> Tensor:
        """The tokens that the target's box touches; only the poolings over the target ask."""
        return target_tokens(boxes, self.backbone.sides[0])

    def relate(self, x: Tensor, target: Tensor, noise: Sequence[Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """As in ``OneStream``; ``noise`` is (B, S * S, 2) for each block that divides."""
        batch, length = target.shape
        chosen: list[Tensor] = []
        for block in self.backbone.blocks:
            if isinstance(block, DividedBlock):
                x, picked = block(x, target, self.config, None if noise is None else noise[len(chosen)])
                chosen.append(picked)
            else:
                x = block(x)
        none = x.new_zeros(batch, 0, x.shape[1] - length)
        return self.backbone.norm(x)[:, length:], torch.stack(chosen, dim=1) if chosen else none

    def losses(
        self, prediction: OneStreamPrediction, boxes: Tensor, present: Tensor, divisors: Divisors = NO_DIVISORS
    ) -> dict[str, Tensor]:
        """As in ``OneStream``, and with ``entropy_weight`` also "entropy"."""
        losses = super().losses(prediction, boxes, present, divisors)
        weight = self.config.entropy_weight
        if not weight:
            return losses
        entropy = division_entropy(prediction.chosen.mean(-1))
        return losses | {"entropy": entropy, "total": losses["total"] + weight * entropy}


def target_tokens(boxes: Tensor, side: int) -> Tensor:
    """The template tokens that a box touches, or nearly so, as the official code rounds.

    Args:
        boxes: (B, 4) x, y, w, h relative to the template patch.
        side: tokens along a side of it.

    Returns:
        (B, side * side) bool.
    """
    boxes = boxes * side
    start, end = boxes[:, :2].trunc(), (boxes[:, :2] + boxes[:, 2:] + 1).trunc()
    cells = torch.arange(side, device=boxes.device)
    inside = (cells >= start[..., None]) & (cells < end[..., None])  # (B, xy, side)
    return (inside[:, 1, :, None] & inside[:, 0, None, :]).flatten(1)


def division_entropy(share: Tensor) -> Tensor:
    """1 minus the entropy in bits of a division by shares p and 1 - p, the mean over all shares given."""
    rest = 1 - share
    return (1 + share * (share + 1e-5).log2() + rest * (rest + 1e-5).log2()).mean()


PAPER = "GRM, CVPR 2023, arXiv 2303.16580"
SOURCE = "README of Little-Podi/GRM"


@register(
    paper=PAPER,
    official_name=official_name,
    settings={
        "lasot": {"threshold": 0.4},
        "nfs": {"threshold": 0.6},
        "uav123": {"threshold": 0.55},
        "avist": {"threshold": 0.4},
    },
    results={
        "GOT-10k AO": "73.4",
        "GOT-10k SR0.5": "82.9",
        "GOT-10k SR0.75": "70.4",
        "LaSOT AUC": "69.9",
        "LaSOT normalised precision": "79.3",
        "LaSOT precision": "75.8",
        "TrackingNet AUC": "84.0",
        "TrackingNet normalised precision": "88.7",
        "TrackingNet precision": "83.3",
        "AVisT AUC": "54.5",
        "AVisT OP50": "63.1",
        "AVisT OP75": "45.2",
        "NfS30 AUC": "65.6",
        "UAV123 AUC": "70.2",
    },
    source=SOURCE + "; GOT-10k by a model of the same network trained on it alone (GRM-GOT)",
)
def grm_base_256() -> Grm:
    """GRM: ViT-B/16 on a search patch of 256 pixels."""
    return Grm(GrmConfig())


@register(
    paper=PAPER,
    official_name=official_name,
    results={
        "LaSOT AUC": "71.4",
        "LaSOT normalised precision": "81.2",
        "LaSOT precision": "77.9",
        "TrackingNet AUC": "84.4",
        "TrackingNet normalised precision": "88.9",
        "TrackingNet precision": "84.0",
        "AVisT AUC": "55.1",
        "AVisT OP50": "63.8",
        "AVisT OP75": "46.9",
        "NfS30 AUC": "66.0",
        "UAV123 AUC": "72.2",
    },
    source=SOURCE,
)
def grm_large_320() -> Grm:
    """GRM-L320: ViT-L/16 on a search patch of 320 pixels."""
    return Grm(GrmConfig(search=CropSpec(5.0, 320), vit=VIT_LARGE))


@register(paper=PAPER, official_name=official_name, shipped=True)
def grm_tiny() -> Grm:
    """GRM's design at a size that runs in real time on two CPU cores: a small transformer on a convolutional trunk."""
    return Grm(
        GrmConfig(
            template=CropSpec(2.0, 80),
            search=CropSpec(4.0, 160),
            vit=ViTConfig(dim=192, depth=6, heads=4, feedforward=576, drop_path=0.0, trunk=TINY),
            correlation=64,
            predictor=(96, 48),
            head=(64, 48, 24),
            found_above=0.45,
        )
    )
