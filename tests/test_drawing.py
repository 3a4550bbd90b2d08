import json
from pathlib import Path

import numpy as np

from lockon.drawing import draw_results
from lockon.track import Tracked, TrackWriter
from lockon.tracker import Result
from lockon.video import Frame

GREY = np.full((120, 160, 3), 100, np.uint8)


def masked_result() -> Result:
    mask = np.zeros((120, 160), bool)
    mask[60:80, 50:90] = True
    return Result((40, 50, 60, 40), 0.9, True, mask, ((50, 60), (90, 60), (90, 80), (50, 80)))


def test_a_mask_is_tinted_and_the_picture_itself_left_alone() -> None:
    before = GREY.copy()
    drawn = draw_results(GREY, [masked_result()])
    np.testing.assert_array_equal(before, GREY)
    inside, outside = drawn[65:75, 60:80], drawn[100:110, 110:150]
    assert (inside == inside[0, 0]).all()
    assert inside[0, 0, 1] > inside[0, 0, 0]  # the first target's colour is green
    assert (outside == 100).all()


def test_the_rotated_box_is_drawn_and_written(tmp_path: Path) -> None:
    result = masked_result()
    plain = draw_results(GREY, [Result(result.box, result.score, True, result.mask)])
    changed = (draw_results(GREY, [result]) != plain).any(-1)
    assert changed[60, 70]
    assert changed[70, 90]
    assert not changed[65:75, 60:80].any()
    with TrackWriter(tmp_path, "clip", 1, 25.0) as writer:
        writer.write(Tracked(Frame(0, GREY, 0.0), [result], {}))
    row = json.loads((tmp_path / "clip.jsonl").read_text())
    assert row["polygon"] == [[50, 60], [90, 60], [90, 80], [50, 80]]
