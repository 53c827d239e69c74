"""The one check of a path that every reader makes."""

from __future__ import annotations

import difflib
from pathlib import Path

from fastpty.errors import DataError

__all__ = ["check_file"]


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


def _neighbours(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {str(path.parent)!r} either."
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    close = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else "Check the path."
