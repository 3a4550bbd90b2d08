import pytest
import torch
from torch import nn

from lockon.nn.attention import MultiHeadAttention
from lockon.nn.count import multiply_adds


class Both(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.attend = MultiHeadAttention(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return self.attend(tokens, tokens, tokens)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_multiply_adds_are_told_apart_by_part_and_kind(device: str) -> None:
    model = Both().to(device)
    counts = multiply_adds(model, lambda: model(torch.zeros(1, 3, 4, 5, device=device)), "conv", "attend")
    assert counts["conv"] == {"convolution": 20 * 8 * 3 * 9, "linear": 0, "product": 0}
    assert counts["attend"] == {"convolution": 0, "linear": 4 * 20 * 8 * 8, "product": 2 * 20 * 20 * 8}
    assert counts[""] == {kind: counts["conv"][kind] + counts["attend"][kind] for kind in counts[""]}


def test_a_part_that_is_called_piece_by_piece_is_counted_once() -> None:
    model = nn.ModuleDict({"part": nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Linear(5, 6)))})
    part = model["part"]
    counts = multiply_adds(model, lambda: part[1](part[0](torch.zeros(1, 4))), "part")  # type: ignore[index]
    assert counts["part"]["linear"] == 4 * 5 + 5 * 6
