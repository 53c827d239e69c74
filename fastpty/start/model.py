"""Measurements + config -> the model before its first iteration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config import ReconConfig
from fastpty.config.model import DetectorConfig, ProbeConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import Measurements
from fastpty.measurements.load import load_file
from fastpty.model import Lens, Model
from fastpty.optics import Aberrations, aberration_basis, detector_blur, source_points
from fastpty.start.earlier import Earlier, load_earlier
from fastpty.start.probe import start_probe

__all__ = ["start_model"]


def start_model(
    config: ReconConfig, measurements: Measurements, folder: Path, device: torch.device
) -> Model:
    """Empty object, aberrated or given probe, nominal positions, or what an earlier run left.

    Raises
    ------
    ConfigError, DataError : the aperture is larger than the detector, or what a file holds does
        not fit the patterns or the config.
    """
    patterns = measurements.patterns
    earlier = load_earlier(config, measurements, folder)
    frame = _frame(config, measurements, earlier)
    corner = np.rint(frame.positions)

    probe = start_probe(
        config, measurements, folder, None if earlier is None else earlier.taken("probe")
    )
    good = np.ones(patterns.shape[1:], bool) if patterns.mask is None else patterns.mask.numpy()
    power = float(patterns.mean[good].sum() * patterns.scale)
    probe = probe * np.sqrt(power / (np.abs(probe) ** 2).sum())

    def tensor(array: NDArray[np.generic] | None) -> torch.Tensor | None:
        return None if array is None else torch.from_numpy(array.astype(np.float32)).to(device)

    aberrations, lens = _lens(config, measurements, earlier, device)
    return Model(
        amplitude=torch.from_numpy(frame.amplitude).to(device),
        phase=torch.from_numpy(frame.phase).to(device),
        probe=torch.from_numpy(probe.astype(np.complex64)).to(device),
        corner=torch.from_numpy(corner.astype(np.int64)).to(device),
        shift=torch.from_numpy((frame.positions - corner).astype(np.float32)).to(device),
        positions_start=frame.positions,
        power_start=power,
        thickness=tensor(_thickness(config, earlier)),
        tilt=tensor(_tilt(config, measurements, folder, earlier)),
        occupancy=tensor(_occupancy(config, earlier)),
        aberrations=aberrations,
        lens=lens,
        wavelength=measurements.wavelength,
        pixel_size=measurements.pixel_size,
        propagator=config.object.propagator,
        source=_source(config.probe, measurements.pixel_size, device),
        detector_blur=_detector_blur(config.detector, probe.shape[1:], device),
        scan_shape=measurements.scan_shape,
    )


@dataclass(frozen=True)
class _Frame:
    """The object [No, Nz, Y, X] float32, and the positions [N, 2] of the windows in it, px."""

    amplitude: NDArray[np.float32]
    phase: NDArray[np.float32]
    positions: NDArray[np.float64]


def _frame(config: ReconConfig, measurements: Measurements, earlier: Earlier | None) -> _Frame:
    shape = measurements.patterns.shape
    window = (shape[1], shape[2])
    section = config.object
    positions = measurements.positions
    if earlier is not None and earlier.take & {"object", "positions"}:
        positions = earlier.positions(positions, window)
    if earlier is not None and earlier.taken("object"):
        amplitude, phase = earlier.object(section.slices, section.modes, section.thickness)
        frame = _with_room(_Frame(amplitude, phase, positions), window, section.margin)
    else:
        positions = positions - positions.min(axis=0) + section.margin
        canvas = np.ceil(positions.max(axis=0)).astype(int) + window + section.margin
        empty = (1, section.slices, int(canvas[0]), int(canvas[1]))
        frame = _Frame(np.ones(empty, np.float32), np.zeros(empty, np.float32), positions)
    return _with_modes(frame, section.modes, section.mode_phase, config.seed)


def _with_room(frame: _Frame, window: tuple[int, int], margin: int) -> _Frame:
    """The object with vacuum added, and a margin, on the sides where a window would leave it."""
    corner = np.rint(frame.positions).astype(int)
    canvas = np.array(frame.phase.shape[-2:])
    first, last = corner.min(axis=0), corner.max(axis=0) + window
    before = np.where(first < 0, margin - first, 0)
    after = np.where(last > canvas, last - canvas + margin, 0)
    pad = [(0, 0), (0, 0), *zip(before.tolist(), after.tolist(), strict=True)]
    return _Frame(
        np.pad(frame.amplitude, pad, constant_values=1.0),
        np.pad(frame.phase, pad),
        frame.positions + before,
    )


def _with_modes(frame: _Frame, modes: int, std: float, seed: int) -> _Frame:
    """Object modes beyond those that are there: the first, with a random phase of its own each.

    Modes that start alike would have the same gradients, and stay alike.
    """
    missing = modes - len(frame.phase)
    if missing == 0:
        return frame
    random = np.random.default_rng([seed, len(frame.phase)])
    phase = np.repeat(frame.phase[:1], missing, axis=0)
    phase += std * random.standard_normal(phase.shape, dtype=np.float32)
    amplitude = np.repeat(frame.amplitude[:1], missing, axis=0)
    return _Frame(
        np.concatenate([frame.amplitude, amplitude]),
        np.concatenate([frame.phase, phase]),
        frame.positions,
    )


def _thickness(config: ReconConfig, earlier: Earlier | None) -> NDArray[np.generic] | None:
    """[] or [Nz - 1] Angstrom."""
    section = config.object
    if section.slices == 1:
        return None
    thickness: NDArray[np.generic] = np.array(section.thickness)
    if earlier is not None and earlier.taken("thickness"):
        thickness = earlier.thickness(section.slices)
        if thickness.ndim and section.thickness_per == "object":
            raise ConfigError(
                "start.take",
                "includes thickness, of which the file has one for each gap; thickness_per is "
                "object.",
                "Set object.thickness_per to gap, or leave thickness out.",
            )
    if section.thickness_per == "gap":
        thickness = np.broadcast_to(thickness, (section.slices - 1,))
    return thickness


def _tilt(
    config: ReconConfig, measurements: Measurements, folder: Path, earlier: Earlier | None
) -> NDArray[np.generic] | None:
    """[1, 2] or [N, 2] mrad; None if it is zero and stays so."""
    section = config.object
    count = len(measurements.positions)
    each = section.tilt_per == "position"
    for stage in config.stages:
        if stage.constraints.smooth_tilt is not None and measurements.scan_shape is None:
            raise ConfigError(
                f"{stage.field}constraints.smooth_tilt",
                f"needs a raster, but {measurements.source} has none.",
                "Set data.scan_shape, or switch the constraint off.",
            )
    tilt: NDArray[np.generic]
    if earlier is not None and earlier.taken("tilt"):
        tilt = earlier.tilt(count, each)
    elif section.tilts is not None:
        tilt = load_file("object.tilts", section.tilts, folder, ranks=(2,))
        recorded = measurements.recorded or count
        if tilt.shape != (recorded, 2) or tilt.dtype.kind == "c":
            raise DataError(
                "object.tilts",
                f"has shape {list(tilt.shape)}; real tilts [{recorded}, 2] are needed, one for "
                "each recorded position.",
                "Is it the list of another scan?",
            )
        if measurements.kept is not None:
            tilt = tilt[measurements.kept]
    else:
        tilt = np.repeat([section.tilt_mrad], count if each else 1, axis=0)
    return tilt if config.moves("tilt") or np.any(tilt) else None


def _occupancy(config: ReconConfig, earlier: Earlier | None) -> NDArray[np.generic] | None:
    """[No] of sum 1."""
    section = config.object
    if section.modes == 1:
        return None
    if earlier is not None and earlier.taken("occupancy"):
        return earlier.occupancy(section.modes)
    weights = np.array(section.occupancy or [1.0] * section.modes)
    return np.asarray(weights / weights.sum())


def _lens(
    config: ReconConfig,
    measurements: Measurements,
    earlier: Earlier | None,
    device: torch.device,
) -> tuple[torch.Tensor | None, Lens | None]:
    names, beam = config.probe.aberrations, config.beam
    if not names or beam is None or measurements.pixel_size is None:
        return None, None
    shape = measurements.patterns.shape
    basis = aberration_basis(
        names,
        (shape[1], shape[2]),
        measurements.pixel_size,
        semiangle_mrad=beam.semiangle_mrad,
        wavelength=measurements.wavelength or 1.0,
    )
    if earlier is not None and (results := earlier.taken("probe")):
        known = Aberrations(results.aberrations)
    else:
        known = Aberrations(beam.aberrations if config.probe.start is None else {})
    start = [known.coefficient(name) for name in basis.names]
    zero = torch.zeros(len(basis.names), device=device)
    chi = torch.from_numpy(basis.chi).float().to(device)
    return zero, Lens(basis.names, chi, basis.angstrom, np.array(start), zero.clone())


def _source(
    section: ProbeConfig, pixel_size: tuple[float, float] | None, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    if section.source_size == 0:
        return None
    points = source_points(section.source_size, section.source_points, pixel_size or 1.0)
    shift, weight = (tensor.float().to(device) for tensor in points)
    return shift, weight


def _detector_blur(
    section: DetectorConfig, window: tuple[int, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor] | None:
    if section.blur == 0:
        return None
    blur_y, blur_x = (detector_blur(n, section.blur).float().to(device) for n in window)
    return blur_y, blur_x
