"""NumPy's own files: .npy (memory-mapped) and .npz."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.rawscan import RawScan
from fastpty.io.shapes import scan_and_stack

__all__ = ["open_npy", "read_npy", "recognises"]


def recognises(path: Path) -> bool:
    """True for .npy by its first bytes, .npz by its extension."""
    with path.open("rb") as stream:
        start = stream.read(6)
    return start == b"\x93NUMPY" or path.suffix == ".npz"


def read_npy(path: Path, dataset: str | None, ranks: tuple[int, ...]) -> NDArray[Any]:
    """An array; .npy is mapped, not read.

    Raises
    ------
    DataError : the file is damaged, holds Python objects, or the choice is not unique.
    """
    try:
        content = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(content, np.ndarray):
            return content
        with content:
            name = dataset or _only_name(path, content, ranks)
            if name not in content.files:
                raise DataError(
                    "dataset",
                    f"{path.name} has no array {name!r}.",
                    f"It holds: {', '.join(content.files)}.",
                )
            return np.asarray(content[name])
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(str(path), f"cannot be read as npy or npz ({error}).") from error


def open_npy(path: Path, dataset: str | None, scan_shape: tuple[int, int] | None) -> RawScan:
    """An array [N, Ny, Nx] or [slow, fast, Ny, Nx]."""
    data = read_npy(path, dataset, (3, 4))
    scan, stack = scan_and_stack(path.name, data.shape, data.dtype, scan_shape)
    flat = data.reshape(stack)
    return RawScan(path.name, stack, data.dtype, lambda a, b: np.asarray(flat[a:b]), scan)


def _only_name(path: Path, content: Any, ranks: tuple[int, ...]) -> str:
    fitting = [name for name in content.files if content[name].ndim in ranks]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} has {len(fitting)} arrays that fit.",
            f"Name one with `dataset`. It holds: {', '.join(content.files)}.",
        )
    return str(fitting[0])
