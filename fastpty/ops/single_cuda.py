"""The single operations on CUDA: one function for each kernel, tensors in, tensors out.

Each op calls these where :func:`serves` says so, and torch's transforms elsewhere. The formulas are
in the ops' own files. Nothing waits for the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from fastpty.ops import device, native
from fastpty.ops.device_errors import error_flags
from fastpty.ops.fused_inputs import Address, thickness_and_tilt
from fastpty.optics.grid import pixel_pair, spatial_frequencies
from fastpty.optics.propagator import axial_wavenumber

__all__ = [
    "fresnel_propagate",
    "fresnel_propagate_backward",
    "mixed_intensity",
    "mixed_intensity_backward",
    "probe_shift",
    "probe_shift_backward",
    "serves",
    "slice_transmit",
    "slice_transmit_backward",
]

# The core, or a module with the same functions that emulates the device, and where its tensors are.
_core: Any = native.core()
_device_type = "cuda"


def serves(waves: torch.Tensor, *, transforms: bool = True) -> bool:
    """Whether a kernel does this operation on waves [..., Ny, Nx].

    Single precision where the core's kernels run; for operations with transforms, windows of
    2^a 3^b 5^c pixels from 32 to 512.
    """
    if waves.device.type != _device_type or waves.dtype != torch.complex64:
        return False
    if waves.is_cuda and not native.runs_on(waves.device):
        return False
    if not hasattr(_core, "cuda_has_line_plan"):
        return False
    ny, nx = waves.shape[-2:]
    return not transforms or (_core.cuda_has_line_plan(ny) and _core.cuda_has_line_plan(nx))


class _Call:
    """One call: addresses, scratch memory, stream."""

    def __init__(self, where: torch.device, scratch: int | None = None) -> None:
        self.address = Address()
        self._where = where
        self.more: dict[str, Any] = device.number_and_stream(where)
        if scratch is not None:
            self.more["scratch"] = self.address(device.scratch_memory(scratch, where))

    def __call__(self, kernel: Any, **arguments: Any) -> None:
        with device.current(self._where):
            kernel(**arguments, **self.more)


def probe_shift(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """[B, M, Ny, Nx] of a probe [M, Ny, Nx] and shifts [B, 2]."""
    modes, ny, nx = probe.shape
    size = {"positions": len(shift), "wave_modes": modes, "window": (ny, nx)}
    wave = probe.new_empty((len(shift), modes, ny, nx))
    call = _Call(probe.device, _core.cuda_probe_shift_scratch(**size)["forward"])
    call(
        _core.cuda_probe_shift_forward,
        **size,
        spectrum=call.address(torch.fft.fft2(probe)),
        shift=call.address(shift),
        wave=wave.data_ptr(),
    )
    return wave


def probe_shift_backward(
    grad_out: torch.Tensor, probe: torch.Tensor | None, shift: torch.Tensor, probe_wanted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(grad_probe, grad_shift): empty where not wanted, the latter where no probe is given."""
    positions, modes, ny, nx = grad_out.shape
    size = {"positions": positions, "wave_modes": modes, "window": (ny, nx)}
    grad_spectrum = grad_out.new_empty((modes, ny, nx) if probe_wanted else 0)
    grad_shift = shift.new_empty(shift.shape if probe is not None else 0, dtype=torch.float64)
    call = _Call(grad_out.device, _core.cuda_probe_shift_scratch(**size)["backward"])
    call(
        _core.cuda_probe_shift_backward,
        **size,
        spectrum=call.address(None if probe is None else torch.fft.fft2(probe)),
        shift=call.address(shift),
        grad_wave=call.address(grad_out),
        grad_spectrum=grad_spectrum.data_ptr() if probe_wanted else 0,
        grad_shift=grad_shift.data_ptr() if probe is not None else 0,
    )
    grad_probe = torch.fft.ifft2(grad_spectrum) if probe_wanted else grad_spectrum
    return grad_probe, grad_shift.to(shift.dtype)


class _Tables(NamedTuple):
    """Of a propagator, float64, [Ny, Nx] or broadcast to it."""

    chi: torch.Tensor  # rad / Angstrom without tilt, 0 where evanescent
    propagating: torch.Tensor  # 1, and 0 where evanescent
    lateral_y: torch.Tensor  # rad / Angstrom
    lateral_x: torch.Tensor


# Kept on the device: sending them in every call would make it wait. A CUDA graph remembers where
# they are, so they stay.
@cache
def _tables(
    window: tuple[int, int],
    wavelength: float,
    pixel_size: tuple[float, float],
    model: str,
    where: torch.device,
) -> _Tables:
    chi, propagating = axial_wavenumber(
        window, wavelength=wavelength, pixel_size=pixel_size, model=model
    )
    lateral = [2 * np.pi * k for k in spatial_frequencies(window, pixel_size)]
    arrays = (chi, propagating, *lateral)
    return _Tables(*(torch.tensor(a, dtype=torch.float64, device=where) for a in arrays))


def _transfer(tables: _Tables, thickness: torch.Tensor, tilt: torch.Tensor | None) -> torch.Tensor:
    """H [1 or B, Ny, Nx], formed in double precision."""
    chi = tables.chi[None]
    if tilt is not None:
        slope = torch.tan(tilt.detach().double() * 1e-3)[:, :, None, None]
        chi = chi + tables.lateral_y * slope[:, 0] + tables.lateral_x * slope[:, 1]
    phase = thickness.detach().double() * chi
    return torch.polar(tables.propagating.expand_as(phase).contiguous(), phase).to(torch.complex64)


def _size_of_waves(wave: torch.Tensor) -> dict[str, Any]:
    positions, (ny, nx) = wave.shape[0], wave.shape[-2:]
    return {
        "positions": positions,
        "waves_per_position": wave.numel() // max(positions * ny * nx, 1),
        "window": (ny, nx),
    }


def fresnel_propagate(
    wave: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str,
) -> torch.Tensor:
    """The waves [B, ..., Ny, Nx] behind one gap."""
    size = _size_of_waves(wave)
    tables = _tables(size["window"], wavelength, pixel_pair(pixel_size), model, wave.device)
    transfer = _transfer(tables, thickness, tilt)
    out = wave.new_empty(wave.shape)
    scratch = _core.cuda_fresnel_propagate_scratch(**size, moments=False)
    call = _Call(wave.device, scratch["forward"])
    call(
        _core.cuda_fresnel_propagate_forward,
        **size,
        transfers=len(transfer),
        transfer=call.address(transfer),
        wave=call.address(wave),
        out=out.data_ptr(),
    )
    return out


def fresnel_propagate_backward(
    grad_out: torch.Tensor,
    out: torch.Tensor | None,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(grad_wave, grad_thickness, grad_tilt): empty where not wanted."""
    size = _size_of_waves(grad_out)
    pixels = pixel_pair(pixel_size)
    tables = _tables(size["window"], wavelength, pixels, model, grad_out.device)
    transfer = _transfer(tables, thickness, tilt)
    grad_wave = grad_out.new_empty(grad_out.shape if wanted[0] else 0)
    grad_thickness, grad_tilt = thickness.new_empty(0), thickness.new_empty(0)
    moments = chi = None
    if out is not None:
        chi = tables.chi.float()
        moments = torch.empty((len(grad_out), 3), dtype=torch.float64, device=grad_out.device)
    scratch = _core.cuda_fresnel_propagate_scratch(**size, moments=moments is not None)
    call = _Call(grad_out.device, scratch["backward"])
    call(
        _core.cuda_fresnel_propagate_backward,
        **size,
        transfers=len(transfer),
        transfer=call.address(transfer),
        grad_out=call.address(grad_out),
        grad_wave=grad_wave.data_ptr() if wanted[0] else 0,
        out=call.address(out),
        chi=call.address(chi),
        moments=call.address(moments),
    )
    if moments is not None:
        by_thickness, by_tilt = thickness_and_tilt(moments[:, None], thickness, tilt, pixels)
        grad_thickness = by_thickness if wanted[1] else grad_thickness
        grad_tilt = by_tilt if by_tilt is not None and wanted[2] else grad_tilt
    return grad_wave, grad_thickness, grad_tilt


def _size_of_modes(wave: torch.Tensor) -> dict[str, Any]:
    positions, modes, object_modes, ny, nx = wave.shape
    return {
        "positions": positions,
        "wave_modes": modes,
        "object_modes": object_modes,
        "window": (ny, nx),
    }


def mixed_intensity(wave: torch.Tensor, occupancy: torch.Tensor | None) -> torch.Tensor:
    """[B, Ny, Nx] of waves [B, M, No, Ny, Nx]."""
    size = _size_of_modes(wave)
    intensity = torch.empty((len(wave), *size["window"]), dtype=torch.float32, device=wave.device)
    call = _Call(wave.device, _core.cuda_mixed_intensity_scratch(**size)["forward"])
    call(
        _core.cuda_mixed_intensity_forward,
        **size,
        wave=call.address(wave),
        occupancy=call.address(occupancy),
        intensity=intensity.data_ptr(),
    )
    return intensity


def mixed_intensity_backward(
    grad_out: torch.Tensor,
    wave: torch.Tensor,
    occupancy: torch.Tensor | None,
    wave_wanted: bool,
    occupancy_wanted: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """(grad_wave, grad_occupancy): empty where not wanted."""
    size = _size_of_modes(wave)
    grad_wave = wave.new_empty(wave.shape if wave_wanted else 0)
    shape = (len(wave), wave.shape[2]) if occupancy_wanted else (0, 0)
    grad_occupancy = torch.empty(shape, dtype=torch.float64, device=wave.device)
    call = _Call(wave.device, _core.cuda_mixed_intensity_scratch(**size)["backward"])
    call(
        _core.cuda_mixed_intensity_backward,
        **size,
        wave=call.address(wave),
        occupancy=call.address(occupancy),
        grad_intensity=call.address(grad_out),
        grad_wave=grad_wave.data_ptr() if wave_wanted else 0,
        grad_occupancy=grad_occupancy.data_ptr() if occupancy_wanted else 0,
    )
    return grad_wave, grad_occupancy.sum(0).to(grad_out.dtype)


def slice_transmit(
    wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor, out: torch.Tensor
) -> None:
    """Write the waves behind a slice into ``out`` [B, M, No, Ny, Nx]; the object's rows have
    adjacent pixels."""
    call = _Call(wave.device)
    call(
        _core.cuda_slice_transmit_forward,
        **_size_of_modes(out),
        extent=(obj_slice.shape[1], obj_slice.shape[2]),
        object_strides=(obj_slice.stride(0), obj_slice.stride(1)),
        wave_has_object_axis=wave.ndim == 5,
        wave=call.address(wave),
        object=obj_slice.data_ptr(),
        corner=call.address(corner),
        errors=call.address(error_flags(wave.device)),
        out=out.data_ptr(),
    )


def slice_transmit_backward(
    grad_out: torch.Tensor,
    wave: torch.Tensor | None,
    obj_slice: torch.Tensor | None,
    corner: torch.Tensor,
    extent: Sequence[int],
    wave_has_object_axis: bool,
    grad_wave: torch.Tensor,
    grad_obj: torch.Tensor,
) -> None:
    """Write the gradients: of the wave where an object is given, of the object where a wave is."""
    call = _Call(grad_out.device)
    strides = (0, 0) if obj_slice is None else (obj_slice.stride(0), obj_slice.stride(1))
    call(
        _core.cuda_slice_transmit_backward,
        **_size_of_modes(grad_out),
        extent=(extent[0], extent[1]),
        object_strides=strides,
        wave_has_object_axis=wave_has_object_axis,
        wave=call.address(wave),
        object=0 if obj_slice is None else obj_slice.data_ptr(),
        corner=call.address(corner),
        errors=call.address(error_flags(grad_out.device)),
        grad_out=call.address(grad_out),
        grad_wave=0 if obj_slice is None else grad_wave.data_ptr(),
        grad_object=0 if wave is None else grad_obj.data_ptr(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )
