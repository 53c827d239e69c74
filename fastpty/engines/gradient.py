"""Gradient descent: every batch, or every few, each unknown that is free takes a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fastpty.config.loss import LossConfig
from fastpty.config.plan import Stage
from fastpty.engines import graphs
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.optimisers import (
    can_be_recorded,
    make_optimiser,
    set_rate,
    without_device_counters,
)
from fastpty.engines.passes import Passes
from fastpty.engines.rates import rate_factor
from fastpty.engines.tiled_adam import TiledAdam, choose_tiling
from fastpty.forward import runs_fused

__all__ = ["GradientEngine"]


class GradientEngine(Engine):
    """An optimiser of torch's on the model's unknowns, gradients from the ops.

    By default Adam (Kingma & Ba, ICLR 2015), which moves after every batch. On CUDA nothing within
    an iteration waits for the device, and small batches run as CUDA graphs.
    """

    shares = True

    def _set_up(self, stage: Stage) -> None:
        super()._set_up(stage)
        model = self.model
        tiling = choose_tiling(self._config, stage.loss, model, self._order(1))
        self._optimiser = make_optimiser(self._config, model.unknowns, tiling)
        object_modes, slices = model.phase.shape[:2]
        points = 1 if model.source is None else len(model.source[1])
        pays = (
            self._parts.largest is None
            and self.patterns.share.processes.alone
            and can_be_recorded(self._config.optimiser.name)
            and runs_fused(model)
            and graphs.pays(
                model.probe,
                points * object_modes,
                slices,
                min(self._config.batch_size, len(self.visited)),
            )
        )
        self.record_with(graphs.CudaRecorder(model.probe.device) if pays else None)

    def run_iteration(self, iteration: int) -> IterationReport:
        """One pass over the stage's patterns in fresh random batches, a step after each group."""
        free = self._free(iteration)
        rates = self._set_rates(iteration, free)
        loss, terms = self._passes.run(self._order(iteration), free, self._config.accumulate)
        if isinstance(self._optimiser, TiledAdam):
            self._optimiser.settle()
        self._losses.append(loss)
        return IterationReport(loss, terms, rates)

    def _make_passes(self, loss: LossConfig) -> Passes:
        size = self._config.batch_size
        return Passes(
            self.model, self.patterns, loss, size, self._parts, self._move, self._catch_up
        )

    def _catch_up(self, index: torch.Tensor) -> None:
        if isinstance(self._optimiser, TiledAdam):
            self._optimiser.catch_up(self.model.corner[index])

    def _move(self, free: tuple[str, ...]) -> None:
        self._optimiser.step()
        if "occupancy" in free:
            self.model.normalise_occupancy()

    def _set_rates(self, iteration: int, free: tuple[str, ...]) -> dict[str, float]:
        """Learning rates of an iteration, which the optimiser has from now on."""
        rates = {}
        for name, group in zip(self.model.unknowns, self._optimiser.param_groups, strict=True):
            factor = rate_factor(self._config.schedule_for(name), iteration, self._losses)
            rate = self._config.parameter(name).lr * factor
            set_rate(group, rate)
            rates[name] = rate if name in free else 0.0
        return rates

    def inherit(self, earlier: Engine) -> None:
        """Take over the moments of each unknown whose optimiser and options stay the same.

        Where positions are left out that were visited before, none: what they have of their own
        would go on moving by its momentum, with no pattern to hold it.
        """
        if not isinstance(earlier, GradientEngine) or earlier.model is not self.model:
            return
        if not np.isin(earlier.visited.index, self.visited.index).all():
            return
        if earlier._config.optimiser.name != self._config.optimiser.name:
            return
        for name, tensor in self.model.unknowns.items():
            same = earlier._config.options_for(name) == self._config.options_for(name)
            if same and tensor in earlier._optimiser.state:
                self._optimiser.state[tensor] = earlier._optimiser.state[tensor]

    def state(self) -> dict[str, Any]:
        """The optimiser's name, and its moments by the names of the unknowns."""
        names, moments = list(self.model.unknowns), self._optimiser.state_dict()["state"]
        return {
            "optimiser": self._config.optimiser.name,
            "state": {names[number]: values for number, values in moments.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Take the moments; those of another optimiser are of no use.

        Nor are those of an unknown that the model no longer has, as no stage to come moves it.
        """
        name = self._config.optimiser.name
        if state["optimiser"] != name:
            return
        kept = without_device_counters(name, state["state"])
        numbers = {unknown: number for number, unknown in enumerate(self.model.unknowns)}
        moments = {numbers[unknown]: kept[unknown] for unknown in kept.keys() & numbers.keys()}
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        # Graphs would go on with the moments from before.
        self.record_with(self._passes.recorder)
