"""TIFF stacks: pages of one shape, read by tifffile, page by page where they are compressed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.files import starts_with
from fastpty.io.foreign import refusing, require
from fastpty.io.frames import Frames
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of

__all__ = ["open_tiff", "read_page", "recognises"]

# Byte order, then 42, or 43 for BigTIFF.
_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def recognises(path: Path) -> bool:
    """True for TIFF and BigTIFF by their first bytes."""
    return any(starts_with(path, mark) for mark in _MARKS)


def open_tiff(request: Request) -> RawScan:
    """Patterns [N, Ny, Nx] or [slow, fast, Ny, Nx]: the first series of pages.

    Raises
    ------
    DataError : no TIFF, a damaged one, colours, or a single image.
    """
    path = request.path
    tifffile = require("tifffile", path.name)
    with refusing(str(path), "TIFF"):
        file = tifffile.TiffFile(path)
    try:
        with refusing(str(path), "TIFF"):
            _check_chain(path, file)
            series = file.series[0]
            shape, dtype = tuple(series.shape), np.dtype(series.dtype)
            start = series.dataoffset
        if "S" in series.axes:
            raise DataError(path.name, f"holds colours (axes {series.axes}).", "Make them grey.")
        layout = layout_of(path.name, shape, dtype)
        count, *pattern = layout.shape
        if start is not None:
            _check_size(path, start + math.prod(shape) * dtype.itemsize)
            dtype = dtype.newbyteorder(file.byteorder)
            stride = math.prod(pattern) * dtype.itemsize
            read = Frames(path, (pattern[0], pattern[1]), dtype, start, stride).read
        else:
            read = _pages(path, series, (pattern[0], pattern[1]))
            read(count - 1, count)
    except BaseException:
        file.close()
        raise
    return RawScan(path.name, layout.shape, dtype, read, layout.scan_shape, release=file.close)


def read_page(path: Path) -> NDArray[Any]:
    """The one image of a file."""
    tifffile = require("tifffile", path.name)
    with refusing(str(path), "TIFF"):
        return np.asarray(tifffile.imread(path))


def _pages(path: Path, series: Any, shape: tuple[int, int]) -> Any:
    def read(start: int, stop: int) -> NDArray[Any]:
        with refusing(str(path), "TIFF"):
            pages = [np.asarray(series.pages[i].asarray()) for i in range(start, stop)]
        for number, page in enumerate(pages, start):
            if page.shape != shape:
                raise DataError(path.name, f"has a page {number} of {page.shape}, not {shape}.")
        return np.stack(pages)

    return read


def _check_chain(path: Path, file: Any) -> None:
    """Each page says where the next is; in a file that is cut, the last one points outside."""
    pages = len(file.pages)
    with path.open("rb") as stream:
        stream.seek(file.pages.next_page_offset or 0)
        following = stream.read(8 if file.is_bigtiff else 4)
    if any(following):
        raise DataError(
            path.name,
            f"is a TIFF that ends at byte {path.stat().st_size}, after {pages} pages, but the "
            f"last one says that there are more.",
            "Is the file complete?",
        )


def _check_size(path: Path, needed: int) -> None:
    size = path.stat().st_size
    if size < needed:
        raise DataError(
            path.name, f"is a TIFF that needs {needed} bytes, but has {size}.", "Is it complete?"
        )
