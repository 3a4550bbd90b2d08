"""Time that goes on where a stream's own clock starts anew."""

from __future__ import annotations

from av.packet import Packet
from av.video.stream import VideoStream

LEAP = 10.0  # seconds forward after which the clock of a joined recording counts as another one, as with ffmpeg
BACK = 1.0  # seconds by which stamps may fall back where only the order of showing is known


class Clock:
    """Stamps of one clock from those of several, as after joining recordings.

    Args:
        tick: seconds of one unit of the stamps.
        fps: frames per second.
    """

    def __init__(self, tick: float, fps: float) -> None:
        self._tick = tick
        self._step = max(round(1 / fps / tick), 1)
        self._shift = 0
        self._coded: int | None = None  # last stamp in the order of coding, on the one clock
        self._shown: int | None = None  # latest stamp in the order of showing

    def restamp(self, packet: Packet[VideoStream], joint: bool = False) -> bool:
        """Puts a packet's stamps on the one clock; says whether its own clock starts anew here.

        Time then goes on by one frame. At a ``joint`` of recordings a leap forward means another clock too.
        """
        coded = None if packet.dts is None else packet.dts + self._shift
        shown = None if packet.pts is None else packet.pts + self._shift
        anew = self._is_anew(packet, coded, shown, joint)
        if anew:
            back = self._back(self._coded, coded)
            back = self._back(self._shown, shown) if back is None else back
            self._shift += self._step + (back or 0)
        if self._shift:
            packet.dts = None if packet.dts is None else packet.dts + self._shift
            packet.pts = None if packet.pts is None else packet.pts + self._shift
        if packet.dts is not None:
            self._coded = packet.dts
        if packet.pts is not None:
            self._shown = max(self._shown or packet.pts, packet.pts)
        return anew

    @staticmethod
    def _back(last: int | None, now: int | None) -> int | None:
        """By how much a stamp falls back; None where one of the two is unknown."""
        return None if last is None or now is None else last - now

    def _is_anew(self, packet: Packet[VideoStream], coded: int | None, shown: int | None, joint: bool) -> bool:
        back = self._back(self._coded, coded)
        if back is not None:
            seconds = back * self._tick
            if seconds > 0:
                return packet.is_keyframe or seconds > BACK
            return joint and packet.is_keyframe and -seconds > LEAP
        back = self._back(self._shown, shown)
        return back is not None and packet.is_keyframe and back * self._tick > BACK

    def follows(self, packet: Packet[VideoStream], last: Packet[VideoStream]) -> bool:
        """Whether no frame is missing between two packets."""
        if packet.dts is None or last.dts is None:
            return False
        return packet.dts - last.dts < 1.5 * (last.duration or self._step)
