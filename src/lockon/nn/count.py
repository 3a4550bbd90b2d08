"""Counting multiply-adds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Work = Literal["convolution", "linear", "product"]


def multiply_adds(model: nn.Module, call: Callable[[], Any], *parts: str) -> dict[str, dict[Work, int]]:
    """The multiply-adds of a call, by part of the model and kind of work.

    Counted are convolutions (transposed ones too), linear layers, and products of batches of matrices, such as the
    two of an attention; biases, norms and activations are not. On the meta device a call costs nothing.

    Args:
        call: such as ``lambda: model(images, padding, memory)``.
        parts: names of modules to tell apart; "" in the answer is all that the call does, in whatever module.
    """
    counter = _Counter()
    hooks = []
    for name in parts:
        for module in model.get_submodule(name).modules():  # a part may be called piece by piece
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: counter.open.append(name)))
            hooks.append(module.register_forward_hook(lambda *_, name=name: counter.open.remove(name)))
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:  # attention as the products that it is
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return {name: dict(counter.counts[name]) for name in ("", *parts)}


class _Counter(TorchDispatchMode):
    """Adds up what PyTorch's own formulas say of each operator, for the parts that are being run."""

    def __init__(self) -> None:
        super().__init__()
        self.open = [""]
        self.counts: dict[str, dict[Work, int]] = defaultdict(lambda: {"convolution": 0, "linear": 0, "product": 0})

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            amount = formula(*args, **(kwargs or {}), out_val=out) // 2
            for part in {*self.open}:
                self.counts[part][_kind(str(func))] += amount
        return out


def _kind(operator: str) -> Work:
    if "convolution" in operator:
        return "convolution"
    return "product" if "bmm" in operator else "linear"
