"""MATLAB files: version 5 by scipy, version 7.3 as the HDF5 that it is.

Axes are in MATLAB's order in both. HDF5 keeps MATLAB's arrays with all axes reversed
(https://www.mathworks.com/help/matlab/import_export/mat-file-versions.html), so a variable that
``size`` shows as [Ny Nx N] has the shape [N, Nx, Ny] in the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io import hdf5_file
from fastpty.io.files import starts_with
from fastpty.io.foreign import refusing, require
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import RASTER, STACK, layout_of

__all__ = ["open_mat", "recognises"]

_TYPES = {"double": "f8", "single": "f4", "logical": "bool"}
_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


def recognises(path: Path) -> bool:
    """True for the text at the start of versions 5 and 7.3."""
    return starts_with(path, b"MATLAB 5.0 MAT-file") or _is_hdf5(path)


def _is_hdf5(path: Path) -> bool:
    return starts_with(path, b"MATLAB 7.3 MAT-file") and hdf5_file.recognises(path)


def open_mat(request: Request) -> RawScan:
    """A variable [N, Ny, Nx] or [slow, fast, Ny, Nx], or with the axes that are named.

    Raises
    ------
    DataError : no MATLAB file, a damaged one, or the choice of the variable is not unique.
    """
    if starts_with(request.path, b"MATLAB 7.3 MAT-file"):
        return _open_hdf5(request)
    return _open_v5(request)


def _open_v5(request: Request) -> RawScan:
    """The variable is read at the first pattern and kept: the format cannot be read in pieces."""
    path = request.path
    scipy_io = require("scipy.io", path.name)
    with refusing(str(path), "MATLAB"):
        held = {name: (shape, kind) for name, shape, kind in scipy_io.whosmat(str(path))}
    name = _choose(path, {name: shape for name, (shape, _) in held.items()}, request.dataset)
    shape, kind = held[name]
    source = f"{path.name}:{name}"
    if kind not in _TYPES and kind not in _INTEGERS:
        raise DataError("data", f"{source} is a MATLAB {kind}, but patterns are real numbers.")
    dtype = np.dtype(_TYPES.get(kind, kind))
    layout = layout_of(source, shape, dtype, request.axes)
    kept: list[NDArray[Any]] = []

    def read(start: int, stop: int) -> NDArray[Any]:
        if not kept:
            with refusing(source, "MATLAB"):
                content = scipy_io.loadmat(str(path), variable_names=[name])
                array = np.asarray(content[name])
            layout_of(source, array.shape, array.dtype, request.axes)  # it may be complex
            kept.append(array)
        # Whole numbers of a double are stored, and kept here, in fewer bytes.
        return layout.read(kept[0], start, stop).astype(dtype, copy=False)

    return RawScan(
        source, layout.shape, dtype, read, layout.scan_shape, dataset=name, release=kept.clear
    )


def _open_hdf5(request: Request) -> RawScan:
    path = request.path
    file = hdf5_file.open_file(path)
    try:
        with hdf5_file.readable(path.name):
            held = {
                name: item
                for name, item in hdf5_file.all_datasets(file).items()
                if not name.startswith("#")
            }
            shapes = {name: hdf5_file.shape_of(item)[::-1] for name, item in held.items()}
            name = _choose(path, shapes, request.dataset)
            data: h5py.Dataset = held[name]
            source = f"{path.name}:{name}"
            axes = request.axes or {3: STACK, 4: RASTER}.get(len(shapes[name]), ())
            layout = layout_of(source, hdf5_file.shape_of(data), data.dtype, axes[::-1])
            hdf5_file.load_filters(data)
    except BaseException:
        file.close()
        raise

    def read(start: int, stop: int) -> NDArray[Any]:
        with hdf5_file.readable(source):
            return layout.read(data, start, stop)

    return RawScan(
        source,
        layout.shape,
        data.dtype,
        read,
        layout.scan_shape,
        dataset=name,
        release=file.close,
    )


def _choose(path: Path, shapes: dict[str, tuple[int, ...]], dataset: str | None) -> str:
    listing = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"
    if dataset is not None:
        if dataset.strip("/") in shapes:
            return dataset.strip("/")
        raise DataError("dataset", f"{path.name} has no {dataset!r}.", f"It holds: {listing}.")
    fitting = [name for name, shape in shapes.items() if len(shape) in (3, 4)]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} has {len(fitting)} variables that fit.",
            f"Name one with `dataset`. It holds: {listing}.",
        )
    return fitting[0]
