"""Video files and network streams, through PyAV."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, suppress
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import inf
from pathlib import Path
from time import monotonic
from typing import cast

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lockon.errors import FrameError
from lockon.pictures import Image
from lockon.video import opening
from lockon.video.clock import Clock
from lockon.video.damage import Ledger
from lockon.video.layouts import Damage, Watch, find_layout
from lockon.video.opening import choose_stream, open_container, reason, stream_name
from lockon.video.orientation import Matrix, Orientation, is_quarter, nearest, upright
from lockon.video.source import NOMINAL_FPS, FrameSource, RawFrames
from lockon.video.starts import can_begin

END_SLACK = 0.1  # seconds, and a frame, by which a healthy Matroska or AVI file may end before it says
# HEVC and JPEG decoders pass over damage unless told to stop there, and stop at nothing else. That of H.264 leaves out
# pictures where the file does not say how far they are out of order, unless told to wait for as many as there can be.
OPTIONS = {"hevc": {"err_detect": "explode"}, "mjpeg": {"err_detect": "explode"}, "h264": {"strict": "1"}}
PATIENCE = 300  # packets to wait for one that decoding can begin with
LONGEST_WAIT = 60.0  # seconds for the next picture of a stream, while packets come
JOINT = 2  # packets before the first of a joined recording that may be marked as incomplete

__all__ = ["VideoSource", "reason"]


class VideoSource(FrameSource):
    """A video file, or a network stream (`live`), through PyAV: upright, at its own presentation times.

    A file fails at its first fault; a stream shrugs off damage and fails when the connection does. Where recordings
    were joined, time goes on though their clocks start anew.
    """

    def __init__(self, source: str | Path, start: int = 0, end: int | None = None, live: bool = False) -> None:
        self.live = live
        self._container = open_container(source, live)
        try:
            self._stream, remark = choose_stream(self._container, str(source))
            watch = Watch(None if live else find_layout(Path(source), self._container, self._stream))
        except BaseException:
            self._container.close()
            raise
        self._watch = watch
        kind, context = self._container.format.name, self._stream.codec_context
        self._prepare(kind)
        self._tick = float(self._stream.time_base or 1)  # seconds
        promise = (None, None) if live else _promise(self._container, self._stream)
        self._promised_packets, self._promised_end = promise
        stamped = not (kind == "avi" and context.has_b_frames)  # AVI stores no order but that of decoding
        self._stamped = stamped
        self._ledger = Ledger(self._stream, stamped, kind.startswith(("mov", "matroska")))
        self._packets = 0
        self._heard = self._asked = 0.0  # when a stream last sent a packet, and when its next picture was asked for
        self._codec, self._begun = context.codec.canonical_name, False
        self._origin: int | None = None  # stamp of the first frame
        self._shown, self._shown_end = -inf, inf  # seconds since that of the last frame, and its end on the clock
        fps = float(self._stream.guessed_rate or self._stream.average_rate or NOMINAL_FPS)
        self._clock = Clock(self._tick, fps)
        name = stream_name(str(source)) if live else Path(source).stem
        self._remarks = [remark] if remark else []
        self._stored_aspect = self._stream.sample_aspect_ratio or Fraction(1)
        self._orientation = Orientation()
        super().__init__(str(source), name, fps, self._promised_packets, start, end)

    def _prepare(self, kind: str) -> None:
        context = self._stream.codec_context
        self._stream.thread_type = "AUTO"
        if not self.live:
            context.options = OPTIONS.get(context.codec.canonical_name, {})
        if kind in ("hls", "dash"):  # do not fetch what is not used
            for other in self._container.streams:
                if other is not self._stream:
                    other.discard = Discard.all

    def _read(self) -> RawFrames:
        self.notes.extend(self._remarks)
        with self._container, closing(self._watch):
            try:
                for frame, fault in self._decode_stream() if self.live else self._decode_file():
                    yield self._time(frame), partial(self._make, frame, fault)
            except (av.FFmpegError, Damage, OSError) as error:
                saved = self._ledger.salvage(self._drained())
                for frame in self._ledger.until_gap(saved, self._shown_end, self.fps):
                    yield self._time(frame), partial(self._make, frame, "")
                raise self._fault(error) from error

    def _fault(self, error: BaseException) -> FrameError:
        text = f"{self._place}: damaged at frame {self._count}, {reason(error)}"
        if self.live:
            text = f"{self._place}: broke off at frame {self._count}, {reason(error)}"
        advice = f"; the frames before are good, end={self._count} stops there" if self._count and not self.live else ""
        return FrameError(text + advice, self._count)

    def _time(self, frame: VideoFrame) -> float:
        if not self._stamped or frame.pts is None:
            return self._count / self.fps
        self._origin = frame.pts if self._origin is None else self._origin
        self._shown_end = frame.pts * self._tick + ((frame.duration or 0) * self._tick or 1 / self.fps)
        seconds = (frame.pts - self._origin) * self._tick
        self._shown = seconds if seconds >= self._shown else self._shown + 1 / self.fps
        return self._shown

    def _decode_stream(self) -> Iterator[tuple[VideoFrame, str]]:
        """Frames of a stream, with what is known against each."""
        bad: int | None = None  # stamp from which pictures are coded from a damaged one
        shown: int | None = None  # that of the last frame
        self._heard = self._asked = monotonic()
        for packet in self._live_packets():
            frames: list[VideoFrame] = []
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                bad = None if shown is None else shown + 1
            for frame in frames:
                shown = (shown or 0) + 1 if frame.pts is None else frame.pts
                if frame.is_corrupt:
                    bad = shown
                elif frame.key_frame:
                    bad = None
                fault = "coded from a damaged picture" if bad is not None and shown >= bad else ""
                yield frame, "the picture is incomplete" if frame.is_corrupt else fault
                self._heard = self._asked = monotonic()

    def _live_packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets of a stream, and None where the decoder is to give what it holds."""
        for packet in self._container.demux():
            now = monotonic()
            if packet.stream is self._stream and packet.size:
                picture = cast("Packet[VideoStream]", packet)
                self._heard = now
                if self._restarts(picture) and picture.is_keyframe:
                    yield None
                    self._stream.codec_context.flush_buffers()
                self._packets += 1
                yield picture
            if now - self._heard > opening.READ_TIMEOUT:  # sound goes on
                raise Damage(f"no pictures for {opening.READ_TIMEOUT:g} s")
            if now - self._asked > LONGEST_WAIT:
                raise Damage(f"no picture that can be decoded for {LONGEST_WAIT:g} s")
        yield None

    def _restarts(self, packet: Packet[VideoStream], joint: bool = False) -> bool:
        anew = self._clock.restamp(packet, joint)
        if anew:
            self._remark(f"its clock starts anew after {self._packets} pictures; time goes on from there")
        return anew

    def _remark(self, text: str) -> None:
        if not any(note.split()[:4] == text.split()[:4] for note in self.notes):  # once of each kind
            self.notes.append(text)

    def _decode_file(self) -> Iterator[tuple[VideoFrame, str]]:
        for frame in self._file_frames():
            yield frame, ""

    def _file_frames(self) -> Iterator[VideoFrame]:
        for packet, anew in self._file_packets():
            if anew and packet.is_keyframe:
                yield from self._ledger.admit(self._stream.decode(None))
                yield from self._ledger.finish()
                self._stream.codec_context.flush_buffers()
            if not self._begins(packet):
                continue
            if not packet.is_discard:
                self._ledger.feed(packet)
            yield from self._ledger.admit(self._stream.decode(packet))
        tail = self._ledger.admit(self._stream.decode(None))
        end = self._end_fault()
        if end is not None:
            yield from self._ledger.until_gap(tail, self._shown_end, self.fps)
            raise end
        yield from tail
        yield from self._ledger.finish()

    def _end_fault(self) -> Damage | None:
        """What is wrong with a file's end, by itself or by its own index and header."""
        try:
            self._watch.finish()
        except Damage as damage:
            return damage
        return Damage("the file ends too early") if self._is_short() else None

    def _file_packets(self) -> Iterator[tuple[Packet[VideoStream], bool]]:
        """Packets of a file, and whether the clock starts anew at each.

        Where recordings were joined, the last packets before may be marked as incomplete and are not.
        """
        waiting: list[tuple[Packet[VideoStream], bool]] = []  # marked as incomplete, and those behind
        for packet in self._container.demux(self._stream):
            if packet.pos is not None:
                self._watch.check(packet)
            if packet.size == 0:  # PyAV's end mark or an empty sample; a decoder takes both for the end
                continue
            broken = bool(waiting) and waiting[0][0].is_corrupt
            waiting.append((packet, self._restarts(packet, joint=broken)))
            self._packets += 1
            if waiting[0][0].is_corrupt:
                if len(waiting) <= JOINT:
                    continue
                if not self._is_joint(waiting):
                    raise Damage("a packet is incomplete")
            if self._watch.late and packet.pos is None:
                continue
            ready = waiting[:-1] if self._watch.late else waiting
            waiting = waiting[len(ready) :]
            yield from ready
        if waiting:
            self._watch.finish()
        if any(packet.is_corrupt for packet, _ in waiting):
            raise Damage("a packet is incomplete")
        yield from waiting

    def _is_joint(self, packets: list[tuple[Packet[VideoStream], bool]]) -> bool:
        """Whether nothing is missing between packets, one of which begins a recording of its own."""
        whole = all(anew or self._clock.follows(packet, last) for (last, _), (packet, anew) in pairwise(packets))
        return whole and any(packet.is_keyframe for packet, _ in packets[1:])

    def _begins(self, packet: Packet[VideoStream]) -> bool:
        """Whether a packet is to be decoded: a film can begin within a group of pictures."""
        context = self._stream.codec_context
        if not self._begun:
            self._begun = self._packets > PATIENCE or can_begin(self._codec, packet, context.extradata)
        return self._begun

    def _is_short(self) -> bool:
        """Did the file end before its own index or header said?"""
        if self._promised_packets is not None and self._packets < self._promised_packets:
            return True
        end = self._ledger.fed_end if self._stamped else self._packets / self.fps
        return self._promised_end is not None and self._promised_end - end > END_SLACK + 1 / self.fps

    def _drained(self) -> list[VideoFrame]:
        frames: list[VideoFrame] = []
        with suppress(av.FFmpegError):
            frames = self._stream.decode(None)
        return frames

    def _make(self, frame: VideoFrame, fault: str) -> tuple[Image, str]:
        if self._orientation.read(frame):
            matrix = self._orientation.matrix
            self.pixel_aspect = 1 / self._stored_aspect if nearest(matrix)[0] else self._stored_aspect
            if not is_quarter(matrix):
                self._remark("it is to be shown at an angle; it is turned by the nearest quarter")
        return _upright(frame, self._orientation.matrix), fault


def _promise(container: InputContainer, stream: VideoStream) -> tuple[int | None, float | None]:
    """What a file says of itself, by index or header: (packets, seconds at the end), None where unsaid."""
    kind = container.format.name
    indexed = sum(1 for entry in stream.index_entries if entry.size and not entry.is_discard)
    if kind.startswith("mov"):  # the frame count of the header ignores edit lists and fragments
        return indexed or None, None
    if kind == "avi":  # the header counts slots, some empty; a cut file has lost the index at its end
        return (indexed if indexed == stream.frames else None), None
    if not kind.startswith("matroska") or not container.duration:
        return None, None
    seconds = container.duration / av.time_base  # of the longest stream; FFmpeg and mkvmerge note each one's own
    own = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if own:
        return None, min(seconds, 3600 * int(own[1]) + 60 * int(own[2]) + float(own[3]))
    return None, seconds if len(container.streams) == 1 else None


def _upright(frame: VideoFrame, matrix: Matrix) -> Image:
    image = cast(Image, frame.to_ndarray(format="rgb24"))
    if frame.format.name == "rgb24":  # not converted, so still the decoder's own memory
        image = image.copy()
    return upright(image, matrix)
