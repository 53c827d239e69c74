"""What every engine is: a pass over the patterns of a stage that moves the unknowns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fastpty.config.loss import LossConfig
from fastpty.config.plan import Stage
from fastpty.engines import graphs
from fastpty.engines.grouping import batch_order
from fastpty.engines.parts import Parts
from fastpty.engines.passes import Passes
from fastpty.measurements import Patterns, Visited
from fastpty.model import Model

__all__ = ["Engine", "IterationReport"]


@dataclass(frozen=True)
class IterationReport:
    """What an iteration came to.

    Mean loss and weighted terms over the batches, the learning rate with which each unknown moved,
    0 where it did not, and how often all patterns were passed over.
    """

    loss: float
    terms: dict[str, float]
    lr: dict[str, float] = field(default_factory=dict)
    passes: int = 1


class Engine(ABC):
    """Moves the unknowns of a model throughout one stage.

    Parameters
    ----------
    model : changed in place; its tensors stay the same ones.
    patterns : whose batches come on the model's device.
    stage : its settings.
    visited : its positions.
    seed : of the order of batches.
    before : iterations of the run before the stage.
    losses : of the stage's iterations so far.
    parts : in which batches go through, shared by the engines of a run; None: whole.
    """

    reach: ClassVar[float] = 0.5
    """Shift in px beyond which a window is chosen anew after an iteration."""

    shares: ClassVar[bool] = False
    """Whether several processes can share its batches."""

    def __init__(
        self,
        model: Model,
        patterns: Patterns,
        stage: Stage,
        visited: Visited,
        seed: int,
        before: int = 0,
        losses: Sequence[float] = (),
        parts: Parts | None = None,
    ) -> None:
        self.model = model
        self.patterns = patterns
        self.visited = visited
        self._config = stage.optimise
        self._seed = seed
        self._before = before
        self._losses = list(losses)
        self._parts = Parts() if parts is None else parts
        self._set_up(stage)

    def _set_up(self, stage: Stage) -> None:
        """Make what the engine needs for its stage, its passes among it."""
        self._passes = self._make_passes(stage.loss)

    @abstractmethod
    def _make_passes(self, loss: LossConfig) -> Passes:
        """How the patterns are passed over."""

    @abstractmethod
    def run_iteration(self, iteration: int) -> IterationReport:
        """Move the unknowns once more; iterations count from 1 within the stage.

        Raises
        ------
        NotFiniteError : something has become infinite or NaN.
        ValueError : kernels on a device found a window outside the object.
        """

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """What the engine remembers from iteration to iteration, for a checkpoint."""

    @abstractmethod
    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's state; options and learning rates stay those of the
        config."""

    @abstractmethod
    def inherit(self, earlier: Engine) -> None:
        """Take over what the engine of the stage before knows and this one can use."""

    def record_with(self, recorder: graphs.Recorder | None) -> None:
        """Run batches as graphs from now on, or, with None, as they are; by itself an engine does
        what pays."""
        self._passes.record_with(recorder)

    def _free(self, iteration: int) -> tuple[str, ...]:
        """Let those unknowns move whose turn it is, and name them."""
        free = []
        for name, tensor in self.model.unknowns.items():
            setting = self._config.parameter(name)
            started = iteration >= setting.start
            stopped = setting.stop is not None and iteration > setting.stop
            tensor.requires_grad_(self._config.moves(name) and started and not stopped)
            if tensor.requires_grad:
                free.append(name)
        return tuple(free)

    def _order(self, iteration: int) -> NDArray[np.int64]:
        """Positions of the stage, by batches, as seed and iteration alone decide."""
        order = batch_order(
            self._config.grouping,
            self.model.positions_start[self.visited.index],
            self._config.batch_size,
            np.random.default_rng([self._seed, self._before + iteration]),
            self.visited.scan_shape,
        )
        return self.visited.index[order]
