"""Checkpoints of others: read in whatever form they come, with nothing in them run."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lockon import checkpoints, weights
from lockon.checkpoints import read_content, read_torch
from lockon.errors import ModelError
from lockon.weights import read_checkpoint

FORMATS = {"zip": True, "legacy": False}
WEIGHTS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.tensor([1.5, -2.0]), "n": torch.tensor(7)}


def save(content: Any, path: Path, form: str) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=FORMATS[form])
    return path


@pytest.fixture(params=list(FORMATS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def same(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[k], two[k]) and one[k].dtype == two[k].dtype for k in one)


# What is read


@pytest.mark.parametrize("levels", [(), ("net",), ("state_dict",), ("model_state_dict",), ("model",), ("model", "net")])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_weights_are_found_wherever_they_stand(levels: tuple[str, ...], prefix: str, form: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {prefix + name: value for name, value in WEIGHTS.items()}
    for level in reversed(levels):
        content = {"epoch": 5, level: content}
    found = read_torch(save(content, tmp_path / "c.pth", form))
    assert same(found.tensors, WEIGHTS)
    assert set(found.ignored) == ({"epoch"} if levels else set())


def test_all_kinds_of_numbers_and_shapes_come_through(form: str, tmp_path: Path) -> None:
    whole = torch.randn(4, 6)
    types_ = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8)
    state = {str(t): (10 * whole).to(t) for t in (*types_, torch.uint8, torch.bool)}
    state |= {"turned": whole.T, "part": whole[1:3, ::2], "number": whole[2, 3], "empty": torch.zeros(0, 3)}
    state |= {"shared": whole, "parameter": nn.Parameter(whole)}
    found = read_torch(save(state, tmp_path / "c.pth", form))
    assert same(found.tensors, {k: v.detach() for k, v in state.items()})


def test_a_module_and_its_optimiser_are_read_like_any_other(form: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {"net": model.state_dict(), "optimizer": optimizer.state_dict(), "lr": 0.1, "size": torch.Size([2])}
    found = read_torch(save(content, tmp_path / "c.pth", form))
    assert same(found.tensors, dict(model.state_dict()))
    assert set(found.ignored) == {"optimizer", "lr", "size"}


@pytest.fixture
def official(form: str, tmp_path: Path) -> Path:
    """A checkpoint as STARK's code writes it: beside the weights objects of its own classes, which are not there when
    it is read."""
    names = ("lib", "lib.train", "lib.train.admin", "lib.train.admin.stats")
    modules = {name: types.ModuleType(name) for name in names}
    source = """
class Meter(dict):
    def __init__(self): self.values, self.best = [1, 2], self
    def append(self, x): raise RuntimeError
class Meters(list):
    pass
"""
    exec(source, modules[names[-1]].__dict__)
    sys.modules |= modules
    meter = modules[names[-1]].Meter()
    meter["loss"] = modules[names[-1]].Meters([1, meter])
    content = {"epoch": 500, "net_type": "STARKS", "net": WEIGHTS, "stats": meter, "settings": {1: {meter.__class__}}}
    try:
        return save(content, tmp_path / "STARKS_ep0500.pth.tar", form)
    finally:
        for name in names:
            del sys.modules[name]


def test_classes_that_are_not_installed_are_passed_over(official: Path) -> None:
    found = read_torch(official)
    assert same(found.tensors, WEIGHTS)
    assert set(found.ignored) == {"epoch", "net_type", "stats", "settings"}
    assert "lib.train.admin.stats.Meter" in found.foreign


def test_what_a_checkpoint_names_is_not_imported(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "ran"
    (tmp_path / "trap.py").write_text(f"import os\nclass Trap: pass\nos.mkdir({str(marker)!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    import trap  # type: ignore[import-not-found]

    path = save({"net": WEIGHTS, "stats": trap.Trap()}, tmp_path / "c.pth", form)
    del sys.modules["trap"]
    marker.rmdir()
    assert same(read_torch(path).tensors, WEIGHTS)
    assert not marker.exists()
    assert "trap" not in sys.modules


def test_all_that_a_checkpoint_holds_can_be_had(form: str, tmp_path: Path) -> None:
    shared = [1, None]
    content = {
        "step": 3,
        "lists": [shared, shared],
        "pair": (1.5, "a"),
        "w": WEIGHTS,
        "odd": Path("x"),
        "type": torch.half,
    }
    found = read_content(save(content, tmp_path / "c.pt", form))
    assert same(found.pop("w"), WEIGHTS)
    assert found == {"step": 3, "lists": [shared, shared], "pair": (1.5, "a"), "odd": None, "type": None}
    assert found["lists"][0] is found["lists"][1]


def test_what_holds_itself_is_read_once(form: str, tmp_path: Path) -> None:
    loop: dict[str, Any] = {"epoch": 1}
    loop["net"] = loop["model"] = loop
    assert "no weights in it" in outcome(save(loop, tmp_path / "c.pt", form))
    assert read_content(tmp_path / "c.pt")["net"]["model"]["epoch"] == 1
    loop["state_dict"] = WEIGHTS
    assert same(read_torch(save(loop, tmp_path / "c.pt", form)).tensors, WEIGHTS)


def test_names_that_are_told_are_few_and_short(form: str, tmp_path: Path) -> None:
    content = {f"{n:03d}{'x' * 1000}": n for n in range(300)} | {"net": WEIGHTS}
    ignored = read_torch(save(content, tmp_path / "c.pt", form)).ignored
    assert len(ignored) == 21
    assert ignored[-1] == "and 280 more"
    assert max(map(len, ignored)) < 120


# What is refused


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("place", ["net", "beside"])
@pytest.mark.parametrize("function", ["os.mkdir", "os.system", "builtins.eval", "builtins.exec"])
def test_a_hostile_checkpoint_is_refused_and_not_run(place: str, function: str, form: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    calls = {
        "os.mkdir": Call(os.mkdir, str(marker)),
        "os.system": Call(os.system, f"mkdir {marker}"),
        "builtins.eval": Call(eval, f"__import__('os').mkdir({str(marker)!r})"),
        "builtins.exec": Call(exec, f"__import__('os').mkdir({str(marker)!r})"),
    }
    call = calls[function]
    path = save({"net": WEIGHTS | {"x": call}} if place == "net" else {"net": WEIGHTS, "x": call}, tmp_path / "c", form)
    with pytest.raises(ModelError, match=r"safely: it asks to run .*which no checkpoint needs"):
        read_torch(path)
    assert not marker.exists()


def test_a_call_under_an_innocent_name_does_nothing(form: str, tmp_path: Path) -> None:
    path = save({"net": WEIGHTS, "x": Call(Path.touch, tmp_path / "ran")}, tmp_path / "c.pth", form)
    assert outcome(path) == "read"
    assert not (tmp_path / "ran").exists()


def outcome(path: Path) -> str:
    try:
        read_torch(path)
    except ModelError as error:
        return str(error)
    return "read"


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02ccollections\nOrderedDict\n}X\x03\x00\x00\x00getNsb.",  # an attribute of the class itself
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(KKKKtR.",
        b"\x80\x02cbuiltins\ngetattr\n(cbuiltins\nlist\nX\x06\x00\x00\x00appendtR.",
        b"\x80\x02(ccollections\nOrderedDict\no.",
        b"\x80\x02X\xff\xff\xff\x7f.",
        b"\x80\x05\x8c",
        b"\x80\x02" + b"(" * 5000 + b".",
        b"\x80\x02Q.",
    ],
)
def test_pickles_that_make_no_sense_are_one_clear_error(program: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.pth", "w") as archive:
        archive.writestr("c/data.pkl", program)
    assert "not a checkpoint that can be read safely" in outcome(tmp_path / "c.pth")
    (tmp_path / "bare").write_bytes(program)
    assert "not a checkpoint that can be read safely" in outcome(tmp_path / "bare")


@pytest.mark.parametrize("keep", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_truncated_checkpoint_is_an_error(keep: float, form: str, tmp_path: Path) -> None:
    path = save({"net": {"w": torch.randn(1000)}}, tmp_path / "c.pth", form)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    assert str(path) in outcome(path)
    assert "\n" not in outcome(path)


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    path = save({"net": {"w": torch.zeros(1000)}}, tmp_path / "c.pth", "zip")
    data = bytearray(path.read_bytes())
    data[data.find(bytes(2000)) + 500] = 1
    path.write_bytes(data)
    assert "CRC" in outcome(path)


def rewrite(path: Path, change: Callable[[str, bytes], bytes], how: int = zipfile.ZIP_STORED) -> None:
    """The archive with its records changed."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in records.items():
            archive.writestr(name, change(name, data))


@pytest.mark.parametrize("bytes_", [0, 3996, 4004, 400_000])
def test_a_storage_of_another_size_than_declared_is_an_error(bytes_: int, tmp_path: Path) -> None:
    path = save({"net": {"w": torch.randn(1000)}}, tmp_path / "c.pth", "zip")
    rewrite(path, lambda name, data: bytes(bytes_) if "/data/" in name else data)
    assert f"storage 0 of w should have 4000 bytes, its record has {bytes_}" in outcome(path)


def test_a_storage_that_is_missing_is_an_error(tmp_path: Path) -> None:
    path = save({"net": {"w": torch.randn(1000)}}, tmp_path / "c.pth", "zip")
    with zipfile.ZipFile(path) as archive:
        program = archive.read("c/data.pkl")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("c/data.pkl", program)
    assert "the storage 0 of w is not there" in outcome(path)


def test_a_compressed_record_is_refused_unread(tmp_path: Path) -> None:
    path = save({"net": {"w": torch.zeros(10_000_000)}}, tmp_path / "c.pth", "zip")
    rewrite(path, lambda _, data: data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "is compressed, which PyTorch never does" in outcome(path)


def test_records_larger_than_the_file_are_refused_unread(tmp_path: Path) -> None:
    path = save({"net": {"w": torch.zeros(1000)}}, tmp_path / "c.pth", "zip")
    data = path.read_bytes()
    name = b"c/data/0"
    entry = data.rindex(name) - 46  # of the directory at the end: its header is 46 bytes long
    assert data[entry : entry + 4] == b"PK\x01\x02"
    path.write_bytes(data[: entry + 24] + struct.pack("<I", 2**31) + data[entry + 28 :])
    assert "its records claim 21" in outcome(path)


def test_a_tensor_larger_than_its_storage_is_an_error(form: str, tmp_path: Path) -> None:
    path = save({"net": {"w": torch.zeros(1).expand(100_000, 100_000)}}, tmp_path / "c.pth", form)
    assert "w has shape (100000, 100000), but its storage" in outcome(path)


def test_a_legacy_storage_that_says_another_count_is_an_error(tmp_path: Path) -> None:
    path = save({"net": {"w": torch.zeros(1000)}}, tmp_path / "c.pth", "legacy")
    data = path.read_bytes()
    place = data.rindex(struct.pack("<q", 1000))
    path.write_bytes(data[:place] + struct.pack("<q", 2**40) + data[place + 8 :])
    assert f"should have 1000 numbers, the file says {2**40}" in outcome(path)


@pytest.mark.parametrize("content", [{}, {"net": {}}, [1, 2], {"net": {"epoch": 3}}, torch.zeros(3)])
def test_a_checkpoint_without_weights_says_where_was_looked(content: Any, form: str, tmp_path: Path) -> None:
    assert "no weights in it (looked at the top and under net" in outcome(save(content, tmp_path / "c.pth", form))


def test_a_pickled_module_is_no_state_dict(form: str, tmp_path: Path) -> None:
    assert "no weights in it" in outcome(save(nn.Linear(2, 3), tmp_path / "c.pth", form))


def test_names_that_are_there_twice_are_an_error(form: str, tmp_path: Path) -> None:
    path = save({"w": torch.zeros(1), "module.w": torch.zeros(1)}, tmp_path / "c.pth", form)
    assert "twice" in outcome(path)


# Limits


@pytest.mark.parametrize(
    ("limit", "value", "content", "says"),
    [
        ("checkpoints.TENSORS", 2, WEIGHTS, "it has 3 tensors in one place, more than 2"),
        ("checkpoints.LONGEST", 40, {"w" * 41: torch.ones(1)}, "the name of a tensor has 41 characters, more than 40"),
        ("checkpoints.AXES", 3, {"w": torch.ones(1, 1, 1, 1)}, "w has no proper shape of at most 3 axes"),
        ("pickles.DEPTH", 3, {"net": WEIGHTS, "x": [[[[]]]]}, "nested more than 3 levels deep"),
        ("pickles.INSTRUCTIONS", 60, WEIGHTS, "more than 60 instructions"),
        ("pickles.MEMO", 5, WEIGHTS, "shares more than 5 objects"),
        ("pickles.TEXT", 100, {"net": WEIGHTS, "x": "y" * 101}, "claims a text of 101 bytes, more than 100"),
        ("pickles.NAMES", 1, {"net": WEIGHTS, "x": Path("x"), "y": range(3)}, "more than 1 classes and functions"),
    ],
)
def test_what_a_file_may_ask_for_has_limits(
    limit: str, value: int, content: Any, says: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(content, tmp_path / "c.pth", form)
    assert outcome(path) == "read"
    monkeypatch.setattr(f"lockon.{limit}", value)
    assert f"{path}: not a checkpoint that can be read safely: " in outcome(path)
    assert says in outcome(path)


def test_the_list_of_an_archives_records_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(WEIGHTS, tmp_path / "c.pth", "zip")
    assert outcome(path) == "read"
    monkeypatch.setattr(checkpoints, "DIRECTORY", 100)
    assert re.search(r"its list of records has \d+ bytes, more than 100", outcome(path))


def test_the_description_in_an_archive_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(WEIGHTS, tmp_path / "c.pth", "zip")
    monkeypatch.setattr(checkpoints, "PROGRAM", 100)
    assert "its description has more than 100 bytes" in outcome(path)


def test_records_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    """A list of records that all lie in one place claims far more than the file has."""
    path = save({"w": torch.zeros(10_000)}, tmp_path / "c.pth", "zip")
    data = path.read_bytes()
    start = data.rindex(b"PK\x05\x06")
    (size, offset) = struct.unpack("<II", data[start + 12 : start + 20])
    entries = data[offset : offset + size]
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 100, 100, 100 * size, offset, 0)
    path.write_bytes(data[:offset] + 100 * entries + end)
    assert "its records claim" in outcome(path)


def test_tensors_that_share_a_storage_read_it_once(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = torch.arange(100.0)
    path = save({f"w{n}": whole[n:] for n in range(50)}, tmp_path / "c.pth", form)
    kind = checkpoints._Zip if form == "zip" else checkpoints._Legacy
    record, read = kind.record, []

    def count(self: Any, name: str, storage: checkpoints.Storage) -> bytes:
        read.append(name)
        return record(self, name, storage)

    monkeypatch.setattr(kind, "record", count)
    assert read_torch(path).tensors["w49"].tolist() == whole[49:].tolist()
    assert len(read) == 1


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    make(path)
    for read in (read_checkpoint, read_torch):
        with pytest.raises(ModelError, match=r"w.safetensors: is a (folder|pipe or a device), not a file of weights"):
            read(path)


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "no/such/file"])
def test_names_that_no_file_can_have_are_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot be read|no such weights file"):
        read_checkpoint(tmp_path / name)


# safetensors


def header(told: Any, data: bytes = b"") -> bytes:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text + data


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        header({"a": FLOATS, "b": FLOATS}, bytes(8)),  # the same bytes twice
        header({"a": FLOATS | {"shape": [2**40]}}, bytes(8)),
        header({"a": FLOATS | {"shape": [2**63, 2**63]}}, bytes(8)),
        header({"a": FLOATS | {"shape": [0, 2**63], "data_offsets": [0, 0]}}),
        header({"a": FLOATS | {"data_offsets": [8, 0]}}, bytes(8)),
        header({"a": FLOATS | {"dtype": "F1"}}, bytes(8)),
        header(b"{" + b'"a":[' * 500, bytes(8)),
        header({"__metadata__": {"model": 3}}),
        header(b"{\xff\xfe"),
        (2**62).to_bytes(8, "little") + b"{",
    ],
)
def test_safetensors_that_make_no_sense_are_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"w.safetensors: not a readable safetensors file") as error:
        read_checkpoint(path)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    ("limit", "value", "says"),
    [
        ("HEADER", 50, "list of tensors has"),
        ("TENSORS", 1, "it has 2 tensors"),
        ("LONGEST", 3, "named with 4 characters"),
    ],
)
def test_safetensors_have_limits_too(
    limit: str, value: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(header({"aaaa": FLOATS, "b": FLOATS | {"data_offsets": [8, 16]}}, bytes(16)))
    assert len(read_checkpoint(path).tensors) == 2
    monkeypatch.setattr(weights, limit, value)
    with pytest.raises(ModelError, match=says):
        read_checkpoint(path)


@pytest.mark.parametrize("data", [b"", b"\x80", b"plain text", b"PK\x03\x04 no archive", pickle.dumps({"net": 1})])
def test_other_files_are_no_checkpoints(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "c.pth").write_bytes(data)
    assert "not a checkpoint that can be read safely" in outcome(tmp_path / "c.pth")
