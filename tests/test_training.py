"""What a training run does, from its first step to the files that it leaves."""

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from lockon import cli
from lockon.data.loader import PairDataset, load_pairs
from lockon.errors import DataError
from lockon.models import MODELS, ModelInfo
from lockon.models.stark import Stark, stark_tiny
from lockon.registry import create_model
from lockon.tracker import PairBatch
from lockon.training import loop
from lockon.training.logs import Event, Progress, Validation
from lockon.training.loop import make_model, make_pairs, train
from lockon.training.run import Run
from lockon.weights import read_weights
from tests.runs import CPU, changed_parts, column, short, stop_at

Data = dict[str, list[str]]
LINE = Progress(step=2, pairs=8, total=32, losses={"total": 1.5}, lr=1e-3, speed=4.0)


def test_training_learns_to_find_the_disc(tmp_path: Path, data: Data, small_stark: str) -> None:
    seen: list[Event | str] = []
    recipe = short(small_stark, "pairs=640", "log_every=40", "data.absent=0", "data.regions=0")
    path = train(recipe, data, tmp_path / "run", CPU, report=seen.append)
    lines = [event for event in seen if isinstance(event, Progress)]
    assert lines[-1].losses["corner"] < 0.9 * lines[0].losses["corner"]
    assert read_weights(path)[1] == "small"
    assert len(column(tmp_path / "run" / "log.csv", "corner")) == len(lines)


# What is trained


def test_a_second_stage_trains_one_part_and_leaves_the_rest(tmp_path: Path, data: Data, small_stark: str) -> None:
    first = train(short(small_stark, "pairs=8"), data, tmp_path / "one", CPU)
    second = train(short(small_stark, "pairs=8", "only=cls_head.", f"start={first}"), data, tmp_path / "two", CPU)
    assert changed_parts(first, second) == {"cls_head"}


def test_a_later_stage_asks_for_the_weights_before_it(tmp_path: Path, data: Data) -> None:
    with pytest.raises(DataError, match="--set start=FILE"):
        train(short(name="stark-tiny-score"), data, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_both_stages_of_a_model_with_two_templates(tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> Stark:
        return Stark(replace(stark_tiny().config, templates=2, score_weight=0.0))

    monkeypatch.setitem(MODELS, "two", ModelInfo(build, "none", str))
    few = ("model=two", "pairs=8", "optimizer.warmup=0", "data.mix=images:1,clips:1")
    first = train(short(*few, name="stark-st50"), data, tmp_path / "one", CPU)
    second = train(short(*few, f"start={first}", name="stark-st50-score"), data, tmp_path / "two", CPU)
    assert changed_parts(first, second) == {"cls_head"}
    assert column(tmp_path / "two" / "log.csv", "score")


def test_batch_norms_learn_their_statistics_in_the_first_part_of_the_run(data: Data, small_stark: str) -> None:
    recipe = short(small_stark, "pairs=16", "norm_until=0.5")
    run = Run(recipe, make_model(recipe, CPU))
    means, weights = [], []
    for batch in load_pairs(make_pairs(recipe, data), recipe.batch, 0, 0):
        run.advance(batch)
        means.append(run.model.state_dict()["backbone.bn1.running_mean"].clone())
        weights.append(run.model.state_dict()["backbone.conv1.weight"].clone())
    assert [not torch.equal(one, two) for one, two in pairwise(means)] == [True, False, False]
    assert [not torch.equal(one, two) for one, two in pairwise(weights)] == [True, True, True]


def test_the_average_follows_the_weights(data: Data, small_stark: str) -> None:
    recipe = short(small_stark, "ema=0.5")
    run = Run(recipe, make_model(recipe, CPU))
    name = "backbone.conv1.weight"
    expected = run.model.state_dict()[name].clone()
    for batch in load_pairs(make_pairs(recipe, data), recipe.batch, 0, 0):
        run.advance(batch)
        expected = torch.lerp(expected, run.model.state_dict()[name], 1 - min(0.5, (1 + run.step) / (10 + run.step)))
        torch.testing.assert_close(run.ema[name], expected)
    assert run.ema["backbone.bn1.num_batches_tracked"] == run.model.state_dict()["backbone.bn1.num_batches_tracked"]


def test_a_backbone_starts_from_published_weights(tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = create_model("stark-tiny").get_submodule("backbone")
    published = {name: value + 1 for name, value in backbone.state_dict().items()}
    torch.save(published | {"fc.weight": torch.zeros(3)}, tmp_path / "resnet.pth")
    recipe = short(f"backbone={tmp_path / 'resnet.pth'}")
    start = make_model(recipe, CPU).state_dict()
    assert all(torch.equal(start[f"backbone.{name}"], value) for name, value in published.items())
    with pytest.raises(DataError, match="one of start and backbone"):
        train(replace(recipe, start="x"), data, tmp_path / "run", CPU)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_trains_the_same(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a real compiler makes of the network is not for us to test: this one only looks at it."""
    seen: list[object] = []

    def look(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        seen.append(graph)
        return graph.forward

    compile_with = partial(torch.nn.Module.compile, backend=look)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile_with(self))
    compiled = train(short(small_stark, "pairs=8", "compile=true"), data, tmp_path / "compiled", CPU)
    plain = train(short(small_stark, "pairs=8"), data, tmp_path / "plain", CPU)
    assert len(seen) > 3
    one, two = read_weights(compiled)[0], read_weights(plain)[0]
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-3, rtol=1e-2)


# Where it stops


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_batch(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss, recipe = Stark.loss, short(small_stark)
    calls: list[PairBatch] = []

    def broken(self: Stark, batch: PairBatch, *rest: object) -> dict[str, Tensor]:
        calls.append(batch)
        losses = loss(self, batch, *rest)  # type: ignore[arg-type]
        return losses | {"total": losses["total"] * float("nan")} if len(calls) == 4 else losses

    monkeypatch.setattr(Stark, "loss", broken)
    with pytest.raises(DataError, match=r"loss is not finite at step 3 \(pairs 12 to 15\).*total nan.*bad-batch-0\.pt"):
        train(recipe, data, tmp_path / "run", CPU)
    kept = torch.load(tmp_path / "run" / "bad-batch-0.pt", weights_only=True)
    assert torch.equal(kept["search"], calls[3].search)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_gradient_that_is_not_finite_leaves_the_weights(data: Data, small_stark: str) -> None:
    recipe = short(small_stark)
    run = Run(recipe, make_model(recipe, CPU))
    before = {name: value.clone() for name, value in run.model.state_dict().items() if "running" not in name}
    run.trained[0].register_hook(lambda grad: grad * float("inf"))
    with pytest.raises(DataError, match="gradient is not finite"):
        run.advance(next(load_pairs(make_pairs(recipe, data), recipe.batch, 0, 0)))
    after = run.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items() if "tracked" not in name)


def test_too_little_gpu_memory_says_which_setting_helps(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Stark, "loss", full)
    with pytest.raises(DataError, match=r"too little memory for 2 pairs at once.*--set accumulate=4"):
        train(short(small_stark, "accumulate=2"), data, tmp_path / "run", CPU)


def test_an_error_in_a_worker_is_one_line_as_any_other(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise DataError("a.tar: picture 7 is broken")

    monkeypatch.setattr(PairDataset, "__getitem__", broken)
    with pytest.raises(DataError) as error:
        train(short(small_stark, "workers=1"), data, tmp_path / "run", CPU)
    assert str(error.value) == "a.tar: picture 7 is broken"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [(["accumulate=3"], "batch=4 cannot be taken in 3 equal parts"), (["pairs=3"], "less than one batch")],
)
def test_fields_that_do_not_go_together_are_refused(
    tmp_path: Path, data: Data, overrides: list[str], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        train(short(*overrides), data, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


# What it tells


def test_off_a_terminal_there_is_a_line_for_each_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with cli.train_report(quiet=False) as report:
        report(LINE)
        report(Validation(2, 8, 0.51, 0.62))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["8", "pairs", "4.0/s", "0:00:06", "left", "lr", "1.0e-03", "total", "1.500"]
    assert lines[1].split() == ["8", "pairs", "success", "0.510", "precision", "0.620"]


def test_in_a_terminal_one_line_lives(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(cli, "stderr", Console(file=screen, force_terminal=True, width=120))
    with cli.train_report(quiet=False) as report:
        report(LINE)
    for text in ("8/32", "4.0/s", "0:00:06 left", "total 1.500"):
        assert text in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with cli.train_report(quiet=True) as report:
        report(LINE)
        report("a remark")
    assert capsys.readouterr() == ("", "")


def test_a_run_that_may_not_begin_has_an_exit_code(
    tmp_path: Path, data: Data, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.pt").touch()
    command = ["lockon", "train", "stark-tiny", "--data", f"images={data['images'][0]}", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", [*command, "--device", "cpu"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert "has a run already: go on with it by --resume" in capsys.readouterr().err


def test_tensorboard_gets_the_curves(tmp_path: Path, data: Data, small_stark: str) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(short(small_stark), data, tmp_path / "run", CPU)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    points = events.Scalars("loss/total")
    assert [point.step for point in points] == [2, 4, 6, 8]
    written = [float(value) for value in column(tmp_path / "run" / "log.csv", "total")]
    assert [point.value for point in points] == pytest.approx(written, abs=1e-4)


def test_without_tensorboard_a_run_says_so_and_goes_on(
    tmp_path: Path, data: Data, small_stark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ImportError

    monkeypatch.setattr(loop, "TensorBoard", missing)
    seen: list[Event | str] = []
    train(short(small_stark, "pairs=4"), data, tmp_path / "run", CPU, report=seen.append)
    assert "lockon[train]" in str(seen[0])
    assert column(tmp_path / "run" / "log.csv", "step") == ["1"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_on_a_gpu_goes_on_and_learns(tmp_path: Path, data: Data, small_stark: str) -> None:
    recipe = short(small_stark, "precision=bfloat16", "workers=1")
    with pytest.raises(KeyboardInterrupt):
        train(recipe, data, tmp_path / "run", torch.device("cuda"), report=stop_at(6))
    path = train(recipe, data, tmp_path / "run", torch.device("cuda"), resume=True)
    assert all(torch.isfinite(value).all() for value in read_weights(path)[0].values())
    assert column(tmp_path / "run" / "log.csv", "step") == ["2", "4", "6", "8"]
