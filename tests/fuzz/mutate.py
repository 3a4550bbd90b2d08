"""Small damage to bytes, texts and JSON, as disks, networks, editors and hasty scripts do it."""

from __future__ import annotations

import copy
import json
import math
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, "", "x", "x" * 5000, -1, 0, 0.5, 1e308, 10**30, 2**31, math.nan, math.inf),
    *([], {}, [[[[[]]]]], ["a", "b"], {"a": 1}, "../x", "/etc/hostname", "a\x1b[2Jb", "\u202e", "1e999", "12,5"),
)
WRONG = ("", " ", "nan", "inf", "-5", "0", "1e30", "x", "1.2.3", "../x", "/abs", "\x1b[2J", '"', "\u202e")


def damage(data: bytes, rng: Random) -> bytes:
    """Changes one to three places of some bytes."""
    for _ in range(rng.randint(1, 3)):
        data = rng.choice((_flip, _flip, _zero, _noise, _cut_end, _cut_out, _insert, _repeat))(data, rng)
    return data


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    """Start and end of a stretch, short ones more often than long ones."""
    start = rng.randrange(len(data) + 1)
    length = int(len(data) ** rng.random())
    return start, min(start + length, len(data))


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _zero(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes(end - start) + data[end:]


def _noise(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[end:]


def _cut_end(data: bytes, rng: Random) -> bytes:
    return data[: _span(data, rng)[0]]


def _cut_out(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _insert(data: bytes, rng: Random) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + rng.randbytes(rng.randint(1, 64)) + data[start:]


def _repeat(data: bytes, rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] + data[end:]


def misspell(text: str, rng: Random) -> str:
    """Changes a text as an editor or a script would: lines, fields, separators, encodings' marks."""
    lines = text.split("\n")
    for _ in range(rng.randint(1, 3)):
        number = rng.randrange(len(lines))
        fields = lines[number].split(",")
        field = rng.randrange(len(fields))
        changed = [*fields[:field], rng.choice(WRONG), *fields[field + 1 :]]
        lines[number : number + 1] = rng.choice(
            (
                [],
                [lines[number]] * 2,
                [",".join(changed)],
                [",".join(fields[:field] + fields[field + 1 :])],
                [lines[number].replace(",", rng.choice((";", "\t", " ", ",,")))],
                ["", lines[number]],
                [lines[number] + rng.choice((",", ",1", "\r", " # a note"))],
            )
        )
        lines = lines or [""]
    return rng.choice(("", "", "\ufeff", "\n")) + "\n".join(lines)


def deform(value: Any, rng: Random) -> Any:
    """Changes one to three places of a JSON value: other types, missing keys, odd numbers."""
    value = copy.deepcopy(value)
    for _ in range(rng.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return rng.choice(ODD)
        holder, key = rng.choice(places)
        act = rng.random()
        if act < 0.25:
            del holder[key]
        elif act < 0.35 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(rng.choice(ODD))
    return value


def _places(value: Any) -> Any:
    """Every container below a value with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def spoil_json(text: str, rng: Random) -> str:
    """Changes a JSON text: its values, or its letters."""
    if rng.random() < 0.2:
        return misspell(text, rng)
    return json.dumps(deform(json.loads(text), rng))
