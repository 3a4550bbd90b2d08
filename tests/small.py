"""A small network of every paper's file: its design at a size that costs a test nothing, all terms of its loss on."""

from __future__ import annotations

from collections.abc import Callable

from lockon.crops import CropSpec
from lockon.models.aiatrack import AiATrack, AiATrackConfig
from lockon.models.grm import Grm, GrmConfig
from lockon.models.ostrack import OSTrack, OSTrackConfig
from lockon.models.siamattn import SiamAttn, SiamAttnConfig
from lockon.models.sparsett import Sparsett, SparsettConfig
from lockon.models.stark import LightningConfig, Stark, StarkConfig
from lockon.nn.repvgg import RepVGGConfig
from lockon.nn.resnet import ResNetConfig
from lockon.nn.swin import SwinConfig
from lockon.nn.vit import ViTConfig
from lockon.tracker import TrackingModel

TEMPLATE, SEARCH = CropSpec(2, 32), CropSpec(4, 64)
VIT = ViTConfig(patch=8, dim=32, depth=3, heads=2, feedforward=64, drop_path=0.0)

STARK = StarkConfig(
    template=TEMPLATE,
    search=SEARCH,
    backbone=ResNetConfig((1, 1), (8, 16), (1, 2), (1, 1), "basic", 8, frozen_norm=False),
    dim=32,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.0,
    head=(16, 8),
    score_head=True,
    corner_weight=1.0,
    similarity_weight=1.0,
    score_weight=1.0,
)
LIGHTNING = LightningConfig(
    template=TEMPLATE,
    search=SEARCH,
    backbone=RepVGGConfig((1, 2), (4, 8, 16), frozen_norm=True, frozen_stages=0),
    dim=16,
    heads=2,
    feedforward=32,
)
OSTRACK = OSTrackConfig(template=TEMPLATE, search=SEARCH, vit=VIT, head=(16, 8), eliminate_in=(1,), keep_ratio=0.5)
GRM = GrmConfig(template=TEMPLATE, search=SEARCH, vit=VIT, head=(16, 8), entropy_weight=1.0)
SPARSETT = SparsettConfig(
    template=CropSpec(1.0, 63, 0.5, "mean", "warped"),
    search=CropSpec(129 / 63, 129, 0.5, "mean", "warped"),
    backbone=SwinConfig(dim=8, depths=(1, 1, 2, 1), heads=(1, 2, 2, 2), window=3),
    dim=16,
    heads=2,
    feedforward=32,
    encoder_layers=1,
    decoder_layers=1,
    dropout=0.0,
    top_k=5,
    head_dim=16,
    blocks=1,
)
SIAMATTN = SiamAttnConfig(
    template=CropSpec(1.0, 47, 0.5, "mean", "rounded"),
    search=CropSpec(95 / 47, 95, 0.5, "mean", "rounded"),
    backbone=ResNetConfig((1, 1, 1), (4, 8, 8), (1, 2, 1), (1, 1, 2), "basic", 4, frozen_norm=False, style="siamrpn"),
    levels=2,
    dim=8,
    cells=3,
    scale=4,
    key_dim=2,
    hidden=8,
    box_hidden=8,
    mask_cells=4,
    mask_convs=1,
)
AIATRACK = AiATrackConfig(
    crop=CropSpec(4, 64),
    backbone=ResNetConfig((1, 1), (8, 16), (1, 2), (1, 1), "basic", 8, frozen_stages=0),
    dim=32,
    heads=2,
    feedforward=32,
    encoder_layers=2,
    match=16,
    dropout=0.0,
    head=(16, 8),
    references=2,
    cache=4,
    accept_above=-1e9,  # every frame is trusted
)

SMALL: dict[str, Callable[[], TrackingModel]] = {  # by the module in lockon.models
    "stark": lambda: Stark(STARK),
    "ostrack": lambda: OSTrack(OSTRACK),
    "grm": lambda: Grm(GRM),
    "sparsett": lambda: Sparsett(SPARSETT),
    "siamattn": lambda: SiamAttn(SIAMATTN),
    "aiatrack": lambda: AiATrack(AIATRACK),
}
