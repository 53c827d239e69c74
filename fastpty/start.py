"""Measurements + config -> the model before its first iteration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config import ReconConfig
from fastpty.config.model import DetectorConfig, ProbeConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import Measurements
from fastpty.measurements.load import load_file
from fastpty.model import Model
from fastpty.optics import (
    Aberrations,
    detector_blur,
    focused_probe,
    hermite_modes,
    source_points,
)

__all__ = ["start_model"]


def start_model(
    config: ReconConfig, measurements: Measurements, folder: Path, device: torch.device
) -> Model:
    """Empty object, aberrated or given probe, nominal positions.

    Raises
    ------
    ConfigError, DataError : the aperture is larger than the detector, or the start probe does
        not fit the patterns.
    """
    patterns = measurements.patterns
    window = np.array(patterns.shape[1:])
    top_left = measurements.positions - measurements.positions.min(axis=0) + config.object.margin
    canvas = np.ceil(top_left.max(axis=0)).astype(int) + window + config.object.margin
    corner = np.rint(top_left)
    shape = (1, config.object.slices, int(canvas[0]), int(canvas[1]))

    probe = _start_probe(config, measurements, folder)
    good = np.ones(patterns.shape[1:], bool) if patterns.mask is None else patterns.mask.numpy()
    power = float(patterns.mean[good].sum() * patterns.scale)
    probe = probe * np.sqrt(power / (np.abs(probe) ** 2).sum())

    tilt = config.object.tilt_mrad
    return Model(
        amplitude=torch.ones(shape, device=device),
        phase=torch.zeros(shape, device=device),
        probe=torch.from_numpy(probe.astype(np.complex64)).to(device),
        corner=torch.from_numpy(corner.astype(np.int64)).to(device),
        shift=torch.from_numpy((top_left - corner).astype(np.float32)).to(device),
        positions_start=top_left,
        power_start=power,
        thickness=config.object.thickness if config.object.slices > 1 else None,
        tilt=torch.tensor([tilt], device=device) if any(tilt) else None,
        wavelength=measurements.wavelength,
        pixel_size=measurements.pixel_size,
        propagator=config.object.propagator,
        source=_source(config.probe, measurements.pixel_size, device),
        detector_blur=_detector_blur(config.detector, probe.shape[1:], device),
        scan_shape=measurements.scan_shape,
    )


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


def _start_probe(
    config: ReconConfig, measurements: Measurements, folder: Path
) -> NDArray[np.complex128]:
    shape = (measurements.patterns.shape[1], measurements.patterns.shape[2])
    section = config.probe
    if section.start is not None:
        given = load_file("probe.start", section.start, folder, ranks=(2, 3))
        given = given.reshape(-1, *given.shape[-2:]).astype(np.complex128)
        if given.shape[1:] != shape:
            raise DataError(
                "probe.start",
                f"has shape {list(given.shape[1:])}; the patterns are {list(shape)}.",
                "The probe must be sampled on the window of the patterns.",
            )
        if len(given) > section.modes:
            raise ConfigError(
                "probe.modes",
                f"is {section.modes}, but probe.start holds {len(given)} modes.",
                f"Set probe.modes to at least {len(given)}.",
            )
        empty = [i for i, mode in enumerate(given) if not np.abs(mode).max() > 0]
        if empty:
            raise DataError(
                "probe.start",
                f"is zero everywhere in mode {empty[0]} of {len(given)}.",
                "Leave empty modes out: probe.modes grows what is missing.",
            )
        return _more_modes(given, section.modes, section.mode_power)
    if config.beam is None or measurements.pixel_size is None or measurements.wavelength is None:
        raise ConfigError("probe.start", "is needed: there is no beam section.")
    try:
        probe = focused_probe(
            shape,
            measurements.pixel_size,
            semiangle_mrad=config.beam.semiangle_mrad,
            wavelength=measurements.wavelength,
            aberrations=Aberrations(config.beam.aberrations),
        )
    except ValueError as error:
        raise ConfigError(
            "beam.semiangle_mrad", f"{error}.", "Check it against the calibration section."
        ) from error
    return _grown(probe, section.modes, section.mode_power)


def _grown(probe: NDArray[np.complex128], modes: int, power: float) -> NDArray[np.complex128]:
    try:
        return hermite_modes(probe, modes, power)
    except ValueError as error:
        raise ConfigError("probe.modes", f"{error}.", "Use fewer modes.") from error


def _more_modes(given: NDArray[np.complex128], modes: int, power: float) -> NDArray[np.complex128]:
    """The given modes as they are, and weak ones grown from the first up to ``modes``."""
    if len(given) == modes:
        return given
    total = (np.abs(given) ** 2).sum()
    columns, _ = np.linalg.qr(given.reshape(len(given), -1).T)
    basis = list(columns.T.reshape(given.shape))
    added: list[NDArray[np.complex128]] = []
    for mode in _grown(given[0], modes + 1, 0.5 / (modes + 1))[1:]:
        rest = mode
        for _ in range(2):
            for other in basis:
                rest = rest - np.vdot(other, rest) * other
        if np.linalg.norm(rest) > 1e-3 * np.linalg.norm(mode):  # not one that is there already
            basis.append(rest / np.linalg.norm(rest))
            added.append(basis[-1] * np.sqrt(power * total))
    return np.concatenate([given, np.stack(added[: modes - len(given)])])
