"""Sections about the fit: optimiser, output; those of losses and constraints are re-exported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fastpty.config.base import Iteration, Section
from fastpty.config.constraints import (
    AmplitudeClampConfig,
    BlurXYConfig,
    BlurZConfig,
    ConstraintConfig,
    ConstraintsConfig,
)
from fastpty.config.loss import (
    GaussianLossConfig,
    LossConfig,
    PacbedLossConfig,
    PoissonLossConfig,
    SimilarityLossConfig,
    SparseLossConfig,
)

__all__ = [
    "AmplitudeClampConfig",
    "BlurXYConfig",
    "BlurZConfig",
    "ConstraintConfig",
    "ConstraintsConfig",
    "GaussianLossConfig",
    "LossConfig",
    "OptimiseConfig",
    "OutputConfig",
    "PacbedLossConfig",
    "ParameterConfig",
    "PoissonLossConfig",
    "ProbeParameterConfig",
    "SimilarityLossConfig",
    "SparseLossConfig",
]

# Adam moves a value by about this much per batch: nothing in radians or pixels needs more, and
# float32 overflows in the end.
LearningRate = Annotated[float, Field(ge=0, le=1e3)]


class ParameterConfig(Section):
    """One unknown: how fast it moves, and when."""

    lr: LearningRate = Field(5e-4, description="learning rate; 0 keeps it fixed")
    start: Iteration = Field(1, description="first iteration in which it moves")
    stop: Iteration | None = Field(None, description="last iteration in which it moves")


class ProbeParameterConfig(ParameterConfig):
    """The probe modes: patterns are scaled so that the brightest mean pixel is 1."""

    lr: LearningRate = Field(1e-4, description="learning rate; 0 keeps it fixed")


class OptimiseConfig(Section):
    """Adam on every unknown, patterns in shuffled batches."""

    iterations: Annotated[int, Field(ge=1)] = Field(100, description="passes over all patterns")
    batch_size: Annotated[int, Field(ge=1)] = Field(32, description="patterns per update")
    amplitude: ParameterConfig = Field(
        default_factory=ParameterConfig, description="object amplitude"
    )
    phase: ParameterConfig = Field(default_factory=ParameterConfig, description="object phase, rad")
    probe: ProbeParameterConfig = Field(
        default_factory=ProbeParameterConfig, description="probe modes"
    )
    positions: ParameterConfig = Field(
        default_factory=ParameterConfig, description="scan positions, px"
    )


class OutputConfig(Section):
    """What is written, and how often."""

    folder: str | None = Field(
        None, description="null: output/<name of the config file>, in the current folder"
    )
    checkpoint_every: Annotated[int, Field(ge=1)] = Field(
        10, description="iterations between checkpoints"
    )
    snapshots: list[Annotated[int, Field(ge=0)] | Literal["final"]] = Field(
        [0, 50, 100, "final"],
        description="iterations after which some simulated patterns are kept",
    )
    snapshot_patterns: Annotated[int, Field(ge=1, le=64)] = Field(
        4, description="patterns in a snapshot, spread over the scan"
    )
    figures: bool = Field(True, description="draw the standard figures (needs matplotlib)")
