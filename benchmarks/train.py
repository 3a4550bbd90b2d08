"""Whether data ever keeps the network waiting: training's speed beside the network's own, in one run.

    python benchmarks/train.py RECIPE --data NAME=PATH ... [--set FIELD=VALUE] [--steps 30] [--device auto]
    torchrun --nproc-per-node 2 benchmarks/train.py ...

Two ways are timed in turns, some steps of each at a time, so that what else the machine does falls on both: steps
(forward, backward, optimiser, average) on one batch that is there already, and steps on batches from the loader, with
the copy to the device and the part of augmentation that a GPU does. The ratio of the two is the share of the network's
speed that training reaches.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable

import torch

from lockon.data.light import finish
from lockon.data.loader import load_pairs
from lockon.registry import find_device
from lockon.training.loop import make_model, make_pairs
from lockon.training.processes import Team, own_device, own_workers, team_of
from lockon.training.recipe import Recipe, parse_data
from lockon.training.recipes import get_recipe
from lockon.training.run import Run

WARM, TURN = 5, 5  # steps that are not timed, and steps of one way at a time


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
    device = own_device(find_device(args.device))
    with team_of(device) as team:
        measure(get_recipe(args.recipe, args.set), args, device, team)


def measure(recipe: Recipe, args: argparse.Namespace, device: torch.device, team: Team) -> None:
    """Times both ways, this process's share of every step."""
    run = Run(recipe, make_model(recipe, device), team)
    workers = own_workers(recipe.workers, device)
    pairs = make_pairs(recipe, parse_data(args.data), unlit=device.type == "cuda")
    batches = load_pairs(pairs, recipe.batch, 0, workers, team.rank, team.size, pin=device.type == "cuda")
    ready = finish(next(batches).to(device))

    def network() -> None:
        run.advance(ready)

    def training() -> None:
        run.advance(finish(next(batches).to(device)))

    timed(training, WARM)
    turns = -(-args.steps // TURN)
    # workers make some batches ahead: before the network is timed they are let finish, before training these used up
    ahead = 4 * workers
    alone = loaded = 0.0
    for _ in range(turns):
        timed(network, WARM)
        alone += timed(network, TURN)
        timed(training, ahead)
        loaded += timed(training, TURN)
    count = turns * TURN * recipe.batch
    if not team.leads:
        return
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    print(f"{args.recipe}, batch {recipe.batch}, {recipe.precision}, {where}; processes: {team.size}, each with")
    print(f"{torch.get_num_threads()} threads for the network and {workers} others that make pairs")
    print(f"{count / alone:8.1f} pairs per second, the network alone")
    print(f"{count / loaded:8.1f} pairs per second, training: {alone / loaded:.1%} of it")


if __name__ == "__main__":
    main()
