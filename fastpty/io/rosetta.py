"""What RosettaSciIO reads, through one adapter: Gatan dm3 and dm4, blockfiles, MRC, TVIPS, ...

Its arrays are lazy (dask) and come with axes that say which of them belong to a pattern; where they
do not, the last two do. It is under the GPL 3, is not part of fastpty, and is imported only when
such a file is opened.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.files import starts_with
from fastpty.io.foreign import refusing, require
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request
from fastpty.io.shapes import RASTER, STACK, layout_of
from fastpty.io.units import calibration_of, number

__all__ = ["EXTENSIONS", "open_rosetta", "read_image", "recognises"]

#: Extensions of formats that hold stacks of patterns; with ``format: rosettasciio`` any will do.
EXTENSIONS = frozenset(
    {".dm3", ".dm4", ".blo", ".mrc", ".mrcz", ".ali", ".tvips", ".ser", ".emi", ".app5"}
)

_BLO = b"IMGBLO"
# To the end of NY: text, magic number, two offsets, unknown, side of a pattern, rotation, NX, NY.
_BLO_HEADER = struct.Struct("<6sHIIIHHHH")
_BLO_BEFORE_PATTERN = 6
# The longer head of Gatan's two, and how much its length leaves out of the file at most.
_DM_HEAD = ">IQI"
_DM_OUTSIDE = 64


def recognises(path: Path) -> bool:
    """True for Gatan files, blockfiles and MRC, by their first bytes."""
    return _plugin_of_content(path) is not None


def _plugin_of_content(path: Path) -> str | None:
    if not path.is_file():
        return None
    if starts_with(path, _BLO):
        return "Blockfile"
    if starts_with(path, b"MAP ", at=208):
        return "MRC"
    with path.open("rb") as stream:
        head = stream.read(struct.calcsize(_DM_HEAD))
    # Version 3 or 4, bytes that follow (4 or 8 bytes), byte order 0 or 1: big-endian all. Counts
    # of a file without a header could be like that by chance, but not its size.
    for version, layout in ((3, ">III"), (4, ">IQI")):
        if len(head) == struct.calcsize(_DM_HEAD):
            found, length, order = struct.unpack_from(layout, head)
            agrees = abs(path.stat().st_size - length) <= _DM_OUTSIDE
            if found == version and order in (0, 1) and agrees:
                return "DigitalMicrograph"
    return None


def open_rosetta(request: Request) -> RawScan:
    """Patterns of the only signal that can be a scan, or the one that ``dataset`` numbers.

    Raises
    ------
    DataError : RosettaSciIO is not installed, cannot read the file, or finds no scan in it.
    """
    path = request.path
    name, signals = _read(path, lazy=True)
    index = _choose(path, name, signals, request.dataset)
    signal = signals[index]
    data = signal["data"]
    while data.ndim > len(RASTER) and data.shape[0] == 1:
        data = data[0]
    source = path.name if len(signals) == 1 else f"{path.name}:{index}"
    axes = _in_array(signal["axes"], data.ndim)
    names = request.axes or _axis_names(axes, data.ndim)
    layout = layout_of(source, data.shape, np.dtype(data.dtype), names)

    def read(start: int, stop: int) -> NDArray[Any]:
        with refusing(source, name):
            return layout.read(data, start, stop)

    read(layout.shape[0] - 1, layout.shape[0])  # a file that is cut has no last pattern
    metadata = {"plugin": name} | _microscope(signal)
    if len(axes) == data.ndim:
        pairs = [(axes[i].get("scale"), axes[i].get("units")) for i in layout.order]
        metadata |= calibration_of(pairs, layout.shape)
    dataset = str(index) if len(signals) > 1 else None
    return RawScan(
        source,
        layout.shape,
        np.dtype(data.dtype),
        read,
        layout.scan_shape,
        metadata,
        dataset,
    )


def read_image(path: Path) -> NDArray[Any]:
    """The one image of a file."""
    name, signals = _read(path, lazy=False)
    images = [signal["data"] for signal in signals if signal["data"].ndim == 2]
    if not images:
        raise DataError(path.name, f"is {name}, but holds no single image.")
    # Gatan's files begin with a small preview.
    return np.asarray(max(images, key=lambda image: image.size))


def _read(path: Path, *, lazy: bool) -> tuple[str, list[dict[str, Any]]]:
    """(what the format is called, the signals)."""
    rsciio = require("rsciio", path.name)
    plugins = {plugin["name"]: plugin for plugin in rsciio.IO_PLUGINS}
    name = _plugin_of_content(path)
    if name is None:
        extension = path.suffix.lower().removeprefix(".")
        fitting = [
            plugin["name"]
            for plugin in rsciio.IO_PLUGINS
            if extension in [known.lower() for known in plugin["file_extensions"]]
        ]
        if not fitting:
            raise DataError(
                path.name, f"has the extension {path.suffix!r}, which RosettaSciIO does not know."
            )
        # mrc has two; the compressed one is named by its extension.
        name = "MRC" if extension in ("mrc", "ali") else fitting[0]
    if name == "Blockfile":
        _check_blockfile(path)
    module = require(plugins[name]["api"], path.name)
    with refusing(str(path), f"{name} by RosettaSciIO"):
        return name, list(module.file_reader(str(path), lazy=lazy))


def _choose(path: Path, name: str, signals: list[dict[str, Any]], dataset: str | None) -> int:
    listing = ", ".join(f"{i} {list(signal['data'].shape)}" for i, signal in enumerate(signals))
    if dataset is not None:
        if dataset.isdecimal() and int(dataset) < len(signals):
            return int(dataset)
        raise DataError(
            "dataset",
            f"is {dataset!r}, but {path.name} ({name}) has signals by number.",
            f"It holds: {listing}.",
        )
    fitting = [i for i, signal in enumerate(signals) if len(_long(signal["data"].shape)) in (3, 4)]
    if len(fitting) != 1:
        raise DataError(
            "dataset",
            f"{path.name} ({name}) has {len(fitting)} signals that can be a scan.",
            f"Name one with `dataset`. It holds: {listing or 'nothing'}.",
        )
    return fitting[0]


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > len(RASTER) and shape[0] == 1:
        shape = shape[1:]
    return shape


def _in_array(axes: list[dict[str, Any]], rank: int) -> list[dict[str, Any]]:
    """In the array's order, without those of leading axes that were left out."""
    if any(axis.get("index_in_array") is None for axis in axes):
        return axes[-rank:]
    return sorted(axes, key=lambda axis: int(axis["index_in_array"]))[-rank:]


def _axis_names(axes: list[dict[str, Any]], rank: int) -> tuple[str, ...] | None:
    """Which axes are the pattern's; None for the last two."""
    pattern = [i for i, axis in enumerate(axes) if not axis.get("navigate", True)]
    if len(axes) != rank or len(pattern) != 2 or rank not in (3, 4):
        return None
    names = list(STACK if rank == 3 else RASTER)
    scan = iter(names[:-2])
    return tuple(names[-2 + pattern.index(i)] if i in pattern else next(scan) for i in range(rank))


def _microscope(signal: dict[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    tem = _at(signal.get("metadata"), "Acquisition_instrument", "TEM")
    gatan = _at(
        signal.get("original_metadata"), "ImageList", "TagGroup0", "ImageTags", "Microscope Info"
    )
    for name, place, theirs, factor in (
        ("energy_kv", gatan, "Voltage", 1e-3),
        ("camera_length_mm", gatan, "STEM Camera Length", 1.0),
        ("energy_kv", tem, "beam_energy", 1.0),
        ("camera_length_mm", tem, "camera_length", 1.0),
    ):
        value = number(place.get(theirs))
        if value and value > 0:
            known[name] = value * factor
    return known


def _at(content: Any, *path: str) -> dict[str, Any]:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else {}


def _check_blockfile(path: Path) -> None:
    """Where patterns are missing, the plugin would make them up as zeros."""
    with path.open("rb") as stream:
        head = stream.read(_BLO_HEADER.size)
    if len(head) < _BLO_HEADER.size:
        raise DataError(
            path.name, f"is a blockfile of {len(head)} bytes: its header is cut.", "Is it complete?"
        )
    _, _, _, first, _, side, _, nx, ny = _BLO_HEADER.unpack(head)
    needed = first + nx * ny * (side * side + _BLO_BEFORE_PATTERN)
    size = path.stat().st_size
    if size < needed:
        raise DataError(
            path.name,
            f"is a blockfile of {ny} x {nx} patterns of {side} x {side}, which needs {needed} "
            f"bytes, but has {size}.",
            "Is the file complete?",
        )
