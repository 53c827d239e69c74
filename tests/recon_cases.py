"""A tiny experiment that the tests of the reconstruction share: known object, probe, positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from fastpty import reference
from fastpty.config import ReconConfig, validate_config
from fastpty.distributed import ALONE, Processes
from fastpty.model import Model
from fastpty.optics import Aberrations, electron_wavelength, focused_probe, hermite_modes
from fastpty.recon import Reconstruction

__all__ = [
    "TINY",
    "Tiny",
    "bare_model",
    "make_tiny",
    "merged",
    "smooth_noise",
    "tiny_run",
    "write_config",
]

WINDOW = (24, 20)  # px
SCAN = (5, 6)
PIXEL = 0.4  # Angstrom; steps of 2.5 and 2.75 px put the probes between the pixels
STEP = (1.0, 1.1)  # Angstrom
THICKNESS = 20.0  # Angstrom, two slices
DOSE = 1e4  # counts in a pattern
# Where the truth's frame lies in its own image; the reconstruction's begins at object.margin.
ORIGIN = np.array([14.0, 15.25])

TINY: dict[str, Any] = {
    "data": {"path": "tiny.h5", "dataset": "data"},
    "beam": {"energy_kv": 300, "semiangle_mrad": 14, "aberrations": {"defocus": 80}},
    "calibration": {"pixel_size": PIXEL},
    "scan": {"step": list(STEP)},
    "object": {"slices": 2, "thickness": THICKNESS, "margin": 3},
    "probe": {"modes": 2, "mode_power": 0.1},
    "constraints": {"blur_xy": False, "blur_z": False},
    "optimise": {
        "iterations": 3,
        "batch_size": 8,
        "amplitude": {"lr": 2e-3},
        "phase": {"lr": 2e-2},
        "probe": {"lr": 1e-3},
        "positions": {"lr": 1e-2},
    },
    "output": {"figures": False, "checkpoint_every": 2, "snapshots": [0, 2, "final"]},
    "device": "cpu",
}


@dataclass(frozen=True)
class Tiny:
    """The folder of ``tiny.h5``, and what its patterns were made from, in double precision."""

    folder: Path
    amplitude: torch.Tensor
    phase: torch.Tensor
    probe: torch.Tensor
    positions: NDArray[np.float64]
    patterns: NDArray[np.float64]


def make_tiny(folder: Path, window: tuple[int, int] = WINDOW) -> Tiny:
    """Write ``tiny.h5``: noiseless patterns of a smooth random object, in counts."""
    grid = np.stack(np.meshgrid(*map(np.arange, SCAN), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = ORIGIN + grid * np.array(STEP) / PIXEL
    canvas = np.ceil(positions.max(axis=0) + window + ORIGIN).astype(int)
    phase = np.stack([smooth_noise((canvas[0], canvas[1]), seed) for seed in (1, 2)])
    wavelength = electron_wavelength(300)
    probe = focused_probe(
        window,
        PIXEL,
        semiangle_mrad=14,
        wavelength=wavelength,
        aberrations=Aberrations({"defocus": 80}),
    )
    modes = torch.from_numpy(hermite_modes(probe, 2, 0.1) * np.sqrt(DOSE))
    corner = np.rint(positions)
    amplitude = torch.ones(1, *phase.shape, dtype=torch.float64)
    intensity = reference.multislice_intensity(
        modes,
        (amplitude, torch.from_numpy(phase)[None]),
        torch.from_numpy(corner.astype(np.int64)),
        torch.from_numpy(positions - corner),
        THICKNESS,
        wavelength=wavelength,
        pixel_size=PIXEL,
    )
    patterns = np.fft.fftshift(intensity.numpy(), axes=(1, 2))
    with h5py.File(folder / "tiny.h5", "w") as file:
        file.attrs["pixel_size_A"] = PIXEL
        file["data"] = patterns.astype(np.float32).reshape(*SCAN, *window)
        file["probe"] = modes.numpy()
        file["positions_A"] = grid * np.array(STEP)
        file["truth/phase"] = phase.sum(axis=0)
        file["truth/positions_px"] = positions
    return Tiny(folder, amplitude, torch.from_numpy(phase)[None], modes, positions, patterns)


def smooth_noise(shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    """Phase of 0.15 rad rms whose spectrum a fit to the patterns' inner half can find."""
    noise = np.random.default_rng(seed).normal(size=shape)
    radius = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.fftfreq(shape[1])[None])
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-((radius / 0.12) ** 2))).real
    return np.asarray(0.15 * smooth / smooth.std())


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A nested copy with some fields replaced; None removes one."""
    result = {k: merged(v, {}) if isinstance(v, Mapping) else v for k, v in base.items()}
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def tiny_run(tiny: Tiny, processes: Processes = ALONE, **changes: Any) -> Reconstruction:
    """A reconstruction of the tiny experiment before its first iteration."""
    config = validate_config(ReconConfig, merged(TINY, changes))
    return Reconstruction.from_config(config, tiny.folder, processes=processes)


def write_config(tiny: Tiny, name: str = "tiny.yaml", **changes: Any) -> Path:
    """A config file beside the data."""
    path = tiny.folder / name
    path.write_text(yaml.safe_dump(merged(TINY, changes)), encoding="utf-8")
    return path


def bare_model(
    corner: list[list[int]], shift: list[list[float]], canvas: tuple[int, int] = (40, 36)
) -> Model:
    """A model with a compact probe in the middle of its window, and a random single slice."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.arange(n) - n // 2 for n in WINDOW), indexing="ij")
    # 2 px wide: at the window's edge it is as small as a rounding error.
    probe = torch.exp(-(y**2 + x**2) / 4.0).to(torch.complex64)[None]
    model = Model(
        amplitude=torch.ones(1, 1, *canvas),
        phase=torch.randn(1, 1, *canvas, generator=generator),
        probe=probe,
        corner=torch.tensor(corner),
        shift=torch.tensor(shift),
        positions_start=np.zeros((len(corner), 2)),
        power_start=1.0,
    )
    model.positions_start = model.positions
    return model
