"""TraX, the protocol between the VOT toolkit and trackers (Čehovin, Neurocomputing 2017), from both sides.

``serve`` puts one of our trackers behind it; ``TraxTracker`` runs anybody's command that speaks it. Needs the ``vot``
extra, whose ``trax`` package is the protocol's own library.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np

from lockon.boxes import Box
from lockon.data.sources import decode
from lockon.errors import BoxError, DataError, SourceError, TrackerError
from lockon.evaluation.child import FAREWELL, Child, LateError
from lockon.evaluation.regions import Code, Mask, Polygon, Rectangle, Region, enclosing_box, fitted_box
from lockon.tracker import Result, Tracker

try:
    import trax
    from trax.client import Client
except ImportError:
    raise TrackerError("TraX needs the package vot-trax: pip install 'lockon[vot]'") from None


def serve(tracker: Tracker, name: str) -> None:
    """Answers a TraX client on standard input and output until it quits.

    A client may start the tracker with a rectangle, a polygon or a mask, and with each frame gets the score as the
    property "confidence". It is answered in the form in which it asked, as far as the tracker has it: a mask for a
    mask and a rotated box for a polygon from models that segment, else a rectangle.

    Raises:
        LockonError: a frame that cannot be read, a region that no track can start from, or a client that broke off. A
            client that still listens is told, too.
    """
    forms = [trax.Region.RECTANGLE, trax.Region.POLYGON, trax.Region.MASK]
    pictures = [trax.Image.PATH, trax.Image.MEMORY, trax.Image.BUFFER]
    server = trax.Server(forms, pictures, tracker_name=name)
    try:
        _answer_all(server, tracker)
    except trax.TraxException as error:
        raise TrackerError(f"the TraX client broke off: {error}") from None
    except Exception as error:
        server.quit(str(error))
        raise


def _answer_all(server: Any, tracker: Tracker) -> None:
    form = trax.Region.RECTANGLE
    while (request := server.wait()).type != trax.TraxStatus.QUIT:
        image = read_picture(request.image[trax.ImageChannel.COLOR])
        if request.type == trax.TraxStatus.INITIALIZE:
            region, _ = request.objects[0]
            form = region.type
            tracker.init(image, start_box(_read_region(region)))
            server.status([(region, {})])
        else:
            result = tracker.update(image)
            assert isinstance(result, Result)  # of one box comes one result
            server.status([(_answer(result, form), {"confidence": result.score})])


def start_box(region: Region) -> Box:
    """x, y, w, h in pixels that a track starts with: of a polygon with four corners the fitted box, as pysot does it,
    else the enclosing one.

    Raises:
        BoxError: nothing to start from: an empty mask, or a code in place of a region.
        DataError: a polygon without area.
    """
    if isinstance(region, Polygon) and len(region.points) == 4:
        return fitted_box(region)
    box = _box_around(region)
    if box is None:
        raise BoxError("a track cannot start from an empty region; give a rectangle, a polygon or a mask")
    return box


def _box_around(region: Region) -> Box | None:
    """The upright box around a region; None where nothing is in it."""
    if isinstance(region, Code) or (isinstance(region, Mask) and not region.pixels.any()):
        return None
    return enclosing_box(region)


def _answer(result: Result, form: str) -> Any:
    """A result in the form that was asked for, or, where it has none such, as a rectangle."""
    if form == trax.Region.MASK and result.mask is not None and result.mask.any():
        return trax.Mask.create(np.ascontiguousarray(result.mask, np.uint8))
    if form == trax.Region.POLYGON and result.polygon is not None:
        return trax.Polygon.create(list(result.polygon))
    return trax.Rectangle.create(*result.box)


def read_picture(image: Any) -> np.ndarray:
    """(H, W, 3) RGB, or (H, W, 1), of a picture that came as a file's name, as a file's content or as pixels.

    Raises:
        SourceError: a file that is not there, or not a picture.
    """
    if isinstance(image, trax.MemoryImage):
        pixels: np.ndarray = image.array()
        return pixels
    if isinstance(image, trax.BufferImage):
        return decode(image.buffer())
    path = Path(image.path())
    try:
        return decode(path.read_bytes())
    except (OSError, DataError) as error:
        raise SourceError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from None


def _read_region(region: Any) -> Region:
    """A region of the library as one of ours."""
    if region.type == trax.Region.RECTANGLE:
        return Rectangle(*region.bounds())
    if region.type == trax.Region.POLYGON:
        return Polygon(tuple(region))
    if region.type == trax.Region.MASK:
        x, y = region.offset()
        return Mask(x, y, region.array() > 0)
    return Code(region.code)


class TraxTracker:
    """A tracker that any command runs, spoken to by TraX; it gets pictures as names of files.

    The process starts with the first ``init`` and serves until ``close``. Trackers built on the VOT challenge's Python
    module can track only once, and get a new process for each track, as from the VOT toolkit.

    Args:
        command: as in a shell, without its variables and wildcards; runs in the current folder.
        timeout: seconds to wait for an answer, of which the first includes loading the tracker.

    Example:
        >>> with TraxTracker("python my_tracker.py") as tracker:
        ...     tracker.init(files[0], (120, 80, 64, 48))
        ...     boxes = [tracker.update(file).box for file in files[1:]]
    """

    def __init__(self, command: str, timeout: float = 120.0) -> None:
        self.command = command
        self.timeout = timeout
        self._process: _Process | None = None
        self._box: Box | None = None

    def __enter__(self) -> TraxTracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def init(self, file: Path, box: Box) -> Result:
        """Starts a track on a picture with x, y, w, h in pixels; returns the box as a result.

        Raises:
            TrackerError: the command cannot be started, broke off or did not answer in time; its last words are told.
        """
        if self._process is not None and (self._process.ended or self._process.once):
            self.close()
        if self._process is None:
            self._process = _Process(self.command, self.timeout)
        self._process.initialize(file, trax.Rectangle.create(*box))
        self._box = box
        return Result(box, 1.0, True)

    def update(self, file: Path) -> Result:
        """Finds the target in the next picture.

        Of a polygon or a mask that the command answers with, the result has the enclosing box. Its score is the
        command's "confidence", NaN where it tells none. Where it tells no region the target counts as not found, and
        the last box stays.

        Raises:
            TrackerError: as ``init``, or called before it.
        """
        if self._process is None or self._process.ended or self._box is None:
            raise TrackerError(f"{self.command}: is not on a track: call init() with a frame and a box")
        region, properties = self._process.frame(file)
        answer = _box_around(_read_region(region))
        self._box = answer or self._box
        return Result(self._box, _confidence(properties), answer is not None)

    def close(self) -> None:
        """Ends the process; a next ``init`` starts another."""
        if self._process is not None:
            self._process.close()
        self._process = self._box = None


class _Process:
    """A running command and the connection to it; ends, with what it started, when it fails."""

    def __init__(self, command: str, timeout: float) -> None:
        self._command = command
        self._timeout = timeout
        self._client: Any = None
        try:
            self._child = Child(shlex.split(command), {"TRAX": "1"})
        except (OSError, ValueError, IndexError) as error:
            raise TrackerError(f"{command!r} cannot be started: {error}") from None
        descriptors = self._child.stdin.fileno(), self._child.stdout.fileno()
        self._client = self._ask(lambda: Client(descriptors, log=_no_log), "before it said hello")

    @property
    def ended(self) -> bool:
        return self._client is None

    @property
    def once(self) -> bool:
        """Whether it says that it is built on the VOT challenge's module, which tracks once."""
        return self._client.get("vot") is not None

    def initialize(self, file: Path, region: Any) -> None:
        self._ask(lambda: self._client.initialize(_color(file), [(region, {})], {}), f"at {file}")

    def frame(self, file: Path) -> tuple[Any, Mapping[str, str]]:
        """The region and properties of the first object."""
        objects, _ = self._ask(lambda: self._client.frame(_color(file), {}, []), f"at {file}")
        if not objects:
            raise TrackerError(f"{self._command}: answered without a region at {file}")
        region, properties = objects[0]
        return region, properties

    def close(self) -> None:
        """Says goodbye, and ends what does not go by itself."""
        if self._client is not None:
            with suppress(LateError, trax.TraxException):
                self._child.within(FAREWELL, self._client.quit)
                self._child.wait()
        self._end()

    def _ask(self, call: Callable[[], Any], when: str) -> Any:
        """What the command answers; every way of failing becomes one error, and ends it."""
        try:
            return self._child.within(self._timeout, call)
        except LateError as error:
            fault = str(error)
        except trax.TraxException as error:
            code = self._child.wait()
            fault = f"broke off ({error})" if code is None else f"ended with code {code}"
        words = self._child.last_words()
        self._end()
        raise TrackerError(f"{self._command}: {fault} {when}; {words}")

    def _end(self) -> None:
        self._child.kill()
        self._client = None  # which closes its ends of the pipes
        self._child.close()


def _no_log(_: object) -> None:
    """The library fails without a log."""


def _color(file: Path) -> dict[str, Any]:
    return {trax.ImageChannel.COLOR: trax.FileImage.create(str(file.absolute()))}


def _confidence(properties: Mapping[str, str]) -> float:
    """How sure the command is, NaN where it tells nothing that is a number."""
    try:
        value = float(properties.get("confidence", "nan"))
    except ValueError:
        return nan
    return value if isfinite(value) else nan
