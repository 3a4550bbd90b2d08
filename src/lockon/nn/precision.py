"""Number types."""

from __future__ import annotations

import torch
from torch import Tensor


def full(x: Tensor) -> Tensor:
    """A tensor in float32, or in its own type where that is wider: for what half precision would spoil."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
