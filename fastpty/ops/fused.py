"""The fused kernel behind ``multislice_intensity``: the whole chain as one torch op.

The equations and their adjoints are in csrc/multislice_intensity/multislice_intensity.h. Between
forward and backward the kernel keeps the waves in front of every slice, for as many positions as
:func:`fastpty.ops.set_wave_budget` leaves room (waves.py); the waves of the others are computed
anew, to the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from fastpty.ops import native
from fastpty.ops.backend import has_kernel
from fastpty.ops.checks import check_finite
from fastpty.ops.waves import Waves, kernel_memory
from fastpty.optics import pixel_pair, spatial_frequencies
from fastpty.optics.propagator import axial_wavenumber, propagator

__all__ = ["covers", "memory", "multislice_intensity"]

# What the backward takes, at the most, for gradients that wait to be added up: kChunkBytes in
# csrc/multislice_intensity/multislice_intensity.cpp.
_CHUNK_BYTES = 256 << 20

# A table, since torch.compile cannot look into the core. Empty without the core.
_LENGTHS = native.fft_lengths()


def memory(probe: torch.Tensor, object_modes: int, slices: int, positions: int) -> int:
    """Bytes that a forward and backward of so many positions take beside inputs and gradients:
    the waves that are kept, within the budget, and the positions' own gradients of the object."""
    from fastpty import _core

    modes, ny, nx = probe.shape
    of_position = 4 * _core.multislice_saved_floats(
        wave_modes=modes, object_modes=object_modes, slices=slices, window=(ny, nx)
    )
    kept = min(positions * of_position, Waves.budget)
    return kept + min(positions * of_position // modes, _CHUNK_BYTES)


def covers(probe: torch.Tensor) -> bool:
    """Whether the fused kernel serves this probe [M, Ny, Nx].

    It does single precision on the CPU, window lengths 2^a 3^b 5^c from 2 to 512, and at least one
    mode, where the native core is installed.
    """
    modes, ny, nx = probe.shape
    single_on_cpu = probe.dtype == torch.complex64 and has_kernel(
        "multislice_intensity", probe.device
    )
    return single_on_cpu and modes > 0 and ny in _LENGTHS and nx in _LENGTHS


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
    gaps = torch.as_tensor(thickness, dtype=torch.float32, device="cpu")
    whole, amplitude, phase = (
        (obj, None, None) if isinstance(obj, torch.Tensor) else (None, obj[0], obj[1])
    )
    tensors = (probe, whole, amplitude, phase, corner, shift, gaps, tilt, occupancy)
    wanted = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    intensity: torch.Tensor = _forward(
        *tensors, wavelength, pixel_pair(pixel_size), model, Waves.budget if wanted else 0
    )[0]
    return intensity


class _Inputs(NamedTuple):
    """The arguments of the forward op, by name."""

    probe: torch.Tensor
    obj: torch.Tensor | None
    amplitude: torch.Tensor | None
    phase: torch.Tensor | None
    corner: torch.Tensor
    shift: torch.Tensor
    thickness: torch.Tensor
    tilt: torch.Tensor | None
    occupancy: torch.Tensor | None
    wavelength: float
    pixel_size: Sequence[float]
    model: str
    budget: int

    @property
    def object_shape(self) -> tuple[int, int, int, int]:
        part = self.obj if self.obj is not None else self.phase
        if part is None:
            raise ValueError("obj: must be given, or amplitude and phase")
        no, nz, y, x = part.shape
        return no, nz, y, x

    @property
    def window(self) -> tuple[int, int]:
        return self.probe.shape[1], self.probe.shape[2]

    @property
    def saved_positions(self) -> int:
        return min(len(self.corner), self.budget // (4 * self.saved_floats))

    @property
    def saved_length(self) -> int:
        """Floats from forward to backward: the waves, and the kernel variant that laid them out."""
        floats = self.saved_positions * self.saved_floats
        return floats + 1 if floats else 0

    @property
    def saved_floats(self) -> int:
        """Of one position's waves, in the layout of the kernel in use."""
        from fastpty import _core

        no, nz, _, _ = self.object_shape
        return _core.multislice_saved_floats(
            wave_modes=self.probe.shape[0], object_modes=no, slices=nz, window=self.window
        )


def _variant() -> int:
    """A number for the kernels' variant in use."""
    from fastpty import _core

    return _core.available_simd().index(_core.simd())


_ARGUMENTS = (
    "Tensor probe, Tensor? obj, Tensor? amplitude, Tensor? phase, Tensor corner, Tensor shift, "
    "Tensor thickness, Tensor? tilt, Tensor? occupancy, float wavelength, float[] pixel_size, "
    "str model, int budget"
)


class _Call:
    """The kernel's arguments, and the tensors that keep their memory alive."""

    def __init__(self, inputs: _Inputs) -> None:
        from fastpty import _core

        no, nz, y, x = inputs.object_shape
        ny, nx = inputs.window
        self._keep: list[torch.Tensor] = []
        transfer, tilt_y, tilt_x = _transfer(inputs)
        occupancy = inputs.occupancy
        if occupancy is None:
            occupancy = torch.ones(no, dtype=torch.float32, device="cpu")
        native.follow_torch_threads()
        self.core = _core.MultisliceIntensity(
            positions=len(inputs.corner),
            wave_modes=inputs.probe.shape[0],
            object_modes=no,
            slices=nz,
            window=(ny, nx),
            extent=(y, x),
            transfers=transfer.shape[0],
            tilts=0 if tilt_y is None else tilt_y.shape[0],
            spectrum=self._address(torch.fft.fft2(inputs.probe)),
            amplitude=self._address(inputs.amplitude),
            phase=self._address(inputs.phase),
            object=self._address(inputs.obj),
            corner=self._address(inputs.corner),
            shift=self._address(inputs.shift),
            transfer=self._address(transfer),
            tilt_y=self._address(tilt_y),
            tilt_x=self._address(tilt_x),
            occupancy=self._address(occupancy),
        )

    def _address(self, tensor: torch.Tensor | None) -> int:
        if tensor is None:
            return 0
        plain = native.plain(tensor)
        self._keep.append(plain)
        return plain.data_ptr()


def _tilt_is_shared(inputs: _Inputs) -> bool:
    return inputs.tilt is not None and len(inputs.tilt) == 1


def _transfer(
    inputs: _Inputs,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(H [gaps or 1, Ny, Nx], ramps of a tilt per position [B, gaps or 1, Ny], [.., Nx] or None).

    Formed in double precision. A tilt that all positions share is part of H.
    """
    _, slices, _, _ = inputs.object_shape
    gaps = inputs.thickness.detach().double().reshape(-1)[: slices - 1]
    tilt = None if inputs.tilt is None else inputs.tilt.detach().double()
    shared = tilt if _tilt_is_shared(inputs) else None
    every = [
        propagator(
            inputs.window,
            gap,
            shared,
            wavelength=inputs.wavelength,
            pixel_size=tuple(inputs.pixel_size),
            model=inputs.model,
        ).reshape(1, *inputs.window)
        for gap in gaps
    ]
    none = kernel_memory(0, *inputs.window, dtype=torch.complex128)  # of a single slice
    transfer = torch.cat([none, *every]).to(torch.complex64)
    if tilt is None or shared is not None or slices == 1:
        return transfer, None, None
    slope = torch.tan(tilt * 1e-3)
    ramps = []
    for axis, frequency in enumerate(spatial_frequencies(inputs.window, inputs.pixel_size)):
        lateral = torch.from_numpy(2 * math.pi * frequency.reshape(-1).copy())
        angle = gaps[None, :, None] * slope[:, axis, None, None] * lateral
        ramps.append(torch.polar(torch.ones_like(angle), angle).to(torch.complex64))
    return transfer, ramps[0], ramps[1]


@torch.library.custom_op(
    "fastpty::multislice_intensity_forward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_ARGUMENTS}) -> (Tensor intensity, Tensor saved)",
)
def _forward(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = _Inputs(*arguments)
    check_finite("thickness", inputs.thickness)
    intensity = inputs.shift.new_empty((len(inputs.corner), *inputs.window))
    saved = Waves.take(inputs.saved_length)
    saved[-1:] = _variant()
    call = _Call(inputs)  # must outlive the run: it holds the arrays
    call.core.forward(
        intensity=intensity.data_ptr(),
        saved=saved.data_ptr() if len(saved) else 0,
        saved_positions=inputs.saved_positions,
    )
    return intensity, saved


def _allocate(*arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
    inputs = _Inputs(*arguments)
    intensity = inputs.shift.new_empty((len(inputs.corner), *inputs.window))
    return intensity, inputs.shift.new_empty(inputs.saved_length)


# The inputs that can have a gradient, in the order of the forward op's arguments.
_DIFFERENTIABLE = (0, 1, 2, 3, 5, 6, 7, 8)


@torch.library.custom_op(
    "fastpty::multislice_intensity_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor grad_intensity, Tensor saved, {_ARGUMENTS}, bool[] wanted) -> Tensor[]",
)
def _backward(grad_intensity: torch.Tensor, saved: torch.Tensor, *rest: Any) -> list[torch.Tensor]:
    *arguments, wanted = rest
    inputs = _Inputs(*arguments)
    # The length may be the same: 64 x 64 pixels take the same memory in every variant.
    if len(saved) != inputs.saved_length or (saved[-1:] != _variant()).any():
        raise RuntimeError("the kernels' variant was changed between a forward and its backward")
    probe, obj, amplitude, phase, shift, thickness, tilt, occupancy = wanted
    no, nz, _, _ = inputs.object_shape
    positions, moments_wanted = len(inputs.corner), thickness or tilt

    def empty(tensor: torch.Tensor | None, is_wanted: bool) -> torch.Tensor | None:
        plain = torch.contiguous_format
        if tensor is None or not is_wanted:
            return None
        return torch.empty_like(tensor, memory_format=plain)

    def double(is_wanted: bool, *shape: int) -> torch.Tensor | None:
        return kernel_memory(*shape, dtype=torch.float64) if is_wanted else None

    grad_obj = empty(inputs.obj, obj)
    grad_amplitude = empty(inputs.amplitude, amplitude or phase)
    grad_phase = empty(inputs.phase, amplitude or phase)
    grad_spectrum = empty(inputs.probe, probe)
    grad_shift = double(shift, positions, 2)
    grad_occupancy = double(occupancy, positions, no)
    moments = double(moments_wanted, positions, nz - 1, 3)
    chi = _chi(inputs) if moments_wanted else None
    upstream = native.plain(grad_intensity)
    call = _Call(inputs)  # must outlive the run: it holds the arrays
    call.core.backward(
        grad_intensity=upstream.data_ptr(),
        grad_object=_address(grad_obj),
        grad_amplitude=_address(grad_amplitude),
        grad_phase=_address(grad_phase),
        grad_spectrum=_address(grad_spectrum),
        grad_shift=_address(grad_shift),
        grad_occupancy=_address(grad_occupancy),
        moments=_address(moments),
        chi=_address(chi),
        saved=saved.data_ptr() if len(saved) else 0,
        saved_positions=inputs.saved_positions,
    )
    grad_thickness = grad_tilt = None
    if moments is not None:
        grad_thickness, grad_tilt = _thickness_and_tilt(inputs, moments)
    gradients = (
        None if grad_spectrum is None else torch.fft.ifft2(grad_spectrum),
        grad_obj,
        grad_amplitude if amplitude else None,
        grad_phase if phase else None,
        None if grad_shift is None else grad_shift.to(inputs.shift.dtype),
        grad_thickness if thickness else None,
        grad_tilt if tilt else None,
        None if grad_occupancy is None else grad_occupancy.sum(0).to(torch.float32),
    )
    nothing = inputs.shift.new_empty(0)
    return [nothing.clone() if gradient is None else gradient for gradient in gradients]


def _address(tensor: torch.Tensor | None) -> int:
    return 0 if tensor is None else tensor.data_ptr()


def _chi(inputs: _Inputs) -> torch.Tensor:
    chi, _ = axial_wavenumber(
        inputs.window,
        wavelength=inputs.wavelength,
        pixel_size=tuple(inputs.pixel_size),
        model=inputs.model,
    )
    return torch.tensor(chi, dtype=torch.float32, device="cpu")


def _thickness_and_tilt(
    inputs: _Inputs, moments: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradients from the kernel's sums [B, Nz-1, 3] over chi, f_y, f_x (cycles per pixel).

    ``d/d dz`` weighs them with (1, K_y tan t_y, K_x tan t_x), ``d/d t`` with
    ``dz K sec^2(t) 1e-3``; K = 2 pi f / dx.
    """
    wavenumber = 2 * math.pi / torch.tensor(inputs.pixel_size, dtype=torch.float64, device="cpu")
    lateral = moments[:, :, 1:] * wavenumber
    along = moments[:, :, 0]
    gaps = inputs.thickness.detach().double().reshape(-1)
    grad_tilt = None
    if inputs.tilt is not None:
        slope = torch.tan(inputs.tilt.detach().double() * 1e-3)
        along = along + (lateral * slope[:, None]).sum(2)
        per_position = (lateral * gaps[:, None]).sum(1) * (1 + slope**2) * 1e-3
        if _tilt_is_shared(inputs):
            per_position = per_position.sum(0, keepdim=True)
        grad_tilt = per_position.to(inputs.tilt.dtype)
    per_gap = along.sum(0)
    if len(gaps) == 1:
        per_gap = per_gap.sum()
    return per_gap.reshape(inputs.thickness.shape).to(inputs.thickness.dtype), grad_tilt


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
    gradients: list[torch.Tensor | None] = [None] * 13
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
