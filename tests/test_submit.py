"""Archives for servers, in miniature."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lockon import cli
from lockon.errors import DataError, OutputError
from lockon.evaluation.foreign import Results
from lockon.evaluation.sequences import Array, Benchmark, Sequence
from lockon.evaluation.submit import find_faults, pack, pack_vot
from tests.scenes import box_lines, write_frames

GIVEN = np.array([[10.125, 20.5, 30, 40]])
FRAMES = {"Test_1": 3, "Test_2": 2}
BENCHMARK = Benchmark(
    "mini", tuple(FRAMES), lambda name: Sequence(name, (Path("1.jpg"),) * FRAMES[name], GIVEN, size=(640, 480))
)


def answer(frames: int, step: float = 1 / 3) -> Array:
    return GIVEN + step * np.arange(frames)[:, None]


def results(repetitions: int = 1) -> Results:
    boxes = {name: answer(frames) for name, frames in FRAMES.items()}
    seconds = {name: np.linspace(0.1, 0.2, frames) for name, frames in FRAMES.items()}
    if repetitions > 1:
        boxes = {name: np.stack([one + number for number in range(repetitions)]) for name, one in boxes.items()}
        boxes = {
            name: np.concatenate([np.repeat(GIVEN[None], repetitions, 0), b[:, 1:]], 1) for name, b in boxes.items()
        }
        seconds = {name: np.stack([one] * repetitions) for name, one in seconds.items()}
    return Results("mine", boxes, seconds)


def content(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_got10k_gets_a_folder_per_sequence_with_times(tmp_path: Path) -> None:
    found = content(pack("got10k", results(), BENCHMARK, tmp_path / "new" / "got10k.zip"))
    assert list(found) == [
        "Test_1/Test_1_001.txt",
        "Test_1/Test_1_time.txt",
        "Test_2/Test_2_001.txt",
        "Test_2/Test_2_time.txt",
    ]
    assert found["Test_1/Test_1_001.txt"].splitlines()[:2] == [
        "10.125,20.500,30.000,40.000",
        "10.458,20.833,30.333,40.333",
    ]
    assert found["Test_1/Test_1_time.txt"] == "0.10000000\n0.15000000\n0.20000000\n"


def test_got10k_s_repetitions_are_files_and_columns_of_times(tmp_path: Path) -> None:
    found = content(pack("got10k", results(3), BENCHMARK, tmp_path / "a.zip"))
    assert sorted(name for name in found if name.startswith("Test_2")) == [
        "Test_2/Test_2_001.txt",
        "Test_2/Test_2_002.txt",
        "Test_2/Test_2_003.txt",
        "Test_2/Test_2_time.txt",
    ]
    assert found["Test_2/Test_2_003.txt"].splitlines()[1].startswith("12.458")
    assert found["Test_2/Test_2_time.txt"] == "0.10000000,0.10000000,0.10000000\n0.20000000,0.20000000,0.20000000\n"


def test_trackingnet_gets_a_file_per_sequence_in_no_folder(tmp_path: Path) -> None:
    found = content(pack("trackingnet", Results("mine", results().boxes), BENCHMARK, tmp_path / "a.zip"))
    assert list(found) == ["Test_1.txt", "Test_2.txt"]
    assert found["Test_2.txt"] == "10.12,20.50,30.00,40.00\n10.46,20.83,30.33,40.33\n"


def test_the_same_results_give_the_same_archive(tmp_path: Path) -> None:
    first, second = (pack("got10k", results(), BENCHMARK, tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first.read_bytes() == second.read_bytes()
    assert {file.name for file in tmp_path.iterdir()} == {"a.zip", "b.zip"}


def changed(boxes: Array | None = None, seconds: Array | None = None) -> Results:
    """Results whose second sequence is replaced."""
    good = results()
    return Results(
        "mine",
        good.boxes if boxes is None else {**good.boxes, "Test_2": boxes},
        good.seconds if seconds is None else {**good.seconds, "Test_2": seconds},
    )


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Results("mine", {"Test_1": answer(3)}, results().seconds), "Test_2: no results"),
        (changed(answer(5)), "Test_2: 5 rows for 2 pictures"),
        (changed(np.array([[10, 20, 30, 40], [np.nan] * 4])), "Test_2: row 2 is not finite"),
        (changed(np.array([[10, 20, 30, 40], [10, 20, np.inf, 40]])), "Test_2: row 2 is not finite"),
        (changed(answer(2, -35.0)), "Test_2: row 2 has a negative size"),
        (changed(answer(2, 1e300)), "Test_2: row 2 has a number that is no coordinate"),
        (changed(answer(2) + 5), "Test_2: row 1 is 15.125,25.5,35,45, but the given box 10.125,20.5,30,40"),
        (changed(np.stack([answer(2)] * 4)), "Test_2: 4 repetitions, but the server takes 3"),
        (Results("mine", results().boxes), "Test_1: no times; the server wants the seconds of each frame"),
        (changed(seconds=np.ones(3)), "Test_2: 3 times for 2 rows"),
        (changed(seconds=np.array([0.1, np.nan])), "Test_2: times that are negative or not finite"),
    ],
)
def test_what_the_server_would_not_take_is_told_and_not_packed(tmp_path: Path, wrong: Results, says: str) -> None:
    assert says in find_faults("got10k", wrong, BENCHMARK)
    with pytest.raises(DataError, match=r"mine: not packed, \d faults?: Test_"):
        pack("got10k", wrong, BENCHMARK, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", [np.floor(GIVEN), GIVEN + np.array([0.5, 0.5, 0, 0])])
def test_a_first_row_of_whole_pixels_or_of_pysot_is_the_given_box(first: Array) -> None:
    assert not find_faults("got10k", changed(np.concatenate([first, answer(2)[1:]])), BENCHMARK)


def test_trackingnet_takes_one_repetition_and_wants_no_times() -> None:
    found = find_faults("trackingnet", Results("mine", results(2).boxes), BENCHMARK)
    assert found == [f"{name}: 2 repetitions, but the server takes 1" for name in FRAMES]


def test_a_copy_with_too_few_sequences_is_told() -> None:
    few = Benchmark("got10k", BENCHMARK.names, BENCHMARK.read)
    assert find_faults("got10k", results(), few) == ["got10k: 2 sequences in this copy, but the server expects 180"]


def test_many_faults_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    many = Benchmark("mini", tuple(f"Test_{number}" for number in range(9)), BENCHMARK.read)
    with pytest.raises(DataError, match=r"9 faults: (Test_\d: no results; ){5}and 4 more$"):
        pack("trackingnet", Results("mine", {}), many, tmp_path / "a.zip")


def test_an_archive_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/a.zip: cannot be written"):
        pack("got10k", results(), BENCHMARK, tmp_path / "file" / "a.zip")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("mine"), lambda path: path.symlink_to("a")])
def test_an_archive_is_not_written_over_anything(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.zip")
    before = (tmp_path / "a.zip").lstat()
    with pytest.raises(OutputError, match=r"a.zip: is there already and is not written over"):
        pack("got10k", Results("mine", {}), BENCHMARK, tmp_path / "a.zip")  # before the results are looked through
    assert [file.name for file in tmp_path.iterdir()] == ["a.zip"]
    assert (tmp_path / "a.zip").lstat() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
def test_a_full_disk_leaves_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OutputError, match=r"a.zip: cannot be written: No space left on device"):
        pack("got10k", results(), BENCHMARK, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../x", "/tmp/x", "a/b", "a\\b", "..", "C:x", "a\nb", ""])
def test_no_path_becomes_a_member_of_an_archive(tmp_path: Path, name: str) -> None:
    boxes = {name: answer(3)}
    seconds = {name: np.ones(3)}
    strange = Benchmark("mini", (name,), lambda _: Sequence(name, (Path("1.jpg"),) * 3, GIVEN))
    for server in ("got10k", "trackingnet"):
        with pytest.raises(DataError, match="mini, in the archive"):
            pack(server, Results("mine", boxes, seconds), strange, tmp_path / "a.zip")
    assert not list(tmp_path.iterdir())


# VOT: the toolkit packs, here one that says what it is asked for

TOOLKIT = """
import sys, zipfile
workspace, tracker = sys.argv[3:]
if tracker == "slow":
    sys.stdin.read()  # which would be for ever at a terminal
    print("asked")
    import time
    time.sleep(600)
elif tracker == "unfinished":
    print("\\x1b[31mResults are not complete for experiment baseline, sequence ants1")
else:
    with zipfile.ZipFile(f"{workspace}/{tracker}_2026.zip", "w") as archive:
        archive.writestr("manifest.yml", " ".join(sys.argv[1:3]))
"""


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "python" / "vot").mkdir(parents=True)
    (tmp_path / "python" / "vot" / "__init__.py").write_text("")
    (tmp_path / "python" / "vot" / "__main__.py").write_text(TOOLKIT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    monkeypatch.syspath_prepend(tmp_path / "python")
    monkeypatch.delitem(sys.modules, "vot", raising=False)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "config.yaml").write_text("stack: tests/basic\n")
    return tmp_path / "work"


def test_the_toolkit_s_archive_is_put_where_it_is_wanted(workspace: Path, tmp_path: Path) -> None:
    (workspace / "older.zip").write_text("")
    found = content(pack_vot(workspace, "stark-tiny", tmp_path / "out" / "vot.zip"))
    assert found == {"manifest.yml": "pack --workspace"}
    assert [file.name for file in workspace.glob("*.zip")] == ["older.zip"]


def test_the_toolkit_s_complaint_is_passed_on(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"packed no results of unfinished; it said: Results are not complete for .* ants1"
    ):
        pack_vot(workspace, "unfinished", tmp_path / "vot.zip")


def test_the_toolkit_is_not_waited_for_for_ever(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"work: the VOT toolkit did not end in 0.5 seconds"):
        pack_vot(workspace, "slow", tmp_path / "vot.zip", patience=0.5)
    assert not (tmp_path / "vot.zip").exists()


def test_the_toolkit_s_archive_replaces_nothing(workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "vot.zip").write_text("mine")
    with pytest.raises(OutputError, match=r"vot.zip: is there already and is not written over"):
        pack_vot(workspace, "stark-tiny", tmp_path / "vot.zip")
    assert (tmp_path / "vot.zip").read_text() == "mine"
    assert not list(workspace.glob("*.zip"))


def test_a_module_vot_in_the_current_folder_is_not_taken_for_the_toolkit(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vot.py").write_text("raise SystemExit('another vot')")
    monkeypatch.chdir(tmp_path)
    assert content(pack_vot(workspace, "stark-tiny", tmp_path / "out.zip")) == {"manifest.yml": "pack --workspace"}


@pytest.mark.parametrize("tracker", ["--help", "a/b", "..", ""])
def test_what_is_no_tracker_s_name_is_not_handed_to_the_toolkit(workspace: Path, tmp_path: Path, tracker: str) -> None:
    with pytest.raises(DataError, match="names no tracker of the VOT toolkit"):
        pack_vot(workspace, tracker, tmp_path / "vot.zip")


def test_a_folder_that_is_no_workspace(workspace: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no workspace of the VOT toolkit; expected config\.yaml"):
        pack_vot(tmp_path / "nowhere", "stark-tiny", tmp_path / "vot.zip")


def test_without_the_toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockon.evaluation.workspace.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"not installed: pip install 'lockon\[vot\]'"):
        pack_vot(tmp_path, "stark-tiny", tmp_path / "vot.zip")


# On the command line


@pytest.fixture
def got10k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """GOT-10k's test set with two sequences, and results of them."""
    monkeypatch.setattr("lockon.evaluation.submit.BENCHMARKS", {})  # not its 180
    (tmp_path / "data" / "test").mkdir(parents=True)
    names = ["GOT-10k_Test_000001", "GOT-10k_Test_000002"]
    (tmp_path / "data" / "test" / "list.txt").write_text("\n".join(names))
    for tracker in ("mine", "other"):
        (tmp_path / "results" / tracker / "times").mkdir(parents=True)
    for name in names:
        boxes = write_frames(tmp_path / "data" / "test" / name, "{:08d}.jpg", range(1, 4))
        (tmp_path / "data" / "test" / name / "groundtruth.txt").write_text(box_lines(boxes[:1]))
        for tracker in ("mine", "other"):
            (tmp_path / "results" / tracker / f"{name}.txt").write_text(box_lines(boxes))
            (tmp_path / "results" / tracker / "times" / f"{name}_time.txt").write_text("0.1\n" * 3)
    return tmp_path


def lockon(*arguments: object) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["lockon", *map(str, arguments)])
        cli.app(standalone_mode=False)


def test_submit_from_the_command_line(got10k: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = got10k / "mine.zip"
    lockon("submit", "got10k", got10k / "results", "--tracker", "mine", "--data", got10k / "data", "--out", out)
    assert capsys.readouterr().out == f"{out}\n"
    assert len(content(out)) == 4


def test_every_fault_is_told_and_nothing_packed(got10k: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        file = got10k / "results" / "mine" / f"GOT-10k_Test_00000{number}.txt"
        file.write_text(file.read_text() + "1,2,3,4\n")
    with pytest.raises(DataError, match="mine: not packed; got10k would not take it"):
        lockon("submit", "got10k", got10k / "results" / "mine", "--data", got10k / "data", "--out", got10k / "a.zip")
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "GOT-10k_Test_000001: 4 rows for 3 pictures"
    assert said[2] == "GOT-10k_Test_000002: 4 rows for 3 pictures"
    assert not (got10k / "a.zip").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "data"], "results of mine, other; say which with --tracker"),
        (["--data", "data", "--tracker", "mien"], "no results of 'mien'; did you mean"),
        ([], "--data is missing"),
    ],
)
def test_what_is_missing_on_the_command_line_is_said(
    got10k: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(got10k)
    with pytest.raises(DataError, match=says):
        lockon("submit", "got10k", "results", "--out", "a.zip", *arguments)


def test_vot_needs_a_tracker_s_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--tracker is missing"):
        lockon("submit", "vot", tmp_path, "--out", tmp_path / "a.zip")
