"""The report: what it says of miniature results, and how its page behaves in a browser."""

import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from lockon import cli as lockon_cli
from lockon.data.sources import decode
from lockon.errors import DataError, OutputError
from lockon.evaluation.foreign import Results
from lockon.evaluation.metrics import TOOLKITS, overlap, score
from lockon.evaluation.regions import Rectangle
from lockon.evaluation.report import write_report
from lockon.evaluation.report.comparison import Comparison, compare
from lockon.evaluation.report.files import write_all
from lockon.evaluation.report.listing import POINTS, Listing, Measure, thin
from lockon.evaluation.report.markup import render, without_folders
from lockon.evaluation.report.plots import plot_success, to_svg
from lockon.evaluation.report.strips import Track, cut_strips, telling, worst_strips
from lockon.evaluation.report.tables import Table, shown, to_csv, to_latex
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
    assert partial.left_out == {"disc_10": ("stark_tiny",)}
    assert partial.main["stark_tiny"].names == ("disc_2", "<b>&disc")


def test_a_page_of_an_unfinished_result_says_so(benchmark: Benchmark, results: list[Results], tmp_path: Path) -> None:
    del results[0].boxes["disc_10"]  # type: ignore[attr-defined]
    page = write_report(compare(results, benchmark, partial=True), tmp_path)[0].read_text()
    assert "1 sequence of the benchmark left out</b>, for these results lack them: disc_10 (stark_tiny)." in page


def test_results_without_a_common_sequence(benchmark: Benchmark, results: list[Results]) -> None:
    with pytest.raises(DataError, match="no sequence has results of all 2 trackers"):
        compare([results[0], Results("empty", {})], benchmark, partial=True)


def test_a_benchmark_whose_annotation_is_not_public(results: list[Results]) -> None:
    hidden = Sequence("disc_2", (Path("1.jpg"),) * 8, np.ones((1, 4)))
    with pytest.raises(DataError, match="not public; pack the results with `lockon submit`"):
        compare(results, Benchmark("got10k", ("disc_2",), lambda _: hidden, "got10k-ao"))


def test_a_folder_that_cannot_be_written(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "report").write_text("a file")
    with pytest.raises(OutputError, match=r"report: cannot write the report here: it is not a folder"):
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


# What lies in the folder already


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def test_a_report_replaces_the_one_before_and_nothing_else(
    comparison: Comparison, benchmark: Benchmark, results: list[Results], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    write_report(comparison, out)
    assert (out / "toolkits.csv").is_file()
    files = write_report(compare(results[1:], benchmark), out)  # one toolkit, no times
    assert set(content(out)) == {file.name for file in files} | {"notes.txt"}
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["index.html", "success.png", "speed.svg", "sequences.csv"])
def test_a_file_of_the_user_s_is_not_written_over(tmp_path: Path, name: str) -> None:
    files: dict[str, str | bytes] = {"index.html": "page", "success.png": b"plot"}
    (tmp_path / name).write_text("mine")
    with pytest.raises(OutputError, match=rf"{name}: is there already and was not made by this command"):
        write_all(tmp_path, "otb2015", files)
    assert content(tmp_path) == {name: b"mine"}
    (tmp_path / name).unlink()
    write_all(tmp_path, "otb2015", files)
    (tmp_path / name).write_text("changed since")
    before = content(tmp_path)
    with pytest.raises(OutputError, match=rf"{name}: is there already"):
        write_all(tmp_path, "otb2015", files)
    assert content(tmp_path) == before


def test_a_report_of_another_benchmark_is_not_written_over(tmp_path: Path) -> None:
    write_all(tmp_path, "otb2015", {"index.html": "page"})
    with pytest.raises(OutputError, match=r"index.html: is there already"):
        write_all(tmp_path, "lasot", {"index.html": "another"})
    assert content(tmp_path) == {"index.html": b"page"}


def test_a_user_s_page_stays_whatever_is_reported(comparison: Comparison, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("mine")
    with pytest.raises(OutputError, match=r"index.html: is there already"):
        write_report(comparison, tmp_path, worst=0)
    assert content(tmp_path) == {"index.html": b"mine"}


def test_plots_do_not_come_among_a_sequence_s_pictures(comparison: Comparison, tmp_path: Path) -> None:
    pictures = comparison.sequences[0].files[0].parent
    (tmp_path / "link").symlink_to(pictures)
    before = content(pictures)
    for out in (pictures, tmp_path / "link"):
        with pytest.raises(OutputError, match="has pictures of a sequence; give another --out"):
            write_report(comparison, out)
    assert content(pictures) == before


def test_a_full_disk_leaves_the_earlier_report_and_no_half_of_one(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk."""
    code = f"""
import resource, signal
from pathlib import Path
from lockon.errors import OutputError
from lockon.evaluation.report.files import write_all
out = Path({str(tmp_path)!r})
write_all(out, "otb2015", {{"index.html": "old", "success.svg": "plot"}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    write_all(out, "otb2015", {{"index.html": "new", "success.svg": "x" * 9000, "success.png": b"more"}})
except OutputError as error:
    print(error)
write_all(out, "nfs", {{"index.html": "page"}})
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == f"{tmp_path / 'success.svg'}: cannot be written: File too large"
    assert "was not made by this command" in ran.stderr  # the last line: another benchmark's report is refused
    assert content(tmp_path) == {"index.html": b"old", "success.svg": b"plot"}


# Names and numbers of any kind

STRANGE = (
    "<!--<script>",
    "</script><b>",
    'x" id="y',
    "#0072b2",
    "[a]*",
    "_hidden",
    "\u8ffd\u8e2a",
    'a,b"c',
    "$\\alpha^2$",
    "${title}",
)


def test_a_tracker_may_have_any_name_that_can_be_shown(
    benchmark: Benchmark, results: list[Results], tmp_path: Path
) -> None:
    named = [replace(results[0], tracker=label) for label in STRANGE]
    page = write_report(compare(named, benchmark, ["plain", "otb"]), tmp_path / "report", 0)[0].read_text()
    assert page.count("<script") == page.count("</script>") == 2
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])  # type: ignore[index]
    assert set(data["trackers"]) == set(STRANGE)
    plots = page[page.index('id="plots"') : page.index('id="attributes"')]
    radar = page[page.index('id="attributes"') : page.index('id="sequences"')]
    for part in (plots, radar):
        shown = {unescape(text).strip() for text in re.findall(r">([^<>]*)</text>", part)}
        assert all(any(text.endswith(label) for text in shown) for label in STRANGE)  # in a legend, as they are
    assert all(f"{escape(label)}</th>" in page for label in STRANGE)
    assert {row["tracker"] for row in rows(tmp_path / "report" / "toolkits.csv")} == set(STRANGE)


def test_rows_of_latex_begin_with_no_option_of_the_row_before() -> None:
    text = to_latex(Table(("tracker", "AUC"), (("[1em]", 0.5), ("*", 0.25), ("a<b|c>", 0.1))))
    assert "\n{[}1em] & 0.500" in text
    assert "\n{*} & 0.250" in text
    assert r"a\textless{}b\textbar{}c\textgreater{} & 0.100" in text


def test_numbers_that_are_none_are_not_shown_as_numbers() -> None:
    table = Table(("tracker", "A", "B"), (("a", math.nan, 0.5), ("b", 0.25, math.inf), ("c", 0.125, 0.25)), "column")
    assert to_csv(table) == "tracker,A,B\na,,0.500000\nb,0.250000,\nc,0.125000,0.250000\n"
    assert table.winners() == {(1, 1), (0, 2)}
    assert "a & - & " in to_latex(table)


def test_a_page_has_no_nan_in_its_data(benchmark: Benchmark) -> None:
    sequences = list(benchmark)
    values = {"failures": {"a": np.array([np.nan, 2, np.inf]), "b": np.array([1.0, np.nan, 0])}}
    listing = Listing(sequences, {"failures": Measure("failures", lower=True)}, values, {"a": [np.ones(8)] * 3})
    page = render("x", 2, "", {"sequences": ("Sequences", listing.html())}, listing.data())
    told = json.loads(re.search(r'id="data">(.*?)</script>', page)[1], parse_constant=pytest.fail)  # type: ignore[index]
    assert told["measures"]["failures"]["values"] == [[None, 2, None], [1, None, 0]]
    assert told["measures"]["failures"]["ends"] == [2, 0]
    with pytest.raises(ValueError, match="not JSON compliant"):
        render("x", 2, "", {}, {"value": math.nan})


def test_boxes_that_are_no_numbers_or_huge_are_reported_in_silence(tmp_path: Path) -> None:
    truth = np.array([[10.0, 10, 20, 20]] * 7)
    boxes = np.array([truth[0], [np.nan] * 4, [np.inf, 0, 1, 1], [1e308] * 4, [0, 0, -5, -5], [1e200] * 4, [0.0] * 4])
    walk = Benchmark("folder", ("walk",), lambda name: Sequence(name, (), truth, size=(100, 100)))
    found = compare([Results("odd", {"walk": boxes})], walk, [name for name in TOOLKITS if name != "pytracking"])
    assert found.overlaps("odd", found.sequences[0]).tolist() == [1, *[0] * 6]
    page = write_report(found, tmp_path / "report")[0].read_text()  # warnings are errors here
    json.loads(re.search(r'id="data">(.*?)</script>', page)[1], parse_constant=pytest.fail)  # type: ignore[index]


def test_two_results_of_one_label_are_not_compared(benchmark: Benchmark, results: list[Results]) -> None:
    with pytest.raises(DataError, match="folder: two results have one label"):
        compare([results[0], results[0]], benchmark)
    with pytest.raises(DataError, match="characters that cannot be shown"):
        compare([replace(results[0], tracker="a\udcff")], benchmark)
    with pytest.raises(DataError, match="folder: no results to compare"):
        compare([], benchmark)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/jane/models/a.pth", "\u2026/a.pth"),
        ("opencv-vit=/home/jane doe/b.onnx", "opencv-vit=\u2026/b.onnx"),
        ("trax:python /srv/x/run.py --fast", "trax:python \u2026/run.py --fast"),
        (r"C:\Users\jane\a.pth", "\u2026/a.pth"),
        ("~/x/a.pth", "\u2026/a.pth"),
        ("models/a.pth", "models/a.pth"),
        ("frames/s, 1/2", "frames/s, 1/2"),
    ],
)
def test_where_things_lay_is_not_told(text: str, told: str) -> None:
    assert without_folders(text) == told


def test_a_page_tells_no_secrets_of_a_run(benchmark: Benchmark, results: list[Results], tmp_path: Path) -> None:
    benchmark.read(NAMES[0]).files[0].unlink()
    run = {"tracker": "stark-tiny=/home/jane/a.pth", "source": "rtsp://jane:secret@host/x"}
    page = write_report(compare([replace(results[0], run=run)], benchmark), tmp_path / "report", 3)[0].read_text()
    assert "<td>stark-tiny=\u2026/a.pth</td>" in page
    assert "<td>rtsp://***@host/x</td>" in page
    assert "Not shown, for want of pictures" in page
    assert str(tmp_path) not in page


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


def test_pictures_of_any_shape_become_stills_of_bounded_size(tmp_path: Path) -> None:
    for number, shape in enumerate(((3, 20_000, 3), (20_000, 3, 3), (1, 1, 3))):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros(shape, np.uint8))
    files = tuple(tmp_path / f"{number}.png" for number in range(3))
    boxes = np.array([[1.0, 1, 2, 2]] * 3)
    far = [Rectangle(1e300, -1e300, 1e300, 1e300)] * 3
    track = Track("a", Sequence("x", files, boxes), 0.5, far, far, np.ones(3))
    ((strip,), faults) = cut_strips([track])
    assert not faults
    assert all(0 < side <= 1008 for still in strip.stills for side in still.size)
    assert [decode(still.jpeg).shape[1::-1] for still in strip.stills] == [still.size for still in strip.stills]


def test_a_sequence_without_pictures_has_no_strip_and_a_report(tmp_path: Path) -> None:
    boxes = np.array([[10.0, 10, 20, 20]] * 4)
    bare = Benchmark("folder", ("walk",), lambda name: Sequence(name, (), boxes))
    page = write_report(compare([Results("still", {"walk": boxes})], bare), tmp_path / "report")[0].read_text()
    assert "Not shown, for want of pictures: walk (the sequence has 0 pictures for 4 boxes)" in page


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
