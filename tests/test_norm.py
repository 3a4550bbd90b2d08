"""Batch norm, of a single map above all."""

import pytest
import torch
from torch import Tensor, nn

import lockon
from lockon.nn.norm import BatchNorm2d


def tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, H W, C)."""
    return x.flatten(2).transpose(1, 2)


def make(training: bool) -> BatchNorm2d:
    torch.manual_seed(0)
    norm = BatchNorm2d(3).double().train(training)
    for parameter in norm.parameters():
        nn.init.normal_(parameter)
    norm.running_mean = torch.randn(3).double()
    return norm


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_the_gradient_is_right_where_a_map_becomes_tokens(count: int, training: bool) -> None:
    norm, mix = make(training), torch.randn(3, 2).double()
    x = torch.randn(count, 3, 4, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: tokens(norm(x)) @ mix, (x, norm.weight, norm.bias))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_the_gradient_is_right_where_tokens_become_a_map(count: int, training: bool) -> None:
    norm = make(training)
    x = torch.randn(count, 20, 3).double().requires_grad_()

    def function(x: Tensor, *_: Tensor) -> Tensor:
        return norm(x.transpose(1, 2).unflatten(2, (4, 5))).flatten(1)

    assert torch.autograd.gradcheck(function, (x, norm.weight, norm.bias))


@pytest.mark.parametrize("training", [True, False])
def test_all_else_is_pytorchs_batch_norm(training: bool) -> None:
    ours, theirs = make(training), nn.BatchNorm2d(3).double().train(training)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(1, 3, 4, 5).double()
    assert torch.equal(nn.ReLU(inplace=True)(ours(x)), theirs(x).relu())
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize("name", lockon.list_models())
def test_every_network_uses_it(name: str) -> None:
    with torch.device("meta"):
        assert nn.BatchNorm2d not in {type(module) for module in lockon.create_model(name).modules()}
