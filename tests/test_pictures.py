"""Sheets of training pairs for a person to look at."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lockon.cli import main
from lockon.errors import OutputError
from lockon.tracker import PairBatch
from lockon.training.loop import make_pairs
from lockon.training.pictures import GREEN, LINE, RED, YELLOW, draw_pair, show_pairs
from tests.runs import short

Data = dict[str, list[str]]


def pair(present: bool) -> PairBatch:
    """A grey pair with a box in the middle of each patch and a mask in the search patch's corner."""
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[:8, :8] = True
    padding = torch.zeros(64, 64, dtype=torch.bool)
    padding[-4:] = True
    return PairBatch(
        torch.full((2, 3, 32, 32), 100, dtype=torch.uint8),
        torch.zeros(2, 32, 32, dtype=torch.bool),
        torch.tensor([[0.25, 0.25, 0.5, 0.5]] * 2),
        torch.full((3, 64, 64), 100, dtype=torch.uint8),
        padding,
        torch.tensor([0.5, 0.5, 0.25, 0.25]),
        torch.tensor(present),
        mask,
        torch.tensor(present),
    )


def test_boxes_masks_and_padding_are_drawn_where_they_are() -> None:
    image = draw_pair(pair(present=True), 7)
    first, second, search = (image[LINE:, x:] for x in (0, 36, 72))  # patches of 32, 32 and 64 pixels, 4 apart
    assert tuple(first[8, 8]) == tuple(second[24, 24]) == YELLOW
    assert tuple(first[0, 0]) == tuple(search[20, 20]) == (100, 100, 100)
    assert tuple(search[32, 32]) == tuple(search[48, 48]) == GREEN
    assert search[2, 2, 1] > search[2, 2, 0]  # the mask is tinted green
    assert tuple(search[62, 2]) == (60, 0, 60)


def test_a_pair_without_its_target_is_marked_red() -> None:
    image = draw_pair(pair(present=False), 7)
    assert tuple(image[LINE + 32, 72 + 32]) == RED
    assert (image[:LINE, ..., 0].max(), image[:LINE, ..., 1].max()) != (0, 0)
    assert image[:LINE, ..., 0].max() > image[:LINE, ..., 1].max()  # so is the text above


def test_the_sheets_show_the_first_pairs_of_the_run(tmp_path: Path, data: Data) -> None:
    dataset = make_pairs(short(), data)
    paths = show_pairs(dataset, 5, tmp_path / "sheets", columns=2, rows=2)
    assert [path.name for path in paths] == ["pairs-1.png", "pairs-2.png"]
    image = cv2.imread(str(paths[0]))
    assert image is not None
    drawn = draw_pair(dataset[1], 1)
    height, width = drawn.shape[:2]
    assert image.shape == (2 * height, 2 * width, 3)
    assert np.array_equal(image[:height, width:, ::-1], drawn)


def test_a_sheet_that_cannot_be_written_is_an_error(tmp_path: Path, data: Data) -> None:
    (tmp_path / "pairs-1.png").mkdir()
    with pytest.raises(OutputError, match=r"pairs-1\.png"):
        show_pairs(make_pairs(short(), data), 1, tmp_path)


def test_the_command_line_draws_pairs_and_trains_nothing(
    tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [f"--data={name}={path}" for name, paths in data.items() for path in paths]
    command = ["lockon", "train", "stark-tiny", *arguments, "--show-pairs", "3", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run" / "pairs-1.png")
    assert [path.name for path in (tmp_path / "run").glob("[!.]*")] == ["pairs-1.png"]
