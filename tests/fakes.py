"""A tracker in place of one of OpenCV's, in the processes that lockon runs those in, which does what a test wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockon.evaluation import child

CODE = '''
import os, signal, time
from pathlib import Path
import cv2

HERE = Path(__file__).parent

class Fake:
    """Moves its box to the right, one pixel per frame; what it does else says a file that is called by the width of the
    frame, once: a word for init and one for update."""

    def init(self, image, box):
        assert all(isinstance(value, int) for value in box), box
        self.box = box
        return self.act(image, 0)

    def update(self, image):
        x, y, w, h = self.box
        self.box = x + 1, y, w, h
        return self.act(image, 1) or (True, self.box)

    def getTrackingScore(self):
        return -1.0

    def act(self, image, number):
        told = HERE / str(image.shape[1])
        word = told.read_text().split()[number] if told.exists() else "-"
        if word == "hang":
            (HERE / "hung.part").write_text(str(os.getppid()))
            os.rename(HERE / "hung.part", HERE / "hung")
            while True:
                time.sleep(60)
        if word == "die":
            print("no luck", file=__import__("sys").stderr, flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "raise":
            cv2.cvtColor(image[:0], cv2.COLOR_RGB2BGR)
        if word == "refuse":
            return False
        if word == "print":
            os.write(1, b"[ WARN:0] this is no answer\\n")
        return ANSWERS.get(word)

ANSWERS = {
    "lost": (False, (0, 0, 0, 0)),
    "nan": (True, (float("nan"), 1, 2, 3)),
    "far": (True, (-2147483648, 1, 2, 3)),
    "negative": (True, (1, 2, -3, 4)),
    "empty": (True, (1, 2, 0, 4)),
}
cv2.TrackerMIL_create = Fake
'''


class FakeOpenCV:
    """The tracker called opencv-mil, in a folder with what it is told to do.

    Attributes:
        hung: the file in which it notes, when it hangs, the number of the process that runs lockon.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(CODE)
        monkeypatch.syspath_prepend(str(folder))
        self._folder, self._monkeypatch = folder, monkeypatch
        self.hung = folder / "hung"

    def tell(self, width: int, init: str = "-", update: str = "-") -> None:
        """What it does in frames of a width, instead of its work."""
        (self._folder / str(width)).write_text(f"{init} {update}")

    def forget(self, width: int) -> None:
        """Lets it do its work there."""
        (self._folder / str(width)).unlink()

    def be_late_when_hung(self) -> None:
        """Has lockon's patience end when the tracker hangs, however fast the machine is."""
        ended = child._Call.ended

        def ended_or_hung(self_: child._Call[object], seconds: float) -> bool:
            while not ended(self_, 0.02):
                if self.hung.exists():
                    self.hung.unlink()
                    return ended(self_, 0)
            return True

        self._monkeypatch.setattr(child._Call, "ended", ended_or_hung)
