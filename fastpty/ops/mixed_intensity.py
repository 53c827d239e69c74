"""I[j] = sum_{m,n} occupancy[n] |F{psi[j,m,n]}|^2: the pattern of a mixed state.

Gradients, with G' that of the output, real, and F unitary::

    grad_psi[j,m,n]   = F^-1{ 2 occupancy[n] G'[j] F{psi[j,m,n]} }
    grad_occupancy[n] = sum_{j,m,k} G'[j] |F{psi[j,m,n]}|^2

The wave is kept for the backward pass and transformed there again: it takes the memory that its
spectrum would, and often it is in memory anyway. docs/derivations/mixed_intensity.md derives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fastpty import reference
from fastpty.ops import single_cuda
from fastpty.ops.backend import current_backend
from fastpty.ops.checks import check_complex, check_device, check_real_of, check_shape
from fastpty.reference.fourier import forward, inverse

if TYPE_CHECKING:
    from typing import Any

__all__ = ["mixed_intensity"]


def mixed_intensity(wave: torch.Tensor, occupancy: torch.Tensor | None = None) -> torch.Tensor:
    """Incoherent sum over probe and object modes at the detector.

    Parameters
    ----------
    wave : [B, M, No, Ny, Nx] complex64 or complex128 exit waves.
    occupancy : [No] weights of the object modes, real of the same precision; None: all ones.

    Returns
    -------
    intensity : [B, Ny, Nx], corner order; the transform is unitary, so sum(I) = sum(|psi|^2).

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device or shape is wrong.
    """
    if current_backend() == "reference":
        _check(wave, occupancy)
        return reference.mixed_intensity(wave, occupancy)
    out: torch.Tensor = _mixed_intensity(wave, occupancy)
    return out


def _check(wave: torch.Tensor, occupancy: torch.Tensor | None) -> None:
    check_complex(wave=wave)
    axes: dict[str, int] = {}
    check_shape("wave", wave, "B M No Ny Nx", axes)
    if occupancy is not None:
        check_real_of(wave, occupancy=occupancy)
        check_device(wave=wave, occupancy=occupancy)
        check_shape("occupancy", occupancy, "No", axes)


def _allocate(wave: torch.Tensor, occupancy: torch.Tensor | None) -> torch.Tensor:
    """The output, not yet computed: all that shape inference needs."""
    _check(wave, occupancy)
    positions, _, _, ny, nx = wave.shape
    return wave.new_empty([positions, ny, nx], dtype=wave.real.dtype)


def _power(spectrum: torch.Tensor, *, overwrite: bool) -> torch.Tensor:
    """sum_m |spectrum[j,m,n]|^2: [B, No, Ny, Nx]."""
    parts = torch.view_as_real(spectrum)
    squares = parts.square_() if overwrite else parts.square()
    return squares.sum(1).sum(-1)


@torch.library.custom_op(
    "fastpty::mixed_intensity", mutates_args=(), schema="(Tensor wave, Tensor? occupancy) -> Tensor"
)
def _mixed_intensity(wave: torch.Tensor, occupancy: torch.Tensor | None) -> torch.Tensor:
    _check(wave, occupancy)
    if single_cuda.serves(wave):
        return single_cuda.mixed_intensity(wave, occupancy)
    power = _power(forward(wave, norm="ortho"), overwrite=True)
    if occupancy is not None:
        power = power * occupancy[:, None, None]
    return power.sum(1).contiguous()


def _allocate_gradients(
    grad_out: torch.Tensor,
    wave: torch.Tensor,
    occupancy: torch.Tensor | None,
    wave_wanted: bool,
    occupancy_wanted: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients, not yet computed; an empty tensor stands for one that is not wanted."""
    return (
        wave.new_empty(wave.shape if wave_wanted else [0]),
        grad_out.new_empty([wave.shape[2]] if occupancy_wanted else [0]),
    )


@torch.library.custom_op(
    "fastpty::mixed_intensity_backward",
    mutates_args=(),
    schema="(Tensor grad_out, Tensor wave, Tensor? occupancy, bool wave_wanted, "
    "bool occupancy_wanted) -> (Tensor, Tensor)",
)
def _mixed_intensity_backward(
    grad_out: torch.Tensor,
    wave: torch.Tensor,
    occupancy: torch.Tensor | None,
    wave_wanted: bool,
    occupancy_wanted: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    if single_cuda.serves(wave):
        return single_cuda.mixed_intensity_backward(
            grad_out, wave, occupancy, wave_wanted, occupancy_wanted
        )
    grad_wave, grad_occupancy = wave.new_empty(0), grad_out.new_empty(0)
    spectrum = forward(wave, norm="ortho")
    if occupancy_wanted:
        power = _power(spectrum, overwrite=not wave_wanted)
        terms = power.mul_(grad_out[:, None])
        grad_occupancy = terms.sum((0, 2, 3), dtype=torch.float64).to(grad_out.dtype)
    if wave_wanted:
        weight = 2 * grad_out[:, None, None]
        if occupancy is not None:
            weight = weight * occupancy[:, None, None]
        grad_wave = inverse(spectrum.mul_(weight), norm="ortho").contiguous()
    return grad_wave, grad_occupancy


def _setup_context(
    ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor | None], output: torch.Tensor
) -> None:
    wave, occupancy = inputs
    ctx.wanted = ctx.needs_input_grad[:2]
    ctx.save_for_backward(wave, occupancy if ctx.wanted[0] else None)


def _backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    wave, occupancy = ctx.saved_tensors
    found = _mixed_intensity_backward(grad_out, wave, occupancy, *ctx.wanted)
    grad_wave, grad_occupancy = (
        gradient if wanted else None for gradient, wanted in zip(found, ctx.wanted, strict=True)
    )
    return grad_wave, grad_occupancy


_mixed_intensity.register_fake(_allocate)
_mixed_intensity_backward.register_fake(_allocate_gradients)
_mixed_intensity.register_autograd(_backward, setup_context=_setup_context)
