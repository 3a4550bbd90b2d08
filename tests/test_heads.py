import torch

from lockon.nn.heads import CenterHead, centered_boxes, expected_boxes, soft_argmax

LAST = torch.tensor([[0.3, 0.4, 0.2, 0.3]])


def corner_maps(*boxes: tuple[float, float, float, float], size: int = 20, strength: float = 12.0) -> torch.Tensor:
    """(1, 2, size, size) maps with a peak at the corners of each x1, y1, x2, y2 box."""
    maps = torch.zeros(1, 2, size, size)
    for box in boxes:
        for corner, (x, y) in enumerate((box[:2], box[2:])):
            maps[0, corner, round(y * size), round(x * size)] = strength
    return maps


def test_of_two_targets_alike_the_one_near_the_last_box_is_expected() -> None:
    near, other = (0.3, 0.4, 0.5, 0.7), (0.6, 0.4, 0.8, 0.7)
    maps = corner_maps(near, other)
    mixed = soft_argmax(maps).flatten(1)
    torch.testing.assert_close(mixed, torch.tensor([[0.45, 0.4, 0.65, 0.7]]), atol=0.02, rtol=0)  # neither of them
    torch.testing.assert_close(expected_boxes(maps, LAST, 0.2), torch.tensor([near]), atol=0.03, rtol=0)


def test_a_target_that_is_clearly_elsewhere_is_found_there() -> None:
    far = (0.7, 0.1, 0.9, 0.4)
    torch.testing.assert_close(expected_boxes(corner_maps(far), LAST, 0.2), torch.tensor([far]), atol=0.03, rtol=0)


def test_a_wide_expectation_is_none() -> None:
    maps = torch.randn(3, 2, 16, 16, generator=torch.manual_seed(0))
    boxes = expected_boxes(maps, LAST.expand(3, 4), 1e3)
    torch.testing.assert_close(boxes, soft_argmax(maps).flatten(1), atol=1e-4, rtol=0)


def test_a_box_is_read_where_the_response_is_highest() -> None:
    response, sizes, offsets = torch.zeros(1, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)
    response[0, 1, 2] = 1
    sizes[0, :, 1, 2] = torch.tensor([0.3, 0.6])
    offsets[0, :, 1, 2] = torch.tensor([0.5, -0.25])
    torch.testing.assert_close(centered_boxes(response, sizes, offsets), torch.tensor([[2.5 / 4, 0.75 / 4, 0.3, 0.6]]))


def test_of_equal_responses_the_first_counts() -> None:
    zeros = torch.zeros(1, 2, 4, 4)
    assert centered_boxes(torch.ones(1, 4, 4), zeros, zeros).tolist() == [[0, 0, 0, 0]]


def test_scores_and_sizes_leave_room_for_a_logarithm() -> None:
    head = CenterHead(8, (4,)).eval()
    centers = head(1e6 * torch.randn(2, 8, 4, 4))
    for part in (centers.scores, centers.sizes):
        assert 1e-4 <= part.min() <= part.max() < 1
    assert centers.offsets.shape == (2, 2, 4, 4)


def test_half_precision_does_not_spoil_the_scores() -> None:
    head = CenterHead(8, (4,)).eval()
    with torch.autocast("cpu", torch.bfloat16):
        scores = head(1e4 * torch.randn(2, 8, 4, 4)).scores
    assert scores.dtype == torch.float32
    assert scores.max() < 1
