"""Config + files -> Measurements."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig, resolve_path
from fastpty.config.data import DataConfig, PositionFile
from fastpty.distributed import ALONE, Processes
from fastpty.errors import ConfigError, DataError
from fastpty.io import RawScan, open_scan
from fastpty.measurements.calibration import DiscFit, fit_disc, object_pixel_size
from fastpty.measurements.files import load_file
from fastpty.measurements.patterns import Patterns
from fastpty.measurements.positions import jittered, raster_positions, rotate_positions
from fastpty.measurements.preprocess import Recording, StepReport, preprocess
from fastpty.optics import electron_wavelength

__all__ = [
    "Measurements",
    "Recorded",
    "listed_positions",
    "load_file",
    "load_mask",
    "load_measurements",
    "load_recorded",
    "measurements_of",
    "recorded_fields",
]


@dataclass
class Measurements:
    """What the model is fitted to.

    Parameters
    ----------
    patterns : the counts.
    positions : [N, 2] probe positions (y, x) in object pixels, from an arbitrary origin.
    scan_shape : (slow, fast) of a raster, else None.
    pixel_size : (dy, dx) in Angstrom; None in pixel units.
    wavelength : Angstrom; None in pixel units.
    disc : bright-field disc of the mean pattern, in the centred frame.
    source : where the patterns came from, for messages.
    index : [N], which pattern of the file each one is; None: all, in the file's order.
    kept : [N], which of the recorded positions are theirs; None: all, in their order.
    recorded : patterns of the file; None: as many.
    steps : what the steps before the fit did.
    """

    patterns: Patterns
    positions: NDArray[np.float64]
    scan_shape: tuple[int, int] | None
    pixel_size: tuple[float, float] | None
    wavelength: float | None
    disc: DiscFit
    source: str
    index: NDArray[np.int64] | None = None
    kept: NDArray[np.int64] | None = None
    recorded: int | None = None
    steps: tuple[StepReport, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """What is read of the data, whatever beam, calibration and scan are said to be: what takes long
    to load, and what several reconstructions of the same data can share.

    Parameters
    ----------
    recording : which patterns of the file they are, and what the steps before the fit did; its own
        file is closed.
    disc : bright-field disc of the mean pattern, in the centred frame.
    """

    patterns: Patterns
    recording: Recording
    disc: DiscFit


def load_measurements(
    config: ReconConfig,
    folder: Path,
    scan: RawScan | None = None,
    room: int | None = None,
    scratch: Path | None = None,
    processes: Processes = ALONE,
) -> Measurements:
    """Read everything that a reconstruction needs from files.

    Parameters
    ----------
    folder : relative paths in the config start here.
    scan : the recorded patterns, where they are not those of ``data.path``.
    room : bytes of memory for patterns; what needs more goes to the disk. None: any.
    scratch : where on the disk, if ``data.scratch`` does not say so; None: where the system has
        its temporary files.
    processes : which share the patterns; none of them waits for another.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    recorded = load_recorded(config, folder, scan, room, scratch, processes)
    return measurements_of(recorded, config, folder)


def recorded_fields(config: ReconConfig) -> dict[str, Any]:
    """All that :func:`load_recorded` depends on, as plain data: configs in which it is the same
    can share what it returns."""
    data = config.data.model_dump(mode="json", exclude={"leave_out", "half"})
    steps = [step.model_dump(mode="json") for step in config.preprocess]
    # The steps may look at the scan.
    scan = config.scan.model_dump(mode="json") if steps else None
    return {"units": config.units, "data": data, "preprocess": steps, "scan": scan}


def load_recorded(
    config: ReconConfig,
    folder: Path,
    scan: RawScan | None = None,
    room: int | None = None,
    scratch: Path | None = None,
    processes: Processes = ALONE,
) -> Recorded:
    """Read the patterns; the arguments are those of :func:`load_measurements`.

    Raises
    ------
    ConfigError, DataError : as :func:`load_measurements`, also of the positions: before the
        patterns are read, which may take long.
    """
    with _open(config, folder) if scan is None else scan as recorded:
        scan = replace(recorded, mask=load_mask(config.data, recorded, folder))
        recording = preprocess(scan, config, folder)
        _load_positions(config, recording, folder)
        patterns = Patterns.load(
            recording.scan,
            zero_frequency="centre" if config.preprocess else config.data.zero_frequency,
            negative=config.data.negative,
            mask=recording.scan.mask,
            canvas=recording.canvas,
            room=room,
            scratch=_scratch(config.data, folder) or scratch,
            processes=processes,
        )
    return Recorded(patterns, recording, fit_disc(np.fft.fftshift(patterns.mean)))


def measurements_of(recorded: Recorded, config: ReconConfig, folder: Path) -> Measurements:
    """Bring the patterns together with their scale and their positions.

    Parameters
    ----------
    recorded : of this config, or of one with the same :func:`recorded_fields`.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    patterns, recording, disc = recorded.patterns, recorded.recording, recorded.disc
    positions = _load_positions(config, recording, folder)
    pixel_size = wavelength = None
    if config.beam is not None and config.calibration is not None:
        wavelength = electron_wavelength(config.beam.energy_kv)
        shape = (patterns.shape[1], patterns.shape[2])
        pixel_size = object_pixel_size(
            config.calibration, config.beam, shape, disc, recording.detector
        )
        in_pixels = config.scan.positions is not None and config.scan.positions.unit == "pixel"
        if not in_pixels:
            positions = positions / np.asarray(pixel_size)
    positions = jittered(positions, config.scan.jitter_px, config.seed)
    return Measurements(
        patterns,
        positions,
        recording.scan.scan_shape,
        pixel_size,
        wavelength,
        disc,
        recording.scan.source,
        recording.index,
        recording.kept,
        recording.recorded,
        recording.reports,
    )


def _scratch(section: DataConfig, folder: Path) -> Path | None:
    if section.scratch is None:
        return None
    return resolve_path("data.scratch", section.scratch, folder)


def _open(config: ReconConfig, folder: Path) -> RawScan:
    section = config.data
    return open_scan(resolve_path("data.path", section.path, folder), **section.reading)


def _load_positions(config: ReconConfig, recording: Recording, folder: Path) -> NDArray[np.float64]:
    section = config.scan
    if section.positions is not None:
        positions = listed_positions(section.positions, recording, folder)
    elif section.step is not None:
        positions = _raster(section.step, recording.scan)
    else:
        raise ConfigError("scan", "has neither step nor positions.", "Give one of them.")
    return rotate_positions(positions, section.rotation_deg, section.matrix)


def listed_positions(
    section: PositionFile, recording: Recording, folder: Path
) -> NDArray[np.float64]:
    """Those of the recorded scan that its patterns still need."""
    array = load_file("scan.positions", section, folder, ranks=(2,))
    count = recording.recorded
    if array.shape != (count, 2) or array.dtype.kind == "c":
        raise DataError(
            "scan.positions",
            f"has shape {list(array.shape)}, but {recording.scan.source} holds {count} patterns, "
            f"which need real positions [{count}, 2].",
            "Is it the list of another scan?",
        )
    return array.astype(np.float64)[recording.kept]


def _raster(step: float | tuple[float, float], scan: RawScan) -> NDArray[np.float64]:
    if scan.scan_shape is None:
        raise ConfigError(
            "data.scan_shape",
            f"is needed for a raster: {scan.source} is a stack of {scan.shape[0]} patterns.",
            "Set it to [slow, fast], or give scan.positions.",
        )
    return raster_positions(scan.scan_shape, step)


def load_mask(section: DataConfig, scan: RawScan, folder: Path) -> NDArray[np.bool_] | None:
    """Good where both the config's mask and the detector's own say so."""
    if section.mask is None:
        return scan.mask
    mask = load_file("data.mask", section.mask, folder, ranks=(2,))
    if mask.shape != scan.shape[1:]:
        raise DataError(
            "data.mask", f"has shape {list(mask.shape)}; patterns are {list(scan.shape[1:])}."
        )
    good = mask.astype(bool)
    if scan.mask is not None:
        good &= scan.mask
    if not good.any():
        raise DataError("data.mask", "marks every pixel as bad.", "True means good.")
    return good
