"""The whole chain: probe_shift, then (slice_transmit, fresnel_propagate) over the slices with no
propagation after the last, then mixed_intensity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from fastpty.reference.fresnel_propagate import fresnel_propagate
from fastpty.reference.mixed_intensity import mixed_intensity
from fastpty.reference.probe_shift import probe_shift
from fastpty.reference.slice_transmit import slice_transmit

__all__ = ["Steps", "chain", "multislice_intensity"]


class Steps(NamedTuple):
    """One implementation of the four operations that the chain is made of."""

    probe_shift: Callable[..., torch.Tensor]
    slice_transmit: Callable[..., torch.Tensor]
    fresnel_propagate: Callable[..., torch.Tensor]
    mixed_intensity: Callable[..., torch.Tensor]


def multislice_intensity(
    probe: torch.Tensor,
    obj: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
    corner: torch.Tensor,
    shift: torch.Tensor,
    thickness: torch.Tensor | float,
    tilt: torch.Tensor | None = None,
    occupancy: torch.Tensor | None = None,
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str = "angular_spectrum",
) -> torch.Tensor:
    """Diffraction patterns of a mixed-state probe through a multislice object.

    Multislice after Cowley & Moodie, Acta Cryst. 10 (1957) 609; in ptychography Maiden, Humphry
    & Rodenburg, J. Opt. Soc. Am. A 29 (2012) 1606.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex probe modes.
    obj : [No, Nz, Y, X] complex transmission, or the pair (amplitude, phase) of that shape.
    corner : [B, 2] int64; position = corner + shift.
    shift : [B, 2] real, pixels.
    thickness : distance between slices in Angstrom, one value or [Nz - 1]; unused for one slice.
    tilt : None, [1, 2] or [B, 2] in mrad.
    occupancy : None or [No].
    wavelength, pixel_size, model : as in :func:`fresnel_propagate`.

    Returns
    -------
    intensity : [B, Ny, Nx] real, corner order.
    """
    return chain(
        Steps(probe_shift, slice_transmit, fresnel_propagate, mixed_intensity),
        probe,
        obj,
        corner,
        shift,
        thickness,
        tilt,
        occupancy,
        wavelength=wavelength,
        pixel_size=pixel_size,
        model=model,
    )


def chain(
    steps: Steps,
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
    """:func:`multislice_intensity` over any implementation of its steps."""
    slices = obj.shape[1] if isinstance(obj, torch.Tensor) else obj[0].shape[1]
    gaps = torch.as_tensor(thickness, dtype=shift.dtype, device=shift.device)
    if gaps.numel() == 1:
        gaps = gaps.reshape(1).expand(slices - 1)
    wave = steps.probe_shift(probe, shift)
    for z in range(slices):
        if isinstance(obj, torch.Tensor):
            obj_slice = obj[:, z]
        else:
            amplitude, phase = obj[0][:, z], obj[1][:, z]
            # Not torch.polar(amplitude, phase), whose gradient in the amplitude is zero at
            # amplitude 0 and has the wrong sign below it.
            obj_slice = amplitude * torch.polar(torch.ones_like(phase), phase)
        wave = steps.slice_transmit(wave, obj_slice, corner)
        if z < slices - 1:
            wave = steps.fresnel_propagate(
                wave, gaps[z], tilt, wavelength=wavelength, pixel_size=pixel_size, model=model
            )
    return steps.mixed_intensity(wave, occupancy)
