"""The arrays that a section of the config names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fastpty.config import resolve_path
from fastpty.config.data import ArrayFile
from fastpty.io import load_array

__all__ = ["load_file"]


def load_file(field: str, section: ArrayFile, folder: Path, ranks: tuple[int, ...]) -> NDArray[Any]:
    """The array that a section of the config names."""
    path = resolve_path(f"{field}.path", section.path, folder)
    return load_array(field, path, section.dataset, ranks)
