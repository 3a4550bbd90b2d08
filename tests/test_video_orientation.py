"""Turned and mirrored videos as players show them, the shape of their pixels, and their colours."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lockon.pictures import Image
from lockon.video import open_frames
from lockon.video.orientation import is_quarter, nearest, upright
from tests.clips import SIZE
from tests.test_video import encode

ONE, LAST = 1 << 16, 1 << 30


def corners() -> Image:
    """Red at the top left, green at the top right, dark below."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = 255, 0, 0
    image[:32, 48:] = 0, 255, 0
    return image


TURNS: dict[str, tuple[tuple[int, int, int, int], Image]] = {  # a, b, c, d, and the picture that players show
    "straight": ((1, 0, 0, 1), corners()),
    "mirrored": ((-1, 0, 0, 1), corners()[:, ::-1]),
    "upside down": ((1, 0, 0, -1), corners()[::-1]),
    "half a turn": ((-1, 0, 0, -1), corners()[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), np.rot90(corners(), -1)),
    "counter-clockwise": ((0, -1, 1, 0), np.rot90(corners(), 1)),
    "transposed": ((0, 1, 1, 0), corners().transpose(1, 0, 2)),
    "transposed the other way": ((0, -1, -1, 0), np.rot90(corners(), 2).transpose(1, 0, 2)),
    "zero": ((0, 0, 0, 0), corners()),
}


def turned(path: Path, matrix: tuple[int, ...], scale: int = ONE) -> Path:
    a, b, c, d = (value * scale for value in matrix)
    full = (a, b, 0, c, d, 0, 0, 0, LAST)

    def prepare(stream: Any) -> None:
        stream.set_display_matrix(full)

    return encode(path, times=[0, 0.04, 0.08], picture=lambda _: corners(), prepare=prepare)


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_matrix_is_applied_as_players_do(tmp_path: Path, name: str, suffix: str) -> None:
    matrix, expected = TURNS[name]
    with open_frames(turned(tmp_path / f"turned.{suffix}", matrix)) as source:
        frames = list(source)
    assert source.size == (expected.shape[1], expected.shape[0])
    assert not source.notes
    for frame in frames:
        assert frame.image.flags.c_contiguous
        difference = np.abs(frame.image.astype(int) - expected)
        assert np.median(difference) < 6
        assert difference.mean() < 12  # colours run together at the edges


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turn_in_matroska_is_applied(tmp_path: Path, turn: int) -> None:
    path = encode(
        tmp_path / "turned.mkv",
        times=[0, 0.04],
        picture=lambda _: corners(),
        prepare=lambda stream: stream.set_display_rotation(turn),
    )
    image = next(open_frames(path)).image
    assert np.abs(image.astype(int) - np.rot90(corners(), turn // 90)).mean() < 12


@pytest.mark.parametrize(("angle", "quarters"), [(10, 0), (80, 1), (100, 1), (190, 2), (260, 3)])
def test_other_angles_are_the_nearest_quarter_and_are_told(tmp_path: Path, angle: int, quarters: int) -> None:
    path = encode(
        tmp_path / "oblique.mp4",
        times=[0, 0.04],
        picture=lambda _: corners(),
        prepare=lambda stream: stream.set_display_rotation(angle),
    )
    with open_frames(path) as source:
        image = list(source)[1].image
    assert np.abs(image.astype(int) - np.rot90(corners(), quarters)).mean() < 12
    assert source.notes == ["it is to be shown at an angle; it is turned by the nearest quarter"]


@pytest.mark.parametrize("name", TURNS)
def test_players_and_we_agree_on_each_matrix(name: str) -> None:
    """FFmpeg's own rule, from which its player turns: angle first, then the signs of the matrix."""
    matrix, expected = TURNS[name]
    image = corners()
    assert (upright(image, matrix) == expected).all()
    assert (upright(image, tuple(2 * value for value in matrix)) == expected).all()  # type: ignore[arg-type]
    assert is_quarter(matrix)


def test_a_matrix_that_is_off_by_rounding_is_no_angle() -> None:
    assert is_quarter((65536, 3, -3, 65536))
    assert nearest((65536, 3, -3, 65536)) == (False, False, False)
    assert not is_quarter((46341, 46341, -46341, 46341))


def test_side_data_of_an_unknown_kind_leaves_the_angle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lockon.video import orientation

    class Frame:
        rotation = 90

        @property
        def side_data(self) -> object:
            raise ValueError("32 is not a valid Type")

    frame: Any = Frame()
    assert nearest(orientation.read_matrix(frame)) == (True, True, False)
    frame.__class__.rotation = -(2**31)
    assert nearest(orientation.read_matrix(frame)) == (False, False, False)
    assert isinstance(av.__version__, str)


def shaped(path: Path, aspect: Fraction, turn: int = 0) -> Path:
    def prepare(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect
        stream.set_display_rotation(turn)

    return encode(path, times=[0, 0.04], prepare=prepare)


def test_the_shape_of_pixels_is_told(tmp_path: Path) -> None:
    with open_frames(shaped(tmp_path / "wide.mp4", Fraction(16, 11))) as source:
        assert (source.pixel_aspect, source.size) == (Fraction(16, 11), SIZE)
    with open_frames(shaped(tmp_path / "turned.mp4", Fraction(16, 11), 90)) as source:
        assert (source.pixel_aspect, source.size) == (Fraction(11, 16), SIZE[::-1])
    with open_frames(encode(tmp_path / "square.mp4", times=[0])) as source:
        assert source.pixel_aspect == 1


@pytest.mark.parametrize("transfer", [16, 18])
def test_bright_colours_keep_their_code_values(tmp_path: Path, transfer: int) -> None:
    """BT.2020 in PQ and HLG: the matrix is applied, the curve and the primaries stay."""
    luma, blue, red = 500, 400, 700  # of 10 bits
    path = tmp_path / "bright.mkv"
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        frame = av.VideoFrame(64, 64, "yuv420p10le")
        for thing in (stream.codec_context, frame):
            thing.colorspace, thing.color_primaries, thing.color_trc, thing.color_range = 9, 9, transfer, 1
        for plane, level in zip(frame.planes, (luma, blue, red), strict=True):
            plane.update(np.full(plane.buffer_size // 2, level, np.uint16).tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    y, u, v = (luma - 64) / 876, (blue - 512) / 896, (red - 512) / 896
    r, b = y + 2 * (1 - 0.2627) * v, y + 2 * (1 - 0.0593) * u
    g = (y - 0.2627 * r - 0.0593 * b) / (1 - 0.2627 - 0.0593)
    found = next(open_frames(path)).image.mean((0, 1))
    np.testing.assert_allclose(found, 255 * np.array([r, g, b]), atol=3)
