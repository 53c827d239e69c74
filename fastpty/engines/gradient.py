"""Gradient descent: every batch, or every few, each unknown that is free takes a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fastpty.config.solve import LossConfig, OptimiseConfig
from fastpty.engines import graphs
from fastpty.engines.grouping import batch_order
from fastpty.engines.optimisers import (
    can_be_recorded,
    make_optimiser,
    set_rate,
    without_device_counters,
)
from fastpty.engines.rates import rate_factor
from fastpty.engines.tiled_adam import TiledAdam, choose_tiling
from fastpty.forward import raise_device_errors, runs_fused, simulate_patterns
from fastpty.loss import total_loss
from fastpty.measurements import Patterns, PatternSource
from fastpty.model import Model

__all__ = ["GradientEngine", "IterationReport"]


@dataclass(frozen=True)
class IterationReport:
    """Mean loss and weighted terms over the batches of one iteration, and the learning rate with
    which each unknown moved, 0 where it did not."""

    loss: float
    terms: dict[str, float]
    lr: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Turn:
    """What a batch is, beside its patterns.

    ``first`` and ``last`` of those whose gradients make one step; ``share`` of their patterns.
    """

    free: tuple[str, ...]
    first: bool = True
    last: bool = True
    share: float = 1.0


class GradientEngine:
    """An optimiser of torch's on the model's unknowns, gradients from the ops.

    By default Adam (Kingma & Ba, ICLR 2015), which moves after every batch. On CUDA nothing within
    an iteration waits for the device, and small batches run as CUDA graphs.

    Parameters
    ----------
    model : changed in place; its tensors stay the same ones.
    patterns : whose batches come on the model's device.
    """

    def __init__(
        self,
        model: Model,
        patterns: Patterns,
        optimise: OptimiseConfig,
        loss: LossConfig,
        seed: int,
    ) -> None:
        self.model = model
        self.patterns = patterns
        self._source = PatternSource(patterns)
        self._config = optimise
        self._loss = loss
        self._seed = seed
        self._terms: list[str] = []
        self._losses: list[float] = []
        # Sums over batches: in one place, where every graph of a group finds them.
        self._gradients: dict[str, torch.Tensor] = {}
        tiling = choose_tiling(optimise, loss, model, seed)
        self._optimiser = make_optimiser(optimise, model.unknowns, tiling)
        object_modes, slices = model.phase.shape[:2]
        batch = min(optimise.batch_size, len(patterns))
        points = 1 if model.source is None else len(model.source[1])
        pays = (
            can_be_recorded(optimise.optimiser.name)
            and runs_fused(model)
            and graphs.pays(model.probe, points * object_modes, slices, batch)
        )
        self.record_with(graphs.CudaRecorder(model.probe.device) if pays else None)

    def record_with(self, recorder: graphs.Recorder | None) -> None:
        """Run steps as graphs from now on, or, with None, as they are; by itself it does what
        pays."""
        self._recorder = recorder
        self._graphed = None if recorder is None else graphs.GraphedStep(self._step, recorder)

    def run_iteration(self, iteration: int) -> IterationReport:
        """One pass over all patterns in fresh random batches; iterations count from 1.

        Raises
        ------
        ValueError : kernels on a device found a window outside the object, or a thickness or tilt
            that is not finite.
        """
        free = self._free(iteration)
        rates = self._set_rates(iteration, free)
        # The order depends on seed and iteration alone, so a resumed run repeats it.
        order = batch_order(
            self._config.grouping,
            self.model.positions_start,
            self._config.batch_size,
            np.random.default_rng([self._seed, iteration]),
            self.model.scan_shape,
        )
        sums = torch.zeros(())
        for number, batch in enumerate(self._source.batches(order, self._config.batch_size)):
            turn = self._turn(free, number, len(order))
            if self._graphed is None:
                values = self._step(turn, batch.index, batch.recorded)
            else:
                values = self._graphed(turn, batch.index, batch.recorded)
            values = len(batch.index) / len(order) * values
            sums = values if number == 0 else sums + values
        if isinstance(self._optimiser, TiledAdam):
            self._optimiser.settle()
        raise_device_errors(self.model.probe.device)
        total, *terms = sums.tolist()
        self._losses.append(total)
        return IterationReport(total, dict(zip(self._terms, terms, strict=True)), rates)

    def _free(self, iteration: int) -> tuple[str, ...]:
        """Let those unknowns move whose turn it is, and name them."""
        free = []
        for name, tensor in self.model.unknowns.items():
            setting = self._config.parameter(name)
            started = iteration >= setting.start
            stopped = setting.stop is not None and iteration > setting.stop
            tensor.requires_grad_(setting.lr > 0 and started and not stopped)
            if tensor.requires_grad:
                free.append(name)
        return tuple(free)

    def _set_rates(self, iteration: int, free: tuple[str, ...]) -> dict[str, float]:
        """Learning rates of an iteration, which the optimiser has from now on."""
        rates = {}
        for name, group in zip(self.model.unknowns, self._optimiser.param_groups, strict=True):
            factor = rate_factor(self._config.schedule_for(name), iteration, self._losses)
            rate = self._config.parameter(name).lr * factor
            set_rate(group, rate)
            rates[name] = rate if name in free else 0.0
        return rates

    def _turn(self, free: tuple[str, ...], number: int, total: int) -> _Turn:
        """Of batch ``number`` of an iteration over ``total`` patterns."""
        together, size = self._config.accumulate, self._config.batch_size
        begin = number // together * together * size
        end = min(begin + together * size, total)
        here = number * size
        patterns = min(size, total - here)
        return _Turn(free, here == begin, here + patterns == end, patterns / (end - begin))

    def _step(self, turn: _Turn, index: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """Total and terms of the loss of a batch, taken before the unknowns are moved."""
        self._place_gradients(turn)
        if isinstance(self._optimiser, TiledAdam):
            self._optimiser.catch_up(self.model.corner[index])
        intensity = simulate_patterns(self.model, index)
        loss, terms = total_loss(
            self._loss,
            self.model,
            index,
            intensity,
            self.patterns.scaled(recorded),
            self.patterns.mask,
        )
        if loss.requires_grad:  # nothing may be free in this iteration
            (loss if turn.share == 1 else turn.share * loss).backward()
            if turn.last:
                self._optimiser.step()
        self._terms = list(terms)
        return torch.stack([loss.detach(), *(term.detach() for term in terms.values())])

    def _place_gradients(self, turn: _Turn) -> None:
        """Where the batch's gradients go: added to those of its group, or, alone, into new memory.

        Those of a frozen unknown are None, so that the optimiser leaves it and its state alone.
        """
        if turn.first and turn.last:
            self._optimiser.zero_grad(set_to_none=True)
            return
        for name, tensor in self.model.unknowns.items():
            if name not in turn.free:
                tensor.grad = None
                continue
            if name not in self._gradients:
                self._gradients[name] = torch.zeros_like(tensor, requires_grad=False)
            if turn.first:
                self._gradients[name].zero_()
            tensor.grad = self._gradients[name]

    def state(self) -> dict[str, Any]:
        """The optimiser's moments and what schedules go by, for a checkpoint."""
        return {**self._optimiser.state_dict(), "losses": list(self._losses)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state; options and learning rates stay those of the
        config."""
        moments = without_device_counters(self._config.optimiser.name, state["state"])
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": moments, "param_groups": groups})
        self._losses = list(state["losses"])
        self.record_with(self._recorder)  # graphs would go on with the moments from before
