"""What forward and backward of the fused kernels share, on any device: their arguments by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from fastpty.ops import native

__all__ = ["Address", "Gradients", "Inputs", "Wanted", "WaveProducts", "thickness_and_tilt"]


class Inputs(NamedTuple):
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
    """Bytes for waves from forward to backward."""
    moments: bool
    """Whether the backward will be asked for the gradient of thickness or tilt."""

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
    def tilt_is_shared(self) -> bool:
        return self.tilt is not None and len(self.tilt) == 1


class Wanted(NamedTuple):
    """Which gradients are asked for, in the order of the forward's floating inputs."""

    probe: bool
    obj: bool
    amplitude: bool
    phase: bool
    shift: bool
    thickness: bool
    tilt: bool
    occupancy: bool


@dataclass(frozen=True)
class WaveProducts:
    """What the change Delta of a batch's exit waves asks of object and probe, weighted by the
    object modes' weights; what was not asked for is None. wave_products.py has the equations.

    Parameters
    ----------
    obj : [No, Nz, Y, X] sum_jm conj(psi_z) Delta_z, where the windows lie.
    probe : [M, Ny, Nx] sum over the positions of ``asked``, each moved back by its shift. M are
        the modes that light the object, those of each point of a finite source.
    power : [B, No, Nz, Ny, Nx] float32 sum_m |psi_z|^2, without weights.
    product : [B, No, Nz, Ny, Nx] what ``obj`` is the sum of.
    entrance : [B, M, Ny, Nx] psi_0.
    asked : [B, M, Ny, Nx] sum_n conj(O_0) Delta_0.
    """

    obj: torch.Tensor
    probe: torch.Tensor
    power: torch.Tensor
    product: torch.Tensor | None = None
    entrance: torch.Tensor | None = None
    asked: torch.Tensor | None = None


class Gradients:
    """The arrays that a kernel fills, allocated where they are wanted, and what follows from them.

    Parameters
    ----------
    inputs, wanted : of the backward.
    """

    def __init__(self, inputs: Inputs, wanted: Wanted) -> None:
        self._inputs, self._wanted = inputs, wanted
        no, nz, _, _ = inputs.object_shape
        positions = len(inputs.corner)
        pair = wanted.amplitude or wanted.phase
        self.obj = _like(inputs.obj, wanted.obj)
        self.amplitude = _like(inputs.amplitude, pair)
        self.phase = _like(inputs.phase, pair)
        self.spectrum = _like(inputs.probe, wanted.probe)
        self.shift = self._double(wanted.shift, positions, 2)
        self.occupancy = self._double(wanted.occupancy, positions, no)
        self.moments = self._double(wanted.thickness or wanted.tilt, positions, nz - 1, 3)

    def _double(self, is_wanted: bool, *shape: int) -> torch.Tensor | None:
        if not is_wanted:
            return None
        return torch.empty(shape, dtype=torch.float64, device=self._inputs.probe.device)

    def of_inputs(self) -> list[torch.Tensor]:
        """The gradients of the inputs, in the order of ``Wanted``; empty where not wanted."""
        inputs, wanted = self._inputs, self._wanted
        thickness = tilt = None
        if self.moments is not None:
            thickness, tilt = thickness_and_tilt(
                self.moments, inputs.thickness, inputs.tilt, inputs.pixel_size
            )
        gradients = (
            None if self.spectrum is None else torch.fft.ifft2(self.spectrum),
            self.obj,
            self.amplitude if wanted.amplitude else None,
            self.phase if wanted.phase else None,
            None if self.shift is None else self.shift.to(inputs.shift.dtype),
            thickness if wanted.thickness else None,
            tilt if wanted.tilt else None,
            None if self.occupancy is None else self.occupancy.sum(0).to(torch.float32),
        )
        nothing = inputs.shift.new_empty(0)
        return [nothing.clone() if gradient is None else gradient for gradient in gradients]


def _like(tensor: torch.Tensor | None, is_wanted: bool) -> torch.Tensor | None:
    if tensor is None or not is_wanted:
        return None
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


class Address:
    """Addresses of tensors as the kernels read them, whose memory lives as long as this does."""

    def __init__(self) -> None:
        self._keep: list[torch.Tensor] = []

    def __call__(self, tensor: torch.Tensor | None) -> int:
        """0 where there is no tensor."""
        if tensor is None:
            return 0
        plain = native.plain(tensor)
        self._keep.append(plain)
        return plain.data_ptr()


def thickness_and_tilt(
    moments: torch.Tensor,
    thickness: torch.Tensor,
    tilt: torch.Tensor | None,
    pixel_size: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Gradients from the kernels' sums over chi, f_y, f_x (cycles per pixel).

    ``d/d dz`` weighs them with (1, K_y tan t_y, K_x tan t_x), ``d/d t`` with
    ``dz K sec^2(t) 1e-3``; K = 2 pi f / dx.

    Parameters
    ----------
    moments : [B, gaps, 3] float64.
    thickness : Angstrom, one value or [gaps].
    tilt : None, [1, 2] or [B, 2] mrad.
    pixel_size : (dy, dx) Angstrom.
    """
    per_cycle = [2 * math.pi / size for size in pixel_size]
    along, lateral_y, lateral_x = moments.unbind(2)
    lateral = torch.stack([lateral_y * per_cycle[0], lateral_x * per_cycle[1]], 2)
    gaps = thickness.detach().double().reshape(-1)
    grad_tilt = None
    if tilt is not None:
        slope = torch.tan(tilt.detach().double() * 1e-3)
        along = along + (lateral * slope[:, None]).sum(2)
        per_position = (lateral * gaps[:, None]).sum(1) * (1 + slope**2) * 1e-3
        if len(tilt) == 1:
            per_position = per_position.sum(0, keepdim=True)
        grad_tilt = per_position.to(tilt.dtype)
    per_gap = along.sum(0)
    if len(gaps) == 1:
        per_gap = per_gap.sum()
    return per_gap.reshape(thickness.shape).to(thickness.dtype), grad_tilt
