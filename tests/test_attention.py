import torch

from lockon.nn.attention import steep_softmax


def denormal(x: torch.Tensor) -> torch.Tensor:
    return (x != 0) & (x.abs() < torch.finfo(x.dtype).tiny)


def test_steep_attention_has_no_denormal_numbers_and_changes_no_digit() -> None:
    torch.manual_seed(0)
    logits, values = 30 * torch.randn(4, 64, 64), torch.randn(4, 64, 16)
    assert denormal(logits.softmax(-1)).any()  # what a CPU is slow with
    weights = steep_softmax(logits)
    assert not denormal(weights).any()
    assert torch.equal(weights @ values, logits.softmax(-1) @ values)


def test_attention_that_is_not_steep_is_softmax() -> None:
    logits = torch.randn(3, 5, 7, dtype=torch.float64)
    assert torch.equal(steep_softmax(logits), logits.softmax(-1))


def test_steep_attention_passes_gradients_on() -> None:
    logits = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(steep_softmax, logits)
