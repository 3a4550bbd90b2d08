from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lockon
from lockon.errors import ModelError
from lockon.models.aiatrack import AiATrack
from lockon.models.sparsett import Sparsett
from lockon.nn.correlation import Correlation, Fine, covered
from lockon.weights import load_backbone, save_weights

CHANNELS, SIDE, WIDTH, OUT = 12, 4, 8, 6
CELLS = SIDE**2
MIDDLE = torch.tensor([[0.25, 0.25, 0.5, 0.5]])  # the four cells in the middle of the template


def small() -> Correlation:
    torch.manual_seed(0)
    return Correlation(CHANNELS, SIDE, WIDTH, OUT).eval()


def features(count: int, side: int) -> Tensor:
    torch.manual_seed(side)
    return torch.randn(count, CHANNELS, side, side)


# How much of a cell a box covers


def test_a_box_covers_whole_cells_and_parts_of_others() -> None:
    share = covered(torch.tensor([[0.25, 0.0, 0.5, 0.375]]), 4)
    expected = torch.tensor([[0, 1, 1, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(share[0], expected)


def test_a_box_inside_a_cell_covers_its_own_area() -> None:
    share = covered(torch.tensor([[0.5, 0.5, 0.125, 0.0625]]), 2)
    torch.testing.assert_close(share[0], torch.tensor([[0, 0], [0, 0.03125]]))


@pytest.mark.parametrize(
    ("box", "cells"),
    [
        ((-0.5, -0.5, 1.0, 1.0), [[1, 0], [0, 0]]),
        ((0.5, -1.0, 9.0, 9.0), [[0, 1], [0, 1]]),
        ((-1.0, -1.0, 3.0, 3.0), [[1, 1], [1, 1]]),
        ((1.5, 0.0, 1.0, 1.0), [[0, 0], [0, 0]]),
    ],
)
def test_of_a_box_that_reaches_beyond_the_map_only_the_inner_part_counts(
    box: tuple[float, ...], cells: list[list[float]]
) -> None:
    torch.testing.assert_close(covered(torch.tensor([box]), 2)[0], torch.tensor(cells, dtype=torch.float32))


# The comparison


def test_kernels_are_the_cells_on_the_target_then_those_around_it_then_the_targets_mean() -> None:
    kernels = small().kernels(features(1, SIDE), MIDDLE)
    assert kernels.shape == (1, 2 * CELLS + 1, WIDTH)
    inside = covered(MIDDLE, SIDE)[0].flatten() > 0
    on, around, mean = kernels[0].split([CELLS, CELLS, 1])
    assert on[~inside].eq(0).all()
    assert around[inside].eq(0).all()
    torch.testing.assert_close((on + around).norm(dim=1), torch.ones(CELLS))
    torch.testing.assert_close(mean[0], on[inside].mean(0))


def test_a_target_outside_the_template_has_no_kernels_of_its_own() -> None:
    kernels = small().kernels(features(1, SIDE), torch.tensor([[2.0, 2.0, 0.5, 0.5]]))
    assert kernels[0, :CELLS].eq(0).all()
    assert kernels[0, -1].eq(0).all()


@pytest.mark.parametrize(("row", "column", "half"), [(1, 2, 0), (3, 0, 1)])
def test_the_search_cell_that_looks_like_a_cell_of_the_template_is_found(row: int, column: int, half: int) -> None:
    """By the best similarity to the target where that cell is on it (0), to what surrounds it where it is not (1)."""
    model, template, search = small(), features(1, SIDE), features(1, 8)
    search[0, :, 5, 6] = template[0, :, row, column]
    model.mix = nn.Sequential()  # the similarities themselves come out
    with torch.inference_mode():
        similar, best, _ = model(search, model.kernels(template, MIDDLE))[0].split([2 * CELLS, 2, WIDTH])
    assert best[half].argmax() == 5 * 8 + 6
    assert best[half, 5, 6] == pytest.approx(1)
    assert similar[:, 5, 6].argmax() == half * CELLS + row * SIDE + column


def test_a_sample_does_not_depend_on_the_others_of_its_batch() -> None:
    model, template, search = small(), features(3, SIDE), features(3, 8)
    boxes = torch.tensor([[0.25, 0.25, 0.5, 0.5], [0.0, 0.1, 0.3, 0.4], [0.6, 0.5, 0.9, 0.1]])
    together = model(search, model.kernels(template, boxes))
    assert together.shape == (3, OUT, 8, 8)
    for i in range(3):
        alone = model(search[i : i + 1], model.kernels(template[i : i + 1], boxes[i : i + 1]))
        torch.testing.assert_close(together[i : i + 1], alone)


def test_coarse_tokens_and_fine_cells_come_together() -> None:
    fine = Fine(CHANNELS, WIDTH, dim=10, coarse=2)
    matched = torch.randn(2, WIDTH, 8, 8)
    tokens = fine.enter(matched)
    assert tokens.shape == (2, 10, 4, 4)
    assert fine(tokens, features(2, 8), matched).shape == (2, WIDTH, 8, 8)


# Its weights


def sparsett_tiny(path: Path, **settings: int) -> Sparsett:
    """One with new weights, which are also in a file."""
    model = lockon.create_model("sparsett-tiny", settings=settings)
    assert isinstance(model, Sparsett)
    save_weights(model.state_dict(), path, "sparsett-tiny", torch.float32)
    return model


def test_one_tracker_hands_its_comparison_on_to_another(tmp_path: Path) -> None:
    given, model = sparsett_tiny(tmp_path / "w.safetensors"), lockon.create_model("aiatrack-tiny")
    assert isinstance(model, AiATrack)
    load_backbone(model, tmp_path / "w.safetensors")
    for own, theirs in ((model.backbone, given.backbone), (model.correlation, given.correlation)):
        assert own is not None
        assert theirs is not None
        known = theirs.state_dict()
        assert all(torch.equal(value, known[name]) for name, value in own.state_dict().items())


def test_a_comparison_of_another_shape_is_refused(tmp_path: Path) -> None:
    sparsett_tiny(tmp_path / "w.safetensors", correlation=32)
    with pytest.raises(ModelError, match=r"not of this model's correlation: .*embed.weight is \(32, .*, not \(64, "):
        load_backbone(lockon.create_model("aiatrack-tiny"), tmp_path / "w.safetensors")
