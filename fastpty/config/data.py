"""Sections about the experiment: files, beam, calibration, scan."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from fastpty.config.base import Section
from fastpty.io import RASTER, STACK, Request
from fastpty.optics import Aberrations

__all__ = [
    "AffineConfig",
    "ArrayFile",
    "BeamConfig",
    "CalibrationConfig",
    "DataConfig",
    "FormatName",
    "HalfConfig",
    "PositionFile",
    "ScanConfig",
]

Positive = Annotated[float, Field(gt=0)]
Whole = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
AxisName = Literal["n", "slow", "fast", "y", "x"]
FormatName = Literal[
    "auto",
    "dectris",
    "mat",
    "hdf5",
    "nion",
    "npy",
    "mib",
    "tiff",
    "zarr",
    "rosettasciio",
    "folder",
    "empad",
    "raw",
]


class ArrayFile(Section):
    """An array in a file."""

    path: str = Field(description="HDF5, npy or npz file; $VARIABLES are expanded")
    dataset: str | None = Field(
        None, description="path inside an HDF5 or npz file; null when it holds one candidate"
    )


class HalfConfig(Section):
    """One of two halves of the positions; ``fastpty frc`` reconstructs both."""

    split: Literal["chessboard", "random"] = Field(
        "chessboard", description="every other position of a raster, or positions drawn by seed"
    )
    part: Literal[1, 2] = Field(1, description="which of the two is fitted")
    seed: Count = Field(0, description="of a random split; both halves need the same")


class DataConfig(ArrayFile):
    """The recorded diffraction patterns."""

    path: str = Field(description="file or folder, see docs/file-formats; $VARIABLES are expanded")
    dataset: str | None = Field(
        None, description="path inside an HDF5, zarr, npz or mat file; null: the only candidate"
    )
    format: FormatName = Field(
        "auto", description="auto chooses by the file's content, then its extension"
    )
    scan_shape: tuple[Whole, Whole] | None = Field(
        None, description="(slow, fast) of a stack that is a raster; null: as the file says"
    )
    scan_mismatch: Literal["refuse", "crop"] | None = Field(
        None, description="patterns that do not fill the scan: an error (null), or whole rows kept"
    )
    skip: Count | None = Field(None, description="patterns of a stack before the first of the scan")
    flyback: Count | None = Field(
        None, description="patterns of a stack between two rows, which belong to no position"
    )
    axes: tuple[AxisName, ...] | None = Field(
        None, description="the array's axes in its order: of n, y, x or of slow, fast, y, x"
    )
    pattern_shape: tuple[Whole, Whole] | None = Field(
        None, description="[Ny, Nx] in a file of raw values"
    )
    dtype: str | None = Field(
        None, description="of raw values, such as uint16 or >u2 (big-endian); null: float32"
    )
    offset: Count | None = Field(None, description="bytes before the first pattern of raw values")
    gap: Count | None = Field(None, description="bytes between patterns of raw values")
    zero_frequency: Literal["centre", "corner"] = Field(
        "centre", description="where the file keeps the zero frequency: index N//2 or index 0"
    )
    negative: Literal["refuse", "clip"] = Field(
        "refuse", description="values below zero: an error, or set to zero (EMPAD: clip)"
    )
    mask: ArrayFile | None = Field(
        None, description="[Ny, Nx] in the order of the data, true where a pixel is good"
    )
    scratch: str | None = Field(
        None,
        description="folder of a scratch file, for patterns that do not fit into memory; null: the "
        "output folder",
    )
    leave_out: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="share of the patterns, drawn by seed, that no stage fits: free R factor"
    )
    half: HalfConfig | None = Field(
        None, description="fit one half of the positions; fastpty frc sets it"
    )

    @field_validator("axes")
    @classmethod
    def _complete_axes(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and sorted(value) not in (sorted(STACK), sorted(RASTER)):
            rule = f"{', '.join(STACK)} or {', '.join(RASTER)}, each once"
            raise ValueError(f"must be {rule}; found {list(value)}")
        return value

    @field_validator("dtype")
    @classmethod
    def _number_type(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                kind = np.dtype(value).kind
            except TypeError as error:
                raise ValueError(f"must be a type that numpy knows; found {value!r}") from error
            if kind not in "uif":
                raise ValueError(f"must be a type of real numbers; found {value!r}")
        return value

    @property
    def reading(self) -> dict[str, Any]:
        """What :func:`fastpty.io.open_scan` wants to know beside the path."""
        names = [field.name for field in fields(Request) if field.name != "path"]
        return {name: getattr(self, name) for name in ("format", *names)}


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
    """The detector's scale: exactly one number, and which detector it is of."""

    pixel_size: Positive | tuple[Positive, Positive] | None = Field(
        None, description="object pixel, Angstrom; one number or [y, x]"
    )
    dk: Positive | None = Field(None, description="detector pixel, 1/Angstrom")
    mrad_per_pixel: Positive | None = Field(None, description="detector pixel, mrad")
    max_angle_mrad: Positive | None = Field(
        None, description="half the width of the detector, mrad; of its shorter side"
    )
    disc_radius_px: Positive | Literal["fit"] | None = Field(
        None, description="bright-field disc radius, detector pixels, or fit (from the data)"
    )
    of: Literal["recorded", "preprocessed"] = Field(
        "recorded", description="the detector that the number describes: before or after preprocess"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> CalibrationConfig:
        numbers = [name for name in type(self).model_fields if name != "of"]
        given = [name for name in numbers if getattr(self, name) is not None]
        if len(given) != 1:
            names = ", ".join(numbers)
            found = " and ".join(given) or "none"
            raise ValueError(f"give exactly one of {names}; found {found}")
        return self


class PositionFile(ArrayFile):
    """A list of scan positions [N, 2], (y, x)."""

    unit: Literal["angstrom", "pixel"] = Field(description="of the values in the file")


class AffineConfig(Section):
    """Errors of a scan's calibration by name.

    PtychoShelves' and PtyRAD's four numbers, in that order; as columns of (y, x) its matrix is
    ``[[1, tan shear], [0, 1]] R(rotation) scale diag(1 + asymmetry / 2, 1 - asymmetry / 2)``
    (Wakonig et al., *J. Appl. Cryst.* **53** (2020) 574).
    """

    scale: Positive = Field(1.0, description="both steps are longer by this factor")
    asymmetry: Annotated[float, Field(gt=-2, lt=2)] = Field(
        0.0, description="y is longer by half of it, x shorter; 0.02: 1 % each"
    )
    rotation_deg: float = Field(0.0, description="after them; beside scan.rotation_deg, degrees")
    shear_deg: Annotated[float, Field(gt=-90, lt=90)] = Field(
        0.0, description="last: y grows with x by the tangent, degrees"
    )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 2] on columns (y, x)."""
        turn, shear = math.radians(self.rotation_deg), math.tan(math.radians(self.shear_deg))
        cos, sin = math.cos(turn), math.sin(turn)
        stretch = np.diag([1 + self.asymmetry / 2, 1 - self.asymmetry / 2])
        rotation = np.array([[cos, -sin], [sin, cos]])
        return np.asarray(np.array([[1, shear], [0, 1]]) @ rotation @ stretch * self.scale)


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
    affine_parts: AffineConfig | None = Field(
        None, description="a second such matrix by named parts, between affine and the rotation"
    )
    jitter_px: Annotated[float, Field(ge=0)] = Field(
        0.0, description="std of random displacements of the start, px; against raster artefacts"
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

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 2] on columns (y, x): all that acts before ``rotation_deg``."""
        first = np.asarray(self.affine, np.float64)
        return first if self.affine_parts is None else self.affine_parts.matrix @ first
