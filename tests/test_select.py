import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from lockon.errors import BoxError
from lockon.select import select_box

pytest.importorskip("tkinter")
IMAGE = np.zeros((120, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A display, made for these tests where there is none."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    if not shutil.which("Xvfb"):
        pytest.skip("needs a display or Xvfb")
    with subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24"], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        os.environ["DISPLAY"] = f":{server.stdout.readline().decode().strip()}"
        yield os.environ["DISPLAY"]
        del os.environ["DISPLAY"]
        server.terminate()


def act(monkeypatch: pytest.MonkeyPatch, *events: tuple[str, int, int]) -> None:
    """A person: these events, in this order, once the window is there."""

    def person(root: Any) -> None:
        root.update()
        for name, x, y in events:
            root.winfo_children()[0].event_generate(name, x=x, y=y)
        root.quit()

    monkeypatch.setattr("tkinter.Tk.mainloop", person)


@pytest.mark.usefixtures("display")
def test_a_dragged_box_is_returned_in_any_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, ("<ButtonPress-1>", 60, 80), ("<B1-Motion>", 30, 50), ("<B1-Motion>", 20, 30))
    assert select_box(IMAGE) == (20, 30, 40, 50)


@pytest.mark.usefixtures("display")
def test_a_large_picture_is_shown_smaller_and_the_box_is_in_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, ("<ButtonPress-1>", 10, 10), ("<B1-Motion>", 30, 40))
    assert select_box(IMAGE, largest=80) == (20, 20, 40, 60)


@pytest.mark.usefixtures("display")
def test_escape_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    act(monkeypatch, ("<ButtonPress-1>", 10, 10), ("<B1-Motion>", 30, 40), ("<Escape>", 0, 0))
    with pytest.raises(BoxError, match="no box was dragged"):
        select_box(IMAGE)


def test_without_a_display_the_error_says_how_to_give_a_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    with pytest.raises(BoxError, match="--box X,Y,W,H"):
        select_box(IMAGE)
