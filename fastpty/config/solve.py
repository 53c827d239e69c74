"""Sections about the fit: loss, optimiser, output; those of the constraints are re-exported."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fastpty.config.base import Iteration, Positive, Section, Switchable
from fastpty.config.constraints import (
    AmplitudeClampConfig,
    BlurXYConfig,
    BlurZConfig,
    ConstraintConfig,
    ConstraintsConfig,
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
    "ParameterConfig",
    "ProbeParameterConfig",
    "SparseLossConfig",
]

# Adam moves a value by about this much per batch: nothing in radians or pixels needs more, and
# float32 overflows in the end.
LearningRate = Annotated[float, Field(ge=0, le=1e3)]


class GaussianLossConfig(Section):
    """sqrt(mean((I^p - M^p)^2)) / mean(M^p)."""

    weight: Positive = Field(1.0, description="share in the total loss")
    power: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="p; 0.5 compares amplitudes"
    )


class SparseLossConfig(Section):
    """mean |phase| over the voxels that the batch illuminates, as often as it does."""

    weight: Positive = Field(0.1, description="share in the total loss")


class LossConfig(Switchable):
    """The misfit that is minimised: a weighted sum."""

    gaussian: GaussianLossConfig = Field(
        default_factory=GaussianLossConfig, description="misfit to the measured patterns"
    )
    sparse: SparseLossConfig | None = Field(None, description="pulls the phase towards zero")


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
