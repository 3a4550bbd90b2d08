"""The folder of a run: whose it is, what may be there, and what a kill or a full disk leaves."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from lockon.errors import DataError, LockonError, OutputError
from lockon.models import MODELS, ModelInfo
from lockon.models.stark import Stark
from lockon.tracker import PairBatch
from lockon.training.checkpoint import load_checkpoint
from lockon.training.folder import NAMES, RunFolder, claimed
from lockon.training.logs import Progress, Table, TensorBoard, read_table
from lockon.training.loop import make_model, make_pairs, train
from lockon.training.pictures import show_pairs
from lockon.training.processes import Team
from lockon.training.run import Run
from lockon.weights import save_weights
from tests import scenes
from tests.runs import CPU, column, same_weights, short, stop_at
from tests.small import SMALL

Data = dict[str, list[str]]
STOPPED = ("model=small", "pairs=32")
NAN = float("nan")
LINE = Progress(step=2, pairs=8, total=32, losses={"total": 1.5}, lr=1e-3, speed=4.0)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file can grow beyond this: what a full disk looks like to a program."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after its first checkpoint."""
    place = tmp_path_factory.mktemp("once")
    images = scenes.write_tar(place / "images.tar", scenes.image_set())
    clips = scenes.write_tar(place / "clips.tar", scenes.clip_set())
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(MODELS, "small", ModelInfo(SMALL["stark"], "none", str))
        with pytest.raises(KeyboardInterrupt):
            train(
                short(*STOPPED), {"images": [str(images)], "clips": [str(clips)]}, place / "run", CPU, report=stop_at(4)
            )
    return place / "run"


@pytest.fixture
def stopped(once: Path, tmp_path: Path, small_stark: str) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(once, tmp_path / "run"))


# What is in the way


@pytest.mark.parametrize("name", [*NAMES, "tensorboard/notes.txt"])
@pytest.mark.parametrize("resume", [False, True])
def test_nothing_that_no_run_made_is_written_over(
    name: str, resume: bool, tmp_path: Path, data: Data, small_stark: str
) -> None:
    path = tmp_path / "run" / name
    path.parent.mkdir(parents=True)
    path.write_text("notes of a month\n")
    with pytest.raises(LockonError, match=r"--out|move it away"):
        train(short(small_stark, "pairs=4"), data, tmp_path / "run", CPU, resume=resume)
    assert files(tmp_path / "run") == {name: b"notes of a month\n", ".lockon/train.lock": b""}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("log.csv", b"", None),
        ("log.csv", b"step,pa", None),
        ("log.csv", b"\xff\xfe\x00binary\x00", "it is no text"),
        ("log.csv", b"time,place\n1,2\n", "its first line is not step,pairs"),
        ("log.csv", b"step,pairs,lr\n2,8\n", "line 2 is not a step and 2 more values"),
        ("log.csv", b"step,pairs,lr\n2,8,1\nnan,8,1\n", "line 3 is not a step"),
        ("validation.csv", b"step,pairs,auc\n-2,8,1\n", "line 2 is not a step"),
        ("validation.csv", b"step,pairs,auc\n" + b"9" * 5000 + b",8,1\n", "line 2 is not a step"),
        ("recipe.json", b"", "is not of a run of this recipe"),
        ("recipe.json", b"[" * 100_000, "is not of a run of this recipe"),
        ("recipe.json", b"\x00\xff", "is not of a run of this recipe"),
        ("recipe.json", b'["model"]', "is not of a run of this recipe"),
        ("recipe.json", b'{"model": "other"}', "is of another recipe ("),
        ("best.safetensors", b"", "is not of a run of this recipe"),
        ("weights.safetensors", b"of another run", "is not of a run of this recipe"),
    ],
)
def test_a_run_goes_on_with_its_own_files_alone(name: str, content: bytes, says: str | None, stopped: Path) -> None:
    (stopped / name).write_bytes(content)
    before = files(stopped)
    if says is None:
        RunFolder(stopped, short(*STOPPED), True).close()
    else:
        with pytest.raises(LockonError) as error:
            RunFolder(stopped, short(*STOPPED), True)
        assert f"{stopped / name}" in str(error.value)
        assert says in str(error.value)
    assert files(stopped) == before


def test_weights_of_another_model_in_the_folder_are_left_alone(stopped: Path) -> None:
    save_weights({"a": torch.ones(2)}, stopped / "best.safetensors", "stark-st50")
    with pytest.raises(OutputError, match=r"best.safetensors: is not of a run of this recipe"):
        RunFolder(stopped, short(*STOPPED), True)


def test_a_run_of_another_recipe_is_left_alone(stopped: Path) -> None:
    with pytest.raises(DataError, match=r"recipe.json is of another recipe \(seed differ\)"):
        RunFolder(stopped, short(*STOPPED, "seed=2"), True)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("elsewhere", path)])
@pytest.mark.parametrize("name", ["log.csv", "recipe.json", "checkpoint.pt"])
def test_what_is_no_file_is_not_waited_for(
    make: Callable[[Path], None], name: str, tmp_path: Path, data: Data, small_stark: str
) -> None:
    (tmp_path / "run").mkdir()
    make(tmp_path / "run" / name)
    for resume in (False, True):
        with pytest.raises(OutputError, match=rf"{name}: is no regular file"):
            train(short(small_stark, "pairs=4"), data, tmp_path / "run", CPU, resume=resume)


def test_the_out_folder_may_be_no_file(tmp_path: Path, data: Data, small_stark: str) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match=r"cannot write here|cannot be looked at"):
            train(short(small_stark, "pairs=4"), data, out, CPU)
    assert (tmp_path / "file").read_text() == "mine"


def test_inputs_are_not_written_to(tmp_path: Path, data: Data, small_stark: str) -> None:
    first = train(short(small_stark, "pairs=4"), data, tmp_path / "one", CPU)
    before = files(tmp_path / "one")
    for what in ("start", "backbone"):
        with pytest.raises(OutputError, match=r"weights.safetensors: is an input of this run"):
            train(short(small_stark, "pairs=4", f"{what}={first}"), data, tmp_path / "one", CPU, resume=True)
    assert files(tmp_path / "one") == before
    (tmp_path / "pictures").mkdir()
    with pytest.raises(OutputError, match=r"pictures: is an input of this run"):
        train(short(small_stark), {"images": [str(tmp_path / "pictures")]}, tmp_path / "pictures", CPU)
    with pytest.raises(OutputError, match=r"pictures: is an input of this run"):
        train(short(small_stark), data, tmp_path / "pictures", CPU, validate=tmp_path / "pictures")
    assert not files(tmp_path / "pictures")


def test_a_folder_is_of_one_run_at_a_time(tmp_path: Path, small_stark: str) -> None:
    claim = RunFolder(tmp_path / "run", short(small_stark), False)
    for resume in (False, True):
        with pytest.raises(OutputError, match="another run is training here"):
            RunFolder(tmp_path / "run", short(small_stark), resume)
    claim.close()
    RunFolder(tmp_path / "run", short(small_stark), False).close()


def test_of_several_processes_the_first_one_claims(tmp_path: Path, small_stark: str) -> None:
    class Told(Team):
        def gather(self, value: object) -> list[object]:
            return [OutputError("what the first one met"), value]

    with pytest.raises(OutputError, match="what the first one met"), claimed(Told(1, 2), tmp_path, short(), False):
        raise AssertionError
    assert not files(tmp_path)


# What a kill leaves

KILLED = """
import os, signal, sys
from pathlib import Path
from lockon.models import MODELS, ModelInfo
from lockon.training.loop import train
from tests import scenes
from tests.runs import CPU, short
from tests.small import SMALL
MODELS["small"] = ModelInfo(SMALL["stark"], "none", str)
count, move, left = int(sys.argv[1]), os.replace, [0]
def last(*paths):
    left[0] += 1
    if left[0] == count:
        os.kill(os.getpid(), signal.SIGKILL)
    move(*paths)
os.replace = last
train(short("model=small", "pairs=16"), {"images": [sys.argv[2]], "clips": [sys.argv[3]]}, Path(sys.argv[4]), CPU)
"""


@pytest.mark.parametrize("move", [1, 2, 3, 4], ids=["recipe", "first checkpoint", "second checkpoint", "weights"])
def test_a_kill_in_any_move_of_a_file_changes_nothing(move: int, tmp_path: Path, data: Data, small_stark: str) -> None:
    recipe = short(small_stark, "pairs=16")
    whole = train(recipe, data, tmp_path / "whole", CPU)
    out = tmp_path / "killed"
    command = [sys.executable, "-c", KILLED, str(move), data["images"][0], data["clips"][0], str(out)]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}  # the same order of sums
    child = subprocess.run(command, env=os.environ | threads, cwd=Path(__file__).parents[1], capture_output=True)
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    assert list(out.glob(".*.part"))
    assert not (out / "weights.safetensors").exists()
    resumed = train(recipe, data, out, CPU, resume=True)
    assert same_weights(whole, resumed)
    for name in ("step", "total", "corner"):
        assert column(out / "log.csv", name) == column(tmp_path / "whole" / "log.csv", name)


@pytest.mark.parametrize("torn", [b"st", b"4,16,1e-"])
def test_a_line_that_was_cut_is_written_again(torn: bytes, tmp_path: Path, data: Data, small_stark: str) -> None:
    recipe, out = short(small_stark, "pairs=16"), tmp_path / "run"
    whole = train(recipe, data, tmp_path / "whole", CPU)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, out, CPU, report=stop_at(4))
    lines = (out / "log.csv").read_bytes().splitlines(keepends=True)
    (out / "log.csv").write_bytes(torn if torn == b"st" else b"".join(lines[:2]) + torn)
    assert same_weights(whole, train(recipe, data, out, CPU, resume=True))
    expected = column(tmp_path / "whole" / "log.csv", "total")
    assert column(out / "log.csv", "total") == (expected[1:] if torn == b"st" else expected)


def test_a_table_that_a_spreadsheet_saved_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"\xef\xbb\xbfstep,pairs,total\r\n2,8,1.5\r\n4,16,1.25\r\n6,24,1.0\r\n")
    table = Table(path, 4)
    table.write({"step": 6, "pairs": 24, "total": "0.5"})
    assert path.read_text() == "step,pairs,total\n2,8,1.5\n4,16,1.25\n6,24,0.5\n"
    with pytest.raises(OutputError, match=r"it has step,pairs,total where this run has step,pairs,corner"):
        table.write({"step": 8, "pairs": 32, "corner": "0.5"})


# What a full disk leaves


def test_a_full_disk_while_a_line_is_written_is_told_and_mended(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    table = Table(path, 0)
    table.write({"step": 2, "pairs": 8})
    with largest_file(path.stat().st_size + 1), pytest.raises(OutputError, match=r"log.csv: cannot write.*too large"):
        table.write({"step": 4, "pairs": 16})
    Table(path, 4).write({"step": 4, "pairs": 16})
    assert read_table(path) == (["step", "pairs"], [(2, "2,8"), (4, "4,16")])


def test_a_full_disk_stops_a_run_at_its_start_in_one_line(tmp_path: Path, data: Data, small_stark: str) -> None:
    with largest_file(10), pytest.raises(OutputError) as error:
        train(short(small_stark), data, tmp_path / "run", CPU)
    assert str(error.value) == f"{tmp_path / 'run' / 'recipe.json'}: cannot be written: File too large"
    assert files(tmp_path / "run") == {".lockon/train.lock": b""}


def test_a_full_disk_leaves_no_half_weights(tmp_path: Path) -> None:
    save_weights({"a": torch.zeros(10)}, tmp_path / "w.safetensors", "x")
    before = files(tmp_path)
    with largest_file(1000), pytest.raises(OutputError, match=r"w.safetensors: cannot be written: File too large"):
        save_weights({"a": torch.zeros(10_000)}, tmp_path / "w.safetensors", "x")
    assert files(tmp_path) == before


def test_a_full_disk_and_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path / "tensorboard", 0)
    with largest_file(board.path.stat().st_size + 10), pytest.raises(OutputError, match="File too large"):
        board.write(LINE)
    assert TensorBoard(tmp_path / "tensorboard", 0).path != board.path


def test_a_bad_batch_that_finds_no_room_hides_no_cause(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Stark, batch: PairBatch, *__: object) -> dict[str, torch.Tensor]:
        return {"total": batch.boxes.sum() * torch.tensor(float("nan"), requires_grad=True)}

    monkeypatch.setattr(Stark, "loss", broken)
    with (
        largest_file(5000),
        pytest.raises(DataError, match=r"loss is not finite at step 0.*not kept: .*File too large"),
    ):
        train(short(small_stark), data, tmp_path / "run", CPU)
    assert not list((tmp_path / "run").glob("bad-batch*"))


def test_a_bad_batch_is_put_over_nothing(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Stark, batch: PairBatch, *__: object) -> dict[str, torch.Tensor]:
        return {"total": batch.boxes.sum() * torch.tensor(float("nan"), requires_grad=True)}

    monkeypatch.setattr(Stark, "loss", broken)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "bad-batch-0.pt").write_text("mine")
    with pytest.raises(DataError, match=r"this batch is in .*bad-batch-0-2\.pt"):
        train(short(small_stark), data, tmp_path / "run", CPU)
    assert (tmp_path / "run" / "bad-batch-0.pt").read_text() == "mine"
    assert torch.load(tmp_path / "run" / "bad-batch-0-2.pt", weights_only=True)["boxes"].shape == (4, 4)


# Sheets of pairs


def test_sheets_replace_those_of_their_recipe_and_nothing_else(tmp_path: Path, data: Data, small_stark: str) -> None:
    dataset = make_pairs(short(small_stark), data)
    out = tmp_path / "sheets"
    (first,) = show_pairs(dataset, 3, out, recipe="one")
    assert show_pairs(dataset, 3, out, recipe="one") == [first]
    before = first.read_bytes()
    with pytest.raises(OutputError, match=r"pairs-1.png: is there already"):
        show_pairs(dataset, 3, out, recipe="two")
    assert first.read_bytes() == before
    first.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"pairs-1.png: is there already"):
        show_pairs(dataset, 3, out, recipe="one")
    assert first.read_bytes() == b"mine"


def test_sheets_are_not_put_among_the_data(tmp_path: Path, data: Data, small_stark: str) -> None:
    dataset = make_pairs(short(small_stark), data)
    with pytest.raises(OutputError, match="is the data itself"):
        show_pairs(dataset, 3, tmp_path, inputs=[tmp_path])
    os.link(data["images"][0], tmp_path / "pairs-1.png")
    with pytest.raises(OutputError, match=r"pairs-1.png: would be written over, but it is an input"):
        show_pairs(dataset, 3, tmp_path, inputs=data["images"])


def test_a_full_disk_while_a_sheet_is_written(tmp_path: Path, data: Data, small_stark: str) -> None:
    dataset = make_pairs(short(small_stark), data)
    with largest_file(2000), pytest.raises(OutputError, match=r"pairs-1.png: cannot be written: File too large"):
        show_pairs(dataset, 3, tmp_path / "out", recipe="one")
    assert show_pairs(dataset, 3, tmp_path / "out", recipe="one")[0].stat().st_size > 2000


@pytest.mark.parametrize("count", [-1, 0, 10_001, 10**12])
def test_so_many_sheets_are_not_drawn(count: int, tmp_path: Path, data: Data, small_stark: str) -> None:
    with pytest.raises(DataError, match="ask for 1 to 10000"):
        show_pairs(make_pairs(short(small_stark), data), count, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# A checkpoint that is not what it should be


def change(state: dict, *keys: object, value: object) -> dict:  # type: ignore[type-arg]
    inner = state
    for key in keys[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    return state


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        (("recipe",), KeyError, "it has no recipe"),
        (("recipe",), "[" * 50_000, "it has no recipe"),
        (("recipe",), "[1]", "it has no recipe"),
        (("recipe",), 3, "it has no recipe"),
        (("step",), -1, "no step from 0 to 8"),
        (("step",), 10**30, "no step from 0 to 8"),
        (("step",), NAN, "no step from 0 to 8"),
        (("best",), NAN, "its best score is no number"),
        (("model",), KeyError, "its weights have other names"),
        (("model", "bottleneck.bias"), KeyError, "its weights have other names"),
        (("ema", "bottleneck.bias"), torch.ones(3), "bottleneck.bias of its average has another shape"),
        (
            ("model", "bottleneck.bias"),
            torch.full((32,), NAN),
            "bottleneck.bias of its weights has numbers that are not",
        ),
        (("ema", "bottleneck.bias"), 3, "bottleneck.bias of its average has another shape or type"),
        (("optimizer",), KeyError, "no state of an optimiser"),
        (("optimizer", "state", 0), {}, "of another kind"),
        (("optimizer", "state", 10**6), {}, "of other parameters"),
        (("optimizer", "state", 0, "exp_avg"), torch.ones(7, 7), "'exp_avg' of its optimiser"),
        (("optimizer", "state", 0, "step"), "x", "'step' of its optimiser"),
        (("optimizer", "state", 0, "step"), torch.tensor(NAN), "'step' of its optimiser"),
    ],
)
def test_a_checkpoint_that_cannot_be_gone_on_from_says_why(
    keys: tuple[object, ...], value: object, says: str, stopped: Path
) -> None:
    path = stopped / "checkpoint.pt"
    torch.save(change(torch.load(path, weights_only=True), *keys, value=value), path)
    run = Run(short(*STOPPED), make_model(short(*STOPPED), CPU))
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    with pytest.raises(DataError) as error:
        load_checkpoint(run, path, CPU)
    assert f"{path}: " in str(error.value)
    assert says in str(error.value)
    assert run.step == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())


def test_groups_of_an_optimiser_follow_from_the_recipe(stopped: Path) -> None:
    path = stopped / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    torch.save(change(state, "optimizer", "param_groups", value=[{"lr": "much"}]), path)
    run = Run(short(*STOPPED), make_model(short(*STOPPED), CPU))
    groups = run.optimizer.state_dict()["param_groups"]
    load_checkpoint(run, path, CPU)
    assert run.step == 2
    assert run.optimizer.state_dict()["param_groups"] == groups
