"""What every reader asks of a path."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from fastpty.errors import DataError

__all__ = ["check_file", "natural_key", "starts_with"]


def check_file(field: str, path: Path) -> None:
    """Refuse a path that is no file, naming the config field and the likeliest neighbour.

    Raises
    ------
    DataError : there is no such file, or it is a folder.
    """
    if path.is_file():
        return
    if path.is_dir():
        raise DataError(field, f"{str(path)!r} is a folder.", "Name a file in it.")
    raise DataError(field, f"{str(path)!r} does not exist.", _neighbours(path))


def starts_with(path: Path, content: bytes, at: int = 0) -> bool:
    """Whether a file has these bytes at a place."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        stream.seek(at)
        return stream.read(len(content)) == content


def natural_key(path: Path) -> list[tuple[int, str]]:
    """Sorts names as people number them: 2 before 10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), part) if part.isdecimal() else (-1, part) for part in parts]


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either."
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else "Check the path."
