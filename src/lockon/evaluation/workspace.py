"""Workspaces of the VOT toolkit: what it needs to know to run our trackers.

The toolkit (``vot``, of the extra of that name) then evaluates and analyses by itself; nothing of it is imported here.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from configparser import ConfigParser
from configparser import Error as IniError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lockon.errors import DataError, OutputError
from lockon.registry import benchmark_settings, closest, create_model, find_device

BENCHMARKS = {  # by stack, where the models' papers have settings for it
    "vot2016/rgb": "vot2016",
    "vot2018/shortterm": "vot2018",
    "vot2020/shortterm": "vot2020",
    "vot2020/longterm": "vot2020_lt",
}
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
        DataError: an unknown stack, no data, or a folder that is a workspace of another stack or cannot be read.
        ModelError: an unknown tracker, benchmark or device, or weights that do not fit.
        OutputError: the folder cannot be written.
    """
    config = workspace / "config.yaml"
    if config.exists():
        used = _read_stack(config)
        if stack is not None and _find_stack(stack) != used:
            raise DataError(f"{workspace}: is a workspace of the stack {used}; take another folder for {stack}")
        if data is not None:
            raise DataError(f"{config}: says already where the data is; change it there, or take another folder")
    else:
        used = _find_stack(stack)
    benchmark = benchmark or BENCHMARKS.get(used)
    sections = {name: _section(name, _command(name, weights, benchmark, device)) for name, weights in trackers.items()}
    text = _merge(workspace / "trackers.ini", sections)
    try:
        for folder in ("sequences", "results"):
            (workspace / folder).mkdir(parents=True, exist_ok=True)
        if not config.exists():
            config.write_text(_config(used, data))
        (workspace / "trackers.ini").write_text(text)
    except OSError as error:
        raise OutputError(f"{error.filename}: cannot write the workspace: {error.strerror}") from None
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
    escaped = command.replace("%", "%%")  # as ConfigParser reads it
    return f"[{name}]\nlabel = {name}\nprotocol = trax\ncommand = {escaped}\ntimeout = {TIMEOUT}\n"


def _merge(file: Path, sections: Mapping[str, str]) -> str:
    """The file's text with sections put in place of those of the same name, or at its end."""
    try:
        text = file.read_text() if file.exists() else ""
        for name, section in sections.items():
            old = re.search(rf"^\[{re.escape(name)}\].*\n?(?:[^\[\n#;].*\n?)*", text, re.MULTILINE)
            if old is None:
                text = f"{text.rstrip()}\n\n{section}".lstrip()
            else:
                text = text[: old.start()] + section + text[old.end() :]
        ConfigParser().read_string(text, str(file))
    except (OSError, UnicodeDecodeError, IniError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: cannot be read as the toolkit's list of trackers: {reason}") from None
    return text


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
    _toolkit()
    import yaml  # the toolkit needs it

    try:
        content: Any = yaml.safe_load(config.read_text())
        return _absolute(str(content["stack"]), config.parent)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError):
        raise DataError(f"{config}: is not the configuration of a workspace of the VOT toolkit") from None


def _find_stack(name: str | None) -> str:
    """The name of one of the toolkit's stacks, or the full path of a file."""
    folder = _toolkit() / "stack"
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


def _toolkit() -> Path:
    """The folder of the toolkit, found without running it."""
    spec = find_spec("vot")
    if spec is None or not spec.submodule_search_locations:  # many projects of the field have a module vot.py
        raise DataError("the VOT toolkit is not installed: pip install 'lockon[vot]'")
    return Path(spec.submodule_search_locations[0])
