"""Frames out: MP4 that a browser plays."""

from __future__ import annotations

import os
import stat
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from fractions import Fraction
from io import FileIO
from math import inf, isfinite, sqrt
from numbers import Rational
from pathlib import Path
from typing import Self, cast

import av
import cv2
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from lockon.errors import OutputError
from lockon.pictures import Image, as_rgb
from lockon.video.container import reason
from lockon.video.mp4 import TICKS, GrowingMp4

MAX_PENDING = 4  # images that wait for the encoder
LONGEST_SIDE = 4096  # pixels; with MOST_BLOCKS what H.264's level 5.1 allows, and graphics chips and browsers decode
MOST_BLOCKS = 36_864  # of 16 x 16 pixels in a frame: 4096 x 2304
MOST_BLOCKS_PER_SECOND = 2_073_600  # of level 5.2; players may refuse a file that says more of itself
BLOCKS_PER_THREAD = 2048
MAX_THREADS = 4
KEY_FRAME_SECONDS = 2  # how far players go back when they seek
KEY_FRAMES = (10, 250)  # the fewest and most frames from one to the next
LONGEST_GAP = 6 * 3600 * TICKS  # between frames; players take the 32 bits of a frame's duration for signed
PATIENCE = 4  # frames in a row whose time has gone by, until the source's clock is taken to have started anew
LARGEST_ASPECT = 255
LARGEST_DENOMINATOR = 65_535  # of an aspect: what H.264 has bits for


class VideoWriter:
    """H.264 MP4 that plays in a browser; a context manager.

    Frames keep their times, counted from the first one's, so a variable frame rate survives (see `Clock`).
    The file plays while it grows. A killed process leaves all but the frames that were handed over in the last second,
    by their times and by the clock on the wall as long as the encoder keeps up. A full disk leaves the frames that
    found space. Nothing written leaves no file.
    Pictures of more pixels than decoders take are scaled down, see `video_size`.

    Args:
        path: a new name, or a file to be replaced; never a link, a device or a pipe.
        fps: nominal frames per second, of any size; how long the last frame lasts.
        pixel_aspect: width of a pixel in its heights; what is not between 1/255 and 255 counts as square.

    Raises:
        OutputError: a path that cannot be written, a full disk, or a PyAV without an H.264 encoder.

    >>> with VideoWriter("out.mp4", fps=frames.fps) as out:
    ...     for frame in frames: out.write(frame.image, frame.time)
    """

    def __init__(self, path: str | Path, fps: float, pixel_aspect: Fraction | float = Fraction(1)) -> None:
        if not 0 < fps < inf:
            raise OutputError(f"{path}: fps={fps}; expected a positive number")
        self.path, self.fps = Path(path).absolute(), float(fps)
        self.pixel_aspect = _usual_aspect(pixel_aspect)
        self._codec_name = _h264_encoder()
        self._codec: VideoCodecContext
        self._mp4: GrowingMp4 | None = None
        self._size: tuple[int, int] | None = None  # width and height, known from the first frame on
        self._clock = Clock(self.fps)
        self._closed = self._told = False
        self._failure: BaseException | None = None  # the first one; FFmpeg is left alone after it, as it can crash
        self._encoder = ThreadPoolExecutor(1)  # encodes and writes while the caller makes the next image
        self._pending: deque[tuple[int, Future[None]]] = deque()
        self._file = _create(self.path)

    def write(self, image: Image, time: float) -> None:
        """Appends an image, anything that `as_rgb` takes, for `time` in seconds.

        The first image sets the size, rounded up to even; others are fitted into it with black borders.

        Raises:
            OutputError: the file cannot be written, or is closed.
            SourceError: not an image.
        """
        if self._closed or self._told:
            raise OutputError(f"{self.path}: closed, or failed before; start another file")
        self._tell()
        picture = as_rgb(image)
        if self._size is None:
            width, height = video_size(picture.shape[1], picture.shape[0])
            self._size = width + width % 2, height + height % 2
        fitted = _fit(picture, self._size)
        planes = cast(Image, cv2.cvtColor(fitted, cv2.COLOR_RGB2YUV_I420))  # six times as fast as FFmpeg's
        stamp = self._clock.stamp(time)
        self._wait(stamp)
        self._tell()
        self._pending.append((stamp, self._encoder.submit(self._encode, planes, stamp)))

    def close(self) -> None:
        """Finishes the file. May be called twice.

        Raises:
            OutputError: the file cannot be written, and `write` has not said so yet. What could be written plays.
        """
        if not self._closed:
            self._closed = True
            self._encoder.submit(self._finish)
        self._encoder.shutdown()
        self._tell()

    def _wait(self, stamp: int) -> None:
        """Let the encoder come so close that few images wait, none of them a second older than this one."""
        while self._pending:
            oldest, done = self._pending[0]
            if len(self._pending) < MAX_PENDING and oldest > stamp - TICKS and not done.done():
                return
            done.result()
            self._pending.popleft()

    def _tell(self) -> None:
        if self._failure is not None and not self._told:
            self._told = True
            cause = reason(self._failure) or type(self._failure).__name__
            raise OutputError(f"{self.path}: cannot be written, {cause}") from self._failure

    def _encode(self, planes: Image, stamp: int) -> None:
        """In the encoder's thread: one frame."""
        if self._failure is not None:
            return
        try:
            if self._mp4 is None:
                self._start()
            frame = VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts, frame.time_base = stamp, Fraction(1, TICKS)
            self._add(frame)
        except BaseException as error:
            self._failure = error

    def _add(self, frame: VideoFrame | None) -> None:
        assert self._mp4 is not None
        for packet in self._codec.encode(frame):
            assert packet.pts is not None
            self._mp4.add(bytes(packet), packet.pts, packet.is_keyframe)

    def _start(self) -> None:
        assert self._size is not None
        codec = cast(VideoCodecContext, av.CodecContext.create(self._codec_name, "w"))
        codec.width, codec.height = self._size
        codec.pix_fmt = "yuv420p"  # the one format that every browser plays; needs even sizes
        codec.sample_aspect_ratio = self.pixel_aspect
        codec.colorspace = Colorspace.ITU601  # what the conversion from RGB makes
        codec.color_range = ColorRange.MPEG
        codec.time_base = Fraction(1, TICKS)
        fastest = MOST_BLOCKS_PER_SECOND // _blocks(*self._size)
        codec.framerate = Fraction(min(max(self.fps, 1), fastest)).limit_denominator(1001)
        codec.gop_size = round(min(max(self.fps * KEY_FRAME_SECONDS, KEY_FRAMES[0]), KEY_FRAMES[1]))
        codec.max_b_frames = 0  # they come late, out of order
        codec.thread_count, codec.thread_type = _threads(self._size), "SLICE"  # whole frames in threads come late too
        if self._codec_name == "libx264":  # which otherwise waits for the next frame's time
            codec.options = {"preset": "ultrafast", "crf": "23", "x264-params": "force-cfr=1"}
        self._codec = codec
        self._mp4 = GrowingMp4(self._file, self._size, self._clock.step, self.pixel_aspect)

    def _finish(self) -> None:
        """In the encoder's thread, so that an interrupted caller cannot leave it half done."""
        for step in (self._drain, self._seal, self._close_file):
            try:
                step()
            except BaseException as error:
                self._failure = self._failure or error

    def _drain(self) -> None:
        if self._mp4 is not None and self._failure is None:
            self._add(None)

    def _seal(self) -> None:
        if self._mp4 is not None:
            self._mp4.finish()

    def _close_file(self) -> None:
        with self._file:  # its end, too, can tell of a full disk
            made = os.fstat(self._file.fileno())
        if not self._mp4:
            with suppress(OSError):
                if os.path.samestat(made, self.path.lstat()):
                    self.path.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with suppress(*([OutputError] if kind else [])):  # an error of the block outranks one of closing
            self.close()


class Clock:
    """Turns the times of a source into stamps that rise.

    Stamps are times since the first frame, in ticks of 1/90,000 s.

    - A time that is no number means 'next': a nominal frame after the last one.
    - A time that has just gone by is put directly behind the last one.
    - A time a second or more before the last one's, or the fifth in a row that has gone by, comes from a clock that
      started anew: it means 'next', and later times count from there.
    - A gap of more than six hours is shortened to six hours.

    Args:
        fps: nominal frames per second; a frame lasts at least a tick and at most six hours.
    """

    def __init__(self, fps: float) -> None:
        self.step = round(min(max(TICKS / fps, 1), LONGEST_GAP))
        self._last = -1
        self._late = 0  # frames in a row whose time had gone by
        self._origin: float | None = None  # when the first frame would have been, in seconds of the source

    def stamp(self, time: float) -> int:
        """The stamp of the next frame, whose time in seconds is given."""
        following = self._last + self.step if self._last >= 0 else 0
        self._last = self._place(float(time), following) if isfinite(time) else following
        return self._last

    def _place(self, time: float, following: int) -> int:
        if self._origin is None or self._last < 0:
            return self._anew(time, following)
        elapsed = min(max((time - self._origin) * TICKS, -1e18), 1e18)
        if round(elapsed) > self._last:
            self._late = 0
            return round(elapsed) if elapsed <= self._last + LONGEST_GAP else self._anew(time, self._last + LONGEST_GAP)
        self._late += 1
        if self._late <= PATIENCE and elapsed > self._last - TICKS:
            return self._last + 1
        return self._anew(time, following)

    def _anew(self, time: float, stamp: int) -> int:
        self._origin = time - stamp / TICKS
        return stamp


def video_size(width: int, height: int) -> tuple[int, int]:
    """The width and height in which pictures of a size are drawn and encoded.

    Up to 4096 pixels a side and 36,864 blocks of 16 x 16 (4096 x 2304, 3072 x 3072) it is their own. Larger ones keep
    their aspect as far as even sides can.
    """
    longest = max(width, height)
    limit = min(longest, LONGEST_SIDE)
    if limit == longest and _blocks(width, height) <= MOST_BLOCKS:
        return width, height
    limit = min(limit, int(longest * sqrt(MOST_BLOCKS * 256 / (width * height))) + 16)
    for side in range(limit - limit % 2, 0, -2):
        scaled = _even(width * side / longest), _even(height * side / longest)
        if _blocks(*scaled) <= MOST_BLOCKS:
            break
    return scaled


def _even(length: float) -> int:
    return max(2 * round(length / 2), 2)


def _blocks(width: int, height: int) -> int:
    return -(-width // 16) * -(-height // 16)


def _threads(size: tuple[int, int]) -> int:
    """By the size alone: with another number of threads the same pictures would be other bytes."""
    return min(1 + _blocks(*size) // BLOCKS_PER_THREAD, MAX_THREADS)


def _usual_aspect(aspect: Fraction | float) -> Fraction:
    if not 1 / LARGEST_ASPECT <= aspect <= LARGEST_ASPECT:  # not a number, too
        return Fraction(1)
    exact = Fraction(aspect) if isinstance(aspect, Rational) else Fraction(float(aspect))
    return exact.limit_denominator(LARGEST_DENOMINATOR)


def _h264_encoder() -> str:
    for name in ("libx264", "h264"):  # the second finds whatever encoder this FFmpeg prefers
        with suppress(av.codec.codec.UnknownCodecError):
            return av.Codec(name, "w").name
    raise OutputError("this PyAV has no H.264 encoder; install PyAV from PyPI: pip install av")


def _create(path: Path) -> FileIO:
    """Open a file for writing, empty: a new one, or an ordinary one to be replaced."""
    wait_for_nobody = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    try:
        if os.path.lexists(path):
            _refuse_special(path.lstat().st_mode, path)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | wait_for_nobody, 0o666)
        file = FileIO(descriptor, "wb")
        try:
            _refuse_special(os.fstat(descriptor).st_mode, path)  # what has come there meanwhile
            file.truncate(0)
        except BaseException:
            file.close()
            raise
        return file
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise OutputError(f"{path}: cannot be written, {reason(error)}") from error


def _refuse_special(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path}: cannot be written, Is a directory")
    if not stat.S_ISREG(mode):
        raise OutputError(f"{path}: cannot be written, it is a link, a device or a pipe; give the name of a file")


def _fit(image: Image, size: tuple[int, int]) -> Image:
    """Bring to `size` (width, height): repeat the edge of odd sizes, scale others between black borders."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    if (width + width % 2, height + height % 2) == size:
        padded = cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        return cast(Image, padded)
    if video_size(width, height) == size:
        return _shrink(image, size)
    scale = min(size[0] / width, size[1] / height)
    width, height = max(round(width * scale), 1), max(round(height * scale), 1)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    fitted = np.zeros((size[1], size[0], 3), np.uint8)
    fitted[top : top + height, left : left + width] = _shrink(image, (width, height))
    return fitted


def _shrink(image: Image, size: tuple[int, int]) -> Image:
    """An image in another size (width, height), each pixel the mean of those that it stands for."""
    return cast(Image, cv2.resize(image, size, interpolation=cv2.INTER_AREA))
