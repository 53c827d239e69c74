"""The problem that whole iterations are timed on, and the plain torch loop that they are held to.

SrTiO3-like sizes: 128 x 128 pixels, 10 slices, 4 probe modes, batches of 32. The patterns are
random counts: the time of an iteration does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
import torch.nn.functional as F

from fastpty.config import ReconConfig, validate_config
from fastpty.recon import Reconstruction

PIXEL = 0.15  # Angstrom
STEP = 0.4  # Angstrom
WINDOW = 128
BATCH = 32
ONE_BATCH = (4, 8)
WIDE_STEP = 2.4  # Angstrom


def write_patterns(path: Path, scan: tuple[int, int]) -> None:
    """Random counts under a disc, uint16."""
    rng = np.random.default_rng(0)
    offset = np.arange(WINDOW) - WINDOW // 2
    disc = np.hypot(offset[:, None], offset[None, :]) < 28
    with h5py.File(path, "w") as file:
        file["data"] = rng.poisson(5.0 * disc + 0.01, (*scan, WINDOW, WINDOW)).astype(np.uint16)


def config_for(path: Path, slices: int = 10, modes: int = 4, step: float = STEP) -> ReconConfig:
    """Everything free, Gaussian and sparse loss, the default constraints; ``step`` in Angstrom."""
    return validate_config(
        ReconConfig,
        {
            "data": {"path": str(path)},
            "beam": {
                "energy_kv": 300,
                "semiangle_mrad": 28.9,
                "aberrations": {"defocus": 100},
            },
            "calibration": {"pixel_size": PIXEL},
            "scan": {"step": step},
            "object": {"slices": slices, "thickness": 20.0},
            "probe": {"modes": modes},
            "loss": {"sparse": {"weight": 0.1}},
            "optimise": {"batch_size": BATCH, "iterations": 1},
            "output": {"snapshots": []},
            "device": "cpu",
        },
    )


def one_step(
    folder: Path, slices: int, modes: int, *, plain: bool = False
) -> Callable[[int], object]:
    """An iteration that is a single step: 32 positions in one batch, all unknowns free.

    They lie 2.4 Angstrom apart, so that the object is about as large as that of a 48 x 48 scan.
    """
    path = folder / f"one_step_{slices}_{modes}.h5"
    write_patterns(path, ONE_BATCH)
    run = Reconstruction.from_config(config_for(path, slices, modes, WIDE_STEP), folder)
    return PlainLoop(run).run_iteration if plain else run.engine.run_iteration


@dataclass
class PlainLoop:
    """What a user would write with torch alone: gathered windows, fft2, autograd, Adam.

    The same unknowns, losses and batches as :class:`fastpty.engines.GradientEngine`; nothing is
    checked, recorded or constrained. Start values are copied from a reconstruction.
    """

    run: Reconstruction

    def __post_init__(self) -> None:
        model = self.run.model
        names = ("amplitude", "phase", "probe", "positions")
        self.free = [model.unknowns[name].detach().clone().requires_grad_() for name in names]
        rates = [{"params": [t], "lr": 5e-4} for t in self.free]
        self.optimiser = torch.optim.Adam(rates)
        patterns = self.run.measurements.patterns
        self.measured = patterns.batch(torch.arange(len(patterns))).sqrt()
        k = torch.fft.fftfreq(WINDOW, PIXEL)
        k2 = k[:, None] ** 2 + k[None, :] ** 2
        wavelength, thickness = model.wavelength, model.thickness
        self.transfer = torch.exp(-1j * torch.pi * wavelength * thickness * k2)

    def run_iteration(self, iteration: int) -> None:
        order = torch.randperm(len(self.measured))
        for batch in order.split(BATCH):
            self.optimiser.zero_grad(set_to_none=True)
            self._loss(batch).backward()
            self.optimiser.step()

    def _loss(self, batch: torch.Tensor) -> torch.Tensor:
        amplitude, phase, probe, shift = self.free
        f = torch.fft.fftfreq(WINDOW)
        s = shift[batch]
        angle = (
            -2
            * torch.pi
            * (f[None, :, None] * s[:, 0, None, None] + f[None, None, :] * s[:, 1, None, None])
        )
        ramp = torch.polar(torch.ones_like(angle), angle)
        wave = torch.fft.ifft2(torch.fft.fft2(probe) * ramp[:, None])
        window = torch.arange(WINDOW)
        y = self.run.model.corner[batch, 0, None, None] + window[:, None]
        x = self.run.model.corner[batch, 1, None, None] + window[None, :]
        phase_windows = phase[0][:, y, x]
        windows = torch.polar(amplitude[0][:, y, x], phase_windows)
        for z, transmission in enumerate(windows):
            wave = wave * transmission[:, None]
            if z < len(windows) - 1:
                wave = torch.fft.ifft2(torch.fft.fft2(wave) * self.transfer)
        spectrum = torch.fft.fft2(wave, norm="ortho")
        intensity = (spectrum.real.square() + spectrum.imag.square()).sum(1)
        target = self.measured[batch]
        misfit = F.mse_loss((intensity + 1e-10).sqrt(), target).sqrt() / target.mean()
        return misfit + 0.1 * phase_windows.abs().mean()
