"""Bytes of a picture to its pixels, whatever the format: the one place that knows what is wrong with a picture."""

from __future__ import annotations

from io import BytesIO

import numpy as np

from lockon.errors import PictureError
from lockon.pictures import jpeg, opencv, png, tiff
from lockon.pictures.arrays import Image, Raw, as_rgb, high_byte


def unpack(data: bytes, *, upright: bool = True) -> tuple[Raw, str]:
    """Pixels of a picture, of a file with several the first, and what is known against them.

    Args:
        data: a file's content; what it is, it says itself, whatever its name.
        upright: apply the orientation that the file asks for.

    Returns:
        (H, W) or (H, W, 3) RGB in the file's own type, and in a few words why the pixels may be wrong, else nothing.

    Raises:
        PictureError: it is no picture, ends too early, is too large, or is damaged so that no picture comes out.
    """
    if not data:
        raise PictureError("it is empty")
    if data.startswith(jpeg.HEADER):
        return jpeg.unpack(data, upright)
    if data.startswith(png.HEADER):
        return png.unpack(data, upright), ""
    if data.startswith(tiff.HEADERS):
        return tiff.unpack(BytesIO(data), upright)
    return opencv.unpack(data, upright), ""


def decode(data: bytes) -> Image:
    """A picture's bytes to (H, W, 3) uint8 RGB, in the orientation of the file's pixels, which annotations refer to.

    Raises:
        PictureError: not a picture, or one that ends too early.
    """
    try:
        picture, _ = unpack(data, upright=False)
    except PictureError as error:
        if "ends too early" in str(error):
            raise PictureError("the picture ends too early") from None
        raise PictureError(f"the picture is not a readable JPEG or PNG: {error}") from None
    if picture.dtype == np.uint16:
        picture = high_byte(picture)
    if picture.dtype != np.uint8:
        raise PictureError(f"the picture has values of type {picture.dtype}; 8 or 16 bits are read")
    return as_rgb(picture)
