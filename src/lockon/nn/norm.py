"""Batch norm."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BatchNorm2d(nn.BatchNorm2d):
    """PyTorch's batch norm, with the right gradient of a single map too.

    The stride of a dimension of size one means nothing, so one map whose channels lie innermost, as where it is made of
    tokens, is in channels-last order by some of PyTorch's tests and not by others. On CPUs, in training and in eval
    mode, the backward pass (of release 2.13) takes input and gradient for ordered alike by the one test and picks the
    order in which it reads both by the other: one of them is read wrongly, and nothing tells that the gradients of
    weight, bias and input are wrong.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        if len(x) != 1 or not torch.is_grad_enabled():
            return super().forward(x)
        return super().forward(x.contiguous()).flatten().view_as(x)  # a gradient that was flat has but one order
