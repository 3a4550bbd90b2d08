"""GRM's cases as calls of lockon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lockon.crops import CropSpec, Window, crop
from lockon.data.papers.stark import jitter_box
from lockon.models.grm import (
    DividedAttention,
    Grm,
    GrmConfig,
    division_entropy,
    grm_base_256,
    grm_large_320,
    masked_softmax,
    relation_mask,
    target_tokens,
)
from lockon.models.ostrack import OneStreamPrediction, hann_window, official_name
from lockon.nn.heads import CenterHead, centered_boxes
from lockon.nn.losses import center_map
from lockon.nn.vit import ViTConfig, resize_positions
from lockon.tracker import PairBatch, State
from lockon.training.optimizer import parameter_groups
from lockon.training.recipes import get_recipe

from ..runner import Adapter, Answer, Case, keep, recorded
from .ostrack import blank, counted, crops, images, loaded, maps, memorize, network_outputs, track, watched

VARIANTS: dict[str, Callable[[], Grm]] = {
    "vitb_256_ep300": grm_base_256,
    "vitb_256_got_ep100": grm_base_256,
    "vitl_320_ep300": grm_large_320,
}
ADAPTER = Adapter(lacks=[])
TINY = GrmConfig(vit=ViTConfig(dim=4, depth=1, heads=1, feedforward=4), head=(4,))


def _config(case: Case, **changes: Any) -> GrmConfig:
    if "threshold" in case.inputs:
        changes["threshold"] = case["threshold"]
    with torch.device("meta"):  # no numbers are drawn
        return replace(VARIANTS[case.variant]().config, **changes)


def _model(case: Case, **changes: Any) -> Grm:
    """The case's network with its weights, in eval mode."""
    config = _config(case, **changes)
    model = keep(case.weights, lambda: loaded(case, lambda: Grm(config)).eval())
    assert isinstance(model, Grm)
    model.config = config
    return model


# Crops and boxes


@ADAPTER.answers("crop", "image", "boxes_xywh", "factor", "size")
def cuts(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    for name, box in case["boxes_xywh"].items():
        patch = crop(case["image"], box, CropSpec(case["factor"], case["size"]))
        answer[f"{name}.crop"], answer[f"{name}.mask"] = patch.image, patch.padding.astype(np.uint8)
        answer[f"{name}.resize_factor"] = patch.window.scale
    return answer


@ADAPTER.answers("crop", "crop", "tensor")
@torch.inference_mode()
def normalised(case: Case) -> Answer:
    patch = images(case, "crop")
    model = Grm(replace(TINY, template=CropSpec(2.0, patch.shape[2])))
    with recorded(model, "backbone.patch_embed") as calls:
        memorize(model, patch)
    return {"tensor": calls["backbone.patch_embed"][0].inputs[0]}


@ADAPTER.answers("crop", "image", "box_xywh", "parts")
def jittered(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    for name, part in case["parts"].items():
        draws = sorted(key.removeprefix("normal_") for key in case.inputs if key.startswith("normal_"))
        for i in draws:
            normal, uniform = case[f"normal_{i}"].tolist(), case[f"uniform_{i}"].tolist()
            box = jitter_box(case["box_xywh"], normal, uniform, part["scale_jitter"], part["centre_jitter"])
            patch = crop(case["image"], box, CropSpec(part["factor"], part["size"]))
            answer[f"{name}{i}.jittered_box"], answer[f"{name}{i}.crop"] = box, patch.image
            answer[f"{name}{i}.box_in_crop"] = patch.window.to_patch(case["box_xywh"])
    return answer


def _window(box: list[float], factor: float, size: int) -> Window:
    """Of the crop around a box; the picture does not matter."""
    return crop(np.zeros((1, 1, 3), np.uint8), box, CropSpec(factor, size)).window


@ADAPTER.answers("targets", "boxes_xywh", "crops", "other")
def boxes_in_crops(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    template_size = case["crops"][0]["size"]
    for name, box in case["boxes_xywh"].items():
        for spec in case["crops"]:
            placed = _window(box, spec["factor"], spec["size"]).to_patch(box)
            answer[f"{name}.{spec['size']}.box"] = placed
            if spec["size"] == template_size:
                side = template_size // TINY.vit.patch
                answer[f"{name}.template_mask"] = target_tokens(torch.tensor([placed]), side).float()
    other = case["other"]
    window = _window(other["extraction_box_xywh"], other["factor"], other["size"])
    return answer | {"other_box": window.to_patch(other["box_xywh"])}


@ADAPTER.answers("postprocess", "sizes")
def windows(case: Case) -> Answer:
    return {f"w{size}": hann_window(size) for size in case["sizes"]}


@ADAPTER.answers("targets", "boxes_xywh", "search_sizes", "stride")
def label_maps(case: Case) -> Answer:
    boxes = torch.tensor(case["boxes_xywh"])
    return {f"map{size}": center_map(boxes, size // case["stride"]) for size in case["search_sizes"]}


# The division


def _attention(case: Case) -> tuple[nn.ModuleDict, Tensor, GrmConfig]:
    """A divided attention with the case's weights, the target tokens and how to divide."""
    model = nn.ModuleDict({"attn": DividedAttention(case["dim"], case["heads"], late=not case["early"])})
    case.load_into(model, lambda name: name)
    target = torch.ones(len(case.tensor("x")), case["template_tokens"], dtype=torch.bool)
    if "template_mask" in case.inputs:
        target = case.tensor("template_mask").bool()
    config = GrmConfig(
        pooling=case["pooling"], threshold=case["threshold"], ratio=case["ratio"], grouped=not case["masking"]
    )
    return model, target, config


@ADAPTER.answers("module", "x", "noise", "w", "grad_norms")
def attention_training(case: Case) -> Answer:
    model, target, config = _attention(case)
    x = case.tensor("x").requires_grad_()
    out, chosen = model["attn"](x, target, replace(config, tau=case["tau"]), case.tensor("noise"))
    (out * case.tensor("w")).sum().backward()
    gradients = [model.get_parameter(name).grad for name in case["parameters"]]
    norms = torch.stack([gradient.norm() for gradient in gradients if gradient is not None])
    return {"output": out, "division": _marks(chosen), "grad_x": x.grad, "grad_norms": norms}


@ADAPTER.answers("module", "x", "divide_output", "output")
@torch.inference_mode()
def attention(case: Case) -> Answer:
    model, target, config = _attention(case)
    with recorded(model.eval(), "attn.divide_predict") as calls:
        out, chosen = model["attn"](case.tensor("x"), target, config)
    log_probs = calls["attn.divide_predict"][0].output
    return {"divide_output": log_probs, "division": _marks(chosen), "output": out}


def _marks(chosen: Tensor) -> Tensor:
    return chosen.detach().round().to(torch.uint8)


@ADAPTER.answers("module", "scores", "policy", "eps")
def softmax(case: Case) -> Answer:
    mask = relation_mask(case.tensor("policy"))[:, None]
    return {"out": masked_softmax(case.tensor("scores"), mask, case["eps"])}


# The network, whole and in parts


@ADAPTER.answers("module", "x", "given_map", "score_map")
@torch.inference_mode()
def head(case: Case) -> Answer:
    widths = tuple(case["channel"] // 2**i for i in range(4))
    model = nn.ModuleDict({"box_head": CenterHead(case["inplanes"], widths)})
    case.load_into(model, official_name)
    scores, sizes, offsets = model.eval()["box_head"](case.tensor("x"))
    return {
        "score_map": scores[:, None],
        "size_map": sizes,
        "offset_map": offsets,
        "boxes": centered_boxes(scores, sizes, offsets),
        "boxes_at_given_map": centered_boxes(case.tensor("given_map"), sizes, offsets),
    }


@ADAPTER.answers("module", "pos_embed", "grids")
def positions(case: Case) -> Answer:
    return {name: resize_positions(case.tensor("pos_embed"), height) for name, (height, _) in case["grids"].items()}


@ADAPTER.answers("network", "threshold", "pred_boxes")
@torch.inference_mode()
def network(case: Case) -> Answer:
    model, search = _model(case), images(case, "search")
    predictors = [f"backbone.blocks.{i}.attn.divide_predict" for i in range(1, model.config.vit.depth)]
    with recorded(model, *watched(model), *predictors) as calls:
        out = model(search, blank(search), memorize(model, images(case, "template")))
    log_probs = torch.stack([calls[name][0].output for name in predictors])
    shared = {name: log for name, log in calls.items() if name not in predictors}
    return {
        **network_outputs(shared, out),
        "division": _marks(out.chosen).transpose(0, 1),
        "division_log_probs": log_probs,
    }


@ADAPTER.answers("loop", "video", "init_box_xywh", "cross_relation_tokens_per_layer")
def loop(case: Case) -> Answer:
    boxes, predictions = track(case, _model(case, **crops(case)))
    return {
        "boxes": boxes,
        "cross_relation_tokens_per_layer": torch.cat([p.chosen.sum(-1).long() for p in predictions]),
        "best_score_without_window": torch.cat([p.score for p in predictions]),
    }


@ADAPTER.answers("postprocess", "states_xywh", "score_map", "size_map", "offset_map")
def post_processing(case: Case) -> Answer:
    scores, sizes, offsets = case.tensor("score_map")[:, 0], case.tensor("size_map"), case.tensor("offset_map")
    windowed = centered_boxes(scores * hann_window(scores.shape[-1]), sizes, offsets)
    plain = centered_boxes(scores, sizes, offsets)
    boxes = case["states_xywh"]
    places = [_window(box, case["search_factor"], case["search_size"]) for box in boxes]
    height, width = case["image_height_width"]
    prediction = OneStreamPrediction(plain, scores.flatten(1).amax(1), scores, sizes, offsets, scores[:, :0].flatten(2))
    model = Grm(replace(TINY, margin=case["margin"]))
    resolved = model.resolve(prediction, places, [State(tuple(box), None) for box in boxes], (width, height))
    return {
        "windowed_prediction_cxcywh": windowed,
        "unwindowed_prediction_cxcywh": plain,
        "box_in_image_xywh": [place.to_frame(box) for place, box in zip(places, windowed.tolist(), strict=True)],
        "new_state_xywh": [state.box for state, _ in resolved],
    }


# Training


def _weights(case: Case) -> dict[str, Any]:
    names = {"giou": "giou_weight", "l1": "l1_weight", "focal": "score_weight"}
    return {ours: case["weights"][theirs] for theirs, ours in names.items()}


def _losses(losses: dict[str, Tensor]) -> dict[str, Any]:
    names = {"total": "total", "giou": "giou", "l1": "l1", "loc": "score", "IoU": "iou"}
    return {theirs: losses[ours].item() for theirs, ours in names.items()}


@ADAPTER.answers("loss", "pred_boxes", "score_logits", "decisions", "gt_xywh", "weights")
def loss(case: Case) -> Answer:
    predicted, logits = case.tensor("pred_boxes").requires_grad_(), case.tensor("score_logits").requires_grad_()
    scores = logits[:, 0].sigmoid().clamp(1e-4, 1 - 1e-4)
    unread = torch.zeros(0)
    shares = case.tensor("decisions")[..., None]
    prediction = OneStreamPrediction(predicted[:, 0], unread, scores, unread, unread, shares)
    boxes = torch.tensor(case["gt_xywh"])
    present = torch.ones(len(boxes), dtype=torch.bool)
    model = Grm(replace(TINY, **_weights(case)))
    losses = model.losses(prediction, boxes, present)
    losses["total"].backward()
    model.config = replace(model.config, entropy_weight=1.0)
    return _losses(losses) | {
        "entropy_option": division_entropy(case.tensor("decisions")).item(),
        "total_with_entropy_option": model.losses(prediction, boxes, present)["total"].item(),
        "grad_boxes": predicted.grad,
        "grad_score_logits": logits.grad,
    }


@ADAPTER.answers("train-step", "gt_xywh", "tau", "drop_path", "weights", "parameters")
def step(case: Case) -> Answer:
    config = _config(case, tau=case["tau"], **_weights(case))
    config = replace(config, vit=replace(config.vit, drop_path=case["drop_path"]))
    model = loaded(case, lambda: Grm(config)).train()
    template, search = images(case, "template"), images(case, "search")
    boxes = torch.tensor(case["gt_xywh"])
    present = torch.ones(len(boxes), dtype=torch.bool)
    middle = torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(len(boxes), 4)
    layers = sorted(int(key.removeprefix("noise_")) for key in case.inputs if key.startswith("noise_"))
    noise = [case.tensor(f"noise_{layer}") for layer in layers]
    batch = PairBatch(
        template[:, None], blank(template)[:, None], middle[:, None], search, blank(search), boxes, present
    )
    with recorded(model, "") as calls:
        losses = model.loss(batch, noise=noise)
    losses["total"].backward()
    out = calls[""][0].output
    gradients = [model.get_parameter(official_name(name)).grad for name in case["parameters"]]
    norms = torch.stack([gradient.norm() for gradient in gradients if gradient is not None]).double()
    unused = [model.get_parameter(official_name(name)).grad for name in case["parameters_without_gradient"]]
    assert unused == [None] * len(unused)
    answer = _losses(losses) | maps(out) | {"cross_relation_share": out.chosen.mean(-1)}
    answer |= {"grad_norms": norms, "total_grad_norm": norms.norm().double()}
    own = model.state_dict()
    for name in case.outputs:
        for statistic in ("running_mean", "running_var"):
            if name.startswith(f"{statistic}_after."):
                module = name.removeprefix(f"{statistic}_after.")
                answer[name] = own[official_name(f"{module}.{statistic}")]
    return answer


@ADAPTER.answers("counts", "template_size", "search_size", "multiply_adds")
def counts(case: Case) -> Answer:
    model, numbers = counted(case, lambda sizes: Grm(_config(case, **sizes)))
    own = dict(model.named_parameters())
    buffers = sum(x.numel() for name, x in model.state_dict().items() if name not in own)
    answer = {**numbers, "buffers": np.array(buffers)}
    names = {"rest": "head", "backbone": "backbone", "divide": "division"}
    model.requires_grad_()  # the official optimiser has what is never used, too
    for group in parameter_groups(model, get_recipe("grm-base-256").optimizer):
        name = names[group["part"]]
        answer[f"{name}_parameters"] = np.array(sum(p.numel() for p in group["params"]))
        answer[f"{name}_tensors"] = np.array(len(group["params"]))
    return answer
