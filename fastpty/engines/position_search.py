"""Search of scan positions that are off by many pixels: trials in objects made without them.

An iteration knows nothing of the object of the one before:

1. The object is made anew from vacuum, by a few passes of rPIE over all patterns
   (:mod:`fastpty.engines.pie`); from the second pass on the probe moves too.
2. The positions are dealt into K folds at random. For each fold the object is made once more, of
   the patterns of the other folds alone. There each of its positions j is tried at d_t around where
   it is, and goes where the amplitudes are nearest to the measured ones::

       d_j = argmin_t  sum_k (sqrt(M_jk) - sqrt(I_k(r_j + d_t)))^2

Trial positions are those of Maiden, Humphry, Sarahan, Kraus & Rodenburg, Ultramicroscopy 120
(2012) 64, whose disc shrinks in the course of the iterations as this one does. Theirs are tried in
the one object, which has fitted each pattern where it is believed to be: it is best met there,
however wrong. To choose by data that had no part in the fit is cross-validation (Stone, J. R. Stat.
Soc. B 36 (1974) 111).

The trials lie on a square grid in a disc of radius R, a quarter of it apart: 49 with that at rest.
R falls linearly from iteration to iteration, down to one pixel.

3. Positions that went astray while there was little to see would never come back. So the tenth of
   each fold whose patterns are met worst is tried once more over twice the first radius around
   where the run found it, as finely as in the first iteration: 197 trials.

4. While R is larger than half the first one, what neighbours have moved in common is taken back.
   With u the displacements from the start r, and R_1 the first radius::

       u_j <- u_j - sum_i g_ij u_i / sum_i g_ij,    g_ij = exp(-|r_i - r_j|^2 / (2 (5 R_1)^2))

   An object can be made of what moves together, so that only its border shows; a region which is
   put together early would stay where it happened to begin. Errors that are large and independent
   have hardly a mean over so many positions.

No position goes farther than 2 R_1, and none to where its window would leave the object.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.plan import Stage
from fastpty.engines.engine import IterationReport
from fastpty.engines.exit_waves import FLOOR
from fastpty.engines.pie import PieEngine
from fastpty.forward import illumination, simulate_patterns
from fastpty.model import Model

__all__ = ["SEARCH_STATE_COPIES", "SearchEngine", "disc", "rms_width"]

SEARCH_STATE_COPIES = 3
"""The object of a fold as a product, and as amplitude and phase; what begins each is small."""

# Of the last iteration, px: what is left is small enough for slopes.
LAST_RADIUS = 1.0

# Grid steps in a radius.
STEPS = 4

# How many first radii a position may go from its start.
FARTHEST = 2

# How many first radii neighbours lie apart.
NEIGHBOURS = 5.0

# Share of a fold that is tried again from its start.
ASTRAY = 0.1

_OBJECT = ("amplitude", "phase")


class SearchEngine(PieEngine):
    """Positions by trials; object and probe by rPIE on the way."""

    shares = False

    def _set_up(self, stage: Stage) -> None:
        self._search = stage.optimise.search
        self._iterations = stage.iterations
        self._radius = self._search.radius or max(LAST_RADIUS, rms_width(self.model))
        super()._set_up(stage)

    @torch.no_grad()
    def run_iteration(self, iteration: int) -> IterationReport:
        """Object and probe anew, then a search of every position of the stage.

        The loss is that of the last pass over all patterns, before the search.
        """
        free = self._free(iteration)
        for tensor in self.model.unknowns.values():
            tensor.requires_grad_(False)
        order = self._order(iteration)
        made = self._made(order, free)
        for name, tensor in zip(_OBJECT, self._parted(free), strict=True):
            self.model.unknowns[name].copy_(tensor)
        steps = {name: step for name, step in self._steps(free).items() if name != "positions"}
        radius = 0.0
        if "positions" in free and len(self.visited) > 1:
            radius = self._radius_of(iteration)
            self._move(order, free, radius, iteration)
        self._losses.append(made[0])
        return IterationReport(*made, {**steps, "positions": radius}, self._search.passes)

    def _made(
        self, order: NDArray[np.int64], free: tuple[str, ...]
    ) -> tuple[float, dict[str, float]]:
        """Make the object of those patterns from vacuum; the loss of the last pass, and its terms.

        In the first pass, in which the object is not yet there, the probe rests.
        """
        moving = tuple(name for name in free if name != "positions")
        resting = tuple(name for name in moving if name != "probe")
        model = self.model
        amplitude = torch.ones_like(model.amplitude) if "amplitude" in free else model.amplitude
        phase = torch.zeros_like(model.phase) if "phase" in free else model.phase
        self._passes.begin(torch.polar(amplitude.abs(), phase), len(order))
        for number in range(self._search.passes):
            loss, terms = self._passes.run(order, moving if number else resting, 1)
        return loss, terms

    def _parted(self, free: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """(amplitude, phase) of the object that was made last; what is fixed is the model's."""
        found, model = self._passes.transmission, self.model
        return (
            found.abs() if "amplitude" in free else model.amplitude,
            found.angle() if "phase" in free else model.phase,
        )

    def _radius_of(self, iteration: int) -> float:
        done = (iteration - 1) / max(1, self._iterations - 1)
        return self._radius + (LAST_RADIUS - self._radius) * min(1.0, done)

    def _move(
        self, order: NDArray[np.int64], free: tuple[str, ...], radius: float, iteration: int
    ) -> None:
        """Put every position where its pattern is met best by the object of the other folds."""
        rng = np.random.default_rng([self._seed, self._before + iteration, 1])
        count = min(self._search.folds, len(self.visited))
        folds = np.array_split(rng.permutation(self.visited.index), count)
        resting = tuple(name for name in free if name != "probe")
        model = self.model
        near = disc(radius).to(model.shift)
        far = disc(FARTHEST * self._radius, FARTHEST * STEPS).to(model.shift)
        start = torch.from_numpy(model.positions_start).to(model.shift.device)
        moves = torch.zeros_like(model.shift)
        for fold in folds:
            self._made(order[~np.isin(order, fold)], resting)
            amplitude, phase = self._parted(free)
            trial = replace(model, amplitude=amplitude, phase=phase)
            index = torch.from_numpy(fold).to(model.shift.device)
            misfit, moves[index] = self._best(trial, index, near.expand(len(fold), -1, -1))
            worst = misfit.argsort(descending=True, stable=True)[: max(1, int(ASTRAY * len(fold)))]
            astray = index[worst]
            back = start[astray] - model.corner[astray] - model.shift[astray]
            again, move = self._best(trial, astray, back[:, None].to(far) + far)
            moves[astray] = torch.where((again < misfit[worst])[:, None], move, moves[astray])
        model.shift += moves
        if radius > self._radius / 2:
            self._stand_apart()

    def _stand_apart(self) -> None:
        """Take back what the stage's positions have moved in common with their neighbours."""
        model = self.model
        start = torch.from_numpy(model.positions_start[self.visited.index])
        moved = torch.from_numpy(model.displacement[self.visited.index])
        width = NEIGHBOURS * self._radius
        kept = []
        # Row by row: the distances of all pairs of a large scan would not fit into memory.
        for place, own in zip(start.split(256), moved.split(256), strict=True):
            distance = (place[:, None] - start).square().sum(2)
            near = torch.exp(-distance / (2 * width**2))
            kept.append(own - near @ moved / near.sum(1, keepdim=True))
        wanted = torch.cat(kept)
        farthest = FARTHEST * self._radius / wanted.norm(dim=1, keepdim=True).clamp(min=1e-9)
        change = wanted * farthest.clamp(max=1.0) - moved
        index = torch.from_numpy(self.visited.index).to(model.shift.device)
        model.shift[index] += change.to(model.shift)

    def _best(
        self, trial: Model, index: torch.Tensor, moves: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the moves [F, T, 2] px of positions ``index`` [F]: (the least misfit [F], over the
        counts of the pattern, and its move [F, 2])."""
        count = moves.shape[1]
        canvas, window = (
            torch.tensor(array.shape[-2:], device=index.device)
            for array in (trial.phase, trial.probe)
        )
        start = torch.from_numpy(trial.positions_start).to(index.device)
        misfits = []
        trials = torch.arange(len(index) * count, device=index.device)
        size = self._config.batch_size
        for part in trials.split(min(size, self._parts.largest or size)):
            here, move = index[part // count], moves.reshape(-1, 2)[part]
            shift = trial.shift[here] + move
            whole = shift.round()
            wanted = trial.corner[here] + whole.to(torch.int64)
            corner = torch.minimum(wanted.clamp(min=0), canvas - window)
            away = trial.corner[here] + shift.double() - start[here]
            banned = (corner != wanted).any(1) | (away.norm(dim=1) > FARTHEST * self._radius)
            put = replace(trial, corner=corner, shift=shift - whole)
            if trial.tilt is not None and len(trial.tilt) > 1:
                put.tilt = trial.tilt[here]
            intensity = simulate_patterns(put, torch.arange(len(here), device=index.device))
            misfit = self._misfit(intensity, self.patterns.batch(here))
            # To stay is never banned, so that there always is a place to be.
            misfits.append(misfit.masked_fill(banned & (move != 0).any(1), math.inf))
        least, place = torch.cat(misfits).reshape(len(index), count).min(dim=1)
        return least, moves[torch.arange(len(index), device=index.device), place]

    def _misfit(self, intensity: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """[B] squared distance of the amplitudes in good pixels, over the counts there."""
        missing = ((intensity + FLOOR).sqrt() - measured.sqrt()).square()
        if self.patterns.mask is not None:
            missing, measured = missing * self.patterns.mask, measured * self.patterns.mask
        counts = measured.sum(-1).sum(-1).clamp(min=torch.finfo(measured.dtype).tiny)
        found: torch.Tensor = missing.sum(-1).sum(-1) / counts
        return found

    def state(self) -> dict[str, Any]:
        """Nothing moves on but the first radius, found of the probe that the stage began with."""
        return {**super().state(), "radius": self._radius}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the radius, unless the config names one."""
        super().load_state(state)
        if "radius" in state and self._search.radius is None:
            self._radius = state["radius"]


def disc(radius: float, steps: int = STEPS) -> torch.Tensor:
    """[T, 2] px: a square grid in a disc, so many steps in its radius; its middle comes first."""
    grid = torch.arange(-steps, steps + 1)
    points = torch.cartesian_prod(grid, grid)
    distance = points.square().sum(1)
    points = points[distance.argsort(stable=True)][: int((distance <= steps**2).sum())]
    return points * (radius / steps)


def rms_width(model: Model) -> float:
    """Of the illumination along an axis, px: root mean square about its centre, both axes."""
    power = illumination(model.probe, model.source).abs().square().sum(0).double()
    power = power / power.sum()
    variance = 0.0
    for axis in (0, 1):
        along = power.sum(1 - axis)
        place = torch.arange(len(along), device=along.device, dtype=along.dtype)
        centre = (along * place).sum()
        variance += float((along * (place - centre).square()).sum())
    return math.sqrt(variance / 2)
