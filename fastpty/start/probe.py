"""The probe before the first iteration: of the lens, from a file, from vacuum, or an earlier
run's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements import Measurements
from fastpty.measurements.load import load_file
from fastpty.optics import Aberrations, focused_probe, hermite_modes
from fastpty.results import Results
from fastpty.start.vacuum import vacuum_probe

__all__ = ["start_probe"]


def start_probe(
    config: ReconConfig, measurements: Measurements, folder: Path, earlier: Results | None
) -> NDArray[np.complex128]:
    """Modes [M, Ny, Nx] of any power.

    Parameters
    ----------
    earlier : whose probe is taken; None for that of the config.

    Raises
    ------
    ConfigError, DataError : the aperture is larger than the detector, or a given probe does not
        fit the patterns or ``probe.modes``.
    """
    section = config.probe
    if earlier is not None:
        return _given("start.file", earlier.probe, config, measurements)
    if section.start is not None:
        modes = load_file("probe.start", section.start, folder, ranks=(2, 3))
        return _given("probe.start", modes, config, measurements)
    if section.vacuum is not None:
        probe = vacuum_probe(section.vacuum, config, measurements, folder)
        return _grown(probe, section.modes, section.mode_power)
    shape = measurements.patterns.shape
    if config.beam is None or measurements.pixel_size is None or measurements.wavelength is None:
        raise ConfigError("probe.start", "is needed: there is no beam section.")
    try:
        probe = focused_probe(
            (shape[1], shape[2]),
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


def _given(
    field: str, modes: NDArray[Any], config: ReconConfig, measurements: Measurements
) -> NDArray[np.complex128]:
    """Modes from a file as they are, checked, and the missing ones beside them."""
    shape = measurements.patterns.shape[1:]
    section = config.probe
    given = modes.reshape(-1, *modes.shape[-2:]).astype(np.complex128)
    if given.shape[1:] != shape:
        raise DataError(
            field,
            f"has a probe of {list(given.shape[1:])} px; the patterns are {list(shape)}.",
            "The probe must be sampled on the window of the patterns.",
        )
    if len(given) > section.modes:
        raise ConfigError(
            "probe.modes",
            f"is {section.modes}, but {field} holds {len(given)} modes.",
            f"Set probe.modes to at least {len(given)}.",
        )
    empty = [i for i, mode in enumerate(given) if not np.abs(mode).max() > 0]
    if empty:
        raise DataError(
            field,
            f"is zero everywhere in mode {empty[0]} of {len(given)}.",
            "Leave empty modes out: probe.modes grows what is missing.",
        )
    return _more_modes(given, section.modes, section.mode_power)


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
