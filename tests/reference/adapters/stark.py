"""STARK's cases as calls of lockon."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lockon.crops import CropSpec, Window, crop
from lockon.models.stark import (
    Stark,
    StarkConfig,
    StarkPrediction,
    Tokens,
    official_name,
    stark_s50,
    stark_st50,
    stark_st101,
)
from lockon.nn.heads import Corners, soft_argmax
from lockon.nn.position import sine_position
from lockon.nn.resnet import ResNetConfig
from lockon.tracker import PairBatch, State, Tracker

from ..runner import Adapter, Answer, Call, Case, Lack, keep, recorded

VARIANTS: dict[str, Callable[[], Stark]] = {
    "stark_s50": stark_s50,
    "stark_st50": stark_st50,
    "stark_st101": stark_st101,
}

LIGHTNING = "STARK-Lightning: no RepVGG backbone, no single-layer transformer, no pixel head"
OPTIMISER = "STARK's own training: stem and layer1 frozen, two parameter groups, weight decay on every parameter"
STEP = ("total_grad_norm", "step_norms", "parameter_tensors_and_elements_per_group", "learning_rates")
ADAPTER = Adapter(
    lacks=[
        Lack(LIGHTNING, "network", variants="lightning"),
        Lack(LIGHTNING, "counts", variants="lightning"),
        Lack("STARK-ST's frame picker (trident)", "sampler", inputs=("visible", "draws")),
        Lack("STARK's box jitter with given draws", "targets", inputs=("normal_draws", "uniform_draws")),
        Lack("STARK-ST's second training stage: two templates, score head alone", "train-step", inputs=("labels",)),
        Lack(OPTIMISER, "counts", outputs=("parameters_trained",)),
        Lack(OPTIMISER, "train-step", inputs=("gt_xywh",), outputs=STEP),
        Lack("counting of multiply-adds", "counts", outputs=("giga_macs",)),
    ]
)


# Models


@lru_cache
def _config(variant: str) -> StarkConfig:
    with torch.device("meta"):  # no numbers are drawn
        return VARIANTS[variant]().config


def _model(case: Case, **changes: Any) -> Stark:
    """The case's network with its weights, in eval mode; not to be changed."""
    config = replace(_config(case.variant), **changes)
    return keep((config, *case.weights), lambda: _build(case, config).eval())


def _build(case: Case, config: StarkConfig) -> Stark:
    model = Stark(config)
    case.load_into(model, official_name)
    return model


TINY = StarkConfig(
    backbone=ResNetConfig(layers=(1, 1, 1), widths=(4, 4, 4), stem=4),
    dim=4,
    heads=1,
    feedforward=4,
    encoder_layers=0,
    decoder_layers=0,
    head=(4,),
)


class Spoken(Stark):
    """A STARK whose network has spoken: its loss and online rules on a given prediction."""

    def __init__(self, prediction: StarkPrediction, **changes: Any) -> None:
        super().__init__(replace(TINY, **changes))
        self.prediction = prediction

    def memorize(self, images: Tensor, padding: Tensor, boxes: Tensor | None = None) -> Tokens:
        return Tokens(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.bool))

    def forward(self, images: Tensor, padding: Tensor, memory: Tokens) -> StarkPrediction:
        return self.prediction


# Inputs


def _patches(case: Case, name: str) -> tuple[Tensor, Tensor]:
    """The images and padding called ``name``: one image, or a batch ``name_sample0``, ``name_sample1``, ..."""
    samples = [name] if name in case.inputs else _names(case, rf"^{name}_sample\d+$")
    images = torch.from_numpy(np.stack([case[sample] for sample in samples])).permute(0, 3, 1, 2)
    return images, case.tensor(f"{name}_mask")


def _templates(case: Case) -> list[str]:
    return [name.removesuffix("_mask") for name in _names(case, r"^template\d*_mask$")]


def _names(case: Case, pattern: str) -> list[str]:
    return sorted(name for name in case.inputs if re.search(pattern, name))


def _spec(case: Case, patch: str) -> CropSpec:
    return CropSpec(case[f"{patch}_factor"], case[f"{patch}_size"])


# Crops


@ADAPTER.answers("crop", "image", "box_xywh")
def crops(case: Case) -> Answer:
    return _crop(case, "template") | _crop(case, "search")


def _crop(case: Case, name: str) -> dict[str, Any]:
    patch = crop(case["image"], case["box_xywh"], _spec(case, name))
    model, stride = Stark(TINY), case["stride"]
    assert stride == TINY.backbone.stride
    with torch.inference_mode(), recorded(model, "backbone") as calls:
        images = torch.from_numpy(patch.image)[None].permute(0, 3, 1, 2)
        tokens = model.memorize(images, torch.from_numpy(patch.padding)[None])
    return {
        f"{name}_resize_factor": [patch.window.scale],
        f"{name}_patch": patch.image,
        f"{name}_mask": patch.padding,
        f"{name}_mask_stride{stride}": tokens.padding[0].unflatten(0, (patch.window.size // stride, -1)),
        f"{name}_normalised": calls["backbone"][0].inputs[0],
    }


# The network, whole and in parts


@ADAPTER.answers("network", "search_mask", "pred_boxes")
@torch.inference_mode()
def network(case: Case) -> Answer:
    model = _model(case)
    encoder = [f"transformer.encoder.layers.{i}" for i in range(model.config.encoder_layers)]
    decoder = [f"transformer.decoder.layers.{i}" for i in range(model.config.decoder_layers)]
    stages = [f"backbone.{stage}" for stage in model.backbone.stages]
    watched = [*stages, "bottleneck", "transformer", *encoder, *decoder, "box_head"]
    with recorded(model, *watched) as calls:
        memory = None
        for name in _templates(case):
            memory = model.remember(memory, model.memorize(*_patches(case, name)))
        assert memory is not None
        out = model(*_patches(case, "search"), memory)
    tags = [f"z{name.removeprefix('template')}" for name in _templates(case)] + ["x"]
    answer = _image_outputs(calls, tags)
    answer |= {f"enc{i}": calls[name][0].output.transpose(0, 1) for i, name in enumerate(encoder)}
    answer |= {f"dec{i}": calls[name][0].output.transpose(0, 1) for i, name in enumerate(decoder)}
    answer |= _corner_outputs(calls["box_head"][0].output)
    _, position, padding, _ = calls["transformer"][0].inputs
    return answer | {
        "pos": position.transpose(0, 1),
        "merged_mask": padding,
        "decoder_out": calls["transformer"][0].output[0][None],
        "similarity": out.similarity.flatten(1)[..., None],
        "head_input": calls["box_head"][0].inputs[0],
        "pred_boxes": out.boxes[:, None],
        "pred_logits": out.score_logit[:, None, None],
    }


def _image_outputs(calls: dict[str, list[Call]], tags: list[str]) -> dict[str, Tensor]:
    """What belongs to one image; the modules have met the images in the order of the tags."""
    features = [call.output for call in calls["bottleneck"]]
    merged = calls["transformer"][0].inputs[1]  # (B, N, C)
    positions = merged.split([x[0, 0].numel() for x in features], dim=1)
    answer = {}
    for i, (tag, feature, position) in enumerate(zip(tags, features, positions, strict=True)):
        answer[f"maxpool_{tag}"] = calls["backbone.layer1"][i].inputs[0]
        answer |= {f"layer{n}_{tag}": calls[f"backbone.layer{n}"][i].output for n in (1, 2, 3)}
        answer[f"bottleneck_{tag}"] = feature
        answer[f"pos_{tag}"] = position.transpose(1, 2).unflatten(2, feature.shape[2:])
    return answer


def _corner_outputs(corners: Corners) -> dict[str, Tensor]:
    """The boxes and both maps; the softmax inside the head cannot be watched and is taken here once more."""
    answer = {"corners_xyxy": corners.boxes}
    for i, corner in enumerate(("tl", "br")):
        answer[f"score_{corner}"] = corners.scores[:, i : i + 1]
        answer[f"prob_{corner}"] = corners.scores[:, i].flatten(1).softmax(1)
    return answer


@ADAPTER.answers("module", "mask", "channels", "pos")
def position_encoding(case: Case) -> Answer:
    return {"pos": sine_position(case.tensor("mask"), case["channels"])}


@ADAPTER.answers("module", "module", "src", "pos", "key_padding_mask", "out")
@torch.inference_mode()
def encoder_layer(case: Case) -> Answer:
    layer = _model(case).get_submodule(official_name(case["module"]))
    return {"out": layer(*_batch_first(case, "src", "pos"), case.tensor("key_padding_mask")).transpose(0, 1)}


@ADAPTER.answers("module", "module", "tgt", "query_pos", "memory", "pos", "memory_key_padding_mask", "out")
@torch.inference_mode()
def decoder_layer(case: Case) -> Answer:
    layer = _model(case).get_submodule(official_name(case["module"]))
    tokens = _batch_first(case, "tgt", "query_pos", "memory", "pos")
    return {"out": layer(*tokens, case.tensor("memory_key_padding_mask")).transpose(0, 1)}


@ADAPTER.answers("module", "src", "pos", "key_padding_mask", "hs", "memory")
@torch.inference_mode()
def transformer(case: Case) -> Answer:
    model = _model(case)
    src, pos = _batch_first(case, "src", "pos")
    hs, memory = model.transformer(src, pos, case.tensor("key_padding_mask"), model.query_embed.weight)
    return {"hs": hs[None], "memory": memory.transpose(0, 1)}


def _batch_first(case: Case, *names: str) -> list[Tensor]:
    return [case.tensor(name).transpose(0, 1) for name in names]


@ADAPTER.answers("module", "hs", "memory", "search_tokens", "pred_boxes")
@torch.inference_mode()
def heads(case: Case) -> Answer:
    (memory,) = _batch_first(case, "memory")
    out = _model(case).predict(case.tensor("hs")[-1], memory[:, -case["search_tokens"] :])
    return {"pred_boxes": out.boxes[:, None]}


@ADAPTER.answers("module", "module", "x", "corners_xyxy")
@torch.inference_mode()
def corner_head(case: Case) -> Answer:
    return _corner_outputs(_model(case).get_submodule(official_name(case["module"]))(case.tensor("x")))


@ADAPTER.answers("module", "score", "stride", "xy_pixels")
def expected_place(case: Case) -> Answer:
    score = case.tensor("score")
    size = torch.tensor([score.shape[3], score.shape[2]])
    return {"xy_pixels": soft_argmax(score)[:, 0] * size * case["stride"]}


@ADAPTER.answers("module", "module", "hs", "pred_logits")
@torch.inference_mode()
def score_head(case: Case) -> Answer:
    return {"pred_logits": _model(case).get_submodule(official_name(case["module"]))(case.tensor("hs")[-1])}


@ADAPTER.answers("module", "module", "x", "out")
@torch.inference_mode()
def module(case: Case) -> Answer:
    return {"out": _model(case).get_submodule(official_name(case["module"]))(case.tensor("x"))}


# Online rules


def _prediction(boxes: Tensor, logits: Tensor) -> StarkPrediction:
    return StarkPrediction(boxes, logits.sigmoid(), logits, torch.zeros(1, 2, 1, 1), torch.zeros(1, 1, 1))


@ADAPTER.answers("postprocess", "state_xywh", "box_cxcywh", "resize_factor")
def post_processing(case: Case) -> Answer:
    boxes, size = case.tensor("box_cxcywh"), case["search_size"]
    before, scales = case.tensor("state_xywh").tolist(), case.tensor("resize_factor").tolist()
    windows = [Window(x + w / 2, y + h / 2, scale, size) for (x, y, w, h), scale in zip(before, scales, strict=True)]
    states = [State(tuple(box), None) for box in before]
    prediction = _prediction(boxes, torch.zeros(len(boxes)))
    frame_size = (case["image_width"], case["image_height"])
    resolved = Spoken(prediction, margin=case["margin"]).resolve(prediction, windows, states, frame_size)
    return {
        "mapped_xywh": [window.to_frame(box) for window, box in zip(windows, boxes.tolist(), strict=True)],
        "clipped_xywh": [state.box for state, _ in resolved],
    }


@ADAPTER.answers("loop", "video", "init_box_xywh", "boxes_xywh")
def loop(case: Case) -> Answer:
    settings = {"update_interval": "update_interval", "score_threshold": "update_above", "margin": "margin"}
    changes = {ours: case[theirs] for theirs, ours in settings.items() if theirs in case.inputs}
    model = _model(case, template=_spec(case, "template"), search=_spec(case, "search"), **changes)
    first, *frames = case["video"]
    tracker = Tracker(model)
    tracker.init(first, case["init_box_xywh"])
    forced = case.tensor("state_before_xywh").tolist() if "state_before_xywh" in case.inputs else [None] * len(frames)
    answer: dict[str, list[Any]] = {"boxes_xywh": [], "scores": [], "template_replaced": []}
    for frame, box in zip(frames, forced, strict=True):
        (state,) = tracker.states
        if box is not None:
            tracker.states = [replace(state, box=tuple(box))]
        result = tracker.update(frame)
        assert not isinstance(result, list)
        answer["boxes_xywh"].append(result.box)
        answer["scores"].append(result.score)
        answer["template_replaced"].append(int(tracker.states[0].memory is not state.memory))
    return answer


# Training


def _pairs(boxes: Tensor, present: Tensor) -> PairBatch:
    """Pairs whose pictures nobody looks at."""
    blank = torch.zeros(1)
    return PairBatch(blank[None], blank[None], blank[None], blank, blank, boxes, present)


@ADAPTER.answers("loss", "pred_cxcywh", "gt_xywh", "giou_weight", "l1_weight")
def box_losses(case: Case) -> Answer:
    predicted, boxes = case.tensor("pred_cxcywh").requires_grad_(), case.tensor("gt_xywh").float()
    prediction = _prediction(predicted.flatten(0, 1), torch.zeros(len(boxes)))
    model = Spoken(prediction, giou_weight=case["giou_weight"], l1_weight=case["l1_weight"])
    losses = model.loss(_pairs(boxes, torch.ones(len(boxes), dtype=torch.bool)))
    losses["total"].backward()
    return _losses(losses) | {"grad_pred": predicted.grad}


def _losses(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: losses[name][None] for name in ("total", "giou", "l1", "iou")}


@ADAPTER.answers("loss", "logits", "labels")
def score_loss(case: Case) -> Answer:
    logits, labels = case.tensor("logits").requires_grad_(), case.tensor("labels").bool()
    boxes = torch.full((len(labels), 4), 0.5)
    loss = Spoken(_prediction(boxes, logits), score_weight=1.0).loss(_pairs(boxes, labels))["score"]
    loss.backward()
    return {"loss": loss[None], "grad_logits": logits.grad}


@ADAPTER.answers("train-step", "gt_xywh", "giou_weight", "l1_weight", "parameters")
def box_step(case: Case) -> Answer:
    settings = {name: case[name] for name in ("giou_weight", "l1_weight", "dropout")}
    model = _build(case, replace(_config(case.variant), **settings))
    model.train({"train": True, "eval": False}[case["mode"]])
    (template,) = _templates(case)
    boxes = case.tensor("gt_xywh").float()
    present = torch.ones(len(boxes), dtype=torch.bool)
    images, padding = (part[:, None] for part in _patches(case, template))
    unseen = torch.zeros(len(boxes), 1, 4)
    losses = model.loss(PairBatch(images, padding, unseen, *_patches(case, "search"), boxes, present))
    losses["total"].backward()
    gradients = [model.get_parameter(official_name(name)).grad for name in case["parameters"]]
    own = model.state_dict()
    statistics = {name: own[official_name(name)] for name in case.outputs if name in case.names}
    norms = torch.stack([gradient.norm() for gradient in gradients if gradient is not None])
    return _losses(losses) | {"grad_norms": norms} | statistics


@ADAPTER.answers("counts", "parts", "parameters", "parameters_by_part", "buffer_elements")
def counts(case: Case) -> Answer:
    with torch.device("meta"):
        model = VARIANTS[case.variant]()
    parameters = {name: p.numel() for name, p in model.named_parameters()}
    buffers = {name: b.numel() for name, b in model.state_dict().items() if name not in parameters}
    parts = dict.fromkeys(case["parts"], 0)
    for name in case.names:
        parts[name.split(".")[0]] += parameters.get(official_name(name), 0)
    return {
        "parameters": [sum(parameters.values())],
        "parameters_by_part": list(parts.values()),
        "buffer_elements": [sum(n for name, n in buffers.items() if not name.endswith("num_batches_tracked"))],
    }
