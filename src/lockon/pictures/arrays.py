"""Pictures in memory."""

from __future__ import annotations

import warnings
from typing import Any, cast

import cv2
import numpy as np
import numpy.typing as npt

from lockon.errors import SourceError

Image = npt.NDArray[np.uint8]
Raw = npt.NDArray[Any]  # (H, W) or (H, W, 3) RGB, of the file's own type
FEW_LEVELS = 16  # of 256: 16-bit values within so few high bytes are most likely counts of a sensor


def as_rgb(image: object) -> Image:
    """Any usual picture as RGB uint8 (H, W, 3), without a copy where it is one already.

    Takes NumPy arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), alpha dropped, and torch tensors (H, W, 3)
    or (3, H, W) on any device; uint8, uint16 (high byte kept), bool, or float in [0, 1], in either order of bytes.
    Warns where 16-bit values use so little of their range that hardly any contrast is left. Else SourceError.
    """
    array = _to_numpy(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise SourceError(f"not an image: shape {array.shape}; expected (H, W) or (H, W, 1, 3 or 4)")
    if array.shape[2] == 4:
        array = array[..., :3]
    array = _to_uint8(array)
    if array.shape[2] == 1:
        return cast(Image, cv2.cvtColor(np.ascontiguousarray(array), cv2.COLOR_GRAY2RGB))
    return np.ascontiguousarray(array)


def native(array: Raw) -> Raw:
    """The same values in this machine's order of bytes, without a copy where they are."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def high_byte(array: Raw) -> Image:
    """Gives the upper 8 of 16 bits."""
    return (array >> 8).astype(np.uint8)


def turn(image: Raw, orientation: int) -> Raw:
    """Brings a picture upright whose pixels are stored in one of Exif's orientations, 1 to 8."""
    if orientation >= 5:
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def from_bgr(image: npt.NDArray[Any]) -> Image:
    """Gives (H, W, 3) RGB uint8 of a picture in OpenCV's order of channels."""
    return as_rgb(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _to_numpy(image: object) -> Raw:
    if isinstance(image, np.ndarray):
        return native(image)
    if not hasattr(image, "detach"):  # how a torch tensor is told without importing torch
        raise SourceError(f"not an image: {type(image).__name__}; give a NumPy array or a torch tensor")
    tensor: Any = image.detach().cpu()
    array: Raw = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    planar = array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3
    return array.transpose(1, 2, 0) if planar else array


def _to_uint8(array: Raw) -> Image:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        _warn_of_few_levels(array)
        return high_byte(array)
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise SourceError(f"not an image: {array.dtype}; expected uint8, uint16, bool or float in [0, 1]")
    low, high = array.min(), array.max()
    if not (low >= -1e-3 and high <= 1.001):  # resampling overshoots a little; NaN fails both
        raise SourceError(f"not an image: floats from {low:g} to {high:g}; scale them to [0, 1]")
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


def _warn_of_few_levels(array: Raw) -> None:
    low, high = int(array.min()), int(array.max())
    levels = (high >> 8) - (low >> 8) + 1
    if low < high and levels < FEW_LEVELS:
        warnings.warn(
            f"16-bit values from {low} to {high} become {levels} of 256 grey levels, since the high byte is kept; "
            "scale all pictures alike before, such as ((image - low) / (high - low)).clip(0, 1)",
            stacklevel=4,  # the caller of as_rgb
        )
