import os
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn

import lockon
from lockon.errors import ModelError, OutputError
from lockon.weights import load_into, read_weights, save_weights


def test_weights_go_round_through_a_file(tmp_path: Path) -> None:
    model = lockon.create_model("stark-tiny")
    save_weights(model.state_dict(), tmp_path / "w.safetensors", "stark-tiny", torch.float32)
    again = lockon.create_model("stark-tiny", weights=tmp_path / "w.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True))


@pytest.mark.parametrize("key", [None, "net", "state_dict", "model_state_dict"])
def test_a_checkpoint_is_found_wherever_it_is_nested(key: str | None, tmp_path: Path) -> None:
    state = {f"module.{k}": v for k, v in nn.Linear(2, 3).state_dict().items()}
    torch.save(state if key is None else {key: state, "epoch": 5}, tmp_path / "c.pth")
    tensors, model = read_weights(tmp_path / "c.pth")
    assert set(tensors) == {"weight", "bias"}
    assert model is None


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


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(pickle.dumps({"net": Bomb(tmp_path / "ran")}, protocol=2))
    torch.save({"net": Bomb(tmp_path / "ran")}, tmp_path / "zip.pth")
    for path in (bad, tmp_path / "zip.pth"):
        with pytest.raises(ModelError, match="safely"):
            read_weights(path)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_not_there_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write weights"):
        save_weights({"a": torch.zeros(1)}, tmp_path / "no" / "w.safetensors", "x")
