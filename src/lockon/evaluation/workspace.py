"""Workspaces of the VOT toolkit: what it needs to know to run our trackers.

The toolkit (``vot``, of the extra of that name) then evaluates and analyses by itself; nothing of it is imported here.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lockon.annotations import read_text
from lockon.errors import DataError, OutputError
from lockon.files import why, write_whole
from lockon.registry import benchmark_settings, closest, create_model, find_device

BENCHMARKS = {  # by stack, where the models' papers have settings for it
    "vot2016/rgb": "vot2016",
    "vot2018/shortterm": "vot2018",
    "vot2020/shortterm": "vot2020",
    "vot2020/longterm": "vot2020_lt",
}
BROKEN = re.compile(r"0\.[89](\.|$)")  # versions that fail in the experiments below, whatever a tracker does
FAILING = ("supervised", "multistart")
TIMEOUT = 120  # seconds that the toolkit waits for an answer; its own 30 are few to load a large model in


def prepare(
    workspace: Path,
    trackers: Mapping[str, Path | None],
    stack: str | None = None,
    data: Path | None = None,
    benchmark: str | None = None,
    device: str = "auto",
) -> str:
    """Makes a workspace, or adds trackers to one: each gets a section of ``trackers.ini``, where all others stay.

    In a section that is there already, the command alone is renewed, and only if it is one of ours.

    Args:
        workspace: the folder.
        trackers: by the model's name its weights, or None for those that come with the package.
        stack: one of the toolkit's, such as "vot2018/shortterm", or a file of one; needed for a new workspace.
        data: the data set in VOT's layout; without it the toolkit looks for it in ``workspace/sequences``, and
            downloads it there if its stack says from where.
        benchmark: whose settings the models track with; by default the stack's where the papers have any.
        device: as in ``lockon.load``.

    Returns:
        The workspace's stack.

    Raises:
        DataError: an unknown stack, or one that the installed toolkit fails in; no data; a folder that is a workspace
            of another stack or cannot be read; a section of somebody else's for a tracker of the same name.
        ModelError: an unknown tracker, benchmark or device, or weights that do not fit.
        OutputError: the folder cannot be written.
    """
    config, trackers_file = workspace / "config.yaml", workspace / "trackers.ini"
    for file in (config, trackers_file):
        if file.is_symlink():
            raise DataError(f"{file}: is a link, and nothing is written through links; put the file itself there")
    new = not config.exists()
    if new:
        used = _find_stack(stack)
    else:
        used = _read_stack(config)
        if stack is not None and _find_stack(stack) != used:
            raise DataError(f"{workspace}: is a workspace of the stack {used}; take another folder for {stack}")
        if data is not None:
            raise DataError(f"{config}: says already where the data is; change it there, or take another folder")
    _refuse_broken(used)
    benchmark = benchmark or BENCHMARKS.get(used)
    commands = {name: _command(name, weights, benchmark, device) for name, weights in trackers.items()}
    text = _merge(trackers_file, commands)
    configuration = _config(used, data) if new else ""
    try:
        for folder in ("sequences", "results"):
            (workspace / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot write the workspace: {why(error)}") from None
    write_whole(trackers_file, text)
    if new:
        write_whole(config, configuration, replace=False)
    return used


def _command(name: str, weights: Path | None, benchmark: str | None, device: str) -> str:
    """What the toolkit runs, from whatever folder; fails where it would fail."""
    settings = {} if benchmark is None else benchmark_settings(name, benchmark)
    create_model(name, pretrained=True, weights=weights, settings=settings)
    find_device(device)
    words = [sys.executable, "-m", "lockon", "vot", "serve", "--tracker", name, "--device", device]
    if weights is not None:
        words += ["--weights", str(weights.resolve())]
    if benchmark is not None:
        words += ["--benchmark", benchmark]
    return shlex.join(words)


# trackers.ini


def _section(name: str, command: str) -> str:
    return f"[{name}]\nlabel = {name}\nprotocol = trax\n{_command_line(command)}timeout = {TIMEOUT}\n"


def _command_line(command: str) -> str:
    escaped = command.replace("%", "%%")  # as ConfigParser reads it
    return f"command = {escaped}\n"


def _merge(file: Path, commands: Mapping[str, str]) -> str:
    """The file's text with sections added, or the command of those of ours renewed.

    Raises:
        DataError: the file cannot be understood, or has another section of such a name.
    """
    text = read_text(file, may_be_empty=True) if file.exists() else ""
    found = _parsed(text, file)
    for name, command in commands.items():
        if not found.has_section(name):
            text = f"{text.rstrip()}\n\n{_section(name, command)}".lstrip()
        elif SERVES.search(found.get(name, "command", raw=True, fallback="")):
            text = _with_command(text, name, command)
        else:
            raise DataError(f"{file}: has a section [{name}] that lockon did not make; call it otherwise, or remove it")
        found = _parsed(text, file)
        if found.get(name, "command", raw=True, fallback="") != command.replace("%", "%%"):
            raise DataError(f"{file}: the command of [{name}] cannot be renewed; remove the section")
    return text


SERVES = re.compile(r"-m lockon vot serve ")
SECTION = re.compile(r"\[(?P<name>.+)\]")  # as ConfigParser finds it
COMMAND = re.compile(r"command\s*[=:]", re.IGNORECASE)


def _parsed(text: str, file: Path) -> ConfigParser:
    found = ConfigParser()
    try:
        found.read_string(text, str(file))
    except IniError as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read as the toolkit's list of trackers: {reason}") from None
    return found


def _with_command(text: str, name: str, command: str) -> str:
    """The same text but for the first command of a section, on one line or more."""
    return "".join(_renewed(text.splitlines(keepends=True), name, command))


def _renewed(lines: list[str], name: str, command: str) -> Iterator[str]:
    inside = dropping = False
    for line in lines:
        if dropping and line[:1].isspace() and line.strip():
            continue  # the old command goes on
        dropping = False
        if found := SECTION.match(line):
            inside = found["name"] == name
        elif inside and COMMAND.match(line):
            dropping = True
            yield _command_line(command)
            continue
        yield line


# config.yaml and stacks


def _config(stack: str, data: Path | None) -> str:
    """The toolkit's configuration; texts in JSON are YAML, too."""
    lines = [f"stack: {json.dumps(stack)}", "registry:", "- ./trackers.ini"]
    if data is not None:
        if not (data / "list.txt").is_file():
            raise DataError(f"{data}: is no data set of VOT: expected list.txt with the names of its sequences")
        lines.append(f"sequences: {json.dumps(str(data.resolve()))}")
    return "\n".join([*lines, ""])


def _read_stack(config: Path) -> str:
    find_toolkit()
    content = _read_yaml(config)
    stack = content.get("stack") if isinstance(content, dict) else None
    if not isinstance(stack, str):
        raise DataError(f"{config}: is not the configuration of a workspace of the VOT toolkit")
    return _absolute(stack, config.parent)


def _read_yaml(file: Path) -> Any:
    """What a YAML file has, None where it is none."""
    import yaml  # the toolkit needs it

    try:
        return yaml.safe_load(read_text(file, may_be_empty=True))
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: of a date that is none
        return None


def _refuse_broken(stack: str) -> None:
    """Refuses experiments that the installed toolkit cannot run.

    Releases 0.8 and 0.9 hand a tracker's state on as a list where their supervised and multi-start experiments take
    one, so that these end with an error at the first frame, with any tracker that speaks TraX.
    """
    try:
        installed = version("vot-toolkit")
    except PackageNotFoundError:
        return
    if not BROKEN.match(installed):
        return
    file = Path(stack) if Path(stack).is_file() else find_toolkit() / "stack" / f"{stack}.yaml"
    content = _read_yaml(file)
    experiments = content.get("experiments") if isinstance(content, dict) else None
    kinds = (
        [e.get("type") for e in experiments.values() if isinstance(e, dict)] if isinstance(experiments, dict) else []
    )
    names = {str(kind).rpartition(".")[2].lower().removesuffix("experiment") for kind in kinds}
    if failing := [name for name in FAILING if name in names]:
        raise DataError(
            f"{stack}: has {' and '.join(failing)} experiments, in which the VOT toolkit {installed} fails with every "
            "tracker; take 0.7.4: pip install 'lockon[vot]'"
        )


def _find_stack(name: str | None) -> str:
    """The name of one of the toolkit's stacks, or the full path of a file."""
    folder = find_toolkit() / "stack"
    known = sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))
    if name is None:
        raise DataError(f"a new workspace needs a stack: --stack FILE.yaml, or one of {', '.join(known)}")
    if name in known:
        return name
    if Path(name).is_file():
        return _absolute(name, Path())
    raise DataError(f"there is no stack {name!r}, neither a file nor in the toolkit; {closest(name, known)}")


def _absolute(stack: str, folder: Path) -> str:
    """A file's full path; the name of one of the toolkit's stacks as it is."""
    return str((folder / stack).resolve()) if (folder / stack).is_file() else stack


def find_toolkit() -> Path:
    """The folder of the toolkit, found without running it.

    Raises:
        DataError: it is not installed.
    """
    spec = find_spec("vot")
    if spec is None or not spec.submodule_search_locations:  # many projects of the field have a module vot.py
        raise DataError("the VOT toolkit is not installed: pip install 'lockon[vot]'")
    return Path(spec.submodule_search_locations[0])
