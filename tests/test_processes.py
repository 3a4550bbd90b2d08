"""A batch that is taken in parts, one after the other or by several processes, trains as if it were in one piece."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn

from lockon.data.loader import load_pairs
from lockon.errors import DataError
from lockon.models import MODELS, ModelInfo
from lockon.models.siamattn import SiamAttn
from lockon.nn.heads import CornerHead
from lockon.nn.swin import SwinBlock
from lockon.tracker import PairBatch, TrackingModel
from lockon.training.loop import check, make_pairs, train
from lockon.training.optimizer import OptimizerConfig
from lockon.training.processes import Team, own_device, own_workers, team_of
from lockon.training.recipe import Recipe
from lockon.training.run import Run
from lockon.weights import read_weights
from tests import scenes
from tests.runs import CPU, column, short
from tests.small import SMALL
from tests.test_models import pairs

PAPERS = sorted(SMALL)
FROZEN_NORMS = ("model=small", "norm_until=0", "optimizer.warmup=0", "config=dropout=0,giou_weight=0")


def build(paper: str) -> TrackingModel:
    """A small network whose loss looks at no batch as a whole: norms and the choice of the hardest pixels would."""
    torch.manual_seed(0)
    model = SMALL[paper]().double().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.eval()
        if isinstance(module, SwinBlock):
            module.drop_path = 0.0
        if isinstance(module, CornerHead):  # no inverted box, of which a single one has its batch lose a term
            wider = torch.tensor([-0.2, -0.2, 0.2, 0.2])
            module.register_forward_hook(lambda _, __, out, wider=wider: out._replace(boxes=out.boxes + wider))
    if isinstance(model, SiamAttn):
        model.config = replace(model.config, hardest=1.0)
    return model


def batch_for(model: TrackingModel) -> PairBatch:
    """Four pairs of unlike halves: sizes, a target that is not shown, a mask that is not there."""
    boxes = torch.tensor([[0.4, 0.4, 0.2, 0.3], [0.2, 0.3, 0.5, 0.4], [0.5, 0.1, 0.3, 0.3], [0.3, 0.3, 0.3, 0.3]])
    return pairs(model, 4)._replace(boxes=boxes, has_mask=torch.tensor([True, False, True, True]))


def step(paper: str, team: Team, accumulate: int = 1) -> dict[str, Any]:
    """Losses and gradients of one step on the batch, of which this process takes its part."""
    model = build(paper)
    config = OptimizerConfig(warmup=0, clip=1e9)
    recipe = Recipe(paper, optimizer=config, batch=4, accumulate=accumulate, precision="float32")
    run = Run(recipe, model, team)
    share = 4 // team.size
    batch = PairBatch(*(x[team.rank * share : (team.rank + 1) * share] for x in batch_for(model)))
    with pytest.MonkeyPatch.context() as patch:  # what is drawn is the same for each pair
        patch.setattr(torch, "randperm", lambda n: torch.arange(n))
        patch.setattr(torch, "randint", lambda _, shape, **__: torch.zeros(shape, dtype=torch.long))
        patch.setattr(torch, "randn", lambda *shape, **_: torch.full(shape, 0.1))
        patch.setattr("lockon.models.grm.gumbel_noise", torch.zeros_like)
        losses = run.advance(batch)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"losses": losses, "gradients": gradients}


def child(rank: int, folder: Path, ports: list[int], data: dict[str, list[str]]) -> None:
    """What each of two processes does; the first one writes down what came out."""
    torch.set_num_threads(1)
    MODELS["small"] = ModelInfo(SMALL["stark"], "none", str)
    place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ |= place | {"MASTER_PORT": str(ports[0])}
    with team_of(CPU) as team:
        results: dict[str, Any] = {paper: step(paper, team) for paper in PAPERS}
        parameters = [nn.Parameter(torch.ones(2)) for _ in range(3)]
        if rank:
            parameters[0].sum().backward()
        parameters[1].sum().backward()
        team.sum_gradients(parameters)
        results["sums"] = [p.grad for p in parameters]
    os.environ["MASTER_PORT"] = str(ports[1])
    train(short(*FROZEN_NORMS), data, folder / "two", CPU)
    if rank == 0:
        torch.save(results, folder / "results.pt")


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that the system gives to nobody who asks for any, and that can be listened on."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield int(holder.getsockname()[1])


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what two processes did together."""
    folder = tmp_path_factory.mktemp("together")
    images = scenes.write_tar(folder / "images.tar", scenes.image_set())
    clips = scenes.write_tar(folder / "clips.tar", scenes.clip_set())
    data = {"images": [str(images)], "clips": [str(clips)]}
    with reserved_port() as one, reserved_port() as other:
        spawn(child, (folder, [one, other], data), nprocs=2)
    return folder


@pytest.mark.parametrize("paper", PAPERS)
def test_two_processes_have_the_gradients_of_one(paper: str, together: Path) -> None:
    two = torch.load(together / "results.pt", weights_only=True)[paper]
    torch.testing.assert_close(two, step(paper, Team()), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("paper", PAPERS)
def test_a_batch_in_parts_has_the_gradients_of_the_whole(paper: str, parts: int) -> None:
    torch.testing.assert_close(step(paper, Team(), parts), step(paper, Team()), atol=1e-6, rtol=1e-4)


def test_a_parameter_that_one_process_has_not_used_counts_as_zero_there(together: Path) -> None:
    one, both, neither = torch.load(together / "results.pt", weights_only=True)["sums"]
    assert one.tolist() == [1, 1]
    assert both.tolist() == [2, 2]
    assert neither is None


def test_two_processes_train_what_one_trains(together: Path, small_stark: str) -> None:
    data = {"images": [str(together / "images.tar")], "clips": [str(together / "clips.tar")]}
    path = train(short(*FROZEN_NORMS), data, together / "one", CPU)
    one, two = read_weights(path)[0], read_weights(together / "two" / "weights.safetensors")[0]
    changes = torch.cat([(one[name].double() - two[name].double()).abs().flatten() for name in one])
    assert changes.mean() < 1e-5  # a single weight may differ more: AdamW makes as much of small gradients as of others
    for name in ("step", "total", "similarity"):
        values = [[float(x) for x in column(together / run / "log.csv", name)] for run in ("one", "two")]
        assert values[0] == pytest.approx(values[1], rel=1e-3)


def test_one_process_goes_on_where_two_have_been(together: Path, small_stark: str) -> None:
    data = {"images": [str(together / "images.tar")], "clips": [str(together / "clips.tar")]}
    assert train(short(*FROZEN_NORMS), data, together / "two", CPU, resume=True).exists()


@pytest.mark.parametrize("workers", [0, 2])
def test_the_processes_parts_make_up_the_batches(data: dict[str, list[str]], small_stark: str, workers: int) -> None:
    dataset = make_pairs(short(small_stark, "pairs=10"), data)
    whole = list(load_pairs(dataset, 4, 4, workers))
    parts = [list(load_pairs(dataset, 4, 4, workers, rank, 2)) for rank in range(2)]
    assert [len(batches) for batches in (whole, *parts)] == [1, 1, 1]  # pairs 4 to 7; 8 and 9 are no batch
    for all_, one, two in zip(whole[0], parts[0][0], parts[1][0], strict=True):
        assert torch.equal(all_, torch.cat([one, two]))


def test_what_several_processes_cannot_do_is_refused() -> None:
    with pytest.raises(DataError, match="batch=4 cannot be taken in 3 equal parts: 3 processes"):
        check(short(), Team(0, 3), CPU)
    with pytest.raises(DataError, match="sync_norm=true needs GPUs"):
        check(short("sync_norm=true"), Team(0, 2), CPU)


def test_torchrun_says_which_gpu_and_how_many_cores_are_a_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert own_device(torch.device("cuda")) == torch.device("cuda:0")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(32)))
    assert own_device(torch.device("cuda")) == torch.device("cuda:3")
    assert own_device(torch.device("cuda:1")) == torch.device("cuda:1")
    assert own_device(CPU) == CPU
    assert [own_workers(wanted, torch.device("cuda")) for wanted in (-1, 0, 5)] == [8, 0, 5]
    assert own_workers(-1, CPU) == 1
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")  # a core each: pairs are made between the steps
    assert own_workers(-1, CPU) == 0
