"""Whether data ever keeps the network waiting: training's speed beside the network's own, in one run.

    python benchmarks/train.py RECIPE --data NAME=PATH ... [--set FIELD=VALUE] [--steps 30] [--device auto]

Two ways are timed in turns, some steps of each at a time, so that what else the machine does falls on both: steps
(forward, backward, optimiser, average) on one batch that is there already, and steps on batches from the loader, with
the copy to the device. The ratio of the two is the share of the network's speed that training reaches.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator

import torch

from lockon.data.pairs import pair_loader
from lockon.registry import find_device
from lockon.tracker import PairBatch
from lockon.training.loop import make_model, make_pairs
from lockon.training.processes import own_workers
from lockon.training.recipe import parse_data
from lockon.training.recipes import get_recipe
from lockon.training.run import Run

WARM, TURN = 5, 5  # steps before any is timed, and steps of one way at a time


def timed(step: Callable[[], object], count: int) -> float:
    """Seconds for some steps; a step waits for the device before it returns."""
    start = time.perf_counter()
    for _ in range(count):
        step()
    return time.perf_counter() - start


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", action="append", required=True, help="NAME=PATH; may be given several times")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of the recipe")
    parser.add_argument("--steps", type=int, default=30, help="of each way")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    device = find_device(args.device)
    recipe = get_recipe(args.recipe, args.set)
    run = Run(recipe, make_model(recipe, device))
    workers = own_workers(recipe.workers, device)
    pairs = make_pairs(recipe, parse_data(args.data))
    batches: Iterator[PairBatch] = iter(pair_loader(pairs, recipe.batch, 0, workers, pin=device.type == "cuda"))
    ready = PairBatch(*next(batches)).to(device)

    def network() -> None:
        run.advance(ready)

    def training() -> None:
        run.advance(PairBatch(*next(batches)).to(device))

    timed(network, WARM)
    timed(training, WARM)
    turns = -(-args.steps // TURN)
    # while the network goes over one batch the workers make others; so each turn of training first uses those up
    ahead = 4 * workers
    alone = loaded = 0.0
    for _ in range(turns):
        alone += timed(network, TURN)
        timed(training, ahead)
        loaded += timed(training, TURN)
    count = turns * TURN * recipe.batch
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{args.recipe}, batch {recipe.batch}, {recipe.precision}, {workers} workers, {where}")
    print(f"{count / alone:8.1f} pairs per second, the network alone")
    print(f"{count / loaded:8.1f} pairs per second, training: {alone / loaded:.1%} of it")


if __name__ == "__main__":
    main()
