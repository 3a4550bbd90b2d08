"""Frames in and out: video files, streams, image folders and cameras in; MP4 that a browser plays out.

Images are RGB uint8 (H, W, 3). No source holds more than a few frames, so memory stays flat.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from fractions import Fraction
from functools import partial
from glob import glob
from itertools import islice, takewhile
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple, Self, TypeVar, cast
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from lockon.errors import FrameError, OutputError, SourceError

T = TypeVar("T")
Image = npt.NDArray[np.uint8]
RawFrames = Generator[tuple[float, Callable[[], Image]], None, None]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
NOMINAL_FPS = 30.0  # where a source does not say
STREAM_TIMEOUT = 10.0  # seconds without data before a network stream counts as lost
MAX_PENDING = 4  # images that wait for the encoder
END_SLACK = 0.1  # seconds, and a frame, by which a healthy Matroska or AVI file may end before it says


class Frame(NamedTuple):
    """One frame: its 0-based number in the source, its image, its seconds since the source's first frame."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here
    image: Image
    time: float


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key that puts `img2` before `img10`; equal numbers (`01`, `1`) fall back to the plain text."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if part.isdecimal() else part for part in parts], name


def as_rgb(image: object) -> Image:
    """Any usual picture as RGB uint8 (H, W, 3), without a copy where it is one already.

    Takes NumPy arrays (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), alpha dropped, and torch tensors (H, W, 3)
    or (3, H, W) on any device; uint8, uint16 (high byte kept), bool, or float in [0, 1]. Else SourceError.
    """
    array = _to_numpy(image)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise SourceError(f"not an image: shape {array.shape}; expected (H, W) or (H, W, 1, 3 or 4)")
    if array.shape[2] == 4:
        array = array[..., :3]
    array = _to_uint8(array)
    return np.ascontiguousarray(array if array.shape[2] == 3 else array.repeat(3, axis=2))


def _to_numpy(image: object) -> npt.NDArray[Any]:
    if isinstance(image, np.ndarray):
        return image
    if not hasattr(image, "detach"):  # how a torch tensor is told without importing torch
        raise SourceError(f"not an image: {type(image).__name__}; give a NumPy array or a torch tensor")
    tensor: Any = image.detach().cpu()
    array: npt.NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
    planar = array.ndim == 3 and array.shape[0] == 3 and array.shape[2] != 3
    return array.transpose(1, 2, 0) if planar else array


def _to_uint8(array: npt.NDArray[Any]) -> Image:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    if array.dtype == np.bool_:
        return array * np.uint8(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise SourceError(f"not an image: {array.dtype}; expected uint8, uint16, bool or float in [0, 1]")
    low, high = array.min(), array.max()
    if not (low >= -1e-3 and high <= 1.001):  # resampling overshoots a little; NaN fails both
        raise SourceError(f"not an image: floats from {low:g} to {high:g}; scale them to [0, 1]")
    return (array.clip(0, 1) * 255).round().astype(np.uint8)


class FrameSource(ABC):
    """The frames of one source in order: an iterator, and a context manager that closes what it opened.

    `name` suits an output file; `size` is (width, height) of the first frame, upright; `fps` is nominal;
    `length` is the number of frames to come, as known when opened, else None; a `live` source does not wait.
    Raises FrameError at a fault, after every good frame before it.
    """

    live = False

    def __init__(self, place: str, name: str, fps: float, total: int | None, start: int, end: int | None) -> None:
        self.name, self.fps, self._place = name, fps, place
        self.length = None if total is None else max(min(total, end or total) - start, 0)
        self._count = 0  # frames read so far, skipped ones too: the number of the next one
        self._raw = self._read()
        self._kept = self._keep(start, end)
        try:  # the first frame is read here, so that a bad source fails when it is opened
            self._first = next(self._kept, None)
            if self._first is None:
                has = f"{self._count} frames, start={start} is past the end" if self._count else "no frames"
                raise SourceError(f"{place}: has {has}")
        except BaseException:
            self.close()
            raise
        height, width = self._first.image.shape[:2]
        self.size = (width, height)

    @abstractmethod
    def _read(self) -> RawFrames:
        """Every frame as (seconds, call that makes the image); of skipped frames no image is made."""

    def _keep(self, start: int, end: int | None) -> Iterator[Frame]:
        for time, image in islice(self._raw, end):
            index = self._count
            self._count += 1
            if index >= start:
                yield Frame(index, image(), time)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        first, self._first = self._first, None
        return first or next(self._kept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file or device; no frames come after. May be called twice."""
        self._first = None
        self._raw.close()


class _Damage(Exception):
    """A fault that FFmpeg marks without raising."""


class VideoSource(FrameSource):
    """A video file, or a network stream (`live`), through PyAV: upright, at its own presentation times.

    A file fails at its first fault; a stream shrugs off damage and fails when the connection does.
    """

    def __init__(self, source: str | Path, start: int = 0, end: int | None = None, live: bool = False) -> None:
        self.live = live
        self._container, self._stream = _open_video(source, live)
        self._stream.thread_type = "AUTO"
        self._tick = float(self._stream.time_base or 1)  # seconds
        promise = (None, None) if live else _promise(self._container, self._stream)
        self._promised_packets, self._promised_end = promise
        kind, context = self._container.format.name, self._stream.codec_context
        self._stamped = not (kind == "avi" and context.has_b_frames)  # AVI stores no order but that of decoding
        self._origin: int | None = None  # stamp of the first frame
        self._packets = 0
        self._fed: list[int] = []  # stamps of packets in decoding order, until their frames are given out
        self._held: list[VideoFrame] = []  # frames decoded, in order of time, that a fault may still spoil
        self._fed_end, self._shown_end = -inf, inf  # in seconds on the container's clock
        fps = float(self._stream.guessed_rate or self._stream.average_rate or NOMINAL_FPS)
        name = Path(urlsplit(str(source)).path if live else source).stem or "stream"
        super().__init__(str(source), name, fps, self._promised_packets, start, end)

    def _read(self) -> RawFrames:
        with self._container:
            try:
                for frame in self._decode_stream() if self.live else self._decode_file():
                    yield self._time(frame), partial(_upright, frame)
            except (av.FFmpegError, _Damage) as error:
                for frame in self._salvage():
                    yield self._time(frame), partial(_upright, frame)
                text = f"{self._place}: damaged at frame {self._count}, {_reason(error)}"
                advice = f"; the frames before are good, end={self._count} stops there" if self._count else ""
                raise FrameError(text + advice, self._count) from error

    def _time(self, frame: VideoFrame) -> float:
        if not self._stamped or frame.pts is None:
            return self._count / self.fps
        self._origin = frame.pts if self._origin is None else self._origin
        self._shown_end = (frame.pts + (frame.duration or 0)) * self._tick
        return (frame.pts - self._origin) * self._tick

    def _decode_stream(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            with suppress(av.FFmpegError):
                yield from self._stream.decode(packet)

    def _decode_file(self) -> Iterator[VideoFrame]:
        for packet in self._container.demux(self._stream):
            if packet.size == 0:  # PyAV's end mark or an empty sample; a decoder takes both for the end
                continue
            if not packet.is_discard:
                self._feed(packet)
            if packet.is_corrupt:
                raise _Damage("a packet is incomplete")
            yield from self._admit(self._stream.decode(packet))
        tail = self._admit(self._stream.decode(None))
        if self._is_short():
            yield from takewhile(self._follows, tail)
            self._held.clear()
            raise _Damage("the file ends too early")
        yield from tail
        if set(self._fed) - {frame.pts for frame in self._held} and self._is_one_to_one():
            raise _Damage("the picture is missing")  # PyAV does not report a decoder's last errors
        yield from self._held

    def _is_one_to_one(self) -> bool:
        """Does every packet make a frame? Not in broadcast formats, with fields, nor MPEG-4, with `same again`."""
        packaged = self._container.format.name.startswith(("mov", "matroska"))
        return packaged and self._stream.codec_context.name != "mpeg4"

    def _feed(self, packet: Packet[VideoStream]) -> None:
        self._packets += 1
        if self._stamped and packet.pts is not None:
            self._fed.append(packet.pts)
            self._fed_end = max(self._fed_end, (packet.pts + (packet.duration or 0)) * self._tick)

    def _is_short(self) -> bool:
        """Did the file end before its own index or header said?"""
        if self._promised_packets is not None and self._packets < self._promised_packets:
            return True
        end = self._fed_end if self._stamped else self._packets / self.fps
        return self._promised_end is not None and self._promised_end - end > END_SLACK + 1 / self.fps

    def _follows(self, frame: VideoFrame) -> bool:
        """Is no frame missing before this one? Where a file is cut, later frames may stand before earlier ones."""
        gap = (frame.pts or 0) * self._tick - self._shown_end
        return not self._stamped or gap < 0.5 / self.fps

    def _admit(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            if frame.is_corrupt:  # the decoder has painted over what is missing
                raise _Damage("the picture is incomplete")
            self._held.append(frame)
            came = {held.pts for held in self._held}
            # Frames come in order of time; what is overdue never comes, as frames before the first key frame.
            shown = inf if frame.pts is None else frame.pts
            self._fed = [stamp for stamp in self._fed if stamp in came or stamp > shown]
            yield from self._settled()

    def _settled(self) -> Iterator[VideoFrame]:
        """Give out held frames as long as all that was fed or is shown before them has come out whole.

        A frame is often coded from one that is shown later, and whether that is whole shows only then.
        """
        while self._held:
            came = {frame.pts for frame in self._held}
            stamp = self._held[0].pts
            place = self._fed.index(stamp) if stamp in self._fed else 0
            before = (s for i, s in enumerate(self._fed) if i < place or (stamp is not None and s < stamp))
            if any(s not in came for s in before):
                return
            self._fed = [s for s in self._fed if s != stamp]
            yield self._held.pop(0)

    def _salvage(self) -> Iterator[VideoFrame]:
        """Good frames still inside the decoder. Its threads run ahead, so frames behind the fault come out too."""
        with suppress(av.FFmpegError):
            self._held += [frame for frame in self._stream.decode(None) if not frame.is_corrupt]
        yield from self._settled() if self._stamped else ()


def _open_video(source: str | Path, live: bool) -> tuple[InputContainer, VideoStream]:
    # Absolute, because FFmpeg takes `a:b.mp4` for something of protocol `a`.
    address = str(source) if live else str(Path(source).absolute())
    try:
        container = av.open(address, timeout=STREAM_TIMEOUT if live else None)
    except (av.FFmpegError, OSError) as error:
        kind = "stream" if live else "video"
        raise SourceError(f"{source}: not a {kind} that can be read, {_reason(error)}") from error
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos or container.format.name == "tty":  # FFmpeg shows plain text as a terminal would
        container.close()
        raise SourceError(f"{source}: not a video, it has no video stream")
    return container, videos[0]


def _promise(container: InputContainer, stream: VideoStream) -> tuple[int | None, float | None]:
    """What a file says of itself, by index or header: (packets, seconds at the end), None where unsaid."""
    kind, tick = container.format.name, float(stream.time_base or 0)
    indexed = sum(1 for entry in stream.index_entries if entry.size and not entry.is_discard)
    if kind.startswith("mov"):  # the frame count of the header ignores edit lists and fragments
        return indexed or None, None
    if kind == "avi":  # the header counts slots, some empty; a cut file has lost the index at its end
        return (indexed if indexed == stream.frames else None), stream.frames * tick
    if not kind.startswith("matroska") or not container.duration:
        return None, None
    seconds = container.duration / av.time_base  # of the longest stream; FFmpeg and mkvmerge note each one's own
    own = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if own:
        return None, min(seconds, 3600 * int(own[1]) + 60 * int(own[2]) + float(own[3]))
    return None, seconds if len(container.streams) == 1 else None


def _upright(frame: VideoFrame) -> Image:
    image = cast(Image, frame.to_ndarray(format="rgb24"))
    if frame.format.name == "rgb24":  # not converted, so still the decoder's own memory
        image = image.copy()
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))  # both counter-clockwise


def _reason(error: BaseException) -> str:
    if isinstance(error, av.error.ExitError):
        return f"no data for {STREAM_TIMEOUT:g} s"
    return getattr(error, "strerror", None) or str(error)


class ImageSource(FrameSource):
    """Image files as frames at a nominal rate, each of its own size; OpenCV applies EXIF orientation."""

    def __init__(self, files: list[Path], name: str, start: int = 0, end: int | None = None) -> None:
        self._files = files
        super().__init__(str(files[0].parent), name, NOMINAL_FPS, len(files), start, end)

    def _read(self) -> RawFrames:
        for index, file in enumerate(self._files):
            yield index / self.fps, partial(_load_image, file, index)


def _load_image(file: Path, index: int) -> Image:
    try:
        data = np.fromfile(file, np.uint8)  # and not imread, which fails on non-Latin paths under Windows
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None  # 16 bit and alpha are reduced
    except (OSError, cv2.error) as error:
        raise FrameError(f"{file}: frame {index} cannot be read, {_reason(error)}", index) from error
    if image is None:
        raise FrameError(f"{file}: frame {index} cannot be read, it is empty, cut or no image", index)
    return _from_bgr(image)


def _from_bgr(image: npt.NDArray[Any]) -> Image:
    return as_rgb(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def _open_capture(index: int) -> Any:
    return cv2.VideoCapture(index)


class CameraSource(FrameSource):
    """A local camera through OpenCV; times are times of arrival."""

    live = True

    def __init__(self, index: int, start: int = 0, end: int | None = None) -> None:
        self._capture = _open_capture(index)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(f"no camera {index}: check its cable, permissions, and who else is using it")
        fps = float(self._capture.get(cv2.CAP_PROP_FPS)) or NOMINAL_FPS
        super().__init__(f"camera {index}", f"camera{index}", fps, None, start, end)

    def _read(self) -> RawFrames:
        origin = None
        try:
            while True:
                good, bgr = self._capture.read()
                if not good:
                    break
                now = monotonic()
                origin = now if origin is None else origin
                yield now - origin, partial(_from_bgr, bgr)
        finally:
            self._capture.release()
        state = f"stopped after frame {self._count - 1}" if self._count else "gives no frames"
        raise FrameError(f"{self._place} {state}: check its cable and who else is using it", self._count)


def open_frames(source: str | Path | int, start: int = 0, end: int | None = None) -> FrameSource:
    """Open anything that gives frames and keep those numbered `start` to `end` - 1.

    `source` is a video file, an image, a folder or glob of images (taken in natural order), a camera number,
    or the address of a network stream. Raises SourceError here, not later, if no frame can be had.

    >>> with open_frames("clip.mp4", start=10) as frames:
    ...     for index, image, time in frames: ...
    """
    if start < 0 or (end is not None and end <= start):
        raise SourceError(f"{source}: no frames from start={start} to end={end}; expected 0 <= start < end")
    if isinstance(source, int):
        return CameraSource(source, start, end)
    text, path = str(source), Path(source)
    if "://" in text:
        return VideoSource(text, start, end, live=True)
    if path.is_dir():
        return ImageSource(_images(text, path.iterdir()), path.resolve().name, start, end)
    if path.suffix.lower() in IMAGE_SUFFIXES and path.exists():
        return ImageSource([path], path.stem, start, end)
    if path.exists():
        return VideoSource(path, start, end)
    if text.isdecimal():
        return CameraSource(int(text), start, end)
    if set(text) & set("*?["):
        files = _images(text, map(Path, glob(text, recursive=True)))
        return ImageSource(files, files[0].resolve().parent.name, start, end)
    raise SourceError(_missing(path))


def _images(source: str, candidates: Iterable[Path]) -> list[Path]:
    files = [p for p in candidates if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not files:
        raise SourceError(f"{source}: no images there; looked for {' '.join(IMAGE_SUFFIXES)}")
    return sorted(files, key=lambda file: natural_key(str(file)))


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"{path}: no such file, nor a folder {path.parent}"
    near = get_close_matches(path.name, [p.name for p in path.parent.iterdir()])
    return f"{path}: no such file" + (f"; did you mean {' or '.join(near)}?" if near else "")


@contextmanager
def read_ahead(frames: FrameSource) -> Iterator[Iterator[Frame]]:
    """The frames of a source, the next one read in a thread while the caller works on one; leave before closing it.

    A live source is not read ahead: its next frame would be old by the time it is used.
    """
    if frames.live:
        yield iter(frames)
        return
    with ThreadPoolExecutor(1) as reader:
        yield ahead(frames, reader)


def ahead(items: Iterator[T], reader: Executor) -> Iterator[T]:
    """The same items, the next one made by ``reader`` while the caller works on one."""
    coming = reader.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = reader.submit(next, items, None)
        yield item


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
            raise OutputError(f"{self.path}: cannot be written, {_reason(error)}") from error

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
