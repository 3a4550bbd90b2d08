"""Frames in and out under one name: what ``lockon.video`` and ``lockon.pictures`` have for scripts."""

from lockon.pictures import IMAGE_SUFFIXES, Image, as_rgb, natural_key
from lockon.video import (
    CameraSource,
    Frame,
    FrameSource,
    ImageSource,
    VideoSource,
    VideoWriter,
    ahead,
    open_frames,
    read_ahead,
)

__all__ = [
    "IMAGE_SUFFIXES",
    "CameraSource",
    "Frame",
    "FrameSource",
    "Image",
    "ImageSource",
    "VideoSource",
    "VideoWriter",
    "ahead",
    "as_rgb",
    "natural_key",
    "open_frames",
    "read_ahead",
]
