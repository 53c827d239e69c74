"""What a reconstruction leaves behind, and its file ``reconstruction.h5``.

The layout is documented in docs/file-formats.md. Everything is numpy: reading a result needs no
torch.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import fastpty
from fastpty.atomic import atomic_path
from fastpty.errors import DataError

__all__ = ["FORMAT", "History", "Results", "Snapshot", "read_results", "write_results"]

FORMAT = "fastpty-reconstruction"
FORMAT_VERSION = 1


@dataclass
class History:
    """One entry per finished iteration.

    ``loss`` is the weighted sum; ``terms`` holds each weighted loss term by name; ``seconds`` is
    the wall time of the iteration; ``displacement`` is the mean distance of the positions from
    their start, in pixels.
    """

    loss: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    terms: dict[str, list[float]] = field(default_factory=dict)
    displacement: list[float] = field(default_factory=list)


@dataclass
class Snapshot:
    """Some patterns as measured and as simulated after ``iteration`` (0 = before the first).

    ``index`` [K] names the scan positions; ``measured`` and ``simulated`` [K, Ny, Nx] are in
    counts, zero frequency at N//2; ``r_factor`` is
    ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)`` over these patterns.
    ``mask`` [Ny, Nx] is True where a pixel is good.
    """

    iteration: int
    index: NDArray[np.int64]
    measured: NDArray[np.float32]
    simulated: NDArray[np.float32]
    r_factor: float
    mask: NDArray[np.bool_] | None = None


@dataclass
class Results:
    """A reconstruction.

    Parameters
    ----------
    amplitude, phase : [No, Nz, Y, X]; phase in rad.
    probe : [M, Ny, Nx] complex, natural order, centre at N//2; ``sum |probe|^2`` is the counts
        of an average pattern.
    positions, positions_start : [N, 2] px, the window's top-left corner.
    scan_shape : (slow, fast) of a raster, else None.
    pixel_size : (dy, dx) in Angstrom; None in pixel units.
    wavelength : Angstrom; None in pixel units.
    thickness : distance between slices in Angstrom; None for a single slice.
    tilt : (y, x) in mrad.
    config : the full configuration as plain data.
    r_factor : over all patterns at the end, None if it was not computed.
    """

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
    probe: NDArray[np.complex64]
    positions: NDArray[np.float64]
    positions_start: NDArray[np.float64]
    scan_shape: tuple[int, int] | None = None
    pixel_size: tuple[float, float] | None = None
    wavelength: float | None = None
    thickness: float | None = None
    tilt: tuple[float, float] = (0.0, 0.0)
    history: History = field(default_factory=History)
    snapshots: list[Snapshot] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    r_factor: float | None = None
