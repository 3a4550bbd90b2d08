from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import lockon
from lockon.boxes import Box, iou_and_giou, xywh_to_xyxy
from lockon.crops import Window, crop
from lockon.models import MODELS
from lockon.models.aiatrack import (
    AiATrack,
    AiATrackConfig,
    AiATrackPrediction,
    InnerAttention,
    Proposals,
    References,
    RefinedAttention,
    aiatrack,
    draw_proposals,
    proposals_from,
    target_map,
)
from lockon.nn.attention import MultiHeadAttention
from lockon.nn.count import multiply_adds
from lockon.tracker import PairBatch, State, Tracker
from lockon.weights import save_weights
from tests.small import AIATRACK

BOXES: list[Box] = [(40, 30, 30, 24), (90, 60, 20, 28), (10, 70, 26, 30)]
FRAMES = list(np.random.default_rng(0).integers(0, 255, (8, 120, 160, 3), np.uint8))


def small(**changes: Any) -> AiATrack:
    torch.manual_seed(0)
    return AiATrack(replace(AIATRACK, **changes)).eval()


def pairs(count: int = 3, references: int = 2) -> PairBatch:
    torch.manual_seed(1)
    padding = torch.zeros(count, 64, 64, dtype=torch.bool)
    padding[0, :20] = True
    return PairBatch(
        torch.randint(0, 255, (count, references, 3, 64, 64), dtype=torch.uint8),
        padding[:, None].expand(-1, references, -1, -1),
        torch.tensor([0.4, 0.35, 0.3, 0.25]).expand(count, references, 4),
        torch.randint(0, 255, (count, 3, 64, 64), dtype=torch.uint8),
        padding,
        torch.tensor([0.3, 0.45, 0.25, 0.3]).expand(count, 4),
        torch.ones(count, dtype=torch.bool),
    )


def memory_of(model: AiATrack, batch: PairBatch) -> References:
    return References.joined([model.memorize(*batch.template(index)) for index in range(batch.templates.shape[1])])


# Attention in attention


def test_with_an_inner_attention_that_says_nothing_it_is_plain_attention() -> None:
    torch.manual_seed(0)
    refined, plain = RefinedAttention(AIATRACK).eval(), MultiHeadAttention(AIATRACK.dim, AIATRACK.heads)
    inner = refined.inner_attn
    assert isinstance(inner, InnerAttention)
    torch.nn.init.zeros_(inner.feat_norm2.weight)
    plain.load_state_dict({k: v for k, v in refined.state_dict().items() if not k.startswith("inner_attn.")})
    query, key, value = torch.randn(2, 64, 32), torch.randn(2, 128, 32), torch.randn(2, 128, 32)
    position = torch.randn(2, 2, 64, 16)
    torch.testing.assert_close(refined(query, key, value, position), plain(query, key, value))


def test_the_output_projection_of_the_inner_attention_comes_on_top_of_what_it_projects() -> None:
    torch.manual_seed(0)
    inner = InnerAttention(64, 16, 0.0)
    with torch.no_grad():
        inner.out_proj.weight.copy_(-torch.eye(64))  # 1 + W_o = 0
    assert not inner(torch.randn(2, 2, 64, 128), torch.randn(2, 2, 64, 16)).any()


def test_references_do_not_mix_in_the_inner_attention() -> None:
    torch.manual_seed(0)
    inner = InnerAttention(64, 16, 0.0)
    scores, position = torch.randn(1, 2, 64, 128), torch.randn(1, 2, 64, 16)
    other = scores.clone()
    other[..., 64:] = torch.randn(1, 2, 64, 64)
    before, after = inner(scores, position), inner(other, position)
    torch.testing.assert_close(before[..., :64], after[..., :64])
    assert not torch.allclose(before[..., 64:], after[..., 64:])


# The network


def test_a_batch_of_two_is_two_single_runs() -> None:
    model, batch = small(), pairs(2)
    with torch.inference_mode():
        both = model(batch.search, batch.search_padding, memory_of(model, batch))
        for i in range(2):
            one = PairBatch(*(part[i : i + 1] for part in batch))
            alone = model(one.search, one.search_padding, memory_of(model, one))
            for name in ("boxes", "score", "iou"):
                torch.testing.assert_close(getattr(both, name)[i : i + 1], getattr(alone, name), atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(both.candidate.x[i : i + 1], alone.candidate.x, atol=1e-5, rtol=1e-5)


def test_single_precision_is_enough() -> None:
    model, batch = small(), pairs(2)
    with torch.inference_mode():
        single = model(batch.search, batch.search_padding, memory_of(model, batch))
        model.double()
        double = model(batch.search, batch.search_padding, memory_of(model, batch))
    assert double.candidate.x.dtype == torch.float64
    torch.testing.assert_close(single.boxes, double.boxes, atol=1e-5, rtol=0, check_dtype=False)
    torch.testing.assert_close(single.iou, double.iou, atol=1e-4, rtol=0, check_dtype=False)
    torch.testing.assert_close(single.candidate.x, double.candidate.x, atol=1e-4, rtol=0, check_dtype=False)


ABLATIONS: list[dict[str, Any]] = [
    {},
    {"inner_in": "self"},
    {"inner_in": "cross"},
    {"inner_in": "none"},
    {"inner": "convolution"},
    {"inner": "cascade"},
    {"inner": "cascade", "inner_in": "cross"},
    {"marks": "mask"},
    {"marks": "none"},
    {"short_term": "mixed"},
    {"short_term": "none"},
]


@pytest.mark.parametrize("changes", ABLATIONS, ids=str)
def test_every_design_of_the_paper_trains_and_tracks(changes: dict[str, Any]) -> None:
    model = small(**changes)
    model.train().loss(pairs())["total"].backward()
    names = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert names == []
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    tracker = Tracker(model)
    tracker.init(FRAMES[0], BOXES)
    for frame in FRAMES[1:4]:
        results = tracker.update(frame)
        assert isinstance(results, list)
        assert all(0 <= result.score <= 1 for result in results)


def test_every_switch_changes_the_network() -> None:
    batch = pairs(1)

    def answer(changes: dict[str, Any]) -> tuple[int, Tensor]:
        model = small(**changes)
        with torch.inference_mode():
            first, second = (model.memorize(*batch.template(index)) for index in range(2))
            memory = model.choose([first, second])
            out = model(batch.search, batch.search_padding, memory)
        return sum(p.numel() for p in model.parameters()), out.boxes

    seen = [answer(changes) for changes in ABLATIONS]
    for i, (parameters, boxes) in enumerate(seen):
        assert not any(parameters == other[0] and torch.equal(boxes, other[1]) for other in seen[:i]), ABLATIONS[i]


def test_size_and_work_are_the_official_ones() -> None:
    with torch.device("meta"):
        model = aiatrack().eval()
        image, padding = torch.zeros(1, 3, 320, 320), torch.zeros(1, 320, 320, dtype=torch.bool)
        memory = model.remember(None, model.memorize(image, padding, torch.zeros(1, 4)))
        parts = ("backbone", "bottleneck", "encoder.0", "decoder.0", "box_head", "iou_head")
        counts = multiply_adds(model, lambda: model(image, padding, memory), *parts)
    giga = {name: round(sum(kinds.values()) / 1e9, 2) for name, kinds in counts.items()}
    assert sum(p.numel() for p in model.parameters()) == 17_953_011
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 17_730_611
    assert round(giga["backbone"] + giga["bottleneck"], 2) == 6.79
    assert {name: giga[name] for name in ("decoder.0", "box_head", "iou_head")} == {
        "decoder.0": 3.28,
        "box_head": 0.78,
        "iou_head": 0.71,
    }
    assert giga["encoder.0"] == round(3.01 / 3, 2)


# Tracking


def test_a_saved_model_tracks_one_target_and_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "aiatrack-small", replace(MODELS["aiatrack"], build=small))
    save_weights(small().state_dict(), tmp_path / "w.safetensors", "aiatrack-small")
    three, one = (lockon.load("aiatrack-small", weights=tmp_path / "w.safetensors", device="cpu") for _ in range(2))
    three.init(FRAMES[0], BOXES)
    one.init(FRAMES[0], BOXES[1])
    for frame in FRAMES[1:]:
        together, alone = three.update(frame), one.update(frame)
        assert isinstance(together, list)
        assert isinstance(alone, lockon.Result)
        np.testing.assert_allclose(together[1].box, alone.box, atol=1e-2)


def test_a_trusted_frame_is_remembered_as_if_it_had_been_given() -> None:
    """What the search patch was encoded to, with the predicted box as the target: nothing is computed again."""
    tracker = Tracker(small())
    tracker.init(FRAMES[0], BOXES[0])
    before = tracker.states[0]
    tracker.update(FRAMES[1])
    patch = crop(FRAMES[1], before.box, AIATRACK.crop)
    images, padding = torch.from_numpy(patch.image)[None].permute(0, 3, 1, 2), torch.from_numpy(patch.padding)[None]
    model = tracker.model
    with torch.inference_mode():
        cx, cy, w, h = model(images, padding, before.memory).boxes[0]
        given = model.memorize(images, padding, torch.stack([cx - w / 2, cy - h / 2, w, h])[None])
    for kept, made in zip(tracker.states[0].past[-1], given, strict=True):
        torch.testing.assert_close(kept, made, atol=1e-5, rtol=1e-5)


def test_references_are_the_first_frame_and_evenly_spaced_ones_with_the_newest_last() -> None:
    tracker = Tracker(small(cache=100, references=3))
    tracker.init(FRAMES[0], BOXES[0])
    for frame in FRAMES[1:]:
        tracker.update(frame)
    (state,) = tracker.states
    assert len(state.past) == len(FRAMES)
    for place, index in enumerate([0, 2, 4, 7]):
        assert torch.equal(state.memory.x[:, place], state.past[index].x[:, 0])


def test_a_full_cache_keeps_the_first_frame_and_drops_the_oldest_other() -> None:
    tracker = Tracker(small(cache=3))
    tracker.init(FRAMES[0], BOXES[0])
    first = tracker.states[0].memory.x[:, 0]
    kept = []
    for frame in FRAMES[1:5]:
        tracker.update(frame)
        kept.append(tracker.states[0].past[-1])
    cache = tracker.states[0].past
    assert len(cache) == 3
    assert torch.equal(cache[0].x[:, 0], first)
    assert cache[1] is kept[-2]
    assert cache[2] is kept[-1]


def test_a_frame_that_is_not_trusted_changes_no_memory() -> None:
    tracker = Tracker(small(accept_above=1e9, found_above=1.0))
    tracker.init(FRAMES[0], BOXES)
    before = tracker.states
    results = tracker.update(FRAMES[1])
    assert isinstance(results, list)
    assert not any(result.found for result in results)
    assert all(state.memory is old.memory for state, old in zip(tracker.states, before, strict=True))
    assert all(state.past == () for state in tracker.states)


def test_benchmarks_set_fields_that_exist() -> None:
    for settings in MODELS["aiatrack"].settings.values():
        replace(AiATrackConfig(), **settings)


# Target maps, proposals and loss


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ((0.25, 0.5, 0.25, 0.375), slice(4, 7), slice(2, 4)),
        ((0.3125, 0.4375, 0.25, 0.25), slice(4, 6), slice(2, 4)),  # 2.5 goes to 2, 3.5 to 4: half to even
        ((-0.25, 0.75, 0.5, 0.5), slice(6, 8), slice(0, 2)),
        ((0.25, 0.25, 0.05, 0.5), slice(0, 0), slice(0, 0)),
    ],
)
def test_a_target_map_shows_the_box_rounded_to_cells(box: Box, rows: slice, columns: slice) -> None:
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[rows, columns] = True
    assert torch.equal(target_map(torch.tensor([box]), 8)[0], expected)


def test_a_proposal_is_the_first_try_that_overlaps_enough() -> None:
    boxes, spread = torch.tensor([[0.4, 0.4, 0.2, 0.2]]), torch.ones(1, 3)
    far, near = torch.tensor([9.0, 9.0, 0.0, 0.0]), torch.tensor([0.5, 0.0, 0.0, 0.0])
    tries = [[near, far, far], [far, near, far], [far, far, far]]  # of three proposals
    made = proposals_from(boxes, spread, torch.stack([torch.stack(row) for row in tries])[:, None], 0.1, 0.5)
    torch.testing.assert_close(made.boxes[0, 0], torch.tensor([0.5, 0.4, 0.2, 0.2]))
    torch.testing.assert_close(made.boxes[0, 1], torch.tensor([0.45, 0.4, 0.2, 0.2]))
    torch.testing.assert_close(made.quality[0], torch.tensor([2 / 3 - 1, 6 / 5 - 1, -1.0]))


def test_proposals_know_their_overlap_with_the_target() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor([[0.4, 0.4, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]])
    made = draw_proposals(boxes, replace(AIATRACK, proposals=50))
    iou = iou_and_giou(xywh_to_xyxy(made.boxes), xywh_to_xyxy(boxes)[:, None])[0]
    torch.testing.assert_close(made.quality, 2 * iou - 1)
    assert (iou > 0.1).float().mean() > 0.95


def test_the_loss_trains_in_half_precision_too() -> None:
    model, batch = small().train(), pairs()
    proposals = draw_proposals(batch.boxes, AIATRACK)
    whole = model.loss_on(batch, proposals)
    with torch.autocast("cpu", torch.bfloat16):
        half = model.loss_on(batch, proposals)
    half["total"].backward()
    for name in ("l1", "quality"):  # whether there is a GIoU may turn on a rounding
        torch.testing.assert_close(half[name], whole[name], atol=0.01, rtol=0.1)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_a_pair_without_its_target_has_no_part_in_the_loss() -> None:
    model, batch = small(), pairs(3)
    proposals = draw_proposals(batch.boxes, AIATRACK)
    some = model.loss_on(batch._replace(present=torch.tensor([True, False, True])), proposals)
    rest = torch.tensor([0, 2])
    alone = model.loss_on(
        PairBatch(*(part[rest] if len(part) else part for part in batch)),
        type(proposals)(*(part[rest] for part in proposals)),
    )
    torch.testing.assert_close(some["total"], alone["total"])
    none = model.loss_on(batch._replace(present=torch.zeros(3, dtype=torch.bool)), proposals)
    none["total"].backward()
    assert torch.isfinite(none["total"])


def test_a_model_that_judges_absence_learns_that_no_box_fits() -> None:
    model, batch = small(judge_absent=True).train(), pairs()
    proposals = draw_proposals(batch.boxes, model.config)
    gone = batch._replace(present=torch.tensor([True, False, True]))
    told = Proposals(proposals.boxes, proposals.quality.clone())
    told.quality[1] = -1
    torch.testing.assert_close(model.loss_on(gone, proposals)["quality"], model.loss_on(batch, told)["quality"])


def test_attention_can_begin_as_similarity() -> None:
    for similar in (False, True):
        model = small(start_similar=similar)
        attention = [m for m in model.modules() if isinstance(m, MultiHeadAttention)]
        halves = [m.in_proj_weight.chunk(3)[:2] for m in attention]
        assert halves
        assert all(torch.equal(query, key) == similar for query, key in halves)


def test_one_template_is_both_long_and_short_term_reference() -> None:
    model, batch = small(), pairs(2, references=2)
    twice = batch._replace(templates=batch.templates[:, :1].expand(-1, 2, -1, -1, -1))
    proposals = draw_proposals(batch.boxes, AIATRACK)
    once = batch._replace(
        templates=batch.templates[:, :1],
        template_padding=batch.template_padding[:, :1],
        template_boxes=batch.template_boxes[:, :1],
    )
    torch.testing.assert_close(model.loss_on(once, proposals)["total"], model.loss_on(twice, proposals)["total"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_tracks_like_the_cpu() -> None:
    gpu, cpu = Tracker(small(), "cuda"), Tracker(small())
    for tracker in (gpu, cpu):
        tracker.init(FRAMES[0], BOXES)
    for frame in FRAMES[1:3]:
        one, two = gpu.update(frame), cpu.update(frame)
        assert isinstance(one, list)
        assert isinstance(two, list)
        np.testing.assert_allclose([r.box for r in one], [r.box for r in two], atol=0.1)


def test_what_is_near_the_last_box_is_followed_and_remembered() -> None:
    model = small(spread=0.2, accept_above=-1.0)
    grid = model.config.grid
    corners, nothing = torch.zeros(1, 2, 20, 20), torch.zeros(1)
    for x in (8, 14):
        corners[0, 0, 8, x] = corners[0, 1, 12, x + 4] = 12.0
    memory = memory_of(model, pairs(1))
    candidate = References(*(part[:, :1] for part in memory))
    prediction = AiATrackPrediction(torch.tensor([[0.65, 0.5, 0.2, 0.2]]), nothing, nothing, corners, candidate)
    before = State((92, 92, 16, 16), memory)
    ((state, result),) = model.resolve(prediction, [Window(100.0, 100.0, 1.0, 80)], [before], (320, 240))
    assert result.box == pytest.approx((92, 92, 16, 16), abs=2.5)
    near = target_map(torch.tensor([[0.4, 0.4, 0.2, 0.2]]), grid).flatten(1)
    assert (state.past[-1].target[:, 0] == near).all()
