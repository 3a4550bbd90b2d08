"""Flash video: tags of sound, picture and data, each with its size before and behind."""

from __future__ import annotations

from collections.abc import Iterator

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

HEADER, BEHIND = 11, 4  # bytes of a tag before and behind its content
SOUND, PICTURE, DATA = 8, 9, 18
H264 = 7  # the one older codec whose tags are not all pictures
EXTENDED = 0x80  # the newer form, with more codecs
CODED, CODED_WITHOUT_SHIFT = 1, 3  # its kinds of tags that are pictures


class Tags(Layout):
    """Tags of one film; a picture's place is its tag."""

    def _walk(self) -> Iterator[int]:
        at = int.from_bytes(self.read(5, 4)) + BEHIND
        while at + HEADER <= self.size:
            head = self.read(at, HEADER + 2)
            kind, size = head[0] & 0x1F, int.from_bytes(head[1:4])
            if kind not in (SOUND, PICTURE, DATA) or head[0] & 0xC0 or any(head[8:11]):
                raise Damage(FOREIGN)
            if at + HEADER + size > self.size:
                raise Damage(CUT)
            if kind == PICTURE and size > 1 and _is_picture(head[HEADER], head[HEADER + 1]):
                yield at
            at += HEADER + size + BEHIND


def _is_picture(first: int, second: int) -> bool:
    if first & EXTENDED:
        return first & 0x0F in (CODED, CODED_WITHOUT_SHIFT)
    command = first >> 4 == 5
    return not command and (first & 0x0F != H264 or second == 1)
