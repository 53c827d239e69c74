"""Gradient descent with Adam: every batch, every unknown that is free, one step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fastpty.config.solve import LossConfig, OptimiseConfig, ParameterConfig
from fastpty.forward import simulate_patterns
from fastpty.loss import total_loss
from fastpty.measurements import Patterns
from fastpty.model import Model

__all__ = ["GradientEngine", "IterationReport"]


@dataclass(frozen=True)
class IterationReport:
    """Mean loss and weighted terms over the batches of one iteration."""

    loss: float
    terms: dict[str, float]


class GradientEngine:
    """Adam (Kingma & Ba, ICLR 2015) on the model's unknowns, gradients from the ops.

    Parameters
    ----------
    model : changed in place.
    patterns : on the model's device.
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
        self._config = optimise
        self._loss = loss
        self._seed = seed
        self._settings: dict[str, ParameterConfig] = {
            name: getattr(optimise, name) for name in model.unknowns
        }
        self._optimiser = torch.optim.Adam(
            [
                {"params": [tensor], "lr": self._settings[name].lr}
                for name, tensor in model.unknowns.items()
            ]
        )

    def run_iteration(self, iteration: int) -> IterationReport:
        """One pass over all patterns in a fresh random order; iterations count from 1."""
        self._free(iteration)
        # The order depends on seed and iteration alone, so a resumed run repeats it.
        order = np.random.default_rng([self._seed, iteration]).permutation(len(self.patterns))
        index = torch.from_numpy(order).to(self.model.probe.device)
        sums: dict[str, torch.Tensor] = {}
        for batch in index.split(self._config.batch_size):
            share = len(batch) / len(order)
            for name, value in self._step(batch).items():
                sums[name] = sums.get(name, 0.0) + share * value
        values = {name: float(value) for name, value in sums.items()}
        return IterationReport(values.pop("total"), values)

    def _free(self, iteration: int) -> None:
        for name, tensor in self.model.unknowns.items():
            setting = self._settings[name]
            started = iteration >= setting.start
            stopped = setting.stop is not None and iteration > setting.stop
            tensor.requires_grad_(setting.lr > 0 and started and not stopped)

    def _step(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        # Gradients become None, so that Adam leaves a frozen unknown and its moments alone.
        self._optimiser.zero_grad(set_to_none=True)
        intensity = simulate_patterns(self.model, batch)
        loss, terms = total_loss(
            self._loss,
            self.model,
            batch,
            intensity,
            self.patterns.batch(batch),
            self.patterns.mask,
        )
        if loss.requires_grad:  # nothing may be free in this iteration
            loss.backward()
            self._optimiser.step()
        return {"total": loss.detach(), **{k: v.detach() for k, v in terms.items()}}

    def state(self) -> dict[str, Any]:
        """The optimiser's moments, for a checkpoint."""
        return self._optimiser.state_dict()

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's moments; learning rates stay those of the config."""
        groups = self._optimiser.state_dict()["param_groups"]
        self._optimiser.load_state_dict({"state": state["state"], "param_groups": groups})
