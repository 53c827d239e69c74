"""The fused kernel of ``multislice_intensity`` on the CPU.

The equations and their adjoints are in csrc/multislice_intensity/multislice_intensity.h. Between
forward and backward the kernel keeps the waves in front of every slice, for as many positions as
the budget leaves room (waves.py); the waves of the others are computed anew, to the same bits.
"""

from __future__ import annotations

import math

import torch

from fastpty.ops import native
from fastpty.ops.checks import check_finite
from fastpty.ops.fused_inputs import Address, Gradients, Inputs, Wanted, WaveProducts
from fastpty.ops.waves import Waves, kernel_memory, wave_budget
from fastpty.optics import spatial_frequencies
from fastpty.optics.propagator import axial_wavenumber, propagator

__all__ = ["backward", "forward", "memory", "products", "saved_length"]

# What the backward takes, at the most, for gradients that wait to be added up: kChunkBytes in
# csrc/multislice_intensity/multislice_intensity.cpp.
_CHUNK_BYTES = 256 << 20


def memory(probe: torch.Tensor, object_modes: int, slices: int, positions: int) -> int:
    """Bytes that a forward and backward of so many positions take beside inputs and gradients:
    the waves that are kept, within the budget, and the positions' own gradients of the object."""
    modes, ny, nx = probe.shape
    of_position = 4 * _saved_floats(modes, object_modes, slices, (ny, nx))
    kept = min(positions * of_position, wave_budget(probe.device))
    return kept + min(positions * of_position // modes, _CHUNK_BYTES)


def _saved_floats(modes: int, object_modes: int, slices: int, window: tuple[int, int]) -> int:
    from fastpty import _core

    return _core.multislice_saved_floats(
        wave_modes=modes, object_modes=object_modes, slices=slices, window=window
    )


def _saved_of_position(inputs: Inputs) -> int:
    """Floats of one position's waves, in the layout of the kernel in use."""
    no, nz, _, _ = inputs.object_shape
    return _saved_floats(inputs.probe.shape[0], no, nz, inputs.window)


def _saved_positions(inputs: Inputs) -> int:
    return min(len(inputs.corner), inputs.budget // (4 * _saved_of_position(inputs)))


def saved_length(inputs: Inputs) -> int:
    """Floats from forward to backward: the waves, and the kernel variant that laid them out."""
    floats = _saved_positions(inputs) * _saved_of_position(inputs)
    return floats + 1 if floats else 0


def _variant() -> int:
    """A number for the kernels' variant in use."""
    from fastpty import _core

    return _core.available_simd().index(_core.simd())


class _Call:
    """The kernel's arguments, and the tensors that keep their memory alive."""

    def __init__(self, inputs: Inputs) -> None:
        from fastpty import _core

        no, nz, y, x = inputs.object_shape
        ny, nx = inputs.window
        self._address = address = Address()
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
            spectrum=address(torch.fft.fft2(inputs.probe)),
            amplitude=address(inputs.amplitude),
            phase=address(inputs.phase),
            object=address(inputs.obj),
            corner=address(inputs.corner),
            shift=address(inputs.shift),
            transfer=address(transfer),
            tilt_y=address(tilt_y),
            tilt_x=address(tilt_x),
            occupancy=address(occupancy),
        )


def _transfer(
    inputs: Inputs,
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """(H [gaps or 1, Ny, Nx], ramps of a tilt per position [B, gaps or 1, Ny], [.., Nx] or None).

    Formed in double precision. A tilt that all positions share is part of H.
    """
    _, slices, _, _ = inputs.object_shape
    gaps = inputs.thickness.detach().double().reshape(-1)[: slices - 1]
    tilt = None if inputs.tilt is None else inputs.tilt.detach().double()
    shared = tilt if inputs.tilt_is_shared else None
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


def forward(inputs: Inputs) -> tuple[torch.Tensor, torch.Tensor]:
    """(intensity [B, Ny, Nx], what the backward needs)."""
    check_finite("thickness", inputs.thickness)
    intensity = inputs.shift.new_empty((len(inputs.corner), *inputs.window))
    saved = Waves.take(saved_length(inputs))
    saved[-1:] = _variant()
    call = _Call(inputs)  # must outlive the run: it holds the arrays
    call.core.forward(
        intensity=intensity.data_ptr(),
        saved=saved.data_ptr() if len(saved) else 0,
        saved_positions=_saved_positions(inputs),
    )
    return intensity, saved


def backward(
    inputs: Inputs, grad_intensity: torch.Tensor, saved: torch.Tensor, wanted: Wanted
) -> list[torch.Tensor]:
    """The gradients of the floating inputs; an empty tensor for one that is not wanted."""
    _check_saved(inputs, saved)
    gradients = Gradients(inputs, wanted)
    address = Address()
    call = _Call(inputs)  # must outlive the run: it holds the arrays
    call.core.backward(
        grad_intensity=address(grad_intensity),
        grad_object=address(gradients.obj),
        grad_amplitude=address(gradients.amplitude),
        grad_phase=address(gradients.phase),
        grad_spectrum=address(gradients.spectrum),
        grad_shift=address(gradients.shift),
        grad_occupancy=address(gradients.occupancy),
        moments=address(gradients.moments),
        chi=address(None if gradients.moments is None else _chi(inputs)),
        saved=saved.data_ptr() if len(saved) else 0,
        saved_positions=_saved_positions(inputs),
    )
    return gradients.of_inputs()


def _check_saved(inputs: Inputs, saved: torch.Tensor) -> None:
    # The length may be the same: 64 x 64 pixels take the same memory in every variant.
    if len(saved) != saved_length(inputs) or (saved[-1:] != _variant()).any():
        raise RuntimeError("the kernels' variant was changed between a forward and its backward")


def products(
    inputs: Inputs,
    ratio: torch.Tensor,
    saved: torch.Tensor,
    rule: tuple[float, float] | None,
    found: WaveProducts,
) -> None:
    """Fill what ``found`` has room for (wave_products.py); ``ratio`` [B, Ny, Nx], ``rule`` as
    there."""
    _check_saved(inputs, saved)
    # The kernel makes 2 w G' S of a gradient G' of the intensity.
    upstream = (ratio - 1).mul_(0.5)
    spectrum = torch.empty_like(inputs.probe)
    step, share = rule or (0.0, 0.0)
    address = Address()
    call = _Call(inputs)  # must outlive the run: it holds the arrays
    call.core.backward(
        grad_intensity=address(upstream),
        grad_object=address(found.obj),
        grad_amplitude=0,
        grad_phase=0,
        grad_spectrum=address(spectrum),
        grad_shift=0,
        grad_occupancy=0,
        moments=0,
        chi=0,
        saved=saved.data_ptr() if len(saved) else 0,
        saved_positions=_saved_positions(inputs),
        power=address(found.power),
        product=address(found.product),
        entrance=address(found.entrance),
        asked=address(found.asked),
        wave_step=step,
        wave_share=share,
    )
    torch.fft.ifft2(spectrum, out=found.probe)


def _chi(inputs: Inputs) -> torch.Tensor:
    chi, _ = axial_wavenumber(
        inputs.window,
        wavelength=inputs.wavelength,
        pixel_size=tuple(inputs.pixel_size),
        model=inputs.model,
    )
    return torch.tensor(chi, dtype=torch.float32, device="cpu")
