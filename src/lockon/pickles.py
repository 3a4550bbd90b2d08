"""Pickles read as data.

A pickle is a program for a small machine that builds objects. Python's own machine imports and calls what it names,
and asks for as much memory and time as it is told to. This one knows numbers, texts, lists, tuples and dictionaries.
Of all else it notes the name. Every size has a limit, and no step recurses, so that neither depth nor sharing hurts.
"""

from __future__ import annotations

import pickletools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

INSTRUCTIONS = 2_000_000  # the largest trackers with their optimisers need some ten thousand
MEMO = 1_000_000  # objects that are remembered for later use
DEPTH = 100  # levels of lists, tuples and dictionaries
PROGRAM = 2**28  # bytes of one pickle, without the numbers of its tensors
TEXT = 2**26  # bytes of one text
NAMES = 1000  # classes and functions
NAME = 200  # characters of one of them
INDEX = 2**31  # no pickler counts its objects further
KEY = 2**62  # beyond it whole numbers have hash values that can be chosen

# what no checkpoint has a reason to name: such a file is refused, though nothing in it would be run in any case
HOSTILE = re.compile(
    r"(os|posix|nt|subprocess|sys|shutil|socket|runpy|importlib|ctypes|pty|pdb|bdb|code|commands|webbrowser|timeit|pip)\."
    r"|(builtins|__builtin__)\.(eval|exec|compile|open|input|__import__|breakpoint|globals|vars)$"
)
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
TEXTS = {"STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"}
PUSHED = NUMBERS | TEXTS | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class Fault(Exception):
    """What is wrong with a file, without its name."""


class Source(Protocol):
    """What a pickle is read from."""

    def read(self, count: int, /) -> bytes:
        """So many bytes, fewer at the end."""

    def readline(self, limit: int, /) -> bytes:
        """Up to the end of a line, or so many bytes."""


class Foreign:
    """What stands for a class or function of a name, and for every object that it would have made."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Unpickler:
    """Reads one pickle.

    Args:
        file: where the pickle begins; it is left just behind it.
        size: bytes that are there.
        known: what some names stand for: a value, or a function that is called with what the pickle gives it.
        persistent: from an object that the pickle keeps elsewhere, by what it says of it, to its value.

    Attributes:
        foreign: names of all other classes and functions.
    """

    def __init__(
        self, file: Source, size: int, known: Mapping[str, Any], persistent: Callable[[Any], Any] = lambda _: None
    ) -> None:
        self.file = _Bounded(file, min(size, PROGRAM), size)
        self.known, self.persistent = known, persistent
        self.foreign: set[str] = set()
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """What the pickle holds: numbers, texts, bytes, lists, tuples, dictionaries, and ``Foreign`` for the rest.

        Raises:
            Fault: beyond a limit, or it names what no file of data needs.
            ValueError, IndexError, KeyError, TypeError: it makes no sense.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(self.file), start=1):  # type: ignore[arg-type]
            if count > INSTRUCTIONS:
                raise Fault(f"its description has more than {INSTRUCTIONS} instructions")
            if opcode.name in PUSHED:
                self._stack.append(argument)
            elif opcode.name in CONSTANTS:
                self._stack.append(CONSTANTS[opcode.name])
            else:
                self._step(opcode.name, argument)
        content = self._stack.pop()
        _check_depth(content)
        return content

    def _step(self, name: str, argument: Any) -> None:
        act = _ACTIONS.get(name)
        if act is not None:
            act(self)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._remember(argument)
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in ("GLOBAL", "INST"):
            module, _, name_ = argument.partition(" ")
            made = self._find(module, name_)
            self._stack.append(self._call(made, self._marked()) if name == "INST" else made)
        elif name == "PERSID":
            self._stack.append(self.persistent(argument))
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise Fault(f"its description has an instruction {name}, which no checkpoint needs")

    def _remember(self, index: int) -> None:
        if not 0 <= index < INDEX:
            raise Fault(f"its description counts its objects up to {index}")
        if len(self._memo) >= MEMO:
            raise Fault(f"its description shares more than {MEMO} objects")
        self._memo[index] = self._stack[-1]

    def _find(self, module: Any, name: Any) -> Any:
        """What a name stands for; nothing is imported."""
        full = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else ""
        if not 1 < len(full) <= NAME:
            raise Fault(f"it names a class or function with {len(full)} characters, more than {NAME} or none")
        if full in self.known:
            return self.known[full]
        if HOSTILE.match(full):
            raise Fault(f"it asks to run {full}, which no checkpoint needs; it was not run, and do not trust it")
        self.foreign.add(full)
        if len(self.foreign) > NAMES:
            raise Fault(f"it names more than {NAMES} classes and functions")
        return Foreign(full)

    def _call(self, function: Any, arguments: Any) -> Any:
        """What an allowed function makes of its arguments."""
        if isinstance(function, Foreign):
            return Foreign(function.name)
        if not callable(function) or not isinstance(arguments, list | tuple):
            raise Fault("it calls what is no function")
        return function(*arguments)

    # Steps

    def _marked(self) -> list[Any]:
        """All since the last mark, taken from the stack."""
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()

    def _tuple(self, count: int) -> None:
        if count > len(self._stack):
            raise IndexError("a tuple of more than there is")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def _extend(self, items: Iterable[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Foreign):
            raise Fault("it adds to what is no list")

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if isinstance(target, dict):
            target |= _pairs(items[::2], items[1::2])
        elif not isinstance(target, Foreign):
            raise Fault("it sets items of what is no dictionary")

    def _append(self) -> None:
        item = self._stack.pop()
        self._extend([item])

    def _set_item(self) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set_items([key, value])

    def _make_dict(self) -> None:
        items = self._marked()
        self._stack.append(_pairs(items[::2], items[1::2]))

    def _global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._find(module, name))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._call(function, arguments))

    def _new_with_keywords(self) -> None:
        self._stack.pop()
        self._reduce()

    def _object(self) -> None:
        function, *arguments = self._marked()
        self._stack.append(self._call(function, arguments))

    def _persistent(self) -> None:
        self._stack.append(self.persistent(self._stack.pop()))


def _pairs(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dictionary; what has a key that is no plain value is left out, for its hash may take for ever."""
    return {key: value for key, value in zip(keys, values, strict=True) if plain(key)}


def plain(key: Any) -> bool:
    """Whether a key has a hash value that is quick to find and hard to choose."""
    return type(key) in (str, bytes, float, bool, type(None)) or (type(key) is int and abs(key) < KEY)


_ACTIONS: dict[str, Callable[[Unpickler], None]] = {
    "MARK": Unpickler._mark,
    "POP": Unpickler._pop,
    "POP_MARK": lambda self: self._marked().clear(),
    "DUP": lambda self: self._stack.append(self._stack[-1]),
    "MEMOIZE": lambda self: self._remember(len(self._memo)),
    "EMPTY_LIST": lambda self: self._stack.append([]),
    "EMPTY_DICT": lambda self: self._stack.append({}),
    "EMPTY_SET": lambda self: self._stack.append(Foreign("set")),
    "LIST": lambda self: self._stack.append(self._marked()),
    "TUPLE": lambda self: self._stack.append(tuple(self._marked())),
    "FROZENSET": lambda self: self._stack.append(Foreign(f"a set of {len(self._marked())}")),
    "DICT": Unpickler._make_dict,
    "TUPLE1": lambda self: self._tuple(1),
    "TUPLE2": lambda self: self._tuple(2),
    "TUPLE3": lambda self: self._tuple(3),
    "APPEND": Unpickler._append,
    "APPENDS": lambda self: self._extend(self._marked()),
    "ADDITEMS": lambda self: self._extend(self._marked()),
    "SETITEM": Unpickler._set_item,
    "SETITEMS": lambda self: self._set_items(self._marked()),
    "STACK_GLOBAL": Unpickler._global,
    "REDUCE": Unpickler._reduce,
    "NEWOBJ": Unpickler._reduce,
    "NEWOBJ_EX": Unpickler._new_with_keywords,
    "OBJ": Unpickler._object,
    "BUILD": lambda self: self._pop(),  # attributes of an object
    "BINPERSID": Unpickler._persistent,
}


def _check_depth(content: Any) -> None:
    """Refuses what is nested beyond the limit; level by level, and each container once, however often it is shared."""
    seen: set[int] = set()
    level = [content]
    for _ in range(DEPTH):
        inner: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node
            for child in children if isinstance(node, list | tuple | dict) else ():
                if isinstance(child, list | tuple | dict) and id(child) not in seen:
                    seen.add(id(child))
                    inner.append(child)
        if not inner:
            return
        level = inner
    raise Fault(f"it is nested more than {DEPTH} levels deep")


class _Bounded:
    """Reads no more than is there, and no text beyond its limit: sizes in a pickle are only told."""

    def __init__(self, file: Source, limit: int, size: int) -> None:
        self.file, self.left, self.limit, self.size = file, limit, limit, size

    def read(self, count: int) -> bytes:
        if count > TEXT:
            raise Fault(f"its description claims a text of {count} bytes, more than {TEXT}")
        self._take(count)
        return self.file.read(count)

    def readline(self) -> bytes:
        line = self.file.readline(min(self.left, TEXT) + 1)
        if len(line) > TEXT:
            raise Fault(f"its description has a text of more than {TEXT} bytes")
        self._take(len(line))
        return line

    def _take(self, count: int) -> None:
        self.left -= count
        if self.left >= 0:
            return
        if self.limit < self.size:
            raise Fault(f"its description has more than {self.limit} bytes")
        raise Fault("it is truncated: its description claims more bytes than there are")


def shorter(text: str, count: int = 100) -> str:
    """A text from a file, for a message: what is too long is cut in its middle."""
    return text if len(text) <= count else f"{text[: count // 2]}...{text[-count // 3 :]}"
