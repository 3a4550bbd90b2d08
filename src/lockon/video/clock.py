"""Time that goes on where a stream's own clock starts anew."""

from __future__ import annotations

from av.packet import Packet
from av.video.stream import VideoStream

LEAP = 10.0  # seconds forward after which a broadcast's clock counts as another one, as with ffmpeg
BACK = 1.0  # seconds by which stamps may fall back where only the order of showing is known


class Clock:
    """Stamps of one clock from those of several, as after joining recordings.

    Args:
        tick: seconds of one unit of the stamps.
        fps: frames per second.
        leaps: a jump forward can mean another clock too.
    """

    def __init__(self, tick: float, fps: float, leaps: bool) -> None:
        self._tick, self._leaps = tick, leaps
        self._step = max(round(1 / fps / tick), 1)
        self._shift = 0
        self._coded: int | None = None  # last stamp in the order of coding, on the one clock
        self._shown: int | None = None  # latest stamp in the order of showing

    def restamp(self, packet: Packet[VideoStream]) -> bool:
        """Puts a packet's stamps on the one clock; says whether its own clock starts anew here.

        Time then goes on by one frame.
        """
        coded = None if packet.dts is None else packet.dts + self._shift
        shown = None if packet.pts is None else packet.pts + self._shift
        anew = self._is_anew(packet, coded, shown)
        if anew:
            last, now = (self._coded, coded) if coded is not None and self._coded is not None else (self._shown, shown)
            assert last is not None and now is not None
            self._shift += last + self._step - now
        if self._shift:
            packet.dts = None if packet.dts is None else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
        if packet.dts is not None:
            self._coded = packet.dts
        if packet.pts is not None:
            self._shown = max(self._shown or packet.pts, packet.pts)
        return anew

    def _is_anew(self, packet: Packet[VideoStream], coded: int | None, shown: int | None) -> bool:
        if coded is not None and self._coded is not None:
            back = (self._coded - coded) * self._tick
            if back > 0:
                return packet.is_keyframe or back > BACK
            return self._leaps and -back > LEAP
        if shown is not None and self._shown is not None:
            return packet.is_keyframe and (self._shown - shown) * self._tick > BACK
        return False

    def follows(self, packet: Packet[VideoStream], last: Packet[VideoStream]) -> bool:
        """Whether no frame is missing between two packets."""
        if packet.dts is None or last.dts is None:
            return False
        return packet.dts - last.dts < 1.5 * (last.duration or self._step)
