"""Patterns that a program has in memory, or in whatever can be sliced like an array."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.raster import with_raster
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of

__all__ = ["ARRAY", "scan_of_array"]

ARRAY = "an array in memory"
_OF_FILES = ("dataset", "pattern_shape", "dtype", "offset", "gap")


def scan_of_array(array: Any, *, format: str = "auto", **given: Any) -> RawScan:
    """The recorded scan that an array is. Nothing is copied; parts are read when they are wanted.

    Parameters
    ----------
    array : [slow, fast, Ny, Nx] or [N, Ny, Nx], or in the order that ``axes`` gives: NumPy's, or
        with its shape, dtype and slices, such as an open HDF5 dataset, a zarr or a dask array.
    given : the fields of :class:`Request` but those that describe files.

    Raises
    ------
    DataError : no array, wrong shape, type or scan, or a field that has no meaning for an array.
    """
    request = Request(Path(ARRAY), **given)
    if format != "auto":
        raise DataError("data.format", f"is {format!r}, but the data are {ARRAY}.", "Remove it.")
    for name in _OF_FILES:
        if name in request.given:
            raise DataError(
                f"data.{name}",
                f"is {request.given[name]!r}, but has no meaning for {ARRAY}.",
                "Remove it.",
            )
    if not all(hasattr(array, name) for name in ("shape", "dtype", "__getitem__")):
        raise DataError(
            "data",
            f"must be an array with a shape, a dtype and slices; found {type(array).__name__}.",
            "Use numpy.asarray.",
        )
    layout = layout_of(ARRAY, tuple(array.shape), np.dtype(array.dtype), request.axes)

    def read(start: int, stop: int) -> NDArray[Any]:
        return layout.read(array, start, stop)

    scan = RawScan(ARRAY, layout.shape, np.dtype(array.dtype), read, layout.scan_shape)
    return with_raster(scan, request)
