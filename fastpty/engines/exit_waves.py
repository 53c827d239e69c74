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

from collections.abc import Callable
from dataclasses import dataclass

import torch

from fastpty.engines.slice_waves import FLOOR, SliceWaves, denominator, largest, power_of
from fastpty.forward import illumination
from fastpty.model import Model
from fastpty.ops import (
    NativeWaves,
    WaveProducts,
    probe_shift,
    products_are_native,
    slice_transmit,
    step_overlaps,
)

__all__ = ["FLOOR", "Asked", "ExitWaves", "Rule", "amplitude_ratio", "transmitted"]

_TINY = 1e-20


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
        most = largest(power)
        return product * (self.step * (power / most).sqrt() / (power + self.share * most))


@dataclass(frozen=True)
class Asked:
    """Sums over positions.

    Parameters
    ----------
    obj, light : [No, Nz, Y, X] the numerator of the object's update, and how the object is lit.
    probe : [M, Ny, Nx] of the PIEs the probe's update; [K M, Ny, Nx] of LSQ-ML its numerator.
    """

    obj: torch.Tensor
    light: torch.Tensor
    probe: torch.Tensor

    def add_(self, other: Asked) -> Asked:
        """Of more positions, in place."""
        self.obj.add_(other.obj)
        self.light.add_(other.light)
        self.probe.add_(other.probe)
        return self

    def over(self, add: Callable[[torch.Tensor], torch.Tensor]) -> Asked:
        """Of the whole batch, of which these are the positions here."""
        return Asked(add(self.obj), add(self.light), add(self.probe))


def amplitude_ratio(
    intensity: torch.Tensor, measured: torch.Tensor, mask: torch.Tensor | None
) -> torch.Tensor:
    """``sqrt(M / I)`` [B, Ny, Nx], by which waves at the detector get the measured moduli; 1 in
    bad pixels, where they keep their own."""
    # Of 0 it would be several times slower on some processors; so little changes no wave.
    ratio = (measured / (intensity + FLOOR)).clamp_(min=_TINY).sqrt_()
    return ratio if mask is None else torch.where(mask, ratio, 1.0)


class ExitWaves:
    """The waves of a batch. What stays on the CPU, and has a native kernel, runs on that; else
    they are kept slice by slice for the way back.

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
        self._obj = obj
        self._corner = corner
        self._shift = model.shift.detach()[index]
        self._occupancy = None if model.occupancy is None else model.occupancy.detach()
        tilt = None if model.tilt is None else model.tilt.detach()
        self._tilt = tilt if tilt is None or len(tilt) == 1 else tilt[index]
        self._probe = model.probe.detach()
        self._modes = illumination(self._probe, model.source)
        self._native: NativeWaves | None = None
        if products_are_native(self._modes):
            self._native = NativeWaves(
                self._modes,
                obj,
                corner,
                self._shift,
                0.0 if model.thickness is None else model.thickness.detach(),
                self._tilt,
                self._occupancy,
                wavelength=model.wavelength or 1.0,
                pixel_size=model.pixel_size or 1.0,
                model=model.propagator,
            )
        self._chain: SliceWaves | None = None

    @property
    def chain(self) -> SliceWaves:
        """The waves slice by slice, made when they are first asked for."""
        if self._chain is None:
            self._chain = SliceWaves(
                self._model, self._obj, self._modes, self._corner, self._shift, self._tilt
            )
        return self._chain

    def intensity(self) -> torch.Tensor:
        """[B, Ny, Nx] at the detector, corner order."""
        return self.chain.intensity() if self._native is None else self._native.intensity

    def products(
        self,
        ratio: torch.Tensor,
        *,
        rule: tuple[float, float] | None = None,
        apart: bool = False,
        asked: bool = False,
    ) -> WaveProducts:
        """For waves whose moduli at the detector are to become ``ratio`` [B, Ny, Nx] times theirs.

        Parameters
        ----------
        rule : step b and share c of the way back from slice to slice; None: by the adjoint.
        apart, asked : whether ``product`` and ``entrance``, and whether ``asked`` is wanted.
        """
        if self._native is None:
            return self.chain.products(ratio, rule)
        return self._native.products(ratio, rule=rule, apart=apart, asked=asked)

    def asked(self, found: WaveProducts, rule: Rule, power: torch.Tensor) -> Asked:
        """By the PIEs, of the products that go back by the same rule.

        Parameters
        ----------
        rule : of the waves, and so of the probe.
        power : :func:`transmitted` of the whole batch.
        """
        if found.asked is None:  # a denominator that is one number can wait for the sum
            modes = rule(found.probe, power)
        else:
            modes = self.shifted_back(rule(found.asked, power))
        return Asked(found.obj, self.illuminated(found.power), self.of_probe(modes))

    def illuminated(self, power: torch.Tensor, weight: torch.Tensor | None = None) -> torch.Tensor:
        """[No, Nz, Y, X] sum_j w a_j power, where the windows lie, of power [B, No, Nz, Ny, Nx];
        a factor [B, Nz] a_j of each position."""
        if self._occupancy is not None:
            power = power * self._occupancy[:, None, None, None]
        if self._corner.device.type == "cpu":
            lit = power.new_zeros(self._obj.shape)
            for j, place in enumerate(_places(self._corner, self._probe)):
                part = lit[:, :, place[0], place[1]]
                if weight is None:
                    part += power[j]
                else:
                    part.addcmul_(power[j], weight[j, :, None, None])
            return lit
        if weight is not None:
            power = power * weight[:, None, :, None, None]
        one = power.new_ones(len(power), 1, *power.shape[-2:], dtype=torch.complex64)
        parts = []
        for z in range(power.shape[2]):
            with torch.enable_grad():
                plane = torch.zeros_like(self._obj[:, z]).requires_grad_()
                spread = slice_transmit(one, plane, self._corner)
            part = power[:, None, :, z].to(torch.complex64)
            parts.append(torch.autograd.grad(spread, plane, part)[0].real)
        return torch.stack(parts, dim=1)

    @property
    def first_slice(self) -> torch.Tensor:
        """[No, Y, X]."""
        return self._obj[:, 0]

    def weighted(self, values: torch.Tensor) -> torch.Tensor:
        """Values [..., No, Y, X] times the weights of the object modes."""
        occupancy = self._occupancy
        return values if occupancy is None else values * occupancy[:, None, None]

    def windows(self, plane: torch.Tensor) -> torch.Tensor:
        """[B, No, Ny, Nx] of complex values [No, Y, X]."""
        one = plane.new_ones(len(self._corner), 1, *self._probe.shape[-2:])
        return slice_transmit(one, plane, self._corner)[:, 0]

    def lit_by(self, probe: torch.Tensor) -> torch.Tensor:
        """[B, K M, Ny, Nx] the modes of a probe [M, Ny, Nx] at each position."""
        return probe_shift(illumination(probe, self._model.source), self._shift)

    @property
    def on_native_kernels(self) -> bool:
        """Whether they are, so that :meth:`step_overlaps` can be had."""
        return self._native is not None

    def step_overlaps(
        self, found: WaveProducts, of_object: torch.Tensor | None, lit: torch.Tensor | None
    ) -> torch.Tensor:
        """[B, Nz, 5] as :func:`fastpty.ops.step_overlaps` has it."""
        return step_overlaps(
            self._obj,
            of_object,
            lit,
            found.power,
            found.product,
            found.entrance,
            found.asked,
            self._corner,
            self._occupancy,
        )

    def shifted_back(self, waves: torch.Tensor) -> torch.Tensor:
        """[K M, Ny, Nx] sum_j S_j^-1 of waves [B, K M, Ny, Nx]."""
        with torch.enable_grad():
            modes = self._modes.detach().requires_grad_()
            shifted = probe_shift(modes, self._shift)
        return torch.autograd.grad(shifted, modes, waves)[0]

    def of_probe(self, modes: torch.Tensor) -> torch.Tensor:
        """[M, Ny, Nx] what modes [K M, Ny, Nx] of a finite source ask of the probe."""
        if self._model.source is None:
            return modes
        with torch.enable_grad():
            probe = self._probe.detach().requires_grad_()
            lit = illumination(probe, self._model.source)
        return torch.autograd.grad(lit, probe, modes)[0]

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
        y, x = (self.chain.slope(axis, amplitude) for axis in (-2, -1))
        if mask is not None:
            y, x = y * mask, x * mask
        ask_y, ask_x = _overlap(y, missing), _overlap(x, missing)
        yy, xx, yx = _overlap(y, y), _overlap(x, x), _overlap(y, x)
        # Of a determinant that is all rounding nothing follows.
        size = (yy * xx - yx * yx).clamp(min=1e-6 * (yy * xx).clamp(min=1e-30))
        steps = [xx * ask_y - yx * ask_x, yy * ask_x - yx * ask_y]
        return torch.stack(steps, dim=1) / size[:, None]


def transmitted(model: Model, obj: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """[Ny, Nx] sum_jn w |O_0|^2 in the windows.

    It depends on no pattern, so that parts of a batch, wherever they are, know it of all of it.

    Parameters
    ----------
    obj : [No, Nz, Y, X] complex64, transmission.
    corner : [B, 2] of the windows in ``obj``.
    """
    occupancy = model.occupancy
    power = power_of(obj[:, 0])
    power = power.sum(0) if occupancy is None else (power * occupancy[:, None, None]).sum(0)
    if corner.device.type == "cpu":
        total = power.new_zeros(model.probe.shape[-2:])
        for place in _places(corner, model.probe):
            total += power[place]
        return total
    one = obj.new_ones(len(corner), 1, *model.probe.shape[-2:])
    return slice_transmit(one, power[None].to(obj.dtype), corner).real.sum((0, 1))


def _places(corner: torch.Tensor, probe: torch.Tensor) -> list[tuple[slice, slice]]:
    """Of the windows in the object; on a device the host would have to wait for them."""
    ny, nx = probe.shape[-2:]
    return [(slice(y, y + ny), slice(x, x + nx)) for y, x in corner.tolist()]


def _overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[B] sum of a b over [B, Ny, Nx], row by row: the same for any number of threads."""
    return (a * b).sum(-1).sum(-1)
