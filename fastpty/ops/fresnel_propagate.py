"""psi' = F^-1{ H F{psi} }: free-space propagation over one gap.

H = exp(i dz chi), chi = chi0 + K_y tan(t_y) + K_x tan(t_x), and 0 for evanescent components.
Gradients, with G' that of the output and in torch's sense, dL/dRe + i dL/dIm, and F unitary::

    grad_psi    = F^-1{ conj(H) F{G'} }
    grad_dz     = sum_{j,m,k} Re( conj(F{G'}) i chi F{psi'} )
    grad_t_y[j] = sum_{m,k} Re( conj(F{G'}) i dz K_y sec^2(t_y) 1e-3 F{psi'} )    per mrad; also x

where H F{psi} is written as F{psi'}. For the gradient of the wave nothing is kept but thickness
and tilt; for the other two the output is kept, which is in memory anyway where the next slice
keeps its incident wave.
docs/derivations/fresnel_propagate.md derives them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, cast

import torch

from fastpty import reference
from fastpty.ops import single_cuda
from fastpty.ops.backend import current_backend
from fastpty.ops.checks import check_complex, check_finite, check_thickness, check_tilt
from fastpty.optics.grid import spatial_frequencies
from fastpty.optics.propagator import axial_wavenumber, propagator
from fastpty.reference.fourier import forward, inverse

if TYPE_CHECKING:
    from typing import Any

__all__ = ["fresnel_propagate"]


def fresnel_propagate(
    wave: torch.Tensor,
    thickness: torch.Tensor | float,
    tilt: torch.Tensor | None = None,
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str = "angular_spectrum",
) -> torch.Tensor:
    """Propagate waves by ``thickness``, differentiable in wave, thickness and tilt.

    Parameters
    ----------
    wave : [B, ..., Ny, Nx] complex64 or complex128.
    thickness : Angstrom, a number or a scalar tensor.
    tilt : None, [1, 2] or [B, 2] mrad, (y, x); positive moves the wave by -thickness tan(tilt).
    wavelength : Angstrom.
    pixel_size : Angstrom, one number or (dy, dx).
    model : "angular_spectrum" or "fresnel".

    Returns
    -------
    wave : the shape of the input.

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device, shape or value is wrong.
    """
    _check_wave(wave)
    check_thickness(thickness, wave=wave)
    if not isinstance(thickness, torch.Tensor):
        thickness = torch.full((), thickness, dtype=wave.real.dtype, device=wave.device)
    elif thickness.ndim and thickness.numel() == 1:
        thickness = thickness.reshape(())
    if current_backend() == "reference":
        _check(wave, thickness, tilt)
        check_finite("thickness", thickness)
        return reference.fresnel_propagate(
            wave, thickness, tilt, wavelength=wavelength, pixel_size=pixel_size, model=model
        )
    pixels = [pixel_size] if isinstance(pixel_size, Real) else cast("Sequence[float]", pixel_size)
    out: torch.Tensor = _fresnel_propagate(
        wave, thickness, tilt, wavelength, [float(pixel) for pixel in pixels], model
    )
    return out


def _check_wave(wave: torch.Tensor) -> None:
    check_complex(wave=wave)
    if wave.ndim < 3:
        raise ValueError(f"wave: must have the shape [B, ..., Ny, Nx], found {list(wave.shape)}")


def _check(wave: torch.Tensor, thickness: torch.Tensor, tilt: torch.Tensor | None) -> None:
    _check_wave(wave)
    check_thickness(thickness, wave=wave)
    if thickness.ndim:
        raise ValueError(f"thickness: must be one number, found {list(thickness.shape)}")
    check_tilt(tilt, wave.shape[0], wave=wave)


def _one_or_pair(pixel_size: Sequence[float]) -> float | Sequence[float]:
    """As the caller wrote it, for messages: the schema knows lists only."""
    return pixel_size[0] if len(pixel_size) == 1 else pixel_size


def _transfer(
    wave: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
) -> torch.Tensor:
    """H, shaped to multiply the wave's spectrum."""
    shape = (wave.shape[-2], wave.shape[-1])
    transfer = propagator(
        shape,
        thickness,
        tilt,
        wavelength=wavelength,
        pixel_size=_one_or_pair(pixel_size),
        model=model,
    )
    if tilt is None:
        return transfer
    return transfer.reshape(tilt.shape[0], *([1] * (wave.ndim - 3)), *shape)


def _allocate(
    wave: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
) -> torch.Tensor:
    """The output, not yet computed: all that shape inference needs."""
    _check(wave, thickness, tilt)
    return wave.new_empty(wave.shape)


@torch.library.custom_op(
    "fastpty::fresnel_propagate",
    mutates_args=(),
    schema="(Tensor wave, Tensor thickness, Tensor? tilt, float wavelength, float[] pixel_size, "
    "str model) -> Tensor",
)
def _fresnel_propagate(
    wave: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
) -> torch.Tensor:
    _check(wave, thickness, tilt)
    check_finite("thickness", thickness)
    if single_cuda.serves(wave):
        return single_cuda.fresnel_propagate(
            wave, thickness, tilt, wavelength, _one_or_pair(pixel_size), model
        )
    transfer = _transfer(wave, thickness, tilt, wavelength, pixel_size, model)
    return inverse(forward(wave).mul_(transfer)).contiguous()


def _allocate_gradients(
    grad_out: torch.Tensor,
    out: torch.Tensor | None,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The gradients, not yet computed; an empty tensor stands for one that is not wanted.

    wanted : for wave, thickness and tilt. The latter two need ``out``.
    """
    return (
        grad_out.new_empty(grad_out.shape if wanted[0] else [0]),
        thickness.new_empty([] if wanted[1] else [0]),
        thickness.new_empty([0] if tilt is None or not wanted[2] else tilt.shape),
    )


@torch.library.custom_op(
    "fastpty::fresnel_propagate_backward",
    mutates_args=(),
    schema="(Tensor grad_out, Tensor? out, Tensor thickness, Tensor? tilt, float wavelength, "
    "float[] pixel_size, str model, bool[] wanted) -> (Tensor, Tensor, Tensor)",
)
def _fresnel_propagate_backward(
    grad_out: torch.Tensor,
    out: torch.Tensor | None,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
    wanted: Sequence[bool],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    if single_cuda.serves(grad_out):
        return single_cuda.fresnel_propagate_backward(
            *(grad_out, out, thickness, tilt, wavelength, _one_or_pair(pixel_size), model, wanted)
        )
    grad_wave, grad_thickness, grad_tilt = (
        x.new_empty(0) for x in (grad_out, thickness, thickness)
    )
    spectrum = forward(grad_out)
    if out is not None:
        overlap = _overlap(spectrum, out)
        by_thickness, by_tilt = _phase_gradients(
            overlap, thickness, tilt, wavelength, pixel_size, model
        )
        if wanted[1]:
            grad_thickness = by_thickness.to(thickness.dtype)
        if tilt is not None and by_tilt is not None and wanted[2]:
            grad_tilt = by_tilt.to(tilt.dtype)
    if wanted[0]:
        # conj(H) propagates backwards.
        transfer = _transfer(grad_out, -thickness, tilt, wavelength, pixel_size, model)
        grad_wave = inverse(spectrum.mul_(transfer)).contiguous()
    return grad_wave, grad_thickness, grad_tilt


def _overlap(spectrum: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """D[j] = sum over modes of Re( i conj(F{G'}) F{psi'} ), F unitary: [B, Ny, Nx] float64.

    The derivative of the loss in the phase of the transfer function.
    """
    product = forward(out).conj_physical_().mul_(spectrum)  # conj of what the formula has
    modes = product.flatten(1, -3) if product.ndim > 3 else product[:, None]
    ny, nx = out.shape[-2:]
    return modes.sum(1).imag.to(torch.float64) / max(ny * nx, 1)


def _phase_gradients(
    overlap: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    wavelength: float,
    pixel_size: Sequence[float],
    model: str,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The gradients of thickness and tilt, in float64, from that of the phase dz chi."""
    shape = (overlap.shape[-2], overlap.shape[-1])
    pixels = _one_or_pair(pixel_size)
    chi0, _ = axial_wavenumber(shape, wavelength=wavelength, pixel_size=pixels, model=model)
    axial = torch.tensor(chi0, device=overlap.device)
    grad_thickness = (overlap * axial).sum()
    if tilt is None:
        return grad_thickness, None
    angle = tilt.to(torch.float64) * 1e-3
    lateral = [
        2 * math.pi * torch.tensor(k, device=overlap.device)
        for k in spatial_frequencies(shape, pixels)
    ]
    # sum_k K_y D and sum_k K_x D: [B, 2]
    along = torch.stack([(overlap * k).sum((1, 2)) for k in lateral], dim=1)
    grad_thickness = grad_thickness + (along * angle.tan()).sum()
    if tilt.shape[0] == 1:
        along = along.sum(0, keepdim=True)
    grad_tilt = thickness.to(torch.float64) * 1e-3 * along / angle.cos().square()
    return grad_thickness, grad_tilt


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
    _, thickness, tilt, *ctx.optics = inputs
    ctx.wanted = list(ctx.needs_input_grad[:3])
    ctx.save_for_backward(output if any(ctx.wanted[1:]) else None, thickness, tilt)


def _backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    out, thickness, tilt = ctx.saved_tensors
    found = _fresnel_propagate_backward(grad_out, out, thickness, tilt, *ctx.optics, ctx.wanted)
    gradients = [g if wanted else None for g, wanted in zip(found, ctx.wanted, strict=True)]
    return *gradients, None, None, None


_fresnel_propagate.register_fake(_allocate)
_fresnel_propagate_backward.register_fake(_allocate_gradients)
_fresnel_propagate.register_autograd(_backward, setup_context=_setup_context)
