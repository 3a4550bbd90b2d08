"""Numbers of a recipe that make no sense are refused before anything is built of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from lockon.errors import DataError
from lockon.training.loop import make_model, make_pairs, train
from lockon.training.processes import own_cores, own_workers
from lockon.training.recipe import check_values
from lockon.training.recipes import RECIPES, get_recipe
from tests.runs import CPU, short

Data = dict[str, list[str]]
MANY = "9" * 400


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_is_within_the_limits(name: str) -> None:
    check_values(get_recipe(name))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("batch=0", "batch=0: must be from 1"),
        ("batch=-4", "batch=-4: must be from 1"),
        ("batch=1000000000", "batch=1000000000: must be from 1 to 65536"),
        ("pairs=-1", "pairs=-1: must be from 1"),
        ("pairs=900000000000", "more than 10000000 steps"),
        (f"pairs={MANY}", "pairs=.*: must be from 1"),
        ("accumulate=0", "accumulate=0: must be from 1"),
        ("workers=-2", "workers=-2: must be from -1 to 256"),
        ("workers=100000", "workers=100000: must be from -1 to 256"),
        ("log_every=0", "log_every=0: must be from 1"),
        ("save_every=-1", "save_every=-1: must be from 1"),
        ("validate_every=0", "validate_every=0: must be from 1"),
        ("seed=-1", "seed=-1: must be from 0"),
        ("ema=nan", "ema=nan: must be from 0 to 1"),
        ("norm_until=1.5", "norm_until=1.5: must be from 0 to 1"),
        ("optimizer.lr=nan", "optimizer.lr=nan: must be from 0"),
        ("optimizer.lr=-1e-3", "optimizer.lr=-0.001: must be from 0"),
        ("optimizer.lr=inf", "optimizer.lr=inf: must be from 0"),
        ("optimizer.betas=0.9,1", "optimizer.betas=1.0: must be from 0 to 1"),
        ("optimizer.warmup=-1", "optimizer.warmup=-1: must be from 0"),
        ("optimizer.drop_at=0.5,2", "optimizer.drop_at=2.0: must be from 0 to 1"),
        ("optimizer.parts=head:nan", "optimizer.parts of head=nan: must be from 0"),
        ("data.clips=5", "data.clips=5.0: must be from 0 to 1"),
        ("data.max_gap=0", "data.max_gap=0: must be from 1"),
        ("data.distractors=1000000", "data.distractors=1000000: must be from 0 to 100"),
        ("data.search.scale=inf", "data.search.scale=inf: must be from 0"),
        ("data.light.gray=-1", "data.light.gray=-1.0: must be from 0 to 1"),
        ("data.mix=images:nan", "data.mix of images=nan: must be from 0"),
        ("config=search.size=-5", "config=search.size=-5: must be from 16 to 2048"),
        ("config=search.size=1000000", "config=search.size=1000000: must be from 16 to 2048"),
        ("config=template.factor=nan", "config=template.factor=nan: must be from 0.1 to 100"),
        ("config=encoder_layers=1000000000", "config=encoder_layers=1000000000: must be from"),
        ("config=dim=1000000000", "config=dim=1000000000: must be from"),
        ("config=dropout=nan", "config=dropout=nan: must be from"),
        ("config=dim=33", "small cannot have config=dim=33: "),
        ("config=heads=0", "small cannot have config=heads=0: "),
        ("config=dropout=7", "small cannot have config=dropout=7.*dropout probability"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(
    override: str, says: str, tmp_path: Path, data: Data, small_stark: str
) -> None:
    with pytest.raises(DataError, match=says):
        train(short(small_stark, override), data, tmp_path / "run", CPU)
    assert not list(tmp_path.glob("run/*.pt"))


@pytest.mark.parametrize("override", ["batch=0", "seed=-1", "data.clips=nan", "config=search.size=0"])
def test_drawing_pairs_alone_is_as_careful(override: str, data: Data, small_stark: str) -> None:
    with pytest.raises(DataError, match=r"must be from|cannot have"):
        make_pairs(short(small_stark, override), data)


@pytest.mark.parametrize(
    "override",
    [
        *("", "=", "=1", ".=1", "pairs", "pairs=", "pairs=1e3", "pairs=\x1b[2J", f"pairs={'9' * 5000}", "." * 500),
        *("a.b.c.d=1", "optimizer.=1", "data.mix=a", "data.mix=a:b", "data.mix=:1", "optimizer.betas=1,2,3"),
        *("\x00=1", "pairs=\ud800"),
    ],
)
def test_overrides_that_are_none_are_one_printable_line(override: str) -> None:
    with pytest.raises(DataError) as error:
        get_recipe("stark-tiny", [override])
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 12_000


def test_a_changed_network_that_works_is_built_as_before(small_stark: str) -> None:
    recipe, plain = short(small_stark, "config=dropout=0.25"), short(small_stark)
    changed, usual = make_model(recipe, CPU).state_dict(), make_model(plain, CPU).state_dict()
    assert all(torch.equal(changed[name], usual[name]) for name in usual)


def test_what_a_cpu_has_no_memory_for_says_which_setting_helps(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 9 GB")

    monkeypatch.setattr("lockon.models.stark.Stark.loss", full)
    with pytest.raises(DataError, match=r"too little memory for 4 pairs at once.*--set accumulate=2"):
        train(short(small_stark), data, tmp_path / "run", CPU)


def test_a_worker_that_the_system_ended_is_named(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*_: object) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    monkeypatch.setattr("lockon.data.loader.PairDataset.__getitem__", ended)
    with pytest.raises(DataError, match=r"a process that makes pairs has ended .*Killed.*--set workers=N"):
        train(short(small_stark), data, tmp_path / "run", CPU)


def test_cores_are_counted_where_the_system_has_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert own_cores() == 12
    assert own_workers(-1, torch.device("cuda")) == 12
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert own_cores() == 1
