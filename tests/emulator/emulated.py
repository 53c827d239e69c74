"""The CUDA op with the emulator in the place of the GPU: tensors on the CPU, the same code."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from fastpty.ops import fused_cuda
from fastpty.ops.fused_inputs import Inputs, Wanted
from fastpty.optics import pixel_pair

__all__ = ["EmulatedOp"]


class EmulatedOp:
    """``fastpty.ops.multislice_intensity`` through fused_cuda.py and emulated kernels.

    Parameters
    ----------
    module : the extension that build.py makes.
    monkeypatch : puts it in the place of the core.
    budget : bytes of waves from forward to backward.
    """

    def __init__(
        self, module: ModuleType, monkeypatch: pytest.MonkeyPatch, budget: int = 1 << 30
    ) -> None:
        monkeypatch.setattr(fused_cuda, "_core", module)
        self._budget = budget

    def __call__(
        self,
        probe: torch.Tensor,
        obj: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        corner: torch.Tensor,
        shift: torch.Tensor,
        thickness: torch.Tensor,
        tilt: torch.Tensor | None,
        occupancy: torch.Tensor | None,
        *,
        wavelength: float,
        pixel_size: float | tuple[float, float],
        model: str = "angular_spectrum",
    ) -> torch.Tensor:
        whole, amplitude, phase = (
            (obj, None, None) if isinstance(obj, torch.Tensor) else (None, *obj)
        )
        moments = thickness.requires_grad or (tilt is not None and tilt.requires_grad)
        settings = (wavelength, pixel_pair(pixel_size), model, self._budget, moments)
        intensity: torch.Tensor = _Function.apply(
            settings, probe, whole, amplitude, phase, corner, shift, thickness, tilt, occupancy
        )
        return intensity


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, settings: tuple[Any, ...], *tensors: torch.Tensor | None) -> torch.Tensor:
        ctx.inputs = Inputs(*tensors, *settings)
        intensity, ctx.saved = fused_cuda.forward(ctx.inputs)
        return intensity

    @staticmethod
    def backward(ctx: Any, grad_intensity: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        wanted = Wanted(*(ctx.needs_input_grad[i] for i in (1, 2, 3, 4, 6, 7, 8, 9)))
        found = fused_cuda.backward(ctx.inputs, grad_intensity, ctx.saved, wanted)
        gradients = iter(
            gradient if is_wanted else None
            for gradient, is_wanted in zip(found, wanted, strict=True)
        )
        return (None, *(None if i == 5 else next(gradients) for i in range(1, 10)))
