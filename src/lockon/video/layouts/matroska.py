"""Matroska and WebM: elements with a size, in a segment, clusters in it, blocks in them."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from lockon.video.layouts.base import CUT, FOREIGN, Damage, Layout

HEADER, SEGMENT = 0x1A45DFA3, 0x18538067
SEEK_HEAD, INFO, TRACKS, CLUSTER = 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1F43B675
CUES, ATTACHMENTS, CHAPTERS, TAGS = 0x1C53BB6B, 0x1941A469, 0x1043A770, 0x1254C367
VOID, CHECKSUM = 0xEC, 0xBF
IN_SEGMENT = {SEEK_HEAD, INFO, TRACKS, CLUSTER, CUES, ATTACHMENTS, CHAPTERS, TAGS, VOID, CHECKSUM}
SIMPLE_BLOCK, BLOCK_GROUP, BLOCK = 0xA3, 0xA0, 0xA1
TIME, SILENT_TRACKS, POSITION, PREVIOUS_SIZE, ENCRYPTED_BLOCK = 0xE7, 0x5854, 0xA7, 0xAB, 0xAF
IN_CLUSTER = {SIMPLE_BLOCK, BLOCK_GROUP, TIME, SILENT_TRACKS, POSITION, PREVIOUS_SIZE, ENCRYPTED_BLOCK, VOID, CHECKSUM}
TRACK_ENTRY, TRACK_NUMBER = 0xAE, 0xD7
SEEK, SEEK_ID, SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
LONGEST_HEADER = 12  # bytes: an ID of 4 and a size of 8
LACED = 0x06  # bits of a block's flags: it holds several frames


class Matroska(Layout):
    """Blocks of one track; a picture's place is its block's payload, as in FFmpeg's packets."""

    _track: int | None = None
    _end: float = inf  # of the segment
    _segment = 0  # where its content begins
    _cluster_end: float = 0

    def start(self, position: int) -> int:
        """Takes the track's number from its first block."""
        self._tracks: set[int] = set()
        self._listed: set[int] = set()  # places of elements that the file's own table of contents names
        self._track, _ = _number(self.read(position, 8), 0)
        return super().start(position)

    def _walk(self) -> Iterator[int]:
        at = 0
        while at < self.size:
            kind, body, end = self._element(at)
            if kind not in (HEADER, SEGMENT):
                raise Damage(FOREIGN)
            at = int(end) if kind == HEADER else body
            if kind == SEGMENT:
                self._segment, self._end = body, end
                yield from self._in_segment(body)
                return  # what follows is none of the film

    def _in_segment(self, at: int) -> Iterator[int]:
        cluster = False
        while at < min(self._end, self.size):
            kind, body, end = self._element(at)
            cluster = kind == CLUSTER
            if kind == HEADER and self._end == inf:  # the next part of a live recording
                at = int(end)
                continue
            if kind == SEGMENT and self._end == inf:
                self._segment = at = body
                continue
            if kind not in IN_SEGMENT:
                raise Damage(FOREIGN)
            if kind == CLUSTER:
                self._cluster_end = end
                yield from self._in_cluster(body)
                end = self._cluster_end
            elif end == inf:
                raise Damage(FOREIGN)
            elif kind == TRACKS:
                entries = self._entries(body, end, TRACK_ENTRY)
                self._tracks = {entry[TRACK_NUMBER] for entry in entries if TRACK_NUMBER in entry}
            elif kind == SEEK_HEAD:
                self._list(self._entries(body, end, SEEK))
            at = int(end)
            if at in self._listed and at + LONGEST_HEADER > self.size:
                return  # cut, but behind the last cluster
        if cluster and at == self.size < self._end < inf:
            raise Damage(CUT)

    def _in_cluster(self, at: int) -> Iterator[int]:
        while at < self._cluster_end:
            if at >= self.size:
                if self._cluster_end == inf:
                    break
                raise Damage(CUT)
            kind, body, end = self._element(at)
            if kind in IN_SEGMENT - {VOID, CHECKSUM} or kind in (HEADER, SEGMENT):
                if self._cluster_end == inf:
                    break
                raise Damage(FOREIGN)
            fits = kind in (SIMPLE_BLOCK, BLOCK_GROUP, ENCRYPTED_BLOCK, VOID, SILENT_TRACKS) or end - body <= 8
            if kind not in IN_CLUSTER or end > self._cluster_end or not fits:
                raise Damage(FOREIGN)
            if end > self.size:
                raise Damage(CUT)
            if kind == BLOCK_GROUP:
                body = self._block_in_group(body, end)
            if kind in (SIMPLE_BLOCK, BLOCK_GROUP):
                yield from self._frames(body)
            at = int(end)
        self._cluster_end = at

    def _block_in_group(self, at: int, group_end: float) -> int:
        while at < group_end:
            kind, body, end = self._element(at)
            if end > group_end:
                break
            if kind == BLOCK:
                return body
            at = int(end)
        raise Damage(FOREIGN)

    def _frames(self, body: int) -> Iterator[int]:
        head = self.read(body, 12)
        track, length = _number(head, 0)
        if self._tracks and track not in self._tracks:
            raise Damage(FOREIGN)
        if track != self._track or len(head) < length + 4:
            return
        laced = head[length + 2] & LACED
        for _ in range(head[length + 3] + 1 if laced else 1):
            yield body

    def _list(self, entries: Iterator[dict[int, int]]) -> None:
        """Notes what stands behind the clusters, by the file's table of contents."""
        for entry in entries:
            if SEEK_POSITION in entry and entry.get(SEEK_ID) != CLUSTER:
                self._listed.add(self._segment + entry[SEEK_POSITION])

    def _entries(self, at: int, end: float, wanted: int) -> Iterator[dict[int, int]]:
        """Entries of a list, each with its numbers by their IDs."""
        for kind, body, after in self._elements(at, end):
            if kind == wanted:
                fields = self._elements(body, after)
                yield {
                    field: int.from_bytes(self.read(value, value_end - value))
                    for field, value, value_end in fields
                    if value_end - value <= 8
                }

    def _elements(self, at: int, end: float) -> Iterator[tuple[int, int, int]]:
        end = int(min(end, self.size))
        while at < end:
            kind, body, after = self._element(at)
            at = int(min(after, end))
            yield kind, body, at

    def _element(self, at: int) -> tuple[int, int, float]:
        """An element's ID, where its content begins, and where it ends."""
        head = self.read(at, LONGEST_HEADER)
        length = 9 - head[0].bit_length() if head else 9
        if length > 4:
            raise Damage(FOREIGN if head else CUT)
        size, count = _number(head, length)
        body = at + length + count
        if length + count > len(head):
            raise Damage(CUT)
        unknown = size == (1 << 7 * count) - 1
        return int.from_bytes(head[:length]), body, inf if unknown else body + size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number whose leading zeros tell its length, and that length in bytes."""
    if at >= len(data):
        raise Damage(CUT)
    length = 9 - data[at].bit_length()
    if length > 8:
        raise Damage(FOREIGN)
    return int.from_bytes(data[at : at + length]) & (1 << 7 * length) - 1, length
