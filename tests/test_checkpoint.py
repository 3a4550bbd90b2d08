"""A run on disk: what survives a kill and a full disk, and how a run goes on."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from lockon.errors import DataError, OutputError
from lockon.training.checkpoint import load_checkpoint, save_checkpoint
from lockon.training.loop import make_model, train
from lockon.training.run import Run
from tests.runs import CPU, SHORT, column, same_weights, short, stop_at

Data = dict[str, list[str]]

HELD = """
import time
from lockon.cli import main
from lockon.training import loop

save = loop.save_checkpoint

def save_and_wait(*arguments, **options):
    save(*arguments, **options)
    print("saved", flush=True)
    time.sleep(600)

loop.save_checkpoint = save_and_wait
main()
"""
"""``lockon`` that goes no further than its first checkpoint, until somebody ends it."""


def test_a_run_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, data: Data) -> None:
    whole = train(short(), data, tmp_path / "whole", CPU)
    out = tmp_path / "killed"
    arguments = [f"--data={name}={path}" for name, paths in data.items() for path in paths]
    command = [sys.executable, "-c", HELD, "train", "stark-tiny", *arguments, "--out", str(out), "--device", "cpu"]
    command += [part for override in SHORT for part in ("--set", override)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the same order of sums
    with subprocess.Popen([*command, "--quiet"], env=os.environ | threads, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"saved\n"
        child.kill()
    assert not (out / "weights.safetensors").exists()  # it was killed on the way
    resumed = train(short(), data, out, CPU, resume=True)
    assert same_weights(whole, resumed)
    for name in ("step", "total", "corner"):
        assert column(out / "log.csv", name) == column(tmp_path / "whole" / "log.csv", name)


def test_what_is_drawn_in_a_step_is_drawn_again_when_it_is_repeated(
    tmp_path: Path, data: Data, small_stark: str
) -> None:
    recipe = short(small_stark, "config=dropout=0.3")
    whole = train(recipe, data, tmp_path / "whole", CPU)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, tmp_path / "run", CPU, report=stop_at(6))
    torch.rand(7)
    assert same_weights(whole, train(recipe, data, tmp_path / "run", CPU, resume=True))
    assert not same_weights(whole, train(short(small_stark), data, tmp_path / "without", CPU))


def test_a_folder_with_a_run_is_left_alone_unless_told(tmp_path: Path, data: Data, small_stark: str) -> None:
    path = train(short(small_stark, "pairs=8"), data, tmp_path / "run", CPU)
    before = {file: file.read_bytes() for file in (path, path.with_name("checkpoint.pt"), path.with_name("log.csv"))}
    with pytest.raises(OutputError, match="--resume"):
        train(short(small_stark), data, tmp_path / "run", CPU)
    assert all(file.read_bytes() == content for file, content in before.items())


def test_resume_begins_where_there_is_nothing_to_go_on_from(tmp_path: Path, data: Data, small_stark: str) -> None:
    assert train(short(small_stark, "pairs=4"), data, tmp_path / "run", CPU, resume=True).exists()


def test_a_checkpoint_from_before_a_field_goes_on(tmp_path: Path, data: Data, small_stark: str) -> None:
    recipe = short(small_stark, "pairs=4")
    train(recipe, data, tmp_path / "run", CPU)
    path = tmp_path / "run" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    told = json.loads(state["recipe"])
    del told["backbone"], told["optimizer"]["decay_all"], told["data"]["light"]["gray"]
    told["data"]["search"]["gone"] = 1
    torch.save(state | {"recipe": json.dumps(told)}, path)
    assert train(recipe, data, tmp_path / "run", CPU, resume=True).exists()


def test_only_what_leaves_the_result_alone_may_change_on_the_way(tmp_path: Path, data: Data, small_stark: str) -> None:
    train(short(small_stark, "pairs=4"), data, tmp_path / "run", CPU)
    with pytest.raises(DataError, match=r"another recipe \(pairs differ\)"):
        train(short(small_stark), data, tmp_path / "run", CPU, resume=True)
    changed = short(small_stark, "pairs=4", "accumulate=2", "log_every=1", "workers=1")
    assert train(changed, data, tmp_path / "run", CPU, resume=True).exists()


def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, data: Data, small_stark: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(DataError, match=r"checkpoint.pt: not a checkpoint that can be read safely.*give another --out"):
        train(short(small_stark), data, tmp_path / "run", CPU, resume=True)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond this: what a full disk looks like to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, data: Data, small_stark: str) -> None:
    recipe = short(small_stark)
    run = Run(recipe, make_model(recipe, CPU))
    path = tmp_path / "checkpoint.pt"
    with (
        largest_file(1000),
        pytest.raises(OutputError, match=r"checkpoint.pt: cannot be written: File too large") as first,
    ):
        save_checkpoint(run, path)
    assert "the last one" not in str(first.value)
    save_checkpoint(run, path)
    content = path.read_bytes()
    run.step = 1
    with largest_file(len(content) // 2), pytest.raises(OutputError, match=r"the last one is whole.*--resume"):
        save_checkpoint(run, path)
    assert path.read_bytes() == content
    assert {file.name for file in tmp_path.iterdir()} == {"checkpoint.pt", "images.tar", "clips.tar"}
    load_checkpoint(run, path, CPU)
    assert run.step == 0
