"""A window in which a person drags a box over the first frame."""

from __future__ import annotations

import cv2
import numpy as np

from lockon.boxes import Box
from lockon.errors import BoxError

HOW = "give the target as --box X,Y,W,H in pixels of the first frame (top-left corner, width, height)"

HELP = "drag a box over the target; Enter takes it, Escape gives up"


def select_box(image: np.ndarray, largest: int = 1200) -> Box:
    """Shows an (H, W, 3) uint8 RGB image, scaled down to ``largest`` pixels, and returns the box that is dragged.

    Raises:
        BoxError: there is no display, or the window was closed without a box.
    """
    try:
        import tkinter  # not part of every Python
    except ImportError:
        raise BoxError(f"no box was given, and this Python has no tkinter to ask for one: {HOW}") from None
    try:
        root = tkinter.Tk()
    except tkinter.TclError:
        raise BoxError(f"no box was given, and there is no display to drag one on: {HOW}") from None
    scale = min(1.0, largest / max(image.shape[:2]))
    shown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    height, width = shown.shape[:2]
    header = f"P6 {width} {height} 255 ".encode()
    root.title(f"lockon: {HELP}")
    picture = tkinter.PhotoImage(master=root, data=header + shown.tobytes(), format="PPM")
    canvas = tkinter.Canvas(root, width=width, height=height, cursor="cross", highlightthickness=0)
    canvas.create_image(0, 0, image=picture, anchor="nw")
    canvas.create_text(10, 10, text=HELP, anchor="nw", fill="#40dc60")
    canvas.pack()
    frame = canvas.create_rectangle(0, 0, 0, 0, outline="#40dc60", width=2)
    corners = [0, 0, 0, 0]

    def press(event: tkinter.Event[tkinter.Canvas]) -> None:
        corners[:] = [event.x, event.y, event.x, event.y]
        canvas.coords(frame, *corners)

    def drag(event: tkinter.Event[tkinter.Canvas]) -> None:
        corners[2:] = [min(max(event.x, 0), width), min(max(event.y, 0), height)]
        canvas.coords(frame, *corners)

    def give_up(_: object = None) -> None:
        corners[:] = [0, 0, 0, 0]
        root.quit()

    canvas.bind("<ButtonPress-1>", press)
    canvas.bind("<B1-Motion>", drag)
    root.bind("<Return>", lambda _: root.quit())
    root.bind("<Escape>", give_up)
    root.protocol("WM_DELETE_WINDOW", give_up)
    root.focus_force()  # keys go to the window without a click
    root.mainloop()
    root.destroy()
    x, y = min(corners[0], corners[2]), min(corners[1], corners[3])
    w, h = abs(corners[2] - corners[0]), abs(corners[3] - corners[1])
    if not (w and h):
        raise BoxError(f"no box was dragged: {HOW}")
    return x / scale, y / scale, w / scale, h / scale
