"""Our trackers under the official VOT toolkit, and other people's trackers under ours."""

import importlib
import json
import math
import os
import re
import shlex
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import lockon
from lockon.boxes import Box
from lockon.cli import app
from lockon.errors import BoxError, DataError, ModelError, OutputError, SourceError, TrackerError
from lockon.evaluation import longterm, multistart, supervised
from lockon.evaluation.overlaps import overlaps
from lockon.evaluation.region_files import read_regions
from lockon.evaluation.regions import (
    FAILED,
    NOTHING,
    STARTED,
    Mask,
    Polygon,
    Rectangle,
    enclosing_box,
    format_region,
    truth,
)
from lockon.evaluation.runner import make_job, run
from lockon.evaluation.sequences import Sequence
from lockon.evaluation.submit import pack_vot
from lockon.evaluation.trackers import open_tracker
from lockon.registry import shipped_weights
from lockon.tracker import Result
from tests import scenes
from tests.kills import is_alive, wait_for_end
from tests.videos import write_benchmark

pytest.importorskip("vot", reason="needs the extra vot")

import trax

from lockon.evaluation.trax import TraxTracker, read_picture, start_box
from lockon.evaluation.workspace import BROKEN, prepare

EXPERIMENTS = {
    "supervised": """
  baseline:
    type: supervised
    skip_initialize: 5
    analyses:
      - type: supervised_average_ar
      - type: supervised_eao_score
        low: 2
        high: 8
""",
    "unsupervised": """
  whole:
    type: unsupervised
    analyses:
      - type: average_tpr
""",
    "multistart": """
  anchored:
    type: multistart
    analyses:
      - type: multistart_average_ar
      - type: multistart_eao_score
        low: 2
        high: 8
""",
}
FAILS = BROKEN.match(version("vot-toolkit")) is not None  # the installed toolkit, in two of these
RUNNING = ["unsupervised"] if FAILS else list(EXPERIMENTS)
works = pytest.mark.skipif(FAILS, reason="this release of the toolkit fails in the experiment, see docs/evaluation.md")


def stack(*kinds: str) -> str:
    """The text of a stack of the toolkit."""
    return "title: made up\nexperiments:" + "".join(EXPERIMENTS[kind] for kind in kinds)


# A tracker of somebody else's: it repeats its first box, in the form that it is told. Told so, it tracks only once,
# dies or hangs at its second frame, says more than anybody wants to hear, or answers with what is no box.
STILL = """
import sys
import time
import numpy as np
import trax
metadata = {"vot": "python"} if "once" in sys.argv else {}
server = trax.Server([trax.Region.RECTANGLE], [trax.Image.PATH], tracker_name="still", metadata=metadata)
box = None
while (request := server.wait()).type != trax.TraxStatus.QUIT:
    if request.objects:
        assert box is None or "once" not in sys.argv
        box = x, y, w, h = request.objects[0][0].bounds()
        properties = {}
    elif "die" in sys.argv:
        sys.exit("RuntimeError: no luck")
    else:
        properties = {"confidence": "inf" if "sure" in sys.argv else 0.25}
    if "loud" in sys.argv:
        sys.stderr.write("x" * 999 + "\\n" + "y" * 9_000_000 + "\\n")
    if "hang" in sys.argv and not request.objects:
        time.sleep(600)
    answer = trax.Rectangle.create(*box)
    if "polygon" in sys.argv:
        answer = trax.Polygon.create([(x, y), (x + w, y), (x, y + h)])
    if "mask" in sys.argv:
        answer = trax.Mask.create(np.ones((int(h), int(w)), np.uint8), int(x), int(y))
    if "empty" in sys.argv:
        answer = trax.Mask.create(np.zeros((5, 5), np.uint8))
    if "code" in sys.argv:
        answer = trax.Special.create(0)
    if "nan" in sys.argv and not request.objects:
        answer = trax.Rectangle.create(float("nan"), y, w, h)
    if "negative" in sys.argv and not request.objects:
        answer = trax.Rectangle.create(x, y, -w, h)
    server.status([(answer, properties)])
"""


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command that runs the tracker above."""
    file = tmp_path_factory.mktemp("still") / "still.py"
    file.write_text(STILL)
    return f"{sys.executable} {file}"


@pytest.fixture(scope="module")
def sequences(tmp_path_factory: pytest.TempPathFactory) -> list[Sequence]:
    """A slow disc that is annotated by polygons and a fast one by masks, on disk as VOT has them."""
    root = tmp_path_factory.mktemp("data")
    (root / "list.txt").write_text("slow\nfast\n")
    return [write_sequence(root / "slow", range(12), False), write_sequence(root / "fast", range(0, 48, 4), True)]


def write_sequence(folder: Path, numbers: range, masks: bool) -> Sequence:
    """Pictures of the disc, with its first and last frame as anchors."""
    (folder / "color").mkdir(parents=True)
    files, boxes, regions = [], [], []
    for place, number in enumerate(numbers, 1):
        image, box = scenes.picture(number)
        files.append(folder / "color" / f"{place:08d}.jpg")
        files[-1].write_bytes(scenes.jpeg(image))
        boxes.append(box)
        regions.append(format_region(disc(box) if masks else corners(box)))
    anchors = np.array([1, *[0] * (len(files) - 2), -1])
    (folder / "groundtruth.txt").write_text("\n".join(regions))
    (folder / "anchor.value").write_text("\n".join(map(str, anchors)))
    (folder / "sequence").write_text("fps=30\nchannels.color=color/%08d.jpg\n")
    return Sequence(
        folder.name,
        tuple(files),
        np.array(boxes),
        labels={"anchor": anchors},
        regions=tuple(regions),
        size=(scenes.WIDTH, scenes.HEIGHT),
    )


def corners(box: Box) -> Polygon:
    x, y, w, h = box
    return Polygon(((x, y), (x + w, y), (x + w, y + h), (x, y + h)))


def disc(box: Box) -> Mask:
    x, y, w, h = map(int, box)
    pixels = np.zeros((h, w), np.uint8)
    cv2.circle(pixels, (w // 2, h // 2), w // 2, 1, -1)
    return Mask(x, y, pixels > 0)


def run_toolkit(*calls: list[str]) -> str:
    """Runs ``vot`` with each list of arguments, in one process; returns what it printed."""
    code = """
import json, sys
from vot.utilities.cli import main
for call in json.loads(sys.argv[1]):
    sys.argv = ["vot", *call]
    try:
        main()
    except SystemExit as end:
        if end.code:
            raise
"""
    sources = str(Path(lockon.__file__).parents[1])
    offline = {"HTTPS_PROXY": "http://127.0.0.1:9", "PYTHONPATH": sources}  # it would look for a newer version
    command = [sys.executable, "-c", code, json.dumps(calls)]
    done = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def workspace(sequences: list[Sequence], still: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of the toolkit in which a still tracker and SiamAttn went through everything."""
    folder = tmp_path_factory.mktemp("vot") / "100 % work"
    folder.mkdir()
    (folder / "stack.yaml").write_text(stack(*RUNNING))
    (folder / "trackers.ini").write_text(f"[still]\nprotocol = trax\ncommand = {still}\n")
    prepare(folder, {"siamattn-tiny": None}, str(folder / "stack.yaml"), data=sequences[0].files[0].parents[2])
    at = ["--workspace", str(folder)]
    said = run_toolkit(
        ["evaluate", *at, "siamattn-tiny", "still"],
        ["analysis", *at, "--name", "scores"],
    )
    assert "Evaluation concluded" in said
    assert "Analysis successful" in said
    return folder


def analysis(workspace: Path, experiment: str) -> dict[str, list[Any]]:
    """The numbers of the toolkit's analysis by tracker: a list for each analysis."""
    content = json.loads((workspace / "analysis" / "scores.json").read_text())
    results = content["results"][experiment]["results"]
    return {name: [rows[place] for rows in results] for place, name in enumerate(content["trackers"])}


@works
@pytest.mark.parametrize("tracker", ["still", "siamattn-tiny"])
def test_supervised_scores_are_the_toolkits(workspace: Path, sequences: list[Sequence], tracker: str) -> None:
    runs = supervised.read_runs(workspace / "results" / tracker / "baseline", [s.name for s in sequences])
    ours = supervised.score(sequences, runs, (2, 8))
    (accuracy, failures, (robustness, _), _), (eao,) = analysis(workspace, "baseline")[tracker]
    assert ours.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert ours.failures == pytest.approx(failures)
    assert ours.robustness == pytest.approx(robustness)
    assert ours.eao == pytest.approx(eao, abs=1e-6)


@works
@pytest.mark.parametrize("tracker", ["still", "siamattn-tiny"])
def test_multistart_scores_are_the_toolkits(workspace: Path, sequences: list[Sequence], tracker: str) -> None:
    runs = multistart.read_runs(workspace / "results" / tracker / "anchored", sequences)
    ours = multistart.score(sequences, runs, (2, 8))
    (accuracy, robustness, *_), (eao,) = analysis(workspace, "anchored")[tracker]
    assert ours.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert ours.robustness == pytest.approx(robustness)
    assert ours.eao == pytest.approx(eao, abs=1e-6)


@pytest.mark.parametrize("tracker", ["still", "siamattn-tiny"])
def test_longterm_scores_are_the_toolkits(workspace: Path, sequences: list[Sequence], tracker: str) -> None:
    runs = longterm.read_runs(workspace / "results" / tracker / "whole", [s.name for s in sequences])
    ours = longterm.score(sequences, runs)
    ((precision, recall, f_score),) = analysis(workspace, "whole")[tracker]
    assert (ours.precision, ours.recall, ours.f_score) == pytest.approx((precision, recall, f_score), abs=1e-6)


@works
def test_a_still_tracker_fails_on_what_moves_away(workspace: Path) -> None:
    first, *run = read_regions(workspace / "results/still/baseline/fast/fast_001.bin")
    box = enclosing_box(disc(scenes.picture(0)[1]))
    assert first == STARTED
    assert run[:4] == [Rectangle(*box)] * 4  # 33 pixels wide, and the disc moves 8 in a frame
    assert run[4:10] == [FAILED, *[NOTHING] * 4, STARTED]


def test_answers_have_the_form_of_the_annotation(workspace: Path, sequences: list[Sequence]) -> None:
    for sequence, form in zip(sequences, (Polygon, Mask), strict=True):
        run = read_regions(workspace / f"results/siamattn-tiny/whole/{sequence.name}/{sequence.name}_001.bin")
        assert {type(region) for region in run[1:]} == {form}
        assert overlaps(run[1:], truth(sequence)[1:], sequence.size, "vot").min() > 0.6
    still = read_regions(workspace / "results/still/whole/fast/fast_001.bin")
    assert {type(region) for region in still[1:]} == {Rectangle}


def test_confidences_are_kept_by_the_toolkit(workspace: Path) -> None:
    file = workspace / "results/siamattn-tiny/whole/slow/slow_001_confidence.value"
    first, *rest = file.read_text().splitlines()
    assert first == ""
    assert len(rest) == 11
    assert all(0 < float(line) <= 1 for line in rest)


def test_results_are_packed_for_submission(workspace: Path, tmp_path: Path) -> None:
    archive = pack_vot(workspace, "siamattn-tiny", tmp_path / "vot.zip")
    names = zipfile.ZipFile(archive).namelist()
    runs = ["whole/slow/slow_001", "whole/fast/fast_001"]
    if not FAILS:
        runs += ["baseline/slow/slow_001", "baseline/fast/fast_001", "anchored/slow/slow_00000000"]
    assert {f"{run}{end}" for run in runs for end in (".bin", "_time.value", "_confidence.value")} < set(names)
    assert "manifest.yml" in names


# Making a workspace


@pytest.fixture(autouse=True)
def toolkit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the making of workspaces, the release that does not fail."""
    monkeypatch.setattr("lockon.evaluation.workspace.version", lambda _: "0.7.4")


@pytest.mark.parametrize("release", ["0.8.1", "0.9.0"])
def test_a_stack_that_the_installed_toolkit_fails_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str
) -> None:
    monkeypatch.setattr("lockon.evaluation.workspace.version", lambda _: release)
    with pytest.raises(
        DataError, match=rf"vot2018/shortterm: has supervised .* toolkit {release} fails .* 'lockon\[vot"
    ):
        prepare(tmp_path, {"stark-tiny": None}, "vot2018/shortterm")
    with pytest.raises(DataError, match=r"vot2022/shorttermbox: has multistart experiments"):
        prepare(tmp_path, {"stark-tiny": None}, "vot2022/shorttermbox")
    assert not list(tmp_path.iterdir())
    assert prepare(tmp_path, {"stark-tiny": None}, "vot2020/longterm") == "vot2020/longterm"


def test_what_was_changed_in_a_section_stays(tmp_path: Path) -> None:
    prepare(tmp_path, {"stark-tiny": None, "grm-tiny": None}, "vot2022/shorttermbox")
    file = tmp_path / "trackers.ini"
    changed = file.read_text().replace("timeout = 120", "timeout = 600\nenv_OMP_NUM_THREADS = 1\n\n# slow machine", 1)
    changed = changed.replace("command = ", "Command=\n  ", 1)
    file.write_text(changed)
    prepare(tmp_path, {"stark-tiny": None})
    assert file.read_text() == changed.replace("Command=\n  ", "command = ")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("trackers.ini", "[stark-tiny]\ncommand = python mine.py\n", "section [stark-tiny] that lockon did not make"),
        ("trackers.ini", "[stark-tiny]\nlabel = mine\n", "section [stark-tiny] that lockon did not make"),
        ("trackers.ini", "[a]\n[a]\n", "cannot be read as the toolkit's list of trackers"),
        ("trackers.ini", b"\xff\xfe[\x00", "begins as UTF-16 text does"),
        ("trackers.ini", b"[a]\nlabel = \xe9\n", "line 2 is not UTF-8"),
        ("config.yaml", "stack: [a, b]\n", "is not the configuration of a workspace"),
        ("config.yaml", "stack: 2001-99-99\n", "is not the configuration of a workspace"),
        ("config.yaml", "[" * 5000, "is not the configuration of a workspace"),
    ],
)
def test_what_is_not_understood_is_not_written_over(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    files = {
        "config.yaml": b"stack: vot2018/shortterm\n",
        name: content.encode() if isinstance(content, str) else content,
    }
    for file, text in files.items():
        (tmp_path / file).write_bytes(text)
    with pytest.raises(DataError, match=re.escape(says)):
        prepare(tmp_path, {"stark-tiny": None})
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files


@pytest.mark.parametrize("name", ["config.yaml", "trackers.ini"])
def test_a_workspace_is_not_written_through_links_into_folders_or_pipes(tmp_path: Path, name: str) -> None:
    elsewhere = tmp_path / "mine"
    elsewhere.write_text("stack: vot2018/shortterm\n" if name == "config.yaml" else "[a]\ncommand = a\n")
    before = elsewhere.read_text()
    work = tmp_path / "work"
    work.mkdir()
    (work / name).symlink_to(elsewhere)
    with pytest.raises(DataError, match=f"{name}: is a link"):
        prepare(work, {"stark-tiny": None}, "vot2018/shortterm")
    assert elsewhere.read_text() == before
    for make in (Path.mkdir, os.mkfifo):
        (work / name).unlink(missing_ok=True)
        make(work / name)
        with pytest.raises((DataError, OutputError), match=f"{name}"):
            prepare(work, {"stark-tiny": None}, "vot2018/shortterm")
        if make is Path.mkdir:
            (work / name).rmdir()
    assert [file.name for file in work.iterdir()] == [name]


def test_a_workspace_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(OutputError, match=r"work.*: cannot write the workspace: (File exists|Not a directory)"):
        prepare(tmp_path / "work", {"stark-tiny": None}, "vot2018/shortterm")


def test_a_workspace_keeps_the_trackers_of_others(tmp_path: Path) -> None:
    others = "# mine\n[other]\nprotocol = trax\ncommand = other --fast\n\n# and mine, too\n[last]\ncommand = last\n"
    (tmp_path / "trackers.ini").write_text(others)
    prepare(tmp_path, {"stark-tiny": None}, "vot2022/shorttermbox")
    once = (tmp_path / "trackers.ini").read_text()
    prepare(tmp_path, {"stark-tiny": None})
    assert (tmp_path / "trackers.ini").read_text() == once
    assert once.startswith(others)
    prepare(tmp_path, {"stark-tiny": None}, benchmark="vot2020")
    assert (tmp_path / "trackers.ini").read_text() == once.replace("--device auto", "--device auto --benchmark vot2020")


def test_the_command_of_a_tracker_says_all_it_needs(tmp_path: Path) -> None:
    weights = tmp_path / "100 % mine.safetensors"
    weights.symlink_to(shipped_weights("stark-tiny"))
    assert prepare(tmp_path / "work", {"stark-tiny": weights}, "vot2018/shortterm", device="cpu") == "vot2018/shortterm"
    ini = ConfigParser()
    ini.read(tmp_path / "work" / "trackers.ini")
    python, *words = shlex.split(ini["stark-tiny"]["command"])
    assert python == sys.executable
    assert words[:4] == ["-m", "lockon", "vot", "serve"]
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {
        "--tracker": "stark-tiny",
        "--device": "cpu",
        "--weights": str(weights.resolve()),
        "--benchmark": "vot2018",
    }


@pytest.mark.parametrize(
    ("tracker", "options", "message"),
    [
        ("stark-tiny", {}, "a new workspace needs a stack"),
        ("stark-tiny", {"stack": "vot2018/shorterm"}, "did you mean vot2018/shortterm"),
        ("stark-tiny", {"stack": "vot2018/shortterm", "data": Path("nowhere")}, "nowhere: is no data set of VOT"),
        ("stark-tini", {"stack": "vot2018/shortterm"}, "did you mean stark-tiny"),
        ("stark-s50", {"stack": "vot2018/shortterm"}, "no weights come with stark-s50"),
    ],
)
def test_what_cannot_become_a_workspace(tmp_path: Path, tracker: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ModelError), match=message):
        prepare(tmp_path / "work", {tracker: None}, **options)
    assert not (tmp_path / "work" / "config.yaml").exists()


def test_a_workspace_has_one_stack(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("stack: vot2018/shortterm\n")
    with pytest.raises(DataError, match="is a workspace of the stack vot2018/shortterm; take another folder"):
        prepare(tmp_path, {}, "vot2016/rgb")


@pytest.mark.parametrize(("file", "content"), [("trackers.ini", "no section"), ("config.yaml", "- no stack")])
def test_a_broken_workspace_is_named(tmp_path: Path, file: str, content: str) -> None:
    (tmp_path / "config.yaml").write_text("stack: vot2018/shortterm\n")
    (tmp_path / file).write_text(content)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / file))):
        prepare(tmp_path, {})


def test_the_command_line_tells_what_to_run_next(tmp_path: Path) -> None:
    arguments = ["vot", "init", str(tmp_path / "my work"), "--stack", "vot2016/rgb", "--tracker", "stark-tiny"]
    said = CliRunner().invoke(app, arguments, catch_exceptions=False).stdout
    assert f"vot evaluate --workspace '{tmp_path}/my work' stark-tiny\n" in said
    with pytest.raises(ModelError, match="a tracker is given twice"):
        CliRunner().invoke(app, [*arguments, "--tracker", "stark-tiny=own.safetensors"], catch_exceptions=False)


def test_a_missing_toolkit_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vot", None)
    with pytest.raises(DataError, match=re.escape("pip install 'lockon[vot]'")):
        prepare(tmp_path, {}, "vot2018/shortterm")


def test_a_missing_protocol_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trax", None)
    monkeypatch.delitem(sys.modules, "lockon.evaluation.trax")
    with pytest.raises(TrackerError, match=re.escape("pip install 'lockon[vot]'")):
        importlib.import_module("lockon.evaluation.trax")


# TraX


def test_a_track_starts_from_a_region() -> None:
    assert start_box(Rectangle(1, 2, 3, 4)) == (1, 2, 3, 4)
    assert start_box(Mask(10, 20, np.array([[0, 0, 0], [0, 1, 1]], bool))) == (11, 21, 2, 1)
    side = 20 / np.sqrt(2) + 1  # of the square of the same area about, as pysot has it
    diamond = Polygon(((50, 40), (60, 50), (50, 60), (40, 50)))
    assert start_box(diamond) == pytest.approx((50 - (side - 1) / 2, 50 - (side - 1) / 2, side, side))
    assert start_box(Polygon(((0, 0), (4, 0), (0, 3)))) == (0, 0, 4, 3)
    for empty in (NOTHING, Mask(0, 0, np.zeros((3, 3), bool))):
        with pytest.raises(BoxError, match="cannot start from an empty region"):
            start_box(empty)


def test_pictures_come_as_files_or_from_memory(sequences: list[Sequence]) -> None:
    file, image = sequences[0].files[0], next(sequences[0].frames())
    for sent in (
        trax.FileImage.create(str(file)),
        trax.BufferImage.create(file.read_bytes()),
        trax.MemoryImage.create(image),
    ):
        assert np.array_equal(read_picture(sent), image)
    with pytest.raises(SourceError, match=r"gone.jpg: cannot be read: No such file"):
        read_picture(trax.FileImage.create("gone.jpg"))


def test_a_tracker_behind_trax_is_the_same(sequences: list[Sequence]) -> None:
    files, (x, y, w, h) = sequences[0].files[:4], sequences[0].boxes[0]
    command = f"{sys.executable} -m lockon vot serve --tracker stark-tiny --device cpu --threads 1"
    frames = sequences[0].frames()
    tracker = lockon.load("stark-tiny", device="cpu")
    tracker.init(next(frames), (x, y, w, h))
    with TraxTracker(command) as behind:
        behind.init(files[0], (x, y, w, h))
        for file, frame in zip(files[1:], frames, strict=False):
            expected, found = tracker.update(frame), behind.update(file)
            assert isinstance(expected, Result)
            assert found.box == pytest.approx(expected.box, abs=1e-3)
            assert found.score == pytest.approx(expected.score, abs=1e-5)
        with pytest.raises(TrackerError, match=r"ended with code 1 .*; its last words: .*gone.jpg: cannot be read"):
            behind.update(Path("gone.jpg"))


@pytest.mark.parametrize("form", ["rectangle", "polygon", "mask", "empty", "code"])
def test_a_command_is_a_tracker(still: str, sequences: list[Sequence], form: str) -> None:
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} {form}") as tracker:
        for box in ((10.0, 20.0, 30.0, 40.0), (1.0, 2.0, 3.0, 4.0)):
            assert tracker.init(first, box).box == box
            result = tracker.update(second)
            assert (result.box, result.score, result.found) == (box, 0.25, form not in ("empty", "code"))


def test_a_command_that_tracks_once_is_started_anew(still: str, sequences: list[Sequence]) -> None:
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} once") as tracker:
        for box in ((10.0, 20.0, 30.0, 40.0), (1.0, 2.0, 3.0, 4.0)):
            tracker.init(first, box)
            assert tracker.update(second).box == box


def test_a_command_that_dies_tells_why_and_can_start_again(still: str, sequences: list[Sequence]) -> None:
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} die") as tracker:
        for _ in range(2):
            tracker.init(first, (10, 20, 30, 40))
            with pytest.raises(TrackerError, match=rf"ended with code 1 at {second}; its last words: .*no luck"):
                tracker.update(second)
            with pytest.raises(TrackerError, match="is not on a track"):
                tracker.update(second)


@pytest.mark.parametrize(
    ("command", "timeout", "message"),
    [
        ("no-such-command --fast", 60, "'no-such-command --fast' cannot be started"),
        ("", 60, "cannot be started"),
        ("sleep 600", 0.5, "sleep 600: gave no answer in 0.5 seconds before it said hello"),
        ("echo hello", 60, "echo hello: ended with code 0 before it said hello; it wrote no error"),
    ],
)
def test_a_command_that_is_no_tracker(command: str, timeout: float, message: str) -> None:
    with pytest.raises(TrackerError, match=message):
        TraxTracker(command, timeout).init(Path("00000001.jpg"), (10, 20, 30, 40))


def test_a_command_that_writes_more_than_anybody_reads_goes_on_and_its_last_words_are_few(
    still: str, sequences: list[Sequence]
) -> None:
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} loud") as tracker:
        tracker.init(first, (10, 20, 30, 40))
        assert tracker.update(second).box == (10, 20, 30, 40)
    with TraxTracker(f"{still} loud die") as tracker:
        tracker.init(first, (10, 20, 30, 40))
        with pytest.raises(TrackerError) as caught:
            tracker.update(second)
    assert "its last words: yyy" in str(caught.value)
    assert str(caught.value).endswith(" | RuntimeError: no luck")
    assert len(str(caught.value)) < 10_000


def test_a_command_that_stops_answering_is_ended_with_all_that_it_started(
    still: str, sequences: list[Sequence], tmp_path: Path
) -> None:
    first, second, *_ = sequences[0].files
    script = tmp_path / "start.sh"
    script.write_text(f"sleep 600 & echo $! > {tmp_path}/number\nexec {still} hang\n")
    tracker = TraxTracker(f"sh {script}")
    tracker.init(first, (10, 20, 30, 40))
    beside = int((tmp_path / "number").read_text())
    assert is_alive(beside)
    tracker._process._timeout = 0.2  # type: ignore[union-attr]
    with pytest.raises(TrackerError, match=rf"gave no answer in 0\.2 seconds at {second}; it wrote no error"):
        tracker.update(second)
    wait_for_end(beside)
    tracker.close()


def test_what_a_command_leaves_behind_is_ended_too(sequences: list[Sequence], tmp_path: Path) -> None:
    """Though the command itself has ended."""
    script = tmp_path / "start.sh"
    script.write_text(f"sleep 600 > /dev/null & echo $! > {tmp_path}/number\nexit 3\n")
    with pytest.raises(TrackerError, match="ended with code 3 before it said hello"):
        TraxTracker(f"sh {script}").init(sequences[0].files[0], (10, 20, 30, 40))
    wait_for_end(int((tmp_path / "number").read_text()))


def test_a_command_whose_output_somebody_else_keeps_open_is_not_waited_for(sequences: list[Sequence]) -> None:
    """Its child has left the group of processes that is ended."""
    outside = "import os, time; os.setsid(); time.sleep(8)"
    command = f"sh -c '{sys.executable} -c \"{outside}\" & sleep 600'"
    with pytest.raises(TrackerError, match="gave no answer in 1 seconds before it said hello"):
        TraxTracker(command, 1).init(sequences[0].files[0], (10, 20, 30, 40))


def test_a_confidence_that_is_no_number_is_none(still: str, sequences: list[Sequence]) -> None:
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} sure") as tracker:
        tracker.init(first, (10, 20, 30, 40))
        assert math.isnan(tracker.update(second).score)


def test_a_command_that_answers_with_no_box_fails_its_sequence_and_no_file_has_it(still: str, tmp_path: Path) -> None:
    job = make_job(f"trax:{still} negative", write_benchmark(tmp_path / "data", "ab"), tmp_path / "out")
    told = {event.name: event.error for event in run(job) if event.ended}
    assert [told[name].startswith(f"{name}, frame 2: the tracker answered 34,34,-33,33;") for name in "ab"] == [
        True
    ] * 2
    assert not list(job.folder.glob("*.txt"))


def test_a_rectangle_of_nan_arrives_as_a_code_and_the_last_box_stays(still: str, sequences: list[Sequence]) -> None:
    """The protocol's library takes what begins with no number for a code."""
    first, second, *_ = sequences[0].files
    with TraxTracker(f"{still} nan") as tracker:
        tracker.init(first, (10, 20, 30, 40))
        result = tracker.update(second)
        assert (result.box, result.found) == ((10, 20, 30, 40), False)


def test_long_commands_have_folders_of_their_own(tmp_path: Path) -> None:
    long = "python " + "/".join(["a_folder_with_a_name"] * 9) + "/run.py --tracker "
    names = [open_tracker(f"trax:{long}{kind}").name for kind in ("one", "two")]
    assert names[0] != names[1]
    assert [name[:30] for name in names] == ["trax-python-a_folder_with_a_na"] * 2
    assert all(len(name) <= 100 for name in names)
