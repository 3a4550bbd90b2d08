import array
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import count, repeat

import numpy as np
import pytest
import torch

from lockon.boxes import (
    LARGEST,
    as_box,
    as_boxes,
    check_box,
    clip_box,
    cxcywh_to_xyxy,
    iou_and_giou,
    mirror,
    parse_box,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from lockon.errors import BoxError


def test_formats_go_round() -> None:
    xywh = torch.tensor([[10.0, 20.0, 30.0, 40.0]])
    xyxy = xywh_to_xyxy(xywh)
    assert xyxy.tolist() == [[10, 20, 40, 60]]
    assert xyxy_to_cxcywh(xyxy).tolist() == [[25, 40, 30, 40]]
    assert cxcywh_to_xyxy(xyxy_to_cxcywh(xyxy)).tolist() == xyxy.tolist()
    assert xyxy_to_xywh(xyxy).tolist() == xywh.tolist()


def test_mirrored_twice_a_box_is_where_it_was() -> None:
    box, width = torch.tensor([[10.0, 20.0, 30.0, 40.0]]), torch.tensor([101])
    assert mirror(box, width).tolist() == [[60, 20, 30, 40]]
    assert mirror(mirror(box, width), width).tolist() == box.tolist()
    torch.testing.assert_close(mirror(torch.tensor([0.1, 0.2, 0.3, 0.4])), torch.tensor([0.6, 0.2, 0.3, 0.4]))


def test_overlap_of_halves_and_of_strangers() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    b = torch.tensor([[1.0, 0.0, 3.0, 2.0], [3.0, 0.0, 4.0, 1.0]])
    iou, giou = iou_and_giou(a, b)
    torch.testing.assert_close(iou, torch.tensor([1 / 3, 0.0]))
    torch.testing.assert_close(giou, torch.tensor([1 / 3, -0.5]))  # the second pair's hull is half empty


def test_clip_keeps_a_margin_inside_the_frame() -> None:
    assert clip_box((10, 20, 30, 40), 100, 80) == (10, 20, 30, 40)
    assert clip_box((-50, -50, 20, 20), 100, 80, margin=10) == (0, 0, 10, 10)
    assert clip_box((200, 200, 5, 5), 100, 80, margin=10) == (90, 70, 10, 10)


@pytest.mark.parametrize("text", ["1,2,3,4", "1 2 3 4", "1, 2, 3, 4", "1\t2\t3\t4", "1;2;3;4"])
def test_boxes_are_read_in_any_usual_notation(text: str) -> None:
    assert parse_box(text) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,2,3", "3 numbers"),
        ("1,2,3,4,5", "5 numbers"),
        ("a,b,c,d", "X,Y,W,H"),
        ("", "0 numbers"),
        ("nan,1,2,3", "not finite"),
    ],
)
def test_a_text_that_is_no_box_says_how_to_write_one(text: str, says: str) -> None:
    with pytest.raises(BoxError, match=says):
        parse_box(text)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((0, 0, 0, 10), "no area"),
        ((0, 0, 10, -5), "no area"),
        ((float("nan"), 0, 10, 10), "not finite"),
        ((0, 0, float("inf"), 10), "not finite"),
        ((100, 0, 10, 10), "outside the frame, which is 100 x 80"),
        ((-20, 0, 20, 10), "outside the frame"),
        ((0, 80, 5, 5), "outside the frame"),
        ((1, 2, 3), "3 numbers"),
        (("a", "b", "c", "d"), "not made of numbers"),
    ],
)
def test_a_box_that_cannot_start_a_track_is_refused(box: tuple[float, ...], says: str) -> None:
    with pytest.raises(BoxError, match=says):
        check_box(box, 100, 80)


def test_a_box_that_is_partly_outside_is_fine() -> None:
    assert check_box((-5, -5, 20, 20), 100, 80) == (-5, -5, 20, 20)


FOUR = (60.0, 80.0, 40.0, 30.0)


class Table:
    """What tables of other libraries are: they iterate over something else, and convert themselves to an array."""

    def __init__(self, rows: object) -> None:
        self.rows = rows

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        return np.asarray(self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter("xywh")


ONE: list[Callable[[], object]] = [
    lambda: list(FOUR),
    lambda: (60, 80, 40, 30),
    lambda: (v for v in FOUR),
    lambda: map(float, FOUR),
    lambda: dict(zip("xywh", FOUR, strict=True)).values(),
    lambda: array.array("d", FOUR),
    lambda: [Fraction(60), Decimal(80), np.float16(40), np.int64(30)],
    lambda: tuple(torch.tensor(FOUR)),
    lambda: tuple(np.array(v) for v in FOUR),
    lambda: np.array(FOUR),
    lambda: np.array(FOUR, np.uint8),
    lambda: np.array(FOUR, np.longdouble),
    lambda: np.array([Fraction(60), Decimal(80), 40, 30], object),
    lambda: torch.tensor(FOUR),
    lambda: torch.tensor(FOUR).long(),
    lambda: torch.tensor(FOUR, dtype=torch.bfloat16),
    lambda: torch.tensor(FOUR).half(),
    lambda: torch.tensor(FOUR, requires_grad=True),
    lambda: [torch.tensor(60.0, requires_grad=True), 80, np.array(40), 30.0],
    lambda: Table(FOUR),
]
MANY: list[Callable[[], object]] = [
    lambda: [FOUR, FOUR],
    lambda: (iter(FOUR) for _ in range(2)),
    lambda: np.array([FOUR, FOUR]),
    lambda: torch.tensor([FOUR, FOUR], dtype=torch.int32),
    lambda: list(torch.tensor([FOUR, FOUR])),
    lambda: [FOUR, np.array(FOUR)],
    lambda: [iter(FOUR), tuple(torch.tensor(FOUR, dtype=torch.bfloat16))],
    lambda: {"a": FOUR, "b": FOUR}.values(),
    lambda: Table([FOUR, FOUR]),
]


@pytest.mark.parametrize("make", ONE)
def test_whatever_has_four_numbers_is_a_box(make: Callable[[], object]) -> None:
    assert as_boxes(make()) == ([FOUR], True)
    assert check_box(make(), 320, 240) == FOUR
    assert all(type(v) is float for v in as_box(make()))


@pytest.mark.parametrize("make", MANY)
def test_whatever_lists_such_fours_is_several_boxes(make: Callable[[], object]) -> None:
    assert as_boxes(make()) == ([FOUR, FOUR], False)


@pytest.mark.parametrize("boxes", [[FOUR], np.array([FOUR]), torch.tensor([FOUR])])
def test_a_list_of_one_box_is_a_list(boxes: object) -> None:
    assert as_boxes(boxes) == ([FOUR], False)


class Strange:
    """Something whose own text is a fault."""

    def __repr__(self) -> str:
        raise KeyError("no text")


NONE: list[Callable[[], object]] = [
    lambda: None,
    lambda: 5,
    lambda: "60,80,40,30",
    lambda: "1234",
    lambda: "9" * 10**6,
    lambda: b"1234",
    lambda: True,
    lambda: 10**5000,
    lambda: {"x": 60, "y": 80, "w": 40, "h": 30},
    lambda: {60, 80, 40, 30},
    lambda: (True, False, True, True),
    lambda: np.ones(4, bool),
    lambda: torch.ones(4, dtype=torch.bool),
    lambda: (1j, 2, 3, 4),
    lambda: np.ones(4, complex),
    lambda: torch.ones(4, dtype=torch.complex64),
    lambda: np.ones(4, "M8[s]"),
    lambda: (60, 80, 40, 10**400),
    lambda: (60, 80, 40, Decimal("sNaN")),
    lambda: (60, 80, 40, None),
    lambda: (60, 80, 40, [30]),
    lambda: (60, 80, 40, "9" * 10**6 + "x"),
    lambda: (60, 80, 40, Strange()),
    lambda: [FOUR, 5],
    lambda: [FOUR, (1, 2, 3)],
    lambda: [[FOUR]],
    list,
    lambda: (),
    lambda: [[], []],
    lambda: np.empty((0, 4)),
    lambda: torch.tensor(5.0),
    lambda: np.array(5.0),
    lambda: np.zeros((4, 1)),
    lambda: torch.zeros(2, 2, 4),
    lambda: np.zeros((2000, 2000), np.uint8),
    lambda: torch.empty(4, device="meta"),
    lambda: torch.eye(4).to_sparse(),
    lambda: count(),
    lambda: repeat(FOUR),
    lambda: [0.0] * 10**6,
    lambda: Strange(),
    lambda: Table(None),
    lambda: np.ndarray,
    lambda: float("nan"),
    lambda: torch.tensor([60.0, 80.0, float("inf"), 30.0]),
]


@pytest.mark.parametrize("make", NONE)
def test_whatever_is_no_box_is_refused_in_one_short_line(make: Callable[[], object]) -> None:
    for take in (as_boxes, as_box, lambda box: check_box(box, 320, 240)):
        with pytest.raises(BoxError) as caught:
            take(make())
        assert len(str(caught.value)) < 200
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, 5, b"1,2,3,4", (1, 2, 3, 4), "x" * 10**6, "1 " * 10**6, "1e999,1,1,1"])
def test_what_is_no_text_of_a_box_is_refused_in_one_short_line(text: object) -> None:
    with pytest.raises(BoxError) as caught:
        parse_box(text)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 200


def test_shares_of_the_frame_are_refused_and_the_message_says_what_to_do() -> None:
    with pytest.raises(BoxError, match=r"less than a pixel .* multiply them by its width and height, 320 and 240"):
        check_box((0.19, 0.33, 0.125, 0.167), 320, 240)
    with pytest.raises(BoxError, match=r"less than a pixel wide or high$"):
        check_box((19, 33, 12, 0.5), 320, 240)
    assert check_box((19.5, 33.5, 1, 2), 320, 240) == (19.5, 33.5, 1, 2)


def test_a_box_may_be_larger_than_the_frame_but_not_by_a_digit_too_many() -> None:
    most = LARGEST * 160.0
    assert check_box((-most / 2, -most / 2, most, most), 160, 120) == (-most / 2, -most / 2, most, most)
    for box in ((0, 0, 1.01 * most, 10), (0, 0, 10, 1.01 * most), (-5e4, -5e4, 1e5, 1e5), (-1e300, 0, 2e300, 10)):
        with pytest.raises(BoxError, match="more than 10 times as long as the frame, which is 160 x 120 pixels"):
            check_box(box, 160, 120)
