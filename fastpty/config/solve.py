"""Sections about the fit: loss, constraints, optimiser, output."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fastpty.config.base import Section, Switchable
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

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Iteration = Annotated[int, Field(ge=1)]
# Adam moves a value by about this much per batch: nothing in radians or pixels needs more, and
# float32 overflows in the end.
LearningRate = Annotated[float, Field(ge=0, le=1e3)]


class ConstraintConfig(Section):
    """When a constraint acts: at the end of iterations start, start + every, ... until stop."""

    start: Iteration = Field(1, description="first iteration")
    stop: Iteration | None = Field(None, description="last iteration; null: to the end")
    every: Iteration = Field(1, description="iterations between two applications")

    @model_validator(mode="after")
    def _ordered(self) -> ConstraintConfig:
        if self.stop is not None and self.stop < self.start:
            raise ValueError(f"stop = {self.stop} is before start = {self.start}")
        return self


class BlurXYConfig(ConstraintConfig):
    """Gaussian blur in the slice plane."""

    std: Positive = Field(0.4, description="standard deviation, px")


class BlurZConfig(ConstraintConfig):
    """Gaussian blur along the beam, edges replicated."""

    std: Positive = Field(1.0, description="standard deviation, slices")


class AmplitudeClampConfig(ConstraintConfig):
    """Keeps the amplitude within bounds."""

    low: NonNegative = Field(0.96, description="lower bound")
    high: Positive = Field(1.04, description="upper bound")

    @model_validator(mode="after")
    def _bounds(self) -> AmplitudeClampConfig:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        return self


class ConstraintsConfig(Switchable):
    """Applied at the end of an iteration, in this order. Each: a mapping, on, or off."""

    orthogonal_modes: ConstraintConfig | None = Field(
        default_factory=ConstraintConfig, description="probe modes orthogonal, sorted by power"
    )
    probe_power: ConstraintConfig | None = Field(
        default_factory=ConstraintConfig, description="total probe intensity kept at its start"
    )
    blur_xy: BlurXYConfig | None = Field(
        default_factory=BlurXYConfig, description="blur of amplitude and phase in the plane"
    )
    blur_z: BlurZConfig | None = Field(
        default_factory=BlurZConfig, description="blur of amplitude and phase along the beam"
    )
    amplitude_clamp: AmplitudeClampConfig | None = Field(
        None, description="amplitude within [low, high]"
    )
    positive_phase: ConstraintConfig | None = Field(None, description="phase at least zero")
    recentre_positions: ConstraintConfig | None = Field(
        default_factory=ConstraintConfig, description="mean displacement of the positions removed"
    )


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
