"""What can go wrong. Each error carries one clear message that says what, where and what to do."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # Unicode's categories of what moves a cursor, turns text round or is no text
LOGIN = re.compile(r"(\b[a-zA-Z][\w+.-]*://)[^/\s]*@")
SECRET = re.compile(
    r"(?i)(?<![a-z])((?:user(?:name)?|pass(?:word|wd)?|pwd|token|secret|(?:api_?)?key|auth|sig(?:nature)?)=)[^&\s/;,'\"_]+"
)


def printable(text: str) -> str:
    """Escapes control characters, line ends and marks that turn text round, as Python writes them in a string.

    Names in files can hold them; on a terminal they could imitate other messages or move its cursor.
    """
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c for c in text)


def masked(text: str) -> str:
    """Puts ``***`` in place of user and password in addresses such as ``rtsp://user:password@host``."""
    return SECRET.sub(r"\1***", LOGIN.sub(r"\1***@", text))


def first_few(items: Iterable[str], count: int = 5, between: str = ", ") -> str:
    """Joins the first ``count`` items, and says how many more there are."""
    listed = list(items)
    more = f"{between}and {len(listed) - count} more" if len(listed) > count else ""
    return between.join(listed[:count]) + more


class LockonError(Exception):
    """Base of every error that this library raises on purpose; its message is ``printable`` and ``masked``."""

    def __init__(self, message: object = "") -> None:
        super().__init__(masked(printable(str(message))))


class SourceError(LockonError):
    """Frames cannot be read: the source is missing, empty, or neither picture nor video."""


class FrameError(SourceError):
    """A source failed part-way: the frames before number `index` were good and have been delivered."""

    def __init__(self, message: object = "", index: int = -1) -> None:  # defaults, so that the error can be pickled
        super().__init__(message)
        self.index = index


class OutputError(LockonError):
    """A result cannot be written."""


class BoxError(LockonError, ValueError):
    """A box is not one: wrong shape, not finite, no area, or outside the frame."""


class StateError(LockonError, ValueError):
    """What was put into a tracker is not the state of a target, or is one of another model."""


class ModelError(LockonError):
    """A model cannot be had: unknown name, wrong or corrupt weights, device absent."""


class TrackerError(LockonError):
    """A tracker that runs as a process of its own, or the client of one, cannot be started, breaks off or is silent."""


class DataError(LockonError):
    """Training or evaluation data is missing or malformed."""


class PictureError(DataError):
    """One picture or mask of the training data cannot be used; another can be drawn in its place."""
