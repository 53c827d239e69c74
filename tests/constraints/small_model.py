"""A random model, small enough to look at."""

from __future__ import annotations

import numpy as np
import torch

from fastpty.model import Model


def small_model(
    modes: int = 3,
    slices: int = 4,
    canvas: tuple[int, int] = (11, 9),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Two object modes, five positions, every unknown free."""
    generator = torch.Generator().manual_seed(seed)
    size = (2, slices, *canvas)
    shift = torch.randn(5, 2, generator=generator) / 4
    start = np.arange(10, dtype=np.float64).reshape(5, 2)
    model = Model(
        amplitude=1 + 0.1 * torch.randn(size, generator=generator, dtype=dtype),
        phase=0.3 * torch.randn(size, generator=generator, dtype=dtype),
        probe=torch.randn(modes, 6, 5, generator=generator, dtype=dtype.to_complex()),
        corner=torch.from_numpy(start).long(),
        shift=shift.to(dtype),
        positions_start=start,
        power_start=7.0,
    )
    for tensor in model.unknowns.values():
        tensor.requires_grad_()
    return model
