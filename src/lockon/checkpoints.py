"""Reading PyTorch checkpoints of others without running anything in them.

A checkpoint is a pickle, and a pickle is a program: loading it imports and calls what it names. Here nothing foreign
is ever imported or called. The few functions by which PyTorch writes tensors have harmless stand-ins that note where
a tensor's numbers lie in the file; every other class or function becomes an empty object. So a checkpoint whose
optimiser, statistics or settings are of classes that are not installed reads like any other.

Both of PyTorch's formats are read: the zip archive (1.6 and later) and the stream of pickles before it.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor

from lockon.errors import ModelError

NESTED = ("net", "state_dict", "model_state_dict", "model")
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

# what no checkpoint has a reason to name: such a file is refused, though nothing in it would be run in any case
HOSTILE = re.compile(
    r"(os|posix|nt|subprocess|sys|shutil|socket|runpy|importlib|ctypes|pty|pdb|bdb|code|commands|webbrowser|timeit|pip)\."
    r"|(builtins|__builtin__)\.(eval|exec|compile|open|input|__import__|breakpoint|globals|vars)$"
)


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: the weights by name, without ``module.`` before the names.
        model: the model that the file says it is of, if it says so (our own safetensors do).
        ignored: what else there is beside the weights, such as "optimizer".
        foreign: classes and functions that the file names and that were not run.
    """

    tensors: dict[str, Tensor]
    model: str | None = None
    ignored: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()


def read_torch(path: Path) -> Checkpoint:
    """The weights of a PyTorch checkpoint.

    They stand at the top or under ``net``, ``state_dict``, ``model_state_dict`` or ``model``, in one or several
    levels.

    Raises:
        ModelError: not a checkpoint, truncated, inconsistent in its sizes, hostile, or without weights.
    """
    with _explained(path), path.open("rb") as file:
        start = file.read(4)
        if start == b"PK\x03\x04" and not zipfile.is_zipfile(file):
            raise _Fault("it is truncated: an archive without its end")
        file.seek(0)
        archive = (_Zip if start == b"PK\x03\x04" else _Legacy)(file, path.stat().st_size)
        content, ignored = _innermost(archive.content)
        found = {str(k): v for k, v in content.items() if isinstance(v, Stored)} if content is not None else {}
        if not found:
            raise _Fault(f"no weights in it (looked at the top and under {', '.join(NESTED)})")
        ignored += [str(name) for name in content or () if str(name) not in found]
        tensors = {name.removeprefix("module."): archive.tensor(name, stored) for name, stored in found.items()}
        if len(tensors) < len(found):
            raise _Fault("some of its weights are there twice, with and without 'module.' before their names")
        return Checkpoint(tensors, None, tuple(ignored), tuple(sorted(archive.foreign)))


def _innermost(content: Any) -> tuple[Mapping[Any, Any] | None, list[str]]:
    """The mapping that holds the weights, and the names of what stands beside it on the way there."""
    ignored: list[str] = []
    while isinstance(content, Mapping):
        key = next((k for k in NESTED if isinstance(content.get(k), Mapping)), None)
        if key is None:
            return content, ignored
        ignored += [str(name) for name in content if name != key]
        content = content[key]
    return None, ignored


class _Fault(Exception):
    """What is wrong with a file, without its name."""


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Every fault as one error: of a damaged or hostile pickle, almost any exception can come."""
    try:
        yield
    except _Fault as fault:
        raise ModelError(f"{path}: not a checkpoint that can be read safely: {fault}") from None
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        text = f"it is damaged, truncated or of another format ({reason})"
        raise ModelError(f"{path}: not a checkpoint that can be read safely: {text}") from None


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
        numbers = (offset, *shape, *stride)
        if len(shape) != len(stride) or not all(type(n) is int and n >= 0 for n in numbers):
            raise _Fault(f"{name} has no proper shape: {shape}, stride {stride}, offset {offset}")
        count = math.prod(shape)
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if count > storage.numbers or (count and last >= storage.numbers):
            raise _Fault(f"{name} has shape {shape}, but its storage {storage.key} has {storage.numbers} numbers")
        if storage.key not in self._read:
            data = bytearray(self.record(name, storage)) if storage.numbers else bytearray()
            empty = torch.empty(0, dtype=storage.dtype)
            self._read[storage.key] = torch.frombuffer(data, dtype=storage.dtype) if data else empty
        flat = self._read[storage.key]
        if flat.dtype != storage.dtype:
            raise _Fault(f"{name} reads storage {storage.key} as {storage.dtype}, others as {flat.dtype}")
        return flat.as_strided(shape, stride, offset)

    def record(self, name: str, storage: Storage) -> bytes:
        """The bytes of a storage that the tensor of this name needs."""
        raise NotImplementedError

    def unpickle(self, file: IO[bytes], find_storage: Callable[[tuple[Any, ...]], Any]) -> Any:
        """The next pickle of a file."""
        unpickler = _Unpickler(file, find_storage)
        content = unpickler.load()
        self.foreign |= unpickler.foreign
        return content


class _Zip(_Reader):
    """The archive of PyTorch 1.6 and later: ``data.pkl``, and a record for each storage, none of them compressed."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, size)
        self.zip = zipfile.ZipFile(file)
        self.records = {info.filename: info for info in self.zip.infolist()}
        packed = next((n for n, info in self.records.items() if info.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:
            raise _Fault(f"its record {packed} is compressed, which PyTorch never does")
        claimed = sum(info.file_size for info in self.records.values())
        if claimed > size:
            raise _Fault(f"its records claim {claimed} bytes, the file has {size}")
        pickles = [name for name in self.records if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Fault("a zip file, but not one of PyTorch's (it has no data.pkl)")
        self.folder = pickles[0].removesuffix("data.pkl")
        order = f"{self.folder}byteorder"
        if order in self.records and self.zip.read(order) != b"little":
            raise _Fault("its numbers are in big-endian order")
        self.content = self.unpickle(io.BytesIO(self.zip.read(pickles[0])), _storage)

    def record(self, name: str, storage: Storage) -> bytes:
        """The file's record for the storage."""
        record = self.records.get(f"{self.folder}data/{storage.key}")
        if record is None:
            raise _Fault(f"the storage {storage.key} of {name} is not there")
        if record.file_size != storage.bytes:
            raise _Fault(
                f"the storage {storage.key} of {name} should have {storage.bytes} bytes, its record has "
                f"{record.file_size}"
            )
        return self.zip.read(record)


class _Legacy(_Reader):
    """The format before 1.6: pickles (magic number, version, system, content, storage keys), then the storages."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        super().__init__(file, size)
        if file.read(1) != b"\x80":
            raise _Fault("it is neither a zip archive nor a pickle")
        file.seek(0)
        if self.unpickle(file, _storage) != LEGACY_MAGIC:
            raise _Fault("it is a pickle, but not one of PyTorch's")
        self.unpickle(file, _storage)  # version
        system = self.unpickle(file, _storage)
        if not isinstance(system, dict) or not system.get("little_endian", True):
            raise _Fault("its numbers are in big-endian order")
        declared: dict[str, Storage] = {}

        def note(pid: tuple[Any, ...]) -> Any:
            storage = _storage(pid)
            if isinstance(storage, Storage) and declared.setdefault(storage.key, storage) != storage:
                raise _Fault(f"its storage {storage.key} is described twice, differently")
            return storage

        self.content = self.unpickle(file, note)
        keys = self.unpickle(file, _storage)
        self.places = self._find([str(key) for key in keys], declared)

    def _find(self, keys: list[str], declared: Mapping[str, Storage]) -> dict[str, int]:
        """Where each storage begins; the file has them one behind the other, each after its count."""
        places: dict[str, int] = {}
        place = self.file.tell()
        for key in keys:
            if key not in declared:
                raise _Fault(f"its storage {key} is described nowhere")
            self.file.seek(place)
            (count,) = struct.unpack("<q", self.file.read(8))
            if count != declared[key].numbers:
                raise _Fault(f"its storage {key} should have {declared[key].numbers} numbers, the file says {count}")
            places[key] = place + 8
            place += 8 + declared[key].bytes
            if place > self.size:
                raise _Fault(f"it is truncated: its storages need {place} bytes, the file has {self.size}")
        return places

    def record(self, name: str, storage: Storage) -> bytes:
        """What stands after the storage's count."""
        if storage.key not in self.places:
            raise _Fault(f"the storage {storage.key} of {name} is not there")
        self.file.seek(self.places[storage.key])
        return self.file.read(storage.bytes)


# Pickles


class Inert:
    """What stands for an object of a class, or a call of a function, that is not to be run: takes what a pickle may
    do to an object, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Whatever the arguments."""
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> Inert:
        """Where it stands for a method."""
        return Inert()

    def _nothing(*_: Any, **__: Any) -> None:  # the class itself may be what it is called on
        pass

    __setstate__ = __setitem__ = append = extend = add = _nothing


class _Unpickler(pickle.Unpickler):
    """Only an ordered dictionary and stand-ins for PyTorch's own functions can be named by the pickle; numbers, texts,
    lists, tuples and dictionaries need no name."""

    def __init__(self, file: IO[bytes], find_storage: Callable[[tuple[Any, ...]], Any]) -> None:
        super().__init__(file, encoding="latin-1")
        self.find_storage = find_storage
        self.foreign: set[str] = set()

        # made anew for each file, for a pickle may set attributes of what it is given
        def rebuild(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> Any:
            return Stored(storage, offset, tuple(shape), tuple(stride)) if isinstance(storage, Storage) else None

        def first(value: Any, *_: Any) -> Any:
            return value

        def rebuild_from_type(function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
            return function(*arguments) if function in (rebuild, first) else None

        self.known: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor"): rebuild,
            ("torch._utils", "_rebuild_tensor_v2"): rebuild,
            ("torch._utils", "_rebuild_parameter"): first,
            ("torch._utils", "_rebuild_parameter_with_state"): first,
            ("torch._tensor", "_rebuild_from_type_v2"): rebuild_from_type,
        }

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; never what the name stands for."""
        if (module, name) in self.known:
            return self.known[module, name]
        if module in ("torch", "torch.storage") and name in TYPES:
            return TYPES[name]
        full = f"{module}.{name}"
        if HOSTILE.match(full):
            raise _Fault(f"it asks to run {full}, which no checkpoint needs; it was not run, and do not trust it")
        self.foreign.add(full)
        self.known[module, name] = type("Inert", (Inert,), {})
        return self.known[module, name]

    def persistent_load(self, pid: Any) -> Any:
        """A storage by what the pickle says of it."""
        return self.find_storage(pid) if isinstance(pid, tuple) else None


def _storage(pid: tuple[Any, ...]) -> Any:
    """("storage", type, key, device, count[, view]) as a ``Storage``; ("module", class, source, ...) as the class."""
    if len(pid) < 5 or pid[0] != "storage":
        return pid[1] if len(pid) > 1 and pid[0] == "module" else None
    _, dtype, key, _, count, *view = pid
    if any(part is not None for part in view):
        raise _Fault("it has storages that are parts of others, as PyTorch had before 0.4")
    if not isinstance(dtype, torch.dtype) or type(count) is not int or count < 0:
        return None  # of a type that no model here has
    return Storage(dtype, str(key), count)
