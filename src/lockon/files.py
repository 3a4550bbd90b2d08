"""Files that are made: whole or not at all, and never in the place of something that the user has.

- ``write_whole`` puts one file in its place in one move.
- ``Outputs`` claims the names of a run in a folder. Two runs cannot share a name. What an earlier run of the same kind
  made there is replaced, everything else is left alone.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from lockon.errors import OutputError

RECORDS = ".lockon"  # the folder in which runs note what they made
MODE = 0o644


def why(error: OSError) -> str:
    """Says what the system's error was, in its own words."""
    return error.strerror or str(error)


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Iterator[IO[bytes]]:
    """Opens a file for writing that takes its place when the block ends well.

    Until then it has a name of its own in the same folder. That name is removed if the block fails.

    Args:
        path: where it goes; folders above it are made.
        replace: put it over an existing file.

    Raises:
        OutputError: it cannot be written, or it is there already and is not to be replaced.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not replace and os.path.lexists(path):
            raise _exists(path)
        if path.is_dir():
            raise OutputError(f"{path}: cannot be written, it is a folder")
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, MODE)
                _move(Path(file.name), path, replace)
            except BaseException:
                with suppress(OSError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {why(error)}") from None


def write_whole(path: Path, content: bytes | str | Iterable[str], *, replace: bool = True) -> None:
    """Writes a file that is either there with all of it or, if that fails or the process dies, not at all.

    Args:
        content: bytes, a text, or lines without their ends.
        replace: put it over an existing file.

    Raises:
        OutputError: as ``whole_file``.
    """
    with whole_file(path, replace=replace) as file:
        if isinstance(content, bytes):
            file.write(content)
        elif isinstance(content, str):
            file.write(content.encode())
        else:
            file.writelines(f"{line}\n".encode() for line in content)


def _move(source: Path, path: Path, replace: bool) -> None:
    if replace:
        os.replace(source, path)
        return
    try:
        os.link(source, path)  # unlike a move it fails where something is
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # file systems without links
        if os.path.lexists(path):
            raise _exists(path) from None
        os.replace(source, path)
    else:
        os.unlink(source)


def refuse_existing(path: Path) -> None:
    """Refuses a name that is taken, for those who work long before they write with ``replace=False``.

    Raises:
        OutputError: something is there.
    """
    if os.path.lexists(path):
        raise _exists(path)


def _exists(path: Path) -> OutputError:
    return OutputError(f"{path}: is there already and is not written over; move it away or give another name")


def lock(file: IO[Any]) -> bool:
    """Locks an open file for this process; false where another process has it locked.

    The lock ends with the file or the process. Where the file system knows no locks, all is taken to be free.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


class Outputs:
    """The files that one run makes in a folder, claimed for it alone: a context manager.

    ``folder/.lockon/NAME.json`` notes what the run was and which files it made. A later run of the same ``maker`` may
    replace these, as long as nobody has changed them since; they stay until it does. Any other file in the way is an
    error before anything is written.

    Raises:
        OutputError: the folder cannot be written, a name in it is taken, or another run writes the same at the moment.

    Example:
        >>> with Outputs(Path("results"), "clip", "track clip.mp4", ["clip.txt"]) as outputs:
        ...     with outputs.create("clip.txt") as file: ...
    """

    def __init__(
        self, folder: Path, name: str, maker: str, files: Iterable[str], inputs: Iterable[str | Path] = ()
    ) -> None:
        self.folder, self.name, self.maker = folder, name, maker
        self.files = tuple(files)
        self._inputs = [Path(path) for path in inputs]
        self._record: IO[str] | None = None
        self._made: dict[str, list[int] | None] = {}
        self._old: dict[str, list[int]] = {}  # files of an earlier run that are there still
        self._refuse_inputs()
        try:
            (folder / RECORDS).mkdir(parents=True, exist_ok=True)
            self._record = (folder / RECORDS / f"{name}.json").open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{folder}: cannot write results here: {why(error)}") from None
        try:
            self._claim()
        except BaseException:
            self._record.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def path(self, file: str) -> Path:
        """Where a claimed file is."""
        assert file in self.files, file
        return self.folder / file

    def create(self, file: str) -> IO[bytes]:
        """Makes an empty file of a claimed name and opens it.

        Raises:
            OutputError: it cannot be made, or something has come into its place meanwhile.
        """
        path = self.path(file)
        try:
            self._remove_own(path)
            handle = path.open("xb")
            self._made[file] = [os.fstat(handle.fileno()).st_ino]
            self._note()
        except FileExistsError:
            raise _exists(path) from None
        except OSError as error:
            raise OutputError(f"{path}: cannot write results: {why(error)}") from None
        return handle

    def write_all(self, contents: Mapping[str, bytes]) -> None:
        """Writes files by claimed name, all of them or, on a full disk, none; what an earlier run made more goes.

        Raises:
            OutputError: they cannot be written; the earlier run's are there still.
        """
        path, parts = self.folder, dict[str, str]()
        try:
            for file, content in contents.items():
                path = self.path(file)
                with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=".part", delete=False) as part:
                    parts[file] = part.name
                    part.write(content)
                os.chmod(part.name, MODE)
            for file in self.files:
                path = self.path(file)
                self._remove_own(path)
                if file in parts:
                    _move(Path(parts[file]), path, replace=False)
                    del parts[file]
                    self._made[file] = _identity(path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written: {why(error)}") from None
        finally:
            for name in parts.values():
                with suppress(OSError):
                    os.unlink(name)

    def _remove_own(self, path: Path) -> None:
        """Removes what an earlier run made there, unless it was changed meanwhile."""
        if path.name in self._old and _identity(path) == self._old.pop(path.name):
            path.unlink()

    def close(self) -> None:
        """Notes the files as they are now and gives the names free; may be called twice."""
        if self._record is None:
            return
        for file in self._made:
            self._made[file] = self._old.get(file) or _identity(self.folder / file)
        with suppress(OutputError):  # a full disk: the files are there all the same
            self._note()
        self._record.close()
        self._record = None

    def _refuse_inputs(self) -> None:
        for path in (self.folder / file for file in self.files):
            for given in self._inputs:
                with suppress(OSError):
                    if os.path.samefile(path, given):
                        raise OutputError(f"{path}: would be written over, but it is an input; give another --out")

    def _claim(self) -> None:
        assert self._record is not None
        if not lock(self._record):
            raise OutputError(f"{self.folder}: another run is writing {self.name} here; give another --out")
        known = self._known()
        taken = [path for file in self.files if _in_the_way(path := self.folder / file, known.get(file, ()))]
        if taken:
            raise OutputError(
                f"{taken[0]}: is there already and was not made by this command from this source; "
                "move it away or give another --out"
            )
        there = {file: _identity(self.folder / file) for file in self.files}
        self._old = {file: found for file, found in there.items() if found is not None}
        self._made = {file: self._old.get(file) for file in self.files}
        self._note()

    def _known(self) -> dict[str, Any]:
        """What an earlier run of the same maker noted."""
        assert self._record is not None
        self._record.seek(0)
        try:
            told = json.loads(self._record.read())
            files = told["files"].items() if told["maker"] == self.maker else ()
            return {file: noted for file, noted in files if noted is None or isinstance(noted, list)}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}

    def _note(self) -> None:
        assert self._record is not None
        try:
            self._record.seek(0)
            self._record.truncate()
            json.dump({"maker": self.maker, "files": self._made}, self._record)
            self._record.flush()
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot write results here: {why(error)}") from None


def made_by_another(folder: Path, name: str, maker: str) -> bool:
    """Whether files that a run of another ``maker`` made under a name are still in a folder."""
    try:
        told = json.loads((folder / RECORDS / f"{name}.json").read_text(encoding="utf-8"))
        return bool(told["maker"] != maker) and any(os.path.lexists(folder / file) for file in told["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _identity(path: Path) -> list[int] | None:
    """What tells a file that was changed or replaced from the one that was made: inode, size, time of last change."""
    try:
        found = path.stat(follow_symlinks=False)
    except OSError:
        return None
    return [found.st_ino, found.st_size, found.st_mtime_ns]


def _in_the_way(path: Path, noted: list[int] | tuple[()] | None) -> bool:
    """Whether a file is there that no run noted as its own.

    A run that was killed noted no size yet: then the inode decides. One killed before that left an empty file at most.
    """
    found = _identity(path)
    if found is None:
        return False
    if path.is_symlink() or not path.is_file():
        return True
    if noted is None:
        return found[1] > 0
    return not noted or noted != found[: len(noted)]
