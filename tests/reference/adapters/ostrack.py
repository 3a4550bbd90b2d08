"""OSTrack's cases as calls of lockon; GRM's adapter shares what is alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lockon.crops import CropSpec
from lockon.models.ostrack import (
    OneStream,
    OneStreamPrediction,
    OSTrack,
    OSTrackConfig,
    Template,
    eliminate,
    judging_tokens,
    keep_schedule,
    official_name,
    ostrack_256,
    ostrack_384,
)
from lockon.nn.count import multiply_adds
from lockon.tracker import Result, Tracker

from ..runner import Adapter, Answer, Call, Case, keep, recorded

ADAPTER = Adapter(lacks=[])
JUDGES = {"CTR_POINT": "point", "CTR_REC": "middle", "GT_BOX": "box", "ALL": "all"}


# Shared


def images(case: Case, name: str) -> Tensor:
    """The patches called ``name``: one, or a batch ``name_0``, ``name_1``, ..."""
    names = [name] if name in case.inputs else sorted(key for key in case.inputs if re.search(rf"^{name}_\d+$", key))
    return torch.from_numpy(np.stack([case[key] for key in names])).permute(0, 3, 1, 2)


def blank(patches: Tensor) -> Tensor:
    """No padding."""
    return torch.zeros(len(patches), *patches.shape[2:], dtype=torch.bool)


def memorize(model: OneStream, patches: Tensor) -> Template:
    """The templates, their targets in the middle."""
    return model.memorize(patches, blank(patches), torch.tensor([[0.25, 0.25, 0.5, 0.5]]).expand(len(patches), 4))


def loaded(case: Case, build: Callable[[], OneStream]) -> OneStream:
    """A new network with the case's weights."""
    model = build()
    case.load_into(model, official_name)
    return model


def watched(model: OneStream) -> list[str]:
    """The modules whose calls ``network_outputs`` reads."""
    blocks = [f"backbone.blocks.{i}" for i in range(len(model.backbone.blocks))]
    towers = [f"box_head.{tower}.{i}" for tower in ("ctr", "size", "offset") for i in range(len(model.config.head))]
    return [*blocks, *towers, "backbone.blocks.1.attn", "backbone.blocks.1.mlp", "backbone.norm", "box_head"]


def network_outputs(calls: dict[str, list[Call]], out: OneStreamPrediction) -> Answer:
    """What the cases of a whole network call its intermediates and its output."""
    results = {name: log[0].output for name, log in calls.items()}
    results = {name: x[0] if isinstance(x, tuple) and name != "box_head" else x for name, x in results.items()}
    head_input = calls["box_head"][0].inputs[0].flatten(2).transpose(1, 2)
    tokens = calls["backbone.blocks.0"][0].inputs[0]
    template = results["backbone.norm"][:, : tokens.shape[1] - head_input.shape[1]]
    answer = {
        "tokens": tokens,
        "backbone_feature": torch.cat([template, head_input], dim=1),
        "block01_attn": results["backbone.blocks.1.attn"],
        "block01_mlp": results["backbone.blocks.1.mlp"],
    }
    for name, x in results.items():
        if match := re.fullmatch(r"backbone\.blocks\.(\d+)", name):
            answer[f"block{int(match[1]):02}"] = x
        elif match := re.fullmatch(r"box_head\.(\w+)\.(\d+)", name):
            answer[f"head_{match[1]}{int(match[2]) + 1}"] = x
    return answer | maps(out)


def maps(out: OneStreamPrediction) -> dict[str, Tensor]:
    """The head's maps and its box."""
    return {
        "score_map": out.scores[:, None],
        "size_map": out.sizes,
        "offset_map": out.offsets,
        "pred_boxes": out.boxes[:, None],
    }


def crops(case: Case) -> dict[str, CropSpec]:
    """Both crops of a case that gives their factors and sizes, as fields of a configuration."""
    return {name: CropSpec(case[f"{name}_factor"], case[f"{name}_size"]) for name in ("template", "search")}


def track(case: Case, model: OneStream) -> tuple[list[Any], list[OneStreamPrediction]]:
    """The boxes of all frames, the given one first, and the network's answers."""
    model.template_crop, model.search_crop = model.config.template, model.config.search
    first, *frames = case["video"]
    tracker = Tracker(model)
    tracker.init(first, case["init_box_xywh"])
    boxes = [case["init_box_xywh"]]
    with recorded(model, "") as calls:
        for frame in frames:
            result = tracker.update(frame)
            assert isinstance(result, Result)
            boxes.append(result.box)
    return boxes, [call.output for call in calls[""]]


def counted(case: Case, build: Callable[[dict[str, CropSpec]], OneStream]) -> tuple[OneStream, dict[str, list[int]]]:
    """The case's network without numbers, its parameters and multiply-adds."""
    sizes = {name: CropSpec(1.0, case[f"{name}_size"]) for name in ("template", "search")}
    with torch.device("meta"):
        model = build(sizes).eval()
        template, search = (torch.zeros(1, 3, spec.size, spec.size) for spec in sizes.values())
        boxes = torch.zeros(1, 4)

        def call() -> None:
            model(search, blank(search), model.memorize(template, blank(template), boxes))

        work = multiply_adds(model, call)[""]
    counts = {"parameters": sum(p.numel() for p in model.parameters()), "multiply_adds": sum(work.values())}
    return model, {name: np.array(number) for name, number in counts.items()}  # type: ignore[misc]


# OSTrack


def _config(case: Case) -> OSTrackConfig:
    with torch.device("meta"):  # no numbers are drawn
        config = (ostrack_384 if "_384_" in case.variant else ostrack_256)().config
    blocks = case["elimination_blocks"] if "elimination_blocks" in case.inputs else ()
    changes: dict[str, Any] = {"eliminate_in": tuple(blocks)}
    if "keep_ratio" in case.inputs:
        changes["keep_ratio"] = case["keep_ratio"]
    if "template_range" in case.inputs:
        changes["judges"] = JUDGES[case["template_range"]]
    return replace(config, **changes)


def _model(case: Case, **changes: Any) -> OneStream:
    """The case's network with its weights, in eval mode."""
    config = replace(_config(case), **changes)
    model = keep((config.eliminate_in, *case.weights), lambda: loaded(case, lambda: OSTrack(config)).eval())
    model.config = config
    return model


@ADAPTER.answers("network", "template", "search", "pred_boxes")
@torch.inference_mode()
def network(case: Case) -> Answer:
    model = _model(case)
    memory, search = memorize(model, images(case, "template")), images(case, "search")
    if "template_mask" in case.inputs:
        memory = memory._replace(target=case.tensor("template_mask").bool())
    with recorded(model, *watched(model)) as calls:
        out = model(search, blank(search), memory)
    there = torch.ones_like(out.chosen[:, :1])
    gone = torch.cat([there, out.chosen], dim=1).diff(dim=1) < 0  # (B, layers, S * S)
    removed = {f"removed_{i}": _indices(gone[:, i]) for i in range(gone.shape[1])}
    return {**network_outputs(calls, out), **removed}


def _indices(marks: Tensor) -> Tensor:
    """(B, N) bool with equally many in each row, to their indices."""
    return marks.nonzero()[:, 1].unflatten(0, (len(marks), -1))


@ADAPTER.answers("module", "attention", "tokens", "search_indices", "keep_ratio")
def elimination(case: Case) -> Answer:
    tokens, weights, places = case.tensor("tokens"), case.tensor("attention"), case.tensor("search_indices")
    mask = case.tensor("template_mask").bool()
    assert mask.shape[1] == case["template_tokens"]
    answer: dict[str, Tensor] = {}
    for name, judges in (("masked", mask), ("nomask", torch.ones_like(mask))):
        left = eliminate(tokens, weights, places, judges, case["keep_ratio"])
        answer |= {f"{part}_{name}": x for part, x in zip(("tokens", "keep", "removed"), left, strict=True)}
    return answer


@ADAPTER.answers("targets", "boxes_xywh", "ranges", "template_size", "schedules")
def masks_and_schedule(case: Case) -> Answer:
    boxes, stride = torch.tensor(case["boxes_xywh"]), case["stride"]
    side = case["template_size"] // stride
    masks: dict[str, Any] = {
        name: judging_tokens(boxes, side, JUDGES[name], stride).to(torch.uint8) for name in case["ranges"]
    }
    for name, given in case["schedules"].items():
        epochs = range(given["epochs"])
        masks[name] = [keep_schedule(e, given["start_epoch"], given["warm_epochs"], given["base"]) for e in epochs]
    return masks


@ADAPTER.answers("loop", "video", "init_box_xywh", "boxes")
def loop(case: Case) -> Answer:
    boxes, _ = track(case, _model(case, **crops(case)))
    return {"boxes": boxes}


@ADAPTER.answers("counts", "template_size", "search_size", "multiply_adds")
def counts(case: Case) -> Answer:
    _, numbers = counted(case, lambda sizes: OSTrack(replace(_config(case), **sizes)))  # type: ignore[arg-type]
    return numbers
