"""The fused kernels behind ``multislice_intensity``: the whole chain as one torch op.

One op with a kernel for each kind of device: fused_cpu.py, fused_cuda.py. Here are its schema, its
gradient, and the choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch

from fastpty.ops import fused_cpu, fused_cuda, native
from fastpty.ops.backend import has_kernel
from fastpty.ops.fused_inputs import Inputs, Wanted
from fastpty.ops.waves import wave_budget
from fastpty.optics import pixel_pair

__all__ = ["covers", "memory", "multislice_intensity"]

# A table, since torch.compile cannot look into the core. Empty without the core.
_LENGTHS = native.fft_lengths()


def memory(probe: torch.Tensor, object_modes: int, slices: int, positions: int) -> int:
    """Bytes that a forward and backward of so many positions take beside inputs and gradients,
    for a probe that is covered."""
    if probe.is_cuda:
        budget = wave_budget(probe.device)
        return fused_cuda.memory(probe, object_modes, slices, positions, budget)
    return fused_cpu.memory(probe, object_modes, slices, positions)


def covers(probe: torch.Tensor) -> bool:
    """Whether a fused kernel serves this probe [M, Ny, Nx].

    They do single precision and at least one mode: on the CPU windows of 2^a 3^b 5^c pixels from 2
    to 512 where the native core is installed, on CUDA from 32 to 512 where it was built with CUDA.
    """
    modes, ny, nx = probe.shape
    single = probe.dtype == torch.complex64
    if not (single and modes > 0 and has_kernel("multislice_intensity", probe.device)):
        return False
    if probe.is_cuda:
        return fused_cuda.covers(probe)
    return ny in _LENGTHS and nx in _LENGTHS


def multislice_intensity(
    probe: torch.Tensor,
    obj: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
    corner: torch.Tensor,
    shift: torch.Tensor,
    thickness: torch.Tensor | float,
    tilt: torch.Tensor | None,
    occupancy: torch.Tensor | None,
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str,
) -> torch.Tensor:
    """:func:`fastpty.ops.multislice_intensity` for arguments that are checked, and covered."""
    gaps = (
        thickness
        if isinstance(thickness, torch.Tensor)
        else torch.full((), float(thickness), dtype=torch.float32, device=probe.device)
    )
    whole, amplitude, phase = (
        (obj, None, None) if isinstance(obj, torch.Tensor) else (None, obj[0], obj[1])
    )
    tensors = (probe, whole, amplitude, phase, corner, shift, gaps, tilt, occupancy)
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    moments = wanted and (gaps.requires_grad or (tilt is not None and tilt.requires_grad))
    budget = wave_budget(probe.device) if wanted else 0
    intensity: torch.Tensor = _forward(
        *tensors, wavelength, pixel_pair(pixel_size), model, budget, moments
    )[0]
    return intensity


_ARGUMENTS = (
    "Tensor probe, Tensor? obj, Tensor? amplitude, Tensor? phase, Tensor corner, Tensor shift, "
    "Tensor thickness, Tensor? tilt, Tensor? occupancy, float wavelength, float[] pixel_size, "
    "str model, int budget, bool moments"
)


def _kernels(device: torch.device) -> ModuleType:
    return fused_cuda if device.type == "cuda" else fused_cpu


@torch.library.custom_op(
    "fastpty::multislice_intensity_forward",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema=f"({_ARGUMENTS}) -> (Tensor intensity, Tensor saved)",
)
def _forward(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = Inputs(*arguments)
    found: tuple[torch.Tensor, torch.Tensor] = _kernels(inputs.probe.device).forward(inputs)
    return found


def _allocate(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = Inputs(*arguments)
    intensity = inputs.shift.new_empty((len(inputs.corner), *inputs.window))
    saved = _kernels(inputs.probe.device).saved_length(inputs)
    return intensity, inputs.shift.new_empty(saved)


# The inputs that can have a gradient, in the order of the forward op's arguments and of Wanted.
_DIFFERENTIABLE = (0, 1, 2, 3, 5, 6, 7, 8)


@torch.library.custom_op(
    "fastpty::multislice_intensity_backward",
    mutates_args=(),
    device_types=("cpu", "cuda"),
    schema=f"(Tensor grad_intensity, Tensor saved, {_ARGUMENTS}, bool[] wanted) -> Tensor[]",
)
def _backward(grad_intensity: torch.Tensor, saved: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
    *arguments, wanted = rest
    inputs = Inputs(*arguments)
    found: list[torch.Tensor] = _kernels(inputs.probe.device).backward(
        inputs, grad_intensity, saved, Wanted(*wanted)
    )
    return found


def _allocate_gradients(
    grad_intensity: torch.Tensor, saved: torch.Tensor, *rest: Any
) -> list[torch.Tensor]:
    *arguments, wanted = rest
    tensors = [arguments[i] for i in _DIFFERENTIABLE]
    return [
        torch.empty_like(tensor, memory_format=torch.contiguous_format)
        if is_wanted and tensor is not None
        else grad_intensity.new_empty(0)
        for tensor, is_wanted in zip(tensors, wanted, strict=True)
    ]


def _setup_context(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, torch.Tensor]
) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *inputs[:9])
    ctx.rest = inputs[9:]


def _differentiate(
    ctx: Any, grad_intensity: torch.Tensor | None, grad_saved: torch.Tensor | None
) -> tuple[torch.Tensor | None, ...]:
    gradients: list[torch.Tensor | None] = [None] * 14
    if grad_intensity is None:
        return tuple(gradients)
    saved, *tensors = ctx.saved_tensors
    wanted = [ctx.needs_input_grad[i] for i in _DIFFERENTIABLE]
    found = _backward(grad_intensity, saved, *tensors, *ctx.rest, wanted)
    for place, is_wanted, gradient in zip(_DIFFERENTIABLE, wanted, found, strict=True):
        if is_wanted:
            gradients[place] = gradient
    return tuple(gradients)


_forward.register_fake(_allocate)
_backward.register_fake(_allocate_gradients)
_forward.register_autograd(_differentiate, setup_context=_setup_context)
