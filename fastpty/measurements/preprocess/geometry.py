"""Steps that move, leave out or sum pixels and positions: no value is interpolated."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.preprocess import (
    BinConfig,
    CropConfig,
    FlipConfig,
    PermuteConfig,
    ReshapeConfig,
)
from fastpty.errors import ConfigError
from fastpty.measurements.detector import Detector
from fastpty.measurements.preprocess.recording import Context, Recording, mapped

__all__ = ["bin_detector", "crop", "flip", "permute", "reshape"]


def permute(recording: Recording, section: PermuteConfig, context: Context) -> Recording:
    """The axes in another order."""
    axes = section.axes
    swap_scan = axes[0] == "fast"
    if len(axes) == 4:
        _raster(recording, context, "axes")
    if axes[-1] == "y":
        recording = _flip_pattern(recording, False, False, True)
    if swap_scan:
        recording = _flip_scan(recording, context, False, False, True)
    return recording.report("permute", f"axes are {', '.join(axes)}: {_layout(recording)}")


def reshape(recording: Recording, section: ReshapeConfig, context: Context) -> Recording:
    """Another raster of the same patterns."""
    wanted = section.scan_shape
    count = recording.scan.shape[0]
    if wanted is not None and wanted[0] * wanted[1] != count:
        raise ConfigError(
            f"{context.field}.scan_shape",
            f"is {list(wanted)}, {wanted[0] * wanted[1]} positions, but there are {count} "
            "patterns.",
        )
    recording = replace(recording, scan=replace(recording.scan, scan_shape=wanted))
    return recording.report("reshape", _layout(recording))


def flip(recording: Recording, section: FlipConfig, context: Context) -> Recording:
    """Axes reversed, then exchanged."""
    wanted = (section.flip_y, section.flip_x, section.transpose)
    if section.of == "pattern":
        recording = _flip_pattern(recording, *wanted)
    else:
        recording = _flip_scan(recording, context, *wanted)
    names = ("flipped in y", "flipped in x", "transposed")
    done = ", ".join(name for name, switched in zip(names, wanted, strict=True) if switched)
    return recording.report("flip", f"{section.of} {done}: {_layout(recording)}")


def crop(recording: Recording, section: CropConfig, context: Context) -> Recording:
    """A part of the scan's rows and columns, and of the detector's."""
    if section.rows is not None or section.columns is not None:
        recording = _crop_scan(recording, section, context)
    if section.y is not None or section.x is not None or section.size is not None:
        recording = _crop_detector(recording, section, context)
    return recording.report("crop", _layout(recording))


def bin_detector(recording: Recording, section: BinConfig, context: Context) -> Recording:
    """Sums of blocks of ky x kx pixels; a block with a bad pixel is bad."""
    ky, kx = _pair(section.factor)
    ny, nx = recording.shape
    for name, n, k in (("y", ny, ky), ("x", nx, kx)):
        if n % k:
            fitting = [ny // ky * ky, nx // kx * kx]
            raise ConfigError(
                f"{context.field}.factor",
                f"is {k} along {name}, but {n} pixels are no whole number of such blocks.",
                f"Crop before: {{step: crop, size: {fitting}}}.",
            )
    scan, detector = recording.scan, recording.detector
    dtype = _sum_type(scan.dtype, ky * kx)

    def sums(patterns: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
        first = patterns[..., ::ky, ::kx].astype(kind)
        for y, x in list(np.ndindex(ky, kx))[1:]:
            first += patterns[..., y::ky, x::kx]
        return first

    mask = scan.mask
    if mask is not None:
        mask = sums((~mask).astype(np.int64), np.dtype(np.int64)) == 0
    binned = mapped(
        scan,
        lambda _, piece: sums(piece, dtype),
        shape=(ny // ky, nx // kx),
        dtype=dtype,
        mask=mask,
    )
    known = recording.known("mean", lambda mean: sums(mean, np.dtype(np.float64)))
    detector = replace(
        detector,
        width=(detector.width[0] * ky, detector.width[1] * kx),
        centre=((detector.centre[0] + 0.5) / ky - 0.5, (detector.centre[1] + 0.5) / kx - 0.5),
    )
    recording = replace(recording, scan=binned, detector=detector, statistics=known)
    return recording.report("bin", f"{ky} x {kx} pixels summed: {_layout(recording)}")


def _sum_type(dtype: np.dtype[Any], terms: int) -> np.dtype[Any]:
    """Holds every sum of so many values: the smallest for 8 and 16 bits, 64 bits for wider ones."""
    if dtype.kind == "f":
        return np.dtype(np.float32)
    if dtype.itemsize > 2:
        return np.dtype(f"{dtype.kind}8")
    largest = int(np.iinfo(dtype).max) * terms
    return next(
        kind
        for kind in (np.dtype(f"{dtype.kind}{size}") for size in (1, 2, 4, 8))
        if largest <= np.iinfo(kind).max
    )


def _flip_pattern(recording: Recording, flip_y: bool, flip_x: bool, transpose: bool) -> Recording:
    def turned(patterns: NDArray[Any]) -> NDArray[Any]:
        patterns = patterns[..., :: -1 if flip_y else 1, :: -1 if flip_x else 1]
        return np.ascontiguousarray(np.swapaxes(patterns, -1, -2) if transpose else patterns)

    ny, nx = recording.shape
    detector = recording.detector
    y, x = detector.centre
    centre = (ny - 1 - y if flip_y else y, nx - 1 - x if flip_x else x)
    detector = replace(detector, centre=centre)
    if transpose:
        detector = Detector(
            detector.recorded, detector.axes[::-1], detector.width[::-1], centre[::-1]
        )
    return recording.rearranged(turned, detector)


def _flip_scan(
    recording: Recording, context: Context, flip_y: bool, flip_x: bool, transpose: bool
) -> Recording:
    """The patterns go to other positions; the positions stay in their order."""
    grid = np.arange(len(recording.index)).reshape(_raster(recording, context, "of"))
    grid = grid[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
    if transpose:
        grid = grid.T
    return recording.subset(grid.ravel(), recording.kept, (grid.shape[0], grid.shape[1]))


def _crop_scan(recording: Recording, section: CropConfig, context: Context) -> Recording:
    shape = _raster(recording, context, "rows" if section.rows is not None else "columns")
    rows = _slice(section.rows, shape[0], f"{context.field}.rows", "rows of the scan")
    columns = _slice(section.columns, shape[1], f"{context.field}.columns", "columns of the scan")
    grid = np.arange(len(recording.index)).reshape(shape)[rows, columns]
    places = grid.ravel()
    return recording.subset(places, recording.kept[places], (grid.shape[0], grid.shape[1]))


def _crop_detector(recording: Recording, section: CropConfig, context: Context) -> Recording:
    ny, nx = recording.shape
    if section.size is not None:
        size = _pair(section.size)
        for n, wanted in zip((ny, nx), size, strict=True):
            if wanted > n:
                raise ConfigError(
                    f"{context.field}.size",
                    f"is {list(size)}, more than the {ny} x {nx} pixels of the detector.",
                    "To make it larger, use the step pad.",
                )
        y, x = (
            slice(n // 2 - wanted // 2, n // 2 - wanted // 2 + wanted)
            for n, wanted in zip((ny, nx), size, strict=True)
        )
    else:
        y = _slice(section.y, ny, f"{context.field}.y", "rows of the detector")
        x = _slice(section.x, nx, f"{context.field}.x", "columns of the detector")
    after = (y.stop - y.start, x.stop - x.start)
    if min(after) < 2:
        raise ConfigError(context.field, f"leaves {list(after)} pixels.", "Keep at least 2 x 2.")
    detector = recording.detector.moved(-y.start, -x.start)
    return recording.rearranged(lambda patterns: patterns[..., y, x], detector)


def _slice(wanted: tuple[int, int] | None, length: int, field: str, what: str) -> slice:
    if wanted is None:
        return slice(0, length)
    if wanted[1] > length:
        raise ConfigError(field, f"is {list(wanted)}, but there are {length} {what}.")
    return slice(*wanted)


def _raster(recording: Recording, context: Context, name: str) -> tuple[int, int]:
    shape = recording.scan.scan_shape
    if shape is None:
        raise ConfigError(
            f"{context.field}.{name}",
            "needs a raster, but the patterns are a list of "
            f"{recording.scan.shape[0]} without rows and columns.",
            "Give data.scan_shape, or let the step reshape come first.",
        )
    return shape


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def _layout(recording: Recording) -> str:
    count, ny, nx = recording.scan.shape
    scan = recording.scan.scan_shape
    layout = f"{count} patterns" if scan is None else f"{scan[0]} x {scan[1]} scan"
    text = f"{layout} of {ny} x {nx} px"
    off = [
        centre - n // 2
        for centre, n in zip(recording.detector.centre, recording.shape, strict=True)
    ]
    if any(off):
        text += f", zero frequency moved to [{', '.join(f'{d:+.4g}' for d in off)}] px from N//2"
    return text
