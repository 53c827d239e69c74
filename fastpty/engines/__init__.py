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
from fastpty.errors import ConfigError
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
    "batch_memory",
    "check_sharing",
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
    kind = _kind(stage)
    return kind(model, patterns, stage, visited, seed, before, losses, parts)


def check_sharing(stage: Stage) -> None:
    """Several processes can share the stage's batches.

    Raises
    ------
    ConfigError : its engine has no way to.
    """
    if not _kind(stage).shares:
        raise ConfigError(
            f"{stage.field}optimise.engine",
            f"is {stage.optimise.engine}, whose batches several processes cannot share.",
            "Run it without torchrun, or use gradient or one of pie, epie, rpie and mpie.",
        )


def _kind(stage: Stage) -> type[Engine]:
    if stage.optimise.projects:
        return PieEngine
    return LBFGSEngine if stage.optimise.optimiser.name == FULL_BATCH else GradientEngine


def state_copies(optimise: OptimiseConfig) -> int:
    """How many times the memory of the unknowns an engine needs for itself."""
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
