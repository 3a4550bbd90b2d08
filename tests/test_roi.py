import torch
from torch.nn import functional as F

from lockon.nn.roi import precise_roi_pool


def test_pooling_is_the_mean_of_the_bilinear_surface() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    boxes = torch.tensor([[[0.3, 0.6, 4.9, 3.1], [-1.5, -0.7, 2.0, 1.0], [5.5, 3.0, 9.0, 6.0]]], dtype=torch.float64)
    pooled = precise_roi_pool(features, boxes, 2)
    steps = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    for number, (x1, y1, x2, y2) in enumerate(boxes[0]):
        x, y = x1 + (x2 - x1) * steps, y1 + (y2 - y1) * steps
        place = torch.stack(torch.meshgrid(x / 6 * 2 - 1, y / 4 * 2 - 1, indexing="xy"), dim=-1)[None]
        surface = F.grid_sample(features, place, "bilinear", "zeros", align_corners=True)
        expected = F.avg_pool2d(surface, 200)[0]
        torch.testing.assert_close(pooled[0, number], expected, atol=1e-4, rtol=0)


def test_pooling_has_the_right_gradients_of_features_and_boxes() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[[0.2, 0.3, 2.7, 1.9]], [[-0.6, 1.1, 3.6, 5.3]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f, b: precise_roi_pool(f, b, 2), (features, boxes))


def test_a_box_without_area_pools_to_zeros_and_teaches_nothing() -> None:
    features = torch.ones(1, 1, 4, 4, requires_grad=True)
    boxes = torch.tensor([[[1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 1.0, 3.0]]], requires_grad=True)
    pooled = precise_roi_pool(features, boxes, 3)
    pooled.sum().backward()
    assert pooled.shape == (1, 2, 1, 3, 3)
    assert not pooled.any()
    assert boxes.grad is not None
    assert not boxes.grad.any()
