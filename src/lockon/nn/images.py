"""From pixels to what a pretrained network was fed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


class Normalise(nn.Module):
    """(B, 3, H, W) RGB, 0 to 255, to zero mean and unit deviation over ImageNet; its constants are in no checkpoint."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", 255 * torch.tensor(PIXEL_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", 255 * torch.tensor(PIXEL_STD)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """uint8 or float images to the module's own float type."""
        return (images.to(self.mean.dtype) - self.mean) / self.std
