"""How well a run's weights track, measured by tracking."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch

from lockon import registry
from lockon.evaluation.benchmarks import open_benchmark
from lockon.evaluation.metrics import precision, success_auc
from lockon.evaluation.sequences import Sequence
from lockon.tracker import Result, Tracker
from lockon.training.logs import Validation
from lockon.training.recipe import model_settings
from lockon.training.run import Run

log = logging.getLogger(__name__)


class Validator:
    """Runs the averaged weights through the tracker, on a network of its own: nothing of the run is touched.

    Args:
        folder: of sequences, which the processes share among them.

    Raises:
        DataError: no sequences, or broken ones.
    """

    def __init__(self, run: Run, folder: Path, device: torch.device) -> None:
        self.run = run
        benchmark = open_benchmark("folder", folder)
        for remark in benchmark.remarks if run.team.rank == 0 else ():
            log.warning("%s", remark)
        self.sequences = list(benchmark)[run.team.rank :: run.team.size]
        model = registry.create_model(run.recipe.model, settings=model_settings(run.recipe))
        self.tracker = Tracker(model, device)

    def __call__(self) -> Validation:
        """The scores of the weights as they are now."""
        self.tracker.model.load_state_dict(self.run.ema)
        own = [one_pass(self.tracker, sequence) for sequence in self.sequences]
        every = [scores for part in self.run.team.gather(own) for scores in part]
        auc, p20 = np.mean(every, axis=0).tolist()
        return Validation(self.run.step, self.run.step * self.run.recipe.batch, auc, p20)


def one_pass(tracker: Tracker, sequence: Sequence) -> tuple[float, float]:
    """Success AUC and precision at 20 pixels of one pass: the tracker gets the first box, and then no more."""
    frames = sequence.frames()
    results = [tracker.init(next(frames), sequence.boxes[0]), *map(tracker.update, frames)]
    boxes = np.array([result.box for result in results if isinstance(result, Result)])
    return success_auc(boxes, sequence.boxes), precision(boxes, sequence.boxes)
