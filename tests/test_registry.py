import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import lockon
from lockon import registry
from lockon.benchmarks import BENCHMARKS
from lockon.checkpoints import Checkpoint
from lockon.errors import ModelError, OutputError
from lockon.models import MODELS
from lockon.registry import average, benchmark_settings, convert, create_model, find_device, put_weights
from lockon.tracker import TrackingModel
from lockon.weights import read_checkpoint, save_weights

NAMES = lockon.list_models()


def test_models_are_listed_by_pattern() -> None:
    assert "stark-tiny" in lockon.list_models()
    assert set(lockon.list_models("stark-st*")) == {"stark-st50", "stark-st101"}
    assert "stark-tiny" in lockon.list_models(shipped=True)
    assert "stark-s50" not in lockon.list_models(shipped=True)


def test_an_unknown_name_gets_the_closest_ones() -> None:
    with pytest.raises(ModelError, match=r"unknown tracker 'stark-tny'.*stark-tiny"):
        lockon.load("stark-tny")


def test_a_model_without_shipped_weights_says_how_to_give_some() -> None:
    with pytest.raises(ModelError, match="--weights FILE"):
        lockon.load("stark-s50")


def test_the_shipped_tracker_loads_and_is_small() -> None:
    tracker = lockon.load("stark-tiny", device="cpu")
    assert not tracker.model.training
    assert sum(p.numel() for p in tracker.model.parameters()) < 8e6


@pytest.mark.parametrize("name", ["cuda", "cuda:7"])
def test_cuda_where_there_is_none_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ModelError, match="sees 0 CUDA devices"):
        find_device(name)


@pytest.mark.parametrize("name", ["gpu0", "meta"])
def test_an_unknown_device_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="use auto, cpu or cuda"):
        find_device(name)


@pytest.mark.parametrize("name", ["cuda:128", "cuda:200", "cuda:-1", "cuda:99999999999999999999"])
def test_a_device_number_that_pytorch_turns_into_another_is_an_error(name: str) -> None:
    with pytest.raises(ModelError, match="unknown device"):
        find_device(name)


# Settings of benchmarks


@pytest.mark.parametrize("name", NAMES)
def test_what_is_registered_of_a_model_is_sound(name: str) -> None:
    info = MODELS[name]
    assert set(info.settings) <= set(BENCHMARKS)
    assert bool(info.source) == bool(info.results)
    for benchmark, settings in info.settings.items():
        with torch.device("meta"):
            config = create_model(name, settings=benchmark_settings(name, benchmark)).config
        assert {field: getattr(config, field) for field in settings} == settings


def test_a_tracker_takes_the_settings_of_a_benchmark() -> None:
    with torch.device("meta"):
        plain = create_model("stark-st50")
        tuned = create_model("stark-st50", settings=benchmark_settings("stark-st50", "trackingnet"))
    assert plain.config.update_interval == 200  # type: ignore[union-attr]
    assert tuned.config.update_interval == 25  # type: ignore[union-attr]
    assert lockon.load("stark-tiny", device="cpu", benchmark="lasot").model.config == create_model("stark-tiny").config


def test_unknown_benchmarks_and_settings_get_the_closest() -> None:
    with pytest.raises(ModelError, match=r"unknown benchmark 'laso'; did you mean lasot"):
        lockon.load("stark-tiny", benchmark="laso")
    with pytest.raises(ModelError, match=r"no setting 'margn'; did you mean margin"):
        create_model("stark-tiny", settings={"margn": 1})


# Weights that do not fit, and whose they are


@functools.cache
def on_paper(name: str) -> TrackingModel:
    with torch.device("meta"):
        return create_model(name)


def refusal(name: str, tensors: dict[str, Tensor]) -> str:
    with pytest.raises(ModelError) as caught:
        put_weights(name, on_paper(name), Checkpoint(tensors), Path("file.pth"))
    assert str(caught.value).startswith(f"file.pth: these weights are not of {name}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_weights_of_another_model_are_recognised(name: str) -> None:
    other = "stark-st101" if name != "stark-st101" else "stark-tiny"
    text = refusal(other, on_paper(name).state_dict())
    twins = [n for n in NAMES if shapes(n) == shapes(name)]
    assert any(f"they are weights of {twin}: use --tracker {twin}" in text for twin in twins)


def shapes(name: str) -> set[tuple[str, torch.Size]]:
    return {(n, value.shape) for n, value in on_paper(name).state_dict().items()}


def test_a_changed_checkpoint_is_told_from_another_models() -> None:
    tensors = on_paper("stark-s50").state_dict()
    tensors["extra.weight"] = tensors.pop("bottleneck.bias")
    tensors["query_embed.weight"] = torch.zeros(1, 64, device="meta")
    tensors["bottleneck.weight"] = tensors["bottleneck.weight"].to(torch.int8)
    text = refusal("stark-s50", tensors)
    assert "1 missing: bottleneck.bias" in text
    assert "1 unexpected: extra.weight" in text
    assert "query_embed.weight is (1, 64), not (1, 256)" in text
    assert "bottleneck.weight is int8, not float32" in text
    assert "nearest to stark-s50 all the same" in text
    assert "nearest to stark-s50 (" in refusal("stark-tiny", tensors)


def test_weights_of_nothing_known_are_told_so() -> None:
    assert "like no model here" in refusal("stark-tiny", {"a": torch.zeros(3)})


def test_a_file_of_more_tensors_than_any_model_has_is_compared_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "COMPARABLE", 3)
    text = refusal("stark-tiny", {str(n): torch.zeros(1) for n in range(4)})
    assert "they are like no model here: none has 4 tensors" in text


def test_no_model_has_as_many_tensors_as_are_compared() -> None:
    assert max(len(on_paper(name).state_dict()) for name in NAMES) < registry.COMPARABLE


# Files that are written


@pytest.fixture
def given(tmp_path: Path, small_stark: str) -> Path:
    """Weights of the small STARK."""
    save_weights(create_model("small").state_dict(), tmp_path / "given.safetensors", "small", torch.float32)
    return tmp_path / "given.safetensors"


@pytest.mark.parametrize(
    "write", [lambda path, out: convert(path, "small", out), lambda path, out: average([path], "small", out)]
)
def test_weights_are_written_over_nothing(
    write: Callable[[Path, Path], None], given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: Path) -> None:
        raise AssertionError("it is refused before the work is done")

    before = given.read_bytes()
    (tmp_path / "there.safetensors").write_text("mine")
    os.symlink("nowhere", tmp_path / "link.safetensors")
    os.link(given, tmp_path / "same.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(registry, "read_checkpoint", work)
        for name, says in {
            "given": "is an input",
            "same": "is an input",
            "there": "already",
            "link": "already",
        }.items():
            with pytest.raises(OutputError, match=says):
                write(given, tmp_path / f"{name}.safetensors")
    assert given.read_bytes() == before
    assert (tmp_path / "there.safetensors").read_text() == "mine"
    (tmp_path / "new.tmp").write_text("notes of a month")
    write(given, tmp_path / "new.safetensors")
    assert (tmp_path / "new.tmp").read_text() == "notes of a month"


def test_what_comes_into_the_place_while_it_works_is_kept(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.safetensors"

    def late(path: Path) -> Checkpoint:
        out.write_text("mine")
        return read_checkpoint(path)

    monkeypatch.setattr(registry, "read_checkpoint", late)
    with pytest.raises(OutputError, match="is there already"):
        convert(given, "small", out)
    assert out.read_text() == "mine"


def test_a_mean_that_float16_cannot_hold_is_refused(given: Path, tmp_path: Path) -> None:
    state = create_model("small").state_dict()
    state["bottleneck.bias"] += 1e6
    save_weights(state, tmp_path / "large.safetensors", "small", torch.float32)
    with pytest.raises(
        OutputError, match=r"float16 cannot hold these weights: 1 tensors .*beyond 65504: bottleneck.bias"
    ):
        average([given, tmp_path / "large.safetensors"], "small", tmp_path / "out.safetensors")
    with pytest.raises(ModelError, match="no weights to average"):
        average([], "small", tmp_path / "out.safetensors")
