"""Sections about the experiment: files, beam, calibration, scan."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from fastpty.config.base import Section
from fastpty.optics import Aberrations

__all__ = [
    "ArrayFile",
    "BeamConfig",
    "CalibrationConfig",
    "DataConfig",
    "PositionFile",
    "ScanConfig",
]

Positive = Annotated[float, Field(gt=0)]


class ArrayFile(Section):
    """An array in a file."""

    path: str = Field(description="HDF5, npy or npz file; $VARIABLES are expanded")
    dataset: str | None = Field(
        None, description="path inside an HDF5 or npz file; null when it holds one candidate"
    )


class DataConfig(ArrayFile):
    """The recorded diffraction patterns."""

    format: Literal["auto", "hdf5", "npy", "empad"] = Field(
        "auto", description="auto chooses by the file's content and extension"
    )
    scan_shape: tuple[int, int] | None = Field(
        None, description="(slow, fast) of a 3-D stack that is a raster; null: as the file says"
    )
    zero_frequency: Literal["centre", "corner"] = Field(
        "centre", description="where the file keeps the zero frequency: index N//2 or index 0"
    )
    negative: Literal["refuse", "clip"] = Field(
        "refuse", description="values below zero: an error, or set to zero (EMPAD: clip)"
    )
    mask: ArrayFile | None = Field(
        None, description="[Ny, Nx] in the order of the data, true where a pixel is good"
    )

    @field_validator("scan_shape")
    @classmethod
    def _positive_shape(cls, value: tuple[int, int] | None) -> tuple[int, int] | None:
        if value is not None and min(value) < 1:
            raise ValueError(f"both numbers must be at least 1, got {list(value)}")
        return value


class BeamConfig(Section):
    """The electron probe that the microscope was set to."""

    energy_kv: Positive = Field(description="accelerating voltage, kV")
    semiangle_mrad: Positive = Field(description="convergence semi-angle, mrad")
    aberrations: dict[str, float] = Field(
        default_factory=dict,
        description="defocus (Angstrom, positive is underfocus), C12, phi12 (degrees), Cs, A1, ...",
    )

    @field_validator("aberrations")
    @classmethod
    def _known_aberrations(cls, value: dict[str, float]) -> dict[str, float]:
        Aberrations(value)
        return value


class CalibrationConfig(Section):
    """The detector's scale: exactly one field."""

    pixel_size: Positive | tuple[Positive, Positive] | None = Field(
        None, description="object pixel, Angstrom; one number or [y, x]"
    )
    dk: Positive | None = Field(None, description="detector pixel, 1/Angstrom")
    mrad_per_pixel: Positive | None = Field(None, description="detector pixel, mrad")
    disc_radius_px: Positive | Literal["fit"] | None = Field(
        None, description="bright-field disc radius, detector pixels, or fit (from the data)"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> CalibrationConfig:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(type(self).model_fields)
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of {names}; found {found}")
        return self


class PositionFile(ArrayFile):
    """A list of scan positions [N, 2], (y, x)."""

    unit: Literal["angstrom", "pixel"] = Field(description="of the values in the file")


class ScanConfig(Section):
    """Scan positions: a raster, or a list from a file."""

    step: Positive | tuple[Positive, Positive] | None = Field(
        None, description="raster step, Angstrom (px in pixel units); one number or [slow, fast]"
    )
    positions: PositionFile | None = Field(None, description="positions from a file instead")
    rotation_deg: float = Field(0.0, description="rotation of the scan on the detector, degrees")
    affine: tuple[tuple[float, float], tuple[float, float]] = Field(
        ((1.0, 0.0), (0.0, 1.0)), description="matrix on (y, x), applied before the rotation"
    )

    @model_validator(mode="after")
    def _one_source(self) -> ScanConfig:
        if (self.step is None) == (self.positions is None):
            found = "none" if self.step is None else "both"
            raise ValueError(f"give either step or positions; found {found}")
        (a, b), (c, d) = self.affine
        if a * d - b * c == 0:
            raise ValueError(f"affine must be invertible, got {[[a, b], [c, d]]}")
        return self
