import pytest
import torch

from lockon.nn.resnet import TINY, ResNet, ResNetConfig

SIAMRPN = ResNetConfig(
    (3, 4, 6, 3), (64, 128, 256, 512), (1, 2, 1, 1), (1, 1, 2, 4), frozen_norm=False, style="siamrpn"
)


@pytest.mark.parametrize(("side", "sides"), [(127, [61, 31, 15, 15, 15]), (255, [125, 63, 31, 31, 31])])
def test_the_trunk_of_siamrpn_keeps_its_resolution_after_the_second_stage(side: int, sides: list[int]) -> None:
    with torch.device("meta"):
        shapes = [x.shape[1:] for x in ResNet(SIAMRPN).outputs(torch.zeros(1, 3, side, side))]
    assert shapes == [(c, s, s) for c, s in zip(SIAMRPN.outputs, sides, strict=True)]
    assert SIAMRPN.outputs == (64, 256, 512, 1024, 2048)


def test_without_padding_a_shifted_picture_has_shifted_features() -> None:
    torch.manual_seed(0)
    config = ResNetConfig((1, 1), (4, 4), (1, 2), (1, 1), "basic", 4, style="siamrpn")
    trunk, picture = ResNet(config).eval(), torch.rand(1, 3, 103, 111)
    one, two = trunk(picture[..., :103]), trunk(picture[..., 8:])
    torch.testing.assert_close(one[..., 5:-3], two[..., 4:-4])  # far from what little padding there is


@pytest.mark.parametrize("style", ["torchvision", "siamrpn"])
def test_the_last_of_the_outputs_is_what_forward_gives(style: str) -> None:
    config = ResNetConfig((1, 1, 1), (4, 4, 4), (1, 2, 1), (1, 1, 2), "basic", 4, style=style)  # type: ignore[arg-type]
    trunk, picture = ResNet(config).eval(), torch.rand(1, 3, 64, 64)
    *_, last = trunk.outputs(picture)
    assert torch.equal(trunk(picture), last)


def test_merged_stages_come_out_one_after_another_at_the_finer_resolution() -> None:
    trunk, picture = ResNet(TINY).eval(), torch.rand(1, 3, 64, 96)
    *_, fine, coarse = trunk.outputs(picture)
    out = trunk(picture)
    assert out.shape == (1, TINY.channels, 64 // TINY.stride, 96 // TINY.stride) == (1, 64 + 128, 8, 12)
    assert torch.equal(out[:, :64], fine)
    torch.testing.assert_close(out[:, 64:].mean((2, 3)), coarse.mean((2, 3)), atol=0.1, rtol=0.1)


@pytest.mark.parametrize("prefix", ["", "backbone.", "backbone.patch_embed.trunk."])
def test_a_trunk_takes_its_weights_from_a_classifier_or_a_tracker(prefix: str) -> None:
    trunk = ResNet(TINY)
    given = {f"{prefix}{name}": value for name, value in trunk.state_dict().items()}
    others = {"head.weight": torch.zeros(3)} if prefix else {"fc.weight": torch.zeros(3), "layer4.0": torch.zeros(3)}
    taken = trunk.published(given | others)
    assert taken.keys() == trunk.state_dict().keys()
