import pytest
import torch

from lockon.nn.losses import box_loss, center_loss, center_map


def test_a_label_map_is_one_at_the_centre_and_falls_off() -> None:
    boxes = torch.tensor([[0.25, 0.125, 0.5, 0.25]])  # of 16 cells: centre (8, 4)
    (label,) = center_map(boxes, 16)
    assert label[4, 8] == 1
    assert (label == 1).sum() == 1
    assert 0 < label[4, 9] < 1
    assert label[4, 9] == label[4, 7] == label[3, 8]
    assert label[15, 15] == 0


def test_a_small_target_has_one_cell_and_a_large_one_a_bump() -> None:
    cells = [(center_map(torch.tensor([[0.4, 0.4, side, side]]), 16) > 0).sum() for side in (0.02, 0.2, 0.5)]
    assert cells[0] == 1
    assert cells[1] < cells[2]


def test_the_center_loss_is_least_at_the_label() -> None:
    label = center_map(torch.tensor([[0.25, 0.125, 0.5, 0.25]]), 16)
    peaked = torch.full((1, 16, 16), 1e-4)
    elsewhere = peaked.clone()
    peaked[0, 4, 8] = elsewhere[0, 12, 2] = 1 - 1e-4
    assert center_loss(peaked, label) < 1e-3
    assert center_loss(elsewhere, label) > 5


def test_without_a_target_all_scores_should_be_low() -> None:
    low, label = torch.full((1, 4, 4), 1e-4), torch.zeros(1, 4, 4)
    assert center_loss(low, label) < 1e-3 < center_loss(1 - low, label)


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_box_loss_is_zero_for_the_truth_alone(shift: float) -> None:
    truth = torch.tensor([[0.2, 0.3, 0.5, 0.7]])
    losses = box_loss(truth + shift, truth, giou_weight=2.0, l1_weight=5.0)
    assert (losses["box"] < 1e-5) == (shift == 0)
    torch.testing.assert_close(losses["box"], 2 * losses["giou"] + 5 * losses["l1"])


def test_inverted_boxes_leave_only_the_l1_term() -> None:
    truth = torch.tensor([[0.2, 0.3, 0.5, 0.7]])
    losses = box_loss(truth[:, [2, 1, 0, 3]], truth, 2.0, 5.0)
    assert losses["giou"] == losses["iou"] == 0
    assert losses["l1"] > 0
