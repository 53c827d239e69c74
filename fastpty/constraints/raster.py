"""The scan raster's frequencies on the object, and the notches that damp them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.model import Model

__all__ = ["notch", "raster_frequencies", "scan_extent"]

# Fewer lines have no frequency that could be told from the object's slow structure.
_LEAST_LINES = 4


def scan_extent(model: Model) -> NDArray[np.float64]:
    """[2] px (y, x): the length of the scan along the object's axes, at least one pixel."""
    extent: NDArray[np.float64] = np.maximum(np.ptp(model.positions_start, axis=0), 1.0)
    return extent


def raster_frequencies(model: Model, orders: int) -> NDArray[np.float64]:
    """[K, 2] cycles per pixel (y, x): the lattice reciprocal to the raster's two steps.

    All combinations of the two up to ``orders`` of each, one of each pair +-G, below the highest
    frequency of the grid along both axes. Empty without a raster; a direction with fewer than four
    positions counts as none.
    """
    steps = _steps(model)
    if not len(steps):
        return np.zeros((0, 2))
    reciprocal = np.linalg.pinv(steps)  # [2, K]: its columns have g_i . a_j = delta_ij
    multiples = np.arange(-orders, orders + 1)
    grid = np.stack(np.meshgrid(*[multiples] * len(steps), indexing="ij"), axis=-1)
    combinations = grid.reshape(-1, len(steps))
    # Behind the middle of the list, which is zero, stand the negatives of what is before it.
    frequencies: NDArray[np.float64] = combinations[len(combinations) // 2 + 1 :] @ reciprocal.T
    return frequencies[(np.abs(frequencies) < 0.5).all(axis=1)]


def _steps(model: Model) -> NDArray[np.float64]:
    """[K, 2] px, K up to 2: the mean steps along the slow and the fast direction."""
    shape = model.scan_shape
    if shape is None or shape[0] * shape[1] != len(model.positions_start):
        return np.zeros((0, 2))
    grid = model.positions_start.reshape(*shape, 2)
    steps = []
    if shape[0] >= _LEAST_LINES:
        steps.append((grid[-1] - grid[0]).mean(axis=0) / (shape[0] - 1))
    if shape[1] >= _LEAST_LINES:
        steps.append((grid[:, -1] - grid[:, 0]).mean(axis=0) / (shape[1] - 1))
    return np.array(steps).reshape(-1, 2)


def notch(model: Model, orders: int, width: float, strength: float) -> torch.Tensor | None:
    """The filter [Y, X/2+1] in the order of ``torch.fft.rfft2``, or None without frequencies.

    1 - strength max_G exp(-((fy - Gy)^2 Ly^2 + (fx - Gx)^2 Lx^2) / (2 width^2)) over all +-G, with
    L the extent of the scan.
    """
    frequencies = raster_frequencies(model, orders)
    if not len(frequencies):
        return None
    y, x = model.phase.shape[-2:]
    fy = torch.fft.fftfreq(y, dtype=torch.float64, device=model.phase.device)[:, None]
    fx = torch.fft.rfftfreq(x, dtype=torch.float64, device=model.phase.device)
    ly, lx = (scan_extent(model) / width).tolist()
    deepest = torch.zeros(y, x // 2 + 1, dtype=torch.float64, device=model.phase.device)
    for gy, gx in np.concatenate([frequencies, -frequencies]).tolist():
        distance2 = ((fy - gy) * ly) ** 2 + ((fx - gx) * lx) ** 2
        deepest = torch.maximum(deepest, torch.exp(-0.5 * distance2))
    return (1 - strength * deepest).to(model.phase.dtype)
