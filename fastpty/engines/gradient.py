"""Gradient descent with Adam: every batch, every unknown that is free, one step."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastpty.config.solve import LossConfig, OptimiseConfig, ParameterConfig
from fastpty.engines import graphs
from fastpty.forward import raise_device_errors, runs_fused, simulate_patterns
from fastpty.loss import total_loss
from fastpty.measurements import Patterns, PatternSource
from fastpty.model import Model

__all__ = ["GradientEngine", "IterationReport"]


@dataclass(frozen=True)
class IterationReport:
    """Mean loss and weighted terms over the batches of one iteration."""

    loss: float
    terms: dict[str, float]


class GradientEngine:
    """Adam (Kingma & Ba, ICLR 2015) on the model's unknowns, gradients from the ops.

    On CUDA nothing within an iteration waits for the device, and small batches run as CUDA graphs.

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
        self._settings: dict[str, ParameterConfig] = {
            name: getattr(optimise, name) for name in model.unknowns
        }
        self._optimiser = torch.optim.Adam(
            [
                {"params": [tensor], "lr": self._settings[name].lr, **_adam_options(tensor)}
                for name, tensor in model.unknowns.items()
            ]
        )
        object_modes, slices = model.phase.shape[:2]
        batch = min(optimise.batch_size, len(patterns))
        points = 1 if model.source is None else len(model.source[1])
        pays = runs_fused(model) and graphs.pays(model.probe, points * object_modes, slices, batch)
        self.record_with(graphs.CudaRecorder(model.probe.device) if pays else None)

    def record_with(self, recorder: graphs.Recorder | None) -> None:
        """Run steps as graphs from now on, or, with None, as they are; by itself it does what
        pays."""
        self._recorder = recorder
        self._graphed = None if recorder is None else graphs.GraphedStep(self._step, recorder)

    def run_iteration(self, iteration: int) -> IterationReport:
        """One pass over all patterns in a fresh random order; iterations count from 1.

        Raises
        ------
        ValueError : kernels on a device found a window outside the object, or a thickness or tilt
            that is not finite.
        """
        free = self._free(iteration)
        # The order depends on seed and iteration alone, so a resumed run repeats it.
        order = np.random.default_rng([self._seed, iteration]).permutation(len(self.patterns))
        sums = torch.zeros(())
        for number, batch in enumerate(self._source.batches(order, self._config.batch_size)):
            if self._graphed is None:
                values = self._step(batch.index, batch.recorded)
            else:
                values = self._graphed(free, batch.index, batch.recorded)
            values = len(batch.index) / len(order) * values
            sums = values if number == 0 else sums + values
        raise_device_errors(self.model.probe.device)
        total, *terms = sums.tolist()
        return IterationReport(total, dict(zip(self._terms, terms, strict=True)))

    def _free(self, iteration: int) -> tuple[str, ...]:
        """Let those unknowns move whose turn it is, and name them."""
        free = []
        for name, tensor in self.model.unknowns.items():
            setting = self._settings[name]
            started = iteration >= setting.start
            stopped = setting.stop is not None and iteration > setting.stop
            tensor.requires_grad_(setting.lr > 0 and started and not stopped)
            if tensor.requires_grad:
                free.append(name)
        return tuple(free)

    def _step(self, index: torch.Tensor, recorded: torch.Tensor) -> torch.Tensor:
        """Total and terms of the loss of a batch, taken before the unknowns are moved."""
        # Gradients become None, so that Adam leaves a frozen unknown and its moments alone.
        self._optimiser.zero_grad(set_to_none=True)
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
            loss.backward()
            self._optimiser.step()
        self._terms = list(terms)
        return torch.stack([loss.detach(), *(term.detach() for term in terms.values())])

    def state(self) -> dict[str, Any]:
        """The optimiser's moments, for a checkpoint."""
        return self._optimiser.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's moments; learning rates stay those of the config."""
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state["state"], "param_groups": groups})
        self.record_with(self._recorder)  # graphs would go on with the moments from before


def _adam_options(unknown: torch.Tensor) -> dict[str, Any]:
    """On CUDA one kernel reads and writes all that a step touches, and graphs may hold it."""
    if not unknown.is_cuda:
        return {}
    # Every step before the first graph is one that torch warns of.
    warnings.filterwarnings("ignore", message=".* is running without CUDA graph capture")
    return {"capturable": True, "fused": True if torch.is_floating_point(unknown) else None}
