"""The output section; those of losses, constraints and optimisation are re-exported."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fastpty.config.base import Section
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
from fastpty.config.optimise import (
    FixedParameterConfig,
    OptimiseConfig,
    OptimiserConfig,
    ParameterConfig,
    ProbeParameterConfig,
)
from fastpty.config.schedule import ScheduleConfig
from fastpty.config.tiff import TiffConfig

__all__ = [
    "AmplitudeClampConfig",
    "BlurXYConfig",
    "BlurZConfig",
    "ConstraintConfig",
    "ConstraintsConfig",
    "FixedParameterConfig",
    "GaussianLossConfig",
    "LossConfig",
    "OptimiseConfig",
    "OptimiserConfig",
    "OutputConfig",
    "PacbedLossConfig",
    "ParameterConfig",
    "PoissonLossConfig",
    "ProbeParameterConfig",
    "ScheduleConfig",
    "SimilarityLossConfig",
    "SparseLossConfig",
    "TiffConfig",
    "VirtualConfig",
]


class VirtualConfig(Section):
    """Virtual ring detectors, for a figure beside the phase."""

    unit: Literal["semiangle", "mrad"] = Field(
        "semiangle", description="of the rings' radii: the convergence semi-angle is 1, or mrad"
    )
    rings: dict[str, tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)] | None]] = (
        Field(
            {"BF": (0.0, 1.0), "ABF": (0.5, 1.0), "ADF": (1.1, 3.0), "HAADF": (3.0, None)},
            description="name: [inner, outer]; null: to the detector's corner",
        )
    )

    @model_validator(mode="after")
    def _rings_are_open(self) -> VirtualConfig:
        for name, (inner, outer) in self.rings.items():
            if outer is not None and outer <= inner:
                raise ValueError(f"rings.{name} ends at {outer:g}, not beyond its start {inner:g}")
        return self


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
    report: bool = Field(
        False, description="write report.html, one page with everything (needs matplotlib)"
    )
    progress: bool = Field(
        True, description="leave progress.json and .h5 for `fastpty watch` while the run lasts"
    )
    virtual: VirtualConfig = Field(
        default_factory=VirtualConfig, description="virtual detectors, drawn beside the phase"
    )
    tiff: TiffConfig | None = Field(
        None, description="on, or in part: images for other programs (needs tifffile)"
    )

    @field_validator("tiff", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        if value is True:
            return {}
        return None if value is False else value
