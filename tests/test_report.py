"""The report: what it says of miniature results, and how its page behaves in a browser."""

import csv
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lockon import cli as lockon_cli
from lockon.data.sources import decode
from lockon.errors import DataError, OutputError
from lockon.evaluation.foreign import Results
from lockon.evaluation.metrics import overlap, score
from lockon.evaluation.report import write_report
from lockon.evaluation.report.comparison import Comparison, compare
from lockon.evaluation.report.listing import POINTS, thin
from lockon.evaluation.report.plots import plot_success, to_svg
from lockon.evaluation.report.strips import telling, worst_strips
from lockon.evaluation.report.tables import Table, shown, to_latex
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from tests.browser import browse, column
from tests.scenes import write_frames

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES = ("disc_2", "disc_10", "<b>&disc")
ATTRIBUTES = {"disc_2": {"SV", "OCC"}, "disc_10": {"SV", "IV"}, "<b>&disc": {"IV"}}


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Three sequences of the moving disc; in the second it is absent in one frame."""
    read = {}
    for name in NAMES:
        folder = tmp_path / "data" / re.sub(r"\W", "", name)
        boxes = np.array(write_frames(folder, "{:08d}.jpg", range(1, 9)), float)
        if name == "disc_10":
            boxes[4] = np.nan
        read[name] = Sequence(name, tuple(sorted(folder.iterdir())), boxes, frozenset(ATTRIBUTES[name]))
    return Benchmark("folder", NAMES, read.__getitem__)


def answer(benchmark: Benchmark, drift: Mapping[str, float]) -> dict[str, Array]:
    """Boxes that leave the target by so many pixels a frame, and none of them NaN."""
    answers = {}
    for sequence in benchmark:
        boxes = np.where(np.isnan(sequence.boxes), 0, sequence.boxes)
        answers[sequence.name] = boxes + drift[sequence.name] * np.arange(len(boxes))[:, None] * [1, 0, 0, 0]
    return answers


@pytest.fixture
def results(benchmark: Benchmark) -> list[Results]:
    """The first is worse on all but the last sequence, and says more of itself."""
    worse = answer(benchmark, dict(zip(NAMES, (3.0, 2.0, 0.5))))
    better = answer(benchmark, dict(zip(NAMES, (0.5, 0.25, 1.0))))
    seconds = {name: np.full(8, 0.05) for name in NAMES}
    run = {"tracker": "stark-tiny", "settings": {"interval": 200}, "crop": {}, "weights": None}
    return [Results("stark_tiny", worse, seconds, layout="lockon's results", run=run), Results("$ours$ & co", better)]


@pytest.fixture
def comparison(results: list[Results], benchmark: Benchmark) -> Comparison:
    return compare(results, benchmark, ["plain", "got10k"])


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_page_needs_nothing_beside_it_and_plots_and_tables_lie_there(
    comparison: Comparison, tmp_path: Path
) -> None:
    files = write_report(comparison, tmp_path / "report")
    plots = {
        f"{name}.{kind}" for name in ("success", "precision", "norm_precision", "speed") for kind in ("png", "svg")
    }
    tables = {f"{name}.{kind}" for name in ("summary", "toolkits", "attributes") for kind in ("csv", "tex")}
    radar = {"attributes.png", "attributes.svg"}
    assert {file.name for file in files} == {"index.html", "sequences.csv"} | plots | tables | radar
    page = files[0].read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "http" not in re.sub(r'http-equiv|xmlns(:\w+)?="[^"]*"', "", page)


def test_scores_are_those_of_metrics_best_first(comparison: Comparison, benchmark: Benchmark, tmp_path: Path) -> None:
    write_report(comparison, tmp_path)
    summary = rows(tmp_path / "summary.csv")
    assert [row["tracker"] for row in summary] == ["$ours$ & co", "stark_tiny"]
    worse = score("plain", benchmark, comparison.results["stark_tiny"].boxes)
    assert float(summary[1]["AUC"]) == pytest.approx(worse.summary["success"], abs=1e-6)
    assert float(summary[1]["frames/s"]) == pytest.approx(20)
    assert summary[0]["frames/s"] == ""
    single = [
        row for row in rows(tmp_path / "sequences.csv") if row["toolkit"] == "plain" and row["sequence"] == "disc_2"
    ]
    assert [float(row["precision"]) for row in single if row["tracker"] == "stark_tiny"] == [
        pytest.approx(worse.per_sequence["precision"][0], abs=1e-6)
    ]
    attributes = {row["attribute"]: row for row in rows(tmp_path / "attributes.csv")}
    assert attributes["SV"]["sequences"] == "2"
    of_sv = worse.subset(["disc_2", "disc_10"]).summary["success"]
    assert float(attributes["SV"]["stark_tiny"]) == pytest.approx(of_sv, abs=1e-6)


def test_toolkits_stand_side_by_side(comparison: Comparison, benchmark: Benchmark, tmp_path: Path) -> None:
    write_report(comparison, tmp_path)
    told = [row for row in rows(tmp_path / "toolkits.csv") if row["tracker"] == "stark_tiny"]
    assert [row["scored as"] for row in told] == ["plain", "got10k"]
    for row in told:
        boxes = comparison.results["stark_tiny"].boxes
        expected = score(row["scored as"], benchmark, boxes, benchmark="folder").summary
        assert float(row["AUC"]) == pytest.approx(expected["success"], abs=1e-6)
        assert (row["AO"] == "") == ("ao" not in expected)


def test_latex_has_the_best_in_bold_and_its_own_characters_escaped() -> None:
    text = to_latex(Table(("tracker", "AUC"), (("a_b & $c", 0.71234), ("d", 0.5), ("e", 0.7119)), "column"))
    assert r"a\_b \& \$c & \textbf{0.712} \\" in text
    assert r"d & 0.500 \\" in text
    assert r"e & \textbf{0.712} \\" in text  # equal as printed
    assert text.count("&") == text.count(r"\&") + 4


def test_cells_as_people_read_them() -> None:
    assert [shown(score) for score in (0.12345, 1.0)] == ["0.123", "1.000"]
    assert [shown(speed) for speed in (1.26, 41.7)] == ["1.3", "42"]
    assert [shown(cell) for cell in (12, "x", None)] == ["12", "x", "-"]


def test_a_row_whose_numbers_are_all_equal_has_no_best() -> None:
    assert Table(("sequence", "a", "b"), (("x", 0.5, 0.5), ("y", 0.4, 0.5)), "row").winners() == {(1, 2)}


def test_names_are_not_taken_for_markup(comparison: Comparison, tmp_path: Path) -> None:
    page = write_report(comparison, tmp_path)[0].read_text()
    assert "<b>&disc" not in page
    assert "&lt;b&gt;&amp;disc" in page
    assert "$ours$ &amp; co" in page


def test_the_configuration_of_each_run_is_told(comparison: Comparison, tmp_path: Path) -> None:
    page = write_report(comparison, tmp_path)[0].read_text()
    assert '<th scope="row">settings.interval</th><td>-</td><td>200</td>' in page
    assert '<th scope="row">crop</th><td>-</td><td>{}</td>' in page
    assert "weights" not in page[page.index('id="runs"') :]  # null tells nothing


def test_results_without_a_configuration_say_so(benchmark: Benchmark, results: list[Results], tmp_path: Path) -> None:
    page = write_report(compare(results[1:], benchmark), tmp_path)[0].read_text()
    assert "No run.json beside these results" in page
    assert "frames/s" not in page


def test_the_same_scores_give_the_same_files(comparison: Comparison, tmp_path: Path) -> None:
    for first, second in zip(write_report(comparison, tmp_path / "a"), write_report(comparison, tmp_path / "b")):
        assert first.read_bytes() == second.read_bytes()
    assert to_svg(plot_success(comparison.main)) == to_svg(plot_success(comparison.main))


def test_an_unfinished_result_is_refused_or_scored_as_far_as_all_go(
    benchmark: Benchmark, results: list[Results]
) -> None:
    del results[0].boxes["disc_10"]  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"stark_tiny has no disc_10; .* --partial the 2 sequences that all have"):
        compare(results, benchmark)
    partial = compare(results, benchmark, partial=True)
    assert [sequence.name for sequence in partial.sequences] == ["disc_2", "<b>&disc"]
    assert partial.left_out == 1
    assert partial.main["stark_tiny"].names == ("disc_2", "<b>&disc")


def test_a_page_of_an_unfinished_result_says_so(benchmark: Benchmark, results: list[Results], tmp_path: Path) -> None:
    del results[0].boxes["disc_10"]  # type: ignore[attr-defined]
    page = write_report(compare(results, benchmark, partial=True), tmp_path)[0].read_text()
    assert "1 sequence of the benchmark left out" in page


def test_results_without_a_common_sequence(benchmark: Benchmark, results: list[Results]) -> None:
    with pytest.raises(DataError, match="no sequence has results of all 2 trackers"):
        compare([results[0], Results("empty", {})], benchmark, partial=True)


def test_a_benchmark_whose_annotation_is_not_public(results: list[Results]) -> None:
    hidden = Sequence("disc_2", (Path("1.jpg"),) * 8, np.ones((1, 4)))
    with pytest.raises(DataError, match="not public; pack the results with `lockon submit`"):
        compare(results, Benchmark("got10k", ("disc_2",), lambda _: hidden, "got10k-ao"))


def test_a_folder_that_cannot_be_written(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(OutputError, match=r"report/index.html: cannot write the report"):
        write_report(comparison, tmp_path / "report")


def test_results_of_other_lengths_and_of_several_runs_are_shown(benchmark: Benchmark, tmp_path: Path) -> None:
    whole = answer(benchmark, dict.fromkeys(NAMES, 0.5))
    short = {name: boxes[:6] for name, boxes in whole.items()}
    long = {name: np.concatenate([boxes, boxes]) for name, boxes in whole.items()}
    runs = {name: np.stack([boxes, boxes + 1]) for name, boxes in whole.items()}
    found = compare([Results("short", short), Results("long", long), Results("runs", runs)], benchmark, ["otb"])
    assert found.overlaps("short", found.sequences[0])[6:].tolist() == [0, 0]
    for other in ("long", "runs"):
        expected = overlap(whole["disc_2"], found.sequences[0].boxes)
        np.testing.assert_array_equal(found.overlaps(other, found.sequences[0]), expected)
    assert len(worst_strips(found, 1)[0]) == 3


# Film strips


def test_strips_are_of_each_tracker_s_worst_sequences(comparison: Comparison) -> None:
    strips, faults = worst_strips(comparison, 2)
    assert not faults
    assert [(strip.tracker, strip.sequence) for strip in strips] == [
        ("$ours$ & co", "<b>&disc"),
        ("$ours$ & co", "disc_2"),
        ("stark_tiny", "disc_2"),
        ("stark_tiny", "disc_10"),
    ]
    assert [strip.score for strip in strips[:2]] == sorted(comparison.main["$ours$ & co"].per_sequence["success"])[:2]


def test_both_boxes_are_drawn_on_the_frame(comparison: Comparison) -> None:
    (strip,) = [strip for strip in worst_strips(comparison, 1)[0] if strip.tracker == "stark_tiny"]
    still = strip.stills[-1]
    sequence = next(sequence for sequence in comparison.sequences if sequence.name == strip.sequence)
    frame = still.frame - 1
    boxes = comparison.results["stark_tiny"].boxes[strip.sequence]
    assert still.overlap == pytest.approx(overlap(boxes, sequence.boxes)[frame])
    picture = decode(still.jpeg).astype(int)
    zoom = picture.shape[0] / decode(sequence.files[frame].read_bytes()).shape[0]
    for box, colour in ((sequence.boxes[frame], (255, 255, 255)), (boxes[frame], (255, 140, 0))):
        x, y, _, h = (box * zoom).round().astype(int)
        left = picture[y + h // 2, max(0, x - 1) : x + 2]  # across the left edge
        assert np.abs(left - colour).sum(1).min() < 120, (box, left)


def test_a_strip_shows_where_the_target_is_lost() -> None:
    lost = np.arange(101) > 40
    assert telling(lost) == [0, 20, 40, 41, 70, 100]
    assert telling(np.zeros(101, bool)) == [0, 12, 25, 50, 75, 100]
    assert telling(np.ones(3, bool)) == [0, 1, 2]
    assert telling(np.ones(1, bool)) == [0]


def test_missing_pictures_are_told_and_skipped(comparison: Comparison, tmp_path: Path) -> None:
    for file in comparison.sequences[0].files[1:]:
        file.unlink()
    comparison.sequences[1].files[0].write_bytes(b"no picture")
    strips, faults = worst_strips(comparison, 3)
    assert {strip.sequence for strip in strips} == {"<b>&disc"}
    assert faults.keys() == {"disc_2", "disc_10"}
    page = write_report(comparison, tmp_path / "report")[0].read_text()
    assert "Not shown, for want of pictures: disc_2, disc_10" in page
    assert page.count("cannot be read: No such file") == 1


# Overlap over time


def test_long_curves_are_thinned_to_means() -> None:
    track = np.repeat([0.5, np.nan, 1.0], 400)
    line, step = thin(track)
    assert step == 4
    assert list(line) == [100] * 100 + [255] * 100 + [200] * 100
    assert len(thin(np.random.default_rng(0).random(100_000))[0]) <= POINTS


def test_short_curves_are_kept_frame_by_frame() -> None:
    line, step = thin(np.array([1.0, 0.505, np.nan, 0.0]))
    assert (list(line), step) == ([200, 101, 255, 0], 1)


# In a browser


@pytest.fixture
def page(comparison: Comparison, tmp_path: Path) -> Iterator["Page"]:
    with browse(write_report(comparison, tmp_path / "report")[0]) as opened:
        yield opened


def test_the_table_sorts_by_any_column_both_ways(page: "Page") -> None:
    heads = page.locator("#sequences thead button")
    heads.nth(0).click()
    assert [name.removeprefix("›") for name in column(page, 1)] == ["<b>&disc", "disc_2", "disc_10"]  # noqa: RUF001
    for up in (True, False):
        heads.nth(4).click()
        scores = [float(value) for value in column(page, 5)]
        assert scores == sorted(scores, reverse=not up)
        assert page.locator("#sequences th").nth(4).get_attribute("aria-sort") == ("ascending" if up else "descending")
    assert page.locator("#sequences th").nth(0).get_attribute("aria-sort") == "none"


def test_the_table_filters_by_name_and_attribute(page: "Page") -> None:
    page.fill("#filter", "sv DISC_1")
    assert len(column(page, 1)) == 1
    assert page.locator("#shown").inner_text() == "1 of 3"
    page.fill("#filter", "")
    assert len(column(page, 1)) == 3


def test_the_table_shows_another_measure(page: "Page", comparison: Comparison) -> None:
    page.select_option("#measure", "ao")
    expected = comparison.main["stark_tiny"].per_sequence["ao"]
    assert column(page, 5) == [f"{value:.3f}" for value in expected]


def test_a_click_on_a_sequence_shows_its_overlap_over_time(page: "Page") -> None:
    opener = page.locator("#sequences tbody button").nth(1)
    opener.click()
    assert page.locator(".chart path").count() == 2
    assert page.locator(".chart rect").count() == 1  # the frame in which the target is absent
    area = page.locator(".chart svg").bounding_box()
    assert area is not None
    page.mouse.move(area["x"] + area["width"] - 9, area["y"] + 50)
    assert "frame 8" in page.locator(".chart .legend").inner_text()
    assert opener.get_attribute("aria-expanded") == "true"
    opener.click()
    assert page.locator(".chart").count() == 0


def test_pictures_are_there_and_the_page_fits_a_phone(page: "Page") -> None:
    loaded = page.evaluate("[...document.images].map((image) => image.complete && image.naturalWidth > 0)")
    assert loaded == [True] * len(loaded)
    assert len(loaded) == 2 * 3 * 6
    assert page.locator(".plot svg").count() == 5
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_reader_s_colours(page: "Page", scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    text, paper = page.evaluate(
        "(({color, backgroundColor}) => [color, backgroundColor])(getComputedStyle(document.body))"
    )
    brightness = [sum(json.loads(f"[{re.sub('[^0-9,]', '', value)}]")[:3]) for value in (text, paper)]
    assert (brightness[0] > brightness[1]) == (scheme == "dark")


# On the command line


@pytest.fixture
def written(benchmark: Benchmark, tmp_path: Path) -> Path:
    """The first two sequences as a folder of sequences, and two trackers' results of them; returns what holds both."""
    for name, folder in (("disc_2", "disc_2"), ("disc_10", "disc_10")):
        lines = [",".join(f"{v:g}" for v in box) for box in benchmark.read(name).boxes]
        (tmp_path / "data" / folder / "groundtruth.txt").write_text("\n".join(lines))
    shutil.rmtree(tmp_path / "data" / "bdisc")
    for tracker, drift in (("good", 0.25), ("bad", 2.0)):
        (tmp_path / "results" / tracker).mkdir(parents=True)
        for name in ("disc_2", "disc_10"):
            boxes = np.nan_to_num(benchmark.read(name).boxes) + drift * np.arange(8)[:, None]
            np.savetxt(tmp_path / "results" / tracker / f"{name}.txt", boxes, delimiter=",")
    return tmp_path


def lockon(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lockon", *map(str, arguments)])
        lockon_cli.app(standalone_mode=False)


def test_report_from_the_command_line(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--benchmark", "folder", "--data", written / "data", "--out", written / "report")
    lockon("report", written / "results", *where, "--toolkit", "otb", "--toolkit", "plain")
    said = capsys.readouterr().out
    assert re.search(r"good: .*results/good, taken for rows of x, y, w, h", said)
    assert said.index(" good ") < said.index(" bad ")
    assert (written / "report" / "index.html").is_file()
    lockon("report", written / "results", *where, "--quiet", "--worst", 0)
    assert capsys.readouterr().out == ""
    assert "data:image" not in (written / "report" / "index.html").read_text()


def test_the_same_label_twice_is_numbered(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = (written / "results" / "good", written / "results" / "good")
    lockon("report", *folders, "--benchmark", "folder", "--data", written / "data", "--out", written / "report")
    assert "good (2)" in capsys.readouterr().out
