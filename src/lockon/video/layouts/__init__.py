"""How kinds of files are laid out, read beside FFmpeg to see what it passes over."""

from __future__ import annotations

from pathlib import Path

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from lockon.video.layouts.base import CUT, Damage, Layout
from lockon.video.layouts.chunks import Chunks
from lockon.video.layouts.fragments import Fragments
from lockon.video.layouts.gif import Gif
from lockon.video.layouts.matroska import Matroska
from lockon.video.layouts.packs import Packs
from lockon.video.layouts.pages import Pages
from lockon.video.layouts.program import Program
from lockon.video.layouts.rows import Rows
from lockon.video.layouts.tags import Tags
from lockon.video.layouts.transport import Transport

__all__ = ["Damage", "Watch", "find_layout"]


def find_layout(path: Path, container: InputContainer, stream: VideoStream) -> Layout | None:
    """Gives the layout of a file that FFmpeg has opened, None where its kind has none here."""
    match container.format.name.split(",")[0]:
        case "matroska":
            return Matroska(path)
        case "mov":
            return Fragments(path, stream.id, len(stream.index_entries))
        case "avi":
            return Chunks(path, stream.index, len(container.streams))
        case "flv":
            return Tags(path)
        case "ogg":
            return Pages(path)
        case "mpeg":
            return Program(path)
        case "mpegts":
            return Transport(path)
        case "gif":
            return Gif(path)
        case "mxf":
            return Packs(path)
        case "yuv4mpegpipe":
            return Rows(path, longest=80)
        case "ivf":
            return Rows(path, longest=0, behind=12)
    return None


class Watch:
    """Compares FFmpeg's packets with the layout of their file.

    Raises:
        Damage: pictures of the file are missing among the packets, or something is wrong in the file between them.
    """

    def __init__(self, layout: Layout | None) -> None:
        self._layout, self._seen, self._last = layout, 0, -1

    def check(self, packet: Packet[VideoStream]) -> None:
        """Looks at the file up to a packet, before that is used."""
        if self._layout is None or packet.pos is None:
            return
        if packet.pos < self._last:  # not in the order of their bytes: nothing can be said
            self.close()
            self._layout = None
            return
        find = self._layout.before if self._seen else self._layout.start
        if find(packet.pos) > self._seen:
            raise Damage("pictures are missing")
        self._layout.take(packet.pos, packet.size)
        self._seen, self._last = self._seen + 1, packet.pos

    @property
    def late(self) -> bool:
        """Whether a packet is only known to be good when the next one is, or the end."""
        return self._layout is not None and self._layout.late

    def finish(self) -> None:
        """Looks at the rest of the file."""
        if self._layout is not None and self._seen and self._layout.total() > self._seen:
            raise Damage(CUT)

    def close(self) -> None:
        """Close the file."""
        if self._layout is not None:
            self._layout.close()
