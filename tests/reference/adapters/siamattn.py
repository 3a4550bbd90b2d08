"""SiamAttn's cases as calls of lockon.

The official code keeps boxes by centre and size, and works on BGR; ours are x, y, w, h and RGB, and the network flips.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lockon.boxes import Box, cxcywh_to_xyxy
from lockon.crops import CropSpec, Window, crop, warp
from lockon.data.papers.siamattn import Shake, flip_box, seen_box, shaken_matrix
from lockon.masks import outline, place_mask
from lockon.models.siamattn import (
    SPREAD,
    AnchorTargets,
    Features,
    Ranking,
    RoITargets,
    SiamAttn,
    SiamAttnConfig,
    SiamAttnPrediction,
    box_loss,
    channel_attention,
    cls_loss,
    loc_loss,
    look,
    mask_loss,
    official_name,
)
from lockon.nn.anchors import cosine_window, make_anchors
from lockon.nn.count import multiply_adds
from lockon.nn.deform import deform_conv, deform_roi_pool
from lockon.nn.resnet import ResNetConfig
from lockon.tracker import State, Tracker
from lockon.training.optimizer import OptimizerConfig, learning_rate, parameter_groups

from ..runner import Adapter, Answer, Case, keep, recorded

ADAPTER = Adapter(lacks=[])

TINY = SiamAttnConfig(
    backbone=ResNetConfig((1, 1), (4, 4), (1, 2), (1, 1), "basic", 4, frozen_norm=False, style="siamrpn"),
    levels=1,
    dim=4,
    key_dim=1,
    hidden=4,
    box_hidden=4,
)


def _model(case: Case, **changes: Any) -> SiamAttn:
    """The case's network with its weights, in eval mode; only its online rules may be changed."""
    model = keep(case.weights, lambda: _build(case, SiamAttnConfig()).eval())
    model.config = replace(SiamAttnConfig(), **changes)
    model.template_crop, model.search_crop = model.config.template, model.config.search
    return model


def _build(case: Case, config: SiamAttnConfig) -> SiamAttn:
    model = SiamAttn(config)
    case.load_into(model, official_name)
    return model


def _images(case: Case, *names: str) -> tuple[Tensor, Tensor]:
    """Patches and their padding, which this tracker does not look at.

    Contiguous as the official ones: rounding follows the layout, and some gradients of offsets jump by 1 % with it.
    """
    images = torch.from_numpy(np.stack([case[name] for name in names])).permute(0, 3, 1, 2).contiguous()
    return images, torch.zeros_like(images[:, 0], dtype=torch.bool)


def _bgr(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., ::-1])


def _settings(settings: dict[str, Any]) -> dict[str, Any]:
    """A case's settings as fields of the configuration."""
    template, search, context = (settings[name] for name in ("exemplar_size", "instance_size", "context_amount"))
    return {
        "template": CropSpec(1.0, template, context, "mean", "rounded"),
        "search": CropSpec(search / template, search, context, "mean", "rounded"),
        "penalty": settings["penalty_k"],
        "window": settings["window_influence"],
        "rate": settings["lr"],
        "mask_above": settings["mask_threshold"],
    }


def _from_centre(centre: Sequence[float], size: Sequence[float]) -> Box:
    return centre[0] - size[0] / 2, centre[1] - size[1] / 2, size[0], size[1]


def _by_pixels(box: Sequence[float]) -> Box:
    """The official ``init`` takes the middle of a box to be x + (w - 1) / 2."""
    x, y, w, h = box
    return x - 0.5, y - 0.5, w, h


# Crops


@ADAPTER.answers("crop", "frame", "boxes_xywh", "exemplar_size", "instance_size")
def crops(case: Case) -> Answer:
    frame, context = case["frame"], case["context_amount"]
    exemplar, instance = case["exemplar_size"], case["instance_size"]
    template = CropSpec(1.0, exemplar, context, "mean", "rounded")
    search = CropSpec(instance / exemplar, instance, context, "mean", "rounded")
    mean = _border(frame)
    answer: dict[str, Any] = {"channel_average": mean[::-1]}
    for name, box in case["boxes_xywh"].items():
        patches = [crop(frame, _by_pixels(box), spec, mean) for spec in (template, search)]
        sides = [round(patch.window.size / patch.window.scale) for patch in patches]
        answer[f"{name}.sides"] = [template.extent(*box[2:]), *map(float, sides)]
        answer |= {f"{name}.{kind}": _bgr(p.image) for kind, p in zip(("template", "search"), patches, strict=True)}
    if "noresize" in case.inputs:
        same = case["noresize"]
        box = _from_centre(same["centre"], [same["side"]] * 2)
        spec = CropSpec(1.0, same["output"], border="mean", rule="rounded")
        answer["noresize.template"] = _bgr(crop(frame, box, spec, mean).image)
    return answer


def _border(frame: np.ndarray) -> tuple[float, ...]:
    """The colour that a tracker takes from its first frame."""
    tracker = Tracker(SiamAttn(TINY))
    tracker.init(frame, (0, 0, *frame.shape[1::-1]))
    return tracker.states[0].border


# Anchors and windows


@ADAPTER.answers("postprocess", "stride", "ratios", "scales", "size", "train_centre")
def anchors_and_window(case: Case) -> Answer:
    (scale,), size = case["scales"], case["size"]
    shape = (len(case["ratios"]), size, size)
    kind = (case["stride"], case["ratios"], scale, size)
    anchors, training = make_anchors(*kind), make_anchors(*kind, case["train_centre"])
    return {
        "anchors": anchors.float(),
        "window": cosine_window(size).repeat(len(case["ratios"])),
        "base": cxcywh_to_xyxy(anchors * torch.tensor([0, 0, 1, 1]))[:: size * size].float(),
        "train_corners": cxcywh_to_xyxy(training).T.unflatten(1, shape).float(),
        "train_centres": training.T.unflatten(1, shape).float(),
    }


# The network, whole and in parts


@ADAPTER.answers("network", "template", "search", "rois")
@torch.inference_mode()
def network(case: Case) -> Answer:
    model = _model(case)
    stages = [f"backbone.{stage}" for stage in model.backbone.stages]
    levels = range(model.config.levels)
    pooling = {"box_roi": "bbox_head.roi_pool_b", "mask_roi": "mask_head.roi_pool_m"}
    watched = ["backbone.bn1", *stages, "feature_enhance", "feature_fusion"]
    watched += [f"{part}.{i}" for part in ("feature_enhance.pams", "feature_enhance.deform_convs") for i in levels]
    watched += [f"feature_enhance.deform_convs.{i}.conv_offset" for i in levels]
    watched += [f"rpn_head.levels.{i}.{part}" for i in levels for part in ("cls", "loc")]
    watched += [f"feature_fusion.xcorr.{i}" for i in levels]
    watched += [*pooling.values(), *(f"{name}.offset_fc" for name in pooling.values())]
    watched += [f"mask_head.convs.{model.config.mask_convs - 1}", "mask_head.upsample"]
    with recorded(model, *watched) as calls:
        memory = model.memorize(*_images(case, "template"))
        out = model(*_images(case, "search"), memory)
        rois = torch.tensor(case["rois"])
        boxes, masks = model.refine(out.features, rois), model.segment(out.features, rois)
    given = calls["feature_enhance"][0].inputs
    answer: dict[str, Any] = {}
    for n, tag in enumerate("zx"):
        answer[f"backbone.{tag}.p0"] = calls["backbone.bn1"][n].output.relu()
        answer |= {f"backbone.{tag}.p{i}": calls[stage][n].output for i, stage in enumerate(stages, start=1)}
        for i in levels:
            answer |= {
                f"neck.{tag}.{i}": given[n][i],
                f"channel_attention.{tag}.{i}": channel_attention(given[n][i]),
                f"pam.{tag}.{i}": calls[f"feature_enhance.pams.{i}"][n].output,
                f"offset.{tag}.{i}": calls[f"feature_enhance.deform_convs.{i}.conv_offset"][n].output,
                f"enhanced.{tag}.{i}": calls["feature_enhance"][0].output[n][i],
            }
    for i in levels:
        answer |= {f"rpn{i + 2}.{part}": calls[f"rpn_head.levels.{i}.{part}"][0].output for part in ("cls", "loc")}
        answer[f"fusion_xcorr.{i}"] = calls[f"feature_fusion.xcorr.{i}"][0].output
    for tag, name in pooling.items():
        answer[f"{tag}.offset"] = calls[f"{name}.offset_fc"][0].output
        answer[f"{tag}.pooled"] = calls[name][0].output
    return answer | {
        "cls": out.logits,
        "loc": out.deltas,
        "b_fused": out.features.box,
        "m_fused": out.features.mask,
        "mask_convs": calls[f"mask_head.convs.{model.config.mask_convs - 1}"][0].output,
        "mask_upsampled": calls["mask_head.upsample"][0].output,
        "bbox_refine": boxes / boxes.new_tensor(SPREAD),
        "mask_refine": masks[:, None],
    }


@ADAPTER.answers("counts", "template_size", "search_size", "rois", "parameters.total")
def counts(case: Case) -> Answer:
    with torch.device("meta"):
        model = SiamAttn(SiamAttnConfig()).eval()
        template, search = (torch.zeros(1, 3, case[f"{n}_size"], case[f"{n}_size"]) for n in ("template", "search"))
        memory = model.memorize(template, template[:, 0])
        features = model(search, search[:, 0], memory).features
        rois = torch.zeros(len(case["rois"]), 5)
        calls = {
            "template": lambda: model.memorize(template, template[:, 0]),
            "search": lambda: model(search, search[:, 0], memory),
            "refine": lambda: (model.refine(features, rois), model.segment(features, rois)),
        }
        macs = {name: _layers(model, call) for name, call in calls.items()}
    parameters = dict(model.named_parameters())
    stored = model.state_dict()
    answer = {
        "parameters.total": sum(p.numel() for p in parameters.values()),
        "buffers.total": sum(b.numel() for name, b in stored.items() if name not in parameters),
        "entries": len(stored),
    }
    for output in case.outputs:
        kind, *rest = output.split(".")
        if kind == "macs":
            answer[output] = sum(n for name, n in macs[rest[0]].items() if name.startswith(f"{rest[1]}."))
        elif output not in answer:
            answer[output] = sum(p.numel() for name, p in parameters.items() if name.startswith(f"{rest[0]}."))
    return {name: np.array(value) for name, value in answer.items()}


def _layers(model: nn.Module, call: Any) -> dict[str, int]:
    """The multiply-adds of each layer; the products between features are not asked for."""
    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    names = [name for name, module in model.named_modules() if isinstance(module, kinds)]
    return {name: sum(work.values()) for name, work in multiply_adds(model, call, *names).items() if name}


@ADAPTER.answers("module", "z", "x", "att_z", "att_x", "zz", "xx", "zx", "xz")
@torch.inference_mode()
def channel_attentions(case: Case) -> Answer:
    use = _part(case, "feature_enhance.cam_uses")
    maps = {"z": case.tensor("z"), "x": case.tensor("x")}
    attentions = {name: channel_attention(x) for name, x in maps.items()}
    uses = {f"{a}{b}": use(maps[a], attentions[b]) for a in maps for b in maps}
    return uses | {f"att_{name}": attention for name, attention in attentions.items()}


def _part(case: Case, default: str) -> nn.Module:
    """The part that a case's text names, such as ``pams.0``: of the list called ``default``, that number."""
    last = default.split(".")[-1]
    (number,) = set(re.findall(rf"\b{last}\.(\d)", case.run))
    return _model(case).get_submodule(f"{default}.{number}")


@ADAPTER.answers("module", "z0", "x0", "z1", "x1", "cls", "loc", "cls_weight", "loc_weight")
@torch.inference_mode()
def proposals_head(case: Case) -> Answer:
    head = _model(case).rpn_head
    logits, deltas = head(_numbered(case, "z"), _numbered(case, "x"))
    weights = {"cls_weight": head.cls_weight.softmax(0), "loc_weight": head.loc_weight.softmax(0)}
    return {"cls": logits, "loc": deltas} | weights


@ADAPTER.answers("module", "z2", "x2", "x4", "b", "m")
@torch.inference_mode()
def fusion(case: Case) -> Answer:
    part, template, search = _model(case).feature_fusion, _numbered(case, "z"), _numbered(case, "x")
    return {"b": part.box(template, search[-len(template) :]), "m": part.mask(search)}


@ADAPTER.answers("module", "z0", "x0", "z1", "x1")
@torch.inference_mode()
def siamese_attention(case: Case) -> Answer:
    enhanced = _model(case).feature_enhance(_numbered(case, "z"), _numbered(case, "x"))
    return {f"{tag}{i}": x for tag, branch in zip("zx", enhanced, strict=True) for i, x in enumerate(branch)}


def _numbered(case: Case, letter: str) -> list[Tensor]:
    return [case.tensor(name) for name in sorted(case.inputs) if re.fullmatch(rf"{letter}\d", name)]


@ADAPTER.answers("module", "kernel", "search", "out")
@torch.inference_mode()
def correlation(case: Case) -> Answer:
    (name,) = set(re.findall(r"\brpn_head\.\S+?\.(?:cls|loc)\b", case.run))
    return {"out": _model(case).get_submodule(official_name(name))(case.tensor("kernel"), case.tensor("search"))}


@ADAPTER.answers("module", "rois", "data", "pooled", "out")
@torch.inference_mode()
def head(case: Case) -> Answer:
    model, data, rois = _model(case), case.tensor("data"), torch.tensor(case["rois"])
    if case.outputs["out"]["shape"][1:] == [4]:
        with recorded(model, "bbox_head.roi_pool_b") as calls:
            out = model.refine(Features(data, None), rois) / torch.tensor(SPREAD)
    else:
        with recorded(model, "mask_head.roi_pool_m") as calls:
            out = model.segment(Features(None, data), rois)[:, None]
    ((call,),) = calls.values()
    return {"pooled": call.output, "out": out}


@ADAPTER.answers("module", "x", "offset", "out")
@torch.inference_mode()
def deformable_layer(case: Case) -> Answer:
    layer = _part(case, "feature_enhance.deform_convs")
    with recorded(layer, "conv_offset") as calls:
        out = layer(case.tensor("x"))
    return {"offset": calls["conv_offset"][0].output, "out": out}


@ADAPTER.answers("module", "x", "out")
@torch.inference_mode()
def spatial_attention(case: Case) -> Answer:
    return {"out": _part(case, "feature_enhance.pams")(case.tensor("x"))}


@ADAPTER.answers("module", "plain.x", "plain.offset", "plain.weight", "plain.settings")
def deformable_convolution(case: Case) -> Answer:
    answer = {}
    for name in case.outputs:
        x, offsets, weight = (case.tensor(f"{name}.{part}") for part in ("x", "offset", "weight"))
        s = case[f"{name}.settings"]
        answer[name] = deform_conv(x, offsets, weight, s["stride"], s["padding"], s["dilation"])
    return answer


@ADAPTER.answers("module", "rois", "box.data", "box.offset", "box.settings")
def deformable_pooling(case: Case) -> Answer:
    rois = torch.tensor(case["rois"], dtype=torch.float32)
    answer = {}
    for output in case.outputs:
        name, _, kind = output.partition(".")
        s = case[f"{name}.settings"]
        offsets = None if kind == "no_trans" else case.tensor(f"{name}.offset")
        rules = (s["out_size"], s["spatial_scale"], s["sample_per_part"], s["trans_std"], s["group_size"])
        answer[output] = deform_roi_pool(case.tensor(f"{name}.data"), rois, offsets, *rules)
    return answer


# Online rules


class Spoken(SiamAttn):
    """A SiamAttn whose network has spoken: its online rules on given outputs of one target."""

    def __init__(self, boxes: Tensor, masks: Tensor, **changes: Any) -> None:
        super().__init__(replace(TINY, **changes))
        self.answers, self.rois = {"box": boxes, "mask": masks}, dict[str, Tensor]()

    def refine(self, features: Features, rois: Tensor) -> Tensor:
        self.rois["box"] = rois
        return self.answers["box"] * torch.tensor(SPREAD)

    def segment(self, features: Features, rois: Tensor) -> Tensor:
        self.rois["mask"] = rois
        return self.answers["mask"]


@ADAPTER.answers("postprocess", "frame_size", "states", "settings")
def step(case: Case) -> Answer:
    size = (case["frame_size"]["width"], case["frame_size"]["height"])
    settings = _settings(case["settings"])
    answer: dict[str, Any] = {}
    for name, given in case["states"].items():
        state = State(_from_centre(given["centre"], given["size"]), None)
        window = crop(np.zeros((size[1], size[0], 3), np.uint8), state.box, settings["search"]).window
        maps = SiamAttnPrediction(case.tensor(f"{name}.cls"), case.tensor(f"{name}.loc"), Features(None, None))
        model = Spoken(case.tensor(f"{name}.box"), case.tensor(f"{name}.mask").flatten(0, 1), **settings)
        ((after, result),) = model.resolve(maps, [window], [state], size)
        ranking = _ranking(model, maps, window, state)
        plain = Spoken(torch.empty(0), torch.empty(0), refine=False, segment=False, **settings)
        ((_, box_only),) = plain.resolve(maps, [window], [state], size)
        x, y, w, h = after.box
        answers = {
            "best_index": ranking.ranks.argmax(),
            "pscore": ranking.ranks[0],
            "rpn_roi": model.rois["box"],
            "mask_roi": model.rois["mask"],
            "bbox": result.box,
            "best_score": np.array(result.score),
            "state": (x + w / 2, y + h / 2, w, h),
            "polygon": result.polygon,
            "rpn_only.bbox": box_only.box,
        }
        answer |= {f"{name}.{output}": value for output, value in (answers | _sums("mask", result.mask)).items()}
    return answer


def _ranking(model: SiamAttn, maps: SiamAttnPrediction, window: Window, state: State) -> Ranking:
    return model.rank(maps, look([window], [state], model.config.search))


def _sums(name: str, mask: np.ndarray | None) -> dict[str, np.ndarray]:
    """A mask's pixels in every row and column of the frame."""
    assert mask is not None
    return {f"{name}_rows": mask.sum(1), f"{name}_columns": mask.sum(0)}


@ADAPTER.answers("postprocess", "frame_size", "mask_threshold", "boxes_xywh")
def masks_in_frame(case: Case) -> Answer:
    size = (case["frame_size"]["width"], case["frame_size"]["height"])
    answer: dict[str, Any] = {}
    for name, box in case["boxes_xywh"].items():
        frame = place_mask(case[f"{name}.mask"], box, size)
        binary = frame > case["mask_threshold"]
        answer |= {f"{name}.in_frame": frame, f"{name}.polygon": outline(binary, box, TINY.outlined_above)}
        answer |= _sums(f"{name}.binary", binary)
    return answer


@ADAPTER.answers("loop", "video", "init_xywh", "settings", "boxes_xywh")
def loop(case: Case) -> Answer:
    model = _model(case, **_settings(case["settings"]))
    tracker = Tracker(model)
    first, *frames = case["video"]
    tracker.init(first, _by_pixels(case["init_xywh"]))
    with recorded(model, "bbox_head", "mask_head") as calls:
        results = [tracker.update(frame) for frame in frames]
    answer: dict[str, Any] = {
        "channel_average": tracker.states[0].border[::-1],
        "boxes_xywh": [r.box for r in _single(results)],
        "best_score": [r.score for r in _single(results)],
        "mask_area": [float(r.mask.sum()) for r in _single(results) if r.mask is not None],
        "rois": torch.stack([torch.stack([c.inputs[1][0] for c in calls[n]]) for n in ("bbox_head", "mask_head")], 1),
        "box_refinement": torch.cat([call.output for call in calls["bbox_head"]]),
    }
    for number, result in enumerate(_single(results), start=1):
        answer |= {f"polygon.{number}": result.polygon} | _sums(f"mask.{number}", result.mask)
    return answer


def _single(results: Sequence[Any]) -> Sequence[Any]:
    assert not any(isinstance(result, list) for result in results)
    return results


# Training


@ADAPTER.answers("targets", "boxes_x1y1x2y2", "negative_pair", "settings")
def anchor_targets(case: Case) -> Answer:
    s = case["settings"]
    (scale,) = s["anchors"]["scales"]
    config = replace(
        TINY,
        stride=s["anchors"]["stride"],
        ratios=tuple(s["anchors"]["ratios"]),
        scale=scale,
        search=replace(TINY.search, size=s["search_size"]),
        positive_above=s["positive_iou"],
        negative_below=s["negative_iou"],
        positives=s["positive_number"],
        negatives=s["total_number"] - s["positive_number"],
        strangers=s["negative_pair_number"],
    )
    model = SiamAttn(config)
    answer: dict[str, Any] = {}
    for name, box in case["boxes_x1y1x2y2"].items():
        shown = not case["negative_pair"][name]
        kinds = ("positive", "negative") if shown else ("negative",)
        picks = iter([case.tensor(f"{name}.{kind}_pick") for kind in kinds])
        targets = model.anchor_targets(
            torch.tensor([box]), torch.tensor([shown]), s["anchors"]["size"], lambda *_, picks=picks: next(picks)
        )
        labels, overlaps = targets.labels[0], targets.overlaps[0]
        counts = [overlaps > s["positive_iou"], overlaps < s["negative_iou"], labels == 1, labels == 0]
        answers = {"cls": labels, "delta": targets.deltas[0], "weight": targets.weights[0], "overlap": overlaps}
        answer |= {f"{name}.{output}": value for output, value in answers.items()}
        answer[f"{name}.counts"] = torch.stack([count.sum() for count in counts])
    return answer


@ADAPTER.answers("loss", "label_cls", "label_loc", "label_loc_weight", "cls", "loc", "mask", "box")
def losses(case: Case) -> Answer:
    logits, targets = case.tensor("cls"), _anchor_targets(case)
    masks = (case.tensor("mask"), case.tensor("mask_target"))
    masked, boxed = torch.tensor(case["mask_weight"]) > 0, torch.tensor(case["box_weight"]) > 0
    return {
        "cls_loss": cls_loss(logits, targets.labels),
        "cls_loss_only_negative": cls_loss(logits[1:], targets.labels[1:]),
        "loc_loss": loc_loss(case.tensor("loc"), targets),
        "mask_loss": mask_loss(*masks, masked, SiamAttnConfig().hardest),
        "mask_loss_no_ohem": mask_loss(*masks, masked),
        "mask_loss_none": mask_loss(*masks, torch.zeros_like(masked)),
        "box_loss": box_loss(case.tensor("box"), case.tensor("box_target"), boxed),
    }


def _anchor_targets(case: Case) -> AnchorTargets:
    labels, weights = case.tensor("label_cls"), case.tensor("label_loc_weight")
    return AnchorTargets(labels, case.tensor("label_loc"), weights, torch.zeros_like(weights))


@ADAPTER.answers("targets", "gt_x1y1x2y2", "roi_per_image", "fg_iou", "mask_size", "loc", "fg_pick", "masks")
def roi_targets(case: Case) -> Answer:
    zoom = case["mask_size"] // TINY.mask_cells
    search = replace(TINY.search, size=case["search_size"])
    model = SiamAttn(replace(TINY, rois=case["roi_per_image"], roi_above=case["fg_iou"], mask_zoom=zoom, search=search))
    counts, targets = _roi_targets(case, model, case.tensor("loc"))
    return {
        "boxes": model.proposals(case.tensor("loc")).transpose(1, 2),
        "fg_count": counts,
        "rois": targets.rois,
        "labels": torch.ones_like(targets.rois[..., :1], dtype=torch.int64),
        "box_targets": targets.moves,
        "mask_targets": targets.masks,
    }


def _roi_targets(case: Case, model: SiamAttn, deltas: Tensor) -> tuple[Tensor, RoITargets]:
    """The numbers of candidates, and the targets of those that the case picks."""
    counts: list[int] = []
    picks = iter(case.tensor("fg_pick"))

    def choose(count: int) -> Tensor:
        counts.append(count)
        return next(picks)

    truth = torch.tensor(case["gt_x1y1x2y2"])
    targets = model.roi_targets(deltas, truth, case.tensor("masks")[:, 0], choose)
    return torch.tensor(counts), targets


@ADAPTER.answers("train-step", "label_cls", "gt_x1y1x2y2", "fg_pick", "loss_weights", "gradient_names")
def train_step(case: Case) -> Answer:
    weights = {f"{name}_weight": weight for name, weight in case["loss_weights"].items()}
    usual = SiamAttnConfig(rois=case["roi_per_image"], roi_above=case["fg_iou"], **weights)
    backbone = replace(usual.backbone, frozen_stages=len(case["frozen"]) - 2 if case["frozen"] else -1)
    model = _build(case, replace(usual, backbone=backbone))
    assert [f"backbone.{name}" for name in model.backbone.frozen] == case["frozen"]
    model.train({"batch": True, "running": False}[case["batch_norm"]])
    templates, searches = (sorted(n for n in case.inputs if re.fullmatch(rf"{k}\d", n)) for k in ("template", "search"))
    with recorded(model, "mask_head") as calls:
        prediction = model(*_images(case, *searches), model.memorize(*_images(case, *templates)))
        counts, rois = _roi_targets(case, model, prediction.deltas)
        boxed, masked = (torch.tensor(case[f"{kind}_weight"]) > 0 for kind in ("box", "mask"))
        losses = model.losses(prediction, _anchor_targets(case), rois, boxed, masked)
    losses["total"].backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norms = torch.stack([gradients[official_name(name)].double().norm() for name in case["gradient_names"]])
    own = model.state_dict()
    buffers = {n: own[official_name(n.removeprefix("after."))] for n in case.outputs if n.startswith("after.")}
    (call,) = calls["mask_head"]
    return buffers | {
        **{f"{name}_loss": losses[name] for name in ("total", "cls", "loc", "mask")},
        "bbox_loss": losses["box"],
        "fg_count": counts,
        "rois": rois.rois,
        "box_targets": rois.moves,
        "mask_preds": call.output[:, 0].unflatten(0, (len(searches), -1)),
        "grad_norms": norms,
        "grad_norm_total": torch.stack([gradient.double().norm() for gradient in gradients.values()]).norm(),
    }


@ADAPTER.answers("train-step", "epochs", "warmup", "main", "base_lr", "backbone_factor")
def learning_rates(case: Case) -> Answer:
    rise, main, epochs = case["warmup"], case["main"], case["epochs"]
    assert rise["end"] == main["start"] == case["base_lr"]
    config = OptimizerConfig(
        case["base_lr"],
        case["backbone_factor"],
        decay_all=True,
        warmup=rise["epochs"],
        warmup_from=rise["start"] / rise["end"],
        final=main["end"] / main["start"],
        schedule="exponential",
    )
    rates = np.array([learning_rate(config, epoch, epochs, epochs) for epoch in range(epochs)])
    factors = [group["factor"] for group in parameter_groups(SiamAttn(TINY), config)]
    return {"lr": rates, "group_lr": rates[:, None] * factors}


@ADAPTER.answers("sampler", "image", "box_x1y1x2y2", "search.settings", "template.settings")
def augmentation(case: Case) -> Answer:
    answer: dict[str, Any] = {}
    for name in ("search", "template"):
        s = case[f"{name}.settings"]
        matrix = shaken_matrix(len(case["image"]), s["size"], Shake(s["shift"], s["scale"]), s["u"])
        image, box = warp(case["image"], matrix, s["size"]), seen_box(case["box_x1y1x2y2"], matrix)
        answer |= {f"{name}.image": _bgr(image), f"{name}.box": box, f"{name}.flipped_box": flip_box(box, s["size"])}
    return answer
