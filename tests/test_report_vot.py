"""The report of VOT's experiments, of miniatures in the toolkit's layout."""

import csv
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lockon import cli
from lockon.errors import DataError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.overlaps import Toolkit
from lockon.evaluation.region_files import write_regions
from lockon.evaluation.regions import STARTED, Rectangle, Region, truth
from lockon.evaluation.report.vot import find_trackers, write_vot_report
from lockon.evaluation.sequences import Array, Benchmark, Sequence

NAMES = ("ants", "bag")
FRAMES = 130  # more than the shortest typical length


def sequence(name: str) -> Sequence:
    boxes = np.array([[20.0 + i / 4, 30, 40, 30] for i in range(FRAMES)])
    anchors = np.zeros(FRAMES, np.int64)
    anchors[[0, -1]] = 1, -1
    return Sequence(name, (Path("1.jpg"),) * FRAMES, boxes, labels={"anchor": anchors}, size=(300, 100))


def benchmark(name: str, toolkit: str) -> Benchmark:
    return Benchmark(name, NAMES, sequence, toolkit)


def regions(drift: float) -> list[Region]:
    boxes: Array = sequence("ants").boxes + np.outer(np.arange(FRAMES), [drift, 0, 0, 0])
    return [Rectangle(*box) for box in boxes.tolist()]


def write_supervised(folder: Path, drift: float) -> None:
    for name in NAMES:
        answers = regions(drift)
        tokens = supervised.run(truth(sequence(name)), (300, 100), lambda frame: None, answers.__getitem__)
        write_regions(folder / name / f"{name}_001.txt", tokens)


def write_multistart(folder: Path, drift: float) -> None:
    for name in NAMES:
        for anchor, frames in multistart.run_frames(sequence(name)).items():
            answers = [STARTED, *(regions(drift)[frame] for frame in frames[1:])]
            write_regions(folder / name / f"{name}_{anchor:08d}.bin", answers)


def write_longterm(folder: Path, drift: float) -> None:
    for name in NAMES:
        write_regions(folder / name / f"{name}_001.txt", [STARTED, *regions(drift)[1:]])
        lines = ["", *(f"{1 - 0.005 * frame:.3f}" for frame in range(1, FRAMES))]
        (folder / name / f"{name}_001_confidence.value").write_text("\n".join(lines) + "\n")


KINDS = [
    ("vot2018", "vot-supervised", "baseline", write_supervised, ["pysot", "vot"], "EAO"),
    ("vot2020", "vot-multistart", "baseline", write_multistart, ["vot"], "EAO"),
    ("vot2020_lt", "vot-longterm", "longterm", write_longterm, ["vot", "pysot"], "F"),
]


@pytest.mark.parametrize(("name", "toolkit", "experiment", "write", "by", "measure"), KINDS)
def test_trackers_stand_side_by_side_the_best_first(
    tmp_path: Path,
    name: str,
    toolkit: str,
    experiment: str,
    write: Callable[[Path, float], None],
    by: list[str],
    measure: str,
) -> None:
    for tracker, drift in (("far", 1.5), ("near", 0.1)):
        write(tmp_path / "results" / tracker / experiment, drift)
    opened = benchmark(name, toolkit)
    found = find_trackers(tmp_path, opened)
    assert found == {tracker: tmp_path / "results" / tracker / experiment for tracker in ("far", "near")}
    table, files = write_vot_report(found, opened, tmp_path / "report")
    assert [row[:2] for row in table.rows] == [(tracker, one) for tracker in ("near", "far") for one in by]
    assert table.columns[2] == measure
    assert {file.name for file in files} == {
        "index.html",
        "curve.png",
        "curve.svg",
        "summary.csv",
        "summary.tex",
        "sequences.csv",
    }
    page = files[0].read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    rows = list(csv.DictReader((tmp_path / "report" / "sequences.csv").read_text().splitlines()))
    assert [row["sequence"] for row in rows] == list(NAMES)


def test_scores_are_those_of_the_experiment_s_own_module(tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "baseline"
    write_supervised(folder, 1.5)
    opened = benchmark("vot2018", "vot-supervised")
    table, _ = write_vot_report({"mine": folder}, opened, tmp_path / "report")
    kinds: tuple[Toolkit, ...] = ("pysot", "vot")
    for row, kind in zip(table.rows, kinds, strict=True):
        scores = supervised.score(opened, supervised.read_runs(folder, NAMES), (100, 356), kind)
        assert row[1:] == (kind, scores.eao, scores.accuracy, scores.robustness, scores.failures)
        assert scores.failures > 0


def test_other_experiments_of_a_tracker_are_left_alone(tmp_path: Path) -> None:
    for experiment in ("unsupervised", "baseline", "realtime"):
        write_supervised(tmp_path / "mine" / experiment, 0.1)
    assert find_trackers(tmp_path, benchmark("vot2018", "vot-supervised")) == {"mine": tmp_path / "mine" / "baseline"}


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no results of vot2018; .* such as TRACKER/baseline/ants/ants_001.txt"):
        find_trackers(tmp_path, benchmark("vot2018", "vot-supervised"))


def test_an_incomplete_result_is_named(tmp_path: Path) -> None:
    write_longterm(tmp_path / "mine" / "longterm", 0.1)
    (tmp_path / "mine" / "longterm" / "bag" / "bag_001_confidence.value").unlink()
    opened = benchmark("vot2020_lt", "vot-longterm")
    assert longterm.read_runs(tmp_path / "mine" / "longterm", ["ants"])
    with pytest.raises(DataError, match=r"bag_001_confidence.value: cannot be read"):
        write_vot_report(find_trackers(tmp_path, opened), opened, tmp_path / "report")


def test_report_of_vot_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = benchmark("vot2018", "vot-supervised")
    monkeypatch.setattr("lockon.cli_report.open_benchmark", lambda name, data: opened)
    write_supervised(tmp_path / "mine" / "baseline", 0.1)
    command = ["lockon", "report", f"{tmp_path}", "--benchmark", "vot2018", "--data", ".", "--out", f"{tmp_path}/page"]
    monkeypatch.setattr(sys, "argv", command)
    cli.app(standalone_mode=False)
    assert re.search(r"mine +pysot", capsys.readouterr().out)
    monkeypatch.setattr(sys, "argv", [*command, "--toolkit", "pysot"])
    with pytest.raises(DataError, match="--toolkit and --partial are not for VOT's experiments"):
        cli.app(standalone_mode=False)
