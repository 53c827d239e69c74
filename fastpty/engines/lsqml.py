"""Iterative least squares of generalised maximum likelihood: LSQ-ML.

After Odstrcil, Menzel & Guizar-Sicairos, Opt. Express 26 (2018) 3108. A batch of positions j, with
the waves psi_z[j,m,n] incident on slice z of the object O_z[n], of weight w_n, and spectra S of the
exit waves, I = sum_mn w |S|^2:

1. What the exit waves are to change by, down the gradient of the likelihood of the noise ::

       chi = F^-1{ S (sqrt(M / I) - 1) }                  amplitudes (Gaussian), whose step is 1
       chi = F^-1{ S xi_j (M / I - 1) }                   counts (Poisson), xi_j from poisson_step

2. One direction for object and probe, from all positions of the batch; both are gradients, over
   the illumination and transmission q, to which a share delta of their largest is added ::

       dO_z = sum_jm conj(psi_z) chi_z / (q + delta_O max q),    q = sum_jm w |psi_z|^2
       dP   = sum_jn S_j^-1 { w conj(O_0) chi_0 } / (q + delta_P max q),    q = sum_jn w |O_0|^2

   where chi_{z-1} is conj(O_z) chi_z, propagated backwards, and S_j moves the probe to its place.

3. For each position by itself the two steps that explain chi best, to first order ::

       min_{a,b} sum_mn w || chi_0 - a dO_0 psi_0 - b S_j(dP) O_0 ||^2

   Behind the first slice there is the object alone; a slice takes 1 / Nz of its step, as all of
   them explain the same chi (several slices: Tsai et al., Opt. Express 24 (2016) 29089).

4. Their means over the batch, that of the object weighted by who sees a pixel ::

       O_z += dO_z / Nz  sum_j a_z,j sum_m |psi_z|^2 / sum_jm |psi_z|^2,        P += dP mean_j(b_j)

All modes have a say in 2 and 3: the directions are then those of the likelihood itself, and the
steps those of its least squares. (The authors' program moves the object by the first mode alone.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from fastpty.engines.exit_waves import Asked, ExitWaves
from fastpty.engines.pie import OBJECT, PieEngine, PiePasses
from fastpty.engines.slice_waves import largest, power_of
from fastpty.engines.visits import Visit, Visits
from fastpty.ops import WaveProducts

__all__ = ["LsqmlEngine", "overlaps_of", "poisson_step", "solve_steps"]

# Newton's steps in the search for the one along the Poisson likelihood.
_SEARCHES = 3


class LsqmlPasses(PiePasses):
    """Passes in which each batch is an update by least squares."""

    def _products(self, waves: ExitWaves, ratio: torch.Tensor) -> WaveProducts:
        return waves.products(ratio, apart=True)

    def _asked(self, visit: Visit, power: torch.Tensor) -> Asked:
        waves, found = visit.waves, visit.found
        passed = power + self._config.lsqml.probe_damping * largest(power)
        of_probe = waves.of_probe(found.probe / passed)
        return Asked(found.obj, waves.illuminated(found.power), of_probe)

    def _updates(
        self, asked: Asked, visits: Visits, free: tuple[str, ...], count: int
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        config, add = self._config.lsqml, self._processes.add
        asked = asked.over(add)
        light = asked.light
        of_object = of_probe = None
        if any(name in free for name in OBJECT):
            of_object = asked.obj / (light + config.object_damping * largest(light))
        if "probe" in free:
            of_probe = asked.probe

        def mean(rows: torch.Tensor) -> torch.Tensor:
            return add(rows.sum(0)) / count

        overlaps = visits.rows(lambda visit: overlaps_of(visit, of_object, of_probe))
        a, b = solve_steps(overlaps, config.step_damping, mean)
        if of_object is not None:
            lit = add(visits.sum(lambda v: v.waves.illuminated(v.found.power, a[v.rows])))
            tiny = torch.finfo(light.dtype).tiny
            step = config.object_step / a.shape[1]
            of_object = of_object * (step * (lit / light.clamp(min=tiny)))
        if of_probe is not None:
            of_probe = of_probe * (config.probe_step * mean(b))
        return of_object, of_probe

    def _ratio(self, intensity: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        poisson = self._loss.poisson
        if poisson is None:
            return super()._ratio(intensity, measured)
        mask = self.patterns.mask
        floored = intensity + poisson.eps
        excess = 1 - measured / floored
        if mask is not None:
            excess = torch.where(mask, excess, 0.0)
        step = poisson_step(floored, measured, excess)
        return 1 - step[:, None, None] * excess


class LsqmlEngine(PieEngine):
    """LSQ-ML; what is between the batches is as with the PIEs."""

    kind = LsqmlPasses


def poisson_step(
    intensity: torch.Tensor, measured: torch.Tensor, excess: torch.Tensor
) -> torch.Tensor:
    """[B] the step xi down the gradient of the Poisson likelihood that makes it largest.

    Along S (1 - xi e), with e = 1 - M / I, up to constants ::

        L(xi)   = sum_k I (1 - xi e)^2 - 2 M log(1 - xi e)
        L' / 2  = sum_k e (M / (1 - xi e) - I (1 - xi e))
        L'' / 2 = sum_k e^2 (M / (1 - xi e)^2 + I)

    It is convex, and falls at 0. A pixel by itself wants 1 / (1 + sqrt(M / I)), near a solution
    1/2; from their mean, weighted by e^2 I, by Newton's steps on xi L', to which single bright
    pixels add little more than a constant; they are halvings of the interval where they leave it.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] I > 0 and M.
    excess : [B, Ny, Nx] e; 0 where a pixel is bad.
    """
    low, high = intensity.new_zeros(len(intensity)), intensity.new_ones(len(intensity))
    weight = excess.square().mul_(intensity)
    total = _sum(weight).clamp(min=torch.finfo(weight.dtype).tiny)
    step = _sum(weight / (1 + (measured / intensity).sqrt())) / total
    for _ in range(_SEARCHES):
        # At most 1: where M is 0, that pixel is dark after a whole step.
        left = (1 - step[:, None, None] * excess).clamp_(min=1e-6)
        counts = measured / left
        slope = (excess * (counts - intensity * left)).sum(-1).sum(-1)
        bend = (excess.square() * (counts / left + intensity)).sum(-1).sum(-1)
        low, high = torch.where(slope < 0, step, low), torch.where(slope < 0, high, step)
        tried = step - step * slope / (slope + step * bend)
        inside = (tried >= low) & (tried <= high)
        step = torch.where(inside, tried, (low + high) / 2)
    return step


def overlaps_of(
    visit: Visit, of_object: torch.Tensor | None, of_probe: torch.Tensor | None
) -> torch.Tensor:
    """[B, Nz, 5] of every position and slice what :func:`solve_steps` is about.

    Parameters
    ----------
    visit : with products apart.
    of_object, of_probe : the directions, [No, Nz, Y, X] and [M, Ny, Nx]; None: it is fixed.
    """
    waves, found = visit.waves, visit.found
    lit = None if of_probe is None else waves.lit_by(of_probe)
    if waves.on_native_kernels:
        return waves.step_overlaps(found, of_object, lit)
    positions, _, slices, *_ = found.power.shape
    none = found.power.new_zeros(positions)
    rows = []
    for z in range(slices):
        oo = op = pp = ask_o = ask_p = none
        if of_object is not None and found.product is not None:
            window = waves.windows(of_object[:, z])
            oo = _sum(power_of(window).mul_(waves.weighted(found.power[:, :, z])))
            ask_o = _real_sum(window, found.product[:, :, z])
        if z == 0 and lit is not None and found.asked is not None:
            there = waves.windows(waves.first_slice)
            pp = _sum(waves.weighted(power_of(there)).sum(1) * power_of(lit).sum(1))
            ask_p = _real_sum(lit, found.asked)
            if of_object is not None and found.entrance is not None:
                across = waves.weighted(there.conj() * window).sum(1)
                op = _real_sum(across, (found.entrance.conj() * lit).sum(1))
        rows.append(torch.stack([oo, op, pp, ask_o, ask_p], dim=1))
    return torch.stack(rows, dim=1)


def solve_steps(
    overlaps: torch.Tensor, damping: float, mean: Callable[[torch.Tensor], torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(a [B, Nz], b [B]) at the minimum of
    ``(a, b) [[oo, op], [op, pp]] (a, b) - 2 (ask_o, ask_p) (a, b)`` over a, b >= 0: where one of
    the two would be negative, it is 0 and the other by itself.

    Parameters
    ----------
    overlaps : [B, Nz, 5] oo, op, pp, ask_o, ask_p, those of the probe in the first slice alone.
    damping : share of the mean over the batch of oo, and of pp, that is added to them.
    mean : over the batch, of rows [B, ...] of the positions that are here.
    """
    oo, op, pp, ask_o, ask_p = overlaps.unbind(-1)
    tiny = torch.finfo(oo.dtype).tiny
    more_o, more_p = mean(torch.stack([oo, pp], dim=-1)).unbind(-1)
    oo = oo + damping * more_o
    pp = pp + damping * more_p
    # What does not move has neither a diagonal nor a right side.
    oo, pp = (torch.where(d > 0, d, 1.0) for d in (oo, pp))
    # Of two directions that do the same the determinant is all rounding.
    size = (oo * pp - op * op).clamp(min=1e-6 * (oo * pp).clamp(min=tiny))
    a, b = pp * ask_o - op * ask_p, oo * ask_p - op * ask_o
    # What another's negative step would have undone has to be left out with it.
    alone_a, alone_b = (ask_o / oo).clamp(min=0), (ask_p / pp).clamp(min=0)
    of_object = torch.where(b < 0, alone_a, (a / size).clamp(min=0))
    of_probe = torch.where(a < 0, alone_b, (b / size).clamp(min=0))
    return of_object, of_probe[:, 0]


def _sum(values: torch.Tensor) -> torch.Tensor:
    """[B] of real [B, ..., Ny, Nx], row by row: the same for any number of threads."""
    rows = values.sum(-1).sum(-1)
    return rows.flatten(1).sum(-1) if rows.ndim > 1 else rows


def _real_sum(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """[B] Re sum conj(a) b of complex [B, ..., Ny, Nx]."""
    # Real and imaginary parts as one row: a sum over pairs is slow.
    left, right = (torch.view_as_real(part).flatten(-2) for part in (a, b))
    return _sum(left * right)
