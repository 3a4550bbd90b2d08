"""What benchmarks are made of: annotated sequences, a benchmark's list of them, and a tracker's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockon.data.sources import PictureFile

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sequence:
    """A video with one target, of T frames.

    Attributes:
        name: as the benchmark's toolkit has it; result files are called by it.
        files: (T,) one picture per frame.
        boxes: (T, 4) x, y, w, h in pixels as annotated, NaN where there is no annotation; (1, 4) where the benchmark
            tells only the first.
        attributes: what is difficult in it, by the benchmark's own abbreviations.
        labels: (T,) numbers per frame, by name: "absent" (0, 1), "cover" (0 to 8 eighths visible), VOT's tags.
        regions: a VOT region per frame where boxes say too little: 8 or more numbers x1, y1, x2, y2, ... of a polygon,
            or a mask's ``m...`` string; empty for none.
        size: (width, height) of the frames where the benchmark tells.
    """

    name: str
    files: tuple[Path, ...]
    boxes: Array
    attributes: frozenset[str] = frozenset()
    labels: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    regions: tuple[str, ...] = ()
    size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def hidden(self) -> bool:
        """Whether the benchmark keeps all but the first box to itself."""
        return len(self.boxes) < len(self.files)

    def frames(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 RGB, one after the other.

        Raises:
            PictureError: one cannot be read; it is named.
        """
        return (PictureFile(str(file)).decode() for file in self.files)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark's data set on disk. Nothing but its list of names is read before a sequence is asked for.

    Attributes:
        name: as in ``lockon.benchmarks.BENCHMARKS``.
        names: of the sequences, in the benchmark's order.
        read: a sequence by its name; raises ``DataError`` where its copy is incomplete or malformed.
        toolkit: whose conventions papers score it with (``metrics.TOOLKITS``); of VOT, the kind of experiment.
        remarks: what its user should know before it is read, such as folders that are left out.
        root: the folder of the data set; None where it is in memory.
    """

    name: str
    names: tuple[str, ...]
    read: Callable[[str], Sequence]
    toolkit: str = "plain"
    remarks: tuple[str, ...] = ()
    root: Path | None = None

    def __iter__(self) -> Iterator[Sequence]:
        return map(self.read, self.names)

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Trace:
    """What a tracker said of each of T frames; row 0 is of the frame on which it was started.

    Attributes:
        boxes: (T, 4) x, y, w, h in pixels; row 0 is the given box.
        seconds: (T,) that each frame took, without reading it; NaN where nobody measured.
        scores: (T,) how sure it was; NaN where it does not say.
        found: (T,) bool, whether it took the target to be in view; true where it does not say.
    """

    boxes: Array
    seconds: Array
    scores: Array
    found: NDArray[np.bool_]
