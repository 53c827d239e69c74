"""Sections of the steps that change the recorded data before the fit.

What they do, with formulas and an order that makes sense, is in ``docs/preprocessing.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from fastpty.config.base import NonNegative, Positive, Section
from fastpty.config.data import ArrayFile

__all__ = [
    "BackgroundConfig",
    "BinConfig",
    "CentreConfig",
    "CropConfig",
    "DetectorBlurConfig",
    "FlipConfig",
    "HotPixelsConfig",
    "NormaliseConfig",
    "PadConfig",
    "PermuteConfig",
    "PoissonNoiseConfig",
    "RemoveNegativeConfig",
    "ResampleConfig",
    "ReshapeConfig",
    "SourceSizeConfig",
    "StepConfig",
]

Whole = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Range = tuple[Count, Count]
Size = Whole | tuple[Whole, Whole]
AxisName = Literal["n", "slow", "fast", "y", "x"]
Percentile = Annotated[float, Field(ge=0, le=100)]

_STACK = ("n", "y", "x")
_RASTER = ("slow", "fast", "y", "x")


def _refuse_empty(name: str, wanted: Range | None) -> None:
    if wanted is not None and wanted[0] >= wanted[1]:
        raise ValueError(f"{name} = {list(wanted)} holds nothing: it ends before its second number")


class PermuteConfig(Section):
    """Axes in another order: the scan's two exchanged, the pattern's two exchanged, or both."""

    step: Literal["permute"] = Field("permute", description="axes in another order")
    axes: tuple[AxisName, ...] = Field(
        description="the present axes in their new order, such as [fast, slow, y, x] or [n, x, y]"
    )

    @model_validator(mode="after")
    def _complete(self) -> PermuteConfig:
        if sorted(self.axes) not in (sorted(_STACK), sorted(_RASTER)):
            raise ValueError(
                f"axes must be {', '.join(_STACK)} or {', '.join(_RASTER)}, each once; found "
                f"{list(self.axes)}"
            )
        if set(self.axes[-2:]) != {"y", "x"}:
            raise ValueError(
                f"axes = {list(self.axes)} must end with the pattern's, y and x; where a file "
                "stores the pattern's axes first, say so with data.axes"
            )
        return self


class ReshapeConfig(Section):
    """The same patterns, another raster."""

    step: Literal["reshape"] = Field("reshape", description="another shape of the scan")
    scan_shape: tuple[Whole, Whole] | None = Field(
        description="(slow, fast) of the raster; null: a list of patterns without one"
    )


class FlipConfig(Section):
    """Mirror images of the pattern or of the scan; the flips come before the transposition."""

    step: Literal["flip"] = Field("flip", description="mirrored and transposed axes")
    of: Literal["pattern", "scan"] = Field("pattern", description="whose axes")
    flip_y: bool = Field(False, description="reverse the y (slow) axis")
    flip_x: bool = Field(False, description="reverse the x (fast) axis")
    transpose: bool = Field(False, description="exchange the two axes, after the flips")

    @model_validator(mode="after")
    def _does_something(self) -> FlipConfig:
        if not (self.flip_y or self.flip_x or self.transpose):
            raise ValueError("switch on at least one of flip_y, flip_x, transpose")
        return self


class CropConfig(Section):
    """A part of the scan, of the detector, or of both. Ranges are half-open, [first, end)."""

    step: Literal["crop"] = Field("crop", description="a part of the scan and of the detector")
    rows: Range | None = Field(None, description="[first, end) of the scan's slow axis; null: all")
    columns: Range | None = Field(None, description="[first, end) of its fast axis; null: all")
    y: Range | None = Field(None, description="[first, end) of the detector's rows; null: all")
    x: Range | None = Field(None, description="[first, end) of its columns; null: all")
    size: Size | None = Field(
        None, description="instead of y and x: pixels kept around index N//2; a number or [Ny, Nx]"
    )

    @model_validator(mode="after")
    def _one_part(self) -> CropConfig:
        for name in ("rows", "columns", "y", "x"):
            _refuse_empty(name, getattr(self, name))
        given = [
            name
            for name in ("rows", "columns", "y", "x", "size")
            if getattr(self, name) is not None
        ]
        if not given:
            raise ValueError("give at least one of rows, columns, y, x, size")
        if self.size is not None and (self.y or self.x):
            raise ValueError("give either size or y and x; found both")
        return self


class BinConfig(Section):
    """Sums of blocks of detector pixels."""

    step: Literal["bin"] = Field("bin", description="sums of blocks of detector pixels")
    factor: Size = Field(description="pixels summed along an axis; one number or [y, x]")

    @model_validator(mode="after")
    def _does_something(self) -> BinConfig:
        if self.factor in (1, (1, 1)):
            raise ValueError("factor = 1 sums nothing; remove the step or give more")
        return self


class RemoveNegativeConfig(Section):
    """Values below zero, as dark-subtracted detectors give them, taken out of the data."""

    step: Literal["remove_negative"] = Field("remove_negative", description="no values below zero")
    mode: Literal["clip", "clip_below", "subtract_min", "subtract"] = Field(
        "clip",
        description="negative values to zero; those below value to zero; the lowest of all, or "
        "value, subtracted",
    )
    value: float | None = Field(None, description="of clip_below and subtract, counts")
    only_if_negative: bool = Field(
        False, description="do nothing to data that hold no negative value"
    )

    @model_validator(mode="after")
    def _value_fits(self) -> RemoveNegativeConfig:
        wanted = self.mode in ("clip_below", "subtract")
        if wanted and self.value is None:
            raise ValueError(f"mode {self.mode} needs value")
        if not wanted and self.value is not None:
            raise ValueError(f"value has no meaning with mode {self.mode}; remove it")
        if self.mode == "clip_below" and self.value is not None and self.value < 0:
            raise ValueError(
                f"value = {self.value:g} would leave negative values; clip_below needs at least 0"
            )
        return self


class HotPixelsConfig(Section):
    """Bad pixels, found or given: they are added to the mask."""

    step: Literal["hot_pixels"] = Field("hot_pixels", description="bad pixels go to the mask")
    find: Literal["mean", "max", "both", "none"] = Field(
        "both", description="in which pattern over the scan they are sought; none: only those given"
    )
    dead: bool = Field(True, description="also seek pixels that are far too dark, in the mean")
    threshold: Positive = Field(
        10.0, description="distance from the neighbours' median, in their robust std"
    )
    contrast: Annotated[float, Field(ge=1)] = Field(
        3.0, description="the same distance, in that of the neighbour that comes closest"
    )
    radius: Annotated[int, Field(ge=1, le=16)] = Field(
        2, description="neighbours are those of a square of 2 radius + 1 pixels"
    )
    pixels: list[tuple[Count, Count]] = Field([], description="[y, x] of known bad pixels")
    boxes: list[tuple[Range, Range]] = Field(
        [], description="[[y first, y end], [x first, x end]] of bad areas, half-open"
    )
    mask: ArrayFile | None = Field(
        None, description="[Ny, Nx] of the detector at this step, true where a pixel is good"
    )

    @model_validator(mode="after")
    def _seeks_something(self) -> HotPixelsConfig:
        for y, x in self.boxes:
            _refuse_empty("boxes", y)
            _refuse_empty("boxes", x)
        given = self.pixels or self.boxes or self.mask is not None
        if self.find == "none" and not (given or self.dead):
            raise ValueError("nothing to do: find is none, dead is off, and no pixel is given")
        return self


class BackgroundConfig(Section):
    """Intensity that does not come from the specimen, subtracted; what would be negative is 0."""

    step: Literal["background"] = Field("background", description="subtracted from every pattern")
    model: Literal["constant", "radial", "power", "image"] = Field(
        "constant",
        description="one number; a median for each radius; a r^-b; a recorded dark image",
    )
    value: NonNegative | None = Field(
        None, description="of constant, counts; null: the median outside the disc"
    )
    outside: Positive = Field(
        1.2, description="where background is sought: beyond so many radii of the disc"
    )
    image: ArrayFile | None = Field(
        None, description="[Ny, Nx] of the detector at this step, or a stack that is averaged"
    )
    factor: Positive = Field(1.0, description="the background is multiplied by it")

    @model_validator(mode="after")
    def _fits_the_model(self) -> BackgroundConfig:
        if self.model == "image" and self.image is None:
            raise ValueError("model image needs image, a file")
        for name, of in (("image", "image"), ("value", "constant")):
            if getattr(self, name) is not None and self.model != of:
                raise ValueError(f"{name} has no meaning with model {self.model}; remove it")
        return self


class CentreConfig(Section):
    """The pattern's centre moved to index N//2, by whole pixels."""

    step: Literal["centre"] = Field("centre", description="pattern's centre moved to index N//2")
    method: Literal["disc", "mass"] = Field(
        "disc", description="in the mean pattern: centre of the disc, or centre of mass"
    )
    at: tuple[float, float] | None = Field(
        None, description="[y, x] of the centre, if it is known, pixels; null: it is sought"
    )
    edge: Literal["masked", "wrap"] = Field(
        "masked", description="pixels that come in at the edge: not measured, or those that left"
    )


class NormaliseConfig(Section):
    """Every pattern divided by a number."""

    step: Literal["normalise"] = Field("normalise", description="patterns divided by a number")
    to: Literal["pattern", "exposure", "constant", "max", "mean", "sum"] = Field(
        "pattern",
        description="same counts in every pattern; same exposure; divided by value; or, of the "
        "mean pattern, that brightest pixel, mean or sum is 1",
    )
    value: Positive | None = Field(None, description="of constant, counts per unit")
    exposure: ArrayFile | None = Field(
        None, description="[N] exposures of the recorded patterns, any unit"
    )

    @model_validator(mode="after")
    def _fits(self) -> NormaliseConfig:
        for name, of in (("value", "constant"), ("exposure", "exposure")):
            if self.to == of and getattr(self, name) is None:
                raise ValueError(f"to: {of} needs {name}")
            if self.to != of and getattr(self, name) is not None:
                raise ValueError(f"{name} has no meaning with to: {self.to}; remove it")
        return self


class PadConfig(Section):
    """A larger detector around the recorded one: wider angles, a smaller object pixel."""

    step: Literal["pad"] = Field("pad", description="a larger detector around the recorded one")
    size: Size = Field(description="pixels afterwards; one number or [Ny, Nx]")
    fill: Literal["masked", "zero", "constant", "edge", "linear_ramp", "exp", "power"] = Field(
        "masked",
        description="what is outside: not measured; counts of zero, of value, of the edge, of a "
        "ramp from there to zero, or of the mean's fit a e^-br or a r^-b",
    )
    value: NonNegative | None = Field(None, description="of constant, counts")
    percentile: Annotated[float, Field(gt=0, le=100)] = Field(
        70.0, description="exp and power are fitted where the mean pattern is below it"
    )
    stored: bool = Field(
        False, description="padded in memory; off: when a batch is used, where nothing follows"
    )

    @model_validator(mode="after")
    def _value_fits(self) -> PadConfig:
        if self.fill == "constant" and self.value is None:
            raise ValueError("fill constant needs value")
        if self.fill != "constant" and self.value is not None:
            raise ValueError(f"value has no meaning with fill {self.fill}; remove it")
        return self


class ResampleConfig(Section):
    """The same angles on more or fewer detector pixels; counts are shared by area."""

    step: Literal["resample"] = Field("resample", description="other pixels, the same angles")
    factor: Positive | tuple[Positive, Positive] = Field(
        description="pixels afterwards per pixel before; one number or [y, x]"
    )
    stored: bool = Field(
        False, description="resampled in memory; off: when a batch is used, where nothing follows"
    )


class SourceSizeConfig(Section):
    """Patterns averaged over the scan with a Gaussian: data as a broader source gives them."""

    step: Literal["source_size"] = Field("source_size", description="blur over the scan")
    std: Positive = Field(description="standard deviation, Angstrom (px in pixel units)")


class DetectorBlurConfig(Section):
    """Patterns blurred with a Gaussian: data as a detector with point spread gives them."""

    step: Literal["detector_blur"] = Field("detector_blur", description="blur of the patterns")
    std: Positive = Field(description="standard deviation, detector pixels")


class PoissonNoiseConfig(Section):
    """Counting noise at a dose: exactly one of the two doses."""

    step: Literal["poisson_noise"] = Field("poisson_noise", description="counting noise")
    electrons_per_pattern: Positive | None = Field(
        None, description="electrons in the mean pattern"
    )
    electrons_per_A2: Positive | None = Field(
        None, description="electrons per square Angstrom of the scan"
    )
    seed: Count = Field(0, description="of the random numbers; the same seed, the same noise")

    @model_validator(mode="after")
    def _one_dose(self) -> PoissonNoiseConfig:
        if (self.electrons_per_pattern is None) == (self.electrons_per_A2 is None):
            found = "none" if self.electrons_per_pattern is None else "both"
            raise ValueError(
                f"give either electrons_per_pattern or electrons_per_A2; found {found}"
            )
        return self


def _step_of(value: Any) -> Any:
    """The name of a step, given as plain data or as a section."""
    return value.get("step") if isinstance(value, Mapping) else getattr(value, "step", None)


# pydantic refuses a discriminator field that has a validator, as all fields here have: hence the
# function.
StepConfig = Annotated[
    Annotated[PermuteConfig, Tag("permute")]
    | Annotated[ReshapeConfig, Tag("reshape")]
    | Annotated[FlipConfig, Tag("flip")]
    | Annotated[CropConfig, Tag("crop")]
    | Annotated[BinConfig, Tag("bin")]
    | Annotated[RemoveNegativeConfig, Tag("remove_negative")]
    | Annotated[HotPixelsConfig, Tag("hot_pixels")]
    | Annotated[BackgroundConfig, Tag("background")]
    | Annotated[CentreConfig, Tag("centre")]
    | Annotated[NormaliseConfig, Tag("normalise")]
    | Annotated[PadConfig, Tag("pad")]
    | Annotated[ResampleConfig, Tag("resample")]
    | Annotated[SourceSizeConfig, Tag("source_size")]
    | Annotated[DetectorBlurConfig, Tag("detector_blur")]
    | Annotated[PoissonNoiseConfig, Tag("poisson_noise")],
    Discriminator(_step_of),
]
