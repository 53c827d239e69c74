"""Engines: how the unknowns are updated in an iteration of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from fastpty.config.optimise import FULL_BATCH, OptimiseConfig
from fastpty.config.plan import Stage
from fastpty.engines.engine import Engine, IterationReport
from fastpty.engines.gradient import GradientEngine
from fastpty.engines.lbfgs import LBFGSEngine, pairs_kept
from fastpty.engines.lsqml import LsqmlEngine
from fastpty.engines.parts import Parts, is_out_of_memory
from fastpty.engines.passes import NotFiniteError
from fastpty.engines.pie import PieEngine, pie_state_copies, pie_wave_memory
from fastpty.engines.position_search import SEARCH_STATE_COPIES, SearchEngine
from fastpty.errors import ConfigError
from fastpty.forward import runs_fused, wave_memory
from fastpty.measurements import Patterns, Visited
from fastpty.model import Model
from fastpty.ops import products_are_native
from fastpty.ops.waves import limited_waves

__all__ = [
    "Engine",
    "GradientEngine",
    "IterationReport",
    "LBFGSEngine",
    "LsqmlEngine",
    "NotFiniteError",
    "Parts",
    "PieEngine",
    "SearchEngine",
    "batch_memory",
    "check_sharing",
    "is_out_of_memory",
    "keeps_waves",
    "make_engine",
    "state_copies",
]

# Of a pattern in single precision: measured, simulated, and what the loss makes of them.
LOSS_PLANES = 6


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
            "Run it without torchrun, or use another engine.",
        )


def _kind(stage: Stage) -> type[Engine]:
    if stage.optimise.engine == "lsqml":
        return LsqmlEngine
    if stage.optimise.engine == "search":
        return SearchEngine
    if stage.optimise.projects:
        return PieEngine
    return LBFGSEngine if stage.optimise.optimiser.name == FULL_BATCH else GradientEngine


def state_copies(optimise: OptimiseConfig) -> int:
    """How many times the memory of the unknowns an engine needs for itself."""
    if optimise.engine == "search":
        return SEARCH_STATE_COPIES
    if optimise.projects:
        return pie_state_copies(optimise)
    if optimise.optimiser.name == FULL_BATCH:
        # Two for each pair; then the point, where the step began, the step, its direction, and
        # three gradients of the line search.
        return 2 * pairs_kept(optimise) + 7
    return 2  # Adam's moments; the others have no more


def keeps_waves(model: Model, optimise: OptimiseConfig) -> bool:
    """Whether waves may be computed anew instead of being kept."""
    return products_are_native(model.probe) if optimise.projects else runs_fused(model)


def batch_memory(
    model: Model,
    optimise: OptimiseConfig,
    batch: int,
    part: int | None = None,
    limit: int | None = None,
) -> int:
    """Bytes that exist at once of the waves of a batch and of what its loss needs, estimated.

    Parameters
    ----------
    part : patterns that go through at once; None: all of the batch.
    limit : bytes for the waves that are kept from forward to backward, where they need not be.
    """
    at_once = min(batch, part or batch)
    ny, nx = model.probe.shape[-2:]
    with limited_waves(limit):
        waves = (pie_wave_memory if optimise.projects else wave_memory)(model, at_once)
    return waves + LOSS_PLANES * 4 * ny * nx * batch
