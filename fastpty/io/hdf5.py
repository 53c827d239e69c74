"""HDF5, any path inside, 3-D or 4-D: fastpty's own files and everybody's."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.rawscan import RawScan
from fastpty.io.shapes import scan_and_stack

__all__ = ["find_dataset", "open_file", "open_hdf5", "recognises"]


def recognises(path: Path) -> bool:
    """True for an HDF5 file, whatever its extension."""
    return bool(h5py.is_hdf5(path))


def open_file(path: Path) -> h5py.File:
    """Open for reading.

    Raises
    ------
    DataError : the file is not HDF5, or damaged.
    """
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise DataError(
            str(path), f"cannot be opened as HDF5 ({error}).", "Is the file complete?"
        ) from error


def find_dataset(file: h5py.File, dataset: str | None, ranks: tuple[int, ...]) -> h5py.Dataset:
    """The named dataset, or the only one of these ranks.

    Raises
    ------
    DataError : it is not there, is a group, or the choice is not unique.
    """
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(visit)
    if dataset is not None:
        name = dataset.strip("/")
        if name in found:
            return found[name]
        close = difflib.get_close_matches(name, list(found), n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else f"It holds: {_listing(found)}."
        raise DataError("dataset", f"{file.filename} has no dataset {dataset!r}.", hint)
    fitting = {name: item for name, item in found.items() if item.ndim in ranks}
    # Simulated files keep their truth beside the data; it is never the measurement.
    measured = {n: d for n, d in fitting.items() if not n.startswith("truth/")}
    if len(measured) != 1:
        how_many = "no" if not measured else "more than one"
        wanted = " or ".join(f"{rank}-D" for rank in ranks)
        raise DataError(
            "dataset",
            f"{file.filename} has {how_many} {wanted} dataset.",
            f"Name one with `dataset`. It holds: {_listing(found)}.",
        )
    return next(iter(measured.values()))


def open_hdf5(path: Path, dataset: str | None, scan_shape: tuple[int, int] | None) -> RawScan:
    """A dataset [N, Ny, Nx] or [slow, fast, Ny, Nx]; root attributes become the metadata."""
    file = open_file(path)
    data = find_dataset(file, dataset, (3, 4))
    source = f"{path.name}:{data.name}"
    scan, stack = scan_and_stack(source, data.shape, data.dtype, scan_shape)
    fast = data.shape[1] if data.ndim == 4 else 1

    def read(start: int, stop: int) -> NDArray[Any]:
        try:
            if data.ndim == 3:
                return np.asarray(data[start:stop])
            rows = np.asarray(data[start // fast : -(-stop // fast)])
        except OSError as error:
            raise DataError(
                source,
                f"patterns {start} to {stop} cannot be read ({error}).",
                "A compressed file may need a filter: pip install 'fastpty[readers]'.",
            ) from error
        first = start - start // fast * fast
        return rows.reshape(-1, *stack[1:])[first : first + stop - start]

    _load_filters(data)
    metadata = {key: _plain(value) for key, value in file.attrs.items()}
    return RawScan(source, stack, data.dtype, read, scan, metadata)


def _load_filters(data: h5py.Dataset) -> None:
    """bitshuffle, lz4, zstd and their like are filters that hdf5plugin registers."""
    creation = data.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    if all(h5py.h5z.filter_avail(number) for number in filters):
        return
    try:
        import hdf5plugin  # noqa: F401
    except ImportError as error:
        raise DataError(
            data.file.filename,
            "is compressed with a filter that is not installed.",
            "Run: pip install 'fastpty[readers]'.",
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _listing(found: dict[str, h5py.Dataset], most: int = 12) -> str:
    names = [f"{name} {list(item.shape)}" for name, item in found.items()]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "no datasets") + more
