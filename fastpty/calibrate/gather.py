"""What a calibration needs of the patterns, read piece by piece: the file may exceed the memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.calibrate.config import CalibrateConfig
from fastpty.config import resolve_path
from fastpty.config.data import ScanConfig
from fastpty.errors import ConfigError, DataError
from fastpty.io import RawScan, open_scan
from fastpty.measurements import EllipseFit, fit_disc, fit_ellipse
from fastpty.measurements.detector import Detector
from fastpty.measurements.load import listed_positions, load_mask
from fastpty.measurements.patterns import check_counts
from fastpty.measurements.preprocess import Recording, preprocess
from fastpty.virtual import (
    Segments,
    VirtualImages,
    bright_field_segments,
    segment_sums,
    virtual_images,
)

__all__ = ["Gathered", "gather"]

# Patterns for the mean, in runs spread over the scan.
_SPARSE, _RUN = 2048, 16
# Positions along an axis for the images of segments: their number is what costs memory and time.
_BLOCK = 128
_PIECE_MB = 64.0
_ACROSS = 11
"""Segments along the disc's diameter."""
_SMALLEST = 3.0  # px radius: a smaller disc has no segments to compare
_FEWEST = 8  # scan positions along an axis


@dataclass(frozen=True)
class Gathered:
    """Sums over the patterns of a raster.

    Parameters
    ----------
    source : the file, for messages.
    mean : [Ny, Nx] mean pattern, counts, zero frequency near N//2.
    disc : the bright-field disc of it.
    detector : what the preprocessing made of its pixels.
    basis : [2, 2] Angstrom per step of (slow, fast), as columns, before any rotation.
    virtual : centre of mass and ring detectors of the whole scan.
    segments : of the disc.
    images : [K, slow, fast] counts in the segments, of a block in the middle of the scan.
    block : slices of the scan that ``images`` shows.
    """

    source: str
    mean: NDArray[np.float64]
    disc: EllipseFit
    detector: Detector
    basis: NDArray[np.float64]
    virtual: VirtualImages
    segments: Segments
    images: NDArray[np.float64]
    block: tuple[slice, slice]


def gather(config: CalibrateConfig, folder: Path) -> Gathered:
    """Read the file twice: a part of it for the disc, then all of it.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    path = resolve_path("data.path", config.data.path, folder)
    with open_scan(path, **config.data.reading) as recorded:
        masked = replace(recorded, mask=load_mask(config.data, recorded, folder))
        recording = preprocess(masked, config, folder)
        scan = recording.scan
        raster = _raster(scan)
        basis = _basis(config.scan, recording, raster, folder)
        reader = _Reader(scan, config)
        mean, mask = reader.mean(), reader.mask
        disc = _disc(scan, mean, mask)
        shape = (scan.shape[1], scan.shape[2])
        rings = {
            "BF": (0.0, disc.radius),
            "ADF": (1.1 * disc.radius + disc.edge_width, math.hypot(*shape)),
        }
        virtual = virtual_images(
            reader.pieces(0, scan.shape[0]), raster, shape, disc.centre, rings, mask
        )
        segments = bright_field_segments(shape, disc.centre, disc.radius, _ACROSS, mask=mask)
        rows, columns = (_middle(n) for n in raster)
        first, last = rows.start * raster[1], rows.stop * raster[1]
        sums = segment_sums(reader.pieces(first, last, first), segments, last - first)
    images = sums.reshape(len(segments), -1, raster[1])[:, :, columns].astype(np.float64)
    block = rows, columns
    return Gathered(
        recorded.source, mean, disc, recording.detector, basis, virtual, segments, images, block
    )


def _middle(count: int) -> slice:
    first = max(0, (count - _BLOCK) // 2)
    return slice(first, first + min(count, _BLOCK))


def _raster(scan: RawScan) -> tuple[int, int]:
    if scan.scan_shape is None:
        raise ConfigError(
            "data.scan_shape",
            f"is needed: {scan.source} is a stack of {scan.shape[0]} patterns.",
            "Set it to [slow, fast].",
        )
    if min(scan.scan_shape) < _FEWEST:
        raise DataError(
            "data",
            f"{scan.source} is a scan of {scan.scan_shape[0]} x {scan.scan_shape[1]} positions; "
            f"a calibration needs at least {_FEWEST} along both axes.",
        )
    return scan.scan_shape


def _basis(
    section: ScanConfig, recording: Recording, raster: tuple[int, int], folder: Path
) -> NDArray[np.float64]:
    """Steps as columns; the rotation that the config has is left out, since it is measured."""
    if section.step is not None:
        slow, fast = np.broadcast_to(np.asarray(section.step, np.float64), (2,)).tolist()
        steps = np.array([[slow, 0.0], [0.0, fast]])
    elif section.positions is not None and section.positions.unit == "angstrom":
        listed = listed_positions(section.positions, recording, folder)
        index = np.stack(np.meshgrid(*map(np.arange, raster), indexing="ij"), -1).reshape(-1, 2)
        design = np.column_stack([index, np.ones(len(index))])
        steps = np.linalg.lstsq(design, listed, rcond=None)[0][:2].T
    else:
        raise ConfigError("scan.positions.unit", "must be angstrom for a calibration.")
    return np.asarray(section.matrix @ steps)


def _disc(scan: RawScan, mean: NDArray[np.float64], mask: NDArray[np.bool_] | None) -> EllipseFit:
    start = fit_disc(mean)
    if _SMALLEST <= start.radius < 0.75 * min(mean.shape):
        disc = fit_ellipse(mean, start, mask)
        if _SMALLEST <= disc.radius < 0.75 * min(mean.shape):
            return disc
    raise DataError(
        "data",
        f"{scan.source}: the mean pattern shows a disc of {start.radius:.1f} px radius on a "
        f"detector of {list(mean.shape)} px.",
        f"A calibration needs a bright-field disc of at least {_SMALLEST:g} px that lies on the "
        "detector; is data.zero_frequency right?",
    )


class _Reader:
    """Patterns as float32, zero frequency near N//2, bad pixels zero."""

    def __init__(self, scan: RawScan, config: CalibrateConfig) -> None:
        # Preprocessing leaves the zero frequency at N//2.
        corner = config.data.zero_frequency == "corner" and not config.preprocess
        self._scan = scan
        self._offset = [n // 2 if corner else 0 for n in scan.shape[1:]]
        self._clip = config.data.negative == "clip"
        self.mask = None if scan.mask is None else np.roll(scan.mask, self._offset, axis=(0, 1))

    def pieces(
        self, start: int, stop: int, origin: int = 0
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """(number from ``origin``, patterns) of a part of the scan, at most ``_PIECE_MB`` each."""
        ny, nx = self._scan.shape[1:]
        size = max(1, int(_PIECE_MB * 2**20 / (4 * ny * nx)))
        for first in range(start, stop, size):
            yield first - origin, self._read(first, min(first + size, stop))

    def _read(self, start: int, stop: int) -> NDArray[np.float32]:
        values: NDArray[Any] = self._scan.read(start, stop)
        if self._scan.mask is not None:
            values = np.where(self._scan.mask, values, np.zeros((), values.dtype))
        if self._clip and values.dtype.kind in "if":
            values = np.maximum(values, 0)
        check_counts(self._scan, start, values)
        return np.roll(values.astype(np.float32), self._offset, axis=(1, 2))

    def mean(self) -> NDArray[np.float64]:
        """Of all patterns, or of runs of them that are spread over the scan."""
        count = self._scan.shape[0]
        if count <= _SPARSE:
            starts, run = [0], count
        else:
            starts = np.linspace(0, count - _RUN, _SPARSE // _RUN).astype(int).tolist()
            run = _RUN
        total = np.zeros(self._scan.shape[1:])
        for start in starts:
            for _, patterns in self.pieces(start, start + run):
                total += patterns.sum(axis=0, dtype=np.float64)
        return total / (len(starts) * run)
