"""Nion Swift's ndata files: a zip with ``data.npy`` and ``metadata.json``, not compressed.

Its HDF5 files (``.h5``, dataset ``data`` with the same JSON in the attribute ``properties``) are
opened as HDF5. (nionswift, ``nion/swift/model/NDataHandler.py`` and ``HDF5Handler.py``.)
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.files import starts_with
from fastpty.io.npy import DAMAGE, map_member
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import Layout, layout_of
from fastpty.io.units import calibration_of, number

__all__ = ["nion_metadata", "open_ndata", "recognises"]

Found = TypeVar("Found")
_DATA, _NOTES = "data.npy", "metadata.json"


def recognises(path: Path) -> bool:
    """True for a zip with the two members of an ndata file."""
    if not starts_with(path, b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return {_DATA, _NOTES} <= set(archive.namelist())
    except zipfile.BadZipFile:
        return False


def open_ndata(request: Request) -> RawScan:
    """Patterns [N, Ny, Nx] or [slow, fast, Ny, Nx], with what the microscope noted.

    Raises
    ------
    DataError : no ndata file, a damaged one, or one that is not a stack of patterns.
    """
    path = request.path
    try:
        with zipfile.ZipFile(path) as archive:
            notes = json.loads(archive.read(_NOTES))
        data = map_member(path, _DATA)
    except (KeyError, *DAMAGE) as error:
        raise DataError(
            str(path), f"cannot be read as Nion ndata ({error}).", "Is the file complete?"
        ) from error
    layout = layout_of(path.name, data.shape, data.dtype, request.axes)

    def read(start: int, stop: int) -> NDArray[Any]:
        return layout.read(data, start, stop)

    metadata = nion_metadata(notes, layout) if isinstance(notes, dict) else {}
    return RawScan(path.name, layout.shape, data.dtype, read, layout.scan_shape, metadata)


def nion_metadata(properties: dict[str, Any], layout: Layout) -> dict[str, Any]:
    """Scales and voltage from the properties of a data item."""
    axes = _calibrations(properties)
    known: dict[str, Any] = {}
    if len(axes) == len(layout.order):
        known |= calibration_of([axes[i] for i in layout.order], layout.shape)
    volts = _search(properties, ("high_tension", "high_tension_v", "EHT"), number)
    if volts:
        known["energy_kv"] = volts / 1e3
    return known


def _calibrations(properties: dict[str, Any]) -> list[tuple[Any, Any]]:
    found = _search(properties, ("dimensional_calibrations", "spatial_calibrations"), _is_axes)
    return [(axis.get("scale"), axis.get("units")) for axis in found or []]


def _is_axes(value: Any) -> list[dict[str, Any]] | None:
    if isinstance(value, list) and value and all(isinstance(axis, dict) for axis in value):
        return value
    return None


def _search(content: Any, names: tuple[str, ...], accept: Callable[[Any], Found | None]) -> Any:
    """The first value of one of these names, at any depth, that is accepted."""
    items: list[tuple[Any, Any]] = []
    if isinstance(content, dict):
        items = list(content.items())
    elif isinstance(content, list):
        items = [("", value) for value in content]
    for name, value in items:
        found = accept(value) if name in names else None
        found = found or _search(value, names, accept)
        if found:
            return found
    return None
