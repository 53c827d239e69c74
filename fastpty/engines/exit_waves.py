"""Waves of a batch on their way through the slices, and what a change of the exit waves asks of
object and probe: the updates of the ptychographical iterative engines.

With the wave psi_z[j,m,n] incident on slice z at position j, the exit waves
psi'_z = psi_z O_z, and Delta_z what the latter are to change by, weights w_n of the object modes::

    O_z[n] += a  sum_{j,m} conj(psi_z) Delta_z / D(sum_{j,m} |psi_z|^2)
    psi_z  += b  conj(O_z) Delta_z / D(|O_z|^2)
    Delta_{z-1} = the change of psi_z, propagated backwards
    P[m]   += b  sum_j S_j^-1 { sum_n w_n conj(O_0) Delta_0 / D(sum_{j,n} w_n |O_0|^2) }

where S_j moves the probe to its place between the pixels, products are summed over j where the
windows lie, and

    D(q) = (1 - c) q + c max(q)

With c = 1 this is ePIE (Maiden & Rodenburg, Ultramicroscopy 109 (2009) 1256, eqs. 4 and 5), with a
share c of the maximum rPIE (Maiden, Johnson & Li, Optica 4 (2017) 736); from slice to slice 3PIE
(Maiden, Humphry & Rodenburg, JOSA A 29 (2012) 1606, its steps iv to vi); sums over modes after
Thibault & Menzel, Nature 494 (2013) 68. Several positions are summed like modes, in numerator and
denominator: where windows overlap this is an average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fastpty.forward import illumination
from fastpty.model import Model
from fastpty.ops import fresnel_propagate, probe_shift, slice_transmit
from fastpty.reference.fourier import forward, inverse

__all__ = ["ExitWaves", "Rule", "amplitude_ratio", "denominator"]

# Added to intensities, as in the loss: 1 is the brightest pixel of the mean pattern.
FLOOR = 1e-10


@dataclass(frozen=True)
class Rule:
    """How a product of waves becomes an update: its factor, and the share c of the maximum.

    ``weighted``: that of the first PIE, whose factor falls with the modulus of the wave.
    """

    step: float
    share: float
    weighted: bool = False

    def __call__(self, product: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
        """The update of a numerator by the power [..., Ny, Nx] of what it was multiplied with.

        With ``weighted``, after Rodenburg & Faulkner, Appl. Phys. Lett. 85 (2004) 4795::

            a |P| / max |P| conj(P) Delta / (|P|^2 + c max |P|^2)
        """
        if not self.weighted:
            return product * (self.step / denominator(power, self.share))
        largest = _largest(power)
        return product * (self.step * (power / largest).sqrt() / (power + self.share * largest))


def denominator(power: torch.Tensor, share: float) -> torch.Tensor:
    """``(1 - c) q + c max(q)`` of q [..., Ny, Nx], the maximum over the last two axes."""
    return (1 - share) * power + share * _largest(power)


def _largest(power: torch.Tensor) -> torch.Tensor:
    """At least the smallest normal number: nothing follows from a wave that is zero."""
    return power.amax(dim=(-2, -1), keepdim=True).clamp_(min=torch.finfo(power.dtype).tiny)


def amplitude_ratio(
    intensity: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """``sqrt(M / I)`` [B, Ny, Nx], by which waves at the detector get the measured moduli; 1 in
    bad pixels, where they keep their own."""
    ratio = (measured / (intensity + FLOOR)).sqrt()
    return ratio if mask is None else torch.where(mask, ratio, 1.0)


@dataclass(frozen=True)
class _Slice:
    """Incident waves [B, M(, No), Ny, Nx], the object [No, Y, X], their product, with its graph."""

    incident: torch.Tensor
    obj: torch.Tensor
    exit: torch.Tensor


class ExitWaves:
    """The waves of a batch, kept slice by slice for the way back.

    Parameters
    ----------
    model : for everything but the object.
    obj : [No, Nz, Y, X] complex64, transmission.
    index : [B] positions.
    corner : [B, 2] of their windows in ``obj``.
    """

    def __init__(
        self, model: Model, obj: torch.Tensor, index: torch.Tensor, corner: torch.Tensor
    ) -> None:
        self._model = model
        self._corner = corner
        slices = obj.shape[1]
        if model.thickness is not None:
            self._gaps: Sequence[torch.Tensor] = (
                model.thickness.detach().reshape(-1).expand(slices - 1).unbind()
            )
        tilt = None if model.tilt is None else model.tilt.detach()
        self._tilt = tilt if tilt is None or len(tilt) == 1 else tilt[index]
        with torch.enable_grad():
            self._probe = model.probe.detach().requires_grad_()
            modes = illumination(self._probe, model.source)
            self._incident = probe_shift(modes, model.shift.detach()[index])
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
        power = spectrum.real.square() + spectrum.imag.square()
        found: torch.Tensor = self._weighted(power).sum((1, 2))
        return found

    def change(self, ratio: torch.Tensor) -> torch.Tensor:
        """[B, M, No, Ny, Nx] from the exit waves to those whose moduli at the detector are
        ``ratio`` [B, Ny, Nx] times theirs."""
        after: torch.Tensor = inverse(self._spectrum * (ratio - 1)[:, None, None], norm="ortho")
        return after

    def updates(
        self,
        change: torch.Tensor,
        rule_object: Rule,
        rule_wave: Rule,
        add: Callable[[torch.Tensor], torch.Tensor],
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What a change of the exit waves asks for; nothing is moved yet.

        Parameters
        ----------
        add : sums over positions, of those here, to the sums over all positions of the batch.

        Returns
        -------
        object : [No, Nz, Y, X].
        probe : [M, Ny, Nx].
        """
        objects = []
        for z in reversed(range(len(self._slices))):
            part = self._slices[z]
            weighted = self._weighted(change)
            product, back = torch.autograd.grad(
                part.exit, (part.obj, part.incident), weighted, retain_graph=True
            )
            objects.append(rule_object(add(product), add(self._illuminated(part))))
            power = self._transmitted(part)
            if z == 0:
                break
            # Each wave is one of its own here: their sums are taken in the probe alone.
            change = self._propagated(rule_wave(back, power), z - 1, backwards=True)
        power = power.sum(2)
        update = rule_wave(back, add(power.sum((0, 1))))
        probe = torch.autograd.grad(self._incident, self._probe, update)[0]
        return torch.stack(objects[::-1], dim=1), add(probe)

    def position_steps(
        self, intensity: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """[B, 2] px that bring the amplitudes at the detector nearest to the measured ones.

        Gauss and Newton's step for each position, with the slopes of the amplitudes A = sqrt(I) in
        the shift s of the probe::

            min_d sum_k (sqrt(M) - A - d . grad_s A)^2
            grad_s A = sum_{m,n} w_n Re(conj(F psi') F grad_s psi') / A

        The change of the exit waves would not do instead of the amplitudes': most of what a shift
        does to a wave is to shift it as a whole, which the detector does not see.
        """
        amplitude = (intensity + FLOOR).sqrt()
        missing = measured.sqrt() - amplitude
        y, x = (self._slope(axis, amplitude) for axis in (-2, -1))
        if mask is not None:
            y, x = y * mask, x * mask
        ask_y, ask_x = _overlap(y, missing), _overlap(x, missing)
        yy, xx, yx = _overlap(y, y), _overlap(x, x), _overlap(y, x)
        # Of a determinant that is all rounding nothing follows.
        size = (yy * xx - yx * yx).clamp(min=1e-6 * (yy * xx).clamp(min=1e-30))
        steps = [xx * ask_y - yx * ask_x, yy * ask_x - yx * ask_y]
        return torch.stack(steps, dim=1) / size[:, None]

    def _slope(self, axis: int, amplitude: torch.Tensor) -> torch.Tensor:
        """[B, Ny, Nx] of the amplitudes at the detector in the shift along an axis."""
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

    def _illuminated(self, part: _Slice) -> torch.Tensor:
        """[No, Y, X] sum of w |psi|^2 over positions and modes, where their windows lie."""
        wave = part.incident.detach()
        if wave.ndim == 4:
            wave = wave[:, :, None].expand(part.exit.shape)
        found = torch.autograd.grad(
            part.exit, part.obj, self._weighted(wave).contiguous(), retain_graph=True
        )
        return found[0].real

    def _transmitted(self, part: _Slice) -> torch.Tensor:
        """[B, 1, No, Ny, Nx] w |O|^2 in the windows."""
        power = self._weighted(part.obj.detach().abs().square()).to(part.obj.dtype)
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


def _overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[B] sum of a b over [B, Ny, Nx], row by row: the same for any number of threads."""
    return (a * b).sum(-1).sum(-1)
