"""Small arrays from files: positions, start probes, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io import hdf5, npy

__all__ = ["load_array"]


def load_array(field: str, path: Path, dataset: str | None, ranks: tuple[int, ...]) -> NDArray[Any]:
    """An array of one of these ranks from an HDF5, npy or npz file.

    Parameters
    ----------
    field : the config field that asks, for messages.

    Raises
    ------
    DataError : no such file or dataset, another rank, or values that are not finite.
    """
    if not path.is_file():
        raise DataError(f"{field}.path", f"{str(path)!r} does not exist.", "Check the path.")
    try:
        if hdf5.recognises(path):
            with hdf5.open_file(path) as file:
                array = np.asarray(hdf5.find_dataset(file, dataset, ranks)[()])
        elif npy.recognises(path):
            array = np.array(npy.read_npy(path, dataset, ranks))
        else:
            raise DataError("path", f"{path.name} is neither HDF5 nor npy nor npz.")
    except DataError as error:
        raise DataError(f"{field}.{error.field}", error.found, error.fix) from error
    if array.ndim not in ranks:
        wanted = " or ".join(f"{rank}-D" for rank in ranks)
        raise DataError(field, f"{path.name} has shape {array.shape}; {wanted} is needed.")
    if array.dtype.kind not in "uifcb":
        raise DataError(field, f"{path.name} holds {array.dtype}, which are no numbers.")
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise DataError(field, f"{path.name} has {bad} values that are NaN or infinite.")
    return array
