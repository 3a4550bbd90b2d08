"""Frames in and out: video files, streams, image folders and cameras in; MP4 that a browser plays out.

Images are RGB uint8 (H, W, 3). No source holds more than a few frames, so memory stays flat.
"""

from lockon.video.camera import CameraSource
from lockon.video.container import VideoSource
from lockon.video.images import ImageSource
from lockon.video.reader import open_frames
from lockon.video.source import Frame, FrameSource, ahead, read_ahead
from lockon.video.writer import VideoWriter

__all__ = [
    "CameraSource",
    "Frame",
    "FrameSource",
    "ImageSource",
    "VideoSource",
    "VideoWriter",
    "ahead",
    "open_frames",
    "read_ahead",
]
