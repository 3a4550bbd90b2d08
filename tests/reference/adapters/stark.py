"""STARK's cases as calls of lockon."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lockon.crops import CropSpec, Window, crop
from lockon.data.papers.stark import jitter_box
from lockon.data.pick import pick_trident
from lockon.models import MODELS
from lockon.models.stark import (
    Stark,
    StarkConfig,
    StarkLightning,
    StarkPrediction,
    Tokens,
    official_name,
)
from lockon.nn.count import multiply_adds
from lockon.nn.heads import Corners, soft_argmax
from lockon.nn.position import sine_position
from lockon.nn.repvgg import fold
from lockon.nn.resnet import ResNetConfig
from lockon.tracker import PairBatch, State, Tracker, TrackingModel
from lockon.training.optimizer import OptimizerConfig
from lockon.training.phases import train_only
from lockon.training.recipe import Recipe
from lockon.training.run import Run

from ..runner import Adapter, Answer, Call, Case, keep, recorded

ADAPTER = Adapter(lacks=[])


# Models


@lru_cache
def _registered(variant: str) -> Any:
    with torch.device("meta"):  # no numbers are drawn
        return MODELS[variant.replace("_", "-")].build()


def _config(variant: str) -> StarkConfig:
    return _registered(variant).config


def _model(case: Case, **changes: Any) -> Stark:
    """The case's network with its weights, in eval mode; not to be changed."""
    config = replace(_config(case.variant), **changes)
    return keep((config, *case.weights), lambda: _build(case, config).eval())


def _build(case: Case, config: Any) -> Any:
    model = type(_registered(case.variant))(config)
    case.load_into(model, MODELS[case.variant.replace("_", "-")].official_name)
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
        return Tokens(
            torch.zeros(1, 1, 4), torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 0, 4)
        )

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


@ADAPTER.answers("network", "search_mask", "feat_x", "pos_x", "pred_boxes")
@torch.inference_mode()
def lightning(case: Case) -> Answer:
    config = _registered(case.variant).config
    model: StarkLightning = keep((config, *case.weights), lambda: _build(case, config).eval())
    with recorded(model, "bottleneck", "encoder") as calls:
        out = model(*_patches(case, "search"), model.memorize(*_patches(case, "template")))
    answer = {f"feat_{tag}": call.output.flatten(2).permute(2, 0, 1) for tag, call in zip("zx", calls["bottleneck"])}
    tables = {"z": model.pos_emb_z0, "x": model.pos_emb_x}
    answer |= {f"pos_{tag}": table().flatten(1).T[:, None] for tag, table in tables.items()}
    answer |= {f"score_{corner}": out.corners[:, i] for i, corner in enumerate(("tl", "br"))}
    return answer | {"memory": calls["encoder"][0].output.transpose(0, 1), "pred_boxes": out.boxes}


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
    changes = {name: case[name] for name in ("giou_weight", "l1_weight", "dropout")}
    model = _build(case, replace(_config(case.variant), **changes))
    boxes = case.tensor("gt_xywh").float()
    losses, norms = _step(case, model, _batch(case, boxes, torch.ones(len(boxes), dtype=torch.bool)))
    own = model.state_dict()
    statistics = {name: own[official_name(name)] for name in case.outputs if name in case.names}
    return _losses(losses) | norms | statistics


@ADAPTER.answers("train-step", "labels", "score_weight", "parameters")
def score_step(case: Case) -> Answer:
    changes = {name: case[name] for name in ("score_weight", "dropout")}
    model = _build(case, replace(_config(case.variant), giou_weight=0.0, l1_weight=0.0, **changes))
    train_only(model, "cls_head.")
    present = case.tensor("labels").bool()
    losses, norms = _step(case, model, _batch(case, torch.full((len(present), 4), 0.5), present))
    return {"cls_loss": losses["total"][None]} | norms


def _batch(case: Case, boxes: Tensor, present: Tensor) -> PairBatch:
    patches = [_patches(case, name) for name in _templates(case)]
    images, padding = (torch.stack(parts, dim=1) for parts in zip(*patches, strict=True))
    unseen = torch.zeros(*images.shape[:2], 4)
    return PairBatch(images, padding, unseen, *_patches(case, "search"), boxes, present)


def _step(case: Case, model: Stark, batch: PairBatch) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """One step of training: losses, and what the cases ask of gradients, groups and the change of the weights."""
    model.train({"train": True, "eval": False}[case["mode"]])
    rate, names = case["learning_rate"], [official_name(name) for name in case["parameters"]]
    backbone = case["backbone_learning_rate"] / rate if "backbone_learning_rate" in case.inputs else 1.0
    shared = {"weight_decay": case["weight_decay"], "clip": case["clip_norm"]}
    settings = OptimizerConfig(rate, backbone, betas=(0.9, 0.999), warmup=0, decay_all=True, **shared)
    run = Run(Recipe(case.variant, optimizer=settings, precision="float32"), model)
    parameters = [model.get_parameter(name) for name in names]
    before = [parameter.detach().clone() for parameter in parameters]
    norms: dict[str, Tensor] = {}  # the gradients are clipped before the step is over
    for name, parameter in zip(names, parameters, strict=True):
        parameter.register_post_accumulate_grad_hook(lambda p, name=name: norms.__setitem__(name, p.grad.norm()))
    losses = run.advance(batch)
    steps = [(parameter.detach() - old).norm() for parameter, old in zip(parameters, before, strict=True)]
    own = {id(p) for p in model.backbone.parameters()}
    groups = sorted(run.optimizer.param_groups, key=lambda group: id(group["params"][0]) in own)
    return losses, {
        "grad_norms": torch.stack([norms[name] for name in names]),
        "total_grad_norm": run.gradient[None],
        "step_norms": torch.stack(steps),
        "parameter_tensors_and_elements_per_group": [
            [len(group["params"]), sum(p.numel() for p in group["params"])] for group in groups
        ],
        "learning_rates": [group["lr"] for group in groups],
    }


@ADAPTER.answers("targets", "normal_draws", "uniform_draws", "search_factor")
def search_crops(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    jittered, mapped = [], []
    spec = _spec(case, "search")
    rows = zip(case["gt_xywh"], case["normal_draws"].tolist(), case["uniform_draws"].tolist(), strict=True)
    for number, (truth, normal, uniform) in enumerate(rows):
        box = jitter_box(truth, normal, uniform, case["scale_jitter"], case["center_jitter"])
        patch = crop(case["image"], box, spec)
        answer |= {f"patch_{number}": patch.image, f"att_mask_{number}": patch.padding}
        jittered.append(box)
        mapped.append(patch.window.to_patch(truth))
    return answer | {"jittered_xywh": jittered, "gt_in_crop_xywh": mapped}


@ADAPTER.answers("sampler", "visible", "draws", "max_gap")
def frames(case: Case) -> Answer:
    return {"frame_ids": [pick_trident(case["visible"], draws, case["max_gap"]) for draws in case["draws"].tolist()]}


@ADAPTER.answers("counts", "parts", "parameters", "parameters_by_part")
def counts(case: Case) -> Answer:
    model: TrackingModel = _registered(case.variant)
    rename = MODELS[case.variant.replace("_", "-")].official_name
    parameters = {name: p.numel() for name, p in model.named_parameters()}
    buffers = {name: b.numel() for name, b in model.state_dict().items() if name not in parameters}
    parts = dict.fromkeys(case["parts"], 0)
    for name in case.names:
        parts[name.split(".")[0]] += parameters.get(rename(name), 0)
    answer: dict[str, Any] = {
        "parameters": [sum(parameters.values())],
        "parameters_by_part": list(parts.values()),
        "parameters_trained": [sum(p.numel() for p in model.parameters() if p.requires_grad)],
        "buffer_elements": [sum(n for name, n in buffers.items() if not name.endswith("num_batches_tracked"))],
    }
    if "giga_macs" in case.outputs:
        answer["giga_macs"] = [_multiply_adds(case) / 1e9]
    if "parameters_folded" in case.outputs:
        folded = _build(case, _registered(case.variant).config)
        fold(folded)
        answer["parameters_folded"] = [sum(p.numel() for p in folded.parameters())]
    return answer


def _multiply_adds(case: Case) -> int:
    """Of a tracked frame, as the official recipe counts: templates are there, attention has no output projection."""
    config = _config(case.variant)
    template, search = (replace(getattr(config, p), size=case[f"{p}_size"]) for p in ("template", "search"))
    with torch.device("meta"):
        model = Stark(replace(config, template=template, search=search, templates=case["templates"])).eval()
        memory = None
        for _ in range(case["templates"]):
            memory = model.remember(memory, model.memorize(*_blank(template.size)))
        assert memory is not None
        outside = [name for name, _ in model.named_modules() if name.endswith("out_proj")]
        counted = multiply_adds(model, lambda: model(*_blank(search.size), memory), *outside)
    totals = {name: sum(kinds.values()) for name, kinds in counted.items()}
    return 2 * totals[""] - sum(totals.values())


def _blank(size: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, 3, size, size), torch.zeros(1, size, size, dtype=torch.bool)
