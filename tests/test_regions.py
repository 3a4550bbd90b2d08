"""VOT regions: their text and files, and their overlap as both toolkits draw them."""

from __future__ import annotations

import json
import math
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lockon.errors import DataError, LockonError, OutputError
from lockon.evaluation.overlaps import Toolkit, overlaps
from lockon.evaluation.region_files import read_regions, write_regions
from lockon.evaluation.regions import (
    FAILED,
    NOTHING,
    STARTED,
    Mask,
    Polygon,
    Rectangle,
    Region,
    crop,
    enclosing_box,
    fitted_box,
    format_region,
    parse_region,
    region_of,
    truth,
)
from lockon.evaluation.sequences import Sequence

REFERENCE = json.loads((Path(__file__).parent / "reference/cases/metrics/regions.json").read_text())
SIZE = (float(REFERENCE["image_size"][0]), float(REFERENCE["image_size"][1]))
SMALLER = (SIZE[0] - 1, SIZE[1] - 1)
WAYS: dict[str, tuple[tuple[float, float] | None, Toolkit]] = {
    "pysot_nobounds": (None, "pysot"),
    "pysot_bounds_w_h": (SIZE, "pysot"),
    "pysot_bounds_w1_h1": (SMALLER, "pysot"),
    "vot_nobounds": (None, "vot"),
    "vot_bounds_w_h": (SIZE, "vot"),
}
QUAD = Polygon(((20, 10), (60, 20), (50, 50), (10, 40)))


def as_polygon(values: list[float]) -> Region:
    if len(values) != 4:
        return region_of(values)
    x, y, w, h = values
    return Polygon(((x, y), (x + w, y), (x + w, y + h), (x, y + h)))


def same(a: Region, b: Region) -> bool:
    """Equal, or the same pixels of the frame."""
    if not (isinstance(a, Mask) and isinstance(b, Mask)):
        return a == b
    a, b = crop(a), crop(b)
    empty = not (a.pixels.any() or b.pixels.any())
    return empty or ((a.x, a.y) == (b.x, b.y) and np.array_equal(a.pixels, b.pixels))


def moved_by_60(region: Region) -> Region:
    match region:
        case Rectangle():
            return Rectangle(region.x + 60, region.y + 60, region.width, region.height)
        case Polygon():
            return Polygon(tuple((x + 60, y + 60) for x, y in region.points))
        case Mask():
            return Mask(region.x + 60, region.y + 60, region.pixels)
    return region


# Overlap: the reference


@pytest.mark.parametrize("way", WAYS)
def test_overlap_of_the_reference_pairs(way: str) -> None:
    pairs = REFERENCE["pairs"]
    found = overlaps([region_of(p["a"]) for p in pairs], [region_of(p["b"]) for p in pairs], *WAYS[way])
    np.testing.assert_allclose(found, [float(p["expected"][way]) for p in pairs], rtol=0, atol=1e-6)


def test_overlap_of_rectangles_drawn_as_polygons() -> None:
    pairs = REFERENCE["pairs"]
    found = overlaps([as_polygon(p["a"]) for p in pairs], [as_polygon(p["b"]) for p in pairs], SIZE, "vot")
    np.testing.assert_allclose(found, [p["expected"]["vot_polygon_both_w_h"] for p in pairs], rtol=0, atol=1e-12)


@pytest.mark.parametrize("pair", REFERENCE["mask_overlaps"], ids=lambda pair: f"{pair['a']}-{pair['b']}")
def test_overlap_of_the_reference_masks(pair: dict[str, Any]) -> None:
    a, b = (parse_region(REFERENCE["masks"][pair[side]]["full"]) for side in "ab")
    rectangle = Rectangle(10, 8, 25, 17)
    assert overlaps([a], [b], None, "vot")[0] == pytest.approx(pair["overlap"])
    assert overlaps([a], [b], (60, 40), "vot")[0] == pytest.approx(pair["overlap_bounds_60_40"])
    assert overlaps([a], [rectangle], (60, 40), "vot")[0] == pytest.approx(pair["overlap_a_rect_10_8_25_17"])


@pytest.mark.parametrize("mask", REFERENCE["masks"], ids=lambda mask: f"{mask['shape']}")
def test_text_of_the_reference_masks(mask: dict[str, Any]) -> None:
    region = parse_region(mask["full"])
    assert isinstance(region, Mask)
    assert list(region.pixels.shape) == mask["shape"]
    assert region.pixels.sum() == mask["pixels"]
    if mask["cropped"]:
        assert format_region(region) == mask["cropped"]
        assert same(region, parse_region(mask["cropped"]))


# Overlap: its rules


def test_a_sequence_may_mix_types() -> None:
    frames: list[Region] = [Rectangle(10, 10, 40, 20), QUAD, Mask(10, 10, np.ones((20, 40), bool)), NOTHING]
    alone = [overlaps([region], [frames[0]], (100, 100), "vot")[0] for region in frames]
    np.testing.assert_array_equal(overlaps(frames, [frames[0]] * 4, (100, 100), "vot"), alone)
    assert alone[0] == alone[2] == 1
    assert alone[3] == 0


def test_polygons_of_a_sequence_may_have_different_numbers_of_corners() -> None:
    triangle, hexagon = (
        Polygon(((5, 5), (40, 8), (20, 40))),
        Polygon(((30, 5), (50, 5), (60, 20), (50, 35), (30, 35), (20, 20))),
    )
    for toolkit in ("pysot", "vot"):
        together = overlaps([triangle, QUAD, hexagon], [QUAD, hexagon, triangle], (80, 80), toolkit)
        alone = [
            overlaps([a], [b], (80, 80), toolkit)[0]
            for a, b in ((triangle, QUAD), (QUAD, hexagon), (hexagon, triangle))
        ]
        np.testing.assert_array_equal(together, alone)


def test_overlap_with_codes() -> None:
    box = Rectangle(1, 2, 3, 4)
    assert overlaps([STARTED, NOTHING, FAILED], [NOTHING, box, FAILED], None, "vot").tolist() == [1, 0, 1]
    assert np.isnan(overlaps([STARTED, box], [box, NOTHING], None, "pysot")).all()


def test_what_lies_outside_the_frame_does_not_count() -> None:
    inside, beyond = Rectangle(80, 10, 20, 20), Rectangle(80, 10, 40, 20)
    assert overlaps([inside], [beyond], None, "vot")[0] == 0.5
    assert overlaps([inside], [beyond], (100, 100), "vot")[0] == 1
    assert overlaps([Rectangle(200, 10, 20, 20)], [Rectangle(200, 10, 20, 20)], (100, 100), "vot")[0] == 0


def test_a_frame_of_nothing() -> None:
    assert overlaps([], [], None, "vot").shape == (0,)


def test_pysot_outside_the_frame() -> None:
    left, corner = Rectangle(-100, -20, 40, 20), Rectangle(-80, -40, 10, 20)
    assert overlaps([left, corner], [left, corner], SIZE, "pysot").tolist() == [0, 0]
    assert overlaps([left, corner], [left, corner], None, "pysot").tolist() == [1, 1]


def test_pysot_has_no_masks() -> None:
    with pytest.raises(DataError, match="no masks"):
        overlaps([Mask(0, 0, np.ones((4, 4), bool))], [QUAD], None, "pysot")


COORDINATE = st.floats(-50, 150, width=32)
EXTENT = st.floats(2, 80, width=32)
RECTANGLES = st.builds(Rectangle, COORDINATE, COORDINATE, EXTENT, EXTENT)
POLYGONS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=6).map(lambda p: Polygon(tuple(p)))
MASKS = st.builds(
    Mask,
    st.integers(-20, 80),
    st.integers(-20, 80),
    arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30))),
)


@settings(deadline=None)
@given(st.lists(st.tuples(RECTANGLES | POLYGONS, RECTANGLES | POLYGONS), max_size=4), st.sampled_from(["pysot", "vot"]))
def test_overlap_is_symmetric_and_between_0_and_1(pairs: list[tuple[Region, Region]], toolkit: Toolkit) -> None:
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = overlaps(a, b, (100, 80), toolkit)
    assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()
    np.testing.assert_array_equal(found, overlaps(b, a, (100, 80), toolkit))


@settings(deadline=None)
@given(MASKS, RECTANGLES | POLYGONS | MASKS)
def test_overlap_with_masks_is_symmetric_and_between_0_and_1(a: Mask, b: Region) -> None:
    found = overlaps([a], [b], (100, 80), "vot")[0]
    assert 0 <= found <= 1
    assert found == overlaps([b], [a], (100, 80), "vot")[0]


@settings(deadline=None)
@given(RECTANGLES | POLYGONS | MASKS)
def test_equal_regions_overlap_entirely(region: Region) -> None:
    inside = moved_by_60(region)
    assert overlaps([inside], [inside], (1000, 1000), "vot")[0] == 1
    if not isinstance(region, Mask):
        drawn = overlaps([region], [region], None, "pysot")[0]
        assert drawn == 1 or (np.isnan(drawn) and isinstance(region, Polygon))


@settings(deadline=None)
@given(RECTANGLES)
def test_a_rectangle_is_its_pixels(box: Rectangle) -> None:
    x, y, w, h = (round(v) for v in (box.x, box.y, box.width, box.height))
    mask = Mask(x, y, np.ones((h, w), bool))
    other = Rectangle(10, 20, 60, 30)
    assert overlaps([box], [other], (100, 80), "vot")[0] == overlaps([mask], [other], (100, 80), "vot")[0]


def pixels_of(polygon: Polygon, thin: bool) -> set[tuple[int, int]]:
    """Drawn pixel by pixel; all corners lie on pixels."""
    drawn = set()
    edges = list(zip(polygon.points, polygon.points[-1:] + polygon.points[:-1], strict=True))
    for row in range(40):
        nodes = []
        for (x, y), (x0, y0) in edges:
            if y0 != y and min(y, y0) <= row <= max(y, y0):
                nodes.append(int(x + (row - y) / (y0 - y) * (x0 - x)))
            elif thin and y0 == y == row:
                nodes.append(int(x))
        nodes.sort()
        while len(nodes) > 1:
            first, last = nodes[:2]
            if first == last and not (thin and len(nodes) == 2):
                nodes = nodes[1:]
            else:
                drawn |= {(column, row) for column in range(first, last + 1)}
                nodes = nodes[2:]
    return drawn


ON_PIXELS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=6, unique=True)


@settings(deadline=None)
@given(ON_PIXELS, ON_PIXELS, st.sampled_from(["pysot", "vot"]))
def test_overlap_of_polygons_is_that_of_their_pixels(a: list[Any], b: list[Any], toolkit: Toolkit) -> None:
    # From the frame's corner, so that a node's decimals are cut towards it.
    one, other = Polygon(((0, 0), (35, 35), *a)), Polygon(((35, 35), (0, 0), *b))
    pixels, others = (pixels_of(polygon, thin=toolkit == "vot") for polygon in (one, other))
    assert overlaps([one], [other], (40, 40), toolkit)[0] == len(pixels & others) / len(pixels | others)


# Boxes


def test_boxes_around_regions() -> None:
    mask = Mask(5, 6, np.pad(np.ones((3, 4), bool), 2))
    assert enclosing_box(QUAD) == (10, 10, 50, 40)
    assert enclosing_box(Rectangle(1, 2, 3, 4)) == (1, 2, 3, 4)
    assert enclosing_box(mask) == (7, 8, 4, 3)


def test_pysot_fits_a_box_of_about_the_same_area() -> None:
    upright = Polygon(((10, 20), (50, 20), (50, 40), (10, 40)))
    x, y, w, h = fitted_box(upright)
    assert (w, h) == (41, 21)
    assert (x + (w - 1) / 2, y + (h - 1) / 2) == (30, 30)
    _, _, w, h = fitted_box(QUAD)
    assert (w - 1) * (h - 1) == pytest.approx(math.dist((20, 10), (60, 20)) * math.dist((60, 20), (50, 50)))
    with pytest.raises(DataError, match="expected four corners"):
        fitted_box(Polygon(((0, 0), (1, 0), (1, 1))))


def test_the_truth_of_a_sequence() -> None:
    boxes = np.array([[1, 2, 3, 4], [np.nan] * 4])
    assert truth(Sequence("a", (), boxes)) == [Rectangle(1, 2, 3, 4), NOTHING]
    assert truth(Sequence("a", (), boxes, regions=("20,10,60,20,50,50,10,40", ""))) == [QUAD, NOTHING]
    with pytest.raises(DataError, match="a, line 2: 3 numbers are no region"):
        truth(Sequence("a", (), boxes, regions=("1,2,3,4", "1,2,3")))


# Text and files


def test_text_of_regions() -> None:
    assert parse_region("1") == STARTED
    assert parse_region("nan,nan,nan,nan") == NOTHING
    assert parse_region("1.5,2,3,4") == parse_region("1.5\t2 3 4") == Rectangle(1.5, 2, 3, 4)
    assert format_region(Rectangle(1.5, 2, 3, 4)) == "1.5000,2.0000,3.0000,4.0000"
    assert parse_region("20,10,60,20,50,50,10,40") == QUAD
    assert format_region(FAILED) == "2"
    assert format_region(Mask(3, 4, np.array([[False, True, True], [True, True, False]]))) == "m3,4,3,2,1,4,1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 numbers are no region"),
        ("7", "1 numbers are no region"),
        ("1,2,3", "3 numbers are no region"),
        ("1,2,3,4,5,6,7", "7 numbers are no region"),
        ("1,2,3,x", "'1,2,3,x' is not a region"),
        ("1,2,nan,4", "not finite"),
        ("1,2,inf,4", "not finite"),
        ("m1,2,3", "is not a mask"),
        ("m1,2,3,4,a", "is not a mask"),
        ("m0,0,2,2,1,9", "no mask of 2 x 2"),
        ("m0,0,2,2,-1,3", "no mask of 2 x 2"),
    ],
)
def test_malformed_text(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        parse_region(text)
    file = tmp_path / "a_001.txt"
    file.write_text(f"1\n{text}\n1,2,3,4\n")
    with pytest.raises(DataError, match=f"a_001.txt, line 2: .*{message}"):
        read_regions(file)


@settings(deadline=None)
@given(MASKS)
def test_masks_survive_text(mask: Mask) -> None:
    assert same(parse_region(format_region(mask)), mask)


@pytest.mark.parametrize("suffix", [".txt", ".bin"])
def test_files(suffix: str, tmp_path: Path) -> None:
    large = np.zeros((300, 400), bool)  # runs longer than 16 bits tell
    large[0, 0] = large[-1, -1] = large[:, :399][250:] = True
    regions: list[Region] = [
        STARTED,
        Rectangle(1.5, -2, 3, 4),
        FAILED,
        NOTHING,
        QUAD,
        Mask(-2, 5, large),
        Mask(0, 0, ~large),
    ]
    file = tmp_path / "tracker" / f"a_001{suffix}"
    write_regions(file, regions)
    back = read_regions(file)
    assert len(back) == len(regions)
    assert all(map(same, back, regions))


def test_the_binary_form_byte_by_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    write_regions(file, [STARTED, Rectangle(1, 2, 3, 4), Mask(3, 4, np.array([[False, True]]))])
    header = b"\x01\x00" + b"\x03\x00\x00\x00"
    box = b"\x01" + np.array([1, 2, 3, 4], "<f4").tobytes()
    mask = b"\x03" + np.array([4, 4, 1, 1, 2, 0, 1], "<u2").tobytes()  # cropped to its one pixel
    assert file.read_bytes() == header + b"\x00\x01\x00\x00\x00" + box + mask


def test_malformed_binary_files(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    write_regions(file, [STARTED, QUAD])
    good = file.read_bytes()
    for content, message in (
        (good[:-3], "region 2 cannot be read"),
        (good + b"1", "more than its 2 regions"),
        (good[:11] + b"\x09" + good[12:], "region 2 cannot be read: expected a code"),
        (b"\x02" + good[1:], "version 1"),
        (b"", "region 1 cannot be read"),
    ):
        file.write_bytes(content)
        with pytest.raises(DataError, match=f"a.bin: .*{message}"):
            read_regions(file)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a_001.txt is missing"):
        read_regions(tmp_path / "a_001.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe1\n")
    with pytest.raises(DataError, match=r"b.txt, line 1 begins as UTF-16 text"):
        read_regions(tmp_path / "b.txt")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_regions(tmp_path / "file" / "c.txt", [STARTED])
    with pytest.raises(LockonError, match="cannot write regions"):
        write_regions(tmp_path / "d.bin", [Mask(40000, 0, np.ones((1, 1), bool))])


# What files claim


def memory_of(call: Callable[[], object]) -> int:
    """The most bytes that a call has at once, beyond what was there before."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("m0,0,65535,65535,0,4294836225", "a mask of 65535 x 65535 pixels; the most is 67108864"),
        ("m0,0,65535,65535,0", "a mask of 65535 x 65535 pixels; the most is 67108864"),
        (f"m0,0,{10**30},{10**30},0,1", "a mask of more than 10.20 x more than 10.20 pixels"),
        (f"m{10**30},0,1,1,0,1", "a mask at more than 10.20, 0; the farthest"),
        (f"m0,-{10**9},1,1,0,1", "a mask at 0, -1000000000; the farthest"),
        ("m0,0,4,4,1_0", "is not a mask"),
        ("1e39,0,1,1", "beyond single precision"),
        ("1_0,0,1,1", "'1_0,0,1,1' is not a region"),
        ("1,,2,3,4", "'1,,2,3,4' is not a region"),
        ("1,2", "2 numbers are a point"),
        (",".join(["1"] * 2002), "a polygon of 1001 corners; the most is 1000"),
    ],
)
def test_what_a_text_claims_has_bounds(text: str, message: str) -> None:
    def refused() -> None:
        with pytest.raises(DataError, match=message):
            parse_region(text)

    assert memory_of(refused) < 1_000_000


def test_many_large_masks_cost_what_their_text_costs(tmp_path: Path) -> None:
    file = tmp_path / "a_001.txt"
    file.write_text("m0,0,8000,8000,0,64000000\n" * 1000)  # 64 GB of pixels
    regions: list[Region] = []
    assert memory_of(lambda: regions.extend(read_regions(file))) < 10_000_000
    assert len(regions) == 1000
    assert enclosing_box(regions[999]) == (0, 0, 8000, 8000)  # type: ignore[arg-type]


@settings(deadline=None)
@given(MASKS)
def test_the_extent_of_a_mask_is_that_of_its_pixels(mask: Mask) -> None:
    rows, columns = np.flatnonzero(mask.pixels.any(1)), np.flatnonzero(mask.pixels.any(0))
    if not len(rows):
        assert mask.extent is None
    else:
        assert mask.extent == (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (struct.pack("<B2h3H2H", 3, 0, 0, 65535, 65535, 2, 0, 1), "region 1 .* a mask of 65535 x 65535 pixels"),
        (struct.pack("<B2h3H", 3, 0, 0, 2, 2, 65535), "region 1 cannot be read"),
        (struct.pack("<BH", 2, 65535), "region 1 cannot be read"),
        (struct.pack("<BH", 2, 0), "region 1 .* 0 corners are no polygon"),
        (struct.pack("<BH2f", 2, 1, 1, 2), "region 1 .* 1 corners are no polygon"),
        (struct.pack("<BH6f", 2, 3, 1, 2, 3, 4, 5, math.inf), "region 1 .* not finite"),
        (struct.pack("<B4f", 1, 1, 2, 3, math.nan), "region 1 .* not finite"),
        (struct.pack("<BI", 0, 7), "region 1 .* 7 is no code"),
        (struct.pack("<B2f", 4, 1, 2), "region 1 .* 2 numbers are a point"),
    ],
)
def test_what_a_binary_file_claims_has_bounds(tmp_path: Path, region: bytes, message: str) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(struct.pack("<hI", 1, 2**32 - 1) + region)

    def refused() -> None:
        with pytest.raises(DataError, match=message):
            read_regions(file)

    assert memory_of(refused) < 2_000_000


def test_all_nan_in_a_binary_file_is_no_region(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    nan = math.nan
    file.write_bytes(struct.pack("<hIB4fBH6f", 1, 2, 1, nan, nan, nan, nan, 2, 3, *[nan] * 6))
    assert read_regions(file) == [NOTHING, NOTHING]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"1\n\xff\n", "line 2 is not UTF-8 text"),
        (b"1\x00\n1\x00\n", "line 1 has a NUL byte"),
        ("1\n1,2,3,4\n".encode("utf-16"), "begins as UTF-16 text does"),
        (b"1\n\n1,2,3,4\n", "line 2: 0 numbers are no region"),
        (b"1\n1;2;3;4\n", "line 2: '1;2;3;4' is not a region"),
        (b"1\n1,2,3,4,\n5", "line 3: 1 numbers are no region"),
    ],
)
def test_texts_that_are_none_of_regions(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a_001.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"a_001.txt.*{message}"):
        read_regions(file)


def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a_001.txt"
    for ends in (b"\r\n", b"\r", b"\n"):
        file.write_bytes(b"\xef\xbb\xbf" + ends.join([b"1", b"1,2,3,4", b""]))
        assert read_regions(file) == [STARTED, Rectangle(1, 2, 3, 4)]


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a_001.txt", "a_001.bin"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(DataError, match="it is a named pipe, not a file"):
            read_regions(tmp_path / name)
        (tmp_path / name).unlink()
        with (tmp_path / name).open("wb") as file:
            file.truncate(2**40)  # a hole: no disk is filled
        with pytest.raises(DataError, match="is larger than 1073741824 bytes"):
            read_regions(tmp_path / name)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from([".txt", ".bin"]),
    st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=3)), max_size=3),
    st.integers(0, 200),
)
def test_damaged_files_are_regions_or_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, damages: list[tuple[int, bytes]], length: int
) -> None:
    file = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    write_regions(file, [STARTED, QUAD, Rectangle(1, 2, 3, 4), Mask(3, 4, np.eye(5, dtype=bool)), NOTHING])
    content = bytearray(file.read_bytes()[:length])
    for place, damage in damages:
        content[place : place + len(damage)] = damage
    file.write_bytes(content)
    try:
        regions = read_regions(file)
    except DataError:
        return
    for region in regions:
        assert type(parse_region(format_region(region))) is type(region)  # to four decimals


NUMBERS = st.floats(width=32) | st.integers(-(10**40), 10**40)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["", "m"]), st.lists(NUMBERS, max_size=9), st.sampled_from([",", " ", ", ", ",,"]))
def test_any_numbers_are_a_region_or_refused(begin: str, values: list[float], between: str) -> None:
    try:
        region = parse_region(begin + between.join(map(str, values)))
    except DataError:
        return
    toolkits: tuple[Toolkit, ...] = ("vot",) if isinstance(region, Mask) else ("pysot", "vot")
    with np.errstate(all="raise"):
        for toolkit in toolkits:
            found = overlaps([region], [Rectangle(10, 10, 40, 20)], (100, 80), toolkit)[0]
            assert 0 <= found <= 1 or np.isnan(found)


# What overlaps cost


def zigzag(corners: int, x: float) -> Polygon:
    """A polygon that crosses every row of a frame so many times."""
    return Polygon(tuple((x + 1.5 * k, 1079.0 * (k % 2)) for k in range(corners)))


def test_regions_far_beyond_the_frame_cost_what_the_frame_costs() -> None:
    far, wide = Polygon(((-1e9, -1e9), (1e9, -1e9), (1e9, 1e9), (-1e9, 1e9))), Rectangle(-1e37, -1e37, 2e37, 2e37)
    half = Rectangle(0, 0, 50, 80)
    for toolkit in ("pysot", "vot"):
        found: list[float] = []
        used = memory_of(lambda found=found, kit=toolkit: found.extend(overlaps([far], [half], (100, 80), kit)))  # type: ignore[misc]
        assert found[0] == pytest.approx(0.5, abs=0.01)
        assert used < 5_000_000
        assert overlaps([wide], [half], (100, 80), toolkit)[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (Polygon(((0, 0), (1e9, 0), (0, 1e9))), Polygon(((0, 0), (1e9, 0), (1e9, 1e9)))),
        (Rectangle(0, 0, 10, 1e12), Rectangle(5, 0, 10, 1e12)),
        (Mask(-(2**23), 0, np.ones((2, 2), bool)), Polygon(((-(2.0**23), 0), (2.0**23, 0), (0, 9000)))),
    ],
)
def test_without_a_frame_s_size_what_is_too_large_to_be_drawn_is_refused(a: Region, b: Region) -> None:
    def refused() -> None:
        with pytest.raises(DataError, match=r"regions over \d+ x \d+ pixels are too large to be compared"):
            overlaps([a], [b], None, "vot")

    assert memory_of(refused) < 5_000_000


@pytest.mark.parametrize("toolkit", ["pysot", "vot"])
def test_many_frames_and_corners_are_compared_in_parts(toolkit: Toolkit) -> None:
    crossing = [zigzag(200, x) for x in (0.0, 7.0, 100.0)] * 2
    box = [Rectangle(20, 100, 200, 500)] * 6
    alone = [overlaps([a], [b], (640, 1080), toolkit)[0] for a, b in zip(crossing[:3], box[:3], strict=True)]
    found: list[float] = []
    used = memory_of(lambda: found.extend(overlaps(crossing, box, (640, 1080), toolkit)))
    assert found == alone * 2
    assert used < 60_000_000


@settings(deadline=None)
@given(ON_PIXELS, ON_PIXELS, st.sampled_from(["pysot", "vot"]))
def test_many_spans_are_compared_as_few_are(a: list[Any], b: list[Any], toolkit: Toolkit) -> None:
    one, other = Polygon(((0, 0), (35, 35), *a)), Polygon(((35, 35), (0, 0), *b))
    expected = overlaps([one], [other], (40, 40), toolkit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lockon.evaluation.overlaps.FEW_SPANS", 0)
        np.testing.assert_array_equal(overlaps([one], [other], (40, 40), toolkit), expected)
