"""Video files and network streams, through PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from itertools import takewhile
from math import inf
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lockon.errors import FrameError, SourceError
from lockon.pictures import Image
from lockon.video.source import NOMINAL_FPS, FrameSource, RawFrames

STREAM_TIMEOUT = 10.0  # seconds without data before a network stream counts as lost
END_SLACK = 0.1  # seconds, and a frame, by which a healthy Matroska or AVI file may end before it says


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
                text = f"{self._place}: damaged at frame {self._count}, {reason(error)}"
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
        raise SourceError(f"{source}: not a {kind} that can be read, {reason(error)}") from error
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


def _upright(frame: VideoFrame) -> tuple[Image, str]:
    image = cast(Image, frame.to_ndarray(format="rgb24"))
    if frame.format.name == "rgb24":  # not converted, so still the decoder's own memory
        image = image.copy()
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90))), ""  # both counter-clockwise


def reason(error: BaseException) -> str:
    """Says why FFmpeg or the system failed, in a few words."""
    if isinstance(error, av.error.ExitError):
        return f"no data for {STREAM_TIMEOUT:g} s"
    return getattr(error, "strerror", None) or str(error)
