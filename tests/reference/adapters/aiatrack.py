"""AiATrack's cases as calls of lockon."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lockon.boxes import cxcywh_to_xyxy, mirror, xywh_to_xyxy, xyxy_to_cxcywh, xyxy_to_xywh
from lockon.crops import CropSpec, Window, crop
from lockon.models.aiatrack import (
    AiATrack,
    AiATrackConfig,
    AiATrackPrediction,
    Proposals,
    References,
    draw_proposals,
    official_name,
    target_map,
    tracking_loss,
)
from lockon.nn.position import sine_position
from lockon.nn.resnet import ResNetConfig
from lockon.nn.roi import precise_roi_pool
from lockon.tracker import NO_DIVISORS, Divisors, PairBatch, State, Tracker
from lockon.training.optimizer import OptimizerConfig
from lockon.training.recipe import Recipe
from lockon.training.run import Run

from ..runner import Adapter, Answer, Call, Case, keep, recorded

ADAPTER = Adapter(lacks=[])


# Models


def _model(case: Case, normalised: bool = False, **changes: Any) -> AiATrack:
    """The case's network with its weights, in eval mode; not to be changed."""
    config = replace(AiATrackConfig(), **changes)
    return keep((config, normalised, *case.weights), lambda: _filled(case, AiATrack(config), normalised).eval())


def _filled(case: Case, model: AiATrack, normalised: bool) -> AiATrack:
    case.load_into(model, official_name)
    if normalised:  # the case's images are
        model.normalise.mean.zero_()
        model.normalise.std.fill_(1)
    return model


TINY = AiATrackConfig(
    backbone=ResNetConfig(layers=(1, 1, 1), widths=(4, 4, 4), stem=4),
    dim=4,
    heads=1,
    feedforward=4,
    encoder_layers=1,
    head=(4,),
)


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    names = {"cache": "cache", "ensemble": "references", "threshold": "accept_above"}
    return {names[name]: value for name, value in settings.items()}


def _module(case: Case) -> Any:
    return _model(case).get_submodule(official_name(case["module"]))


def _batch_first(case: Case, *names: str) -> list[Tensor]:
    return [case.tensor(name).transpose(0, 1) for name in names]


# Crops and target maps


@ADAPTER.answers("crop", "image", "boxes_xywh", "sizes")
def crops(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    for name, box in case["boxes_xywh"].items():
        for size in case["sizes"]:
            spec = CropSpec(case["search_area_factor"], size)
            patch = crop(case["image"], box, spec)
            answer |= {f"{name}.crop{size}": patch.image, f"{name}.mask{size}": patch.padding}
        answer[f"{name}.resize_factor"] = case["sizes"][0] / (size / patch.window.scale)
        answer[f"{name}.crop_side_x1_y1"] = _square(case["image"].shape[:2], box, spec)
    return answer


def _square(shape: tuple[int, int], box: list[float], spec: CropSpec) -> list[int]:
    """Side and corner of the square that is cut: where it lies is seen in a frame whose colours tell the place."""
    side = round(spec.size / crop(np.zeros((*shape, 3), np.uint8), box, spec).window.scale)
    y, x = np.indices(shape)
    frame = np.stack([x % 256, y % 256, x // 256 + 16 * (y // 256)], axis=-1).astype(np.uint8)
    patch = crop(frame, box, replace(spec, size=side))
    row, column = np.argwhere(~patch.padding)[0]
    low_x, low_y, high = (int(v) for v in patch.image[row, column])
    return [side, low_x + 256 * (high % 16) - int(column), low_y + 256 * (high // 16) - int(row)]


@ADAPTER.answers("crop", "image", "boxes_xywh", "size")
@torch.inference_mode()
def normalised_crops(case: Case) -> Answer:
    spec = CropSpec(case["search_area_factor"], case["size"])
    dim, match = (
        next(int(m[1]) for name in case.outputs if (m := re.search(rf"\.{kind}(\d+)$", name)))
        for kind in ("pos", "inner")
    )
    model = AiATrack(replace(TINY, crop=spec, dim=dim, match=match)).eval()
    answer: dict[str, Any] = {}
    for name, box in case["boxes_xywh"].items():
        images, padding = _patch(crop(case["image"], box, spec))
        with recorded(model, "backbone", "encoder.0") as calls:
            model.encode(model.backbone(model.normalise(images)), padding)
        _, position, inner = (part.transpose(1, 2) for part in calls["encoder.0"][0].inputs)
        grid = (model.config.grid, model.config.grid)
        answer |= {
            f"{name}.input": calls["backbone"][0].inputs[0],
            f"{name}.mask{grid[0]}": model.cells(padding),
            f"{name}.pos{dim}": position.unflatten(2, grid),
            f"{name}.inner{match}": inner.unflatten(2, grid),
        }
    return answer


def _patch(patch: Any) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(patch.image)[None].permute(0, 3, 1, 2), torch.from_numpy(patch.padding)[None]


@ADAPTER.answers("targets", "annotation_boxes_xywh", "crop_boxes_xywh", "normalised_boxes_xywh")
def target_maps(case: Case) -> Answer:
    spec = CropSpec(case["search_area_factor"], case["size"])
    frame = np.zeros((1, 1, 3), np.uint8)
    windows = [crop(frame, box, spec).window for box in case["crop_boxes_xywh"]]
    boxes = [window.to_patch(box) for window, box in zip(windows, case["annotation_boxes_xywh"], strict=True)]
    return {
        "boxes_in_crop": boxes,
        "resize_factors": [window.scale for window in windows],
        "maps": target_map(torch.tensor([*boxes, *case["normalised_boxes_xywh"]]), case["grid"]).to(torch.uint8),
    }


# The network, whole and in parts


@ADAPTER.answers("network", "search", "long", "short", "proposals_xywh")
@torch.inference_mode()
def network_on_tensors(case: Case) -> Answer:
    model = _model(case, normalised=True)
    memory = References.joined([_reference(case, model, name) for name in ("long", "short")])
    answer, calls = _watched(case, model, case.tensor("search"), case.tensor("search_mask"), memory)
    proposals = case.tensor("proposals_xywh")
    answer["pred_iou_of_proposals"] = model.iou_head(calls["iou_head"][0].inputs[0], xywh_to_xyxy(proposals[0]))[None]
    return answer


def _reference(case: Case, model: AiATrack, name: str) -> References:
    images = case.tensor(name)
    boxes = torch.tensor(case[f"{name}_box_xywh"]).expand(len(images), -1)
    return model.memorize(images, case.tensor(f"{name}_mask"), boxes)


@ADAPTER.answers("network", "image", "crop_boxes_xywh", "target_boxes_xywh", "long_order", "short_order")
@torch.inference_mode()
def network_on_crops(case: Case) -> Answer:
    spec = CropSpec(case["search_area_factor"], case["size"])
    model = _model(case, crop=spec)
    patches = {name: _patch(crop(case["image"], box, spec)) for name, box in case["crop_boxes_xywh"].items()}
    references = {
        name: model.memorize(*patches[name], torch.tensor([box])) for name, box in case["target_boxes_xywh"].items()
    }
    memory = References.joined([references[name] for name in case["long_order"] + case["short_order"]])
    answer, _ = _watched(case, model, *patches["search"], memory)
    for name, reference in references.items():
        answer[f"{name}.memory"] = reference.x[:, 0].transpose(0, 1)
        answer[f"{name}.embedding"] = model.embed(reference.target[:, 0]).transpose(0, 1)
    return answer


def _watched(
    case: Case, model: AiATrack, images: Tensor, padding: Tensor, memory: References
) -> tuple[dict[str, Any], dict[str, list[Call]]]:
    """What the network answers on the search patch, and what its parts have said."""
    parts = {output: name for output in case.outputs if (name := _part(model, output))}
    with recorded(model, *parts.values(), "backbone.layer1", "norm", "box_head", "iou_head") as calls:
        out = model(images, padding, memory)
    answer: dict[str, Any] = {output: _official_shape(output, calls[name][0].output) for output, name in parts.items()}
    _, position, inner = calls["encoder.0"][0].inputs
    scores = calls["box_head"][0].output.scores
    cells = model.cells(padding)
    return answer | {
        "search.backbone.0.body.maxpool": calls["backbone.layer1"][0].inputs[0],
        f"search.mask{cells.shape[-1]}": cells.flatten(1),
        "search.pos": position.transpose(0, 1),
        "search.inner_pos": inner.transpose(0, 1),
        "decoder.out": calls["norm"][0].output.transpose(0, 1)[None],
        "score_map_tl": scores[:, :1],
        "score_map_br": scores[:, 1:],
        "pred_boxes_cxcywh": out.boxes[:, None],
        "pred_boxes_xywh": xyxy_to_xywh(cxcywh_to_xyxy(out.boxes)),
        "pred_iou_of_own_box": out.iou[None, :, None],
    }, calls


def _part(model: AiATrack, output: str) -> str | None:
    """The module that an output comes from."""
    official = output.removeprefix("search.")
    name = official_name(f"transformer.{official}" if official.startswith(("encoder.", "decoder.")) else official)
    return name if name in dict(model.named_modules()) else None


def _official_shape(output: str, x: Tensor) -> Tensor:
    """Tokens have their batch in the second dimension, maps one dimension for batch and heads."""
    if output.endswith(".inner_attn"):
        return x.flatten(0, 1)
    return x.transpose(0, 1) if x.dim() == 3 else x


@ADAPTER.answers("module", "module", "corr_map", "pos_emb")
@torch.inference_mode()
def inner_attention(case: Case) -> Answer:
    scores, position = case.tensor("corr_map"), case.tensor("pos_emb").transpose(0, 1)
    scores = scores.unflatten(0, (len(position), -1))
    position = position.unflatten(1, (-1, scores.shape[2]))
    out = _module(case)(scores, position).flatten(0, 1)
    row, column = case["row"]
    return {"output": out, "output.one_map_one_query": out[row, column]}


@ADAPTER.answers("module", "module", "query_and_key", "value", "pos_emb")
def self_attention(case: Case) -> Answer:
    return _attention(case, *_batch_first(case, "query_and_key", "query_and_key", "value", "pos_emb"))


@ADAPTER.answers("module", "module", "query", "key", "value", "pos_emb")
def cross_attention(case: Case) -> Answer:
    return _attention(case, *_batch_first(case, "query", "key", "value", "pos_emb"))


@torch.inference_mode()
def _attention(case: Case, query: Tensor, key: Tensor, value: Tensor, position: Tensor) -> Answer:
    attend = _module(case)
    position = position.unflatten(1, (-1, query.shape[1]))
    q, k, _ = attend.project(query, key, value)
    return {
        "output": attend(query, key, value, position).transpose(0, 1),
        "weights_mean_over_heads": attend.weigh(q, k, position).mean(1),
    }


@ADAPTER.answers("module", "module", "src", "pos", "inner_pos", "memory0", "embedding0", "reference_inner_pos0")
@torch.inference_mode()
def layers(case: Case) -> Answer:
    model = _model(case)
    src, pos, inner = _batch_first(case, "src", "pos", "inner_pos")
    count = len([name for name in case.inputs if re.fullmatch(r"memory\d+", name)])
    key, embedding, position = (
        torch.stack(_batch_first(case, *(f"{name}{i}" for i in range(count))), dim=1)
        for name in ("memory", "embedding", "reference_inner_pos")
    )
    encoded = src
    for layer in model.encoder:
        encoded = layer(encoded, pos, inner)
    single = "encoder_layer_" + case["module"].rsplit(".")[-1]
    return {
        single: _module(case)(src, pos, inner).transpose(0, 1),
        "encoder": encoded.transpose(0, 1),
        "decoder": model.decode(src, key, key + embedding, position).transpose(0, 1)[None],
    }


@ADAPTER.answers("module", "module", "feature", "boxes_xyxy")
@torch.inference_mode()
def corner_head(case: Case) -> Answer:
    corners = _module(case)(case.tensor("feature"))
    tl, br = corners.scores.split(1, dim=1)
    return {"score_map_tl": tl, "score_map_br": br, "boxes_xyxy": corners.boxes}


@ADAPTER.answers("module", "module", "feature", "proposals_xywh", "pred_iou")
@torch.inference_mode()
def iou_head(case: Case) -> Answer:
    head = _module(case)
    with recorded(head, "conv3", "fc") as calls:
        iou = head(case.tensor("feature"), xywh_to_xyxy(torch.tensor(case["proposals_xywh"])[0]))
    return {
        "conv_feature": calls["conv3"][0].output,
        "pooled": calls["fc"][0].inputs[0].unflatten(1, (-1, head.size, head.size)),
        "fc": calls["fc"][0].output,
        "pred_iou": iou[None],
    }


@ADAPTER.answers("module", "feature", "rois", "pooled_size", "spatial_scale", "output_gradient")
def precise_pooling(case: Case) -> Answer:
    """Here rois name their image; lockon has the same number of boxes for every image."""
    feature = case.tensor("feature").requires_grad_()
    rois = torch.tensor(case["rois"], dtype=torch.float32).requires_grad_()
    height, width = case["pooled_size"]
    assert height == width
    image = rois[:, 0].long()
    boxes = (rois[:, 1:] * case["spatial_scale"]).expand(len(feature), -1, -1)
    output = precise_roi_pool(feature, boxes, height)[image, torch.arange(len(rois))]
    output.backward(case.tensor("output_gradient"))
    return {"output": output, "grad_feature": feature.grad, "grad_rois": rois.grad}


@ADAPTER.answers("module", "channels", "masks")
def position_encoding(case: Case) -> Answer:
    return {f"pos{channels}": sine_position(case.tensor("masks"), channels) for channels in case["channels"]}


# Online rules


def _entry(value: float) -> References:
    """A frame that remembers one number."""
    return References(
        torch.full((1, 1, 1, 1), value), torch.zeros(1, 1, 1, dtype=torch.bool), *torch.zeros(2, 1, 1, 1, 1)
    )


@ADAPTER.answers("postprocess", "states_xywh", "predictions_xyxy")
def decode(case: Case) -> Answer:
    spec = CropSpec(case["search_area_factor"], case["size"])
    model = AiATrack(replace(TINY, crop=spec, margin=case["clip_margin"]))
    height, width = case["image_height_width"]
    frame = np.zeros((height, width, 3), np.uint8)
    boxes = case.tensor("predictions_xyxy")
    before = case.tensor("states_xywh").tolist()
    windows = [crop(frame, box, spec).window for box in before]
    distrusted = torch.full((len(boxes),), -torch.inf)
    prediction = AiATrackPrediction(xyxy_to_cxcywh(boxes), distrusted, distrusted, torch.empty(0), _entry(0))
    states = [State(tuple(box), _entry(0)) for box in before]
    resolved = model.resolve(prediction, windows, states, (width, height))
    return {"new_states": [state.box for state, _ in resolved], "resize_factors": [window.scale for window in windows]}


@ADAPTER.answers("postprocess", "settings", "iou")
def memory_policy(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    for name, settings in case["settings"].items():
        model = AiATrack(replace(TINY, **_settings(settings)))
        state = State((0, 0, 10, 10), model.remember(None, _entry(0)))
        references: list[Tensor] = []
        caches: list[list[int]] = []
        for frame, iou in enumerate(case.tensor("iou"), start=1):
            prediction = AiATrackPrediction(
                torch.full((1, 4), 0.5), iou[None], iou[None], torch.empty(0), _entry(frame)
            )
            ((state, _),) = model.resolve(prediction, [Window(0, 0, 1, 320)], [state], (320, 320))
            references.append(state.memory.x[0, :, 0, 0].long())
            caches.append([int(entry.x) for entry in state.past] or [0])
        width = max(len(cache) for cache in caches)
        answer[f"{name}.references"] = torch.stack(references)
        answer[f"{name}.cache"] = [cache + [-1] * (width - len(cache)) for cache in caches]
    return answer


@ADAPTER.answers("loop", "frames", "init_box_xywh", "settings", "boxes_xywh", "pred_iou")
def loop(case: Case) -> Answer:
    spec = CropSpec(case["search_area_factor"], case["size"])
    tracker = Tracker(_model(case, crop=spec, **_settings(case["settings"])))
    first, *frames = case["frames"]
    tracker.init(first, case["init_box_xywh"])
    seen = [tracker.states[0].memory.x[0, 0]]  # the tokens of every frame
    answer: dict[str, list[Any]] = {
        name: [] for name in ("boxes_xywh", "crop_boxes_xywh", "pred_iou", "updated", "references")
    }
    for frame in frames:
        memory = tracker.states[0].memory
        with recorded(tracker.model, "") as calls:
            result = tracker.update(frame)
        assert not isinstance(result, list)
        out = calls[""][0].output
        seen.append(out.candidate.x[0, 0])
        answer["boxes_xywh"].append(result.box)
        answer["crop_boxes_xywh"].append(xyxy_to_xywh(cxcywh_to_xyxy(out.boxes))[0].tolist())
        answer["pred_iou"].append(out.iou.item())
        answer["updated"].append(tracker.states[0].memory is not memory)
        answer["references"].append([_number(x, seen) for x in tracker.states[0].memory.x[0]])
    return answer


def _number(x: Tensor, seen: list[Tensor]) -> int:
    return next(number for number, other in enumerate(seen) if torch.equal(x, other))


# Training


def _weights(case: Case) -> dict[str, Any]:
    return {f"{name}_weight": weight for name, weight in case["loss_weights"].items()}


def _losses(losses: dict[str, Tensor]) -> list[float]:
    return [losses[name].item() for name in ("total", "giou", "l1", "quality", "iou")]


@ADAPTER.answers("loss", "pred_cxcywh", "gt_xywh", "pred_iou", "gt_iou", "loss_weights")
def losses(case: Case) -> Answer:
    config = replace(TINY, **_weights(case))
    rows: list[list[float]] = []
    gradients: list[Tensor] = []
    for boxes in case.tensor("pred_cxcywh"):
        boxes.requires_grad_()
        corners = cxcywh_to_xyxy(boxes[:, 0])
        pair = case.tensor("pred_iou")[0], case.tensor("gt_iou")[0]
        found = tracking_loss(corners, case.tensor("gt_xywh"), *pair, config)
        found["total"].backward()
        rows.append(_losses(found))
        assert boxes.grad is not None
        gradients.append(boxes.grad)
    return {"losses": rows, "grad_pred_cxcywh": torch.stack(gradients)}


@ADAPTER.answers("sampler", "boxes_xywh", "image_widths", "normalised_boxes_xywh")
def flipped_boxes(case: Case) -> Answer:
    return {
        "joint": mirror(torch.tensor(case["boxes_xywh"]), torch.tensor(case["image_widths"])),
        "normalised": mirror(torch.tensor(case["normalised_boxes_xywh"])),
    }


@ADAPTER.answers("sampler", "box_xywh", "draws", "per_draw", "sigmas", "min_iou", "tries", "shrink")
def iou_proposals(case: Case) -> Answer:
    """From twenty times the proposals asked for, so that little but the reference's own scatter is left."""
    names = {"per_draw": "proposals", "sigmas": "spreads", "min_iou": "min_iou", "tries": "tries", "shrink": "shrink"}
    config = replace(TINY, **{ours: case[theirs] for theirs, ours in names.items()})
    boxes = torch.tensor([case["box_xywh"]]).expand(20 * case["draws"], 4)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = draw_proposals(boxes, config)
    boxes, quality = made.boxes.flatten(0, 1), made.quality.flatten()
    return {
        "mapped_iou_mean_std": [quality.mean(), quality.std()],
        "mapped_iou_quantiles_5_to_95": quality.quantile(torch.arange(1, 20) / 20),
        "proposal_mean": boxes.mean(0),
        "proposal_std": boxes.std(0),
    }


class Given(AiATrack):
    """AiATrack whose proposals are given."""

    proposals: Proposals

    def loss(self, batch: PairBatch, divisors: Divisors = NO_DIVISORS) -> dict[str, Tensor]:
        return self.loss_on(batch, self.proposals, divisors.get("present"))


@ADAPTER.answers("train-step", "search", "long", "short", "proposals_xywh", "proposal_iou", "parameter_names")
def train_step(case: Case) -> Answer:
    config = replace(AiATrackConfig(), dropout=case["dropout"], **_weights(case))
    model = Given(config)
    _filled(case, model, normalised=True).train()
    model.proposals = Proposals(case.tensor("proposals_xywh")[0], case.tensor("proposal_iou")[0])
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    norms = dict.fromkeys(before, torch.zeros(()))
    for name, parameter in model.named_parameters():  # the step clips them
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(lambda p, name=name: norms.update({name: _norm(p)}))
    optimizer = OptimizerConfig(
        lr=case["lr"],
        backbone=case["lr_backbone"] / case["lr"],
        weight_decay=case["weight_decay"],
        decay_all=True,
        betas=(0.9, 0.999),
        clip=case["clip_norm"],
        warmup=0,
    )
    run = Run(Recipe("aiatrack", optimizer=optimizer, pairs=2, batch=2, precision="float32"), model)
    with recorded(model, "box_head", "iou_head") as calls:
        found = run.advance(_pairs(case))
    after = model.state_dict()
    parameters = [official_name(name) for name in case["parameter_names"]]
    moved = [official_name(name) for name in case["delta_names"]]
    answer = {
        "pred_boxes_cxcywh": xyxy_to_cxcywh(calls["box_head"][0].output.boxes)[:, None],
        "pred_iou": calls["iou_head"][0].output[None],
        "losses": _losses(found),
        "trainable": [model.get_parameter(name).requires_grad for name in parameters],
        "gradient_norms": [norms[name].item() for name in parameters],
        "total_norm": torch.stack(list(norms.values())).norm().item(),
        "mean_abs_delta": [(after[name] - before[name]).abs().mean().item() for name in moved],
    }
    changed = [name for name in case.outputs if name.startswith("after.")]
    return answer | {name: after[official_name(name.removeprefix("after."))] for name in changed}


def _norm(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad.norm()


def _pairs(case: Case) -> PairBatch:
    search = case.tensor("search")
    references = ("long", "short")
    images, padding = (torch.stack([case.tensor(f"{n}{end}") for n in references], 1) for end in ("", "_mask"))
    boxes = torch.tensor([case[f"{name}_box_xywh"] for name in references]).expand(len(search), -1, -1)
    truth = torch.tensor(case["gt_xywh"])
    here = torch.ones(len(search), dtype=torch.bool)
    return PairBatch(images, padding, boxes, search, case.tensor("search_mask"), truth, here)
