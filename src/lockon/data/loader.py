"""Pairs by number, and batches of them made by other processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from lockon.data.damage import Damage
from lockon.errors import LockonError, printable
from lockon.tracker import PairBatch

ALIGNED = 8  # bytes; where a tensor may begin


class Sampler(Protocol):
    """What draws a pair from a generator alone."""

    def draw(self, rng: Generator) -> PairBatch:
        """One pair, as a batch without its first dimension; may raise ``PictureError``."""


class PairDataset(Dataset[PairBatch]):
    """Pair number ``index`` of a run with ``seed``, whatever the number of workers and restarts.

    Where a picture cannot be used, the same generator draws on, so the pair still depends on nothing else.

    Raises:
        DataError: on drawing, when many pictures cannot be used (see ``Damage``).
    """

    def __init__(self, sampler: Sampler, pairs: int, seed: int) -> None:
        self.sampler, self.pairs, self.seed = sampler, pairs, seed
        self.damage = Damage()

    def __len__(self) -> int:
        return self.pairs

    def __getitem__(self, index: int) -> PairBatch:
        rng = np.random.default_rng([self.seed, index])
        return self.damage.draw(lambda: self.sampler.draw(rng))


def load_pairs(
    dataset: PairDataset, batch: int, start: int, workers: int, rank: int = 0, size: int = 1, pin: bool = False
) -> Iterator[PairBatch]:
    """Batches of pairs in order, from pair ``start`` on; of each, what falls to process ``rank`` of ``size``.

    Args:
        batch: pairs of all processes together, a multiple of ``size``.
        workers: processes that make the pairs; they do so a few batches ahead, as long as the batches are taken.
        pin: keep batches in memory from which a GPU can copy while it computes.

    Raises:
        DataError: many pictures cannot be used.
    """
    share = batch // size
    firsts = range(start + rank * share, len(dataset) - batch + 1 + rank * share, batch)
    parcels = DataLoader(
        dataset,
        batch_sampler=[range(first, first + share) for first in firsts],  # type: ignore[misc]  # lists, but smaller
        collate_fn=wrap,
        num_workers=workers,
        worker_init_fn=_quiet_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
    )
    try:
        yield from map(unwrap, parcels)
    except LockonError as error:  # of a worker: without PyTorch's trace of it
        line_end = printable("\n")  # as messages have it
        before = f"{line_end}{type(error).__module__}.{type(error).__name__}: "
        raise type(error)(str(error).rpartition(before)[2].removesuffix(line_end)) from None


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(0)  # the pictures are small, and the cores belong to the network
    torch.set_num_threads(1)


class Parcel(NamedTuple):
    """A batch in one piece, for what one process sends to another costs time by the tensor: ten of them take more
    than a tenth of the time in which their pairs are made.

    Attributes:
        data: (N,) uint8.
        layout: type and shape of each tensor in it.
    """

    data: Tensor
    layout: Sequence[tuple[torch.dtype, Sequence[int]]]


def wrap(pairs: Sequence[PairBatch]) -> Parcel:
    """Pairs as a batch in one piece."""
    parts = [torch.stack(column) for column in zip(*pairs, strict=True)]
    data = torch.cat(
        [F.pad(flat, (0, -len(flat) % ALIGNED)) for flat in (p.flatten().view(torch.uint8) for p in parts)]
    )
    return Parcel(data, [(part.dtype, part.shape) for part in parts])


def unwrap(parcel: Parcel) -> PairBatch:
    """The batch in a parcel, whose memory it keeps."""
    parts, start = [], 0
    for kind, shape in parcel.layout:
        end = start + math.prod(shape) * kind.itemsize
        parts.append(parcel.data[start:end].view(kind).view(*shape))
        start = end + -end % ALIGNED
    return PairBatch(*parts)
