"""Programs that write HDF5: where each keeps the patterns, and what it says of their scale.

Only what the files themselves hold is used; without a kind a dataset is found by its rank.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from fastpty.io.hdf5_file import all_datasets, dataset_at, members, shape_of
from fastpty.io.nion import nion_metadata
from fastpty.io.shapes import RASTER, STACK, Layout
from fastpty.io.units import calibration_of, is_angular, is_length, number

__all__ = ["Kind", "kind_of"]

Metadata = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What one program's files say.

    Parameters
    ----------
    recognises : by attributes and groups at the root.
    dataset : path of the patterns; None where it is not unique.
    metadata : of the chosen dataset.
    axes : of the chosen dataset in the file's order; None: as usual.
    """

    recognises: Callable[[h5py.File], bool]
    dataset: Callable[[h5py.File], str | None]
    metadata: Callable[[h5py.File, h5py.Dataset, Layout], Metadata]
    axes: Callable[[h5py.Dataset], tuple[str, ...] | None] = lambda data: None


def kind_of(file: h5py.File) -> Kind | None:
    """The first kind that a file is; None for all others."""
    return next((kind for kind in _KINDS if kind.recognises(file)), None)


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _only(names: list[str]) -> str | None:
    return names[0] if len(names) == 1 else None


def _patterns_below(file: h5py.File, ends: str, accept: Callable[[h5py.Group], bool]) -> str | None:
    """The only dataset of the highest rank with this name, in a group that is accepted."""
    found = {
        name: len(shape_of(data))
        for name, data in all_datasets(file).items()
        if name.split("/")[-1] == ends and len(shape_of(data)) in (3, 4) and accept(data.parent)
    }
    highest = max(found.values(), default=0)
    return _only([name for name, rank in found.items() if rank == highest])


# HyperSpy's hspy: Experiments/<title>/data beside axis-<n> and metadata.


def _hspy_dataset(file: h5py.File) -> str | None:
    return _patterns_below(file, "data", lambda group: "axis-0" in group)


def _hspy_metadata(file: h5py.File, data: h5py.Dataset, layout: Layout) -> Metadata:
    group = data.parent
    axes = []
    for axis in layout.order:
        attributes = group[f"axis-{axis}"].attrs if f"axis-{axis}" in group else {}
        axes.append((attributes.get("scale"), attributes.get("units")))
    known: Metadata = dict(calibration_of(axes, layout.shape))
    microscope = group.get("metadata/Acquisition_instrument/TEM")
    if microscope is not None:
        for name, theirs in (("energy_kv", "beam_energy"), ("camera_length_mm", "camera_length")):
            value = number(microscope.attrs.get(theirs))
            if value:
                known[name] = value
    return known


# EMD of the NCEM (0.x: dim1, dim2, ...) and of py4DSTEM (1.0: dim0, dim1, ...).


def _is_emd(file: h5py.File) -> bool:
    def marked(group: h5py.Group) -> bool:
        return "emd_group_type" in group.attrs or "version_major" in group.attrs

    return marked(file) or any(
        isinstance(group, h5py.Group) and marked(group) for group in members(file).values()
    )


def _emd_dataset(file: h5py.File) -> str | None:
    cubes = _patterns_below(
        file, "data", lambda group: _text(group.attrs.get("python_class", "")) == "DataCube"
    )
    return cubes or _patterns_below(file, "data", lambda group: "emd_group_type" in group.attrs)


def _emd_axes(data: h5py.Dataset) -> tuple[str, ...] | None:
    """Some writers of version 0 reverse all axes: the units then say that the patterns are first.

    RosettaSciIO does (``rsciio/emd/_emd_ncem.py``), ncempy and py4DSTEM do not.
    """
    units = [unit for _, unit in _dimensions(data)]
    if len(units) in (3, 4) and all(map(is_angular, units[:2])) and all(map(is_length, units[2:])):
        return (RASTER if len(units) == 4 else STACK)[::-1]
    return None


def _dimensions(data: h5py.Dataset) -> list[tuple[float | None, Any]]:
    first = 0 if "dim0" in data.parent else 1
    return [_dimension(data.parent.get(f"dim{first + i}")) for i in range(len(shape_of(data)))]


def _emd_metadata(file: h5py.File, data: h5py.Dataset, layout: Layout) -> Metadata:
    dimensions = _dimensions(data)
    known: Metadata = dict(calibration_of([dimensions[i] for i in layout.order], layout.shape))
    for name, bundle in _groups(file):
        if name.split("/")[-1] == "calibration":
            known |= _py4dstem_calibration(bundle, layout.shape)
    return known


def _dimension(dim: Any) -> tuple[float | None, Any]:
    """(step, unit) of a vector of coordinates, which may be given by its first two."""
    if not isinstance(dim, h5py.Dataset) or dim.size is None or dim.size < 2:
        return None, None
    start, second = (number(value) for value in dim[:2])
    step = None if start is None or second is None else second - start
    return step, dim.attrs.get("units")


def _groups(file: h5py.File) -> list[tuple[str, h5py.Group]]:
    found: list[tuple[str, h5py.Group]] = []

    def visit(name: str, item: object) -> None:
        if isinstance(item, h5py.Group):
            found.append((name, item))

    file.visititems(visit)
    return found


def _py4dstem_calibration(group: h5py.Group, shape: tuple[int, ...]) -> Metadata:
    """``Q_pixel_size`` and its kin, as datasets or attributes of the group."""

    def value(name: str) -> Any:
        item = group.get(name)
        return item[()] if isinstance(item, h5py.Dataset) else group.attrs.get(name)

    q = (value("Q_pixel_size"), value("Q_pixel_units"))
    r = (value("R_pixel_size"), value("R_pixel_units"))
    known: Metadata = dict(calibration_of([r, r, q, q], shape))
    if angle := number(value("QR_rotation_degrees")):
        known["qr_rotation_deg"] = angle
    return known


# Velox: Data/Image/<id>/Data [Ny, Nx, N], and JSON in a column of Metadata.


def _is_velox(file: h5py.File) -> bool:
    version: Any = dataset_at(file, "Version")
    with suppress(ValueError, TypeError, IndexError, AttributeError, OSError):
        content = json.loads(_text(version[0]))
        return content.get("format") in ("Velox", "DevelopersKit")
    return False


def _velox_dataset(file: h5py.File) -> str | None:
    return _patterns_below(file, "Data", lambda group: "/Data/Image/" in f"{group.name}/")


def _velox_metadata(file: h5py.File, data: h5py.Dataset, layout: Layout) -> Metadata:
    known: Metadata = {}
    with suppress(ValueError, TypeError, KeyError, AttributeError):
        raw = np.asarray(data.parent["Metadata"][:, 0], np.uint8).tobytes()
        content = json.loads(raw.split(b"\0")[0].decode())
        volts = number(content["Optics"].get("AccelerationVoltage"))
        if volts:
            known["energy_kv"] = volts / 1e3
        length = number(content["Optics"].get("CameraLength"))
        if length:
            known["camera_length_mm"] = length * 1e3
        result = content.get("BinaryResult", {})
        size = result.get("PixelSize", {})
        detector = [
            (size.get("height"), result.get("PixelUnitY")),
            (size.get("width"), result.get("PixelUnitX")),
        ]
        known |= calibration_of(detector, layout.shape)
    return known


# Nion Swift: data, or in exported files (nhdf) data/0, data/1, ..., each with everything else as
# JSON in an attribute.


def _is_nion(file: h5py.File) -> bool:
    data = dataset_at(file, "data")
    if isinstance(data, h5py.Group):
        return any("properties" in item.attrs for item in members(data).values())
    return isinstance(data, h5py.Dataset) and "properties" in data.attrs


def _nion_dataset(file: h5py.File) -> str | None:
    if isinstance(file["data"], h5py.Dataset):
        return "data"
    items = members(file["data"]).items()
    return _only(
        [
            f"data/{name}"
            for name, item in items
            if isinstance(item, h5py.Dataset) and len(shape_of(item)) in (3, 4)
        ]
    )


def _nion_metadata(file: h5py.File, data: h5py.Dataset, layout: Layout) -> Metadata:
    with suppress(ValueError, TypeError, AttributeError):
        return nion_metadata(json.loads(_text(data.attrs["properties"])), layout)
    return {}


_KINDS = (
    Kind(
        lambda file: _text(file.attrs.get("file_format", "")) == "HyperSpy",
        _hspy_dataset,
        _hspy_metadata,
    ),
    Kind(_is_velox, _velox_dataset, _velox_metadata, lambda data: ("y", "x", "n")),
    Kind(_is_nion, _nion_dataset, _nion_metadata),
    Kind(_is_emd, _emd_dataset, _emd_metadata, _emd_axes),
)
