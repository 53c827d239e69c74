"""Sections about the unknowns: object and probe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fastpty.config.base import Section
from fastpty.config.data import ArrayFile

__all__ = ["DetectorConfig", "ObjectConfig", "ProbeConfig"]

NonNegative = Annotated[float, Field(ge=0)]


class ObjectConfig(Section):
    """The specimen: amplitude and phase on a grid of slices."""

    slices: Annotated[int, Field(ge=1)] = Field(1, description="number of slices")
    thickness: Annotated[float, Field(gt=0)] | None = Field(
        None, description="distance between slices, Angstrom; needed for more than one"
    )
    tilt_mrad: tuple[float, float] = Field((0.0, 0.0), description="crystal tilt (y, x), mrad")
    propagator: Literal["angular_spectrum", "fresnel"] = Field(
        "angular_spectrum", description="free-space propagation between slices"
    )
    margin: Annotated[int, Field(ge=0)] = Field(
        12, description="room around the scanned windows for positions to move, px"
    )

    @model_validator(mode="after")
    def _thickness_given(self) -> ObjectConfig:
        if self.slices > 1 and self.thickness is None:
            raise ValueError(f"thickness is needed for {self.slices} slices")
        return self


class ProbeConfig(Section):
    """The illumination: incoherent modes that share one intensity."""

    modes: Annotated[int, Field(ge=1)] = Field(1, description="number of probe modes")
    mode_power: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.02, description="share of the intensity that each further mode starts with"
    )
    start: ArrayFile | None = Field(
        None,
        description="[Ny, Nx] or [M, Ny, Nx] complex, centre at N//2; null: from the beam section",
    )
    source_size: NonNegative = Field(
        0.0,
        description="standard deviation of its source's image, Angstrom (or px); 0: a point",
    )
    source_points: Annotated[int, Field(ge=2, le=9)] = Field(
        3, description="points per axis that stand for the source; costs their square in modes"
    )

    @model_validator(mode="after")
    def _first_mode_leads(self) -> ProbeConfig:
        first = 1 - self.mode_power * (self.modes - 1)
        if first <= self.mode_power and self.modes > 1:
            raise ValueError(
                f"mode_power {self.mode_power:g} for each of {self.modes - 1} further modes leaves "
                f"{first:g} for the first, which must lead"
            )
        return self


class DetectorConfig(Section):
    """What the detector does to an intensity."""

    blur: NonNegative = Field(
        0.0, description="standard deviation of its point spread, detector pixels; 0: none"
    )
