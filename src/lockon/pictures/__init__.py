"""Pictures on disk and in memory: the one place where they are opened, decoded and become RGB uint8 (H, W, 3).

- ``files``: which files are pictures, and their bytes.
- ``decoding``: bytes to pixels, whatever the format, and what is known against them; ``jpeg``, ``png``, ``tiff`` and
  ``opencv`` (everything else) do the work.
- ``pages``: files that hold several pictures, stacks (``tiff``) and animations (``animation``).
- ``arrays`` and ``levels``: pixels of other types than uint8.
"""

from lockon.pictures.arrays import Image, Raw, as_rgb, from_bgr
from lockon.pictures.decoding import decode, unpack
from lockon.pictures.files import (
    IMAGE_SUFFIXES,
    Frames,
    NumberedFrames,
    PictureFile,
    is_file,
    kind_of,
    natural_key,
    open_file,
    read_file,
)
from lockon.pictures.levels import Levels, Range
from lockon.pictures.opencv import reason
from lockon.pictures.pages import Page, holds_several, pages

__all__ = [
    "IMAGE_SUFFIXES",
    "Frames",
    "Image",
    "Levels",
    "NumberedFrames",
    "Page",
    "PictureFile",
    "Range",
    "Raw",
    "as_rgb",
    "decode",
    "from_bgr",
    "holds_several",
    "is_file",
    "kind_of",
    "natural_key",
    "open_file",
    "pages",
    "read_file",
    "reason",
    "unpack",
]
