"""Which reader opens which file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastpty.errors import DataError
from fastpty.io import (
    dectris,
    empad,
    folder,
    hdf5,
    mat,
    mib,
    nion,
    npy,
    raw,
    rosetta,
    tiff,
    zarr_store,
)
from fastpty.io.files import check_file
from fastpty.io.raster import with_raster
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request

__all__ = ["READERS", "Reader", "open_scan"]


@dataclass(frozen=True)
class Reader:
    """A format.

    Parameters
    ----------
    title : as a message calls such a file.
    open : makes the :class:`RawScan`.
    recognises : by content.
    extensions : what such a file is usually called, for one whose content says nothing.
    fields : of :class:`Request`, those beyond the scan's that have a meaning here.
    """

    title: str
    open: Callable[[Request], RawScan]
    recognises: Callable[[Path], bool] = lambda path: False
    extensions: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


_RAW = _set("pattern_shape", "dtype", "offset", "gap")
_ARRAY = _set("dataset", "axes")
# These have a meaning wherever there is a stack.
_SCAN = _set("scan_shape", "scan_mismatch", "skip", "flyback")

#: In the order in which they are asked whether they recognise a file.
READERS: dict[str, Reader] = {
    "dectris": Reader("a Dectris master file", dectris.open_dectris, dectris.recognises),
    "mat": Reader("a MATLAB file", mat.open_mat, mat.recognises, _set(".mat"), _ARRAY),
    "hdf5": Reader(
        "an HDF5 file",
        hdf5.open_hdf5,
        hdf5.recognises,
        _set(".h5", ".hdf5", ".hdf", ".emd", ".hspy", ".nxs", ".nhdf"),
        _ARRAY,
    ),
    "nion": Reader(
        "a Nion ndata file",
        nion.open_ndata,
        nion.recognises,
        _set(".ndata", ".ndata1"),
        _set("axes"),
    ),
    "npy": Reader("an npy or npz file", npy.open_npy, npy.recognises, _set(".npy", ".npz"), _ARRAY),
    "mib": Reader("a Merlin file", mib.open_mib, mib.recognises, _set(".mib", ".hdr")),
    "tiff": Reader("a TIFF file", tiff.open_tiff, tiff.recognises, _set(".tif", ".tiff")),
    "zarr": Reader(
        "a zarr store", zarr_store.open_zarr, zarr_store.recognises, _set(".zarr", ".zspy"), _ARRAY
    ),
    "rosettasciio": Reader(
        "a file that RosettaSciIO reads",
        rosetta.open_rosetta,
        rosetta.recognises,
        rosetta.EXTENSIONS,
        _ARRAY,
    ),
    "folder": Reader("a folder", folder.open_folder, Path.is_dir, fields=_RAW),
    "empad": Reader("an EMPAD file", empad.open_empad, extensions=_set(".raw")),
    "raw": Reader("a file of raw values", raw.open_raw, fields=_RAW),
}


def open_scan(path: Path, *, format: str = "auto", **given: Any) -> RawScan:
    """Open a recorded scan without reading its patterns.

    Parameters
    ----------
    path : the file or folder.
    format : a name in ``READERS``, or ``auto``: the first whose content fits, else whose extension
        does.
    given : the other fields of :class:`Request`; ``dataset`` is a path inside an HDF5 or npz file,
        ``scan_shape`` (slow, fast) of a stack.

    Raises
    ------
    DataError : no such file, unknown format, wrong dataset, shape or scan, a field that has no
        meaning for the format.
    """
    request = Request(path, **given)
    if not path.is_dir():
        check_file("data.path", path)
    if request.scan_shape is not None and min(request.scan_shape) < 1:
        raise DataError(
            "data.scan_shape",
            f"is {list(request.scan_shape)}.",
            "Both numbers must be at least 1.",
        )
    scan = None
    try:
        name = _choose(request) if format == "auto" else _known(format)
        reader = READERS[name]
        _check_fields(request, reader)
        if path.is_dir() and name not in ("folder", "zarr"):
            check_file("data.path", path)
        scan = reader.open(request)
        return replace(with_raster(scan, request), format=name)
    except OSError as error:
        raise DataError("data.path", f"{str(path)!r} cannot be read ({error}).") from error
    except DataError as error:
        if scan is not None:
            scan.close()
        if error.field == "dataset":  # the finders serve every array file; here it is the data's
            error = DataError("data.dataset", error.found, error.fix)
        raise error from error.__cause__


def _known(format: str) -> str:
    if format not in READERS:
        raise DataError(
            "data.format",
            f"is {format!r}, which is unknown.",
            f"Known: auto, {', '.join(READERS)}.",
        )
    return format


def _choose(request: Request) -> str:
    """Content first: an extension is only a name."""
    path = request.path
    for name, reader in READERS.items():
        if reader.recognises(path):
            return name
    # Who describes the values of a file without a header means that description.
    if _RAW & request.given.keys():
        return "raw"
    for name, reader in READERS.items():
        if path.suffix.lower() in reader.extensions:
            return name
    raise DataError(
        "data.format",
        f"{path.name!r} is none of the formats that are recognised.",
        f"Set data.format to one of {', '.join(READERS)}.",
    )


def _check_fields(request: Request, reader: Reader) -> None:
    for name, value in request.given.items():
        if name not in reader.fields | _SCAN:
            shown = list(value) if isinstance(value, tuple) else value
            raise DataError(
                f"data.{name}",
                f"is {shown!r}, but has no meaning for {reader.title}, which "
                f"{request.path.name!r} is.",
                "Remove it, or set data.format.",
            )
