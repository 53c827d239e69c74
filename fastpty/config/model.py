"""Sections about the unknowns: object and probe, and where they start."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fastpty.config.base import NonNegative, Positive, Section
from fastpty.config.data import ArrayFile, FormatName
from fastpty.optics import movable_aberrations

__all__ = ["DetectorConfig", "ObjectConfig", "ProbeConfig", "StartConfig", "VacuumConfig"]

Count = Annotated[int, Field(ge=0)]
Filling = Literal["vacuum", "mean", "edge"]


class ObjectConfig(Section):
    """The specimen: amplitude and phase on a grid of slices."""

    slices: Annotated[int, Field(ge=1)] = Field(1, description="number of slices")
    thickness: Positive | list[Positive] | None = Field(
        None, description="between slices, Angstrom: one number, or one per gap, first gap first"
    )
    thickness_per: Literal["object", "gap"] = Field(
        "object", description="one thickness for all gaps, or one for each"
    )
    tilt_mrad: tuple[float, float] = Field((0.0, 0.0), description="crystal tilt (y, x), mrad")
    tilt_per: Literal["scan", "position"] = Field(
        "scan", description="one tilt for all positions, or one for each"
    )
    tilts: ArrayFile | None = Field(
        None, description="[N, 2] tilt (y, x) of each position, mrad, instead of tilt_mrad"
    )
    modes: Annotated[int, Field(ge=1)] = Field(1, description="number of object modes")
    occupancy: list[NonNegative] | None = Field(
        None, description="weight of each object mode, scaled to a sum of 1; null: all the same"
    )
    mode_phase: NonNegative = Field(
        0.01, description="std of the random phase by which further modes start apart, rad"
    )
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
        if isinstance(self.thickness, list):
            gaps = self.slices - 1
            if len(self.thickness) != gaps:
                raise ValueError(
                    f"thickness has {len(self.thickness)} values; {self.slices} slices have "
                    f"{gaps} gaps: give one for each, or one number"
                )
            if self.thickness_per == "object":
                raise ValueError(
                    "thickness is a list, one for each gap, but thickness_per is object; set it "
                    "to gap, or give one number"
                )
        return self

    @model_validator(mode="after")
    def _one_source_of_tilts(self) -> ObjectConfig:
        if self.tilts is None:
            return self
        if self.tilt_per != "position":
            raise ValueError("tilts are of each position, but tilt_per is scan; set it to position")
        if any(self.tilt_mrad):
            raise ValueError(f"tilts and tilt_mrad = {list(self.tilt_mrad)} are both given")
        return self

    @model_validator(mode="after")
    def _modes_differ(self) -> ObjectConfig:
        if self.modes > 1 and self.mode_phase == 0:
            raise ValueError(
                f"mode_phase is 0, so the {self.modes} modes would start alike and have the same "
                "gradients for ever"
            )
        if self.occupancy is None:
            return self
        if len(self.occupancy) != self.modes:
            raise ValueError(
                f"occupancy has {len(self.occupancy)} values, but modes is {self.modes}"
            )
        if sum(self.occupancy) == 0:
            raise ValueError("occupancy must have at least one value above 0")
        return self


class VacuumConfig(ArrayFile):
    """Patterns of the probe without a specimen: what the aperture lets through."""

    path: str = Field(
        description="file or folder in any format of data, or one pattern in HDF5, npy or npz"
    )
    dataset: str | None = Field(
        None, description="path inside an HDF5, zarr, npz or mat file; null: the only candidate"
    )
    format: FormatName = Field(
        "auto", description="as data.format; raw values are laid out as those of data"
    )
    of: Literal["recorded", "preprocessed"] = Field(
        "recorded",
        description="its detector: that of the data, so that preprocess acts on it too, or the "
        "one that is fitted",
    )
    threshold: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.05, description="values below this share of the disc's level become zero"
    )
    recentre: bool = Field(
        True, description="move its disc to index N//2, by fractions of a pixel too"
    )


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
    vacuum: VacuumConfig | None = Field(
        None,
        description="patterns without a specimen: the aperture's modulus; the phase is the beam's",
    )
    source_size: NonNegative = Field(
        0.0,
        description="standard deviation of its source's image, Angstrom (or px); 0: a point",
    )
    source_points: Annotated[int, Field(ge=2, le=9)] = Field(
        3, description="points per axis that stand for the source; costs their square in modes"
    )

    aberrations: list[str] = Field(
        [], description="names, such as defocus, C12, C21a, that optimise.aberrations moves"
    )

    @field_validator("aberrations")
    @classmethod
    def _movable(cls, value: list[str]) -> list[str]:
        movable_aberrations(value)
        return value

    @model_validator(mode="after")
    def _one_start(self) -> ProbeConfig:
        if self.start is not None and self.vacuum is not None:
            raise ValueError("give either start or vacuum; found both")
        return self

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


class StartConfig(Section):
    """An earlier reconstruction whose unknowns are those that this one begins with."""

    file: str = Field(
        description="reconstruction.h5, or a PtyRAD model hdf5; $VARIABLES are expanded"
    )
    take: Annotated[
        list[Literal["object", "probe", "positions", "tilt", "thickness", "occupancy"]],
        Field(min_length=1),
    ] = Field(["object", "probe", "positions"], description="what is taken from it")
    crop_z: tuple[Count, Count] | None = Field(
        None, description="[first, end) of its object's slices, which alone are kept; null: all"
    )
    pad_z: tuple[Count, Count] = Field(
        (0, 0), description="slices added before its object and behind it, after crop_z"
    )
    pad_with: tuple[Filling, Filling] = Field(
        ("vacuum", "vacuum"),
        description="before, behind: vacuum, the mean of all slices, or the edge slice again",
    )
    resample_z: bool = Field(
        False, description="let its object be distributed to another number of slices, after these"
    )
    move_probe: float = Field(
        0.0, description="propagate its probe with the beam, Angstrom; negative: against it"
    )

    @model_validator(mode="after")
    def _changes_what_is_taken(self) -> StartConfig:
        if self.crop_z is not None and self.crop_z[0] >= self.crop_z[1]:
            raise ValueError(f"crop_z = {list(self.crop_z)} holds no slice")
        if self.move_probe and "probe" not in self.take:
            raise ValueError("move_probe has no meaning without probe in take")
        if (self.crop_z is not None or any(self.pad_z)) and "object" not in self.take:
            raise ValueError("crop_z and pad_z have no meaning without object in take")
        return self
