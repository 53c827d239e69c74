"""Engines: how the unknowns are updated in an iteration of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from fastpty.config.optimise import FULL_BATCH, OptimiseConfig
from fastpty.config.plan import Stage
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.gradient import GradientEngine
from fastpty.engines.lbfgs import LBFGSEngine, pairs_kept
from fastpty.engines.passes import NotFiniteError
from fastpty.measurements import Patterns, Visited
from fastpty.model import Model

__all__ = [
    "Engine",
    "GradientEngine",
    "IterationReport",
    "LBFGSEngine",
    "NotFiniteError",
    "make_engine",
    "state_copies",
]


def make_engine(
    model: Model,
    patterns: Patterns,
    stage: Stage,
    visited: Visited,
    seed: int,
    before: int = 0,
    losses: Sequence[float] = (),
) -> Engine:
    """The engine of a stage; parameters as in :class:`Engine`."""
    kind = LBFGSEngine if stage.optimise.optimiser.name == FULL_BATCH else GradientEngine
    return kind(model, patterns, stage, visited, seed, before, losses)


def state_copies(optimise: OptimiseConfig) -> int:
    """How many times the memory of the unknowns an optimiser needs for itself."""
    if optimise.optimiser.name == FULL_BATCH:
        # Two for each pair; then the point, where the step began, the step, its direction, and
        # three gradients of the line search.
        return 2 * pairs_kept(optimise) + 7
    return 2  # Adam's moments; the others have no more
