"""How many CPU threads a network runs in: as many as asked for, else by a rule that has no clock in it.

The number changes the last digits of boxes, since sums are made in another order. A number that was measured would give
other results from one day to the next.
"""

from __future__ import annotations

import os

import torch

from lockon.errors import ModelError
from lockon.tracker import TrackingModel

SMALL = 150e9  # weights times pixels of a search patch, about a billion multiply-adds
MOST = max(64, 4 * (os.cpu_count() or 1))  # many more, and the process ends when PyTorch starts them


def set_threads(threads: int | None, model: TrackingModel) -> None:
    """Lets PyTorch use so many CPU threads in this process, by ``usual_threads`` where no number is given.

    Raises:
        ModelError: as ``check_threads``.
    """
    torch.set_num_threads(usual_threads(model) if threads is None else check_threads(threads))


def check_threads(threads: object) -> int:
    """The number of threads, if it is one that a machine can be asked for.

    Raises:
        ModelError: not a whole number from 1 to ``MOST``.
    """
    if isinstance(threads, int) and not isinstance(threads, bool) and 1 <= threads <= MOST:
        return threads
    shown = threads if isinstance(threads, (int, float)) and abs(threads) < 1e15 else type(threads).__name__
    raise ModelError(f"threads {shown}: give a whole number from 1 to {MOST}, or none for the usual number")


def usual_threads(model: TrackingModel) -> int:
    """One thread for a small network, all that PyTorch has for a large one.

    A small network gains little from a second thread, and PyTorch's threads wait for each other at every layer: beside
    another busy process two of them can be many times slower than one.
    """
    work = sum(weights.numel() for weights in model.parameters()) * model.search_crop.size**2
    return 1 if work < SMALL else torch.get_num_threads()
