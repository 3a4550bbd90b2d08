"""Opening what FFmpeg reads: files, and addresses of streams."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from lockon.errors import SourceError, masked

OPEN_TIMEOUT = READ_TIMEOUT = 10.0  # seconds without an answer, or without data, before a stream counts as lost
LIST_START = re.compile(rb"\s*(#EXTM3U|ffconcat|v=0|<\?xml|<MPD)")
LISTED = re.compile(r"""^\s*(?:file\s+['"]?(?P<concat>[^'"]+)|(?P<hls>[^#\s].*))|URI="(?P<uri>[^"]+)\"""")
MAX_DEPTH = 4  # lists within lists
NO_FILE = {
    stat.S_ISFIFO: "a pipe, which may never have an end",
    stat.S_ISSOCK: "a socket",
    stat.S_ISCHR: "a device; of a camera give the number",
    stat.S_ISBLK: "a device",
}
WITHOUT_END = ("pipe", "fd")  # addresses that FFmpeg reads without a limit of time
PEEK = 500  # packets to look at to tell films from single pictures
TILE = Disposition.dependent  # a stream that is but a part of a picture
ASIDE = Disposition.attached_pic | Disposition.timed_thumbnails


def open_container(source: str | Path, live: bool) -> InputContainer:
    """Opens a file, or a stream, which must answer within ``OPEN_TIMEOUT``.

    Raises:
        SourceError: it cannot be read, or could be waited for without an end.
    """
    if live:
        if str(source).partition(":")[0].casefold() in WITHOUT_END:
            raise SourceError(f"{source}: a pipe, which may never have an end; give a file, or the address of a stream")
        return _open(str(source), "stream", (OPEN_TIMEOUT, READ_TIMEOUT))
    path = Path(source).absolute()  # because FFmpeg takes `a:b.mp4` for something of protocol `a`
    refuse_endless(path, str(source))
    listed = _is_list(path)
    if listed:
        _check_listed(path, 0)
    return _open(str(path), "video", (OPEN_TIMEOUT, READ_TIMEOUT) if listed else None, str(source))


def _open(address: str, kind: str, timeout: tuple[float, float] | None, shown: str | None = None) -> InputContainer:
    start = monotonic()
    try:
        return av.open(address, timeout=timeout, metadata_errors="ignore")  # whatever the encoding of a title
    except (av.FFmpegError, OSError, ValueError) as error:
        silent = timeout is not None and monotonic() - start >= timeout[0]  # FFmpeg gives all kinds of reasons for that
        why = f"no answer for {OPEN_TIMEOUT:g} s" if silent else reason(error)
        raise SourceError(f"{shown or address}: not a {kind} that can be read, {why}") from error


def refuse_endless(path: Path, shown: str) -> None:
    """Refuses what is no file on a disk.

    Raises:
        SourceError: a pipe, a socket or a device.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # told when it is opened
    for kind, name in NO_FILE.items():
        if kind(mode):
            raise SourceError(f"{shown}: {name}; a video must be a file, or the address of a stream")


def file_of(address: str) -> Path:
    """Gives the path in an address such as ``file:///clips/a.mp4``."""
    return Path(url2pathname(urlsplit(address).path))


def _is_list(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return LIST_START.match(file.read(64)) is not None
    except OSError:
        return False


def _check_listed(path: Path, depth: int) -> None:
    """Looks whether the files of a list are there: FFmpeg leaves out those that are not."""
    for name in _listed(path):
        if "://" in name or "?" in name:
            continue
        file = path.parent / name
        if not file.exists():
            raise SourceError(f"{path}: lists {name}, which is not there")
        refuse_endless(file, f"{path}: lists {name}")
        if depth < MAX_DEPTH and _is_list(file):
            _check_listed(file, depth + 1)


def _listed(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8", "replace").splitlines():
        found = LISTED.search(line)
        if found and _is_name(path, found.lastgroup):
            yield found[found.lastgroup or 0].strip()


def _is_name(path: Path, group: str | None) -> bool:
    playlist = path.suffix.lower() in (".m3u8", ".m3u")
    return group == "concat" if not playlist else group in ("hls", "uri")


def choose_stream(container: InputContainer, source: str) -> tuple[VideoStream, str]:
    """Gives the stream that FFmpeg calls best, as players do, and a remark if others are left out.

    Raises:
        SourceError: there is none, or it is but a part of a picture.
    """
    videos = [s for s in container.streams.video if not s.disposition & ASIDE]
    if not videos or container.format.name == "tty":  # FFmpeg shows plain text as a terminal would
        raise SourceError(f"{source}: not a video, it has no video stream")
    films = _films(container, videos)
    best = container.streams.best("video")
    stream = next((film for film in films if film is best), films[0])
    if stream.codec_context is None:
        raise SourceError(f"{source}: a video in a format that this FFmpeg cannot decode")
    if stream.disposition & TILE:
        raise SourceError(f"{source}: a picture in tiles, as from a phone; convert it to JPEG or PNG first")
    others = [film for film in films if film is not stream and film.codec_context is not None]
    if not others:
        return stream, ""
    used = f"number {stream.index} ({_size(stream)}) is used"
    return stream, f"{len(films)} video streams; {used}, not {_list(others)}"


def _films(container: InputContainer, videos: list[VideoStream]) -> list[VideoStream]:
    """Leaves out single pictures beside a film; FFmpeg itself looks at the first frames only."""
    if len(videos) == 1:
        return videos
    counts = {stream.index: len(stream.index_entries) for stream in videos}
    if not container.format.name.startswith("mov"):  # an index of all pictures
        counts = _first_packets(container.name, set(counts))
    return [s for s in videos if counts[s.index] > 1] or videos


def _first_packets(address: str, streams: set[int]) -> dict[int, int]:
    """Counts the pictures of several streams at a file's start; two of each where it cannot be opened again."""
    counts = dict.fromkeys(streams, 0)
    if "://" in address:
        return dict.fromkeys(streams, 2)
    with av.open(address, metadata_errors="ignore") as container, suppress(av.FFmpegError):
        for packet in islice(container.demux(), PEEK):
            if packet.stream_index in counts and packet.size:
                counts[packet.stream_index] += 1
    return counts


def _list(streams: list[VideoStream]) -> str:
    return ", ".join(f"{s.index} ({_size(s)})" for s in streams[:4]) + (", ..." if len(streams) > 4 else "")


def _size(stream: VideoStream) -> str:
    return f"{stream.codec_context.width}x{stream.codec_context.height}"


def stream_name(address: str) -> str:
    """Gives the last part of an address's path, without what could be a password."""
    try:
        path = urlsplit(address).path
    except ValueError:
        path = ""
    parts = re.split(r"[&;?]", Path(unquote(path)).stem)
    return "&".join(part for part in parts if masked(part) == part and "=" not in part) or "stream"


def reason(error: BaseException) -> str:
    """Says why FFmpeg or the system failed, in a few words."""
    if isinstance(error, av.error.ExitError):
        return f"no data for {READ_TIMEOUT:g} s"
    return getattr(error, "strerror", None) or str(error)
