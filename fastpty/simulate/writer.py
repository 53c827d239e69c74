"""The 4D data file, as documented in docs/file-formats.md."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.atomic import atomic_hdf5
from fastpty.errors import OutputError
from fastpty.simulate.detector import expose
from fastpty.simulate.scratch import Scratch

__all__ = ["FORMAT", "FORMAT_VERSION", "check_output", "write_file"]

FORMAT = "fastpty-4dstem"
FORMAT_VERSION = 1
PATTERNS_PER_CHUNK = 8  # along the fast axis: reading one line touches few chunks


def check_output(output: Path) -> None:
    """Refuse before the calculation what could not be written after it.

    Raises
    ------
    OutputError : the folder is missing or not writable, or the path is a folder.
    """
    folder = output.parent
    if output.is_dir():
        raise OutputError(str(output), "is a folder.", "Give the name of a file.")
    if not folder.is_dir():
        raise OutputError(str(folder), "there is no such folder.", "Make it first.")
    if not os.access(folder, os.W_OK):
        raise OutputError(str(folder), "the folder cannot be written.", "Choose another.")


def write_file(
    output: Path,
    attributes: Mapping[str, Any],
    patterns: Scratch,
    scan_shape: tuple[int, int],
    datasets: Mapping[str, tuple[NDArray[Any], str]],
    *,
    electrons: float | None,
    kind: np.dtype[np.generic],
    rng: np.random.Generator,
) -> None:
    """Expose the patterns and write the file, whole or not at all.

    Parameters
    ----------
    attributes : root attributes beside ``format`` and ``format_version``.
    patterns : [Sy Sx, N, N], fractions of the incident beam; a few are in memory at a time.
    scan_shape : (Sy, Sx).
    datasets : name -> (values, units), beside ``data``.
    electrons, kind, rng : as in :func:`fastpty.simulate.detector.expose`. Counts are drawn in the
        order of the patterns.

    Raises
    ------
    OutputError : the disk is full or the file cannot be replaced; an earlier one stays.
    """
    height, width = scan_shape
    chunk = min(width, PATTERNS_PER_CHUNK)
    rows, columns = patterns[:1].shape[1:]
    unit = "electrons" if electrons is not None else "fraction of incident beam"
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    try:
        with atomic_hdf5(output) as (file, check):
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            for name, value in attributes.items():
                file.attrs[name] = value
            data = file.create_dataset(
                "data",
                (height, width, rows, columns),
                kind,
                chunks=(1, chunk, rows, columns),
                **packed,
            )
            data.attrs["units"] = unit
            for line in range(height):
                for start in range(0, width, chunk):
                    stop = min(start + chunk, width)
                    part = patterns[line * width + start : line * width + stop]
                    data[line, start:stop] = expose(part, electrons, kind, rng)
                check()
            for name, (values, units) in datasets.items():
                dataset = file.create_dataset(name, data=values, **packed)
                dataset.attrs["units"] = units
    except OSError as error:
        raise OutputError(
            str(output), f"cannot be written ({error}).", "Make room, or choose another with -o."
        ) from error
