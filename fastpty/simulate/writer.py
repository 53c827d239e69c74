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
    fractions: NDArray[np.float32],
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
    fractions : [Sy, Sx, N, N] float32, fractions of the incident beam. Counts are drawn line by
        line, so that they are never held twice.
    datasets : name -> (values, units), beside ``data``.
    electrons, kind, rng : as in :func:`fastpty.simulate.detector.expose`.

    Raises
    ------
    OutputError : the disk is full or the file cannot be replaced; an earlier one stays.
    """
    _, width, rows, columns = fractions.shape
    unit = "electrons" if electrons is not None else "fraction of incident beam"
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    try:
        with atomic_hdf5(output) as file:
            file.attrs["format"] = FORMAT
            file.attrs["format_version"] = FORMAT_VERSION
            for name, value in attributes.items():
                file.attrs[name] = value
            data = file.create_dataset(
                "data",
                fractions.shape,
                kind,
                chunks=(1, min(width, PATTERNS_PER_CHUNK), rows, columns),
                **packed,
            )
            data.attrs["units"] = unit
            for line, patterns in enumerate(fractions):
                data[line] = expose(patterns, electrons, kind, rng)
            for name, (values, units) in datasets.items():
                dataset = file.create_dataset(name, data=values, **packed)
                dataset.attrs["units"] = units
    except OSError as error:
        raise OutputError(
            str(output), f"cannot be written ({error}).", "Make room, or choose another with -o."
        ) from error
