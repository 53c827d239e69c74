"""The probe from a measurement without a specimen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig
from fastpty.config.model import VacuumConfig
from fastpty.errors import DataError
from fastpty.measurements import DiscFit, Measurements, fit_disc
from fastpty.measurements.vacuum import vacuum_pattern
from fastpty.optics import Aberrations, aperture_probe

__all__ = ["vacuum_probe"]

_FIELD = "probe.vacuum"
# Relative, between the disc's radius and that of the beam on this calibration.
_SAME_RADIUS = 0.1


def vacuum_probe(
    section: VacuumConfig, config: ReconConfig, measurements: Measurements, folder: Path
) -> NDArray[np.complex128]:
    """``F^-1{sqrt(I) exp(-i chi)}`` [Ny, Nx] of norm 1, with ``I`` the mean pattern without a
    specimen and ``chi`` of ``beam.aberrations``.

    Raises
    ------
    DataError : the patterns cannot be read, are not those of the window, show no disc, or one of
        another size than the beam's.
    """
    beam, pixel = config.beam, measurements.pixel_size
    if beam is None or pixel is None or measurements.wavelength is None:
        raise DataError(_FIELD, "needs the beam section.", "Use probe.start.")
    image, good = vacuum_pattern(section, config, folder)
    window = tuple(measurements.patterns.shape[1:])
    if image.shape != window:
        raise DataError(
            _FIELD,
            f"has {list(image.shape)} px; the patterns that are fitted are {list(window)}.",
            "Patterns of the same detector go through the steps of preprocess (of: recorded).",
        )
    image = _without_bad(image, good)
    if not image.max() > 0:
        raise DataError(_FIELD, "is zero everywhere.", "Is it the right dataset?")
    disc = fit_disc(image)
    cut = 1e-3 * beam.semiangle_mrad / measurements.wavelength  # 1/Angstrom
    expected = cut * float(np.sqrt(np.prod(window) * np.prod(pixel)))
    if not abs(disc.radius / expected - 1) <= _SAME_RADIUS:
        raise DataError(
            _FIELD,
            f"shows a disc of {disc.radius:.2f} px radius; beam.semiangle_mrad = "
            f"{beam.semiangle_mrad:g} on this calibration has {expected:.2f} px.",
            "Is it of the same camera length, binning and aperture? Else correct calibration or "
            "beam.semiangle_mrad.",
        )
    image = np.where(image < section.threshold * _level(image, disc), 0.0, image)
    if section.recentre:
        image = _moved(image, [n // 2 - c for n, c in zip(window, disc.centre, strict=True)])
    return aperture_probe(
        np.fft.ifftshift(np.sqrt(image)),
        pixel,
        wavelength=measurements.wavelength,
        aberrations=Aberrations(beam.aberrations),
    )


def _level(image: NDArray[np.float64], disc: DiscFit) -> float:
    """Median inside of the disc."""
    y, x = np.indices(image.shape)
    inside = np.hypot(y - disc.centre[0], x - disc.centre[1]) <= 0.9 * disc.radius
    return float(np.median(image[inside])) if inside.any() else float(image.max())


def _without_bad(image: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Bad pixels as the mean of the good ones among the eight around each; zero without any."""
    sums, count = np.zeros(image.shape), np.zeros(image.shape)
    padded, known = np.pad(np.where(good, image, 0.0), 1), np.pad(good.astype(np.float64), 1)
    ny, nx = image.shape
    for y in range(3):
        for x in range(3):
            sums += padded[y : y + ny, x : x + nx]
            count += known[y : y + ny, x : x + nx]
    return np.where(good, image, sums / np.maximum(count, 1))


def _moved(image: NDArray[np.float64], shift: list[float]) -> NDArray[np.float64]:
    """To higher indices, with counts between pixels shared in proportion; round the border."""
    for axis, distance in enumerate(shift):
        whole = int(np.floor(distance))
        rest = distance - whole
        image = (1 - rest) * np.roll(image, whole, axis) + rest * np.roll(image, whole + 1, axis)
    return image
