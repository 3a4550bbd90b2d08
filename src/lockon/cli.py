"""The command line: parse, call, print."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import resources
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from lockon import __version__, cli_eval, cli_report, cli_vot
from lockon.annotations import read_text
from lockon.boxes import Box, check_box, parse_box
from lockon.errors import BoxError, DataError, LockonError, ModelError, SourceError
from lockon.models import MODELS
from lockon.registry import DEFAULT, closest, find_device, list_models
from lockon.registry import average as average_weights
from lockon.registry import convert as convert_weights
from lockon.select import select_box
from lockon.summary import summarize
from lockon.terminal import (
    BenchmarkOption,
    DeviceOption,
    Ended,
    OutOption,
    QuietOption,
    ThreadsOption,
    TrackerOption,
    WeightsOption,
    end_on_signals,
    err_stream,
    need_stdout,
    out_stream,
    print_table,
    progress_bar,
    say,
    stderr,
    warn,
)
from lockon.track import Tracked, TrackWriter, follow, load_tracker, output_name
from lockon.tracker import Tracker
from lockon.training.logs import Event, Validation
from lockon.video import FrameSource, open_frames, read_ahead

INTERRUPTED = 130  # exit code after Ctrl-C
TOLD = 5  # faulty frames that are named one by one

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def main() -> None:
    """Entry point: a LockonError becomes one line on stderr and exit code 1, a signal 128 + its number."""
    end_on_signals()
    try:
        app()
    except LockonError as error:
        warn(f"lockon: {error}")
        sys.exit(1)
    except Ended as ended:
        warn(f"lockon: ended by {ended.signal}")
        raise
    except SystemExit as stop:  # Typer's answer to Ctrl-C
        if stop.code == INTERRUPTED:
            warn("lockon: interrupted")
        raise
    finally:
        out_stream.flush()
        err_stream.flush()


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Transformer single-object visual tracking."""
    if show:
        say(__version__)
        need_stdout()
        raise typer.Exit


@app.command()
def track(
    source: Annotated[str, typer.Argument(help="Video file, image folder or glob, camera index, stream address.")],
    box: Annotated[list[str] | None, typer.Option(help="X,Y,W,H in pixels; once per target.")] = None,
    box_file: Annotated[Path | None, typer.Option(help="File with one X,Y,W,H line per target.")] = None,
    tracker: TrackerOption = DEFAULT,
    weights: WeightsOption = None,
    out: OutOption = Path("lockon-results"),
    device: DeviceOption = "auto",
    start: Annotated[int, typer.Option(help="First frame, counted from 0.")] = 0,
    end: Annotated[int | None, typer.Option(help="Frame to stop before.")] = None,
    threads: ThreadsOption = None,
    every_frame_image: Annotated[bool, typer.Option(help="Also write every drawn frame as a JPEG.")] = False,
    video: Annotated[bool, typer.Option("--video/--no-video", help="Write the drawn video.")] = True,
    levels: Annotated[
        str | None, typer.Option(help="LOW,HIGH: grey values that become black and white, in pictures of over 8 bits.")
    ] = None,
    benchmark: BenchmarkOption = None,
    quiet: QuietOption = False,
) -> None:
    """Follow one or several targets through a video.

    Example: lockon track clip.mp4 --box 120,80,64,48 --out results
    """
    boxes = read_boxes(box or [], box_file)
    engine = load_tracker(tracker, weights, device, threads, benchmark)
    place = source if "://" in source else Path(source).absolute()
    inputs = [path for path in (source, box_file, weights) if path is not None]
    with open_frames(source, start, end, None if levels is None else parse_levels(levels)) as frames:
        outputs = Wanted(out, f"track {place}", inputs, every_frame_image, video)
        run_track(frames, boxes, engine, outputs, quiet)


@app.command()
def demo(
    out: OutOption = Path("lockon-results"),
    tracker: TrackerOption = DEFAULT,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Track the target of the clip that comes with lockon.

    Example: lockon demo --out results
    """
    assets = resources.files("lockon") / "assets"
    with resources.as_file(assets / "clip.mp4") as clip, open_frames(clip) as frames:
        first = parse_box((assets / "clip.txt").read_text().splitlines()[0])
        engine = load_tracker(tracker, None, device, threads)
        run_track(frames, [first], engine, Wanted(out, "demo"), quiet)


@app.command()
def models(pattern: Annotated[str, typer.Argument(help="Shell pattern, such as 'stark*', or a name.")] = "*") -> None:
    """List the trackers; of a single one show its parts, settings and official figures.

    Example: lockon models 'stark*'
    """
    names = list_models(pattern)
    if not names:
        raise ModelError(f"no tracker is called {pattern!r}; {closest(pattern, MODELS)}")
    if names == [pattern]:
        print_model(pattern)
        need_stdout()
        return
    table = Table("name", "parameters", "per frame", "template", "search", "weights", "paper", box=None)
    for name in names:
        info, (model, parts) = MODELS[name], summarize(name)
        sizes = [f"{spec.size} px x{spec.factor:.3g}" for spec in (model.template_crop, model.search_crop)]
        counts = f"{parts[''].parameters / 1e6:.1f} M", f"{parts[''].frame / 1e9:.2f} G"
        table.add_row(name, *counts, *sizes, "shipped" if info.shipped else "-", info.paper)
    print_table(table)
    say("per frame: multiply-adds for one target; lockon models NAME tells more of one")
    need_stdout()


@app.command()
def convert(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint of the authors' code.")],
    tracker: Annotated[str, typer.Option(help="Name of the tracker; see `lockon models`.")],
    out: Annotated[Path, typer.Option(help="File to write, FILE.safetensors.")],
    quiet: QuietOption = False,
) -> None:
    """Turn an official checkpoint into safetensors; nothing in the checkpoint is run.

    Example: lockon convert STARKST_ep0050.pth.tar --tracker stark-st50 --out stark-st50.safetensors
    """
    found = convert_weights(checkpoint, tracker, out)
    if quiet:
        return
    renamed = sum(MODELS[tracker].official_name(name) != name for name in found.tensors)
    numbers = sum(tensor.numel() for tensor in found.tensors.values())
    say(f"{len(found.tensors)} tensors read, {renamed} of them renamed: {numbers / 1e6:.1f} M numbers")
    for note in found.notes:
        say(note)
    if found.ignored:
        say(f"left out: {', '.join(found.ignored)}")
    if found.foreign:
        say(f"named in the file and not run: {', '.join(found.foreign)}")
    say(f"weights of {tracker}: {out}")


@app.command()
def average(
    weights: Annotated[list[Path], typer.Argument(help="Weights of one tracker, such as of two runs.")],
    tracker: Annotated[str, typer.Option(help="Name of the tracker; see `lockon models`.")],
    out: Annotated[Path, typer.Option(help="File to write, FILE.safetensors.")],
    quiet: QuietOption = False,
) -> None:
    """Average weights: where one run began with what another ended with, the mean is often better than both.

    Example: lockon average one.safetensors two.safetensors --tracker stark-tiny --out mean.safetensors
    """
    average_weights(weights, tracker, out)
    if not quiet:
        say(f"mean of {len(weights)} weights of {tracker}: {out}")


app.command("eval")(cli_eval.evaluate)
app.command("report")(cli_report.report)
app.command("submit")(cli_report.submit)
app.add_typer(cli_vot.app, name="vot")


def list_recipes(show: bool) -> None:
    """Prints the recipes with a line each, and ends."""
    if show:
        from lockon.training.recipes import RECIPES  # training is not needed to track

        table = Table("recipe", "", box=None)
        for name, build in sorted(RECIPES.items()):
            table.add_row(name, (build.__doc__ or "").strip().splitlines()[0])
        print_table(table)
        need_stdout()
        raise typer.Exit


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of the recipe.")],
    data: Annotated[
        list[str], typer.Option(help="NAME=PATH or NAME:PART=PATH of a data set, such as got10k:vot-train=GOT-10k.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, logs and weights.")],
    device: DeviceOption = "auto",
    set_: Annotated[list[str] | None, typer.Option("--set", help="FIELD.FIELD=VALUE of the recipe.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out, if any.")] = False,
    validate: Annotated[Path | None, typer.Option(help="Folder of sequences to track now and then.")] = None,
    show_pairs: Annotated[int, typer.Option(min=0, help="Only draw this many training pairs, into --out.")] = 0,
    list_: Annotated[
        bool, typer.Option("--list", callback=list_recipes, is_eager=True, help="Show the recipes.")
    ] = False,
    quiet: QuietOption = False,
) -> None:
    """Train a tracker, on one device or, started by torchrun, on many.

    Example: lockon train stark-tiny --data 'images=data/images_*.tar' --data 'clips=data/videos_*.tar' --out run
    """
    from lockon.training import loop, pictures  # training is not needed to track
    from lockon.training.processes import own_device
    from lockon.training.recipe import parse_data
    from lockon.training.recipes import get_recipe

    settings, sources = get_recipe(recipe, set_ or []), parse_data(data)
    quiet = quiet or os.environ.get("RANK", "0") != "0"  # of many processes the first one speaks
    if show_pairs:
        inputs = [path for paths in sources.values() for path in paths]
        pairs = loop.make_pairs(settings, sources)
        paths = pictures.show_pairs(pairs, show_pairs, out, recipe=recipe, inputs=inputs)
    else:
        place = own_device(find_device(device))
        with train_report(quiet) as report:
            paths = [loop.train(settings, sources, out, place, resume=resume, validate=validate, report=report)]
    if not quiet:
        for path in paths:
            say(path)


def read_boxes(texts: list[str], file: Path | None) -> list[Box]:
    """The boxes of ``--box`` and ``--box-file``, in that order.

    Raises:
        BoxError: a text or line that is not a box, or a file that cannot be read.
    """
    boxes = [parse_box(text) for text in texts]
    if file is None:
        return boxes
    try:
        lines = read_text(file).splitlines()
    except DataError as error:
        raise BoxError(f"cannot read boxes: {error}; write one X,Y,W,H line per target") from None
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                boxes.append(parse_box(line))
            except BoxError as error:
                raise BoxError(f"{file}, line {number}: {error}") from None
    return boxes


def parse_levels(text: str) -> tuple[float, float]:
    """Reads the two numbers of ``--levels``.

    Raises:
        SourceError: not two numbers.
    """
    try:
        low, high = (float(part) for part in text.replace(",", " ").split())
    except ValueError:
        raise SourceError(f"--levels {text[:40]!r} is not LOW,HIGH, such as 7300,8000") from None
    return low, high


@dataclass
class Stats:
    """Counts of a run and its times, of these the last few thousand: a stream may go on for ever."""

    lost: list[int]
    frames: int = 0
    faulty: int = 0
    told: list[str] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)  # targets of which the first frame shows nothing
    total_ms: float = 0.0
    recent: deque[dict[str, float]] = field(default_factory=lambda: deque(maxlen=5000))

    def add(self, times: dict[str, float], tracked: Tracked) -> None:
        """Adds a frame with its milliseconds by stage."""
        frame, results = tracked.frame, tracked.results
        if not self.frames:
            self.blank = [number for number, result in enumerate(results, start=1) if not result.found]
        if frame.fault:
            self.faulty += 1
            self.told += [f"frame {frame.index}: {frame.fault}"] if self.faulty <= TOLD else []
        self.frames += 1
        self.total_ms += sum(times.values())
        self.recent.append(times)
        self.lost = [count + (not result.found) for count, result in zip(self.lost, results, strict=True)]

    def fps(self, last: int | None = None) -> float:
        """Frames per second, of the whole run or its last frames."""
        if last is None:
            return 1000 * self.frames / self.total_ms
        times = [sum(t.values()) for t in islice(reversed(self.recent), last)]
        return 1000 * len(times) / sum(times)

    def table(self) -> dict[str, list[float]]:
        """Milliseconds by stage, and of all stages together."""
        by_stage = {stage: [times[stage] for times in self.recent] for stage in self.recent[0]}
        return by_stage | {"all": [sum(times.values()) for times in self.recent]}


@dataclass(frozen=True)
class Wanted:
    """What a run is to write.

    Attributes:
        folder: where.
        maker: what makes it: a later run of the same may replace it.
        inputs: files that are never written over.
        images, video: see ``TrackWriter``.
    """

    folder: Path
    maker: str
    inputs: Sequence[str | Path] = ()
    images: bool = False
    video: bool = True


def run_track(frames: FrameSource, boxes: list[Box], tracker: Tracker, wanted: Wanted, quiet: bool) -> None:
    """Tracks, writes and reports; results up to an error, a signal or Ctrl-C are complete."""
    first = next(frames)
    height, width = first.image.shape[:2]
    boxes = [check_box(box, width, height) for box in boxes or [select_box(first.image)]]
    stats = Stats(lost=[0] * len(boxes))
    fault: BaseException | None = None
    with (
        TrackWriter(
            wanted.folder,
            frames.name,
            len(boxes),
            frames.fps,
            wanted.images,
            wanted.video,
            maker=wanted.maker,
            inputs=wanted.inputs,
            pixel_aspect=frames.pixel_aspect,
        ) as writer,
        progress_bar(quiet) as bar,
        read_ahead(frames) as rest,
    ):
        task = bar.add_task(output_name(frames.name), total=frames.length, fps="")
        try:
            for tracked in follow(chain([first], rest), boxes, tracker):
                stats.add(writer.write(tracked), tracked)
                bar.update(task, advance=1, fps=f"{stats.fps(30):.1f} fps")
        except (LockonError, KeyboardInterrupt, Ended) as error:  # what was tracked so far is kept and shown
            fault = error
    print_warnings(frames.notes, stats, quiet)
    if not quiet and stats.frames:
        print_summary(writer.paths, stats)
    if fault is not None:
        raise fault


def print_warnings(notes: Sequence[str], stats: Stats, quiet: bool) -> None:
    """Prints on stderr which frames may not show what was recorded, and remarks on the source."""
    for note in () if quiet else notes:
        warn(f"note: {note}")
    for number in stats.blank:
        warn(
            f"warning: target {number}: its box shows nothing to follow in the first frame; give another box or --start"
        )
    for text in stats.told:
        warn(f"warning: {text}")
    if stats.faulty > len(stats.told):
        warn(f"warning: and {stats.faulty - len(stats.told)} more such frames; the JSON lines name each")


@contextmanager
def train_report(quiet: bool) -> Iterator[Callable[[Event | str], None]]:
    """Takes what a training run tells: a live line on stderr where that is a terminal, else lines on stdout;
    validations and remarks always as lines."""
    live = stderr.is_terminal and not quiet
    columns = (TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
    more = (TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[losses]}"))
    with Progress(*columns, *more, console=stderr, transient=True, disable=not live) as bar:
        task = bar.add_task("pairs", total=None, speed="", losses="")

        def report(event: Event | str) -> None:
            if quiet:
                return
            if isinstance(event, str):
                say(event)
            elif isinstance(event, Validation):
                say(f"{event.pairs:>8} pairs  success {event.auc:.3f}  precision {event.precision:.3f}")
            else:
                losses = "  ".join(f"{name} {value:.3f}" for name, value in event.losses.items())
                speed = f"{event.speed:.1f}/s  {timedelta(seconds=round(event.seconds_left))} left"
                bar.update(task, completed=event.pairs, total=event.total, speed=speed, losses=losses)
                if not live:
                    say(f"{event.pairs:>8} pairs  {speed}  lr {event.lr:.1e}  {losses}")

        yield report


def print_model(name: str) -> None:
    """All that is known of one model."""
    info, (model, parts) = MODELS[name], summarize(name)
    say((info.build.__doc__ or name).strip().splitlines()[0])
    say(info.paper)
    for kind, spec in (("template", model.template_crop), ("search", model.search_crop)):
        context = f" with {spec.context:g} (w + h) of context" if spec.context else ""
        say(f"{kind}: {spec.size} x {spec.size} pixels, {spec.factor:.3g} times sqrt(w h) of the box{context}")
    say("weights: shipped" if info.shipped else "weights: none shipped; --weights reads the authors' checkpoint")
    table = Table("\npart", "\nparameters", "multiply-adds\nper frame", "\nper template", box=None)
    for part, counts in parts.items():
        work = (f"{count / 1e9:.3f} G" for count in (counts.frame, counts.template))
        table.add_row(part or "all", f"{counts.parameters / 1e6:.3f} M", *work)
    print_table(table)
    if info.settings:
        table = Table("\nbenchmark", "\nits settings (--benchmark)", box=None)
        for benchmark, settings in sorted(info.settings.items()):
            table.add_row(benchmark, ", ".join(f"{field} = {value}" for field, value in settings.items()))
        print_table(table)
    if info.results:
        table = Table("\nofficial figure", "", box=None)
        for figure, value in info.results.items():
            table.add_row(figure, value)
        print_table(table)
        say(f"source: {info.source}")


def print_summary(paths: list[Path], stats: Stats) -> None:
    """The speed, the time by stage, and where the results are."""
    say(f"{stats.frames} frames, {stats.fps():.1f} frames per second")
    for number, count in enumerate(stats.lost, start=1):
        if count:
            say(f"target {number} not found in {count} frames")
    table = Table("stage", "median ms", "95 % ms", box=None)
    for stage, times in stats.table().items():
        table.add_row(stage, f"{np.median(times):.1f}", f"{np.percentile(times, 95):.1f}")
    print_table(table)
    for path in paths:
        say(path)
