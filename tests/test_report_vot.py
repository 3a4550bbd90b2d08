"""The report of VOT's experiments, of miniatures in the toolkit's layout."""

import csv
import math
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from lockon import cli
from lockon.data.sources import decode
from lockon.errors import DataError, OutputError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.overlaps import Toolkit
from lockon.evaluation.region_files import write_regions
from lockon.evaluation.regions import FAILED, NOTHING, STARTED, Mask, Polygon, Rectangle, Region, truth
from lockon.evaluation.report.experiments import find_all_trackers, find_trackers
from lockon.evaluation.report.listing import Listing, Measure
from lockon.evaluation.report.markup import render
from lockon.evaluation.report.plots import draw_points
from lockon.evaluation.report.strips import ANSWER, Track, cut_strips
from lockon.evaluation.report.vot import write_vot_report
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from tests.browser import browse, column

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    plots = ["curve"] if measure == "F" else ["curve", "accuracy_robustness"]
    expected = {f"{plot}.{kind}" for plot in plots for kind in ("png", "svg")}
    assert {file.name for file in files} == {"index.html", "summary.csv", "summary.tex", "sequences.csv"} | expected
    page = files[0].read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert page.index("near</th>") < page.index("far</th>")
    assert page.count('<figure class="plot"') == len(plots)
    assert 'id="tags"' not in page  # no frame has any
    assert "Not shown, for want of pictures: " in page
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


def tagged(pictures: Path | None = None) -> Benchmark:
    """The supervised benchmark with tags, and pictures where a folder for them is given."""

    def read(name: str) -> Sequence:
        tag = np.zeros(FRAMES, np.int64)
        tag[10:90] = 1
        labels = {"occlusion": tag, "camera_motion": 1 - tag} if name == "ants" else {"occlusion": tag}
        found = replace(sequence(name), labels=labels)
        return found if pictures is None else replace(found, files=(pictures / "1.png",) * FRAMES)

    if pictures is not None:
        pictures.mkdir()
        cv2.imwrite(str(pictures / "1.png"), np.full((100, 300, 3), 90, np.uint8))
    return Benchmark("vot2018", NAMES, read, "vot-supervised")


def test_tags_and_robustness_are_those_of_the_scores(tmp_path: Path) -> None:
    drifts = {"near": 0.1, "far": 1.5}
    for tracker, drift in drifts.items():
        write_supervised(tmp_path / tracker / "baseline", drift)
    opened = tagged()
    _, files = write_vot_report(find_trackers(tmp_path, opened), opened, tmp_path / "report")
    assert {"tags.csv", "tags.tex", "tags.svg", "tags.png"} <= {file.name for file in files}
    rows = {row["tag"]: row for row in csv.DictReader((tmp_path / "report" / "tags.csv").read_text().splitlines())}
    assert {tag: row["frames"] for tag, row in rows.items()} == {
        "camera_motion": "50",
        "occlusion": "160",
        "empty": "50",
    }
    plot = (tmp_path / "report" / "accuracy_robustness.svg").read_text()
    for tracker in drifts:
        runs = supervised.read_runs(tmp_path / tracker / "baseline", NAMES)
        scores = supervised.score(opened, runs, (100, 356), "pysot")
        assert {tag: float(row[tracker]) for tag, row in rows.items()} == pytest.approx(scores.tags, abs=1e-6)
        assert f"{scores.eao:.3f}  {tracker}" in plot
    assert plot.index("near") < plot.index("far")  # the legend is ranked


def test_the_accuracy_robustness_plot_has_the_vot_toolkit_s_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = {}

    def draw(points: dict[str, tuple[float, float, str]], *words: Any) -> "Figure":
        drawn.update(points)
        return draw_points(points, *words)

    monkeypatch.setattr("lockon.evaluation.report.vot.draw_points", draw)
    write_supervised(tmp_path / "one" / "baseline", 1.5)
    write_multistart(tmp_path / "two" / "baseline", 1.5)
    opened = benchmark("vot2018", "vot-supervised")
    write_vot_report({"one": tmp_path / "one" / "baseline"}, opened, tmp_path / "report")
    runs = supervised.read_runs(tmp_path / "one" / "baseline", NAMES)
    scores = supervised.score(opened, runs, (100, 356), "vot")
    assert drawn["one"][:2] == (scores.robustness, scores.accuracy)
    assert scores.robustness == pytest.approx(math.exp(-30 * scores.failures / FRAMES))
    opened = benchmark("vot2020", "vot-multistart")
    write_vot_report({"two": tmp_path / "two" / "baseline"}, opened, tmp_path / "report2")
    found = multistart.score(opened, multistart.read_runs(tmp_path / "two" / "baseline", list(opened)))
    assert drawn["two"][:2] == (found.robustness, found.accuracy)


def test_strips_are_of_the_sequences_that_fail_most_and_show_the_failure(tmp_path: Path) -> None:
    write_supervised(tmp_path / "mine" / "baseline", 0.1)
    write_supervised(tmp_path / "drifting", 1.5)
    shutil.copytree(tmp_path / "drifting" / "bag", tmp_path / "mine" / "baseline" / "bag", dirs_exist_ok=True)
    folder, opened = tmp_path / "mine" / "baseline", tagged(tmp_path / "pictures")
    failed = supervised.read_runs(folder, ["bag"])["bag"][0].index(FAILED)
    page = write_vot_report({"mine": folder}, opened, tmp_path / "report", 1)[1][0].read_text()
    strips = page[page.index('id="worst"') :]
    failures = supervised.score(opened, supervised.read_runs(folder, NAMES), (100, 356)).sequence_failures["bag"][0]
    assert re.findall(r"<b>(\w+)</b> ([\d.]+)", strips) == [("bag", f"{failures:.1f}")]
    assert f"<span>{failed + 1} · 0.00</span>" in strips
    assert f"<span>{failed} · " in strips
    assert "data:image" not in write_vot_report({"mine": folder}, opened, tmp_path / "report", 0)[1][0].read_text()


@pytest.mark.parametrize(
    "region",
    [
        Rectangle(40, 20, 60, 40),
        Polygon(((40, 20), (100, 20), (100, 60), (40, 60))),
        Mask(40, 20, np.ones((41, 61), np.bool_)),
    ],
)
def test_regions_of_any_kind_are_drawn(region: Region, tmp_path: Path) -> None:
    opened = tagged(tmp_path / "pictures").read("ants")
    track = Track("mine", opened, 0.5, [NOTHING] * FRAMES, [region] * FRAMES, np.ones(FRAMES))
    ((strip,), faults) = cut_strips([track])
    assert not faults
    picture = decode(strip.stills[0].jpeg).astype(int)
    zoom = picture.shape[0] / 100
    for x, y in ((40, 40), (100, 40), (70, 20), (70, 60)):  # the middles of the four sides
        around = picture[int(y * zoom) - 2 : int(y * zoom) + 3, int(x * zoom) - 2 : int(x * zoom) + 3].reshape(-1, 3)
        assert np.abs(around - ANSWER).sum(1).min() < 120
    assert np.abs(picture[int(40 * zoom), int(70 * zoom)] - 90).max() < 20


def test_the_table_of_sequences_sorts_filters_and_opens_in_a_browser(tmp_path: Path) -> None:
    for tracker, drift in (("near", 0.1), ("far", 1.5)):
        write_supervised(tmp_path / tracker / "baseline", drift)
    write_supervised(tmp_path / "far" / "baseline", 1.5)
    shutil.copytree(tmp_path / "near" / "baseline" / "ants", tmp_path / "far" / "baseline" / "ants", dirs_exist_ok=True)
    opened = tagged()
    html = write_vot_report(find_trackers(tmp_path, opened), opened, tmp_path / "report")[1][0]
    scores = supervised.score(opened, supervised.read_runs(tmp_path / "far" / "baseline", NAMES), (100, 356), "pysot")
    failures = [float(scores.sequence_failures[name].mean()) for name in NAMES]
    with browse(html) as page:
        far = 5  # after sequence, frames, attributes and the better tracker
        assert column(page, far) == [f"{value:.1f}" for value in failures]
        assert page.locator("#sequences td.best").all_inner_texts() == ["0.0"]  # fewest, where trackers differ
        for order in (1, -1):
            page.locator("#sequences thead button").nth(far - 1).click()
            assert [float(value) for value in column(page, far)] == sorted(failures)[::order]
        page.select_option("#measure", "A")
        accuracy = dict(zip(NAMES, scores.sequence_accuracy.tolist()))
        assert column(page, far) == [f"{accuracy[name]:.3f}" for name in ("bag", "ants")]
        page.fill("#filter", "CAMERA an")
        assert column(page, 2) == [str(FRAMES)]
        page.fill("#filter", "")
        page.locator("#sequences tbody button").nth(0).click()
        assert page.locator(".chart path").count() == 2
        assert page.locator(".chart rect").count() == 0
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_sequence_without_a_score_is_shown_and_sorted(tmp_path: Path) -> None:
    values = {"A": {"mine": np.array([np.nan, 0.5]), "other": np.array([0.25, 0.75])}}
    sequences = [sequence(name) for name in NAMES]
    overlaps = {tracker: [np.ones(FRAMES)] * 2 for tracker in ("mine", "other")}
    listing = Listing(sequences, {"A": Measure("accuracy")}, values, overlaps)
    (tmp_path / "page.html").write_text(render("VOT", 2, "", {"sequences": ("", listing.html())}, listing.data()))
    with browse(tmp_path / "page.html") as page:
        assert column(page, 3) == ["-", "0.500"]
        page.locator("#measure").dispatch_event("change")
        assert column(page, 3) == ["-", "0.500"]
        for expected in (["-", "0.500"], ["0.500", "-"]):
            page.locator("#sequences thead button").nth(2).click()
            assert column(page, 3) == expected


def test_other_experiments_of_a_tracker_are_left_alone(tmp_path: Path) -> None:
    for experiment in ("unsupervised", "baseline", "realtime"):
        write_supervised(tmp_path / "mine" / experiment, 0.1)
    assert find_trackers(tmp_path, benchmark("vot2018", "vot-supervised")) == {"mine": tmp_path / "mine" / "baseline"}


def test_a_folder_without_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no results of vot2018; .* such as TRACKER/baseline/ants/ants_001.txt"):
        find_trackers(tmp_path, benchmark("vot2018", "vot-supervised"))


def test_two_results_of_one_tracker_are_both_told(tmp_path: Path) -> None:
    for place in ("old", "new"):
        write_supervised(tmp_path / place / "mine" / "baseline", 0.1)
    opened = benchmark("vot2018", "vot-supervised")
    with pytest.raises(DataError, match=r"new/mine/baseline and .*old/mine/baseline: both have results of mine"):
        find_trackers(tmp_path, opened)
    found = find_all_trackers([tmp_path / "old", tmp_path / "new"], opened)
    assert found == {
        f"mine{end}": tmp_path / place / "mine" / "baseline" for place, end in (("old", ""), ("new", " (2)"))
    }


def test_a_result_that_lacks_the_first_sequence_is_found_and_told(tmp_path: Path) -> None:
    write_supervised(tmp_path / "whole" / "baseline", 0.1)
    write_supervised(tmp_path / "part" / "baseline", 0.1)
    shutil.rmtree(tmp_path / "part" / "baseline" / "ants")
    opened = benchmark("vot2018", "vot-supervised")
    found = find_trackers(tmp_path, opened)
    assert set(found) == {"whole", "part"}
    with pytest.raises(DataError, match=r"part/baseline/ants: no runs"):
        write_vot_report(found, opened, tmp_path / "report")


def test_circles_of_links_end(tmp_path: Path) -> None:
    write_supervised(tmp_path / "mine" / "baseline", 0.1)
    (tmp_path / "mine" / "up").symlink_to("..")
    assert list(find_trackers(tmp_path, benchmark("vot2018", "vot-supervised"))) == ["mine"]


def test_the_same_results_give_the_same_report_which_tells_no_full_path(tmp_path: Path) -> None:
    write_supervised(tmp_path / "results" / "mine" / "baseline", 1.5)
    opened = tagged()
    found = find_trackers(tmp_path / "results", opened)
    first, second = (write_vot_report(found, opened, tmp_path / name)[1] for name in ("a", "b"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]
    assert '<td class="text">results/mine/baseline</td>' in first[0].read_text()
    assert str(tmp_path) not in first[0].read_text()


def test_a_page_of_the_user_s_stays(tmp_path: Path) -> None:
    write_supervised(tmp_path / "mine" / "baseline", 0.1)
    opened = benchmark("vot2018", "vot-supervised")
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "index.html").write_text("mine")
    with pytest.raises(OutputError, match=r"report/index.html: is there already"):
        write_vot_report(find_trackers(tmp_path, opened), opened, tmp_path / "report")
    assert [file.name for file in (tmp_path / "report").iterdir() if file.is_file()] == ["index.html"]
    assert (tmp_path / "report" / "index.html").read_text() == "mine"


def test_a_benchmark_without_typical_lengths(tmp_path: Path) -> None:
    write_supervised(tmp_path / "mine" / "baseline", 0.1)
    opened = benchmark("mine", "vot-supervised")
    with pytest.raises(DataError, match="mine: its typical lengths are not known"):
        write_vot_report(find_trackers(tmp_path, opened), opened, tmp_path / "report")


def test_an_incomplete_result_is_named(tmp_path: Path) -> None:
    write_longterm(tmp_path / "mine" / "longterm", 0.1)
    (tmp_path / "mine" / "longterm" / "bag" / "bag_001_confidence.value").unlink()
    opened = benchmark("vot2020_lt", "vot-longterm")
    assert longterm.read_runs(tmp_path / "mine" / "longterm", ["ants"])
    with pytest.raises(DataError, match=r"bag_001_confidence.value is missing"):
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
    assert 'id="worst"' in (tmp_path / "page" / "index.html").read_text()
    monkeypatch.setattr(sys, "argv", [*command, "--worst", "0"])
    cli.app(standalone_mode=False)
    assert 'id="worst"' not in (tmp_path / "page" / "index.html").read_text()
    monkeypatch.setattr(sys, "argv", [*command, "--toolkit", "pysot"])
    with pytest.raises(DataError, match="--toolkit and --partial are not for VOT's experiments"):
        cli.app(standalone_mode=False)
