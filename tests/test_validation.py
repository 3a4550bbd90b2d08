"""Validation while training: by tracking, without a trace in what is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lockon.data.loader import load_pairs
from lockon.errors import DataError
from lockon.evaluation.benchmarks import open_benchmark
from lockon.registry import create_model
from lockon.tracker import Tracker
from lockon.training.logs import Event, Validation
from lockon.training.loop import make_model, make_pairs, train
from lockon.training.run import Run
from lockon.training.validation import Validator, one_pass
from lockon.weights import read_weights
from tests import scenes
from tests.runs import CPU, column, same_weights, short, stop_at

Data = dict[str, list[str]]


@pytest.fixture
def sequences(tmp_path: Path) -> Path:
    """Two short sequences of the moving disc."""
    for name, count in (("one", 4), ("two", 6)):
        folder = tmp_path / "sequences" / name
        folder.mkdir(parents=True)
        boxes = []
        for number in range(count):
            image, box = scenes.picture(number)
            (folder / f"{number + 1:08d}.jpg").write_bytes(scenes.jpeg(image))
            boxes.append(",".join(map(str, box)))
        (folder / "groundtruth.txt").write_text("\n".join(boxes) + "\n")
    return tmp_path / "sequences"


def test_a_tracker_that_stays_where_it_was_put_has_a_score_that_can_be_told(sequences: Path) -> None:
    class Still(Tracker):
        def update(self, frame: object) -> object:  # type: ignore[override]
            return self.first

        def init(self, frame: object, boxes: object) -> object:  # type: ignore[override]
            self.first = super().init(frame, boxes)  # type: ignore[arg-type]
            return self.first

    one = open_benchmark("folder", sequences).read("one")
    auc, precision = one_pass(Still(create_model("stark-tiny")), one)
    w, h = one.boxes[0, 2:]
    shared = [(w - 2 * i) * (h - i) for i in range(4)]  # the disc moves by 2, 1 pixels a frame
    overlaps = [s / (2 * w * h - s) for s in shared]
    assert auc == pytest.approx(np.mean([[o > t for t in np.linspace(0, 1, 21)] for o in overlaps]))
    assert precision == 1


def test_a_folder_without_sequences_says_what_is_expected(
    tmp_path: Path, data: Data, small_stark: str, sequences: Path
) -> None:
    with pytest.raises(DataError, match=r"did you mean .*sequences\? expected there: NAME/groundtruth\.txt"):
        train(short(small_stark), data, tmp_path / "run", CPU, validate=sequences / "one")


def test_broken_sequences_are_found_before_the_training(
    tmp_path: Path, data: Data, small_stark: str, sequences: Path
) -> None:
    (sequences / "two" / "groundtruth.txt").write_text("1,2,3,4\n")
    with pytest.raises(DataError, match=r"two/groundtruth.txt has 1 lines for 6 frames"):
        train(short(small_stark), data, tmp_path / "run", CPU, validate=sequences)


def test_validation_changes_nothing_of_what_is_trained(
    tmp_path: Path, data: Data, small_stark: str, sequences: Path
) -> None:
    recipe = short(small_stark, "validate_every=8", "config=dropout=0.2")
    plain = train(recipe, data, tmp_path / "plain", CPU)
    seen: list[Event | str] = []
    out = tmp_path / "validated"
    assert same_weights(plain, train(recipe, data, out, CPU, validate=sequences, report=seen.append))
    found = [event for event in seen if isinstance(event, Validation)]
    assert [event.pairs for event in found] == [8, 16, 24, 32]
    assert column(out / "validation.csv", "auc") == [f"{event.auc:.4f}" for event in found]
    assert column(out / "log.csv", "total") == column(tmp_path / "plain" / "log.csv", "total")


def test_the_averaged_weights_are_those_that_track(data: Data, small_stark: str, sequences: Path) -> None:
    recipe = short(small_stark)
    run = Run(recipe, make_model(recipe, CPU))
    validate = Validator(run, sequences, CPU)
    run.advance(next(load_pairs(make_pairs(recipe, data), recipe.batch, 0, 0)))
    validate()
    tracks, trained = validate.tracker.model.state_dict(), run.model.state_dict()
    assert all(torch.equal(value, run.ema[name]) for name, value in tracks.items())
    assert not all(torch.equal(value, trained[name]) for name, value in tracks.items())
    assert run.model.training


def test_the_best_weights_so_far_are_kept_also_over_a_restart(
    tmp_path: Path, data: Data, small_stark: str, sequences: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {2: 0.5, 4: 0.9, 6: 0.4, 8: 0.7}
    monkeypatch.setattr(Validator, "__call__", lambda self: Validation(self.run.step, 0, scores[self.run.step], 0.0))
    recipe, out = short(small_stark, "validate_every=8"), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, out, CPU, validate=sequences, report=stop_at(6))
    kept = (out / "best.safetensors").read_bytes()
    last = train(recipe, data, out, CPU, validate=sequences, resume=True)
    assert (out / "best.safetensors").read_bytes() == kept
    assert not same_weights(out / "best.safetensors", last)
    assert read_weights(out / "best.safetensors")[1] == "small"
    assert column(out / "validation.csv", "step") == ["2", "4", "6", "8"]
