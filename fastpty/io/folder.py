"""A folder with one file for each pattern, in the order in which people number files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io import mib, npy, raw, rosetta, tiff
from fastpty.io.files import natural_key
from fastpty.io.parts import Parts
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of

__all__ = ["open_folder"]

_IMAGES: dict[str, Callable[[Path], NDArray[Any]]] = {
    ".npy": lambda path: npy.read_npy(path, None, (2,)),
    ".tif": tiff.read_page,
    ".tiff": tiff.read_page,
    ".dm3": rosetta.read_image,
    ".dm4": rosetta.read_image,
}
_STACKS: dict[str, Callable[[Request], RawScan]] = {
    ".mib": mib.open_mib,
    ".raw": raw.open_raw,
    ".bin": raw.open_raw,
}
_RAW_FIELDS = ("pattern_shape", "dtype", "offset", "gap")


def open_folder(request: Request) -> RawScan:
    """Patterns [N, Ny, Nx] of the N files of the only kind that can be read.

    Raises
    ------
    DataError : no such files, of more than one kind, or of different shapes.
    """
    folder = request.path
    files = _files(folder)
    suffix = files[0].suffix.lower()
    if suffix not in (".raw", ".bin"):
        for name in _RAW_FIELDS:
            if name in request.given:
                raise DataError(
                    f"data.{name}",
                    f"is {request.given[name]!r}, but has no meaning for {suffix} files.",
                    "Remove it.",
                )
    per_file = replace(request, scan_shape=None, scan_mismatch=None, skip=None, flyback=None)

    def load(path: Path) -> NDArray[Any]:
        if suffix in _IMAGES:
            return _IMAGES[suffix](path)[None]
        with _STACKS[suffix](replace(per_file, path=path)) as scan:
            return scan.read(0, scan.shape[0])

    first = load(files[0])
    shape = first.shape
    layout_of(str(files[0]), shape, first.dtype)

    def read(part: int, start: int, stop: int) -> NDArray[Any]:
        block = load(files[part])
        if (block.shape, block.dtype) != (shape, first.dtype):
            raise DataError(
                files[part].name,
                f"holds {block.shape} {block.dtype}, but {files[0].name} {shape} {first.dtype}.",
                "All files of a folder must be alike.",
            )
        return np.asarray(block[start:stop])

    parts = Parts([shape[0]] * len(files), read)
    return RawScan(
        f"{folder.name}/*{suffix}",
        (len(parts), shape[1], shape[2]),
        first.dtype,
        parts.read,
    )


def _files(folder: Path) -> list[Path]:
    known = {*_IMAGES, *_STACKS}
    files = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in known and not path.name.startswith(".") and path.is_file()
    ]
    kinds = sorted({path.suffix.lower() for path in files})
    if len(kinds) != 1:
        held = " and ".join(kinds) if kinds else "none"
        raise DataError(
            "data.path",
            f"{str(folder)!r} is a folder with files of {len(kinds)} kinds: {held}.",
            f"It must hold the patterns as files of one kind of {', '.join(sorted(known))}; else "
            "name a file in it.",
        )
    return sorted(files, key=natural_key)
