"""Frames out: MP4 that a browser plays."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Self, cast

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from lockon.errors import OutputError
from lockon.pictures import Image, as_rgb
from lockon.video.container import reason

MAX_PENDING = 4  # images that wait for the encoder


class VideoWriter:
    """H.264 MP4 that plays in a browser; a context manager.

    Frames keep their times, counted from the first one's, so a variable frame rate survives. A killed process
    leaves a file that plays, short of the last second or so; nothing written leaves no file.
    Raises OutputError for a path that cannot be written, a full disk, or a PyAV without an H.264 encoder.

    >>> with VideoWriter("out.mp4", fps=frames.fps) as out:
    ...     for frame in frames: out.write(frame.image, frame.time)
    """

    _TICK = Fraction(1, 90_000)  # seconds; divides every usual frame rate

    def __init__(self, path: str | Path, fps: float) -> None:
        if not 0 < fps < inf:
            raise OutputError(f"{path}: fps={fps}; expected a positive number")
        self.path, self.fps = Path(path).absolute(), fps
        self._codec = _h264_encoder()
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._origin, self._last = 0.0, -1  # time of the first frame in seconds, stamp of the last in ticks
        self._done = False  # closed or failed
        self._broken = False  # FFmpeg has failed: it can crash when used again
        self._encoder = ThreadPoolExecutor(1)  # encodes while the caller makes the next image
        self._pending: deque[Future[None]] = deque()
        with self._guard():
            self.path.open("wb").close()

    def write(self, image: Image, time: float) -> None:
        """Append an image, anything that `as_rgb` takes, for `time` in seconds; a time gone by means 'next'.

        The first image sets the size, rounded up to even; others are fitted into it with black borders.
        """
        if self._done:
            raise OutputError(f"{self.path}: closed, or failed before; start another file")
        picture = as_rgb(image)
        with self._guard():
            if self._container is None:
                self._origin = time
                self._start(picture)
            size = self._stream.width, self._stream.height
            planes = cast(
                Image, cv2.cvtColor(_fit(picture, size), cv2.COLOR_RGB2YUV_I420)
            )  # six times as fast as FFmpeg's
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            self._last = max(round((time - self._origin) / self._TICK), self._last + 1)
            frame.pts, frame.time_base = self._last, self._TICK
            while len(self._pending) >= MAX_PENDING or (self._pending and self._pending[0].done()):
                self._pending.popleft().result()
            self._pending.append(self._encoder.submit(self._encode, frame))

    def _encode(self, frame: VideoFrame | None) -> None:
        """In the encoder's thread: one frame, or None for the end."""
        if self._broken or self._container is None:
            return
        try:
            self._container.mux(self._stream.encode(frame))
        except BaseException:
            self._broken = True
            raise

    def _start(self, picture: Image) -> None:
        hybrid = av.library_versions["libavformat"] >= (61, 7)  # FFmpeg 7.1: fragments until closed
        movflags = "hybrid_fragmented" if hybrid else "frag_keyframe+empty_moov+default_base_moof"
        options = {"movflags": movflags, "flush_packets": "1"}  # what FFmpeg holds back dies with the process
        self._container = av.open(str(self.path), "w", format="mp4", options=options)
        tuning = {"preset": "ultrafast", "crf": "23"} if self._codec == "libx264" else {}
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = cast(VideoStream, self._container.add_stream(self._codec, rate, options=tuning))
        height, width = picture.shape[:2]
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"  # the one format that every browser plays; needs even sizes
        stream.codec_context.time_base = self._TICK
        stream.codec_context.gop_size = max(round(self.fps), 1)  # a fragment ends where a key frame begins
        stream.codec_context.colorspace = Colorspace.ITU601  # what the conversion from RGB makes
        stream.codec_context.color_range = ColorRange.MPEG
        self._stream = stream
        self._container.start_encoding()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn a failure into OutputError, and leave FFmpeg alone after one: it can crash when used again."""
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._done = True
            raise OutputError(f"{self.path}: cannot be written, {reason(error)}") from error

    def close(self) -> None:
        """Finish the file. May be called twice."""
        failed, self._done = self._done, True
        if self._container is not None and not failed:
            self._pending.append(self._encoder.submit(self._encode, None))
        self._encoder.shutdown()
        container, self._container = self._container, None
        if container is not None and failed:
            with suppress(av.FFmpegError):
                container.close()
        elif container is not None:
            self._finish(container)
        elif not failed and self.path.is_file():
            self.path.unlink()

    def _finish(self, container: OutputContainer) -> None:
        with self._guard():
            try:
                for pending in self._pending:
                    pending.result()
            except av.FFmpegError:
                with suppress(av.FFmpegError):
                    container.close()
                raise
            container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(*([OutputError] if kind else [])):  # an error of the block outranks one of closing
            self.close()


def _h264_encoder() -> str:
    for name in ("libx264", "h264"):  # the second finds whatever encoder this FFmpeg prefers
        with suppress(av.codec.codec.UnknownCodecError):
            return av.Codec(name, "w").name
    raise OutputError("this PyAV has no H.264 encoder; install PyAV from PyPI: pip install av")


def _fit(image: Image, size: tuple[int, int]) -> Image:
    """Bring to `size` (width, height): repeat the edge of odd sizes, scale others between black borders."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    if (width + width % 2, height + height % 2) == size:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        return cast(Image, padded)
    scale = min(size[0] / width, size[1] / height)
    width, height = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    fitted[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return fitted
