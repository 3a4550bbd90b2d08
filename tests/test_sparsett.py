from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from lockon.crops import Window
from lockon.errors import ModelError
from lockon.models import MODELS
from lockon.models.sparsett import (
    SparseAttention,
    Sparsett,
    SparsettConfig,
    SparsettPrediction,
    choose,
    clip_centre,
    focal_loss,
    grid_points,
    inclusive_iou,
    label_maps,
    pixel_boxes,
    relative_boxes,
    smooth,
    to_centre,
)
from lockon.nn.attention import MultiHeadAttention
from lockon.tracker import PairBatch, Result, Tracker
from tests.scenes import picture
from tests.small import SPARSETT


def small(**changes: object) -> Sparsett:
    torch.manual_seed(0)
    return Sparsett(replace(SPARSETT, **changes)).eval()  # type: ignore[arg-type]


def patches(count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    sizes = (SPARSETT.template.size, SPARSETT.search.size)
    template, search = (torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8) for size in sizes)
    return template, search


def run(model: Sparsett, template: torch.Tensor, search: torch.Tensor) -> SparsettPrediction:
    with torch.inference_mode():
        return model(search, None, model.memorize(template))


# Sparse attention


def test_sparse_attention_to_all_keys_is_plain_attention() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 7, 16), torch.randn(2, 9, 16)
    plain, sparse = MultiHeadAttention(16, 4), SparseAttention(16, 4, top_k=9)
    sparse.load_state_dict(plain.state_dict())
    torch.testing.assert_close(sparse(query, key, key), plain(query, key, key))
    sparse.top_k = None
    torch.testing.assert_close(sparse(query, key, key), plain(query, key, key))


@pytest.mark.parametrize("top_k", [1, 4, 9])
def test_each_query_attends_to_exactly_k_keys_and_to_the_nearest_ones(top_k: int) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 7, 16), torch.randn(2, 9, 16)
    attention = SparseAttention(16, 4, top_k)
    weights = attention.weights(query, key)
    assert ((weights > 0).sum(-1) == top_k).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 4, 7))
    attention.top_k = None
    everywhere = attention.weights(query, key)
    kept = everywhere.where(weights > 0, torch.inf).amin(-1)
    left = everywhere.where(weights == 0, -torch.inf).amax(-1)
    assert (kept > left).all()


def test_a_query_can_equal_all_keys() -> None:
    attention = SparseAttention(16, 4, top_k=3)
    assert ((attention.weights(torch.ones(1, 2, 16), torch.ones(1, 9, 16)) > 0).sum(-1) == 3).all()


def test_more_keys_than_tokens_are_an_error() -> None:
    assert small(top_k=81).config.top_k == 81  # 9 x 9 cells
    with pytest.raises(ModelError, match="top_k=82: a search token can attend to 1 to 81"):
        small(top_k=82)


# The network


@pytest.mark.parametrize("changes", [{}, {"top_k": None}, {"head": "fc"}, {"head": "conv"}])
def test_a_batch_of_two_is_two_single_runs(changes: dict[str, object]) -> None:
    model = small(**changes)
    template, search = patches()
    both = run(model, template, search)
    for i in range(2):
        one = run(model, template[i : i + 1], search[i : i + 1])
        torch.testing.assert_close(one.boxes[0], both.boxes[i], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(one.score[0], both.score[i], atol=1e-5, rtol=1e-4)


def test_single_precision_is_enough() -> None:
    model, (template, search) = small(), patches()
    single, double = run(model, template, search), run(model.double(), template, search)
    assert double.score.dtype == torch.float64
    torch.testing.assert_close(single.boxes.double(), double.boxes, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(single.score.double(), double.score, atol=1e-5, rtol=1e-4)


def test_attending_to_all_tokens_is_another_network_with_the_same_weights() -> None:
    sparse, dense, every = small(), small(top_k=None), small(top_k=81)
    for model in (dense, every):
        model.load_state_dict(sparse.state_dict())
    one, two, three = (run(model, *patches()).score for model in (sparse, dense, every))
    torch.testing.assert_close(two, three)
    assert not torch.allclose(one, two, atol=1e-6)


def test_a_double_head_unites_the_scores_of_both_and_takes_the_boxes_of_one() -> None:
    out = run(small(), *patches())
    assert out.fc is not None
    assert out.conv is not None
    p, q = out.fc.logits.sigmoid(), out.conv.logits.sigmoid()
    torch.testing.assert_close(out.score, p + q * (1 - p))
    torch.testing.assert_close(out.boxes, relative_boxes(out.conv.boxes, SPARSETT.search.size))


@pytest.mark.parametrize("branch", ["fc", "conv"])
def test_one_branch_of_the_head_can_stand_alone(branch: str) -> None:
    both, single = small(), small(head=branch)
    shared = {name: value for name, value in both.state_dict().items() if name in single.state_dict()}
    single.load_state_dict(shared)
    assert {name.split(".")[1] for name, _ in single.head.named_parameters()} <= {
        "trunk",
        "cls",
        "reg",
        "scale",
        "shift",
    }
    out, whole = run(single, *patches()), run(both, *patches())
    dense = getattr(whole, branch)
    torch.testing.assert_close(out.score, dense.logits.sigmoid())
    torch.testing.assert_close(out.boxes, relative_boxes(dense.boxes, SPARSETT.search.size))
    assert single.loss(pairs()).keys() == {f"{loss}_{branch}" for loss in ("cls", "reg", "iou")} | {"total"}


# Online rules


WINDOW = Window(80.0, 60.0, 1.5, 129)


def prediction(boxes: torch.Tensor, score: torch.Tensor) -> SparsettPrediction:
    return SparsettPrediction(boxes[None], score[None], None, None)


def test_a_box_of_the_targets_size_has_no_penalty_and_others_share_theirs() -> None:
    side = 30 * WINDOW.scale / WINDOW.size
    boxes = torch.tensor([[0.5, 0.5, side, side], [0.5, 0.5, 2 * side, 2 * side], [0.5, 0.5, side / 2, side / 2]] * 3)
    config = replace(SPARSETT, penalty_k=0.1)
    choice = choose(prediction(boxes, torch.ones(9)), [WINDOW], [(0, 0, 30, 30)], config)
    one, larger, smaller = choice.penalty[0, :3].tolist()
    assert one == pytest.approx(1)
    assert larger == pytest.approx(smaller) == pytest.approx(np.exp(-0.1))


def test_the_window_prefers_the_middle_and_equal_cells_go_to_the_first() -> None:
    boxes, score = torch.tensor([[0.5, 0.5, 0.3, 0.3]]).repeat(25, 1), torch.full((25,), 0.5)
    choice = choose(prediction(boxes, score), [WINDOW], [(0, 0, 30, 30)], SPARSETT)
    assert choice.best.tolist() == [12]
    choice = choose(prediction(boxes, score), [WINDOW], [(0, 0, 30, 30)], replace(SPARSETT, window_influence=0.0))
    assert choice.best.tolist() == [0]


def test_smoothing_changes_the_size_and_not_the_centre() -> None:
    assert smooth((0, 0, 10, 30), (100, 50, 20, 20), 0.5) == (102.5, 47.5, 15, 25)


def test_a_box_is_kept_by_its_centre_and_size() -> None:
    assert to_centre(clip_centre((-80, 90, 60, 4), 160, 120, 10)) == (0, 91.5, 60, 10)
    assert to_centre(clip_centre((-80, 90, 600, 4), 160, 120, 10))[2] == 160


@pytest.mark.parametrize("count", [1, 3])
def test_it_tracks_one_or_several_targets(count: int) -> None:
    frames = [picture(number) for number in range(3)]
    boxes = [frames[0][1], (20, 30, 25, 40), (100.5, 60, 30, 30)][:count]
    together = Tracker(small())
    together.init(frames[0][0], boxes)
    alone = [Tracker(small()) for _ in boxes]
    for tracker, box in zip(alone, boxes, strict=True):
        tracker.init(frames[0][0], box)
    assert alone[0].states[0].border == pytest.approx(frames[0][0].mean((0, 1)))
    for image, _ in frames[1:]:
        results = together.update(image)
        assert isinstance(results, list)
        for result, tracker in zip(results, alone, strict=True):
            single = tracker.update(image)
            assert isinstance(single, Result)
            assert result.box == pytest.approx(single.box, abs=1e-2)
            assert result.score == pytest.approx(single.score, abs=1e-4)
            assert 0 <= result.score <= 1


@pytest.mark.parametrize("benchmark", list(MODELS["sparsett"].settings))
def test_settings_are_fields_of_the_configuration(benchmark: str) -> None:
    assert MODELS["sparsett"].settings[benchmark].keys() <= {field.name for field in fields(SparsettConfig)}


# Targets and losses


def pairs(count: int = 2, present: bool = True) -> PairBatch:
    template, search = patches(count)
    nothing = torch.zeros(count, 1, 1, 1, dtype=torch.bool)
    boxes = torch.tensor([[0.3, 0.35, 0.3, 0.4]]).repeat(count, 1)
    return PairBatch(
        template[:, None], nothing, boxes[:, None], search, nothing[:, 0], boxes, torch.full((count,), present)
    )


def test_boxes_by_their_pixels_and_relative_ones_are_the_same() -> None:
    pixels = torch.tensor([[10.0, 20.0, 41.0, 61.5]])
    x, y, w, h = relative_boxes(pixels, 129)[0]
    torch.testing.assert_close(pixel_boxes(torch.stack([x - w / 2, y - h / 2, w, h])[None], 129), pixels)


def test_a_cell_is_the_targets_strictly_inside_its_box_and_ignored_outside_of_a_negative_pairs() -> None:
    points = grid_points(4, stride=16, offset=0)
    boxes = torch.tensor([[16.0, 0.0, 48.0, 40.0]] * 2)
    classes, maps = label_maps(boxes, torch.tensor([True, False]), points)
    inside = torch.zeros(4, 4)
    inside[1:3, 2] = 1  # rows at 16 and 32, column at 32
    torch.testing.assert_close(classes[0].float(), inside.flatten())
    torch.testing.assert_close(classes[1].float(), inside.flatten() - 1)
    torch.testing.assert_close(maps[0][inside.flatten() == 1], boxes[:2])
    assert maps[0][inside.flatten() == 0].abs().sum() == maps[1].abs().sum() == 0


def test_every_cell_of_a_negative_pair_can_be_denied() -> None:
    some, all_of_them = small(), small(deny_all=True)
    absent, present = pairs(present=False), pairs()
    assert (some.labels(absent)[0] == -1).any()
    assert all_of_them.labels(absent)[0].eq(0).all()
    assert torch.equal(all_of_them.labels(present)[0], some.labels(present)[0])


def test_the_losses_vanish_where_the_prediction_is_right() -> None:
    classes, one = torch.tensor([[1, 0, -1]]), torch.tensor(1)
    assert focal_loss(torch.tensor([[20.0, -20.0, 20.0]]), classes, 0.75, 2.0, one) < 1e-6
    assert focal_loss(torch.tensor([[-20.0, -20.0, 20.0]]), classes, 0.75, 2.0, one) == pytest.approx(15)
    box = torch.tensor([[3.0, 4.0, 10.0, 12.0]])
    assert inclusive_iou(box, box) == 1
    assert inclusive_iou(box, box + torch.tensor([0, 0, 8, 0])) == 0.5  # 8 and 16 pixels wide


@pytest.mark.parametrize("present", [True, False])
def test_the_loss_reaches_every_parameter_that_is_used(present: bool) -> None:
    model = small().train()
    losses = model.loss(pairs(present=present))
    losses["total"].backward()
    weighted = [losses[name] for name in ("cls_fc", "reg_fc", "cls_conv", "reg_conv")]
    torch.testing.assert_close(losses["total"], torch.stack(weighted).sum())
    assert (losses["reg_conv"] > 0) == present
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)
