"""Single picture files: what is read, what is told of damage, and what is refused."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from lockon.errors import FrameError, PictureError, SourceError
from lockon.pictures import Image, PictureFile, Raw, open_file, reason, unpack
from lockon.pictures.opencv import imdecode
from lockon.pictures.png import chunk
from lockon.video import Frame, open_frames
from tests.tiffs import tiff

PROGRESSIVE = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
SAMPLINGS = ["411", "420", "422", "440", "444"]


def scene(height: int = 61, width: int = 83) -> Image:
    """Colours that change slowly, with grain."""
    y, x = np.mgrid[:height, :width]
    slow = np.stack([3 * x + y, x + 5 * y, 4 * np.hypot(x - width / 2, y - height / 2)], axis=2) % 256 / 2
    return (slow + np.random.default_rng(0).integers(0, 60, (height, width, 3))).astype(np.uint8)


def coded(suffix: str, *options: int) -> bytes:
    _, data = cv2.imencode(suffix, scene()[..., ::-1], options)
    return data.tobytes()


def pillow(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    out = BytesIO()
    Pillow.fromarray(scene()).convert(mode).save(out, kind, **options)
    return out.getvalue()


def by_opencv(data: bytes, flags: int = cv2.IMREAD_COLOR) -> Raw:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    assert image is not None
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def stderr_of(code: str, *arguments: object) -> str:
    """What a process prints on file descriptor 2, where libraries in C print."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stderr


def flip(data: bytes, place: int, bit: int = 16) -> bytes:
    changed = bytearray(data)
    changed[place] ^= bit
    return bytes(changed)


# Healthy pictures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("more", [[], PROGRESSIVE, [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]], ids=["", "progressive", "rst"])
def test_a_jpeg_has_the_pixels_that_opencv_gives(sampling: str, more: list[int]) -> None:
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    data = coded(".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor, *more)
    image, fault = unpack(data)
    assert (fault, image.dtype.name) == ("", "uint8")
    assert np.array_equal(image, by_opencv(data))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_grey_or_cmyk_jpeg_has_the_pixels_that_opencv_gives(mode: str) -> None:
    data = pillow("jpeg", mode)
    image, fault = unpack(data)
    assert fault == ""
    assert np.array_equal(image, by_opencv(data))


def test_a_jpeg_of_unusual_sampling_is_read() -> None:
    data = coded(".jpg", cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    place = data.index(b"\xff\xc0") + 11  # sampling of the first component, 1 x 1
    assert data[place] == 0x11
    data = data[:place] + b"\x31" + data[place + 1 :]  # 3 x 1, which TurboJPEG has no name for
    expected = imdecode(data, cv2.IMREAD_COLOR)
    assert expected is not None
    image, _ = unpack(data)
    assert np.array_equal(image, expected[..., ::-1])


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_pictures_are_turned_as_opencv_turns_them(tmp_path: Path, kind: str, turn: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = turn
    data = pillow(kind, exif=exif.tobytes(), lossless=True)
    with open_frames(write(tmp_path, f"a.{kind}", data)) as source:
        assert np.array_equal(next(source).image, by_opencv(data))
    stored = by_opencv(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    assert np.array_equal(PictureFile(str(tmp_path / f"a.{kind}")).decode(), stored)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_is_turned_for_tracking_and_left_for_annotations(tmp_path: Path, order: str) -> None:
    path = write(tmp_path, "a.tif", tiff([scene()], order=order, tags={274: 6}))
    with open_frames(path) as source:
        assert np.array_equal(next(source).image, np.rot90(scene(), -1))
    assert np.array_equal(PictureFile(str(path)).decode(), scene())


@pytest.mark.parametrize("name", ["a.jpg", "a.jpeg", "a.tif", "a.bmp", "a.webp"])
def test_what_a_picture_is_counts_and_not_its_name(tmp_path: Path, name: str) -> None:
    frames = list(open_frames(write(tmp_path, name, coded(".png"))))
    assert len(frames) == 1
    assert np.array_equal(frames[0].image, scene())


@pytest.mark.parametrize("kind", ["png", "tiff", "webp"])
def test_a_picture_without_a_suffix_is_read(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, "picture", pillow(kind, lossless=True) if kind == "webp" else pillow(kind))
    assert np.array_equal(next(open_frames(path)).image, scene())


def test_a_second_picture_after_the_first_of_a_jpeg_does_no_harm(tmp_path: Path) -> None:
    """As telephones append depth, or a brighter version."""
    data = coded(".jpg") + coded(".jpg", *PROGRESSIVE)[:-400]
    frames = list(open_frames(write(tmp_path, "a.jpg", data)))
    assert [frame.fault for frame in frames] == [""]


def test_a_very_wide_picture_is_read(tmp_path: Path) -> None:
    wide = np.zeros((9, 70_000, 3), np.uint8)
    wide[:, 69_000:] = 200
    for suffix in (".png", ".tif"):
        path = tmp_path / f"wide{suffix}"
        cv2.imwrite(str(path), wide)
        assert np.array_equal(next(open_frames(path)).image, wide)


def test_a_remark_in_the_picture_that_libpng_grumbles_at_is_not_printed(tmp_path: Path) -> None:
    plain = coded(".png")
    odd = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200)))
    path = write(tmp_path, "a.png", plain[:33] + odd + plain[33:])
    code = "import sys; from lockon.video import open_frames; print(next(open_frames(sys.argv[1])).image.shape)"
    assert stderr_of(code, path) == ""
    assert np.array_equal(next(open_frames(path)).image, scene())


# Damage ----------------------------------------------------------------------------------------------------------


def damaged_jpegs() -> dict[str, tuple[bytes, str]]:
    """By what libjpeg calls them, with words that a fault has."""
    plain = coded(".jpg")
    scan = plain.index(b"\xff\xda") + 14
    restarts = coded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 2)
    first = restarts.index(b"\xff\xd0", restarts.index(b"\xff\xda"))
    return {
        "junk between segments": (plain[:20] + b"\x12\x34" + plain[20:], "^2 extraneous bytes before marker 0xdb$"),
        "junk here and there": (plain[:20] + b"\x12" + plain[20:-2] + b"\x55" * 9 + plain[-2:], "^1 extr.*; .* extran"),
        "junk at the end": (plain[:-2] + b"\x55" * 50 + plain[-2:], "extraneous bytes"),
        "a piece lost": (plain[: scan + 900] + plain[scan + 1500 :], "premature end of data segment"),
        "a wrong restart": (restarts[: first + 1] + b"\xd3" + restarts[first + 2 :], "instead of RST0"),
        "ones": (plain[: scan + 400] + b"\xff\x00" * 40 + plain[scan + 480 :], "Huffman|extraneous|premature"),
    }


@pytest.mark.parametrize("name", damaged_jpegs())
def test_a_damaged_jpeg_is_given_with_its_fault(tmp_path: Path, name: str) -> None:
    data, words = damaged_jpegs()[name]
    for number in range(3):
        write(tmp_path, f"{number}.jpg", data if number == 1 else coded(".jpg"))
    frames = list(open_frames(tmp_path))
    assert [bool(frame.fault) for frame in frames] == [False, True, False]
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(frames[1].fault)
    code = "import cv2, sys; cv2.imwrite(sys.argv[2], cv2.imread(sys.argv[1]))"
    assert "Corrupt JPEG data" in stderr_of(code, tmp_path / "1.jpg", tmp_path / "expected.png")  # hence in a process
    assert np.array_equal(frames[1].image, by_opencv((tmp_path / "expected.png").read_bytes()))
    assert PictureFile(str(tmp_path / "1.jpg")).decode().shape == scene().shape


def test_libjpeg_and_opencv_print_nothing(tmp_path: Path) -> None:
    for number, (data, _) in enumerate(damaged_jpegs().values()):
        write(tmp_path, f"{number}.jpg", data)
    write(tmp_path, "5.jpg", coded(".jpg")[:-300])
    code = """
import sys
from lockon.errors import FrameError
from lockon.video import Frame, open_frames
try:
    print(len(list(open_frames(sys.argv[1]))))
except FrameError as error:
    print(error, file=sys.stderr)
"""
    path = tmp_path / "5.jpg"
    assert stderr_of(code, tmp_path) == f"{path}: frame 5 cannot be read, it ends too early\n"
    for name in ("a.tif", "a.png", "a.webp", "a.bmp", "a.jp2"):
        data = coded(Path(name).suffix)
        path = write(tmp_path, name, data[: len(data) // 2])
        said = stderr_of(code, path)
        assert said.startswith(f"{path}: frame 0 cannot be read, it ")
        assert said.count("\n") == 1


@pytest.mark.parametrize("more", [[], PROGRESSIVE], ids=["baseline", "progressive"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95, -2])
def test_a_jpeg_that_ends_too_early_is_unreadable(tmp_path: Path, more: list[int], share: float) -> None:
    data = coded(".jpg", *more)
    path = write(tmp_path, "a.jpg", data[:-2] if share < 0 else data[: int(share * len(data))])
    with pytest.raises(FrameError, match=r"a\.jpg: frame 0 cannot be read, it ") as caught:
        open_frames(path)
    assert caught.value.index == 0
    with pytest.raises(PictureError, match=r"a\.jpg: the picture (ends too early|is not a readable)"):
        PictureFile(str(path)).decode()


def test_a_jpeg_that_libjpeg_breaks_off_is_unreadable(tmp_path: Path) -> None:
    data = coded(".jpg", *PROGRESSIVE)
    second = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    broken = data[: second + 2] + b"\0\3" + data[second + 4 :]  # a scan's head of a length that no scan has
    with pytest.raises(FrameError, match="frame 0 cannot be read, it is damaged: "):
        open_frames(write(tmp_path, "a.jpg", broken))


def test_every_checksum_of_a_png_is_compared(tmp_path: Path) -> None:
    data = coded(".png")
    place = data.index(b"IDAT") + 30
    with pytest.raises(FrameError, match="frame 0 cannot be read, it is damaged, the checksum of IDAT differs"):
        open_frames(write(tmp_path, "a.png", flip(data, place)))
    note = chunk(b"tEXt", b"Comment\0hello")
    remark = data[:33] + flip(note, 12) + data[33:]
    assert np.array_equal(next(open_frames(write(tmp_path, "b.png", remark))).image, scene())
    with pytest.raises(PictureError, match="checksum of IDAT"):
        PictureFile(str(tmp_path / "a.png")).mask(1)


def test_a_damaged_piece_of_a_deflated_tiff_is_told(tmp_path: Path) -> None:
    data = tiff([scene()], deflate=True)
    blocks = [place for place in range(len(data)) if data[place : place + 2] == b"\x78\x9c"]
    frame = next(open_frames(write(tmp_path, "a.tif", flip(data, blocks[1] + 40))))
    assert frame.fault == "1 of 4 pieces of the picture are damaged"
    assert np.array_equal(frame.image[:16], scene()[:16])
    assert np.array_equal(frame.image[32:], scene()[32:])
    assert not np.array_equal(frame.image, scene())


CUT = {
    "tif": lambda: tiff([scene()]),
    "lzw.tif": lambda: coded(".tif"),
    "deflated.tif": lambda: tiff([scene()], deflate=True),
    "bmp": lambda: coded(".bmp"),
    "ppm": lambda: coded(".ppm"),
    "png": lambda: coded(".png"),
    "webp": lambda: coded(".webp"),
    "jp2": lambda: coded(".jp2"),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_picture_that_is_cut_is_unreadable(tmp_path: Path, name: str, share: float) -> None:
    data = CUT[name]()
    path = write(tmp_path, f"a.{name}", data[: int(share * len(data))])
    with pytest.raises(FrameError, match="frame 0 cannot be read, it "):
        open_frames(path)
    with pytest.raises(PictureError, match="the picture "):
        PictureFile(str(path)).decode()


# Sizes -----------------------------------------------------------------------------------------------------------


def claims(width: int, height: int) -> dict[str, bytes]:
    """Pictures of a few bytes that say to be large."""
    start = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", start) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    jpeg = bytearray(coded(".jpg"))
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = struct.pack(">HH", min(height, 65500), min(width, 65500))
    bmp = bytearray(coded(".bmp"))
    bmp[18:26] = struct.pack("<ii", width, height)
    large = tiff([scene()])
    return {
        "a.png": png,
        "a.jpg": bytes(jpeg),
        "a.bmp": bytes(bmp),
        "a.ppm": f"P6\n# large\n{width} {height}\n255\n".encode() + bytes(99),
        "a.pfm": f"PF\n{width} {height}\n-1\n".encode() + bytes(99),
        "a.hdr": f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {height} +X {width}\n".encode() + bytes(99),
        "a.tif": large.replace(struct.pack("<HHII", 256, 4, 1, 83), struct.pack("<HHII", 256, 4, 1, width)).replace(
            struct.pack("<HHII", 257, 4, 1, 61), struct.pack("<HHII", 257, 4, 1, height)
        ),
    }


@pytest.mark.parametrize("name", claims(1, 1))
def test_gigapixels_are_refused_before_memory_is_taken(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, claims(65_000, 65_000)[name])
    code = """
import resource, sys
from lockon.errors import FrameError
from lockon.video import Frame, open_frames
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_frames(sys.argv[1])
except FrameError as error:
    print(error, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000, file=sys.stderr)
"""
    said = stderr_of(code, path)
    assert said.startswith(f"{path}: frame 0 cannot be read, it says to have 65")
    assert said.endswith("pixels; no more than 268,435,456 are read True\n")


def test_a_tiff_with_too_few_bytes_for_its_size_is_refused(tmp_path: Path) -> None:
    data = tiff([np.zeros((64, 64), np.float32)], deflate=True, rows=64)
    for tag in (256, 257, 278):
        data = data.replace(struct.pack("<HHII", tag, 4, 1, 64), struct.pack("<HHII", tag, 4, 1, 16_000))
    with pytest.raises(FrameError, match="frame 0 cannot be read, it is damaged, it has too few bytes"):
        open_frames(write(tmp_path, "a.tif", data))


# What is no file -------------------------------------------------------------------------------------------------


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (make_pipe, "it is a named pipe, not a file"),
        (make_socket, "it is a socket, not a file"),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device, not a file"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.touch(), "it is empty"),
    ],
)
def test_what_is_no_file_is_told_and_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], what: str
) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    for number in (0, 2):
        cv2.imwrite(f"{number}.png", scene())
    make(Path("1.png"))
    for source in (".", "*.png", "%d.png"):
        with pytest.raises(FrameError, match=f"frame 1 cannot be read, {what}"):
            within_seconds(partial(read_all, source))
    with pytest.raises(PictureError, match=r"1\.png: " + ("the picture" if what == "it is empty" else "cannot be")):
        within_seconds(PictureFile("1.png").decode)
    if not Path("1.png").is_dir():
        with pytest.raises(SourceError, match=r"1\.png"):
            within_seconds(lambda: open_frames("1.png"))


def read_all(source: str) -> list[Frame]:
    return list(open_frames(source))


def within_seconds(call: Callable[[], object]) -> None:
    """Runs a call that must come back; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    if raised:
        raise raised[0]


def test_a_file_that_became_a_pipe_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    plain = os.stat(write(tmp_path, "plain", b"x"))
    monkeypatch.setattr(os, "stat", lambda path: plain)
    with pytest.raises(OSError, match="named pipe"):
        open_file(tmp_path / "pipe")


def test_names_that_no_file_can_have_are_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="File name too long"):
        open_frames(str(tmp_path / ("x" * 5000)))
    with pytest.raises(PictureError, match="cannot be read: embedded null"):
        PictureFile(str(tmp_path / "a\0b.png")).decode()


# OpenCV ----------------------------------------------------------------------------------------------------------


def test_opencvs_errors_are_told_by_their_reason() -> None:
    with pytest.raises(cv2.error) as caught:
        cv2.resize(np.zeros((0, 3), np.uint8), (2, 2))
    assert reason(caught.value) == "Assertion failed: !ssize.empty()"


def test_opencvs_log_is_left_as_it_was() -> None:
    before = cv2.utils.logging.getLogLevel()
    threads = [Thread(target=lambda: [imdecode(coded(".bmp")[:99], 1) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert cv2.utils.logging.getLogLevel() == before
