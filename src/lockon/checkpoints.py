"""Reading PyTorch checkpoints of others without running anything in them.

A checkpoint is a pickle, and a pickle is a program: loading it imports and calls what it names. Here nothing foreign
is ever imported or called (see ``pickles``). The few functions by which PyTorch writes tensors have harmless stand-ins
that note where a tensor's numbers lie in the file. So a checkpoint whose optimiser, statistics or settings are of
classes that are not installed reads like any other. What a file may ask for has limits.

Both of PyTorch's formats are read: the zip archive (1.6 and later) and the stream of pickles before it.

A file may hold several sets of weights, such as those that were trained and their average. Averages come first, for
they are what a run keeps; then those under ``net``, ``state_dict``, ``model_state_dict`` and ``model``, in this order.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from lockon.errors import ModelError, first_few
from lockon.files import why
from lockon.pickles import PROGRAM, Fault, Foreign, Unpickler, plain, shorter

NESTED = ("net", "state_dict", "model_state_dict", "model")
PARTS = {"net", "network", "model", "module", "state", "dict", "weights", "params", "parameters"}
AVERAGES = {"ema", "swa", "averaged", "average", "avg", "shadow", "teacher"}
LEVELS = 4  # of dictionaries down to the weights
TENSORS = 50_000  # weights of one set
LONGEST = 500  # characters of a weight's name
AXES = 16
DIRECTORY = 2**23  # bytes of an archive's list of records
SHOWN = 20  # names of one kind that a checkpoint tells
TYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class WeightSet(NamedTuple):
    """One of the sets of weights in a file.

    Attributes:
        place: the keys that lead to it, joined by "/"; empty for the top.
        tensors: the weights by name, without ``module.`` before the names.
        averaged: whether it is a mean over training, by the name of its place.
        ignored: what else there is beside it and above it.
        wrappers: what was removed from names, such as ``module.``.
    """

    place: str
    tensors: dict[str, Tensor]
    averaged: bool = False
    ignored: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: the weights by name, without ``module.`` before the names; of several sets the first.
        model: the model that the file says it is of, if it says so (our own safetensors do).
        ignored: what else there is beside the weights, such as "optimizer": a few names, and how many more.
        foreign: classes and functions that the file names and that were not run; alike.
        notes: what was done to the weights so that they fit, a line each.
        sets: all sets of weights, in the order in which they are tried.
    """

    tensors: dict[str, Tensor]
    model: str | None = None
    ignored: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sets: tuple[WeightSet, ...] = ()


def read_torch(path: Path) -> Checkpoint:
    """The weights of a PyTorch checkpoint.

    They stand at the top, or under keys such as ``net``, ``state_dict``, ``model_state_dict``, ``model``, ``ema`` or
    ``state_dict_ema``, in one or several levels.

    Raises:
        ModelError: not a checkpoint, truncated, inconsistent in its sizes, beyond a limit, hostile, or without weights.
    """
    with explained(path), open_regular(path) as file:
        archive = _open(file)
        places = _places(archive.content)
        if not places:
            raise Fault(
                f"no weights in it (looked at the top and under {', '.join(NESTED)}){_instead(archive.content)}"
            )
        sets = [_weights(archive, keys, content, archive.content) for keys, content in places]
        sets.sort(key=lambda one: not one.averaged)
        first = sets[0]
        return Checkpoint(first.tensors, None, first.ignored, few(sorted(archive.foreign)), (), tuple(sets))


def read_content(path: Path) -> Any:
    """All that a PyTorch checkpoint holds: numbers, texts, lists, tuples, dictionaries and tensors.

    What is of any other kind becomes None.

    Raises:
        ModelError: as for ``read_torch``, but for weights that are missing.
    """
    with explained(path), open_regular(path) as file:
        archive = _open(file)
        return _filled(archive, archive.content, {})


def _open(file: IO[bytes]) -> _Reader:
    size = os.fstat(file.fileno()).st_size
    start = file.read(4)
    file.seek(0)
    if start != b"PK\x03\x04":
        return _Legacy(file, size)
    if not zipfile.is_zipfile(file):
        raise Fault("it is truncated: an archive without its end")
    file.seek(0)
    return _Zip(file, size)


# What of it are weights


def _places(content: Any) -> list[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The mappings that hold tensors, with the keys that lead to them; those to be tried first come first."""
    found: list[tuple[tuple[str, ...], Mapping[str, Any]]] = []
    level: list[tuple[tuple[str, ...], Any]] = [((), content)]
    seen: set[int] = set()
    for _ in range(LEVELS):
        inner: list[tuple[tuple[str, ...], Any]] = []
        for keys, node in level:
            if not isinstance(node, dict) or id(node) in seen:
                continue
            seen.add(id(node))
            if any(isinstance(value, Stored) for value in node.values()):
                found.append((keys, node))
            for key, value in node.items():
                if isinstance(key, str) and isinstance(value, dict) and _words(key) <= PARTS | AVERAGES:
                    inner.append(((*keys, key), value))
        level = inner
    return sorted(found, key=_rank)


def _rank(place: tuple[tuple[str, ...], Mapping[str, Any]]) -> list[int]:
    order = [NESTED.index(key) if key in NESTED else len(NESTED) for key in place[0]]
    return order or [len(NESTED)]


def _is_average(keys: Sequence[str], tensors: Mapping[str, Tensor]) -> bool:
    """By the names that lead to it, or by PyTorch's own counter; one that stands at nothing is no average yet."""
    counter = tensors.get("n_averaged")
    counted = counter is not None and counter.numel() == 1
    return bool(counter) if counted else any(_words(key) & AVERAGES for key in keys)


def _words(key: str) -> set[str]:
    return set(re.findall("[a-z]+|[^a-z_]", key[:LONGEST].lower()))


def _weights(archive: _Reader, keys: tuple[str, ...], content: Mapping[Any, Any], top: Any) -> WeightSet:
    """One set, read."""
    found = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Stored)}
    if len(found) > TENSORS:
        raise Fault(f"it has {len(found)} tensors in one place, more than {TENSORS}")
    longest = max(found, key=len, default="")
    if len(longest) > LONGEST:
        raise Fault(f"the name of a tensor has {len(longest)} characters, more than {LONGEST}: {shorter(longest)}")
    tensors = {name.removeprefix("module."): archive.tensor(name, stored) for name, stored in found.items()}
    if len(tensors) < len(found):
        raise Fault("some of its weights are there twice, with and without 'module.' before their names")
    beside: list[str] = []
    for key in keys:
        beside += [_text(name) for name in top if name != key]
        top = top[key]
    beside += [f"{_text(name)}{_kind(value)}" for name, value in content.items() if name not in found]
    wrappers = () if tensors.keys() == found.keys() else ("module.",)
    return WeightSet("/".join(keys), tensors, _is_average(keys, tensors), few(beside), wrappers)


def _text(name: Any) -> str:
    return name if isinstance(name, str) else repr(name)


def _kind(value: Any) -> str:
    return f" (of {value.name})" if isinstance(value, Foreign) else ""


def _instead(content: Any) -> str:
    """What was found where weights were looked for, if that helps."""
    values = [content, *(content.values() if isinstance(content, dict) else ())]
    kinds = sorted({value.name for value in values if isinstance(value, Foreign)})
    if not kinds:
        return ""
    return f"; it holds objects of {first_few(kinds, 3)}: save the state_dict of a module, not the module itself"


def few(names: Sequence[str]) -> tuple[str, ...]:
    """The first names of a file, each cut to a length that can be shown, and how many more there are."""
    more = (f"and {len(names) - SHOWN} more",) if len(names) > SHOWN else ()
    return (*(shorter(name) for name in names[:SHOWN]), *more)


def _filled(archive: _Reader, node: Any, done: dict[int, Any]) -> Any:
    """Content with its tensors read; no deeper than ``pickles.DEPTH``, and what is shared once."""
    if id(node) in done:
        return done[id(node)]
    if isinstance(node, Stored):
        return archive.tensor("a tensor", node)
    if isinstance(node, dict):
        made = done[id(node)] = {}
        made.update({key: _filled(archive, value, done) for key, value in node.items()})
        return made
    if isinstance(node, list | tuple):
        done[id(node)] = None  # where it holds itself
        done[id(node)] = type(node)(_filled(archive, value, done) for value in node)
        return done[id(node)]
    return None if isinstance(node, Foreign | torch.dtype | Storage) else node


def open_regular(path: Path) -> IO[bytes]:
    """Opens a file for reading.

    A pipe would keep its reader waiting, a device has no end.

    Raises:
        ModelError: missing, not to be read, or not a regular file.
    """
    try:
        kind = os.stat(path).st_mode
        if stat.S_ISDIR(kind):
            raise ModelError(f"{path}: is a folder, not a file of weights; name the file in it")
        if not stat.S_ISREG(kind):
            raise ModelError(f"{path}: is a pipe or a device, not a file of weights; copy it to a file first")
        return path.open("rb")
    except FileNotFoundError:
        raise ModelError(f"{path}: no such weights file") from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {why(error)}") from None
    except ValueError as error:  # a name that no file can have
        raise ModelError(f"{path}: cannot be read: {error}") from None


@contextmanager
def explained(path: Path, kind: str = "checkpoint that can be read safely") -> Iterator[None]:
    """Every fault as one error: of a damaged or hostile file, almost any exception can come."""
    try:
        yield
    except ModelError:
        raise
    except Fault as fault:
        raise ModelError(f"{path}: not a {kind}: {fault}") from None
    except Exception as error:
        reason = shorter(str(error).splitlines()[0] if str(error) else type(error).__name__, 200)
        text = f"it is damaged, truncated or of another format ({reason})"
        raise ModelError(f"{path}: not a {kind}: {text}") from None


# Tensors


class Storage(NamedTuple):
    """A run of numbers in the file."""

    dtype: torch.dtype
    key: str
    numbers: int

    @property
    def bytes(self) -> int:
        """Its size."""
        return self.numbers * self.dtype.itemsize


class Stored(NamedTuple):
    """A tensor that has not been read yet: its place in a storage, in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Reader:
    """What both formats share: from descriptions of tensors to tensors, with every size checked first."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size
        self.content: Any = None
        self.foreign: set[str] = set()
        self._read: dict[str, Tensor] = {}

    def tensor(self, name: str, stored: Stored) -> Tensor:
        """The numbers of a tensor; several may share a storage."""
        storage, offset, shape, stride = stored
        name = shorter(name)
        numbers = (offset, *shape, *stride)
        proper = len(shape) == len(stride) <= AXES and all(type(n) is int and 0 <= n < 2**63 for n in numbers)
        if not proper:
            raise Fault(f"{name} has no proper shape of at most {AXES} axes")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if count > storage.numbers or (count and last >= storage.numbers):
            raise Fault(f"{name} has shape {shape}, but its storage {storage.key} has {storage.numbers} numbers")
        if storage.key not in self._read:
            data = bytearray(self.record(name, storage)) if storage.numbers else bytearray()
            empty = torch.empty(0, dtype=storage.dtype)
            self._read[storage.key] = torch.frombuffer(data, dtype=storage.dtype) if data else empty
        flat = self._read[storage.key]
        if flat.dtype != storage.dtype:
            raise Fault(f"{name} reads storage {storage.key} as {storage.dtype}, others as {flat.dtype}")
        return flat.as_strided(shape, stride, offset)

    def record(self, name: str, storage: Storage) -> bytes:
        """The bytes of a storage that the tensor of this name needs."""
        raise NotImplementedError

    def unpickle(self, file: IO[bytes], size: int, find_storage: Callable[[Any], Any]) -> Any:
        """The next pickle of a file in which so many bytes are left."""
        unpickler = Unpickler(file, size, KNOWN, find_storage)
        content = unpickler.load()
        self.foreign |= unpickler.foreign
        return content


class _Zip(_Reader):
    """The archive of PyTorch 1.6 and later: ``data.pkl``, and a record for each storage, none of them compressed."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, size)
        guard = _Directory(file)
        self.zip = zipfile.ZipFile(guard)
        guard.limit = None
        self.records = {info.filename: info for info in self.zip.infolist()}
        packed = next((n for n, info in self.records.items() if info.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:
            raise Fault(f"its record {shorter(packed)} is compressed, which PyTorch never does")
        claimed = sum(info.file_size for info in self.zip.infolist())
        if claimed > size:
            raise Fault(f"its records claim {claimed} bytes, the file has {size}")
        pickles = [name for name in self.records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise Fault("a zip file, but not one of PyTorch's (it has no data.pkl)")
        self.folder = pickles[0].removesuffix("data.pkl")
        order = self.records.get(f"{self.folder}byteorder")
        if order is not None and (order.file_size > 16 or self.zip.read(order) != b"little"):
            raise Fault("its numbers are in big-endian order")
        program = self.records[pickles[0]]
        if program.file_size > PROGRAM:
            raise Fault(f"its description has more than {PROGRAM} bytes")
        self.content = self.unpickle(io.BytesIO(self.zip.read(program)), program.file_size, _storage)

    def record(self, name: str, storage: Storage) -> bytes:
        """The file's record for the storage."""
        record = self.records.get(f"{self.folder}data/{storage.key}")
        if record is None:
            raise Fault(f"the storage {storage.key} of {name} is not there")
        if record.file_size != storage.bytes:
            raise Fault(
                f"the storage {storage.key} of {name} should have {storage.bytes} bytes, its record has "
                f"{record.file_size}"
            )
        return self.zip.read(record)


class _Directory:
    """A file that refuses to be read in large pieces while an archive's list of records is made of it: all of that
    list is read at once, and each entry costs ten times its size."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.limit: int | None = DIRECTORY

    def read(self, count: int = -1) -> bytes:
        if self.limit is not None and count > self.limit:
            raise Fault(f"its list of records has {count} bytes, more than {self.limit}")
        return self.file.read(count)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _Legacy(_Reader):
    """The format before 1.6: pickles (magic number, version, system, content, storage keys), then the storages."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, size)
        if file.read(1) != b"\x80":
            file.seek(0)
            raise Fault(f"it is neither a zip archive nor a pickle{_looks_like(file.read(100))}")
        file.seek(0)
        if self._next(_storage) != LEGACY_MAGIC:
            raise Fault("it is a pickle, but not one of PyTorch's")
        self._next(_storage)  # version
        system = self._next(_storage)
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise Fault("its numbers are in big-endian order")
        declared: dict[str, Storage] = {}

        def note(pid: Any) -> Any:
            storage = _storage(pid)
            if isinstance(storage, Storage) and declared.setdefault(storage.key, storage) != storage:
                raise Fault(f"its storage {storage.key} is described twice, differently")
            return storage

        self.content = self._next(note)
        keys = self._next(_storage)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise Fault("it has no list of its storages")
        self.places = self._find(keys, declared)

    def _next(self, find_storage: Callable[[Any], Any]) -> Any:
        return self.unpickle(self.file, self.size - self.file.tell(), find_storage)

    def _find(self, keys: list[str], declared: Mapping[str, Storage]) -> dict[str, int]:
        """Where each storage begins; the file has them one behind the other, each after its count."""
        places: dict[str, int] = {}
        place = self.file.tell()
        for key in keys:
            if key not in declared:
                raise Fault(f"its storage {shorter(key)} is described nowhere")
            self.file.seek(place)
            (count,) = struct.unpack("<q", self.file.read(8))
            if count != declared[key].numbers:
                raise Fault(f"its storage {key} should have {declared[key].numbers} numbers, the file says {count}")
            places[key] = place + 8
            place += 8 + declared[key].bytes
            if place > self.size:
                raise Fault(f"it is truncated: its storages need {place} bytes, the file has {self.size}")
        return places

    def record(self, name: str, storage: Storage) -> bytes:
        """What stands after the storage's count."""
        if storage.key not in self.places:
            raise Fault(f"the storage {storage.key} of {name} is not there")
        self.file.seek(self.places[storage.key])
        return self.file.read(storage.bytes)


def _looks_like(start: bytes) -> str:
    """What a file is that was taken for weights, by how it begins."""
    if start.startswith(b"version https://git-lfs"):
        return ": it is a pointer of Git LFS; fetch the file itself with git lfs pull"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return ": it is a web page; the download did not give the file"
    return ""


# What PyTorch's own names stand for


def _rebuild(storage: Any = None, offset: Any = 0, shape: Any = (), stride: Any = (), *_: Any) -> Any:
    proper = isinstance(storage, Storage) and isinstance(shape, list | tuple) and isinstance(stride, list | tuple)
    return Stored(storage, offset, tuple(shape), tuple(stride)) if proper else None


def _first(value: Any = None, *_: Any) -> Any:
    return value


def _rebuild_from_type(function: Any = None, kind: Any = None, arguments: Any = (), *_: Any) -> Any:
    plain = function in (_rebuild, _first) and isinstance(arguments, list | tuple)
    return function(*arguments) if plain else None


def _ordered(items: Any = (), *_: Any) -> dict[Any, Any]:
    """An ordered dictionary; Python 2 gave its items along."""
    proper = isinstance(items, list | tuple) and all(isinstance(i, list | tuple) and len(i) == 2 for i in items)
    return {key: value for key, value in items if plain(key)} if proper else {}


KNOWN: dict[str, Any] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    **{f"{module}.{name}": dtype for module in ("torch", "torch.storage") for name, dtype in TYPES.items()},
}


def _storage(pid: Any) -> Any:
    """("storage", type, key, device, count[, view]) as a ``Storage``; ("module", class, source, ...) as the class."""
    if not isinstance(pid, tuple):
        return None
    if len(pid) < 5 or pid[0] != "storage":
        return pid[1] if len(pid) > 1 and pid[0] == "module" else None
    _, dtype, key, _, count, *view = pid
    if any(part is not None for part in view):
        raise Fault("it has storages that are parts of others, as PyTorch had before 0.4")
    if not isinstance(dtype, torch.dtype) or type(count) is not int or not 0 <= count < 2**60:
        return None  # of a type that no model here has
    if isinstance(key, int):
        key = str(key) if abs(key) < 2**63 else None
    return Storage(dtype, key, count) if isinstance(key, str) and len(key) <= LONGEST else None
