"""The deformable operators against plain ones, naive loops and finite differences."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lockon.nn.deform import DeformConv, DeformRoIPool, deform_conv, deform_roi_pool

SETTINGS = [(1, 1, 1, 3), (2, 1, 1, 3), (1, 2, 2, 3), (1, 0, 1, 1), (2, 2, 1, 5)]  # stride, padding, dilation, kernel


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def made(stride: int, padding: int, dilation: int, kernel: int, groups: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Input, zero offsets and weight."""
    x, weight = torch.randn(2, 4, 9, 11, dtype=torch.float64), torch.randn(3, 4, kernel, kernel, dtype=torch.float64)
    size = F.conv2d(x, weight, None, stride, padding, dilation).shape[2:]
    return x, torch.zeros(2, groups * 2 * kernel**2, *size, dtype=torch.float64), weight


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("groups", [1, 2])
def test_without_offsets_it_is_a_convolution(setting: tuple[int, int, int, int], groups: int) -> None:
    x, offsets, weight = made(*setting, groups=groups)
    stride, padding, dilation, _ = setting
    expected = F.conv2d(x, weight, None, stride, padding, dilation)
    torch.testing.assert_close(deform_conv(x, offsets, weight, stride, padding, dilation), expected)


def test_offsets_of_whole_cells_move_the_picture() -> None:
    x, offsets, weight = made(1, 1, 1, 3)
    offsets[:, 0::2], offsets[:, 1::2] = 2, -1  # down, left
    moved = torch.zeros_like(x)
    moved[:, :, :-2, 1:] = x[:, :, 2:, :-1]
    expected = F.conv2d(moved, weight, padding=1)
    torch.testing.assert_close(deform_conv(x, offsets, weight, padding=1)[..., 1:-3, 2:-1], expected[..., 1:-3, 2:-1])


def bilinear(plane: Tensor, y: float, x: float) -> float:
    """One sample of (H, W), zero outside."""
    value = 0.0
    for row, column in product((math.floor(y), math.floor(y) + 1), (math.floor(x), math.floor(x) + 1)):
        if 0 <= row < plane.shape[0] and 0 <= column < plane.shape[1]:
            value += (1 - abs(y - row)) * (1 - abs(x - column)) * plane[row, column].item()
    return value


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_agrees_with_a_naive_loop(setting: tuple[int, int, int, int]) -> None:
    x, offsets, weight = made(*setting, groups=2)
    stride, padding, dilation, kernel = setting
    offsets = 3 * torch.randn_like(offsets)
    found = deform_conv(x, offsets, weight, stride, padding, dilation)
    for b, o, row, column in [(0, 0, 0, 0), (1, 2, 2, 3), (0, 1, -1, -1)]:
        row, column = row % found.shape[2], column % found.shape[3]
        total = 0.0
        for c, i, j in product(range(4), range(kernel), range(kernel)):
            channel = (c // 2) * 2 * kernel**2 + 2 * (i * kernel + j)
            down, right = offsets[b, channel : channel + 2, row, column].tolist()
            y = row * stride - padding + i * dilation + down
            z = column * stride - padding + j * dilation + right
            total += weight[o, c, i, j].item() * bilinear(x[b, c], y, z)
        assert found[b, o, row, column].item() == pytest.approx(total)


def test_samples_far_outside_are_zero() -> None:
    x, offsets, weight = made(1, 1, 1, 3)
    for far in (1e6, -1e30, math.inf):
        assert not deform_conv(x, offsets + far, weight, padding=1).any()


def test_the_convolution_has_the_right_gradients() -> None:
    x = torch.randn(2, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    offsets = (0.8 * torch.randn(2, 36, 4, 5, dtype=torch.float64)).requires_grad_()
    weight = torch.randn(3, 4, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, o, w: deform_conv(x, o, w, padding=1), (x, offsets, weight))


ROIS = torch.tensor([[0, 10.2, 8, 61, 70], [1, -12.5, 3, 40, 66.6], [1, 20, 20, 21, 22], [0, 300, 300, 320, 330]])


@pytest.mark.parametrize("groups", [1, 2])
def test_without_offsets_pooling_is_plain_pooling(groups: int) -> None:
    features = torch.randn(2, 3 * groups**2, 9, 11, dtype=torch.float64)
    plain = deform_roi_pool(features, ROIS, None, 4, 0.1, groups=groups)
    still = torch.zeros(len(ROIS), 2, 2, 2, dtype=torch.float64)
    torch.testing.assert_close(deform_roi_pool(features, ROIS, still, 4, 0.1, groups=groups), plain)
    assert plain.shape == (4, 3, 4, 4)
    assert not plain[3].any()  # a region outside


@pytest.mark.parametrize("groups", [1, 2])
def test_pooling_agrees_with_a_naive_loop(groups: int) -> None:
    features = torch.randn(2, 3 * groups**2, 9, 11, dtype=torch.float64)
    offsets = torch.randn(len(ROIS), 2, 2, 2, dtype=torch.float64)
    found = deform_roi_pool(features, ROIS, offsets, 4, 0.1, 3, 0.2, groups)
    rounded = [[math.copysign(math.floor(abs(v) + 0.5), v) for v in roi] for roi in ROIS[:, 1:].tolist()]
    for r, c, row, column in product(range(len(ROIS)), range(3), (0, 3), (1, 2)):
        x1, y1, x2, y2 = rounded[r]
        left, top = 0.1 * x1 - 0.5, 0.1 * y1 - 0.5
        w, h = max(0.1 * (x2 + 1) - 0.5 - left, 0.1), max(0.1 * (y2 + 1) - 0.5 - top, 0.1)
        right, down = 0.2 * offsets[r, :, row // 2, column // 2]
        plane = features[int(ROIS[r, 0]), (c * groups + row * groups // 4) * groups + column * groups // 4]
        values = []
        for i, j in product(range(3), range(3)):
            y = top + h * (row / 4 + i / 12 + down.item())
            x = left + w * (column / 4 + j / 12 + right.item())
            if -0.5 <= y <= 8.5 and -0.5 <= x <= 10.5:
                values.append(bilinear(plane, min(max(y, 0), 8), min(max(x, 0), 10)))
        expected = sum(values) / len(values) if values else 0.0
        assert found[r, c, row, column].item() == pytest.approx(expected, abs=1e-6)


def test_corners_are_rounded_half_away_from_zero() -> None:
    features = torch.randn(1, 2, 9, 11)
    halves = torch.tensor([[0, -0.5, 0.5, 20.5, 31.5]])
    whole = torch.tensor([[0, -1.0, 1.0, 21.0, 32.0]])
    assert torch.equal(deform_roi_pool(features, halves, None, 4, 0.1), deform_roi_pool(features, whole, None, 4, 0.1))


def test_pooling_has_the_right_gradients() -> None:
    features = torch.randn(2, 2, 5, 6, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 3, 4, 31, 28], [1, 1, 2, 47, 41]])
    offsets = (0.5 * torch.randn(2, 2, 2, 2, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, o: deform_roi_pool(f, rois, o, 2, 0.11, samples=2), (features, offsets))


def test_the_regions_get_no_gradient() -> None:
    rois = ROIS.clone().requires_grad_()
    features = torch.randn(2, 3, 9, 11, requires_grad=True)
    deform_roi_pool(features, rois, None, 2, 0.1).sum().backward()
    assert rois.grad is None


def test_the_modules_start_without_offsets() -> None:
    conv, pool = DeformConv(4, 3), DeformRoIPool(3, 4, hidden=8)
    x, features = torch.randn(2, 4, 9, 11), torch.randn(2, 3, 9, 11)
    torch.testing.assert_close(conv(x), F.conv2d(x, conv.weight, padding=1))
    torch.testing.assert_close(pool(features, ROIS, 0.1), deform_roi_pool(features, ROIS, None, 4, 0.1))


def test_a_batch_of_two_is_two_single_runs_and_float32_agrees_with_float64() -> None:
    x, offsets, weight = made(1, 1, 1, 3, groups=2)
    offsets = torch.randn_like(offsets)
    both = deform_conv(x, offsets, weight, padding=1)
    for i in range(2):
        torch.testing.assert_close(deform_conv(x[i : i + 1], offsets[i : i + 1], weight, padding=1), both[i : i + 1])
    single = deform_conv(x.float(), offsets.float(), weight.float(), padding=1)
    torch.testing.assert_close(single.double(), both, atol=1e-4, rtol=1e-4)
    moves = torch.randn(len(ROIS), 2, 4, 4, dtype=torch.float64)
    pooled = deform_roi_pool(x, ROIS, moves, 4, 0.1)
    for i in range(len(ROIS)):
        alone = ROIS[i : i + 1] * torch.tensor([0, 1, 1, 1, 1])
        image = x[int(ROIS[i, 0])][None]
        torch.testing.assert_close(deform_roi_pool(image, alone, moves[i : i + 1], 4, 0.1), pooled[i : i + 1])
    torch.testing.assert_close(
        deform_roi_pool(x.float(), ROIS, moves.float(), 4, 0.1).double(), pooled, atol=1e-4, rtol=1e-4
    )


def test_coordinates_keep_their_digits_under_autocast() -> None:
    x, offsets, weight = (t.float() for t in made(1, 1, 1, 3))
    offsets = 2 * torch.randn_like(offsets)
    plain = deform_roi_pool(x, ROIS, None, 4, 0.1)
    expected = deform_conv(x, offsets, weight, padding=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(deform_roi_pool(x, ROIS, None, 4, 0.1), plain)
        found = deform_conv(x, offsets, weight, padding=1)
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_computes_the_same() -> None:
    x, offsets, weight = made(1, 1, 1, 3, groups=2)
    offsets, moves = torch.randn_like(offsets), torch.randn(len(ROIS), 2, 4, 4, dtype=torch.float64)

    def run(device: str) -> list[Tensor]:
        here = [t.detach().clone().to(device).requires_grad_() for t in (x, offsets, weight, moves)]
        pooled = deform_roi_pool(here[0], ROIS.to(device), here[3], 4, 0.1)
        out = [deform_conv(here[0], here[1], here[2], padding=1), pooled]
        sum(o.pow(2).sum() for o in out).backward()  # type: ignore[union-attr]
        return [t.detach().cpu() for t in (*out, *(t.grad for t in here if t.grad is not None))]

    for cpu, gpu in zip(run("cpu"), run("cuda"), strict=True):
        torch.testing.assert_close(gpu, cpu)
