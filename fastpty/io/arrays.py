"""Small arrays from files: positions, start probes, masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io import hdf5, npy
from fastpty.io.files import check_file

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
    check_file(f"{field}.path", path)
    try:
        if hdf5.recognises(path):
            array = hdf5.read_hdf5(path, dataset, ranks)
        elif npy.recognises(path):
            array = np.array(npy.read_npy(path, dataset, ranks))
        else:
            raise DataError("path", "is neither HDF5 nor npy nor npz.", "Convert it.")
    except DataError as error:
        # The finders speak of "dataset" or of the file; a user knows the field that named it.
        if error.field == "dataset":
            raise DataError(f"{field}.dataset", error.found, error.fix) from error
        raise DataError(field, f"{path.name} {error.found}", error.fix) from error
    except OSError as error:
        raise DataError(f"{field}.path", f"{str(path)!r} cannot be read ({error}).") from error
    if array.ndim not in ranks:
        wanted = " or ".join(f"{rank}-D" for rank in ranks)
        raise DataError(field, f"{path.name} has shape {array.shape}; {wanted} is needed.")
    if array.dtype.kind not in "uifcb":
        raise DataError(field, f"{path.name} holds {array.dtype}, which are no numbers.")
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise DataError(field, f"{path.name} has {bad} values that are NaN or infinite.")
    return array
