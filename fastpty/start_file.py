"""Files that a reconstruction can begin with, each kind read into the same ``Results``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from fastpty.errors import DataError
from fastpty.io.files import check_file
from fastpty.ptyrad_model import is_model, read_model
from fastpty.results import Results, is_reconstruction, read_results

__all__ = ["read_start"]


class _Kind(NamedTuple):
    name: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path], Results]


_KINDS = (
    _Kind("a fastpty reconstruction", is_reconstruction, read_results),
    _Kind("a PtyRAD model", is_model, read_model),
)


def read_start(path: Path) -> Results:
    """An earlier reconstruction, chosen by the file's content.

    Raises
    ------
    DataError : no such file, of no kind that is known, or damaged.
    """
    check_file("start.file", path)
    for kind in _KINDS:
        if kind.recognises(path):
            return kind.read(path)
    known = ", ".join(kind.name for kind in _KINDS)
    raise DataError(
        "start.file", f"{path.name} is none of the files known: {known}.", "Name another file."
    )
