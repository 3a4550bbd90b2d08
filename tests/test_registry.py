import pytest
import torch

import lockon
from lockon.errors import ModelError
from lockon.registry import find_device


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
