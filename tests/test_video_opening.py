"""What is opened, and what is refused before anything waits for it."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from threading import Event, Thread
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from lockon.errors import FrameError, SourceError
from lockon.video import CameraSource, Frame, camera, container, open_frames, opening
from lockon.video.opening import stream_name
from lockon.video.source import usable_name
from tests.clips import COUNT, SIZE, grey, noisy, numbers
from tests.test_video import B_FRAMES, FakeCapture, damage, encode
from tests.test_video import server as server

# What never ends --------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "link.mkv").symlink_to("pipe.mp4")
    for name in ("pipe.mp4", "link.mkv"):
        with pytest.raises(SourceError, match=rf"{name}: a pipe, .*must be a file"):
            open_frames(tmp_path / name)
        with pytest.raises(SourceError, match="a pipe"):
            open_frames(f"file://{tmp_path}/{name}")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no sockets with names here")
def test_a_socket_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.mp4")
        with pytest.raises(SourceError, match=r"socket\.mp4: a socket"):
            open_frames("socket.mp4")


@pytest.mark.parametrize("name", ["/dev/zero", "/dev/null"])
def test_a_device_is_refused_at_once(name: str) -> None:
    if not Path(name).exists():
        pytest.skip(f"no {name} here")
    with pytest.raises(SourceError, match=f"{name}: a device; of a camera give the number"):
        open_frames(name)


@pytest.mark.parametrize("address", ["pipe://0", "fd://0"])
def test_an_address_of_a_pipe_is_refused_at_once(address: str) -> None:
    with pytest.raises(SourceError, match="a pipe"):
        open_frames(address)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\npipe.ts\n#EXT-X-ENDLIST\n"),
        ("key.m3u8", '#EXTM3U\n#EXT-X-MAP:URI="pipe.ts"\n#EXT-X-TARGETDURATION:1\n#EXT-X-ENDLIST\n'),
        ("list.txt", "ffconcat version 1.0\nfile 'pipe.ts'\n"),
    ],
)
def test_a_list_with_a_pipe_is_refused_at_once(tmp_path: Path, name: str, text: str) -> None:
    os.mkfifo(tmp_path / "pipe.ts")
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError, match=r"lists pipe\.ts: a pipe"):
        open_frames(tmp_path / name)


def test_a_file_can_be_given_as_an_address(tmp_path: Path) -> None:
    path = encode(tmp_path / "two words.mp4")
    with open_frames(path.as_uri()) as source:
        assert (source.name, source.live, numbers(list(source))) == ("two words", False, list(range(COUNT)))
    with pytest.raises(SourceError, match=r"none\.mp4: no such file"):
        open_frames((tmp_path / "none.mp4").as_uri())


# Streams that fall silent -----------------------------------------------------------------------------------------


@contextmanager
def talking(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that gives each caller to `answer` and then says nothing until the test is over."""
    over = Event()

    def talk(caller: socket.socket) -> None:
        with caller:
            answer(caller)
            over.wait()

    def listen(server: socket.socket) -> None:
        while not over.is_set():
            try:
                caller, _ = server.accept()
            except OSError:
                return
            Thread(target=talk, args=(caller,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=listen, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        over.set()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_TIMEOUT", 0.5)
    monkeypatch.setattr(opening, "READ_TIMEOUT", 0.5)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("scheme", ["http", "rtsp", "rtmp", "tcp"])
def test_a_server_that_never_answers_is_told(scheme: str) -> None:
    with talking(lambda caller: None) as place, pytest.raises(SourceError, match=r"no answer for 0\.5 s"):
        open_frames(f"{scheme}://{place}/live")


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_falls_silent_is_told_after_its_frames(tmp_path: Path) -> None:
    data = encode(tmp_path / "a.ts", options={"bf": "0"}, picture=noisy).read_bytes()

    def answer(caller: socket.socket) -> None:
        caller.recv(4096)
        caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data[: len(data) * 3 // 4])

    frames: list[Frame] = []
    with (
        talking(answer) as place,
        pytest.raises(FrameError, match=r"broke off at frame \d+, no data for 0\.5 s") as caught,
    ):
        frames.extend(open_frames(f"http://{place}/a.ts"))
    assert len(frames) == caught.value.index > 10


def test_a_stream_of_sound_alone_is_told(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as file:
        picture: Any = file.add_stream("mjpeg", 25)
        picture.width, picture.height, picture.pix_fmt = *SIZE, "yuvj420p"
        sound: Any = file.add_stream("pcm_s16le", 8000, layout="mono")
        file.start_encoding()
        for number in range(3):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(grey(number))))
        for number in range(200):
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
            samples.sample_rate, samples.pts = 8000, number * 800
            file.mux(sound.encode(samples))
        file.mux(picture.encode(None))
    clock = iter(range(10_000))
    monkeypatch.setattr(container, "monotonic", lambda: next(clock))  # each packet takes a second
    with pytest.raises(FrameError, match="no pictures for 10 s"):
        list(open_frames(f"{server}/sound.mkv"))


def test_a_damaged_stream_goes_on_and_marks_its_frames(tmp_path: Path, server: str) -> None:
    options = B_FRAMES | {"crf": "18"}
    path = encode(tmp_path / "door.mkv", options=options, picture=lambda number: noisy(number, (320, 240)))
    with av.open(str(path)) as file:
        packet = [p for p in file.demux(video=0) if p.size][4]
    data = bytearray(path.read_bytes())
    assert packet.pos is not None
    start = packet.pos + packet.size // 2
    data[start : start + packet.size // 4] = np.random.default_rng(0).bytes(packet.size // 4)
    path.write_bytes(data)
    frames = list(open_frames(f"{server}/door.mkv"))
    faults = [frame.fault for frame in frames]
    assert any(faults[:12])
    assert not any(faults[12:])  # from the next key frame on
    assert numbers(frames[-12:]) == list(range(12, 24))


def test_frames_of_a_healthy_stream_have_no_fault(tmp_path: Path, server: str) -> None:
    encode(tmp_path / "door.ts", options=B_FRAMES)
    frames = list(open_frames(f"{server}/door.ts"))
    assert numbers(frames) == list(range(COUNT))
    assert not any(frame.fault for frame in frames)


def test_a_stream_plays_on_though_packets_cannot_be_decoded(tmp_path: Path, server: str) -> None:
    damage(encode(tmp_path / "door.avi", "mjpeg", picture=noisy), 10)
    assert len(list(open_frames(f"{server}/door.avi"))) >= COUNT - 1


# Cameras ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [-1, 100, 1500, 10**30, "-1", "100", "2000"])
def test_camera_numbers_are_checked_before_the_driver_is_asked(
    number: int | str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def opened(index: int) -> None:
        raise AssertionError(index)

    monkeypatch.setattr(camera, "_open_capture", opened)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=rf"no camera {number}: expected a number from 0 to 99"):
        open_frames(number)


@pytest.mark.parametrize("number", [0, 99])
def test_the_first_and_the_last_camera_number_are_asked_for(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera, "_open_capture", FakeCapture)
    with pytest.raises(SourceError, match="check its cable"):
        CameraSource(number)


def test_a_camera_that_is_not_there_says_one_line_and_leaves_the_log_as_it_was(
    capfd: pytest.CaptureFixture[str],
) -> None:
    level = cv2.utils.logging.getLogLevel()
    with pytest.raises(SourceError, match="no camera 98"):
        open_frames(98)
    assert cv2.utils.logging.getLogLevel() == level
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_damage_says_nothing_on_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = encode(tmp_path / "loud.mp4", options=B_FRAMES, picture=noisy)
    capfd.readouterr()
    damage(path, 12)
    with pytest.raises(FrameError):
        list(open_frames(path))
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


# Names, and what must not be seen ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("rtsp://user:secret@host/door", "door"),
        ("rtsp://host/user=admin&password=secret&channel=1&stream=0.sdp", "stream"),
        ("rtsp://host/cam/user=admin_password=secret_channel=1", "stream"),
        ("http://host/live.m3u8?token=secret", "live"),
        ("http://host/live;token=secret", "live"),
        ("http://user:secret@host", "stream"),
        ("http://host/", "stream"),
        ("rtmp://host/app/key%2F..%2Fpasswd", "passwd"),
        ("http://[bad/x", "stream"),
    ],
)
def test_a_stream_has_a_name_without_secrets(address: str, name: str) -> None:
    assert stream_name(address) == name


@pytest.mark.parametrize(
    ("name", "usable"),
    [
        ("clip", "clip"),
        ("Türe 1.final", "Türe 1.final"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..", "video"),
        (".hidden", "hidden"),
        ("a\x1b[2Jb\nc\u202ed", "a_[2Jb_c_d"),
        ("a\\b/c", "a_b_c"),
        ("  ", "video"),
        ("", "video"),
    ],
)
def test_names_suit_a_file(name: str, usable: str) -> None:
    assert usable_name(name) == usable


@pytest.mark.parametrize("letter", ["x", "é", "面"])
def test_names_are_not_too_long_for_a_file_system(letter: str, tmp_path: Path) -> None:
    name = usable_name(letter * 250)
    assert 50 < len(name.encode()) <= 120
    (tmp_path / f"{name}-12.jsonl").touch()


def test_no_secret_is_kept_where_others_read_it(tmp_path: Path, server: str) -> None:
    encode(tmp_path / "door.ts")
    address = server.replace("http://", "http://user:hunter2@") + "/door.ts?password=hunter2"
    with open_frames(address) as source:
        next(source)
        told = [source.name, source._place, *source.notes]
    with pytest.raises(SourceError) as caught:
        open_frames(address.replace("door", "none"))
    assert "hunter2" not in " ".join([*told, str(caught.value)])


# Text and streams in a file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "codec"), [("avi", "mjpeg"), ("mp4", "libx264"), ("mkv", "libx264"), ("mov", "libx264")]
)
def test_a_title_in_another_encoding_is_no_fault(tmp_path: Path, suffix: str, codec: str) -> None:
    path = tmp_path / f"title.{suffix}"
    with av.open(str(path), "w") as file:
        file.metadata["title"] = "Café am Main"
        stream: Any = file.add_stream(codec, 25)
        stream.metadata["title"] = "Café am Main"
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        file.set_chapters(
            [{"id": 1, "start": 0, "end": 9, "time_base": Fraction(1, 25), "metadata": {"title": "Café "}}]
        )
        for number in range(COUNT):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(grey(number))))
        file.mux(stream.encode(None))
    data = path.read_bytes()
    assert "Café ".encode() in data
    path.write_bytes(data.replace("Café ".encode(), "Café  ".encode("latin-1")))
    assert numbers(list(open_frames(path))) == list(range(COUNT))


def films(path: Path, sizes: list[tuple[int, int]], counts: list[int]) -> Path:
    with av.open(str(path), "w") as file:
        streams: list[Any] = []
        for width, height in sizes:
            streams.append(file.add_stream("mjpeg", 25))
            streams[-1].width, streams[-1].height, streams[-1].pix_fmt = width, height, "yuvj420p"
        file.start_encoding()
        for number in range(max(counts)):
            for stream, count, size in zip(streams, counts, sizes, strict=True):
                if number < count:
                    frame = av.VideoFrame.from_ndarray(grey(number, size))
                    frame.pts, frame.time_base = number, Fraction(1, 25)
                    file.mux(stream.encode(frame))
        for stream in streams:
            file.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mkv", "mov"])
def test_a_still_before_the_film_is_passed_over(tmp_path: Path, suffix: str) -> None:
    path = films(tmp_path / f"still.{suffix}", [(64, 48), SIZE], [1, COUNT])
    with open_frames(path) as source:
        assert source.size == SIZE
        assert numbers(list(source)) == list(range(COUNT))


def test_films_that_are_left_out_are_told(tmp_path: Path) -> None:
    path = films(tmp_path / "two.mkv", [SIZE, (64, 48)], [COUNT, COUNT])
    with open_frames(path) as source:
        assert numbers(list(source)) == list(range(COUNT))
        other = (SIZE, (64, 48))[source.size == SIZE]
    assert len(source.notes) == 1
    assert "2 video streams" in source.notes[0]
    assert f"{other[0]}x{other[1]}" in source.notes[0]


def test_an_animated_picture_gives_all_its_frames(tmp_path: Path) -> None:
    path = encode(tmp_path / "animated.avif", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"})
    with av.open(str(path)) as file:
        stills = [stream for stream in file.streams.video if stream.frames == 1]
    assert stills
    assert numbers(list(open_frames(path))) == list(range(COUNT))


def test_a_picture_in_tiles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "tiles.mp4", times=[0])
    monkeypatch.setattr(opening, "TILE", Disposition.default)  # what FFmpeg says of tiles is not written by it
    with pytest.raises(SourceError, match="a picture in tiles"):
        open_frames(path)
