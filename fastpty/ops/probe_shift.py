"""psi[j,m] = F^-1{ F{P[m]} exp(-2 pi i (f_y s_y + f_x s_x)) }: the probe at every position.

Gradients, with G' that of the output and in torch's sense, dL/dRe + i dL/dIm::

    W[j,m]      = exp(+2 pi i f.s_j) F{G'[j,m]}
    grad_P[m]   = F^-1{ sum_j W[j,m] }
    grad_s_y[j] = sum_{m,k} Re( conj(W[j,m]) (-2 pi i f_y) F{P[m]} )      unitary F; likewise x

So nothing of the size of the waves is kept for the backward pass: the shifts, and the probe itself
where the shifts have a gradient. docs/derivations/probe_shift.md derives them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from fastpty import reference
from fastpty.ops import single_cuda
from fastpty.ops.backend import current_backend
from fastpty.ops.checks import check_complex, check_device, check_real_of, check_shape
from fastpty.reference.fourier import forward, inverse
from fastpty.reference.probe_shift import ramps

if TYPE_CHECKING:
    from typing import Any

__all__ = ["probe_shift"]


def probe_shift(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move every probe mode by every sub-pixel shift.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex64 or complex128.
    shift : [B, 2] pixels, (y, x), real of the same precision.

    Returns
    -------
    wave : [B, M, Ny, Nx].

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device or shape is wrong.
    """
    if current_backend() == "reference":
        _check(probe, shift)
        return reference.probe_shift(probe, shift)
    out: torch.Tensor = _probe_shift(probe, shift)
    return out


def _check(probe: torch.Tensor, shift: torch.Tensor) -> None:
    check_complex(probe=probe)
    check_real_of(probe, shift=shift)
    check_device(probe=probe, shift=shift)
    check_shape("probe", probe, "M Ny Nx", {})
    check_shape("shift", shift, "B 2", {})


def _allocate(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """The output, not yet computed: all that shape inference needs."""
    _check(probe, shift)
    return probe.new_empty([shift.shape[0], *probe.shape])


@torch.library.custom_op(
    "fastpty::probe_shift", mutates_args=(), schema="(Tensor probe, Tensor shift) -> Tensor"
)
def _probe_shift(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    _check(probe, shift)
    if single_cuda.serves(probe):
        return single_cuda.probe_shift(probe, shift)
    return reference.probe_shift(probe, shift).contiguous()


def _allocate_gradients(
    grad_out: torch.Tensor, probe: torch.Tensor | None, shift: torch.Tensor, probe_wanted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients, not yet computed; an empty tensor stands for one that is not wanted.

    Only the gradient of the shift needs the probe, so a probe that is given says it is wanted.
    """
    return (
        grad_out.new_empty(grad_out.shape[1:] if probe_wanted else [0]),
        shift.new_empty(shift.shape if probe is not None else [0]),
    )


@torch.library.custom_op(
    "fastpty::probe_shift_backward",
    mutates_args=(),
    schema="(Tensor grad_out, Tensor? probe, Tensor shift, bool probe_wanted) -> (Tensor, Tensor)",
)
def _probe_shift_backward(
    grad_out: torch.Tensor, probe: torch.Tensor | None, shift: torch.Tensor, probe_wanted: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    if single_cuda.serves(grad_out):
        return single_cuda.probe_shift_backward(grad_out, probe, shift, probe_wanted)
    grad_probe, grad_shift = _allocate_gradients(grad_out, probe, shift, probe_wanted)
    ny, nx = grad_out.shape[-2:]
    ramp_y, ramp_x = ramps((ny, nx), -shift)
    back = forward(grad_out).mul_(ramp_y[:, None, :, None] * ramp_x[:, None, None, :])  # W
    if probe_wanted:
        grad_probe = inverse(back.sum(0)).contiguous()
    if probe is not None:
        # Re(conj(W) (-2 pi i f) P^) is 2 pi f times the real scalar product of W and -i P^.
        turned = torch.view_as_real(forward(probe) * -1j)
        overlap = torch.view_as_real(back).mul_(turned).sum(1).sum(-1, dtype=torch.float64)
        for axis, n in enumerate((ny, nx)):
            frequency = torch.fft.fftfreq(n, dtype=torch.float64, device=shift.device)
            marginal = overlap.sum(2 - axis)
            # The transforms are not unitary: each product of two carries ny nx too much.
            grad_shift[:, axis] = marginal @ frequency * (2 * math.pi / max(ny * nx, 1))
    return grad_probe, grad_shift


def _setup_context(
    ctx: Any, inputs: tuple[torch.Tensor, torch.Tensor], output: torch.Tensor
) -> None:
    probe, shift = inputs
    ctx.probe_wanted, shift_wanted = ctx.needs_input_grad[:2]
    ctx.save_for_backward(probe if shift_wanted else None, shift)


def _backward(ctx: Any, grad_out: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    probe, shift = ctx.saved_tensors
    grad_probe, grad_shift = _probe_shift_backward(grad_out, probe, shift, ctx.probe_wanted)
    return grad_probe if ctx.probe_wanted else None, None if probe is None else grad_shift


_probe_shift.register_fake(_allocate)
_probe_shift_backward.register_fake(_allocate_gradients)
_probe_shift.register_autograd(_backward, setup_context=_setup_context)
