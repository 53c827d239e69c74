"""The waves of a batch, slice by slice in torch: on any device, for windows of any size.

The updates made of them are in :mod:`fastpty.engines.exit_waves`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fastpty.model import Model
from fastpty.ops.fresnel_propagate import fresnel_propagate
from fastpty.ops.probe_shift import probe_shift
from fastpty.ops.slice_transmit import slice_transmit
from fastpty.ops.wave_products import WaveProducts
from fastpty.reference.fourier import forward, inverse

__all__ = ["FLOOR", "SliceWaves", "denominator", "largest", "power_of"]

# Added to intensities, as in the loss: 1 is the brightest pixel of the mean pattern.
FLOOR = 1e-10


def denominator(power: torch.Tensor, share: float) -> torch.Tensor:
    """``(1 - c) q + c max(q)`` of q [..., Ny, Nx], the maximum over the last two axes."""
    return (1 - share) * power + share * largest(power)


def power_of(wave: torch.Tensor) -> torch.Tensor:
    """``|psi|^2``."""
    return wave.real.square().addcmul_(wave.imag, wave.imag)


def largest(power: torch.Tensor) -> torch.Tensor:
    """At least the smallest normal number: nothing follows from a wave that is zero."""
    return power.amax(dim=(-2, -1), keepdim=True).clamp_(min=torch.finfo(power.dtype).tiny)


@dataclass(frozen=True)
class _Slice:
    """Incident waves [B, M(, No), Ny, Nx], the object [No, Y, X], their product, with its graph."""

    incident: torch.Tensor
    obj: torch.Tensor
    exit: torch.Tensor


class SliceWaves:
    """The waves of a batch, kept slice by slice for the way back.

    Parameters
    ----------
    model : for gaps, weights and units.
    obj : [No, Nz, Y, X] complex64, transmission.
    modes : [M, Ny, Nx] that light it.
    corner, shift : [B, 2] of the windows in ``obj``, and between the pixels.
    tilt : None, [1, 2] or [B, 2].
    """

    def __init__(
        self,
        model: Model,
        obj: torch.Tensor,
        modes: torch.Tensor,
        corner: torch.Tensor,
        shift: torch.Tensor,
        tilt: torch.Tensor | None,
    ) -> None:
        self._model = model
        self._corner = corner
        self._tilt = tilt
        slices = obj.shape[1]
        if model.thickness is not None:
            self._gaps: Sequence[torch.Tensor] = (
                model.thickness.detach().reshape(-1).expand(slices - 1).unbind()
            )
        with torch.enable_grad():
            self._modes = modes.detach().requires_grad_()
            self._incident = probe_shift(self._modes, shift)
        self._slices: list[_Slice] = []
        wave = self._incident.detach()
        for z in range(slices):
            with torch.enable_grad():
                parts = (wave.requires_grad_(), obj[:, z].detach().requires_grad_())
                found = slice_transmit(*parts, corner)
            self._slices.append(_Slice(*parts, found))
            wave = found.detach()
            if z < slices - 1:
                wave = self._propagated(wave, z)
        self._spectrum = forward(wave, norm="ortho")
        occupancy = model.occupancy
        self._weight = None if occupancy is None else occupancy.detach()[:, None, None]

    def intensity(self) -> torch.Tensor:
        """[B, Ny, Nx] at the detector, corner order."""
        spectrum = self._spectrum
        found: torch.Tensor = self._weighted(power_of(spectrum)).sum((1, 2))
        return found

    def change(self, ratio: torch.Tensor) -> torch.Tensor:
        """[B, M, No, Ny, Nx] from the exit waves to those whose moduli at the detector are
        ``ratio`` [B, Ny, Nx] times theirs."""
        after: torch.Tensor = inverse(self._spectrum * (ratio - 1)[:, None, None], norm="ortho")
        return after

    def products(self, ratio: torch.Tensor, rule: tuple[float, float] | None) -> WaveProducts:
        """As :meth:`fastpty.engines.exit_waves.ExitWaves.products`, with all that may be wanted."""
        change = self._weighted(self.change(ratio))
        sums, products, powers = [], [], []
        for z in reversed(range(len(self._slices))):
            part = self._slices[z]
            total, back = torch.autograd.grad(
                part.exit, (part.obj, part.incident), change, retain_graph=True
            )
            sums.append(total)
            incident = part.incident.detach()
            incident = incident if incident.ndim == 5 else incident[:, :, None]
            products.append((change * incident.conj()).sum(1))
            power = power_of(incident).sum(1)
            powers.append(power.expand(products[-1].shape))
            if z == 0:
                break
            if rule is not None:
                step, share = rule
                back = back * (step / denominator(self._transmitted(part), share))
            change = self._propagated(back, z - 1, backwards=True)
        return WaveProducts(
            obj=torch.stack(sums[::-1], dim=1),
            power=torch.stack(powers[::-1], dim=2),
            probe=torch.autograd.grad(self._incident, self._modes, back, retain_graph=True)[0],
            product=torch.stack(products[::-1], dim=2),
            entrance=self._incident.detach(),
            asked=back,
        )

    def slope(self, axis: int, amplitude: torch.Tensor) -> torch.Tensor:
        """[B, Ny, Nx] of the amplitudes [B, Ny, Nx] at the detector in the shift along an axis."""
        wave = self._incident.detach()
        frequency = torch.fft.fftfreq(wave.shape[axis], device=wave.device)
        factor = -2j * math.pi * (frequency[:, None] if axis == -2 else frequency)
        wave = inverse(forward(wave) * factor)
        for z, part in enumerate(self._slices):
            wave = slice_transmit(wave, part.obj.detach(), self._corner)
            if z < len(self._slices) - 1:
                wave = self._propagated(wave, z)
        along = forward(wave, norm="ortho") * self._spectrum.conj()
        slope: torch.Tensor = self._weighted(along.real).sum((1, 2)) / amplitude
        return slope

    def _weighted(self, waves: torch.Tensor) -> torch.Tensor:
        return waves if self._weight is None else waves * self._weight

    def _transmitted(self, part: _Slice) -> torch.Tensor:
        """[B, 1, No, Ny, Nx] |O|^2 in the windows."""
        power = power_of(part.obj.detach()).to(part.obj.dtype)
        one = part.incident.detach().new_ones(len(part.incident), 1, *part.incident.shape[-2:])
        return slice_transmit(one, power, self._corner).real

    def _propagated(self, wave: torch.Tensor, gap: int, backwards: bool = False) -> torch.Tensor:
        """Over the distance behind slice ``gap``; backwards by conj(H), the adjoint."""
        distance = self._gaps[gap]
        return fresnel_propagate(
            wave,
            -distance if backwards else distance,
            self._tilt,
            wavelength=self._model.wavelength or 1.0,
            pixel_size=self._model.pixel_size or 1.0,
            model=self._model.propagator,
        )
