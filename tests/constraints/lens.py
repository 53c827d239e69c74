"""A model with lengths, whose probe fits into window and detector: patterns are worth comparing."""

from __future__ import annotations

import numpy as np
import torch

from fastpty.forward import simulate_patterns
from fastpty.model import Model

__all__ = ["lens_model", "patterns"]

WINDOW = (32, 30)


def lens_model(
    slices: int = 2,
    object_modes: int = 1,
    scan: tuple[int, int] = (6, 5),
    step: tuple[float, float] = (4.0, 4.5),
    tilt: tuple[float, float] | None = None,
) -> Model:
    """Two Gaussian probe modes on a raster, off the pixels, over a smooth random object."""
    generator = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(*(torch.arange(n) - n // 2 for n in WINDOW), indexing="ij")
    # At the window's border and at the highest frequency it is as small as single precision's
    # rounding error.
    spot = torch.exp(-(y**2 + x**2) / 10.0)
    probe = torch.stack([3.0 * spot, 0.3 * (y + 0.5j * x) * spot]).to(torch.complex64)
    grid = np.stack(np.meshgrid(*map(np.arange, scan), indexing="ij"), axis=-1).reshape(-1, 2)
    positions = 2.3 + grid * np.array(step)
    canvas = np.ceil(positions.max(axis=0)).astype(int) + np.array(WINDOW) + 3
    corner = np.rint(positions)
    fy, fx = torch.fft.fftfreq(int(canvas[0]))[:, None], torch.fft.rfftfreq(int(canvas[1]))
    smooth = torch.exp(-(fy**2 + fx**2) / 0.005)
    noise = torch.randn(2, object_modes, slices, *canvas.tolist(), generator=generator)
    noise = torch.fft.irfft2(torch.fft.rfft2(noise) * smooth, s=canvas.tolist())
    return Model(
        amplitude=1 + 0.3 * noise[0],
        phase=2 * noise[1],
        probe=probe,
        corner=torch.from_numpy(corner.astype(np.int64)),
        shift=torch.from_numpy((positions - corner).astype(np.float32)),
        positions_start=positions,
        power_start=1.0,
        thickness=torch.tensor(15.0),
        tilt=None if tilt is None else torch.tensor([tilt]),
        wavelength=0.02,
        pixel_size=(0.3, 0.35),
        scan_shape=scan,
    )


@torch.no_grad()
def patterns(model: Model) -> torch.Tensor:
    """[N, Ny, Nx] of all positions."""
    return simulate_patterns(model, torch.arange(len(model.corner)))
