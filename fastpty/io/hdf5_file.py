"""Opening HDF5 files, finding datasets in them, and their filters."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastpty.errors import DataError

__all__ = [
    "all_datasets",
    "dataset_at",
    "find_dataset",
    "load_filters",
    "members",
    "open_file",
    "plain",
    "readable",
    "recognises",
    "shape_of",
]


def recognises(path: Path) -> bool:
    """True for an HDF5 file, whatever its extension."""
    return path.is_file() and bool(h5py.is_hdf5(path))


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


def all_datasets(group: h5py.Group) -> dict[str, h5py.Dataset]:
    """Every dataset below a group by its path, links not followed."""
    found: dict[str, h5py.Dataset] = {}

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item

    group.visititems(visit)
    return found


def find_dataset(file: h5py.File, dataset: str | None, ranks: tuple[int, ...]) -> h5py.Dataset:
    """The named dataset, or the only one of these ranks.

    Raises
    ------
    DataError : it is not there, is a group, or the choice is not unique.
    """
    found = all_datasets(file)
    if dataset is not None:
        name = dataset.strip("/")
        item = dataset_at(file, name)
        if isinstance(item, h5py.Dataset):
            return item
        inside = [other for other in found if other.startswith(f"{name}/")]
        if isinstance(item, h5py.Group):
            raise DataError(
                "dataset",
                f"{dataset!r} in {file.filename} is a group.",
                f"It holds: {_listing({other: found[other] for other in inside})}.",
            )
        close = difflib.get_close_matches(name, list(found), n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else f"It holds: {_listing(found)}."
        raise DataError("dataset", f"{file.filename} has no dataset {dataset!r}.", hint)
    fitting = {name: item for name, item in found.items() if len(shape_of(item)) in ranks}
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


def dataset_at(file: h5py.Group, name: str) -> object:
    """What is at ``name``, soft and external links followed; None where nothing is."""
    try:
        return file.get(name) if name else file
    except (KeyError, OSError, RuntimeError):  # a link to nowhere
        return None


def members(group: h5py.Group) -> dict[str, Any]:
    """What is in a group, without links to nowhere."""
    found = {name: dataset_at(group, name) for name in group}
    return {name: item for name, item in found.items() if item is not None}


@contextmanager
def readable(source: str) -> Iterator[None]:
    """Looking into a file may show that it is damaged: as a DataError.

    HDF5 finds damage anywhere, and h5py passes it on as errors of several kinds.
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            source, f"cannot be read ({' '.join(str(error).split())}).", "Is the file complete?"
        ) from error


def load_filters(data: h5py.Dataset) -> None:
    """bitshuffle, lz4, zstd and their like are filters that hdf5plugin registers.

    Raises
    ------
    DataError : the dataset needs one that is not installed.
    """
    if not _missing_filters(data):
        return
    with suppress(ImportError):
        import hdf5plugin  # noqa: F401
    missing = _missing_filters(data)
    if missing:
        raise DataError(
            f"{data.file.filename}:{data.name}",
            f"is compressed with a filter that is not installed ({', '.join(missing)}).",
            "Run: pip install 'fastpty[readers]'.",
        )


def _missing_filters(data: h5py.Dataset) -> list[str]:
    creation = data.id.get_create_plist()
    filters = [creation.get_filter(i) for i in range(creation.get_nfilters())]
    return [
        f"{number} {name.decode(errors='replace')}".strip()
        for number, _, _, name in filters
        if not h5py.h5z.filter_avail(number)
    ]


def shape_of(data: h5py.Dataset) -> tuple[int, ...]:
    """A dataset without a dataspace has the shape None."""
    return data.shape or ()


def plain(value: Any) -> Any:
    """An attribute as Python's own types."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


def _listing(found: dict[str, h5py.Dataset], most: int = 12) -> str:
    names = [f"{name} {list(shape_of(item))}" for name, item in found.items()]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "no datasets") + more
