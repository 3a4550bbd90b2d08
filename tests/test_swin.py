from pathlib import Path

import pytest
import torch
from torch import nn

from lockon.nn.swin import PatchMerging, Swin, SwinConfig, WindowAttention
from lockon.weights import load_backbone

CONFIG = SwinConfig(dim=8, depths=(1, 2, 2, 1), heads=(1, 2, 2, 2), window=3)


def attention(shift: int) -> WindowAttention:
    torch.manual_seed(0)
    return WindowAttention(8, 2, 3, shift).eval()


def reach(module: nn.Module, row: int, column: int, side: int = 9) -> torch.Tensor:
    """(side, side) bool: which tokens of a map the output at one place depends on."""
    x = torch.randn(1, side, side, 8, requires_grad=True)
    module(x)[0, row, column].sum().backward()
    assert x.grad is not None
    return x.grad[0].abs().sum(-1) > 1e-20


@pytest.mark.parametrize("size", [(63, 63), (64, 50), (17, 130)])
def test_cells_cover_images_of_any_size(size: tuple[int, int]) -> None:
    out = Swin(CONFIG)(torch.zeros(1, 3, *size))
    assert out.shape == (1, CONFIG.channels, -(-size[0] // CONFIG.stride), -(-size[1] // CONFIG.stride))


def test_attention_stays_in_its_window() -> None:
    window = torch.zeros(9, 9, dtype=torch.bool)
    window[3:6, 6:9] = True
    assert torch.equal(reach(attention(shift=0), 4, 7), window)


def test_shifted_windows_keep_the_ends_of_the_map_apart() -> None:
    window = torch.zeros(9, 9, dtype=torch.bool)
    window[1:4, 1:4] = True
    assert torch.equal(reach(attention(shift=1), 2, 2), window)
    corner = torch.zeros(9, 9, dtype=torch.bool)
    corner[0, 0] = True
    assert torch.equal(reach(attention(shift=1), 0, 0), corner)


def test_later_stages_hold_weights_but_are_neither_run_nor_trained() -> None:
    model = Swin(CONFIG).eval()
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert {name.split(".")[1] for name in frozen} == {"2", "3"}
    assert all(name.startswith(("stages.2.downsample.", "stages.3.")) for name in frozen)
    image = torch.randn(1, 3, 40, 40)
    before = model(image)
    for name, parameter in model.named_parameters():
        if name in frozen:
            nn.init.constant_(parameter, torch.nan)
    torch.testing.assert_close(model(image), before)


def test_whole_branches_are_left_out_in_training_alone() -> None:
    torch.manual_seed(0)
    model = Swin(SwinConfig(dim=8, depths=(1, 1, 1), heads=(1, 1, 1), window=3, drop_path=0.5))
    images = torch.randn(1, 3, 40, 40).repeat(16, 1, 1, 1)
    trained, used = model.train()(images), model.eval()(images)
    assert not torch.allclose(trained, trained[:1].expand_as(trained), atol=1e-3)
    torch.testing.assert_close(used, used[:1].expand_as(used))


def test_published_weights_of_the_merging_are_put_in_order() -> None:
    merging, x = PatchMerging(4), torch.randn(1, 6, 6, 4)
    nn.init.normal_(merging.norm.weight)
    nn.init.normal_(merging.norm.bias)
    theirs = merging.state_dict()
    places = [x[:, dy::2, dx::2] for dx in (0, 1) for dy in (0, 1)]
    y = nn.functional.layer_norm(torch.cat(places, -1), (16,), theirs["norm.weight"], theirs["norm.bias"])
    expected = y @ theirs["reduction.weight"].T
    named = {f"layers.0.downsample.{name}": value for name, value in theirs.items()}
    ours = Swin(CONFIG).published(named | {"head.weight": x, "norm.bias": x})
    place = "stages.0.downsample."
    merging.load_state_dict({name.removeprefix(place): v for name, v in ours.items() if name.startswith(place)})
    torch.testing.assert_close(merging(x), expected)


def test_a_published_classifier_becomes_the_trunk(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Swin(CONFIG))
    theirs = {"head.weight": torch.zeros(3), "norm.weight": torch.zeros(3)}
    for name, value in model[0].state_dict().items():
        for ours, published in (("stages.", "layers."), ("ffn.0.", "mlp.fc1."), ("ffn.2.", "mlp.fc2.")):
            name = name.replace(ours, published)
        if name not in ("norm.weight", "norm.bias"):
            theirs[name.replace("projection.", "proj.")] = value + 1
    torch.save({"model": theirs}, tmp_path / "swin.pth")
    before = {name: value.clone() for name, value in model[0].state_dict().items()}
    assert load_backbone(model, tmp_path / "swin.pth") == len(before)
    after = model[0].state_dict()
    assert torch.equal(after["patch_embed.projection.weight"], before["patch_embed.projection.weight"] + 1)
    assert torch.equal(after["norm.weight"], before["norm.weight"])
