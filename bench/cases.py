"""The sizes at which ``multislice_intensity`` is timed, and one call of it at such a size.

Real and imaginary parts, phases and places are random: the time does not depend on them. The object
is the pair (amplitude, phase); gradients go to both, to the probe and to the shifts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import torch

__all__ = ["CASES", "MAIN", "QUICK", "WAVE_BUDGET", "Case", "Inputs", "backward_step", "forward"]

# Of the fused kernel: every wave kept from forward to backward, or none.
WAVE_BUDGET = {"stored": 1 << 40, "recomputed": 0}


class Case(NamedTuple):
    """Square windows of ``window`` px, probe modes, slices, and positions in a batch."""

    window: int
    modes: int
    slices: int
    positions: int

    def __str__(self) -> str:
        return f"{self.window} px, {self.modes} modes, {self.slices} slices, {self.positions} pos."

    @property
    def wave_slices(self) -> int:
        """How many waves pass a slice in one forward."""
        return self.modes * self.slices * self.positions


MAIN = Case(window=128, modes=6, slices=32, positions=32)
CASES = [
    MAIN,
    Case(window=64, modes=6, slices=32, positions=16),
    Case(window=192, modes=6, slices=8, positions=8),
    Case(window=256, modes=6, slices=8, positions=4),
    # Batches that divide well and badly among threads and vector lanes.
    *(Case(window=128, modes=4, slices=4, positions=n) for n in (22, 44, 128)),
]
QUICK = [
    Case(window=128, modes=6, slices=4, positions=16),
    Case(window=64, modes=6, slices=8, positions=16),
]


@dataclass
class Inputs:
    """The arguments of ``multislice_intensity``."""

    probe: torch.Tensor
    amplitude: torch.Tensor
    phase: torch.Tensor
    corner: torch.Tensor
    shift: torch.Tensor
    grad_intensity: torch.Tensor

    @classmethod
    def of(cls, case: Case) -> Inputs:
        """The same values for every side."""
        generator = torch.Generator().manual_seed(0)
        n, extent = case.window, case.window * 3 // 2
        obj = (1, case.slices, extent, extent)
        return cls(
            probe=torch.randn((case.modes, n, n), dtype=torch.complex64, generator=generator),
            amplitude=1 + 0.01 * torch.randn(obj, generator=generator),
            phase=0.1 * torch.randn(obj, generator=generator),
            corner=torch.randint(0, extent - n, (case.positions, 2), generator=generator),
            shift=torch.rand((case.positions, 2), generator=generator) - 0.5,
            grad_intensity=torch.randn((case.positions, n, n), generator=generator),
        )


def forward(implementation: ModuleType, inputs: Inputs) -> torch.Tensor:
    """``multislice_intensity`` of ``fastpty.ops`` or ``fastpty.reference``."""
    intensity: torch.Tensor = implementation.multislice_intensity(
        inputs.probe,
        (inputs.amplitude, inputs.phase),
        inputs.corner,
        inputs.shift,
        10.0,
        wavelength=0.0197,
        pixel_size=0.15,
    )
    return intensity


def backward_step(implementation: ModuleType, inputs: Inputs) -> Callable[[], None]:
    """Forward and backward, as a call without arguments."""
    leaves = (inputs.amplitude, inputs.phase, inputs.probe, inputs.shift)
    for leaf in leaves:
        leaf.requires_grad_()

    def step() -> None:
        torch.autograd.grad(forward(implementation, inputs), leaves, inputs.grad_intensity)

    return step
