"""Pictures that are coded out of order, in files that do not say by how much or that keep two in a packet."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from lockon.video import open_frames
from tests.clips import grey, noisy, numbers
from tests.test_video import encode

START = b"\x00\x00\x01"
SETTINGS = 7  # kind of unit that describes a film of H.264


class Bits:
    """Numbers of H.264's settings, read one after the other."""

    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{byte:08b}" for byte in data)
        self.at = 0

    def take(self, count: int) -> int:
        self.at += count
        return int(self.text[self.at - count : self.at] or "0", 2)

    def number(self) -> int:
        zeros = self.text.index("1", self.at) - self.at
        return self.take(2 * zeros + 1) - 1


def without_order(settings: bytes) -> bytes:
    """H.264's settings (high profile, as x264 writes them) up to the part that tells how far pictures are reordered."""
    bits = Bits(settings[1:].replace(b"\0\0\3", b"\0\0"))
    assert bits.take(8) == 100
    bits.take(16)
    for _ in range(4):  # number, colour format, two depths
        bits.number()
    assert bits.take(2) == 0
    bits.number()
    assert bits.number() == 0
    bits.number()
    bits.number()
    bits.take(1)
    bits.number()
    bits.number()
    bits.take(2)
    if bits.take(1):  # cropped
        for _ in range(4):
            bits.number()
    text = bits.text[: bits.at] + "01"
    text += "0" * (-len(text) % 8)
    return settings[:1] + bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


@pytest.mark.parametrize(
    ("first", "second"),
    [("bframes=1", "bframes=3:b-pyramid=normal"), ("bframes=1:ref=3", "bframes=7:b-pyramid=strict:ref=4")],
)
def test_no_picture_is_left_out_where_a_film_does_not_say_how_far_its_pictures_are_out_of_order(
    tmp_path: Path, first: str, second: str
) -> None:
    """FFmpeg learns the order as it goes. Where it becomes deeper, it drops pictures that come too late for it."""
    both = b""
    for part in (first, second):
        options = {"x264-params": f"{part}:b-adapt=0:keyint=24:min-keyint=24:scenecut=0"}
        units = encode(tmp_path / "part.h264", options=options, picture=noisy).read_bytes().split(START)
        both += START.join(without_order(u) if u and u[0] & 31 == SETTINGS else u for u in units)
    path = tmp_path / "both.h264"
    path.write_bytes(both)
    with open_frames(path) as source:
        assert numbers(list(source)) == [number % 24 for number in range(48)]


def test_two_pictures_in_a_packet_and_none_in_the_next_are_no_fault(tmp_path: Path) -> None:
    """MPEG-4 in AVI, as DivX and Xvid wrote it: the second packet of a pair says only that there is nothing new."""
    plain = encode(tmp_path / "plain.avi", "mpeg4", {"bf": "1", "g": "20", "b": "2M"}, picture=grey)
    with av.open(str(plain)) as old:
        stream = old.streams.video[0]
        coded = [bytes(packet) for packet in old.demux(stream) if packet.size]
        coded[0] = coded[0].replace(START + b"\xb6", START + b"\xb2DivX503b1393p" + START + b"\xb6", 1)
        packed: list[bytes] = []
        while coded:
            packet = coded.pop(0)
            between = bool(coded) and coded[0][coded[0].index(START + b"\xb6") + 4] >> 6 == 2
            packed += [packet + coded.pop(0), START + b"\xb6\x5f\xff\x80"] if between else [packet]
        path = tmp_path / "packed.avi"
        with av.open(str(path), "w") as new:
            target: Any = new.add_stream_from_template(stream)
            for number, data in enumerate(packed):
                packet_out = av.Packet(data)
                packet_out.pts = packet_out.dts = number
                packet_out.time_base, packet_out.stream = Fraction(1, 25), target
                new.mux(packet_out)
    assert any(len(data) == 7 for data in packed)
    assert numbers(list(open_frames(path))) == list(range(24))
