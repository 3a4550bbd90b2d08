"""SparseTT's cases as calls of lockon."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lockon.boxes import Box
from lockon.crops import Window, crop, warp_matrix
from lockon.data.papers.sparsett import SparsettPairs, cut_pair
from lockon.models.sparsett import (
    Dense,
    SparseAttention,
    Sparsett,
    SparsettConfig,
    SparsettPrediction,
    Template,
    choose,
    dense_losses,
    from_centre,
    grid_points,
    label_maps,
    official_name,
    relative_boxes,
    smooth,
    to_centre,
)
from lockon.nn.anchors import cosine_window
from lockon.nn.count import multiply_adds
from lockon.nn.position import LearnedPosition
from lockon.nn.swin import SwinConfig
from lockon.tracker import State, Tracker
from lockon.training.optimizer import OptimizerConfig, learning_rate, parameter_groups

from ..runner import Adapter, Answer, Call, Case, keep, recorded

ADAPTER = Adapter(lacks=[])


# Models


def _model(case: Case, **changes: Any) -> Sparsett:
    """The case's network with its weights, in eval mode; not to be changed."""
    config = SparsettConfig(**changes)
    return keep((config, *case.weights), lambda: _build(case, config).eval())


def _build(case: Case, config: SparsettConfig) -> Sparsett:
    model = Sparsett(config)
    case.load_into(model, official_name)
    return model


def _part(case: Case) -> nn.Module:
    return _model(case).get_submodule(official_name(case["module"]))


TINY = SparsettConfig(
    backbone=SwinConfig(dim=4, depths=(1, 1, 1), heads=(1, 1, 1)),
    dim=4,
    heads=1,
    feedforward=4,
    encoder_layers=0,
    decoder_layers=0,
    head_dim=4,
    blocks=0,
)


class Spoken(Sparsett):
    """A SparseTT whose network has spoken: its online rules on a given prediction."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(replace(TINY, **changes))

    def memorize(self, images: Tensor, padding: Tensor | None = None, boxes: Tensor | None = None) -> Template:
        return Template(torch.zeros(1, 1, 4), torch.zeros(1, 0, 4))


# Inputs


def _crops(case: Case) -> dict[str, Any]:
    template, search = case["template_size"], case["search_size"]
    usual = SparsettConfig()
    return {
        "template": replace(usual.template, size=template, context=case["context_amount"]),
        "search": replace(usual.search, factor=search / template, size=search, context=case["context_amount"]),
    }


def _rules(case: Case) -> dict[str, Any]:
    return {name: case[name] for name in ("test_lr", "window_influence", "penalty_k", "min_size")}


def _loss_config(case: Case) -> SparsettConfig:
    weights = {f"{name}_weight": weight for name, weight in case["weights"].items()}
    return replace(TINY, focal_alpha=case["focal_alpha"], focal_gamma=case["focal_gamma"], **weights)


def _images(*images: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)


def _xywh(box: Any) -> Box:
    """First and last pixel to corner and size."""
    x1, y1, x2, y2 = box
    return x1, y1, x2 - x1 + 1, y2 - y1 + 1


# Crops


@ADAPTER.answers("crop", "image", "box_xywh")
def crops(case: Case) -> Answer:
    image, box, specs = case["image"], case["box_xywh"], _crops(case)
    tracker = Tracker(Spoken(**specs))
    tracker.init(image, box)
    border = tracker.states[0].border
    answer: dict[str, Any] = {"border_value_rgb": [int(v) for v in border]}
    for name, spec in (("z", specs["template"]), ("x", specs["search"])):
        patch = crop(image, box, spec, border)
        w = patch.window
        answer[f"{name}_crop"], answer[f"{name}_scale"] = patch.image, w.scale
        answer[f"{name}_matrix"] = warp_matrix((w.cx - 0.5, w.cy - 0.5), round(w.size / w.scale), w.size)
    return answer


@ADAPTER.answers("crop", "image", "mean_rgb", "std_rgb", "tensor")
def normalisation(case: Case) -> Answer:
    model = Spoken()
    for name in ("mean", "std"):
        getattr(model.normalise, name).copy_(torch.tensor(case[f"{name}_rgb"])[:, None, None])
    return {"tensor": model.normalise(_images(case["image"]))}


@ADAPTER.answers("crop", "template_box_xyxy", "search_box_xyxy", "unit_draws")
def training_crops(case: Case) -> Answer:
    config = SparsettPairs(
        max_scale=case["max_scale"],
        max_shift=case["max_shift"],
        template_scale=case["max_scale_template"],
        template_shift=case["max_shift_template"],
    )
    specs = _crops(case)
    cuts = cut_pair(
        (case["template_image"], case["search_image"]),
        (_xywh(case["template_box_xyxy"]), _xywh(case["search_box_xyxy"])),
        (specs["template"], specs["search"]),
        config,
        np.reshape(case["unit_draws"], (-1, 6)),
    )
    answer: dict[str, Any] = {}
    for name, cut in zip("zx", cuts, strict=True):
        x, y, w, h = cut.box
        answer |= {f"im_{name}": cut.image, f"bbox_{name}": [x, y, x + w - 1, y + h - 1]}
    return answer


# The network, whole and in parts


@ADAPTER.answers("network", "template_image", "search_image", "score", "box")
@torch.inference_mode()
def network(case: Case) -> Answer:
    model = _model(case)
    parts = dict(model.named_modules())
    ours = {name: official_name(name.split("@")[0]) for name in case.outputs}
    watched = {name: part for name, part in ours.items() if part in parts}
    sparse = [f"decoder.layers.{i}.self_attn" for i in range(model.config.decoder_layers)]
    with recorded(model, "encoder", "decoder", *{*watched.values(), *sparse} - {"encoder", "decoder"}) as calls:
        memory = model.memorize(_images(case["template_image"]))
        out = model(_images(case["search_image"]), None, memory)
    answer: dict[str, Any] = {}
    for name, part in watched.items():
        call = calls[part][1 if name.endswith("@x") else 0]
        answer[name] = call.output.flatten(1, 2) if part.startswith("backbone.") else _length_first(call.output)
        if part.endswith(".position"):  # the official module adds it to the features
            answer[name] = calls[part.removesuffix(".position")][0].inputs[0] + call.output
    for i, part in enumerate(sparse):
        answer[f"decoder{i}.topk_attn_output"] = _length_first(calls[part][0].output)
        answer[f"decoder{i}.topk_attn_weights_head_mean"] = _head_mean(parts[part], calls[part][0])
    assert out.conv is not None
    return answer | {
        "encoder_output": _length_first(memory.tokens),
        "score": out.score[..., None],
        "box": out.conv.boxes,
    }


def _length_first(x: Tensor) -> Tensor:
    """Tokens as the official code orders them; maps stay as they are. Its own inverse."""
    return x.transpose(0, 1) if x.dim() == 3 else x


def _head_mean(attention: nn.Module, call: Call) -> Tensor:
    assert isinstance(attention, SparseAttention)
    return attention.weights(*call.inputs[:2]).mean(1)


@ADAPTER.answers("module", "heads", "top_k", "query", "key", "value")
@torch.inference_mode()
def sparse_attention(case: Case) -> Answer:
    dims = {name.split(".")[0]: shape[0] for name, shape in case.names.items() if name.endswith("out_proj.bias")}
    parts = {part: SparseAttention(dim, case["heads"], case["top_k"]) for part, dim in dims.items()}
    case.load_into(nn.ModuleDict(parts), lambda name: name)
    attention = parts[case["module"]].eval()
    query, key, value = (_length_first(case.tensor(name)) for name in ("query", "key", "value"))
    weights = attention.weights(query, key).mean(1)
    return {
        "output": _length_first(attention(query, key, value)),
        "weights_head_mean": weights,
        "nonzero_per_row_of_head_mean": (weights > 0).sum(-1),
    }


@ADAPTER.answers("module", "module", "pos")
@torch.inference_mode()
def position(case: Case) -> Answer:
    part = _part(case)
    assert isinstance(part, LearnedPosition)
    return {"pos": part()[None]}


@ADAPTER.answers("module", "module", "x", "tokens")
@torch.inference_mode()
def backbone_part(case: Case) -> Answer:
    x = case.tensor("x")
    out = _part(case)(x.unflatten(1, tuple(case["hw"])) if "hw" in case.inputs else x)
    return {"tokens": out.flatten(1, 2), "hw": list(out.shape[1:3])}


@ADAPTER.answers("module", "module", "decoder_input", "encoder_output", "output")
@torch.inference_mode()
def decoder_layer(case: Case) -> Answer:
    layer = _part(case)
    x, memory = (_length_first(case.tensor(name)) for name in ("decoder_input", "encoder_output"))
    with recorded(layer, "self_attn") as calls:
        out = layer(x, memory)
    weights = _head_mean(layer.get_submodule("self_attn"), calls["self_attn"][0])
    return {"output": _length_first(out), "self_attention_head_mean": weights}


@ADAPTER.answers("module", "module", "x", "cls_fc", "bbox_conv")
@torch.inference_mode()
def head(case: Case) -> Answer:
    return _dense(_part(case)(case.tensor("x")))


def _dense(prediction: SparsettPrediction) -> dict[str, Tensor]:
    assert prediction.fc is not None
    assert prediction.conv is not None
    return {
        "cls_fc": prediction.fc.logits[..., None],
        "bbox_fc": prediction.fc.boxes,
        "cls_conv": prediction.conv.logits[..., None],
        "bbox_conv": prediction.conv.boxes,
    }


@ADAPTER.answers("module", "module", "x", "output")
@torch.inference_mode()
def module(case: Case) -> Answer:
    return {"output": _length_first(_part(case)(_length_first(case.tensor("x"))))}


# Online rules


@ADAPTER.answers("postprocess", "score", "box_xyxy", "target_position_xy", "target_size_wh", "scale_x")
def post_processing(case: Case) -> Answer:
    size, (height, width) = case["search_size"], case["image_hw"]
    (cx, cy), (w, h) = case["target_position_xy"], case["target_size_wh"]
    window = Window(cx + 0.5, cy + 0.5, case["scale_x"], size)
    before = from_centre((cx, cy, w, h))
    boxes = relative_boxes(case.tensor("box_xyxy").reshape(1, -1, 4), size)
    prediction = SparsettPrediction(boxes, case.tensor("score").reshape(1, -1), None, None)
    model = Spoken(**_rules(case))
    choice = choose(prediction, [window], [before], model.config)
    best = int(choice.best)
    rate = (choice.penalty * prediction.score)[0, best].item() * case["test_lr"]
    ((_, result),) = model.resolve(prediction, [window], [State(before, None)], (width, height))
    return {
        "window": cosine_window(case["score_size"]),
        "penalty": choice.penalty[0],
        "pscore": choice.score[0],
        "best_id": best,
        "cxcywh_before_clipping": to_centre(smooth(before, window.to_frame(boxes[0, best].tolist()), rate)),
        "cxcywh": to_centre(result.box),
        "rect_xywh": result.box,
    }


@ADAPTER.answers("loop", "video", "init_box_xywh", "rect_xywh")
def loop(case: Case) -> Answer:
    model = _model(case, **_crops(case), **_rules(case))
    first, *frames = case["video"]
    tracker = Tracker(model)
    with recorded(model, "backbone") as calls:
        tracker.init(first, case["init_box_xywh"])
    rows: dict[str, list[Any]] = {"rect_xywh": [case["init_box_xywh"]]}
    rows["state_cxcywh"] = [to_centre(case["init_box_xywh"])]
    names = ("best_id", "best_pscore", "scale_x", "score", "best_box_in_crop_xyxy")
    rows |= {name: [] for name in names}
    key = "state_before_cxcywh"
    forced = case.tensor(key).tolist() if key in case.inputs else [None] * len(frames)
    for frame, state in zip(frames, forced, strict=True):
        if state is not None:
            tracker.states = [replace(tracker.states[0], box=from_centre(state))]
        window = crop(frame, tracker.states[0].box, model.search_crop).window
        before = tracker.states[0].box
        with recorded(model, "head") as heads:
            result = tracker.update(frame)
        assert not isinstance(result, list)
        prediction = heads["head"][0].output
        choice = choose(prediction, [window], [before], model.config)
        best = int(choice.best)
        box = prediction.conv.boxes[0, best].tolist()
        for name, value in zip(names, (best, choice.score[0, best].item(), window.scale, prediction.score[0], box)):
            rows[name].append(value)
        rows["rect_xywh"].append(result.box)
        rows["state_cxcywh"].append(to_centre(tracker.states[0].box))
    template = calls["backbone"][0].inputs[0][0].permute(1, 2, 0)
    return rows | {"score": torch.stack(rows["score"]), "z_crop_normalised_rgb": template}


# Training


@ADAPTER.answers("targets", "box_xyxy", "score_size", "total_stride", "score_offset")
def targets(case: Case) -> Answer:
    points = grid_points(case["score_size"], case["total_stride"], case["score_offset"])
    boxes = torch.tensor([case["box_xyxy"]] * 2)
    classes, maps = label_maps(boxes, torch.tensor([True, False]), points)
    return {"cls": classes[0, :, None], "box": maps[0], "cls_negative_pair": classes[1, :, None]}


def _losses(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name if name.startswith("iou") else f"loss_{name}": loss for name, loss in losses.items()}


@ADAPTER.answers("loss", "cls_fc", "cls_conv", "bbox_fc", "bbox_conv", "cls_target", "box_target")
def losses(case: Case) -> Answer:
    names = ("cls_fc", "bbox_fc", "cls_conv", "bbox_conv")
    given = {name: case.tensor(name).requires_grad_() for name in names}
    fc, conv = (Dense(given[f"cls_{name}"][..., 0], given[f"bbox_{name}"]) for name in ("fc", "conv"))
    prediction = SparsettPrediction(conv.boxes, conv.logits, fc, conv)
    out = dense_losses(prediction, case.tensor("cls_target")[..., 0], case.tensor("box_target"), _loss_config(case))
    out["total"].backward()
    return _losses(out) | {f"grad_{name}": value.grad for name, value in given.items()}


@ADAPTER.answers("train-step", "mode", "cls_target", "box_target", "gradient_norms_of")
def step(case: Case) -> Answer:
    usual = SparsettConfig()
    backbone = replace(usual.backbone, drop_path=case["drop_path"])
    model = _build(case, replace(usual, backbone=backbone, dropout=case["dropout"]))
    model.train({"train": True, "eval": False}[case["mode"]])
    template, search = (_images(*_batch(case, f"{name}_image_")) for name in ("template", "search"))
    out = model(search, None, model.memorize(template))
    losses = dense_losses(out, case.tensor("cls_target")[..., 0], case.tensor("box_target"), _loss_config(case))
    losses["total"].backward()
    own = model.state_dict()
    after = {name: own[official_name(name.removeprefix("after:"))] for name in case.outputs if "after:" in name}
    norms = {name: p.grad.double().norm() for name, p in model.named_parameters() if p.grad is not None}
    return (_dense(out) | _losses(losses) | after) | {
        "grad_norms": torch.stack([norms[official_name(name)] for name in case["gradient_norms_of"]]),
        "total_grad_norm": torch.stack(list(norms.values())).norm(),
    }


def _batch(case: Case, name: str) -> list[np.ndarray]:
    return [case[f"{name}{i}"] for i in range(len(case.inputs)) if f"{name}{i}" in case.inputs]


@ADAPTER.answers("sampler", "sequence_lengths", "max_gap", "draws")
def pair_indices(case: Case) -> Answer:
    config = SparsettPairs(max_gap=case["max_gap"])
    pairs, allowed = [], []
    for length, (first, second) in zip(case["sequence_lengths"], case["draws"].tolist(), strict=True):
        frames = config.second_frames(first, length)
        pairs.append((first, frames[second]))
        allowed.append((frames[0], frames[-1]))
    return {"pairs": pairs, "allowed_second": allowed}


@ADAPTER.answers("sampler", "boxes_wh", "image_hw", "rejected")
def accepted_boxes(case: Case) -> Answer:
    config = SparsettPairs(max_ratio=case["max_ratio"])
    return {"rejected": np.array([not config.accepts(w, h) for w, h in case["boxes_wh"]], np.int8)}


@ADAPTER.answers("train-step", "epochs", "stages_end_epoch_and_lr", "lr_other")
def schedule(case: Case) -> Answer:
    epochs, (ends, rates) = case["epochs"], zip(*case["stages_end_epoch_and_lr"], strict=True)
    (drop,) = {round(after / before, 9) for before, after in pairwise(rates)}
    at = tuple(end / epochs for end in ends[:-1])
    config = OptimizerConfig(rates[0], warmup=0, final=drop, schedule="drop", drop_at=at)
    return {"lr_other": [learning_rate(config, epoch, epochs, epochs) for epoch in range(epochs)]}


@ADAPTER.answers("counts", "backbone_factor", "group_sizes")
def group_sizes(case: Case) -> Answer:
    with torch.device("meta"):
        model = Sparsett(SparsettConfig()).requires_grad_()  # the official optimiser has what never trains, too
    groups = parameter_groups(model, OptimizerConfig(backbone=case["backbone_factor"], decay_all=True))
    sizes = {g["part"]: (len(g["params"]), sum(p.numel() for p in g["params"])) for g in groups}
    return {"group_sizes": [sizes["backbone"], sizes["rest"]]}


@ADAPTER.answers("counts", "parts", "parameters", "macs_template", "macs_search")
def counts(case: Case) -> Answer:
    usual = SparsettConfig()
    template, search = (
        replace(usual.template, size=case["template_size"]),
        replace(usual.search, size=case["search_size"]),
    )
    with torch.device("meta"):
        model = Sparsett(replace(usual, template=template, search=search)).eval()
        z, x = (torch.zeros(case["batch"], 3, spec.size, spec.size) for spec in (template, search))
        memory = model.memorize(z)
    parts = {part: _top(case, part) for part in case["parts"]}
    ours = sorted(set().union(*parts.values()))
    parameters = {name: sum(p.numel() for p in model.get_submodule(name).parameters()) for name in ours}
    macs = {
        "template": multiply_adds(model, lambda: model.memorize(z), *ours),
        "search": multiply_adds(model, lambda: model(x, None, memory), *ours),
    }
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_by_part": [sum(parameters[name] for name in names) for names in parts.values()],
        "parameters_never_used": sum(p.numel() for p in model.parameters() if not p.requires_grad),
        **{
            f"macs_{name}": [sum(sum(count[n].values()) for n in names) for names in parts.values()]
            for name, count in macs.items()
        },
    }


def _top(case: Case, part: str) -> set[str]:
    """Our modules that hold the weights of a part of the official model."""
    return {official_name(name).split(".")[0] for name in case.names if name.split(".")[0] == part}
