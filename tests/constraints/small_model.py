"""A random model, small enough to look at."""

from __future__ import annotations

import numpy as np
import torch

from fastpty.config.solve import ConstraintsConfig
from fastpty.constraints import CONSTRAINTS, apply_constraints
from fastpty.model import Model

OFF = dict.fromkeys(CONSTRAINTS)


def apply(model: Model, name: str, settings: object = True) -> None:
    """One constraint alone."""
    apply_constraints(model, ConstraintsConfig(**(OFF | {name: settings})), 1)


def values(model: Model) -> dict[str, torch.Tensor]:
    """A copy of everything that a constraint may change."""
    return {name: tensor.detach().clone() for name, tensor in model.unknowns.items()}


def small_model(
    modes: int = 3,
    slices: int = 4,
    canvas: tuple[int, int] = (11, 9),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Model:
    """Two object modes, five positions with a tilt each, every unknown free."""
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
        thickness=torch.tensor(12.0, dtype=dtype),
        tilt=torch.randn(5, 2, generator=generator, dtype=dtype),
        wavelength=0.02,
        pixel_size=(0.3, 0.2),
        scan_shape=(5, 1),
    )
    for tensor in model.unknowns.values():
        tensor.requires_grad_()
    return model
