"""Which reader opens which file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastpty.errors import DataError
from fastpty.io import empad, hdf5, npy
from fastpty.io.files import check_file
from fastpty.io.rawscan import RawScan

__all__ = ["READERS", "open_scan"]

Reader = Callable[[Path, "str | None", "tuple[int, int] | None"], RawScan]

READERS: dict[str, tuple[Callable[[Path], bool], Reader]] = {
    "hdf5": (hdf5.recognises, hdf5.open_hdf5),
    "npy": (npy.recognises, npy.open_npy),
    "empad": (empad.recognises, empad.open_empad),
}


def open_scan(
    path: Path,
    *,
    format: str = "auto",
    dataset: str | None = None,
    scan_shape: tuple[int, int] | None = None,
) -> RawScan:
    """Open a recorded scan without reading its patterns.

    Parameters
    ----------
    path : the file.
    format : a name in ``READERS``, or ``auto``: the first whose content or extension fits.
    dataset : path inside an HDF5 or npz file; None finds the only 3-D or 4-D array.
    scan_shape : (slow, fast) of a 3-D stack; checked against the file.

    Raises
    ------
    DataError : no such file, unknown format, wrong dataset, shape or scan.
    """
    check_file("data.path", path)
    if scan_shape is not None and min(scan_shape) < 1:
        raise DataError(
            "data.scan_shape", f"is {list(scan_shape)}.", "Both numbers must be at least 1."
        )
    try:
        return _reader(path, format)(path, dataset, scan_shape)
    except OSError as error:
        raise DataError("data.path", f"{str(path)!r} cannot be read ({error}).") from error
    except DataError as error:
        if error.field == "dataset":  # the finders serve every array file; here it is the data's
            error = DataError("data.dataset", error.found, error.fix)
        raise error from error.__cause__


def _reader(path: Path, format: str) -> Reader:
    if format == "auto":
        chosen = [reader for recognises, reader in READERS.values() if recognises(path)]
        if not chosen:
            raise DataError(
                "data.format",
                f"{path.name!r} is none of the formats that are recognised.",
                f"Set data.format to one of {', '.join(READERS)}.",
            )
        return chosen[0]
    if format not in READERS:
        raise DataError(
            "data.format",
            f"is {format!r}, which is unknown.",
            f"Known: auto, {', '.join(READERS)}.",
        )
    return READERS[format][1]
