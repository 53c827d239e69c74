"""NumPy's own files: .npy (memory-mapped) and .npz."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.rawscan import RawScan
from fastpty.io.shapes import read_patterns, scan_and_stack

__all__ = ["open_npy", "read_npy", "recognises"]


def recognises(path: Path) -> bool:
    """True for .npy by its first bytes, .npz by its extension."""
    with path.open("rb") as stream:
        start = stream.read(6)
    return start == b"\x93NUMPY" or path.suffix.lower() == ".npz"


def read_npy(path: Path, dataset: str | None, ranks: tuple[int, ...]) -> NDArray[Any]:
    """An array; .npy is mapped, not read.

    Raises
    ------
    DataError : the file is damaged, holds Python objects, or the choice is not unique.
    """
    return _read(path, dataset, ranks)[0]


def open_npy(path: Path, dataset: str | None, scan_shape: tuple[int, int] | None) -> RawScan:
    """An array [N, Ny, Nx] or [slow, fast, Ny, Nx]."""
    data, name = _read(path, dataset, (3, 4))
    source = path.name if name is None else f"{path.name}:{name}"
    scan, stack = scan_and_stack(source, data.shape, data.dtype, scan_shape)

    def read(start: int, stop: int) -> NDArray[Any]:
        return read_patterns(data, start, stop)

    return RawScan(source, stack, data.dtype, read, scan, dataset=name)


def _read(
    path: Path, dataset: str | None, ranks: tuple[int, ...]
) -> tuple[NDArray[Any], str | None]:
    """The array, and its name where the file holds several."""
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            if dataset is not None:
                raise DataError(
                    "dataset", f"is {dataset!r}, but {path.name} holds one array.", "Remove it."
                )
            return content, None
        with content:
            name = dataset or _only_name(path, content, ranks)
            if name not in content.files:
                raise DataError(
                    "dataset",
                    f"{path.name} has no array {name!r}.",
                    f"It holds: {', '.join(content.files)}.",
                )
            return np.asarray(content[name]), name
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            str(path), f"cannot be read as npy or npz ({error}).", "Is the file complete?"
        ) from error


def _only_name(path: Path, content: Any, ranks: tuple[int, ...]) -> str:
    fitting = [name for name in content.files if content[name].ndim in ranks]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} has {len(fitting)} arrays that fit.",
            f"Name one with `dataset`. It holds: {', '.join(content.files)}.",
        )
    return str(fitting[0])
