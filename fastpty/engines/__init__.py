"""Engines: how the unknowns are updated in an iteration of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from fastpty.config.optimise import FULL_BATCH, OptimiseConfig
from fastpty.config.plan import Stage
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.gradient import GradientEngine
from fastpty.engines.lbfgs import LBFGSEngine, pairs_kept
from fastpty.engines.parts import Parts, is_out_of_memory
from fastpty.engines.passes import NotFiniteError
from fastpty.engines.pie import PieEngine, pie_state_copies, pie_wave_memory
from fastpty.engines.position_search import SEARCH_STATE_COPIES, SearchEngine
from fastpty.forward import wave_memory
from fastpty.measurements import Patterns, Visited
from fastpty.model import Model

__all__ = [
    "Engine",
    "GradientEngine",
    "IterationReport",
    "LBFGSEngine",
    "NotFiniteError",
    "Parts",
    "PieEngine",
    "SearchEngine",
    "batch_memory",
    "is_out_of_memory",
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
    parts: Parts | None = None,
) -> Engine:
    """The engine of a stage; parameters as in :class:`Engine`."""
    kind: type[Engine] = GradientEngine
    if stage.optimise.projects:
        kind = SearchEngine if stage.optimise.engine == "search" else PieEngine
    elif stage.optimise.optimiser.name == FULL_BATCH:
        kind = LBFGSEngine
    return kind(model, patterns, stage, visited, seed, before, losses, parts)


def state_copies(optimise: OptimiseConfig) -> int:
    """How many times the memory of the unknowns an engine needs for itself."""
    if optimise.engine == "search":
        return SEARCH_STATE_COPIES
    if optimise.projects:
        return pie_state_copies(optimise.engine)
    if optimise.optimiser.name == FULL_BATCH:
        # Two for each pair; then the point, where the step began, the step, its direction, and
        # three gradients of the line search.
        return 2 * pairs_kept(optimise) + 7
    return 2  # Adam's moments; the others have no more


def batch_memory(model: Model, optimise: OptimiseConfig, batch: int) -> int:
    """Bytes of the waves of a batch that exist at once, estimated."""
    return (pie_wave_memory if optimise.projects else wave_memory)(model, batch)
