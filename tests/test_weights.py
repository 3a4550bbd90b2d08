import difflib
from pathlib import Path

import pytest
import torch
from torch import nn

import lockon
from lockon.errors import ModelError, OutputError
from lockon.models.stark import Stark, StarkConfig
from lockon.nn.resnet import ResNet, ResNetConfig
from lockon.weights import COMPARED, load_backbone, load_into, misfit, read_weights, save_weights


def test_weights_go_round_through_a_file(tmp_path: Path) -> None:
    model = lockon.create_model("stark-tiny")
    save_weights(model.state_dict(), tmp_path / "w.safetensors", "stark-tiny", torch.float32)
    again = lockon.create_model("stark-tiny", weights=tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


def test_weights_of_another_model_are_refused_by_their_name(tmp_path: Path) -> None:
    save_weights(lockon.create_model("stark-tiny").state_dict(), tmp_path / "w.safetensors", "stark-tiny")
    with pytest.raises(ModelError, match=r"weights of stark-tiny, not of stark-s50; use --tracker stark-tiny"):
        lockon.load("stark-s50", weights=tmp_path / "w.safetensors")


def test_weights_that_do_not_fit_are_listed_both_ways(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 4))
    with pytest.raises(ModelError) as caught:
        load_into(model, {"0.weight": torch.zeros(3, 5), "0.bias": torch.zeros(3), "1.weights": torch.zeros(4, 3)}, "f")
    text = str(caught.value)
    assert "2 missing: 1.bias" in text
    assert "1.weight (nearest: 1.weights)" in text
    assert "1 unexpected: 1.weights (nearest: 1.weight)" in text
    assert "0.weight is (3, 5), not (3, 2)" in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such weights file"):
        lockon.load("stark-tiny", weights=tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"not weights at all, just some text"])
def test_a_corrupt_file_is_an_error(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        lockon.load("stark-tiny", weights=tmp_path / name)


def test_a_truncated_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(lockon.create_model("stark-tiny").state_dict(), path, "stark-tiny")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        lockon.load("stark-tiny", weights=path)


@pytest.mark.parametrize("given", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precision_is_taken_for_float32(given: torch.dtype) -> None:
    model = nn.Linear(2, 3)
    load_into(model, {"weight": torch.ones(3, 2, dtype=given), "bias": torch.zeros(3)}, "f")
    assert model.weight.dtype == torch.float32
    assert model.weight.eq(1).all()


@pytest.mark.parametrize("given", [torch.int64, torch.int8, torch.complex64, torch.bool])
def test_numbers_of_another_type_are_refused(given: torch.dtype) -> None:
    tensors = {"weight": torch.ones(3, 2, dtype=given), "bias": torch.zeros(3)}
    with pytest.raises(ModelError, match=f"1 of another type: weight is {str(given)[6:]}, not float32"):
        load_into(nn.Linear(2, 3), tensors, "f")


# Backbones


def published(stages: int) -> dict[str, torch.Tensor]:
    """Weights as torchvision publishes them: a classifier, plain batch norms, maybe with their counters."""
    torch.manual_seed(2)
    widths = (4, 8, 16, 32)[:stages]
    config = ResNetConfig((1,) * stages, widths, (1,) * stages, (1,) * stages, "bottleneck", 4, frozen_norm=False)
    return ResNet(config).state_dict() | {"fc.weight": torch.zeros(10, 128), "fc.bias": torch.zeros(10)}


def small(stages: int) -> Stark:
    backbone = ResNetConfig((1,) * stages, (4, 8, 16)[:stages], (1,) * stages, (1,) * stages, stem=4)
    shape = {"dim": 8, "heads": 2, "feedforward": 8, "encoder_layers": 1, "decoder_layers": 1, "head": (4,)}
    return Stark(StarkConfig(backbone=backbone, **shape))  # type: ignore[arg-type]


@pytest.mark.parametrize("stages", [2, 3])
def test_a_published_backbone_loses_its_classifier_and_its_last_stages(stages: int, tmp_path: Path) -> None:
    torch.save(published(4), tmp_path / "resnet.pth")
    model = small(stages)
    before = model.state_dict()["bottleneck.weight"].clone()
    count = load_backbone(model, tmp_path / "resnet.pth")
    own = model.backbone.state_dict()
    assert all(torch.equal(own[name], published(4)[name]) for name in own)
    assert count > len(own)  # counters of batches come along, and are not needed
    assert torch.equal(model.state_dict()["bottleneck.weight"], before)


def test_another_backbone_is_refused(tmp_path: Path) -> None:
    tensors = published(4)
    tensors["layer1.0.conv2.weight"] = torch.zeros(5, 4, 3, 3)
    torch.save(tensors | {"layer2.7.conv1.weight": torch.zeros(1)}, tmp_path / "resnet.pth")
    with pytest.raises(ModelError) as caught:
        load_backbone(small(3), tmp_path / "resnet.pth")
    assert "not of this model's backbone: 1 unexpected: layer2.7.conv1.weight" in str(caught.value)
    assert "layer1.0.conv2.weight is (5, 4, 3, 3), not (4, 4, 3, 3)" in str(caught.value)


def test_a_model_without_such_a_backbone_says_so(tmp_path: Path) -> None:
    torch.save(published(4), tmp_path / "resnet.pth")
    with pytest.raises(ModelError, match="no backbone with published weights"):
        load_backbone(nn.Linear(2, 3), tmp_path / "resnet.pth")


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with pytest.raises(OutputError, match=r"w.safetensors: cannot be written"):
        save_weights({"a": torch.zeros(1)}, tmp_path / "no" / "w.safetensors", "x")


def test_weights_are_as_readable_as_any_other_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save_weights({"a": torch.zeros(1)}, tmp_path / "w.safetensors", "x")
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


# Numbers that no type can hold


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 65520.0, -1e30])
def test_what_float16_cannot_hold_is_not_written(bad: float, tmp_path: Path) -> None:
    state = {"a": torch.ones(3), "b": torch.tensor([0.0, bad])}
    with pytest.raises(OutputError, match=r"w.safetensors: .*(NaN or infinite|beyond 65504).*: b$"):
        save_weights(state, tmp_path / "w.safetensors", "x")
    assert not list(tmp_path.iterdir())
    if abs(bad) < 1e38:
        save_weights(state, tmp_path / "w.safetensors", "x", torch.float32)
        assert read_weights(tmp_path / "w.safetensors")[0]["b"].tolist() == state["b"].tolist()


def test_a_file_that_is_there_may_be_kept(tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_text("mine")
    with pytest.raises(OutputError, match="is there already"):
        save_weights({"a": torch.ones(3)}, tmp_path / "w.safetensors", "x", replace=False)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("w.safetensors", "mine")]


# Many names


def test_the_nearest_of_very_many_names_is_looked_for_among_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """To compare each with thousands of long names would take minutes."""
    asked: list[tuple[str, list[str]]] = []

    def look(name: str, others: list[str], n: int) -> list[str]:
        asked.append((name, others))
        return []

    monkeypatch.setattr(difflib, "get_close_matches", look)
    tensors = {f"part{number}.{'x' * 400}.weight": torch.zeros(1) for number in range(5000)}
    fault = misfit(nn.Linear(2, 3), tensors)
    assert "5000 unexpected: part0." in fault
    assert len(fault) < 1500
    assert max(len(others) for _, others in asked) <= COMPARED
    assert max(len(name) for name, _ in asked) <= 100


def test_among_many_names_those_that_end_alike_are_compared() -> None:
    model = nn.Sequential(*(nn.Linear(1, 1) for _ in range(400)))
    names = {name.replace("399.", "three."): value for name, value in model.state_dict().items()}
    assert "1 missing" not in misfit(model, names)
    assert "399.weight (nearest: three.weight)" in misfit(model, names)
