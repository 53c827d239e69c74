"""The whole chain from probe and object to the diffraction patterns."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from fastpty import reference
from fastpty.ops import fused
from fastpty.ops.backend import current_backend
from fastpty.ops.checks import (
    check_complex,
    check_device,
    check_dtype,
    check_finite,
    check_optics,
    check_real_of,
    check_shape,
    check_thickness,
    check_tilt,
    check_windows_inside,
)
from fastpty.ops.fresnel_propagate import fresnel_propagate
from fastpty.ops.mixed_intensity import mixed_intensity
from fastpty.ops.probe_shift import probe_shift
from fastpty.ops.slice_transmit import slice_transmit
from fastpty.reference.multislice_intensity import Steps, chain

__all__ = ["multislice_intensity"]

_log = logging.getLogger(__name__)
_SAID: set[tuple[int, int]] = set()


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

    ``probe_shift``, then ``slice_transmit`` and ``fresnel_propagate`` over the slices with no
    propagation after the last, then ``mixed_intensity``. Differentiable in every floating
    argument.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex64 or complex128.
    obj : [No, Nz, Y, X] of the same dtype, or the pair (amplitude, phase) of that shape, real.
    corner : [B, 2] int64 pixels; the window lies inside the object.
    shift : [B, 2] pixels; position = corner + shift.
    thickness : Angstrom from slice to slice, one value or [Nz - 1]; unused for one slice.
    tilt : None, [1, 2] or [B, 2] mrad.
    occupancy : None (all ones) or [No].
    wavelength, pixel_size, model : as in :func:`fastpty.ops.fresnel_propagate`.

    Returns
    -------
    intensity : [B, Ny, Nx], corner order.

    Single precision with windows of 2^a 3^b 5^c pixels up to 512, on CUDA from 32 on, runs on fused
    kernels (see :func:`fastpty.ops.set_wave_budget` for their memory); everything else is composed
    of the single operations. On CUDA a window outside the object is moved inside, and a thickness
    that is not finite goes through; :func:`fastpty.ops.raise_device_errors` tells. As torch ops:
    ``torch.ops.fastpty.multislice_intensity`` for a complex object,
    ``torch.ops.fastpty.multislice_intensity_pair`` for amplitude and phase.

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device, shape or value is wrong.
    """
    check_complex(probe=probe)
    axes: dict[str, int] = {}
    check_shape("probe", probe, "M Ny Nx", axes)
    if isinstance(obj, torch.Tensor):
        check_complex(probe=probe, obj=obj)
        parts = {"obj": obj}
    else:
        parts = {"amplitude": obj[0], "phase": obj[1]}
        check_real_of(probe, **parts)
    for name, part in parts.items():
        check_shape(name, part, "No Nz Y X", axes)
        if 0 in part.shape[:2]:
            raise ValueError(
                f"{name}: must have an object mode and a slice, found {list(part.shape)}"
            )
    check_dtype("corner", corner, torch.int64)
    check_shape("corner", corner, "B 2", axes)
    check_real_of(probe, shift=shift)
    check_shape("shift", shift, "B 2", axes)
    check_device(probe=probe, corner=corner, shift=shift, **parts)
    check_thickness(thickness, probe=probe)
    if isinstance(thickness, torch.Tensor):
        _check_gaps(thickness, axes["Nz"])
    check_tilt(tilt, axes["B"], probe=probe)
    if occupancy is not None:
        check_real_of(probe, occupancy=occupancy)
        check_device(probe=probe, occupancy=occupancy)
        check_shape("occupancy", occupancy, "No", axes)
    check_optics(wavelength, pixel_size, model)
    arguments = (probe, obj, corner, shift, thickness, tilt, occupancy)
    if current_backend() == "reference":
        if corner.device.type == "cpu":  # elsewhere it would make every call wait for the device
            check_windows_inside(corner, (axes["Ny"], axes["Nx"]), (axes["Y"], axes["X"]))
            if isinstance(thickness, torch.Tensor):
                check_finite("thickness", thickness)
        return reference.multislice_intensity(
            *arguments, wavelength=wavelength, pixel_size=pixel_size, model=model
        )
    if fused.covers(probe):
        return fused.multislice_intensity(
            *arguments, wavelength=wavelength, pixel_size=pixel_size, model=model
        )
    _say_composed(probe)
    return chain(
        Steps(probe_shift, slice_transmit, fresnel_propagate, mixed_intensity),
        *arguments,
        wavelength=wavelength,
        pixel_size=pixel_size,
        model=model,
    )


def _say_composed(probe: torch.Tensor) -> None:
    """Once for each window: it could have been faster."""
    shape = (probe.shape[1], probe.shape[2])
    if torch.compiler.is_compiling() or probe.dtype != torch.complex64 or shape in _SAID:
        return
    _SAID.add(shape)
    _log.info(
        "Windows of %d x %d pixels on %s take the composed path; the fused kernels have 2^a 3^b "
        "5^c pixels up to 512, on CUDA from 32 on.",
        *shape,
        probe.device.type,
    )


def _check_gaps(thickness: torch.Tensor, slices: int) -> None:
    if thickness.ndim > 1 or thickness.numel() not in {1, slices - 1}:
        raise ValueError(
            f"thickness: must be one value or [Nz - 1] with Nz = {slices}, "
            f"found {list(thickness.shape)}"
        )


_REST = (
    "Tensor corner, Tensor shift, Tensor thickness, Tensor? tilt=None, Tensor? occupancy=None, *, "
    "float wavelength, float[2] pixel_size, str model='angular_spectrum') -> Tensor"
)
# A schema knows no union, so the complex object and the pair are two torch ops.
torch.library.define("fastpty::multislice_intensity", f"(Tensor probe, Tensor obj, {_REST}")
torch.library.define(
    "fastpty::multislice_intensity_pair", f"(Tensor probe, Tensor amplitude, Tensor phase, {_REST}"
)


@torch.library.impl("fastpty::multislice_intensity", "CompositeImplicitAutograd")
def _op(*arguments: Any, **settings: Any) -> torch.Tensor:
    return multislice_intensity(*arguments, **settings)


@torch.library.impl("fastpty::multislice_intensity_pair", "CompositeImplicitAutograd")
def _op_pair(
    probe: torch.Tensor, amplitude: torch.Tensor, phase: torch.Tensor, *rest: Any, **settings: Any
) -> torch.Tensor:
    return multislice_intensity(probe, (amplitude, phase), *rest, **settings)
