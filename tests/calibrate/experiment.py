"""A small experiment with a known orientation and lens, for the tests of the calibration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from fastpty import reference
from fastpty.calibrate.orientation import orientation
from fastpty.measurements import raster_positions, rotate_positions
from fastpty.optics import Aberrations, electron_wavelength, focused_probe

__all__ = ["Experiment", "experiment", "write_experiment"]

ENERGY = 300.0  # kV
WAVELENGTH = electron_wavelength(ENERGY)
SEMIANGLE, MAX_ANGLE = 20.0, 32.0  # mrad
WINDOW = 40  # px
STEP = 0.8  # Angstrom
PIXEL = WAVELENGTH / (2e-3 * MAX_ANGLE)
RADIUS = WINDOW / 2 * SEMIANGLE / MAX_ANGLE  # px


@dataclass(frozen=True)
class Experiment:
    """What the patterns [slow, fast, Ny, Nx] were made with; ``defocus`` in Angstrom.

    ``phase`` [slow, fast] is the specimen's at the probe's places, rad.
    """

    patterns: NDArray[np.float64]
    rotation_deg: float
    mirrored: bool
    defocus: float
    phase: NDArray[np.float64]


def experiment(
    seed: int,
    *,
    scan: tuple[int, int] = (28, 28),
    defocus: float | None = None,
    aberrations: dict[str, float] | None = None,
    height: float = 0.3,
    electrons: float | None = None,
) -> Experiment:
    """Blobs of positive phase under a defocused probe, all numbers drawn from the seed.

    The mirrored axis is given as ``scan.affine`` and the rotation as ``scan.rotation_deg`` would
    be, so that what a calibration finds can go into a config.
    """
    rng = np.random.default_rng(seed)
    rotation, mirrored = float(rng.uniform(-180, 180)), bool(rng.integers(2))
    drawn = float(rng.choice([-1, 1]) * rng.uniform(120, 280))
    defocus = drawn if defocus is None else defocus
    affine = orientation(0.0, mirrored)
    positions = rotate_positions(raster_positions(scan, STEP), rotation, affine) / PIXEL
    positions += 2 - positions.min(axis=0)
    canvas = np.ceil(positions.max(axis=0)).astype(int) + WINDOW + 3
    phase = torch.from_numpy(_blobs((canvas[0], canvas[1]), height, rng))[None, None]
    probe = focused_probe(
        (WINDOW, WINDOW),
        PIXEL,
        semiangle_mrad=SEMIANGLE,
        wavelength=WAVELENGTH,
        aberrations=Aberrations({"defocus": defocus, **(aberrations or {})}),
    )
    corner = np.rint(positions)
    intensity = reference.multislice_intensity(
        torch.from_numpy(probe)[None],
        (torch.ones_like(phase), phase),
        torch.from_numpy(corner.astype(np.int64)),
        torch.from_numpy(positions - corner),
        1.0,
        wavelength=WAVELENGTH,
        pixel_size=PIXEL,
    ).numpy()
    patterns = np.fft.fftshift(intensity, axes=(1, 2))
    if electrons is not None:
        patterns = rng.poisson(patterns * electrons).astype(np.float64)
    places = np.rint(positions).astype(int) + WINDOW // 2
    seen = phase[0, 0].numpy()[places[:, 0], places[:, 1]].reshape(scan)
    patterns = patterns.reshape(*scan, WINDOW, WINDOW)
    return Experiment(patterns, rotation, mirrored, defocus, seen)


def write_experiment(made: Experiment, path: Path) -> Path:
    """The patterns and nothing else, as float32 HDF5."""
    with h5py.File(path, "w") as file:
        file["data"] = made.patterns.astype(np.float32)
    return path


def _blobs(shape: tuple[int, int], height: float, rng: np.random.Generator) -> NDArray[np.float64]:
    y, x = np.indices(shape)
    phase = np.zeros(shape)
    for _ in range(int(0.02 * shape[0] * shape[1])):
        place, width = rng.uniform(0, 1, 2) * shape, rng.uniform(1.2, 3)
        distance = (y - place[0]) ** 2 + (x - place[1]) ** 2
        phase += rng.uniform(0.3, 1) * height * np.exp(-distance / (2 * width**2))
    return phase
