"""TIFF files of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from fastpty.config.base import Section
from fastpty.config.load import apply_overrides, validate_config

__all__ = ["TiffConfig", "tiff_section"]

ImageName = Literal[
    "phase",
    "phase_sum",
    "amplitude",
    "amplitude_product",
    "probe_amplitude",
    "probe_phase",
    "spectrum_amplitude",
    "spectrum_phase",
]


class TiffConfig(Section):
    """What ``tiff/`` in the output folder holds: a file for each image."""

    images: Annotated[list[ImageName], Field(min_length=1)] = Field(
        [
            "phase",
            "phase_sum",
            "amplitude",
            "amplitude_product",
            "probe_amplitude",
            "probe_phase",
            "spectrum_amplitude",
            "spectrum_phase",
        ],
        description="slices, their sum or product, probe modes, their transform",
    )
    object_modes: Literal["mean", "each"] = Field(
        "mean", description="average over the object modes, or each as a channel"
    )
    area: Literal["scanned", "full"] = Field(
        "scanned", description="of the object: from the first to the last window centre, or all"
    )
    type: Literal["float32", "uint16", "uint8"] = Field(
        "float32", description="of the pixels; integers are scaled, and the file says how"
    )
    ranges: dict[ImageName, tuple[float, float]] = Field(
        default_factory=dict,
        description="image -> [low, high] of its values (rad, 1, ...); else least and largest",
    )

    @field_validator("ranges")
    @classmethod
    def _low_before_high(
        cls, value: dict[ImageName, tuple[float, float]]
    ) -> dict[ImageName, tuple[float, float]]:
        for name, (low, high) in value.items():
            if not low < high:
                raise ValueError(f"low must be below high, got [{low:g}, {high:g}] for {name}")
        return value


class _OutputOnly(Section):
    tiff: TiffConfig


class _TiffOnly(Section):
    output: _OutputOnly


def tiff_section(config: Mapping[str, Any], overrides: Sequence[str]) -> TiffConfig:
    """The section ``output.tiff`` for a reconstruction that exists.

    Parameters
    ----------
    config : with which it was made, as plain data; its other fields are not looked at.
    overrides : texts such as ``output.tiff.area=full``.

    Raises
    ------
    ConfigError : a field that is none of the section's, or a wrong value.
    """
    content = {"output": {"tiff": config.get("output", {}).get("tiff") or {}}}
    return validate_config(_TiffOnly, apply_overrides(content, overrides)).output.tiff
