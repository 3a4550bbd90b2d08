"""Pickles read as data: what is understood, and the limits, each with its message.

Inputs go just past a limit that was lowered for the test; none would hurt a reader without limits.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from typing import Any

import pytest

from lockon import pickles
from lockon.pickles import Fault, Foreign, Unpickler


def read(program: bytes, **known: Any) -> Any:
    return Unpickler(io.BytesIO(program), len(program), known).load()


VALUES: list[Any] = [None, True, 7, -(2**70), 1.5, "text", "é\n\U0001f600", b"bytes", (), (1,), (1, 2, 3, 4)]
VALUES += [[1, [2, [3]]], {"a": {"b": [1, 2]}, 3: (None,), None: 1.0, True: 2, b"k": 3}]


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_through_every_protocol(protocol: int) -> None:
    values = [v for v in VALUES if not isinstance(v, bytes | dict)] if protocol < 3 else VALUES
    shared = [1, 2]
    found = read(pickle.dumps([*values, shared, shared], protocol))
    assert found == [*values, shared, shared]
    assert found[-1] is found[-2]


def test_what_holds_itself_comes_through() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    found = read(pickle.dumps(loop))
    assert found[1] is found


def test_several_pickles_in_a_row_are_read_one_by_one() -> None:
    file = io.BytesIO(pickle.dumps(1) + pickle.dumps([2]) + b"rest")
    size = len(file.getvalue())
    assert [Unpickler(file, size - file.tell(), {}).load() for _ in range(2)] == [1, [2]]
    assert file.read() == b"rest"


def test_objects_are_names_alone() -> None:
    program = pickle.dumps({"a": OrderedDict(x=1), "set": {1, 2}, "range": range(3)})
    unpickler = Unpickler(io.BytesIO(program), len(program), {})
    found = unpickler.load()
    assert all(isinstance(value, Foreign) for value in found.values())
    assert {"collections.OrderedDict", "builtins.range"} <= unpickler.foreign


@pytest.mark.parametrize("key", [(1, 2), frozenset({1}), 2**62, -(2**200), range(3)])
def test_keys_with_hashes_that_could_be_chosen_are_left_out(key: object) -> None:
    assert read(pickle.dumps({key: 1, "a": 2})) == {"a": 2}


def nested(depth: int, kind: type) -> Any:
    value: Any = kind()
    for _ in range(depth - 1):
        value = {"a": value} if kind is dict else kind([value])
    return value


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_depth_has_a_limit(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "DEPTH", 10)
    assert read(pickle.dumps(nested(10, kind))) == nested(10, kind)
    with pytest.raises(Fault, match="nested more than 10 levels deep"):
        read(pickle.dumps(nested(11, kind)))


def test_depth_that_grows_behind_a_container_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container can be filled after it was put into another."""
    monkeypatch.setattr(pickles, "DEPTH", 10)
    step = b"\x94]\x94h%ch%ca0"  # remembers a list and a new one, looks both up, puts the new one into the first
    program = b"\x80\x04]" + b"".join(step % (2 * n, 2 * n + 1) for n in range(12)) + b"h\x00."
    with pytest.raises(Fault, match="nested more than 10 levels deep"):
        read(program)


def test_sharing_costs_what_it_costs_to_write() -> None:
    """Twenty levels of pairs that hold one thing twice are a million things to whoever walks them all."""
    value: Any = ("x",)
    for _ in range(20):
        value = (value, value)
    found = read(pickle.dumps(value))
    assert found[0] is found[1]


@pytest.mark.parametrize(
    ("limit", "value", "content", "says"),
    [
        ("INSTRUCTIONS", 20, list(range(30)), "more than 20 instructions"),
        ("MEMO", 5, [[] for _ in range(6)], "shares more than 5 objects"),
        ("TEXT", 100, "x" * 101, "claims a text of 101 bytes, more than 100"),
        ("TEXT", 100, b"x" * 101, "claims a text of 101 bytes, more than 100"),
        ("PROGRAM", 100, ["x" * 60, "y" * 60], "more than 100 bytes"),
    ],
)
def test_sizes_have_limits(limit: str, value: int, content: Any, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, limit, value)
    with pytest.raises(Fault, match=says):
        read(pickle.dumps(content, 4))


@pytest.mark.parametrize(
    ("program", "says"),
    [
        (b"\x80\x04\x8d" + (2**40).to_bytes(8, "little"), "claims a text of 1099511627776 bytes"),
        (b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"), "claims a text of 46"),
        (b"\x80\x05\x96" + (2**40).to_bytes(8, "little"), "claims a text of 1099511627776 bytes"),
        (b"\x80\x02T" + (2**20).to_bytes(4, "little") + b"short", "truncated"),
        (b"\x80\x02\x8b" + (2**30).to_bytes(4, "little") + b"1", "claims a text of 1073741824 bytes"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "counts its objects up to"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x05\x97.", "instruction NEXT_BUFFER"),
        (b"\x80\x02c" + b"m" * 300 + b"\nn\n.", "with 302 characters"),
        (b"\x80\x02K\x01K\x02a.", "adds to what is no list"),
        (b"\x80\x02K\x01)R.", "calls what is no function"),
    ],
)
def test_what_a_few_bytes_ask_for_is_refused(program: bytes, says: str) -> None:
    with pytest.raises(Fault, match=says):
        read(program)


def test_names_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "NAMES", 3)
    program = b"\x80\x02(" + b"".join(b"cm\nn%d\n" % number for number in range(4)) + b"t."
    with pytest.raises(Fault, match="names more than 3 classes"):
        read(program)


def test_a_text_without_an_end_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "TEXT", 100)
    with pytest.raises(Fault, match="a text of more than 100 bytes"):
        read(b"V" + b"x" * 1000)
