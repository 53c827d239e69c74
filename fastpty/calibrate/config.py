"""What a calibration wants to know: four sections of a reconstruction's config, less demanding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from fastpty.config import apply_overrides, read_yaml, validate_config
from fastpty.config.base import Section
from fastpty.config.data import CalibrationConfig, DataConfig, ScanConfig
from fastpty.config.init import complete_values, data_section
from fastpty.config.preprocess import StepConfig
from fastpty.config.template import MISSING
from fastpty.io import open_scan

__all__ = ["CalibrateConfig", "is_config", "read_input"]

Positive = Annotated[float, Field(gt=0)]
_SECTIONS = ("data", "preprocess", "beam", "calibration", "scan")


class BeamInput(Section):
    """The beam, as far as it is known."""

    energy_kv: Positive = Field(description="accelerating voltage, kV")
    semiangle_mrad: Positive | None = Field(
        None, description="convergence semi-angle, mrad; null: from the disc and the calibration"
    )
    aberrations: dict[str, float] = Field(
        default_factory=dict, description="what the config said; measured anew"
    )


class CalibrateConfig(Section):
    """Data, voltage and scan step; and one of semi-angle and scale of the detector."""

    data: DataConfig = Field(description="the recorded patterns")
    preprocess: list[StepConfig] = Field(
        default_factory=list, description="steps on the patterns, as in a reconstruction"
    )
    beam: BeamInput = Field(description="the electron probe")
    calibration: CalibrationConfig | None = Field(None, description="the detector's scale")
    scan: ScanConfig = Field(description="the scan positions")

    @model_validator(mode="after")
    def _has_a_scale(self) -> CalibrateConfig:
        if self.scale_from_disc and self.beam.semiangle_mrad is None:
            raise ValueError(
                "a detector has no unit of angle of its own: give beam.semiangle_mrad, or the "
                "scale as calibration.mrad_per_pixel, dk, max_angle_mrad or pixel_size"
            )
        return self

    @property
    def units(self) -> str:
        """Lengths are never in pixels here."""
        return "angstrom"

    @property
    def scale_from_disc(self) -> bool:
        """Whether the semi-angle gives the detector its scale, not the other way round."""
        return self.calibration is None or self.calibration.disc_radius_px is not None


def is_config(path: Path) -> bool:
    """Whether a file is a config, not data."""
    return path.suffix.lower() in {".yaml", ".yml"}


def read_input(path: Path, overrides: Sequence[str]) -> tuple[CalibrateConfig, dict[str, Any]]:
    """(what to calibrate, the config it is from as plain data), from a config or a data file.

    Of a data file, what it says itself is taken, as ``fastpty init`` does.

    Raises
    ------
    ConfigError, DataError : naming the field, what was found and what to do.
    """
    if is_config(path):
        content = apply_overrides(read_yaml(path), overrides)
    else:
        content = apply_overrides(_content_of(path, overrides), overrides)
    chosen = {name: content[name] for name in _SECTIONS if content.get(name) is not None}
    return validate_config(CalibrateConfig, chosen), content


def _content_of(path: Path, overrides: Sequence[str]) -> dict[str, Any]:
    section = data_section(path, {}, [item for item in overrides if item.startswith("data.")])
    with open_scan(path, **section.reading) as scan:
        values = complete_values(path.resolve(), scan, section)
    known: dict[str, Any] = {}
    for name, value in values.items():
        known[name] = value
        if isinstance(value, dict):
            known[name] = {field: v for field, v in value.items() if v is not MISSING}
    if any(item.startswith("calibration.") for item in overrides):
        known["calibration"] = {}  # what the user says goes before what the file does
    return known
