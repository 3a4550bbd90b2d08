"""The recipes by name, one function each; a variant calls another recipe and changes fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from lockon.data.augment import Jitter
from lockon.data.pairs import PairConfig
from lockon.data.papers import PaperPairs, SiamattnPairs, SparsettPairs, StarkPairs
from lockon.errors import DataError
from lockon.registry import closest
from lockon.training.optimizer import OptimizerConfig
from lockon.training.recipe import Recipe, override

RECIPES: dict[str, Callable[[], Recipe]] = {}


def recipe(build: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Registers a recipe under its function's name, with hyphens."""
    RECIPES[build.__name__.replace("_", "-")] = build
    return build


CROWDED = PairConfig(
    clips=0.5,
    favour={"sky": 0.3},
    regions=0.1,
    surrounded=0.5,
    absent=0.2,
    hidden=0.5,
    beside=0.3,
    doubled=0.2,
    replaced=0.5,
    reframed=0.25,
    search=Jitter(1.5, 0.3, 0.25, 8.0, 0.12, 0.06),  # more of it teaches boxes that are right within a cell at best
    moving=Jitter(1.5, 0.3, 0.22, 4.0, 0.08, 0.04),
)


@recipe
def tiny_trunk() -> Recipe:
    """The trunk of the five tiny trackers, from nothing, on photographs and annotated clips.

    It is sparsett-tiny without its transformer: comparison (``nn.correlation``) and head alone follow the target.
    """
    return Recipe(
        "sparsett-tiny",
        CROWDED,
        OptimizerConfig(lr=1.2e-3),
        pairs=400_000,
        batch=64,
        norm_until=0.6,
        config=("encoder_layers=0", "decoder_layers=0"),
    )


def _on_the_trunk(model: str) -> Recipe:
    """A tiny tracker on the weights of ``tiny-trunk``, which ``backbone`` must name."""
    return Recipe(model, CROWDED, OptimizerConfig(backbone=0.3), pairs=70_000, norm_until=0.5)


@recipe
def stark_tiny() -> Recipe:
    """stark-tiny on a trunk that is trained already: give the weights of tiny-trunk as ``backbone``."""
    return _on_the_trunk("stark-tiny")


@recipe
def stark_tiny_score() -> Recipe:
    """The last stage of stark-tiny (section 3.2): the score head alone, half of the pairs without the target.

    Needs ``start``: the weights of the stage before.
    """
    data = replace(CROWDED, absent=0.5)
    optimizer = OptimizerConfig(lr=5e-4, warmup=50)
    return Recipe("stark-tiny", data, optimizer, pairs=20_000, only="cls_head.")


@recipe
def sparsett_tiny() -> Recipe:
    """sparsett-tiny on a trunk that is trained already: give the weights of tiny-trunk as ``backbone``."""
    return _on_the_trunk("sparsett-tiny")


@recipe
def siamattn_tiny() -> Recipe:
    """siamattn-tiny on a trunk that is trained already: give the weights of tiny-trunk as ``backbone``.

    Boxes weigh more than in the paper: of its anchors and of the refinement, they learn last here.
    """
    weights = ("cls_weight=2.0", "loc_weight=2.4", "box_weight=2.0")
    return replace(_on_the_trunk("siamattn-tiny"), pairs=140_000, config=weights)


@recipe
def aiatrack_tiny() -> Recipe:
    """aiatrack-tiny on a trunk that is trained already: give the weights of tiny-trunk as ``backbone``."""
    return _on_the_trunk("aiatrack-tiny")


@recipe
def grm_tiny() -> Recipe:
    """grm-tiny on a trunk that is trained already: give the weights of tiny-trunk as ``backbone``."""
    return _on_the_trunk("grm-tiny")


# The papers' own. Where paper and official code differ the code is followed. One schedule step of these is an epoch;
# none averages its weights or rounds to bfloat16. Batches are the sum over the official machines' GPUs.

STARK = OptimizerConfig(
    1e-4, 0.1, 1e-4, decay_all=True, betas=(0.9, 0.999), clip=0.1, warmup=0, final=0.1, schedule="drop"
)


def paper(
    model: str, data: PaperPairs, optimizer: OptimizerConfig, samples: int, epochs: int, batch: int, **more: Any
) -> Recipe:
    """A paper's recipe: ``samples`` pairs in each of so many epochs."""
    plain: dict[str, Any] = {"ema": 0.0, "precision": "float32"} | more
    return Recipe(model, data, optimizer, pairs=samples * epochs, epochs=epochs, batch=batch, **plain)


def variant(name: str, base: Callable[[], Recipe], says: str, *config: str, **changes: Any) -> None:
    """Registers a recipe that changes fields of another, and of its model's configuration."""

    def build() -> Recipe:
        made = base()
        return replace(made, config=(*made.config, *config), **changes)

    build.__doc__ = says
    RECIPES[name] = build


def on_got10k(base: str, *config: str, samples: int = 0, epochs: int = 0) -> None:
    """Registers a recipe on GOT-10k's training split alone, as its test asks; with other numbers where given."""

    def build() -> Recipe:
        made: Any = RECIPES[base]()
        count, each = epochs or made.epochs, samples or made.pairs // made.epochs
        data = replace(made.data, mix={"got10k": 1.0})
        return replace(made, data=data, pairs=each * count, epochs=count, config=(*made.config, *config))

    build.__doc__ = f"{base} on GOT-10k's training split alone, as its test asks."
    RECIPES[f"{base}-got10k"] = build


@recipe
def stark_s50() -> Recipe:
    """STARK-S50 (section 4.1): one template, the box alone; give it a pretrained ``backbone``."""
    return paper("stark-s50", StarkPairs(), STARK, 60_000, 500, 128)


@recipe
def stark_st50() -> Recipe:
    """STARK-ST50, first stage: two templates, the box alone; give it a pretrained ``backbone``."""
    return replace(stark_s50(), model="stark-st50", data=StarkPairs(frames="trident"))


@recipe
def stark_st50_score() -> Recipe:
    """STARK-ST50, second stage (section 3.2): the score head alone, half of the pairs without the target.

    Needs ``start``: the weights of the first stage.
    """
    config = ("giou_weight=0.0", "l1_weight=0.0", "score_weight=1.0")
    data = StarkPairs(frames="trident", absent=0.5)
    return paper("stark-st50", data, STARK, 60_000, 50, 128, config=config, only="cls_head.")


variant("stark-st101", stark_st50, "STARK-ST101, first stage: ST50 with ResNet-101.", model="stark-st101")
variant("stark-st101-score", stark_st50_score, "STARK-ST101, second stage; needs ``start``.", model="stark-st101")
variant("stark-lightning", stark_s50, "STARK-Lightning, which is in the official code alone.", model="stark-lightning")


@recipe
def aiatrack() -> Recipe:
    """AiATrack (section 4.1): an earlier and a later reference; give it a pretrained ``backbone``."""
    data = StarkPairs(frames="references", jittered=True, keyframes=True)
    return paper("aiatrack", data, STARK, 60_000, 500, 120)


@recipe
def ostrack_256() -> Recipe:
    """OSTrack-256 (section 4.1): tokens are dropped from epoch 20 on; give it MAE's ``backbone``."""
    data = StarkPairs(keyframes=True, scale=0.25, shift=3.0)
    return paper("ostrack-256", data, replace(STARK, lr=4e-4), 60_000, 300, 128)


@recipe
def ostrack_384() -> Recipe:
    """OSTrack-384: larger patches, more jitter."""
    return replace(ostrack_256(), model="ostrack-384", data=StarkPairs(keyframes=True))


@recipe
def grm_base_256() -> Recipe:
    """GRM-Base (section 4.1): the division's predictors learn as fast as the head; give it MAE's ``backbone``."""
    optimizer = replace(STARK, lr=4e-4, parts={"divide": 1.0})
    return replace(ostrack_256(), model="grm-base-256", optimizer=optimizer, batch=320)


@recipe
def grm_large_320() -> Recipe:
    """GRM-L320: ViT-L, larger search patches, more jitter."""
    return replace(grm_base_256(), model="grm-large-320", data=StarkPairs(keyframes=True), batch=80)


@recipe
def sparsett() -> Recipe:
    """SparseTT on all its data sets (VID with its validation part); give it Swin-Tiny's ``backbone``."""
    optimizer = replace(STARK, clip=0.0, drop_at=(0.5, 0.75))
    return paper("sparsett", SparsettPairs(), optimizer, 600_000, 20, 32)


@recipe
def siamattn() -> Recipe:
    """SiamAttn (section 4.1): the backbone trains in the second half; give it SiamRPN++'s ``backbone``.

    The official training code cannot run; this is what its settings and the published ones mean. Eight GPUs are
    assumed. A loss that is not finite stops the run here, where a step was skipped there.
    """
    optimizer = OptimizerConfig(
        5e-3,
        0.05,
        1e-4,
        decay_all=True,
        clip=10.0,
        warmup=5,
        warmup_from=0.2,
        final=0.1,
        schedule="exponential",
        kind="sgd",
        momentum=0.9,
    )
    return paper("siamattn", SiamattnPairs(), optimizer, 600_000, 20, 88, backbone_from=0.5)


variant("siamattn-otb", siamattn, "SiamAttn as for OTB: a fifth of the pairs is grey.", data=SiamattnPairs(grey=0.2))

for name in ("stark-s50", "stark-st50", "stark-st50-score", "stark-st101", "stark-st101-score", "aiatrack"):
    on_got10k(name)
on_got10k("ostrack-256", "keep_fewer=50", epochs=100)
on_got10k("ostrack-384", "keep_fewer=50", epochs=100)
on_got10k("grm-base-256", epochs=100)
on_got10k("sparsett", samples=300_000)


# Ablations of the papers

variant("sparsett-all-keys", sparsett, "SparseTT whose search tokens attend to all others.", "top_k=none")
variant("sparsett-fc-head", sparsett, "SparseTT with the 1x1 branch of its head alone.", "head=fc")
variant("sparsett-conv-head", sparsett, "SparseTT with the 3x3 branch of its head alone.", "head=conv")
variant("aiatrack-inner-self", aiatrack, "AiATrack with attention in the encoder's attention alone.", "inner_in=self")
variant("aiatrack-inner-cross", aiatrack, "AiATrack with attention in the decoder's attention alone.", "inner_in=cross")
variant("aiatrack-inner-none", aiatrack, "AiATrack with plain attention.", "inner_in=none")
variant("aiatrack-convolution", aiatrack, "AiATrack with convolution for inner attention.", "inner=convolution")
variant("aiatrack-cascade", aiatrack, "AiATrack with two plain attentions for one.", "inner=cascade")
variant("aiatrack-no-short-term", aiatrack, "AiATrack with the first frame alone.", "short_term=none")
variant("aiatrack-mixed", aiatrack, "AiATrack with one attention to all references.", "short_term=mixed")
variant("aiatrack-mask", aiatrack, "AiATrack with references masked to their targets.", "marks=mask")
variant("aiatrack-no-marks", aiatrack, "AiATrack whose references do not tell target from background.", "marks=none")
variant("grm-base-256-one-stream", grm_base_256, "GRM whose tokens all attend to each other.", "division=one-stream")
variant("grm-base-256-two-stream", grm_base_256, "GRM whose template does not see the search.", "division=two-stream")
variant("ostrack-256-all-tokens", ostrack_256, "OSTrack without elimination.", "eliminate_in=")
variant("siamattn-no-self", siamattn, "SiamAttn without self-attention.", "self_attention=false")
variant("siamattn-no-cross", siamattn, "SiamAttn without cross-attention.", "cross_attention=false")
variant("siamattn-plain", siamattn, "SiamAttn with a plain convolution behind the attention.", "convolution=plain")
variant("siamattn-no-refine", siamattn, "SiamAttn without refinement of the box.", "refine=false")


def get_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """A registered recipe with some fields changed.

    Args:
        overrides: such as ``"optimizer.lr=5e-4"``.

    Raises:
        DataError: unknown recipe or field (the closest are named), or a value of the wrong type.
    """
    if name not in RECIPES:
        raise DataError(f"unknown recipe {name!r}; {closest(name, RECIPES)}")
    return override(RECIPES[name](), overrides)
