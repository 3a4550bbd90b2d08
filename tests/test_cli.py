"""The command line: what it writes, what it prints, and what it says about bad input."""

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import pytest
import torch

import lockon
import lockon.cli
from lockon.video import open_frames
from lockon.weights import save_weights
from tests import scenes

BOX = ",".join(str(v) for v in scenes.picture()[1])


class Ran(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs the command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capfd = monkeypatch, capfd

    def __call__(self, *arguments: object) -> Ran:
        self.monkeypatch.setattr(sys, "argv", ["lockon", *map(str, arguments)])
        code = 0
        try:
            lockon.cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        shown = self.capfd.readouterr()
        return Ran(code, shown.out, shown.err)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    scenes.video(tmp_path / "clip.mp4", frames=10)
    return tmp_path / "clip.mp4"


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_track_writes_video_boxes_and_json_lines_and_says_where(command: Command, clip: Path, tmp_path: Path) -> None:
    ran = command("track", clip, "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 0, ran.err
    assert lines(tmp_path / "out" / "clip.txt")[0] == "34.00,34.00,33.00,33.00"
    assert len(lines(tmp_path / "out" / "clip.txt")) == len(lines(tmp_path / "out" / "clip.jsonl")) == 10
    with open_frames(tmp_path / "out" / "clip.mp4") as video:
        assert len(list(video)) == 10
    assert re.search(r"10 frames, [\d.]+ frames per second", ran.out)
    for word in ("decode", "crop", "network", "resolve", "write", str(tmp_path / "out" / "clip.mp4")):
        assert word in ran.out
    assert ran.err == ""  # no progress bar where there is no terminal


def test_quiet_prints_nothing(command: Command, clip: Path, tmp_path: Path) -> None:
    assert command("track", clip, "--box", BOX, "--out", tmp_path / "out", "--quiet") == (0, "", "")


def test_start_end_and_frame_images(command: Command, clip: Path, tmp_path: Path) -> None:
    options = ("--start", 2, "--end", 5, "--every-frame-image", "--out", tmp_path / "out")
    assert command("track", clip, "--box", BOX, *options).code == 0
    assert [json.loads(row)["frame"] for row in lines(tmp_path / "out" / "clip.jsonl")] == [2, 3, 4]
    assert len(list((tmp_path / "out" / "clip").glob("*.jpg"))) == 3


def test_several_boxes_from_options_and_a_file(command: Command, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.txt").write_text("10 10 30 30\n\n80,60,20,20\n")
    ran = command(
        "track", clip, "--box", BOX, "--box-file", tmp_path / "boxes.txt", "--end", 3, "--out", tmp_path / "out"
    )
    assert ran.code == 0
    assert [len(lines(tmp_path / "out" / f"clip-{n}.txt")) for n in (1, 2, 3)] == [3, 3, 3]


def test_an_image_folder_is_tracked_in_natural_order(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in (0, 1, 2, 10):
        (folder / f"img{number}.jpg").write_bytes(scenes.jpeg(scenes.picture(number)[0]))
    assert command("track", folder, "--box", BOX, "--out", tmp_path / "out").code == 0
    assert len(lines(tmp_path / "out" / "frames.txt")) == 4


@pytest.mark.parametrize("name", ["stark-st50", "sparsett", "siamattn", "aiatrack", "grm-base-256"])
def test_every_paper_tracks_the_bundled_clip_with_any_weights(name: str, command: Command, tmp_path: Path) -> None:
    save_weights(lockon.create_model(name).state_dict(), tmp_path / "random.safetensors", name)
    clip = Path(lockon.cli.__file__).parent / "assets" / "clip.mp4"
    common = ("track", clip, "--tracker", name, "--weights", tmp_path / "random.safetensors", "--end", 2)
    boxes = ("--box", "130,82,50,56", "--box", "20,20,40,40", "--box", "200,100,60,30")
    one = command(*common, *boxes[:2], "--out", tmp_path / "one")
    assert one.code == 0, one.err
    three = command(*common, *boxes, "--out", tmp_path / "three")
    assert three.code == 0, three.err
    written = [tmp_path / "one" / "clip.txt", *(tmp_path / "three" / f"clip-{n}.txt" for n in (1, 2, 3))]
    boxes_by_frame = [np.loadtxt(path, delimiter=",") for path in written]
    assert [rows.shape for rows in boxes_by_frame] == [(2, 4)] * 4
    assert np.isfinite(boxes_by_frame).all()


@pytest.mark.parametrize("kind", ["gray", "16 bit", "alpha"])
def test_unusual_images_are_converted(kind: str, command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(2):
        image = scenes.picture(number)[0][..., ::-1]
        gray = np.ascontiguousarray(image[..., 0])
        made = {"gray": gray, "16 bit": gray.astype(np.uint16) * 257, "alpha": np.dstack([image, gray])}[kind]
        cv2.imwrite(str(folder / f"{number}.png"), made)
    assert command("track", folder, "--box", BOX, "--out", tmp_path / "out").code == 0


def test_the_demo_follows_the_bundled_target(command: Command, tmp_path: Path) -> None:
    assert command("demo", "--out", tmp_path).code == 0
    truth = np.loadtxt(Path(lockon.cli.__file__).parent / "assets" / "clip.txt", delimiter=",")
    boxes = np.loadtxt(tmp_path / "clip.txt", delimiter=",")
    assert boxes.shape == truth.shape
    miss = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - truth[:, :2] - truth[:, 2:] / 2).max(1)
    assert (miss < truth[:, 2:].min(1) / 2).mean() > 0.8


def test_the_demo_says_that_the_target_is_lost_while_it_is_hidden(command: Command, tmp_path: Path) -> None:
    assert command("demo", "--out", tmp_path).code == 0
    rows = [json.loads(line) for line in (tmp_path / "clip.jsonl").read_text().splitlines()]
    lost = [row["frame"] for row in rows if not row["found"]]
    assert set(range(86, 91)) <= set(lost)  # a shuttle hides most of it; it passes in frames 79 to 91
    assert all(79 <= frame <= 94 for frame in lost)  # to be found again may take three frames


def test_models_are_listed_with_their_size_and_work(command: Command) -> None:
    ran = command("models", "stark*")
    assert ran.code == 0, ran.err
    row = r" stark-s50 +28\.1 M +12\.\d+ G +128 px x2 +320 px x5 +- +STARK, ICCV 2021, arXiv"
    assert re.search(row, ran.out), ran.out
    assert "shipped" in ran.out


def test_one_model_is_told_of_in_full(command: Command) -> None:
    ran = command("models", "stark-st50")
    assert ran.code == 0, ran.err
    assert "STARK-ST50: ResNet-50, a dynamic template and a score head" in ran.out
    for row in (
        r"transformer +17.363 M +5\.\d+ G +0.000 G",
        r"backbone +8.513 M +6\.\d+ G +1\.\d+ G",
        r"all +28.227 M",
    ):
        assert re.search(row, ran.out), ran.out
    assert re.search(r"trackingnet +update_interval = 25", ran.out)
    assert re.search(r"LaSOT AUC +66.4", ran.out)
    assert "source: README of researchmm/Stark" in ran.out


@pytest.mark.parametrize("name", lockon.list_models())
def test_every_model_can_be_told_of(name: str, command: Command) -> None:
    ran = command("models", name)
    assert ran.code == 0, ran.err
    assert re.search(r"all +[\d.]+ M +[\d.]+ G +[\d.]+ G", ran.out)


def test_no_model_of_that_name(command: Command) -> None:
    ran = command("models", "stark-s5")
    assert (ran.code, ran.out) == (1, "")
    assert "did you mean stark-s50" in ran.err


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A checkpoint of stark-lightning with the authors' names, beside other things, as their training writes it."""
    names = json.loads((Path(__file__).parent / "reference/cases/stark/names.json").read_text())["stark_lightning"]
    torch.manual_seed(4)
    shapes = {name: shape for name, shape in names.items() if not name.endswith("num_batches_tracked")}
    state = {name: 0.02 * torch.rand(shape) for name, shape in shapes.items()}  # small, lest numbers overflow
    content = {"epoch": 500, "net": state, "optimizer": {"state": {0: torch.zeros(5)}}, "stats": Counter(a=1)}
    torch.save(content, tmp_path / "STARKLightning_ep0500.pth.tar")
    return tmp_path / "STARKLightning_ep0500.pth.tar"


def test_an_official_checkpoint_is_converted_and_tracks(
    command: Command, official: Path, clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "lightning.safetensors"
    ran = command("convert", official, "--tracker", "stark-lightning", "--out", out)
    assert ran.code == 0, ran.err
    assert "2.4 M numbers" in ran.out
    assert "left out: epoch, optimizer, stats" in ran.out
    assert "not run: collections.Counter" in ran.out
    direct = lockon.load("stark-lightning", weights=official, device="cpu").model.state_dict()
    converted = lockon.load("stark-lightning", weights=out, device="cpu").model.state_dict()
    assert all(torch.equal(converted[name], value) for name, value in direct.items())
    assert torch.equal(direct["bottleneck.bias"], torch.load(official, weights_only=False)["net"]["bottleneck.bias"])
    options = ("--tracker", "stark-lightning", "--weights", out, "--end", 3, "--out", tmp_path / "out")
    assert command("track", clip, "--box", BOX, *options).code == 0


def test_a_checkpoint_of_another_tracker_is_not_converted(command: Command, official: Path, tmp_path: Path) -> None:
    ran = command("convert", official, "--tracker", "stark-tiny", "--out", tmp_path / "w.safetensors")
    assert ran.code == 1
    assert "they are weights of stark-lightning: use --tracker stark-lightning" in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "w.safetensors").exists()


def test_converted_weights_are_called_safetensors(command: Command, official: Path, tmp_path: Path) -> None:
    ran = command("convert", official, "--tracker", "stark-lightning", "--out", tmp_path / "w.pth")
    assert ran.code == 1
    assert "call the file w.safetensors" in ran.err


def test_weights_are_averaged(command: Command, tmp_path: Path) -> None:
    one, two, out = (tmp_path / f"{name}.safetensors" for name in ("one", "two", "mean"))
    state = lockon.create_model("stark-tiny", pretrained=True).state_dict()
    save_weights(state, one, "stark-tiny")
    save_weights({name: 3 * x for name, x in state.items()}, two, "stark-tiny", torch.float32)
    ran = command("average", one, two, "--tracker", "stark-tiny", "--out", out)
    assert ran.code == 0, ran.err
    mean = lockon.create_model("stark-tiny", weights=out).state_dict()
    assert torch.equal(mean["backbone.conv1.weight"], 2 * state["backbone.conv1.weight"])
    ran = command("average", one, "--tracker", "grm-tiny", "--out", tmp_path / "other.safetensors")
    assert ran.code == 1
    assert "one.safetensors: these are weights of stark-tiny, not of grm-tiny" in ran.err


def test_a_benchmarks_settings_are_used_or_its_name_is_explained(command: Command, clip: Path, tmp_path: Path) -> None:
    options = ("--box", BOX, "--end", 2, "--out", tmp_path / "out")
    assert command("track", clip, *options, "--benchmark", "lasot").code == 0  # stark-tiny has none of its own
    ran = command("track", clip, *options, "--benchmark", "lassot")
    assert ran.code == 1
    assert "unknown benchmark 'lassot'; did you mean lasot" in ran.err


def test_recipes_are_listed_with_a_line_each(command: Command) -> None:
    ran = command("train", "--list")
    assert ran.code == 0
    lines = [line.split(maxsplit=1) for line in ran.out.splitlines()]
    told = dict(line for line in lines if len(line) == 2)
    assert told["aiatrack-mixed"].strip() == "AiATrack with one attention to all references."
    assert {"stark-tiny", "stark-st50-score", "sparsett-got10k", "siamattn"} <= told.keys()


@pytest.mark.parametrize("verb", ["track", "demo", "models", "convert", "average", "train"])
def test_every_verb_shows_an_example(verb: str, command: Command) -> None:
    assert f"lockon {verb}" in command(verb, "--help").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.mp4", "--box", BOX], "missing.mp4"),
        (["CLIP", "--box", "1,2,3"], "3 numbers"),
        (["CLIP", "--box", "nan,0,5,5"], "not finite"),
        (["CLIP", "--box", "10,10,0,5"], "no area"),
        (["CLIP", "--box", "10,10,-4,5"], "no area"),
        (["CLIP", "--box", "900,10,5,5"], "outside the frame, which is 160 x 120"),
        (["CLIP", "--box", BOX, "--start", "99"], "10 frames"),
        (["CLIP", "--box", BOX, "--tracker", "stark-tinny"], "did you mean stark-tiny"),
        (["CLIP", "--box", BOX, "--weights", "CLIP"], "not a checkpoint"),
        (["CLIP", "--box-file", "missing.txt"], "missing.txt"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_code_1(
    arguments: list[str], says: str, command: Command, clip: Path, tmp_path: Path
) -> None:
    ran = command("track", *[str(clip) if a == "CLIP" else a for a in arguments], "--out", tmp_path / "out")
    assert ran.code == 1
    assert says in ran.err
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_a_file_that_is_no_video(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("this is not a video")
    ran = command("track", tmp_path / "notes.mp4", "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "notes.mp4" in ran.err


def test_no_box_and_no_display_says_how_to_give_one(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    ran = command("track", clip, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "--box X,Y,W,H" in ran.err


def test_no_box_and_a_display_asks_for_one(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockon.cli, "select_box", lambda image: (10.0, 20.0, 30.0, 40.0))
    assert command("track", clip, "--end", 2, "--out", tmp_path / "out").code == 0
    assert lines(tmp_path / "out" / "clip.txt")[0] == "10.00,20.00,30.00,40.00"


def test_weights_of_another_model(command: Command, clip: Path, tmp_path: Path) -> None:
    save_weights(lockon.create_model("stark-tiny").state_dict(), tmp_path / "w.safetensors", "stark-tiny")
    options = ("--tracker", "stark-s50", "--weights", tmp_path / "w.safetensors", "--out", tmp_path / "out")
    ran = command("track", clip, "--box", BOX, *options)
    assert ran.code == 1
    assert "these are weights of stark-tiny, not of stark-s50" in ran.err


def test_cuda_where_there_is_none(
    command: Command, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    ran = command("track", clip, "--box", BOX, "--device", "cuda", "--out", tmp_path / "out")
    assert ran.code == 1
    assert "--device cpu" in ran.err


def test_an_unreadable_image_stops_the_track_but_keeps_what_came_before(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(5):
        data = scenes.jpeg(scenes.picture(number)[0])
        (folder / f"{number}.jpg").write_bytes(b"broken" if number == 3 else data)
    ran = command("track", folder, "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "3.jpg" in ran.err
    assert len(lines(tmp_path / "out" / "frames.txt")) == 3
    with open_frames(tmp_path / "out" / "frames.mp4") as video:
        assert len(list(video)) == 3


def test_a_truncated_video_is_tracked_up_to_the_fault(command: Command, tmp_path: Path) -> None:
    with av.open(tmp_path / "whole.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=25, width=scenes.WIDTH, height=scenes.HEIGHT)
        for number in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(scenes.picture(number)[0])))
        container.mux(stream.encode())
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: int(0.6 * len(data))])
    ran = command("track", tmp_path / "cut.mkv", "--box", BOX, "--out", tmp_path / "out")
    tracked = len(lines(tmp_path / "out" / "cut.txt"))
    assert ran.code == 1
    assert re.search(rf"frame {tracked}\b", ran.err)
    assert 5 < tracked < 40


def test_a_camera_that_is_unplugged_keeps_what_came_before(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera:
        """Gives four frames, then nothing."""

        left = 4

        def isOpened(self) -> bool:
            return True

        def get(self, _: int) -> float:
            return 30.0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.left -= 1
            return (True, scenes.picture(4 - self.left)[0]) if self.left >= 0 else (False, None)

        def release(self) -> None:
            pass

    monkeypatch.setattr("lockon.video.camera._open_capture", lambda index: Camera())
    ran = command("track", "0", "--box", BOX, "--out", tmp_path / "out")
    assert ran.code == 1
    assert "camera 0 stopped after frame 3" in ran.err
    assert len(lines(tmp_path / "out" / "camera0.txt")) == 4


def test_a_terminal_gets_a_progress_bar_with_fps_and_time_left(clip: Path, tmp_path: Path) -> None:
    terminal, side = os.openpty()
    command = [sys.executable, "-m", "lockon", "track", str(clip), "--box", BOX, "--out", str(tmp_path / "out")]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stderr=side, stdout=subprocess.DEVNULL, env=environment) as child:
        os.close(side)
        shown = b""
        with contextlib.suppress(OSError):  # the terminal's other side was closed
            while part := os.read(terminal, 4096):
                shown += part
    os.close(terminal)
    assert child.returncode == 0
    assert re.search(rb"[\d.]+ fps", shown)
    assert b"10/10" in shown
    assert re.search(rb"\d:\d\d:\d\d", shown)


def test_an_output_folder_that_cannot_be_written(command: Command, clip: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ran = command("track", clip, "--box", BOX, "--out", tmp_path / "file")
    assert ran.code == 1
    assert "cannot write results" in ran.err


def test_a_full_disk_keeps_what_was_written(clip: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the video hits it first."""
    noisy = tmp_path / "noise"
    noisy.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        (noisy / f"{number}.jpg").write_bytes(scenes.jpeg(rng.integers(0, 255, (240, 320, 3), np.uint8)))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    command = [sys.executable, "-m", "lockon", "track", str(noisy), "--box", BOX, "--out", str(tmp_path / "out")]
    ran = subprocess.run(command, preexec_fn=limit, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "noise.mp4" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert np.loadtxt(tmp_path / "out" / "noise.txt", delimiter=",").shape[1] == 4
    assert (tmp_path / "out" / "noise.mp4").stat().st_size > 0


HELD = """
import time
from lockon.cli import main
from lockon.track import TrackWriter

write, frames = TrackWriter.write, []

def write_some(self, tracked):
    frames.append(write(self, tracked))
    if len(frames) == 20:
        time.sleep(600)
    return frames[-1]

TrackWriter.write = write_some
main()
"""
"""``lockon`` that goes no further than twenty frames, until somebody ends it."""


def test_ctrl_c_leaves_complete_results(tmp_path: Path) -> None:
    scenes.video(tmp_path / "clip.mp4", frames=30)
    command = [sys.executable, "-c", HELD, "track", str(tmp_path / "clip.mp4"), "--box", BOX]
    child = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )
    boxes = tmp_path / "out" / "clip.txt"
    while not (boxes.exists() and len(lines(boxes)) == 20) and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate()
    assert child.returncode == 130
    assert b"Traceback" not in err
    with open_frames(tmp_path / "out" / "clip.mp4") as video:
        shown = len(list(video))
    assert len(lines(boxes)) == 20
    assert abs(shown - len(lines(boxes))) <= 1
    assert all(json.loads(line) for line in lines(tmp_path / "out" / "clip.jsonl"))
