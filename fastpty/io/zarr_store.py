"""Zarr stores in a folder, versions 2 and 3; HyperSpy's zspy is one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.foreign import refusing, require
from fastpty.io.hdf5_file import plain
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of
from fastpty.io.units import calibration_of

__all__ = ["open_zarr", "recognises"]

_MARKS = ("zarr.json", ".zgroup", ".zarray")


def recognises(path: Path) -> bool:
    """True for a folder that says so of itself."""
    return path.is_dir() and any((path / name).is_file() for name in _MARKS)


def open_zarr(request: Request) -> RawScan:
    """An array [N, Ny, Nx] or [slow, fast, Ny, Nx], or with the axes that are named.

    A chunk that is missing in the store is a chunk of its fill value, as the format has it.

    Raises
    ------
    DataError : no zarr store, a damaged one, or the choice of the array is not unique.
    """
    path = request.path
    zarr = require("zarr", path.name)
    with refusing(str(path), "zarr"):
        root = zarr.open(str(path), mode="r")
        arrays = _arrays(root)
    name = _choose(path, arrays, request.dataset)
    data = arrays[name]
    source = f"{path.name}:{name}" if name else path.name
    layout = layout_of(source, data.shape, np.dtype(data.dtype), request.axes)

    def read(start: int, stop: int) -> NDArray[Any]:
        with refusing(source, "zarr"):
            return layout.read(data, start, stop)

    read(layout.shape[0] - 1, layout.shape[0])
    with refusing(str(path), "zarr"):
        metadata = {key: plain(value) for key, value in dict(root.attrs).items()} | _scales(
            root, name, data.shape
        )
    return RawScan(
        source, layout.shape, np.dtype(data.dtype), read, layout.scan_shape, metadata, name or None
    )


def _arrays(item: Any, prefix: str = "") -> dict[str, Any]:
    """Every array of a store by its path; the store may be one array."""
    if hasattr(item, "shape"):
        return {prefix: item}
    found: dict[str, Any] = {}
    for name in item:
        found |= _arrays(item[name], f"{prefix}/{name}" if prefix else str(name))
    return found


def _choose(path: Path, arrays: dict[str, Any], dataset: str | None) -> str:
    listing = ", ".join(f"{name} {list(item.shape)}" for name, item in arrays.items())
    if dataset is not None:
        if dataset.strip("/") in arrays:
            return dataset.strip("/")
        raise DataError(
            "dataset", f"{path.name} has no array {dataset!r}.", f"It holds: {listing or 'none'}."
        )
    fitting = [name for name, item in arrays.items() if len(item.shape) in (3, 4)]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} has {len(fitting)} arrays that fit.",
            f"Name one with `dataset`. It holds: {listing or 'none'}.",
        )
    return fitting[0]


def _scales(root: Any, name: str, shape: tuple[int, ...]) -> dict[str, Any]:
    """Of zspy, which keeps axis-0, axis-1, ... beside the data."""
    parent = name.rpartition("/")[0]
    axes = []
    for number_ in range(len(shape)):
        place = f"{parent}/axis-{number_}"
        if not parent or place not in root:
            return {}
        attributes = dict(root[place].attrs)
        axes.append((attributes.get("scale"), attributes.get("units")))
    return dict(calibration_of(axes, shape))
