import pytest
import torch

from lockon.boxes import (
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


@pytest.mark.parametrize(("text", "says"), [("1,2,3", "3 numbers"), ("1,2,3,4,5", "5 numbers"), ("a,b,c,d", "X,Y,W,H")])
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
