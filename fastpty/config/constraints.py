"""Sections of the constraints: when each acts, and with which numbers.

What they do, with formulas and sources, is in ``docs/constraints.md``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fastpty.config.base import Iteration, NonNegative, Positive, Section, Switchable

__all__ = [
    "AmplitudeClampConfig",
    "BlurXYConfig",
    "BlurZConfig",
    "ComplexRatioConfig",
    "ConstraintConfig",
    "ConstraintsConfig",
    "CustomConstraintConfig",
    "LowpassXYConfig",
    "MirroredAmplitudeConfig",
    "MissingWedgeConfig",
    "PositivePhaseConfig",
    "ProbeApertureConfig",
    "ProbeSupportConfig",
    "RecentreDepthConfig",
    "RecentrePositionsConfig",
    "RemoveLeakageConfig",
    "SmoothTiltConfig",
    "SparseDCTConfig",
    "TotalVariationConfig",
    "resolve_call",
]

Share = Annotated[float, Field(ge=0, le=1)]
Taps = Annotated[int, Field(ge=1)]


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


class _OnObject(ConstraintConfig):
    """Acts on the object's amplitude, its phase, or both."""

    of: Literal["both", "amplitude", "phase"] = Field("both", description="what it acts on")


class _Relaxed(ConstraintConfig):
    """A mixture of the old value and the constrained one."""

    relax: Share = Field(0.0, description="share of the old value that stays; 1 does nothing")


class _Gaussian(_OnObject):
    """A Gaussian filter of finitely many taps."""

    kernel_size: Taps | None = Field(
        None, description="taps, odd; null: all within 3 std, at least 5"
    )

    @field_validator("kernel_size")
    @classmethod
    def _odd(cls, value: int | None) -> int | None:
        if value is not None and value % 2 == 0:
            raise ValueError(f"must be odd, so that the filter has a middle; found {value}")
        return value


class ProbeApertureConfig(ConstraintConfig):
    """Round mask on the strong probe modes in reciprocal space."""

    radius: NonNegative = Field(
        0.22, description="where the mask is 1/2, in units of the highest frequency"
    )
    width: Positive = Field(
        0.05, description="of the mask's edge, in units of twice the highest frequency"
    )
    power: Share = Field(0.95, description="modes up to this share of the intensity are masked")


class ProbeSupportConfig(ConstraintConfig):
    """Round mask on the strong probe modes in real space, at the probe's focus."""

    radius: Positive = Field(
        0.95, description="where the mask is exp(-1/2), in units of half the window"
    )
    order: Annotated[int, Field(ge=1)] = Field(
        6, description="of the super-Gaussian mask: 1 is a Gaussian, 6 has a flat top"
    )
    power: Share = Field(0.95, description="modes up to this share of the intensity are masked")
    z_range: tuple[float, float] | None = Field(
        (-500.0, 500.0),
        description="where the focus is sought, Angstrom; null: mask where the probe stands",
    )
    z_steps: Annotated[int, Field(ge=1)] = Field(101, description="planes that are tried")

    @model_validator(mode="after")
    def _range(self) -> ProbeSupportConfig:
        if self.z_range is not None and self.z_range[0] > self.z_range[1]:
            raise ValueError(f"z_range = {list(self.z_range)} must ascend")
        return self


class BlurXYConfig(_Gaussian):
    """Gaussian blur in the slice plane, edges replicated."""

    std: Positive = Field(0.4, description="standard deviation, px")


class BlurZConfig(_Gaussian):
    """Gaussian blur along the beam, edges replicated."""

    std: Positive = Field(1.0, description="standard deviation, slices")


class LowpassXYConfig(_OnObject):
    """Round low-pass filter in the plane of every slice."""

    radius: NonNegative = Field(
        0.15, description="where the filter is 1/2, in units of the highest frequency"
    )
    width: Positive = Field(
        0.05, description="of the filter's edge, in units of twice the highest frequency"
    )


class MissingWedgeConfig(_OnObject):
    """Damps the frequencies along the beam that the probe's angles cannot carry."""

    beta: NonNegative = Field(1.0, description="strength of the filter along the beam")
    alpha: NonNegative = Field(1.0, description="strength of the Gaussian filter in the plane")


class SparseDCTConfig(_OnObject):
    """Keeps the largest coefficients of the cosine transform of all slices."""

    keep: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="share of the coefficients that is kept"
    )


class TotalVariationConfig(_OnObject):
    """Proximal step of the total variation: flattens noise, keeps edges."""

    weight: Positive = Field(1e-3, description="of the total variation, rad or 1")
    inner: Annotated[int, Field(ge=1)] = Field(10, description="inner iterations of a step")


class RemoveLeakageConfig(ConstraintConfig):
    """Gives the probe what is the probe's, and damps the scan raster's imprint on the object."""

    amplitude: bool = Field(
        False, description="each slice's mean amplitude becomes 1, the probe takes the factor"
    )
    phase: bool = Field(
        False, description="each slice's mean phase becomes 0, the probe takes the constant"
    )
    ramp: bool = Field(
        True, description="the first slice's mean slope becomes 0, the probe takes the ramp"
    )
    raster: Share = Field(
        1.0, description="what is taken out at the raster's frequencies; 0 leaves them"
    )
    raster_width: Positive = Field(
        1.0, description="std of the notches, in units of 1 / extent of the scan"
    )
    raster_orders: Annotated[int, Field(ge=1, le=8)] = Field(
        1, description="highest multiple of the raster's frequencies"
    )


class ComplexRatioConfig(_OnObject):
    """One ratio of absorption to phase, as in a specimen of one material."""

    alpha1: Share = Field(1.0, description="pull on the amplitude; 1: it follows from the phase")
    alpha2: Share = Field(0.0, description="pull on the phase; 1: it follows from the amplitude")


class MirroredAmplitudeConfig(_Relaxed):
    """The amplitude is low where the phase is high."""

    relax: Share = Field(0.1, description="share of the old value that stays; 1 does nothing")
    scale: NonNegative = Field(0.03, description="loss of amplitude at 1 rad")
    power: NonNegative = Field(4.0, description="of the phase")


class RecentreDepthConfig(ConstraintConfig):
    """The object in the middle of its slices, the probe's focus moved along."""

    percentile: Annotated[float, Field(ge=0, le=100)] | None = Field(
        95.0, description="only voxels of a phase above it count; null: all"
    )
    scale: Share = Field(1.0, description="share of the way that is taken at once")
    max_shift: NonNegative | None = Field(
        10.0, description="slices; never more than half the object, to which null sets it"
    )


class AmplitudeClampConfig(_Relaxed):
    """Keeps the amplitude within bounds."""

    low: NonNegative = Field(0.96, description="lower bound")
    high: Positive = Field(1.04, description="upper bound")

    @model_validator(mode="after")
    def _bounds(self) -> AmplitudeClampConfig:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be below high = {self.high:g}")
        return self


class PositivePhaseConfig(_Relaxed):
    """Keeps the phase at zero or above."""

    mode: Literal["clip", "subtract_min"] = Field(
        "clip", description="set negative phases to zero, or lift all by the lowest"
    )


class RecentrePositionsConfig(_Relaxed):
    """Removes the mean displacement of the positions."""


class SmoothTiltConfig(ConstraintConfig):
    """Gaussian blur of the tilts over the scan's grid, edges replicated."""

    std: Positive = Field(2.0, description="standard deviation, scan steps")


@cache
def resolve_call(call: str) -> Callable[..., object]:
    """The function that ``package.module:name`` names.

    Raises
    ------
    ValueError : it has another form, cannot be imported, is not there, or cannot be called.
    """
    module_name, separator, name = call.partition(":")
    parts = [*module_name.split("."), *name.split(".")]
    if not (separator and all(part.isidentifier() for part in parts)):
        raise ValueError(f"must look like package.module:name; found {call!r}")
    try:
        found: Any = import_module(module_name)
    except Exception as error:  # whatever the user's module raises while it is imported
        raise ValueError(
            f"{module_name!r} cannot be imported ({type(error).__name__}: {error}); install it, "
            "or put its folder on PYTHONPATH"
        ) from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{module_name!r} has no {name!r}; check the part behind the colon")
        found = getattr(found, part)
    if not callable(found):
        kind = type(found).__name__
        raise ValueError(f"{call!r} is not a function but of type {kind}; name a function")
    function: Callable[..., object] = found
    return function


class CustomConstraintConfig(ConstraintConfig):
    """A function of your own: it is called with the model and the options."""

    call: str = Field(description="package.module:name of a function(model, **options)")
    options: dict[str, Any] = Field(
        default_factory=dict, description="keyword arguments of the function"
    )

    @field_validator("call")
    @classmethod
    def _found(cls, value: str) -> str:
        resolve_call(value)
        return value

    @model_validator(mode="after")
    def _takes_options(self) -> CustomConstraintConfig:
        try:
            signature = inspect.signature(resolve_call(self.call))
        except (TypeError, ValueError):
            return self  # native code need not say what it takes
        try:
            signature.bind(None, **self.options)
        except TypeError as error:
            raise ValueError(
                f"{self.call} is called with the model and the options, but takes {signature}: "
                f"{error}; change options"
            ) from error
        return self


class ConstraintsConfig(Switchable):
    """Applied at the end of an iteration, in this order. Each: a mapping, on, or off."""

    probe_aperture: ProbeApertureConfig | None = Field(
        None, description="round mask on the probe in reciprocal space"
    )
    probe_support: ProbeSupportConfig | None = Field(
        None, description="round mask on the probe in real space, at its focus"
    )
    orthogonal_modes: ConstraintConfig | None = Field(
        default_factory=ConstraintConfig, description="probe modes orthogonal, sorted by power"
    )
    probe_power: ConstraintConfig | None = Field(
        default_factory=ConstraintConfig, description="total probe intensity kept at its start"
    )
    blur_xy: BlurXYConfig | None = Field(
        default_factory=BlurXYConfig, description="blur of the object in the plane"
    )
    blur_z: BlurZConfig | None = Field(
        default_factory=BlurZConfig, description="blur of the object along the beam"
    )
    lowpass_xy: LowpassXYConfig | None = Field(
        None, description="low-pass filter of the object in the plane"
    )
    missing_wedge: MissingWedgeConfig | None = Field(
        None, description="arctangent filter of the object along the beam"
    )
    sparse_dct: SparseDCTConfig | None = Field(
        None, description="only the largest cosine coefficients of the object"
    )
    total_variation_xy: TotalVariationConfig | None = Field(
        None, description="total variation of the object in the plane lowered"
    )
    total_variation_z: TotalVariationConfig | None = Field(
        None, description="total variation of the object along the beam lowered"
    )
    remove_leakage: RemoveLeakageConfig | None = Field(
        None, description="what leaked from probe and scan into the object taken out"
    )
    complex_ratio: ComplexRatioConfig | None = Field(
        None, description="one ratio of absorption to phase"
    )
    mirrored_amplitude: MirroredAmplitudeConfig | None = Field(
        None, description="low amplitude where the phase is high"
    )
    recentre_depth: RecentreDepthConfig | None = Field(
        None, description="object in the middle of its slices"
    )
    amplitude_clamp: AmplitudeClampConfig | None = Field(
        None, description="amplitude within [low, high]"
    )
    positive_phase: PositivePhaseConfig | None = Field(None, description="phase at least zero")
    recentre_positions: RecentrePositionsConfig | None = Field(
        default_factory=RecentrePositionsConfig,
        description="mean displacement of the positions removed",
    )
    smooth_tilt: SmoothTiltConfig | None = Field(
        None, description="tilts smooth over the scan, where each position has its own"
    )
    custom: list[CustomConstraintConfig] = Field(
        [], description="functions of your own, after these: {call: package.module:name, ...}"
    )

    @field_validator("custom", mode="before")
    @classmethod
    def _none_of_them(cls, value: Any) -> Any:
        if value is True:
            raise ValueError("is a list of functions and cannot be switched on; name one")
        return [] if value is None or value is False else value

    @model_validator(mode="after")
    def _no_tug_of_war(self) -> ConstraintsConfig:
        leakage = self.remove_leakage
        if leakage is None:
            return self
        if leakage.amplitude and self.probe_power is not None:
            raise ValueError(
                "remove_leakage.amplitude gives the probe a factor that probe_power takes back; "
                "switch one of them off"
            )
        if leakage.phase and self.positive_phase is not None:
            raise ValueError(
                "remove_leakage.phase puts half of the phase below zero, where positive_phase "
                "changes it; switch one of them off"
            )
        return self
