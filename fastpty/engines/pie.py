"""The ptychographical iterative engines: PIE, ePIE, rPIE and mPIE, for one slice and for several.

Waves get the measured moduli at the detector, and what this changes in them is shared out to
object and probe (:mod:`fastpty.engines.exit_waves`), one batch after the other.

mPIE (Maiden, Johnson & Li, Optica 4 (2017) 736) adds momentum to rPIE: every T patterns ::

    v <- eta v + (O - O_T),    O <- O + eta v

with O_T the object after the move before; likewise the probe.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from fastpty.config.loss import LossConfig
from fastpty.config.optimise import OptimiseConfig
from fastpty.config.plan import Stage
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.exit_waves import (
    Asked,
    ExitWaves,
    Rule,
    amplitude_ratio,
    transmitted,
)
from fastpty.engines.parts import Parts
from fastpty.engines.passes import Passes, Turn, sums
from fastpty.engines.visits import Visit, Visits
from fastpty.forward import wave_memory
from fastpty.loss import Whole, total_loss
from fastpty.measurements import Patterns
from fastpty.model import Model
from fastpty.ops import WaveProducts, products_are_native
from fastpty.ops.waves import limited_waves

__all__ = ["OBJECT", "PieEngine", "PiePasses", "pie_state_copies", "pie_wave_memory"]

# px. Beyond it the waves are no longer linear in the shift.
LONGEST_STEP = 1.0

OBJECT = ("amplitude", "phase")


class PiePasses(Passes):
    """Passes in which each batch is an update.

    Parameters
    ----------
    config : of the stage: engine, its steps, the size of batches.
    velocity : of object and probe, in the engine's keeping.
    """

    def __init__(
        self,
        model: Model,
        patterns: Patterns,
        loss: LossConfig,
        config: OptimiseConfig,
        parts: Parts,
        velocity: dict[str, torch.Tensor],
    ) -> None:
        super().__init__(model, patterns, loss, config.batch_size, parts)
        self._config = config
        self._settings = settings = config.steps
        self._velocity = velocity
        self._rule_object = Rule(
            settings.object_step, settings.object_share, config.engine == "pie"
        )
        self._rule_wave = Rule(settings.probe_step, settings.probe_share)

    def begin(self, transmission: torch.Tensor, patterns: int) -> None:
        """Before a pass over so many patterns, with an object [No, Nz, Y, X]."""
        self.transmission = transmission
        self._done = 0
        every = self._settings.momentum_every
        # Equal parts of the pass, so that each move is made of as many patterns.
        self._interval = patterns / max(1, round(patterns / every)) if every else 0.0
        self._anchors = {name: tensor.clone() for name, tensor in self._carried().items()}

    def watched(self) -> dict[str, torch.Tensor]:
        return self._watched(self.transmission)

    def _watched(self, transmission: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"object": transmission, "probe": self.model.probe, "positions": self.model.shift}

    def step(
        self,
        turn: Turn,
        index: torch.Tensor,
        recorded: torch.Tensor,
        whole: Whole | None = None,
    ) -> torch.Tensor:
        """Of a batch: total and terms of the loss, before its update, and before them, unless the
        pass asks at once whether they are finite, sums of what it can see.

        All moves are found with object, probe and positions as they were, then all are made.
        """
        self._moving = False
        model = self.model
        batch = index if whole is None else whole.index
        first, obj = self._field(model.corner[batch])
        power = transmitted(model, obj, model.corner[batch] - first)
        row = [] if self._asks else [sums(self._watched(obj).values())]
        measured = self.patterns.scaled(recorded)
        mask = self.patterns.mask
        intensity: list[torch.Tensor] = []
        shift: list[torch.Tensor] = []

        def look(part: torch.Tensor, rows: slice) -> Visit:
            return self._visit(obj, part, model.corner[part] - first, measured[rows], rows)

        def gather(visit: Visit) -> Asked:
            intensity.append(visit.intensity)
            if "positions" in turn.free:
                shift.append(visit.waves.position_steps(visit.intensity, visit.measured, mask))
            return self._asked(visit, power)

        visits = Visits(look, index, self._parts)
        asked = visits.sum(gather)
        whole_intensity = intensity[0] if len(intensity) == 1 else torch.cat(intensity)
        loss, terms = total_loss(self._loss, model, index, whole_intensity, measured, mask, whole)
        row.append(self._known_losses(loss, terms))
        of_object, of_probe = self._updates(asked, visits, turn.free, len(batch))
        of_shift = self._of_shift(torch.cat(shift), index, batch) if shift else None
        self._moving = True  # what is moved in part cannot be moved again
        if of_object is not None:
            obj += of_object
        if of_probe is not None:
            model.probe += of_probe
        if of_shift is not None:
            model.shift[batch] += of_shift
        self._move_on(len(batch), turn.free)
        done = torch.cat(row)
        self._moving = False
        return done

    def _visit(
        self,
        obj: torch.Tensor,
        index: torch.Tensor,
        corner: torch.Tensor,
        measured: torch.Tensor,
        rows: slice,
    ) -> Visit:
        """At positions [B] of a batch, with windows at ``corner`` in the object."""
        with limited_waves(self._parts.waves):
            waves = ExitWaves(self.model, obj, index, corner)
        intensity = waves.intensity()
        found = self._products(waves, self._ratio(intensity, measured))
        return Visit(rows, waves, intensity, measured, found)

    def _ratio(self, intensity: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """[B, Ny, Nx] by which the spectra are multiplied."""
        return amplitude_ratio(intensity, measured, self.patterns.mask)

    def _products(self, waves: ExitWaves, ratio: torch.Tensor) -> WaveProducts:
        rule = self._rule_wave
        return waves.products(ratio, rule=(rule.step, rule.share), asked=rule.share < 1)

    def _asked(self, visit: Visit, power: torch.Tensor) -> Asked:
        """By the positions of a visit; ``power``: what the object of the batch transmits."""
        return visit.waves.asked(visit.found, self._rule_wave, power)

    def _updates(
        self, asked: Asked, visits: Visits, free: tuple[str, ...], count: int
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(of the object [No, Nz, Y, X], of the probe [M, Ny, Nx]); None where it is fixed.

        Parameters
        ----------
        asked : by the positions that are here, of ``count`` in the batch.
        """
        asked = asked.over(self._processes.add)
        of_object = self._rule_object(asked.obj, asked.light)
        return (
            of_object if any(name in free for name in OBJECT) else None,
            asked.probe if "probe" in free else None,
        )

    def _of_shift(
        self, step: torch.Tensor, index: torch.Tensor, batch: torch.Tensor
    ) -> torch.Tensor:
        """[B, 2] px of all positions of a batch, of the steps of those that are here."""
        step = (self._settings.position_step * step).clamp_(-LONGEST_STEP, LONGEST_STEP)
        if self._processes.alone:
            return step
        steps = torch.zeros_like(self.model.shift)
        steps[index] = step
        return self._processes.add(steps[batch])

    def _field(self, corner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(its first pixel, the part of the object that a batch can see).

        On a device all of it: to ask where the windows lie would make the host wait.
        """
        if corner.device.type != "cpu":
            return torch.zeros_like(corner[0]), self.transmission
        first = corner.amin(0)
        y, x = first.tolist()
        window = self.model.probe.shape[-2:]
        height, width = (int(n) for n in corner.amax(0) - first)
        rows, columns = slice(y, y + height + window[0]), slice(x, x + width + window[1])
        return first, self.transmission[:, :, rows, columns]

    def _carried(self) -> dict[str, torch.Tensor]:
        """What has momentum, by name."""
        if not self._settings.momentum_every:
            return {}
        return {"object": self.transmission, "probe": self.model.probe}

    def _move_on(self, count: int, free: tuple[str, ...]) -> None:
        """After so many more patterns: along the velocities, if it is time."""
        before, self._done = self._done, self._done + count
        if not self._interval or before // self._interval == self._done // self._interval:
            return
        lasting = {
            "object": self._settings.object_momentum,
            "probe": self._settings.probe_momentum,
        }
        for name, tensor in self._carried().items():
            moving = name in free or (name == "object" and any(n in free for n in OBJECT))
            if not moving:
                continue
            velocity = self._velocity.setdefault(name, torch.zeros_like(tensor))
            velocity.mul_(lasting[name]).add_(tensor - self._anchors[name])
            tensor.add_(velocity, alpha=lasting[name])
            self._anchors[name].copy_(tensor)


class PieEngine(Engine):
    """One of the four engines, by the stage's config.

    Between iterations the object is amplitude and phase. Within one it is their complex product,
    ``O = A exp(i phi)``; afterwards ``A' = |O'|``, and the phase goes on from where it was,
    ``phi' = phi + arg(O' exp(-i phi))``, so that it needs no unwrapping.
    """

    shares = True
    kind: ClassVar[type[PiePasses]] = PiePasses
    """How its batches are passed over."""

    _passes: PiePasses

    def _set_up(self, stage: Stage) -> None:
        self._settings = stage.optimise.steps
        self._velocity: dict[str, torch.Tensor] = {}
        super()._set_up(stage)

    def _make_passes(self, loss: LossConfig) -> Passes:
        return self.kind(self.model, self.patterns, loss, self._config, self._parts, self._velocity)

    @torch.no_grad()
    def run_iteration(self, iteration: int) -> IterationReport:
        """One pass over the stage's patterns in fresh batches, an update after each.

        The loss is that of each batch before its update, as with gradient descent.
        """
        free = self._free(iteration)
        model = self.model
        for tensor in model.unknowns.values():
            tensor.requires_grad_(False)
        turned = torch.polar(torch.ones_like(model.phase), model.phase)
        self._passes.begin(model.amplitude * turned, len(self.visited))
        loss, terms = self._passes.run(self._order(iteration), free, 1)
        found = self._passes.transmission
        if "phase" in free:
            # The phase of a negative amplitude is that of its modulus, so a half turn beside phi.
            model.phase.add_((found * turned.conj()).angle())
        if "amplitude" in free:
            model.amplitude.copy_(found.abs())
        self._losses.append(loss)
        return IterationReport(loss, terms, self._steps(free))

    def _steps(self, free: tuple[str, ...]) -> dict[str, float]:
        settings = self._settings
        steps = {
            "amplitude": settings.object_step,
            "phase": settings.object_step,
            "probe": settings.probe_step,
            "positions": settings.position_step,
        }
        return {name: steps[name] if name in free else 0.0 for name in self.model.unknowns}

    def inherit(self, earlier: Engine) -> None:
        """Take over the velocities, if the engine is of the same kind and leaves no position out
        that was visited before."""
        if not isinstance(earlier, PieEngine) or earlier.model is not self.model:
            return
        if not np.isin(earlier.visited.index, self.visited.index).all():
            return
        if earlier._config.engine == self._config.engine:
            self._velocity.update(earlier._velocity)

    def state(self) -> dict[str, Any]:
        """The engine's name and its velocities."""
        return {"optimiser": self._config.engine, "velocity": dict(self._velocity)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the velocities; what another engine remembers is of no use."""
        if state["optimiser"] == self._config.engine:
            self._velocity.update(state["velocity"])


def pie_state_copies(optimise: OptimiseConfig) -> int:
    """How many times the memory of the unknowns the engine needs for itself: the complex object,
    and for momentum where it was and its velocity."""
    return 3 if optimise.steps.momentum_every else 1


def pie_wave_memory(model: Model, batch: int) -> int:
    """Bytes of the waves of a batch, estimated."""
    object_modes, slices = model.phase.shape[:2]
    points = 1 if model.source is None else len(model.source[1])
    waves = batch * points * model.probe.nbytes
    if products_are_native(model.probe):
        # What each position's windows are to change by, how they are lit, and work on either; and
        # waves at the entrance.
        windows = 7 * batch * object_modes * slices * model.probe[0].numel() * 4
        return wave_memory(model, batch) + windows + 4 * waves
    # Incident and exit wave of each slice; on the way back the change, its product with the
    # object, what is propagated of it, and the transforms' work space.
    return (2 * slices + 6) * object_modes * waves
