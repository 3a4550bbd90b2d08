"""Packets at which decoding can begin, and packets that show nothing."""

from __future__ import annotations

import re

from av.packet import Packet
from av.video.stream import VideoStream

MARK = re.compile(rb"\x00\x00\x01(.)", re.DOTALL)  # before each unit of H.264 and HEVC in a stream
H264_SLICE, H264_START, H264_SETTINGS = {1, 2}, {5}, {7}  # kinds of units
BETWEEN = {"h264": 9, "hevc": 35}  # kinds of units that stand before each picture, if at all
CLOSED = {"h264": {5}, "hevc": {19, 20}}
INTER = {"h264", "hevc", "vp8", "vp9", "av1", "mpeg1video", "mpeg2video"}  # codecs that decode from key frames on
FORBIDDEN = 0x80  # bit that is never set in the first byte of a unit
HEVC_SLICE, HEVC_START, HEVC_SETTINGS = set(range(10)), set(range(16, 22)), {33}


def can_begin(codec: str, packet: Packet[VideoStream], extradata: bytes | None) -> bool:
    """Whether decoding can begin with a packet: what is coded from pictures before it makes none or a false one."""
    if is_several(codec, packet):  # damaged, which must not be passed over
        return True
    if codec == "h264":  # a point from which the picture is refreshed piece by piece will do
        settings = any(_kind(codec, unit[0]) in H264_SETTINGS for unit in MARK.findall(bytes(packet)))
        return settings or packet.is_keyframe or is_start(codec, packet, extradata)
    return codec not in INTER or is_start(codec, packet, extradata)


def is_start(codec: str, packet: Packet[VideoStream], extradata: bytes | None) -> bool:
    """Whether a packet must make a picture without any before it; damaged ones count, as they can be it.

    Read from the packet, because a container may mark all or none, and FFmpeg drops the mark where it reads headers.
    """
    data = bytes(packet)
    if codec in ("h264", "hevc"):
        return _is_start_of_units(codec, packet, extradata)
    if codec == "vp8":
        return not data[0] & 1
    if codec == "vp9":
        return data[0] >> 6 != 0b10 or not data[0] & 0x0C  # neither marked as VP9, or a key frame
    if codec == "av1":
        return packet.is_keyframe or data[0] >> 3 not in (2, 3, 4, 5, 6, 7)  # neither a picture nor what goes before
    if codec in ("mpeg1video", "mpeg2video"):
        return b"\x00\x00\x01\xb3" in data or not data.startswith(b"\x00\x00")
    return packet.is_keyframe


def _is_start_of_units(codec: str, packet: Packet[VideoStream], extradata: bytes | None) -> bool:
    slices, starts, settings = (
        (H264_SLICE, H264_START, H264_SETTINGS) if codec == "h264" else (HEVC_SLICE, HEVC_START, HEVC_SETTINGS)
    )
    if extradata and extradata[0] == 1:  # units are stored each behind its length
        units = _stored_units(codec, bytes(packet), extradata)
        if units is None:
            return True
    else:
        units = {unit[0] for unit in MARK.findall(bytes(packet))}
    kinds = {_kind(codec, unit) for unit in units}
    return bool(kinds & starts) or (not kinds & slices and bool(kinds & settings or packet.is_keyframe))


def is_closed(codec: str, packet: Packet[VideoStream]) -> bool:
    """Whether nothing behind a start in a stream of units is coded from what is before it."""
    if codec not in CLOSED:
        return False
    return any(_kind(codec, unit[0]) in CLOSED[codec] for unit in MARK.findall(bytes(packet)))


def is_several(codec: str, packet: Packet[VideoStream]) -> bool:
    """Whether a packet holds several pictures, as where the first of them was not found in a stream of units."""
    if codec not in BETWEEN:
        return False
    return sum(_kind(codec, unit[0]) == BETWEEN[codec] for unit in MARK.findall(bytes(packet))) > 1


def _stored_units(codec: str, data: bytes, extradata: bytes) -> set[int] | None:
    """First bytes of the units in a packet, None if their lengths do not fit."""
    place = 4 if codec == "h264" else 21
    width = (extradata[place] & 3) + 1 if len(extradata) > place else 4
    heads, at = set(), 0
    while at + width < len(data):
        heads.add(data[at + width])
        length = int.from_bytes(data[at : at + width])
        if length == 0:
            return None
        at += width + length
    return heads if at == len(data) and all(head < FORBIDDEN for head in heads) else None


def _kind(codec: str, head: int) -> int:
    return head & 31 if codec == "h264" else head >> 1 & 63


def is_hidden(codec: str, packet: Packet[VideoStream]) -> bool:
    """Whether a packet of VP8 or VP9 holds but a picture that others are coded from."""
    if codec not in ("vp8", "vp9") or not packet.size:
        return False
    data = memoryview(packet)
    if codec == "vp8":
        return not data[0] & 0x10
    several = data[-1] & 0xE0 == 0xC0  # an index of pictures at the end
    again, shown = data[0] & 0x08, data[0] & 0x02
    return data[0] >> 4 != 0b1011 and not (several or again or shown)
