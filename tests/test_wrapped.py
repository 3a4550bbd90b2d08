"""Weights as others save them: under the names that wrappers give, several sets in one file, other precision."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lockon.checkpoints import Checkpoint
from lockon.errors import ModelError
from lockon.models import MODELS
from lockon.nn.resnet import ResNet
from lockon.registry import convert, create_model, put_weights
from lockon.weights import choose, load_backbone, load_into, read_checkpoint, read_weights
from tests.small import STARK

Weights = dict[str, Tensor]


def weights(seed: int) -> Weights:
    """Of the small STARK."""
    torch.manual_seed(seed)
    return create_model("small").state_dict()


def under(prefix: str, tensors: Weights) -> Weights:
    return {prefix + name: value for name, value in tensors.items()}


def take(content: Any, folder: Path) -> tuple[Weights, Checkpoint]:
    """What a model has after it was given a file with this content, and what was told."""
    torch.save(content, folder / "w.pth")
    model = create_model("small")
    told = put_weights("small", model, read_checkpoint(folder / "w.pth"), folder / "w.pth")
    return model.state_dict(), told


def same(one: Weights, two: Weights) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


pytestmark = pytest.mark.usefixtures("small_stark")

WRAPPERS = ["module.", "_orig_mod.", "model.", "net.", "network.", "module._orig_mod.", "model._orig_mod.module."]
WRAPPERS += ["tracker.", "lit.model.net."]


@pytest.mark.parametrize("level", ["", "net", "state_dict", "model_state_dict", "module", "network"])
@pytest.mark.parametrize("prefix", WRAPPERS)
def test_any_wrapper_before_all_names_is_taken_off_and_told(prefix: str, level: str, tmp_path: Path) -> None:
    wrapped = under(prefix, weights(1))
    got, told = take({level: wrapped, "epoch": 3} if level else wrapped, tmp_path)
    assert same(got, weights(1))
    (note,) = told.notes
    assert note.startswith("names were read without ")
    assert set(note.removeprefix("names were read without ").replace(", ", "").split(".")) == set(prefix.split("."))


def test_wrappers_of_parts_are_taken_out_of_names(tmp_path: Path) -> None:
    """What torch.compile, FSDP and activation checkpoints leave where they were put around a part."""
    wrapped = {name.replace("backbone.", "backbone._orig_mod."): value for name, value in weights(1).items()}
    wrapped = {
        n.replace("encoder.", "encoder._fsdp_wrapped_module._checkpoint_wrapped_module."): v for n, v in wrapped.items()
    }
    assert same(take({"state_dict": wrapped}, tmp_path)[0], weights(1))


def test_official_names_are_found_under_a_wrapper(tmp_path: Path) -> None:
    official = {name.replace("backbone.", "backbone.0.body.", 1): value for name, value in weights(1).items()}
    rename = lambda name: name.replace("backbone.0.body.", "backbone.", 1)  # noqa: E731
    model = create_model("small")
    chosen, fault = choose(model, Checkpoint(under("model.", official)), rename)
    assert fault == ""
    load_into(model, chosen.tensors, "f", rename)
    assert same(model.state_dict(), weights(1))


def test_safetensors_may_be_wrapped_too_and_have_any_name(tmp_path: Path) -> None:
    save_file(under("_orig_mod.", weights(1)), tmp_path / "w.bin")
    assert same(create_model("small", weights=tmp_path / "w.bin").state_dict(), weights(1))


def test_what_stands_beside_a_wrapped_model_is_left_out_and_told(tmp_path: Path) -> None:
    content = {
        "state_dict": under("model.", weights(1)) | {"criterion.weight": torch.ones(3), "metric.total": torch.tensor(1)}
    }
    got, told = take(content, tmp_path)
    assert same(got, weights(1))
    assert set(told.ignored) == {"criterion.weight", "metric.total"}


@pytest.mark.parametrize("change", ["missing", "extra", "shape"])
def test_a_wrapper_is_not_taken_off_what_does_not_fit(change: str, tmp_path: Path) -> None:
    """Nothing that the model would need is dropped so that the rest may fit."""
    wrapped = under("model.", weights(1))
    name = "model.bottleneck.bias"
    if change == "missing":
        del wrapped[name]
    elif change == "extra":
        wrapped["model.bottleneck.scale"] = torch.ones(3)
    else:
        wrapped[name] = torch.ones(3)
    says = {
        "missing": "1 missing: bottleneck.bias",
        "extra": "1 unexpected: bottleneck.scale",
        "shape": "1 of another shape: bottleneck.bias",
    }
    with pytest.raises(ModelError, match=rf"not of small: {says[change]}.*nearest to small all the same"):
        take(wrapped, tmp_path)


def test_one_part_of_several_says_so(tmp_path: Path) -> None:
    half = dict(list(weights(1).items())[::2])
    with pytest.raises(ModelError, match="the file is incomplete, one of several parts, or was changed"):
        take(half, tmp_path)


# Several sets in one file


@pytest.mark.parametrize(
    "key", ["ema", "ema_state_dict", "model_ema", "state_dict_ema", "ema_model", "ema/module", "shadow"]
)
@pytest.mark.parametrize("first", ["raw", "average"])
def test_of_several_sets_the_average_is_taken_and_that_is_told(key: str, first: str, tmp_path: Path) -> None:
    average: Any = weights(2)
    for part in reversed(key.split("/")):
        average = {part: average}
    raw = {"model": weights(1)}
    got, told = take(average | raw if first == "average" else raw | average, tmp_path)
    assert same(got, weights(2))
    assert told.notes == (f"the averaged weights were taken ({key}), not model",)
    assert "model" in told.ignored


@pytest.mark.parametrize("prefix", ["ema_model.", "model_ema.module.", "ema.", "teacher.", "swa_model."])
def test_an_average_may_stand_among_the_weights(prefix: str, tmp_path: Path) -> None:
    content = (
        under("model.", weights(1))
        | under(prefix, weights(2))
        | {"ema.decay": torch.tensor(0.9), "step": torch.tensor(4)}
    )
    got, told = take({"state_dict": content}, tmp_path)
    assert same(got, weights(2))
    assert f"the averaged weights were taken (state_dict {prefix}), not state_dict model." in told.notes


def test_an_average_among_weights_that_have_no_wrapper(tmp_path: Path) -> None:
    got, told = take(weights(1) | under("ema_model.", weights(2)), tmp_path)
    assert same(got, weights(2))
    assert told.notes[0] == "the averaged weights were taken (ema_model.), not the names as they stand"


def test_the_averages_of_pytorch_itself(tmp_path: Path) -> None:
    model = create_model("small")
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    average.update_parameters(model)
    for parameter in average.parameters():
        parameter.data.fill_(0.5)
    got, told = take({"model": model.state_dict(), "swa": average.state_dict()}, tmp_path)
    assert got["bottleneck.weight"].eq(0.5).all()
    assert "n_averaged" in told.ignored


def test_an_average_of_nothing_is_none(tmp_path: Path) -> None:
    """It holds the weights from before the training."""
    average = under("module.", weights(2)) | {"n_averaged": torch.tensor(0)}
    got, told = take({"model": weights(1), "ema": average}, tmp_path)
    assert same(got, weights(1))
    assert told.notes == ("the weights were taken (model), not ema",)


def test_an_average_of_another_network_is_passed_over(tmp_path: Path) -> None:
    got, told = take({"model": weights(1), "ema": {"other.weight": torch.ones(2)}}, tmp_path)
    assert same(got, weights(1))
    assert told.notes == ("the weights were taken (model), not ema",)


def test_two_sets_of_which_nothing_says_which_is_meant_are_refused(tmp_path: Path) -> None:
    content = under("one.", weights(1)) | under("two.", weights(2))
    with pytest.raises(ModelError, match=r"more than one set of its weights fits \((one|two)\. and (one|two)\.\)"):
        take(content, tmp_path)
    assert same(take(under("one.", weights(1)) | under("two.", weights(1)), tmp_path)[0], weights(1))


def test_lockons_own_checkpoints_have_their_average_converted(tmp_path: Path) -> None:
    torch.save(
        {"step": 3, "model": weights(1), "ema": weights(2), "optimizer": {"state": {}}}, tmp_path / "checkpoint.pt"
    )
    told = convert(tmp_path / "checkpoint.pt", "small", tmp_path / "out.safetensors")
    assert same(read_weights(tmp_path / "out.safetensors")[0], weights(2))
    assert told.notes == ("the averaged weights were taken (ema), not model",)


def test_a_pickled_module_says_what_to_save_instead(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(2, 3)}, tmp_path / "w.pth")
    with pytest.raises(
        ModelError, match=r"no weights in it.*objects of torch\.nn\.modules\.linear\.Linear: save the state_dict"
    ):
        read_checkpoint(tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("start", "says"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "pointer of Git LFS"), (b"<!DOCTYPE html><html>", "a web page")],
)
def test_what_a_download_gave_instead_is_told(start: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(start)
    with pytest.raises(ModelError, match=says):
        read_checkpoint(tmp_path / "w.safetensors")


# Precision


def test_float64_is_cast_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    double = {name: value.double() if value.is_floating_point() else value for name, value in weights(1).items()}
    got, told = take(double, tmp_path)
    assert same(got, weights(1))
    count = sum(value.is_floating_point() for value in double.values())
    assert told.notes == (f"{count} tensors of float64 were cast to float32",)
    with caplog.at_level(logging.WARNING):
        create_model("small", weights=tmp_path / "w.pth")
    assert f"w.pth: {count} tensors of float64 were cast to float32" in caplog.text


def test_a_number_that_float32_cannot_hold_is_refused(tmp_path: Path) -> None:
    content = weights(1) | {"bottleneck.bias": torch.full((32,), 1e300, dtype=torch.float64)}
    with pytest.raises(
        ModelError, match=r"w.pth: weights that cannot be used: 1 tensors have numbers that float32 cannot"
    ):
        take(content, tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_weights_that_are_not_finite_are_refused_by_name(bad: float, kind: str, tmp_path: Path) -> None:
    content = weights(1)
    content["bottleneck.weight"].view(-1)[3] = bad
    path = tmp_path / f"w.{kind}"
    torch.save(content, path) if kind == "pth" else save_file(content, path)
    count = sum(name in content for name in content)
    with pytest.raises(ModelError, match=rf"w.{kind}: .*1 of {count} tensors .*NaN or infinite.: bottleneck.weight"):
        create_model("small", weights=path)
    with pytest.raises(ModelError, match="NaN or infinite"):
        convert(path, "small", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


def test_a_model_is_as_it_was_after_a_refusal() -> None:
    model = nn.Linear(2, 3)
    before = model.weight.detach().clone()
    with pytest.raises(ModelError):
        load_into(model, {"weight": torch.ones(3, 2), "bias": torch.full((3,), float("nan"))}, "f")
    assert torch.equal(model.weight, before)


# Backbones


def test_a_published_backbone_may_be_wrapped(tmp_path: Path) -> None:
    torch.manual_seed(0)
    published = ResNet(STARK.backbone).state_dict() | {"fc.weight": torch.zeros(3)}
    for content in (
        under("module.", published),
        {"state_dict": under("model._orig_mod.", published)},
        {"ema": under("encoder.", published)},
    ):
        torch.save(content, tmp_path / "w.pth")
        model = create_model("small")
        if "ema" in content:
            with pytest.raises(ModelError, match="not of this model's backbone"):
                load_backbone(model, tmp_path / "w.pth")
        else:
            load_backbone(model, tmp_path / "w.pth")
            own = model.get_submodule("backbone").state_dict()
            assert all(torch.equal(own[name], published[name]) for name in own)


def test_a_backbone_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    published = ResNet(STARK.backbone).state_dict()
    published["conv1.weight"][0] = float("nan")
    torch.save(published, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"NaN or infinite\): conv1.weight"):
        load_backbone(create_model("small"), tmp_path / "w.pth")


def test_the_models_own_names_have_no_wrappers() -> None:
    """What is taken off names anywhere must be no name of a model here."""
    for info in MODELS.values():
        with torch.device("meta"):
            names = info.build().state_dict()
        assert not any(part in ("_orig_mod", "module") for name in names for part in name.split("."))
