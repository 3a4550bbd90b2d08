"""How many training pairs a core makes per second, and how many all of them together.

    python benchmarks/data.py RECIPE --data NAME=PATH ... [--set FIELD=VALUE] [--pairs 400] [--workers N] [--device D]

Pairs are made by processes on the CPU, decoding and augmentation included, as in training. The first figure is one
process that does nothing else; the second is what the loader of ``lockon train`` delivers with N workers (all cores).
The third, with ``--device`` (such as cuda), is what arrives on that device, ready for a network, when light, colour,
blur and noise are made there (``lockon.data.light``), as training on a GPU does.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterable

import cv2
import torch

from lockon.data.light import finish
from lockon.data.loader import load_pairs
from lockon.registry import find_device
from lockon.training.loop import make_pairs
from lockon.training.processes import own_cores
from lockon.training.recipe import parse_data
from lockon.training.recipes import get_recipe


def seconds(items: Iterable[object], warm: int) -> float:
    """What it takes to go through them, but for the first ``warm``."""
    start = time.perf_counter()
    for number, _ in enumerate(items):
        if number + 1 == warm:
            start = time.perf_counter()
    return time.perf_counter() - start


def main() -> None:
    """Parses, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", action="append", required=True, help="NAME=PATH; may be given several times")
    parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of the recipe")
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--workers", type=int, default=own_cores())
    parser.add_argument("--device", help="measure with a part of augmentation on this device too")
    args = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    batch = 8
    warm = batch * args.workers * 5  # what the workers have made ahead counts for nothing
    data = parse_data(args.data)
    recipe = get_recipe(args.recipe, [*args.set, f"pairs={args.pairs + warm}"])
    dataset = make_pairs(recipe, data)
    alone = args.pairs / seconds((dataset[i] for i in range(args.pairs + 8)), 8)
    loaded = args.pairs / seconds(load_pairs(dataset, batch, 0, args.workers), warm // batch)
    cores = own_cores()
    print(f"{args.recipe}, {args.pairs} pairs, {cores} cores, {platform.processor() or platform.machine()}")
    print(f"{alone:8.1f} pairs per second and core")
    print(f"{loaded:8.1f} pairs per second from {args.workers} workers")
    if args.device:
        device = find_device(args.device)
        batches = load_pairs(make_pairs(recipe, data, unlit=True), batch, 0, args.workers, pin=device.type == "cuda")
        arrived = (finish(pairs.to(device)).present.cpu() for pairs in batches)  # copied back: it is done
        print(f"{args.pairs / seconds(arrived, warm // batch):8.1f} pairs per second, finished on {args.device}")


if __name__ == "__main__":
    main()
