"""``lockon eval``: what a user sees."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

import lockon.cli
from lockon.boxes import Box
from lockon.evaluation.results import read_trace
from lockon.tracker import Result
from tests import layouts
from tests.videos import contents, write_benchmark


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_benchmark(tmp_path / "data")
    return tmp_path / "data"


class Evaluate:
    """Runs ``lockon eval`` as a user would; gives exit code, stdout and stderr."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.data, self.out, self.monkeypatch, self.capfd = data, data.parent / "out", monkeypatch, capfd

    def __call__(self, *options: object, trackers: tuple[str, ...] = ("still",)) -> tuple[int, str, str]:
        arguments = ["lockon", "eval", *(word for name in trackers for word in ("--tracker", name))]
        arguments += ["--benchmark", "folder", "--data", str(self.data), "--out", str(self.out), *map(str, options)]
        self.monkeypatch.setattr(sys, "argv", arguments)
        code: object = 0
        try:
            lockon.cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out, err = self.capfd.readouterr()
        assert isinstance(code, int)
        return code, out, err


@pytest.fixture
def evaluate(data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Evaluate:
    return Evaluate(data, monkeypatch, capfd)


def test_trackers_are_compared_in_one_table(evaluate: Evaluate) -> None:
    code, out, err = evaluate(trackers=("still", "opencv-mil", "stark-tiny"))
    assert (code, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split() == ["tracker", "success", "precision", "norm_precision", "op50", "op75", "ao", "fps"]
    assert [row.split()[0] for row in rows[:3]] == ["still", "opencv-mil", "stark-tiny"]
    assert rows[3] == "3 of 3 sequences of folder, one pass, by the rules of plain"
    assert rows[4:] == [str(evaluate.out / "folder" / name) for name in ("still", "opencv-mil", "stark-tiny")]


def test_the_same_command_again_tracks_nothing(evaluate: Evaluate) -> None:
    evaluate()
    before = {path: path.stat().st_mtime_ns for path in evaluate.out.rglob("*.*")}
    code, out, _ = evaluate()
    assert code == 0
    assert "3 of 3 sequences" in out
    assert {path: path.stat().st_mtime_ns for path in evaluate.out.rglob("*.*")} == before


def test_failed_sequences_are_told_and_the_run_ends_non_zero(evaluate: Evaluate) -> None:
    (evaluate.data / "b" / "00000002.jpg").unlink()
    (evaluate.data / "b" / "00000002.jpg").write_bytes(b"")
    code, out, err = evaluate()
    assert code == 1
    assert "2 of 3 sequences of folder" in out
    told, summary = err.splitlines()
    assert told.startswith(f"still: b, frame 2: {evaluate.data}/b/00000002.jpg: ")
    assert summary.startswith("lockon: sequences that failed, as told above: 1;")


def test_what_a_copy_lacks_is_told_first_and_the_rest_is_tracked(evaluate: Evaluate) -> None:
    (evaluate.data / "a" / "groundtruth.txt").write_text("1,2,3\n")
    code, out, err = evaluate()
    assert code == 1
    assert err.startswith("warning: folder, a: ")
    assert "2 of 3 sequences of folder" in out


def test_vots_sequences_are_tracked_in_one_pass_and_the_toolkit_is_named(evaluate: Evaluate, tmp_path: Path) -> None:
    layouts.write_vot(tmp_path / "vot", "bag", ["1,2,30,40"] * 3)
    (tmp_path / "vot" / "list.txt").write_text("bag\n")
    _, out, _ = evaluate("--benchmark", "vot2016", "--data", tmp_path / "vot")
    assert "1 of 1 sequences of vot2016, one pass, by the rules of plain" in out
    assert "is run by the VOT toolkit: lockon vot init" in out


def test_quiet_prints_nothing(evaluate: Evaluate) -> None:
    assert evaluate("--quiet") == (0, "", "")


def test_weights_of_ones_own_have_a_folder_of_their_own(evaluate: Evaluate, tmp_path: Path) -> None:
    weights = tmp_path / "run1" / "weights.safetensors"
    weights.parent.mkdir()
    weights.write_bytes((Path(lockon.cli.__file__).parent / "assets" / "stark-tiny.safetensors").read_bytes())
    code, _, _ = evaluate(trackers=("stark-tiny", f"stark-tiny={weights}"))
    assert code == 0
    folders = [evaluate.out / "folder" / name for name in ("stark-tiny", "stark-tiny-run1-weights")]
    assert contents(folders[0]) == contents(folders[1])


def test_one_tracker_twice_is_refused(evaluate: Evaluate) -> None:
    code, _, err = evaluate(trackers=("still", "still"))
    assert code == 1
    assert "another one would have the same folder of results" in err


@pytest.mark.parametrize(
    ("tracker", "fault"),
    [
        ("stark-tni", "unknown tracker 'stark-tni'; did you mean stark-tiny"),
        ("stark-tiny=gone.safetensors", "gone.safetensors"),
        ("opencv-mli", "unknown tracker 'opencv-mli'; did you mean opencv-mil"),
        ("opencv-mil=file", "opencv-mil needs no file"),
        ("opencv-nano", "opencv-nano needs a network: write --tracker opencv-nano=FOLDER, where FOLDER has *backbone*"),
        ("opencv-dasiamrpn=.", ".: opencv-dasiamrpn expects a folder with one file each of *model*.onnx and"),
        ("opencv-vit=gone.onnx", "gone.onnx: opencv-vit expects a folder with one file each of *.onnx"),
    ],
)
def test_a_tracker_that_cannot_be_had_is_one_clear_line(evaluate: Evaluate, tracker: str, fault: str) -> None:
    code, out, err = evaluate(trackers=(tracker,))
    assert (code, out) == (1, "")
    assert fault in err
    assert len(err.splitlines()) == 1


def test_a_file_that_is_no_network_is_one_clear_line(evaluate: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "vit.onnx").write_bytes(b"no network")
    code, _, err = evaluate(trackers=(f"opencv-vit={tmp_path}/vit.onnx",))
    assert code == 1
    assert f"lockon: opencv-vit: cannot use {tmp_path}/vit.onnx: " in err


@pytest.mark.skipif(hasattr(cv2, "TrackerKCF_create"), reason="this OpenCV has it")
def test_a_tracker_that_this_opencv_lacks_says_what_to_install(evaluate: Evaluate) -> None:
    code, _, err = evaluate(trackers=("opencv-kcf",))
    assert code == 1
    assert "install opencv-contrib-python-headless" in err


def test_a_command_that_speaks_trax_gets_files_and_is_ended(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Client:
        def __init__(self, command: str) -> None:
            told.append(command)

        def init(self, file: Path, box: Box) -> Result:
            told.append(f"init {file.parent.name}/{file.name}")
            return Result(box, 1.0, True)

        def update(self, file: Path) -> Result:
            told.append(file.name)
            return Result((1, 2, 3, 4), 0.5, True)

        def close(self) -> None:
            told.append("close")

    monkeypatch.setitem(sys.modules, "lockon.evaluation.trax", SimpleNamespace(TraxTracker=Client))
    code, _, _ = evaluate("--batch", 3, trackers=("trax:python my_tracker.py",))
    assert code == 0
    files = [f"{n:08d}.jpg" for n in range(1, 8)]
    tracks = [[f"init {name}/{files[0]}", *files[1 : 5 + i]] for i, name in enumerate("abc")]
    assert told[2:] == ["python my_tracker.py", *(line for track in tracks for line in track), "close"]
    rows = (evaluate.out / "folder" / "trax-python-my_tracker.py" / "a.txt").read_text().splitlines()
    assert rows[1] == "1.0000,2.0000,3.0000,4.0000"


def test_our_own_server_of_trax_tracks_as_the_model_does(evaluate: Evaluate) -> None:
    pytest.importorskip("trax", reason="needs the vot extra")
    server = f"trax:{sys.executable} -m lockon vot serve --tracker stark-tiny --device cpu --threads 1"
    code, _, err = evaluate("--device", "cpu", trackers=("stark-tiny", server))
    assert (code, err) == (0, "")
    ours, theirs = sorted(path for path in (evaluate.out / "folder").iterdir())
    for name, frames in zip("abc", (5, 6, 7), strict=True):
        one, other = (read_trace(folder, name, frames) for folder in (ours, theirs))
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.05)  # rounded on the way
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-3)


def test_lockstep_is_not_for_a_cluster(evaluate: Evaluate) -> None:
    code, _, err = evaluate("--ray", "auto", "--batch", 2)
    assert code == 1
    assert "each sequence is a task of its own" in err
