"""A small network of every paper's file: its design at a size that costs a test nothing, all terms of its loss on."""

from __future__ import annotations

from collections.abc import Callable

from lockon.crops import CropSpec
from lockon.models.grm import Grm, GrmConfig
from lockon.models.ostrack import OSTrack, OSTrackConfig
from lockon.models.stark import Stark, StarkConfig
from lockon.nn.resnet import ResNetConfig
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
OSTRACK = OSTrackConfig(template=TEMPLATE, search=SEARCH, vit=VIT, head=(16, 8), eliminate_in=(1,), keep_ratio=0.5)
GRM = GrmConfig(template=TEMPLATE, search=SEARCH, vit=VIT, head=(16, 8), entropy_weight=1.0)

SMALL: dict[str, Callable[[], TrackingModel]] = {  # by the module in lockon.models
    "stark": lambda: Stark(STARK),
    "ostrack": lambda: OSTrack(OSTRACK),
    "grm": lambda: Grm(GRM),
}
