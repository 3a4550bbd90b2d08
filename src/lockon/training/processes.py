"""Several processes that train one model: on the GPUs of a machine, on many machines, or on the CPU.

``torchrun`` starts them and tells each by environment variables which it is. Plain ``torch.distributed``, since a step
needs two sums and nothing else: of the loss's divisors before, and of gradients after. A wrapper such as DDP averages
what each process has averaged over its own share, which is not the loss of the whole batch, and must be told which
parameters a batch leaves unused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(hours=1)  # how long the others are waited for; validation takes minutes


@dataclass(frozen=True)
class Team:
    """The processes that train together, and which of them this is; alone where nobody started several."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes files and reports."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over the processes, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def gather(self, value: Any) -> list[Any]:
        """Every process's value, in order."""
        values = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Everyone gets the first process's values, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

    def sum_gradients(self, parameters: Sequence[nn.Parameter], also: Sequence[Tensor] = ()) -> None:
        """Sums gradients over the processes, and other float tensors in place, in one message. A parameter that no
        process has used is left without a gradient."""
        if self.size == 1:
            return
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = grads[0].new_tensor([p.grad is not None for p in parameters])
        tensors = [*grads, used, *also]
        message = self.sum(torch.cat([x.flatten() for x in tensors]))
        for tensor, total in zip(tensors, message.split([x.numel() for x in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))
        for parameter, grad, count in zip(parameters, grads, used.tolist(), strict=True):
            parameter.grad = grad if count else None


@contextmanager
def team_of(device: torch.device) -> Iterator[Team]:
    """The processes that ``torchrun`` started, connected while the context lasts; else this one alone."""
    if "WORLD_SIZE" not in os.environ:
        yield Team()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Team(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Of "cuda" the GPU of this process, by its number on its machine."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))


def own_workers(wanted: int, device: torch.device) -> int:
    """How many processes should make pairs for this one: as many as wanted, or if that is negative as the machine has
    cores for it beside a GPU, and one beside a CPU. That one is left out where this process has but one core: pairs
    made between its steps cost less than a second process that takes turns on it."""
    if wanted >= 0:
        return wanted
    cores = own_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, cores) if device.type == "cuda" else int(cores > 1)


def own_cores() -> int:
    """The cores that this process may use; where the system does not tell, all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
