"""NumPy's own files: .npy and the members of .npz, mapped wherever they are not compressed."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.files import starts_with
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of

__all__ = ["DAMAGE", "map_member", "open_npy", "read_npy", "recognises"]

#: What numpy and zipfile raise for a damaged file; numpy parses its header as Python.
DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    SyntaxError,
    OverflowError,
    RuntimeError,  # of zipfile, NotImplementedError too: encrypted, or an unknown compression
    tokenize.TokenError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_HEADERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def recognises(path: Path) -> bool:
    """True for .npy by its first bytes, .npz by its members."""
    if starts_with(path, b"\x93NUMPY"):
        return True
    if not starts_with(path, b"PK"):
        return path.suffix.lower() == ".npz"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return path.suffix.lower() == ".npz"
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_npy(path: Path, dataset: str | None, ranks: tuple[int, ...]) -> NDArray[Any]:
    """An array; .npy is mapped, not read.

    Raises
    ------
    DataError : the file is damaged, holds Python objects, or the choice is not unique.
    """
    return _read(path, dataset, ranks)[0]


def open_npy(request: Request) -> RawScan:
    """An array [N, Ny, Nx] or [slow, fast, Ny, Nx], or with the axes that are named."""
    path = request.path
    data, name = _read(path, request.dataset, (3, 4))
    source = path.name if name is None else f"{path.name}:{name}"
    layout = layout_of(source, data.shape, data.dtype, request.axes)

    def read(start: int, stop: int) -> NDArray[Any]:
        return layout.read(data, start, stop)

    return RawScan(source, layout.shape, data.dtype, read, layout.scan_shape, dataset=name)


def map_member(path: Path, name: str) -> NDArray[Any]:
    """An .npy inside a zip: mapped where it is stored as it is, else read.

    Raises
    ------
    KeyError : no such member.
    DAMAGE : a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(name)
        if member.compress_type != zipfile.ZIP_STORED:
            with archive.open(member) as stream:
                return np.asarray(npy_format.read_array(stream, allow_pickle=False))
    with path.open("rb") as stream:
        # The member's own header may be longer than the directory says.
        stream.seek(member.header_offset + 26)
        lengths = struct.unpack("<HH", stream.read(4))
        stream.seek(sum(lengths), 1)
        version = npy_format.read_magic(stream)
        if version not in _HEADERS:
            raise ValueError(f"npy version {version}")
        shape, fortran, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise ValueError("it holds Python objects")
        start = stream.tell()
    if not all(shape):
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _read(
    path: Path, dataset: str | None, ranks: tuple[int, ...]
) -> tuple[NDArray[Any], str | None]:
    """The array, and its name where the file holds several."""
    try:
        if not starts_with(path, b"PK"):
            content = np.load(path, mmap_mode="r", allow_pickle=False)
            if not isinstance(content, np.ndarray):
                raise ValueError("it holds no array")
            if dataset is not None:
                raise DataError(
                    "dataset", f"is {dataset!r}, but {path.name} holds one array.", "Remove it."
                )
            return content, None
        names = _names(path)
        name = dataset or _only_name(path, names, ranks)
        if name not in names:
            raise DataError(
                "dataset",
                f"{path.name} has no array {name!r}.",
                f"It holds: {', '.join(names)}.",
            )
        return map_member(path, names[name]), name
    except DAMAGE as error:
        raise DataError(
            str(path), f"cannot be read as npy or npz ({error}).", "Is the file complete?"
        ) from error


def _names(path: Path) -> dict[str, str]:
    """Members by the names under which they were saved."""
    with zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy"): name for name in archive.namelist()}


def _only_name(path: Path, names: dict[str, str], ranks: tuple[int, ...]) -> str:
    fitting = [name for name, member in names.items() if map_member(path, member).ndim in ranks]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} has {len(fitting)} arrays that fit.",
            f"Name one with `dataset`. It holds: {', '.join(names)}.",
        )
    return fitting[0]
