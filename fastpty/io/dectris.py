"""Dectris master files (Arina, Ela, Quadro, Eiger): the frames are in files that it links to.

``/entry/data/data_000001``, ``data_000002``, ... are external links to HDF5 files beside the
master, compressed with bitshuffle and lz4; ``pixel_mask`` of the detector names its bad pixels,
which carry the largest value of the type. (Dectris, HDF5 file format of the SIMPLON API; NXmx.)
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io import hdf5_file
from fastpty.io.parts import Parts
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import layout_of
from fastpty.io.units import number

__all__ = ["open_dectris", "recognises"]

_FRAMES = "entry/data"
_NAME = re.compile(r"data_\d+")
_DETECTOR = "entry/instrument/detector"
_MASKS = (f"{_DETECTOR}/detectorSpecific/pixel_mask", f"{_DETECTOR}/pixel_mask")


def recognises(path: Path) -> bool:
    """True for an HDF5 file with numbered links in ``/entry/data``."""
    if not hdf5_file.recognises(path):
        return False
    try:
        with h5py.File(path, "r") as file:
            group = hdf5_file.dataset_at(file, _FRAMES)
            return isinstance(group, h5py.Group) and bool(_names(group))
    except (OSError, RuntimeError, KeyError):  # damaged; the reader of all HDF5 says so
        return False


def open_dectris(request: Request) -> RawScan:
    """Patterns [N, Ny, Nx] of all linked files; the detector's bad pixels become the mask.

    Raises
    ------
    DataError : no master, a linked file is missing or damaged, or frames differ.
    """
    path = request.path
    file = hdf5_file.open_file(path)
    try:
        with hdf5_file.readable(path.name):
            group = hdf5_file.dataset_at(file, _FRAMES)
            names = _names(group) if isinstance(group, h5py.Group) else []
            if not names:
                raise DataError(
                    path.name,
                    f"is no Dectris master: it has no /{_FRAMES}/data_000001.",
                    "Name the file that ends in _master.h5, or set data.format to another.",
                )
            data = _linked(path, group, names, request.crop)
            layouts = [layout_of(_source(d), hdf5_file.shape_of(d), d.dtype) for d in data]
            first = data[0]
            for item, layout in zip(data, layouts, strict=True):
                hdf5_file.load_filters(item)
                if (layout.shape[1:], item.dtype) != (layouts[0].shape[1:], first.dtype):
                    raise DataError(
                        _source(item),
                        f"holds frames of {layout.shape[1:]} {item.dtype}, but {_source(first)} of "
                        f"{layouts[0].shape[1:]} {first.dtype}.",
                        "Are both of one scan?",
                    )
            shape = layouts[0].shape[1:]
            mask = _mask(file, shape)
            metadata = _metadata(file)
            hint = _triggers(file)
    except BaseException:
        file.close()
        raise

    def read(part: int, start: int, stop: int) -> NDArray[Any]:
        with hdf5_file.readable(_source(data[part])):
            return layouts[part].read(data[part], start, stop)

    parts = Parts([layout.shape[0] for layout in layouts], read)

    def release() -> None:
        for item in data:
            if item.id.valid:
                item.file.close()
        file.close()

    return RawScan(
        path.name,
        (len(parts), *shape),
        first.dtype,
        parts.read,
        metadata=metadata,
        release=release,
        mask=mask,
        scan_hint=hint,
    )


def _names(group: h5py.Group) -> list[str]:
    return sorted(name for name in group if _NAME.fullmatch(name))


def _source(data: h5py.Dataset) -> str:
    return f"{Path(data.file.filename).name}:{data.name}"


def _linked(path: Path, group: h5py.Group, names: list[str], crop: bool) -> list[h5py.Dataset]:
    """What the links lead to; with ``crop`` a series may end early."""
    found: list[h5py.Dataset] = []
    for name in names:
        link = group.get(name, getlink=True)
        target = link.filename if isinstance(link, h5py.ExternalLink) else path.name
        if not (path.parent / target).is_file():
            if crop and found:
                break
            raise DataError(
                path.name,
                f"links to {target!r} ({name} of {len(names)}), which is not in its folder.",
                "Put all files of the series beside the master. Where the series ended early, set "
                "data.scan_mismatch to crop.",
            )
        try:
            item = group[name]
        except (KeyError, OSError, RuntimeError) as error:
            raise DataError(
                target,
                f"cannot be read as part of {path.name} ({' '.join(str(error).split())}).",
                "Is the file complete?",
            ) from error
        if not isinstance(item, h5py.Dataset):
            raise DataError(target, f"holds no frames at {name} of {path.name}.")
        found.append(item)
    return found


def _mask(file: h5py.File, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """True where no bit of the detector's mask is set; None without one of this shape."""
    for name in _MASKS:
        item = hdf5_file.dataset_at(file, name)
        if isinstance(item, h5py.Dataset) and hdf5_file.shape_of(item) == shape:
            hdf5_file.load_filters(item)
            with hdf5_file.readable(f"{file.filename}:{name}"):
                good = np.asarray(item[()]) == 0
            return None if good.all() else good
    return None


def _value(file: h5py.File, name: str) -> Any:
    item = hdf5_file.dataset_at(file, name)
    return item[()] if isinstance(item, h5py.Dataset) and item.shape == () else None


def _metadata(file: h5py.File) -> dict[str, Any]:
    known: dict[str, Any] = {"detector": "Dectris"}
    with suppress(OSError, RuntimeError, TypeError):
        described = _value(file, f"{_DETECTOR}/description")
        if isinstance(described, bytes | str):
            text = described.decode(errors="replace") if isinstance(described, bytes) else described
            known["detector"] = text.strip("\0 ")
        electronvolts = number(_value(file, "entry/instrument/beam/incident_energy"))
        if electronvolts:
            known["energy_kv"] = electronvolts / 1e3
        seconds = number(_value(file, f"{_DETECTOR}/count_time"))
        if seconds:
            known["exposure_ms"] = seconds * 1e3
        bits = number(_value(file, f"{_DETECTOR}/bit_depth_image"))
        if bits:
            known["bit_depth"] = int(bits)
    return known


def _triggers(file: h5py.File) -> tuple[int, int] | None:
    """A trigger for each row, an image for each position in it."""
    specific = f"{_DETECTOR}/detectorSpecific"
    slow = number(_value(file, f"{specific}/ntrigger")) or 0
    fast = number(_value(file, f"{specific}/nimages")) or 0
    return (int(slow), int(fast)) if slow > 1 and fast > 1 else None
