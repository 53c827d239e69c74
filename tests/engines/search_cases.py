"""A small scan whose positions are known: a defocused probe on a random object."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from fastpty import reference
from fastpty.config import ReconConfig, validate_config
from fastpty.recon import Reconstruction

__all__ = ["Scan", "make_scan", "search_run"]

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)


class Scan:
    """The folder of ``scan.h5``, and the true positions [N, 2] px."""

    def __init__(self, folder: Path, positions: NDArray[np.float64]) -> None:
        self.folder = folder
        self.positions = positions


def make_scan(folder: Path, side: int, step: float, error: float, window: int = 32) -> Scan:
    """Noiseless patterns of ``side``^2 positions, and positions wrong by ``error`` px RMS."""
    rng = np.random.default_rng(5)
    grid = np.stack(np.meshgrid(*2 * [np.arange(side)], indexing="ij"), -1).reshape(-1, 2)
    # Off the raster, so that no period of it is written into the object.
    true = 6 + grid * step + rng.uniform(-1, 1, (side**2, 2))
    canvas = 2 * [int(true.max()) + window + 8]
    frequency = np.hypot(*np.meshgrid(*2 * [np.fft.fftfreq(canvas[0])], indexing="ij"))
    smooth = np.fft.fft2(rng.normal(size=canvas)) * np.exp(-((frequency / 0.12) ** 2))
    phase = np.fft.ifft2(smooth).real
    obj = torch.from_numpy(0.8 * phase / phase.std())[None, None]
    k = np.fft.fftfreq(window)
    k2 = k[:, None] ** 2 + k**2
    # A soft-edged aperture out of focus: some 20 px wide in the window.
    wave = np.fft.fftshift(np.fft.ifft2(np.exp(-((k2 / 0.22**2) ** 4) - 150j * k2)))
    probe = torch.from_numpy(wave / np.linalg.norm(wave) * 1e3)[None]
    corner = np.rint(true)
    intensity = reference.multislice_intensity(
        probe,
        (torch.ones_like(obj), obj),
        torch.from_numpy(corner.astype(np.int64)),
        torch.from_numpy(true - corner),
        0.0,
        wavelength=1.0,
        pixel_size=1.0,
    )
    with h5py.File(folder / "scan.h5", "w") as file:
        file["data"] = np.fft.fftshift(intensity.numpy(), axes=(1, 2)).astype(np.float32)
        file["positions"] = true + rng.normal(size=true.shape) * error / np.sqrt(2)
        file["probe"] = probe.numpy()
    return Scan(folder, true)


def search_run(scan: Scan, iterations: int, radius: float | None, **changes: Any) -> Reconstruction:
    """A search before its first iteration."""
    config = {
        "units": "pixel",
        "data": {"path": "scan.h5", "dataset": "data"},
        "scan": {"positions": {"path": "scan.h5", "dataset": "positions", "unit": "pixel"}},
        "object": {"margin": 8},
        "probe": {"modes": 1, "start": {"path": "scan.h5", "dataset": "probe"}},
        "constraints": OFF,
        "optimise": {
            "engine": "search",
            "iterations": iterations,
            "batch_size": 8,
            "search": {"radius": radius},
        },
        "output": {"figures": False, "snapshots": []},
        "device": "cpu",
        **changes,
    }
    return Reconstruction.from_config(validate_config(ReconConfig, config), scan.folder)
