"""Writing what a report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lockon.errors import OutputError


def write_all(out: Path, files: Mapping[str, str | bytes]) -> list[Path]:
    """Writes files by name into a folder, which is made if need be.

    Raises:
        OutputError: one cannot be written.
    """
    for name, content in files.items():
        try:
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise OutputError(f"{out / name}: cannot write the report: {error.strerror}") from None
    return [out / name for name in files]
