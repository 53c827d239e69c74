"""The configuration of ``fastpty simulate``: typed, bounded, unknown keys refused.

Rules that join several fields are checked here too, so that a config that loads can run.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fastpty.errors import ConfigError
from fastpty.optics import Aberrations, electron_wavelength
from fastpty.simulate.scattering import SYMBOLS

__all__ = [
    "DetectorConfig",
    "GridConfig",
    "OpticsConfig",
    "ScanConfig",
    "SimulateConfig",
    "SpecimenConfig",
]

Length = Annotated[float, Field(ge=0)]
Step = Annotated[float, Field(gt=0, le=100)]
Offset = Annotated[float, Field(ge=-10000, le=10000)]
Tilt = Annotated[float, Field(gt=-100, lt=100)]
Points = Annotated[int, Field(ge=1, le=4096)]
Repeats = Annotated[int, Field(ge=1, le=1000)]
DebyeWaller = Annotated[float, Field(ge=0, le=20)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class SpecimenConfig(_Section):
    """What the beam goes through."""

    structure: str = Field(
        default="SrTiO3",
        min_length=1,
        description="'SrTiO3' (built in, seen along [001]), or the path of a structure file that "
        "ase reads (CIF, extended XYZ, POSCAR, ...): orthogonal cell, beam along z",
    )
    thickness_A: float | None = Field(
        default=80.0,
        gt=0,
        le=10000,
        description="Thickness in Angstrom, rounded to whole cells along the beam (at least one); "
        "null: one cell",
    )
    repeat: tuple[Repeats, Repeats] = Field(
        default=(1, 1),
        description="Cells along (y, x) that make the specimen before vacuum_A is added; the "
        "result is repeated without end as far as the scan needs it",
    )
    vacuum_A: Length = Field(
        default=0.0,
        le=1000,
        description="Empty space on each of the four sides of the specimen, in Angstrom; 0: an "
        "endless crystal",
    )
    slice_thickness_A: float = Field(
        default=2.0,
        gt=0,
        le=20,
        description="Wanted thickness of a potential slice in Angstrom, rounded so that a cell "
        "holds a whole number of slices",
    )
    debye_waller_B_A2: dict[str, DebyeWaller] = Field(
        default_factory=dict,
        description="Debye-Waller factor B = 8 pi^2 u^2 in Angstrom^2 for each element, such as "
        "{Sr: 0.62}; goes before the built-in values",
    )
    default_B_A2: DebyeWaller = Field(
        default=0.5,
        description="B in Angstrom^2 of the elements of a structure file that "
        "debye_waller_B_A2 does not name",
    )
    frozen_phonons: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Random configurations of displaced atoms to average over; 0: one calculation "
        "with the thermally smeared potential",
    )
    tilt_mrad: tuple[Tilt, Tilt] = Field(
        default=(0.0, 0.0), description="Crystal tilt (y, x) in mrad, folded into the propagator"
    )


class OpticsConfig(_Section):
    """The probe."""

    energy_kv: float = Field(
        default=300.0, ge=10, le=3000, description="Accelerating voltage in kV"
    )
    semiangle_mrad: float = Field(
        default=28.9, gt=0, le=200, description="Convergence semi-angle in mrad"
    )
    defocus_A: float = Field(
        default=0.0,
        ge=-1e6,
        le=1e6,
        description="Defocus in Angstrom; positive is underfocus: the crossover lies below the "
        "entrance surface",
    )
    aberrations: dict[str, float] = Field(
        default_factory=dict,
        description="Further aberrations by name (Cs, C12, phi12, C12a, A1, ...): Angstrom, "
        "azimuths in degrees",
    )
    source_fwhm_A: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="Full width at half maximum of the Gaussian source image in Angstrom; 0: a "
        "point source",
    )
    source_order: int = Field(
        default=3,
        ge=2,
        le=9,
        description="Gauss-Hermite points along each axis for the source; the time grows with "
        "their square",
    )


class ScanConfig(_Section):
    """Where the probe goes. The slow axis is y, the fast axis x."""

    shape: tuple[Points, Points] = Field(
        default=(24, 24), description="Scan positions (slow, fast)"
    )
    step_A: tuple[Step, Step] = Field(
        default=(0.4, 0.4), description="Scan step (y, x) in Angstrom"
    )
    rotation_deg: float = Field(
        default=0.0,
        ge=-360,
        le=360,
        description="Rotation of the scan in degrees: position = R (slow step_y, fast step_x), "
        "R = [[cos, -sin], [sin, cos]] on (y, x)",
    )
    offset_A: tuple[Offset, Offset] = Field(
        default=(0.0, 0.0), description="Scan centre minus specimen centre (y, x) in Angstrom"
    )
    drift_A: tuple[Offset, Offset] = Field(
        default=(0.0, 0.0),
        description="Displacement (y, x) in Angstrom of the last position against the first; it "
        "grows linearly with the number of the position",
    )
    jitter_A: Length = Field(
        default=0.0,
        le=10,
        description="Random error of every position in Angstrom, rms along each axis",
    )


class DetectorConfig(_Section):
    """The camera."""

    pixels: int = Field(default=64, ge=8, le=1024, description="Detector pixels along each axis")
    max_angle_mrad: float = Field(
        default=57.8,
        gt=0,
        le=500,
        description="Half the width of the detector in mrad; a pixel is 2 max_angle_mrad / pixels",
    )
    dose_e_per_A2: float | None = Field(
        default=None,
        gt=0,
        le=1e12,
        description="Electrons per Angstrom^2, with Poisson noise; null: no noise, patterns as "
        "fractions of the incident beam",
    )
    dtype: Literal["auto", "uint8", "uint16", "float32"] = Field(
        default="auto",
        description="Type of the counts; auto: uint16 where every count fits, else float32",
    )


class GridConfig(_Section):
    """How the calculation is done, and how finely it samples space against the reconstruction."""

    method: Literal["window", "crystal"] = Field(
        default="window",
        description="window: a multislice calculation for each position; crystal: one in a single "
        "cell for each frequency, after which positions cost little (no frozen phonons)",
    )
    oversample: int = Field(
        default=2,
        ge=1,
        le=8,
        description="Width of the simulated window over the reconstruction's; a detector pixel "
        "integrates oversample^2 frequencies",
    )
    refine: int = Field(
        default=2,
        ge=2,
        le=8,
        description="Pixel size of the reconstruction over that of the simulation; scattering is "
        "kept up to 2/3 refine times the detector's angle",
    )
    memory_limit_GiB: float = Field(
        default=4.0,
        gt=0,
        le=10000,
        description="Refuse to start when the arrays would need more, in GiB",
    )


class SimulateConfig(_Section):
    """A simulated 4D-STEM experiment.

    Raises
    ------
    pydantic.ValidationError : a field out of bounds, of the wrong type, or unknown.
    ConfigError : fields that contradict each other.
    """

    specimen: SpecimenConfig = Field(default=SpecimenConfig(), description="The specimen")
    optics: OpticsConfig = Field(default=OpticsConfig(), description="The probe")
    scan: ScanConfig = Field(default=ScanConfig(), description="The scan")
    detector: DetectorConfig = Field(default=DetectorConfig(), description="The camera")
    grid: GridConfig = Field(default=GridConfig(), description="The sampling")
    seed: int = Field(
        default=0, ge=0, le=2**63 - 1, description="Seed of jitter, phonons and counting noise"
    )
    output: str = Field(
        default="simulated.h5",
        min_length=1,
        description="Output file, where the command gives no other",
    )

    @property
    def wavelength(self) -> float:
        """Wavelength in Angstrom."""
        return electron_wavelength(self.optics.energy_kv)

    @property
    def frequency_step(self) -> float:
        """Width of a detector pixel in 1/Angstrom."""
        return 2e-3 * self.detector.max_angle_mrad / self.wavelength / self.detector.pixels

    @property
    def pixel_size(self) -> float:
        """Real-space pixel of the reconstruction in Angstrom, ``1 / (N dk)``."""
        return 1.0 / (self.detector.pixels * self.frequency_step)

    @property
    def window_pixels(self) -> int:
        """Pixels along an axis of the window in which waves are propagated."""
        return self.detector.pixels * self.grid.oversample * self.grid.refine

    @property
    def electrons_per_pattern(self) -> float | None:
        """Incident electrons at each position; None without a dose."""
        if self.detector.dose_e_per_A2 is None:
            return None
        step_y, step_x = self.scan.step_A
        return self.detector.dose_e_per_A2 * step_y * step_x

    def lens(self) -> Aberrations:
        """The aberration function, defocus included.

        Raises
        ------
        ConfigError : an unknown name, or one aberration given twice.
        """
        given: dict[str, float] = dict(self.optics.aberrations)
        if "defocus" in given:
            raise ConfigError(
                "optics.aberrations",
                "defocus has a field of its own.",
                "Give it as optics.defocus_A.",
            )
        if self.optics.defocus_A:
            given["defocus"] = self.optics.defocus_A
        try:
            return Aberrations(given)
        except ValueError as error:
            raise ConfigError("optics.aberrations", f"{error}.") from error

    @model_validator(mode="after")
    def _consistent(self) -> SimulateConfig:
        self.lens()
        for symbol in self.specimen.debye_waller_B_A2:
            if symbol not in SYMBOLS:
                raise ConfigError(
                    "specimen.debye_waller_B_A2",
                    f"{symbol!r} is not the symbol of an element from H to Lr.",
                    "Write element symbols such as Sr.",
                )
        # The outermost whole pixel, which for an odd number of pixels lies inside the edge.
        edge = 1e3 * self.wavelength * self.frequency_step * (self.detector.pixels // 2)
        if self.optics.semiangle_mrad >= edge:
            raise ConfigError(
                "optics.semiangle_mrad",
                f"the aperture of {self.optics.semiangle_mrad:g} mrad does not fit on the "
                f"detector, which ends at {edge:.4g} mrad.",
                "Raise detector.max_angle_mrad or lower the semi-angle.",
            )
        if self.grid.method == "crystal" and self.specimen.frozen_phonons:
            raise ConfigError(
                "grid.method",
                f"crystal needs cells that are all alike, and specimen.frozen_phonons = "
                f"{self.specimen.frozen_phonons} moves their atoms.",
                "Use window, or frozen_phonons: 0.",
            )
        _check_dtype(self)
        return self


def _check_dtype(config: SimulateConfig) -> None:
    """Refuse at once what the vacuum disc alone would overflow, or would round to nothing."""
    electrons, dtype = config.electrons_per_pattern, config.detector.dtype
    if electrons is None:
        if dtype.startswith("uint"):
            raise ConfigError(
                "detector.dtype",
                f"{dtype} holds whole electrons, but without a dose patterns are fractions of "
                "the incident beam.",
                "Give detector.dose_e_per_A2, or use float32.",
            )
        return
    radius = config.optics.semiangle_mrad / config.detector.max_angle_mrad
    radius *= config.detector.pixels / 2
    mean = electrons / (math.pi * radius**2)
    limit = {"uint8": 255, "uint16": 65535}.get(dtype)
    if limit is not None and mean > limit:
        raise ConfigError(
            "detector.dtype",
            f"a bright-field pixel takes {mean:.4g} electrons on average, more than the {limit} "
            f"that {dtype} holds.",
            "Use a wider type or a lower detector.dose_e_per_A2.",
        )
