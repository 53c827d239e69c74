"""A thick known object, seen with unknowns of other values than a run begins with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from fastpty import reference
from fastpty.config import ReconConfig, validate_config
from fastpty.optics import Aberrations, electron_wavelength, focused_probe
from fastpty.recon import Reconstruction
from fastpty.results import Results, write_results
from tests.recon_cases import merged, smooth_noise

__all__ = ["SCAN", "THICK", "Seen", "make_thick", "thick_run"]

WINDOW = (32, 32)  # px
PIXEL = 0.3  # Angstrom
SCAN = (6, 6)
STEP = 0.8  # Angstrom
SLICES = 4
GAP = 20.0  # Angstrom: at 3 mrad the last slice is 0.6 px aside
DEFOCUS = 80.0  # Angstrom
MARGIN = 4  # px

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)
FROZEN = {name: {"lr": 0} for name in ("amplitude", "phase", "probe", "positions")}

THICK: dict[str, Any] = {
    "data": {"path": "thick.h5", "dataset": "data"},
    "beam": {"energy_kv": 300, "semiangle_mrad": 20, "aberrations": {"defocus": DEFOCUS}},
    "calibration": {"pixel_size": PIXEL},
    "scan": {"step": STEP},
    "object": {"slices": SLICES, "thickness": GAP, "margin": MARGIN},
    "start": {"file": "truth.h5"},
    "constraints": OFF,
    "optimise": {
        "iterations": 25,
        "batch_size": 9,
        "schedule": {"decay": "linear", "hold": 5, "floor": 0.02},
        **FROZEN,
    },
    "output": {"figures": False, "snapshots": []},
    "device": "cpu",
}


@dataclass(frozen=True)
class Seen:
    """With what the patterns were made; the others have the values that a run begins with.

    ``columns``: all slices are alike, as in a crystal on its axis.
    """

    tilt: ArrayLike = ((0.0, 0.0),)
    thickness: ArrayLike = GAP
    occupancy: ArrayLike = (1.0,)
    aberrations: tuple[tuple[str, float], ...] = (("defocus", DEFOCUS),)
    columns: bool = False


def make_thick(folder: Path, seen: Seen) -> None:
    """Write ``thick.h5``, noiseless patterns in double precision, and ``truth.h5``, the object,
    probe and positions as an earlier run would have left them."""
    grid = np.stack(np.meshgrid(*map(np.arange, SCAN), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = MARGIN + grid * STEP / PIXEL
    canvas = np.ceil(positions.max(axis=0)).astype(int) + WINDOW + MARGIN
    modes = len(np.atleast_1d(seen.occupancy))
    phase = np.stack(
        [smooth_noise((canvas[0], canvas[1]), seed) for seed in range(modes * SLICES)]
    ).reshape(modes, SLICES, *canvas)
    if seen.columns:
        phase[:, 1:] = phase[:, :1]
    amplitude = np.ones_like(phase)
    corner = np.rint(positions)
    wavelength = electron_wavelength(300)

    def probe(aberrations: dict[str, float]) -> NDArray[np.complex128]:
        return 100 * focused_probe(
            WINDOW,
            PIXEL,
            semiangle_mrad=20,
            wavelength=wavelength,
            aberrations=Aberrations(aberrations),
        )

    intensity = reference.multislice_intensity(
        torch.from_numpy(probe(dict(seen.aberrations)))[None],
        (torch.from_numpy(amplitude), torch.from_numpy(phase)),
        torch.from_numpy(corner.astype(np.int64)),
        torch.from_numpy(positions - corner),
        torch.tensor(seen.thickness, dtype=torch.float64),
        torch.tensor(seen.tilt, dtype=torch.float64),
        torch.tensor(seen.occupancy, dtype=torch.float64),
        wavelength=wavelength,
        pixel_size=PIXEL,
    )
    patterns = np.fft.fftshift(intensity.numpy(), axes=(1, 2))
    with h5py.File(folder / "thick.h5", "w") as file:
        file["data"] = patterns.astype(np.float32).reshape(*SCAN, *WINDOW)
    write_results(
        Results(
            amplitude=amplitude.astype(np.float32),
            phase=phase.astype(np.float32),
            probe=probe({"defocus": DEFOCUS})[None].astype(np.complex64),
            positions=positions,
            positions_start=positions,
            scan_shape=SCAN,
            pixel_size=(PIXEL, PIXEL),
        ),
        folder / "truth.h5",
    )


def thick_run(folder: Path, **changes: Any) -> Reconstruction:
    """A reconstruction that begins with the true object, everything fixed but for the changes."""
    return Reconstruction.from_config(validate_config(ReconConfig, merged(THICK, changes)), folder)
