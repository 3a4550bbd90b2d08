"""What goes into a decoder and what comes out: damage that FFmpeg does not raise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from math import inf

from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from lockon.video.layouts.base import Damage
from lockon.video.starts import is_closed, is_hidden, is_several, is_start

# Codecs of which each packet makes a picture. MPEG-4 is none: some packets say `same again`.
ONE_EACH = {
    "av1", "dnxhd", "ffv1", "ffvhuff", "gif", "h264", "hevc", "huffyuv", "jpeg2000", "mjpeg", "mpeg1video",
    "mpeg2video", "png", "prores", "rawvideo", "vp8", "vp9", "vvc",
}  # fmt: skip
MOST_BETWEEN = 16  # pictures that can be coded from two around them
MOST_THREADS = 128  # of a decoder


class Ledger:
    """Packets of one stream by their stamps, until their pictures are given out.

    A picture is often coded from one that is shown later, and whether that is whole shows only then. Pictures are
    given out as soon as all before them, in the order of coding and in that of time, have come out whole.

    Args:
        stamped: packets have stamps by which their pictures are known.
        packaged: the container keeps each picture by itself.

    Raises:
        Damage: a picture is missing, or was painted over.
    """

    def __init__(self, stream: VideoStream, stamped: bool, packaged: bool) -> None:
        self._stream, self._stamped, self._packaged = stream, stamped, packaged
        self._codec = stream.codec_context.codec.canonical_name
        self._one_each = self._codec in ONE_EACH
        self._tick = float(stream.time_base or 1)
        self._depth: int | None = None  # frames that the decoder holds back for their order
        self._fed: list[int] = []  # stamps of packets in decoding order, until their frames are given out
        self._held: list[VideoFrame] = []  # frames decoded, in order of time, that a fault may still spoil
        self._sent: deque[int | None] = deque(maxlen=MOST_THREADS)  # stamps of the last packets
        self._free: set[int] = set()  # stamps of packets before the first that can be decoded by itself
        self._start: int | None = None  # stamp of that one
        self._counted = not stamped  # packets have no stamps to know their pictures by
        self._closed = False  # no picture after that one is coded from any before it
        self._count = self._came = 0  # packets and frames since that one
        self.fed_end = -inf  # in seconds on the stream's clock

    def feed(self, packet: Packet[VideoStream]) -> None:
        """Notes a packet before it is decoded."""
        self._sent.append(packet.pts)
        if is_hidden(self._codec, packet):
            return
        stamp = packet.pts
        if self._start is None and is_several(self._codec, packet):
            raise Damage("a picture is missing")
        first = self._start is None and is_start(self._codec, packet, self._stream.codec_context.extradata)
        if first:
            self._start = stamp or 0
            self._closed = is_closed(self._codec, packet)
        self._count += self._start is not None
        if not self._stamped or stamp is None:
            self._counted = True
            return
        if self._start is None or stamp < self._start:
            self._free.add(stamp)
        self._fed.append(stamp)
        self.fed_end = max(self.fed_end, (stamp + (packet.duration or 0)) * self._tick)

    def admit(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Takes frames from the decoder, and gives those that are good for certain."""
        for frame in frames:
            if frame.is_corrupt:  # the decoder has painted over what is missing
                raise Damage("the picture is incomplete")
            self._one_each &= not frame.interlaced_frame  # two fields may come in two packets
            self._came += 1
            if self._depth is None:
                self._depth = self._stream.codec_context.reorder_depth
            if self._start is None:  # refreshed piece by piece up to here
                self._start = frame.pts or 0
            self._held.append(frame)
            self._pass_over(inf if frame.pts is None else frame.pts)
            yield from self.settled()

    def _pass_over(self, shown: float) -> None:
        """Frames come in order of time: what is overdue never comes."""
        came = {frame.pts for frame in self._held}
        overdue = {stamp for stamp in self._fed if stamp < shown and stamp not in came}
        missing = overdue - self._free
        self._free = {stamp for stamp in self._free if stamp > shown}
        if missing and shown < inf and self._must_come():
            raise Damage("a picture is missing")
        if overdue:
            self._fed = [stamp for stamp in self._fed if stamp not in overdue]

    def _must_come(self) -> bool:
        """Whether each packet makes a frame of its own."""
        depth = self._stream.codec_context.reorder_depth
        learnt = self._depth is not None and depth > self._depth
        return self._one_each and not learnt  # a decoder that learns the order as it goes leaves frames out

    def settled(self) -> Iterator[VideoFrame]:
        """Gives held frames as long as all that was fed or is shown before them has come out whole."""
        if (
            self._counted
            and self._held
            and self._held[-1].pict_type == PictureType.B
            and len(self._held) <= MOST_BETWEEN
        ):
            return  # coded from a later one, nobody can say from which
        while self._held:
            came = {frame.pts for frame in self._held}
            stamp = self._held[0].pts
            place = self._fed.index(stamp) if stamp in self._fed else 0
            before = (s for i, s in enumerate(self._fed) if i < place or (stamp is not None and s < stamp))
            if any(s not in came and s not in self._free for s in before):
                return
            self._fed = [s for s in self._fed if s != stamp]
            yield self._held.pop(0)

    def until_gap(self, frames: Iterator[VideoFrame], shown_end: float, fps: float) -> Iterator[VideoFrame]:
        """Gives the last frames before a fault, up to a gap: later ones may stand in the file before earlier ones."""
        for frame in frames:
            begin = (frame.pts or 0) * self._tick
            if self._stamped and begin - shown_end > 0.5 / fps:
                break
            shown_end = begin + ((frame.duration or 0) * self._tick or 1 / fps)
            yield frame
        self._held.clear()

    def finish(self) -> Iterator[VideoFrame]:
        """Gives the rest, after the decoder's last frame."""
        rest = set(self._fed) - {frame.pts for frame in self._held} - self._free
        # PyAV does not report a decoder's last errors.
        if rest and (self._must_come() or (self._packaged and self._codec != "mpeg4")):
            raise Damage("the picture is missing")
        held, self._held = self._held, []
        yield from held
        if self._counted and self._closed and self._count > self._came and self._must_come():
            raise Damage("pictures are missing")
        self._fed, self._free, self._start = [], set(), None
        self._count = self._came = 0

    def _failed(self) -> int | None:
        """The stamp of the packet that the decoder gave an error for; HEVC's gives its picture all the same.

        Each thread works on a packet, and tells of it when its turn comes again.
        """
        last = self._stream.codec_context.thread_count
        return list(self._sent)[-last:][0] if self._codec == "hevc" and self._sent else None

    def salvage(self, frames: list[VideoFrame]) -> Iterator[VideoFrame]:
        """Gives good frames that were still in the decoder at a fault.

        Its threads run ahead, so that frames behind the fault come out too.
        """
        self._held += [frame for frame in frames if not frame.is_corrupt and frame.pts != self._failed()]
        yield from () if self._counted else self.settled()
