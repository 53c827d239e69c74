"""HDF5, any path inside, 3-D or 4-D: fastpty's own files and everybody's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.io.hdf5_file import (
    find_dataset,
    load_filters,
    open_file,
    plain,
    readable,
    recognises,
    shape_of,
)
from fastpty.io.hdf5_kinds import kind_of
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of

__all__ = ["open_hdf5", "read_hdf5", "recognises"]


def read_hdf5(path: Path, dataset: str | None, ranks: tuple[int, ...]) -> NDArray[Any]:
    """A whole dataset: the named one, or the only one of these ranks.

    Raises
    ------
    DataError : the file or the dataset cannot be read, or the choice is not unique.
    """
    with open_file(path) as file, readable(path.name):
        item = find_dataset(file, dataset, ranks)
        load_filters(item)
        with readable(f"{path.name}:{item.name}"):
            return np.asarray(item[()])


def open_hdf5(request: Request) -> RawScan:
    """A dataset [N, Ny, Nx] or [slow, fast, Ny, Nx], or with the axes that are named.

    Root attributes become the metadata, and what the writers of ``hdf5_kinds`` say of scales.
    """
    path = request.path
    file = open_file(path)
    try:
        with readable(path.name):
            metadata = {key: plain(value) for key, value in file.attrs.items()}
            kind = kind_of(file)
            dataset = request.dataset
            if kind is not None and dataset is None:
                dataset = kind.dataset(file)
            data = find_dataset(file, dataset, (3, 4))
            source = f"{path.name}:{data.name}"
            axes = request.axes or (kind.axes(data) if kind else None)
            layout = layout_of(source, shape_of(data), data.dtype, axes)
            load_filters(data)
            if kind is not None:
                metadata |= kind.metadata(file, data, layout)
            name = str(data.name).strip("/")
    except BaseException:
        file.close()
        raise

    def read(start: int, stop: int) -> NDArray[Any]:
        with readable(source):
            return layout.read(data, start, stop)

    return RawScan(
        source, layout.shape, data.dtype, read, layout.scan_shape, metadata, name, file.close
    )
