"""Sections about the loss: what is minimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fastpty.config.base import Section, Switchable

__all__ = [
    "GaussianLossConfig",
    "LossConfig",
    "PacbedLossConfig",
    "PoissonLossConfig",
    "SimilarityLossConfig",
    "SparseLossConfig",
]

Weight = Annotated[float, Field(gt=0)]
Power = Annotated[float, Field(gt=0, le=1)]
# Patterns are scaled to a brightest mean pixel of 1: a floor above that would hide them, and below
# the least of these the gradient may leave the range of single precision.
Floor = Annotated[float, Field(ge=1e-15, le=1)]
Block = Annotated[int, Field(ge=1)]


class GaussianLossConfig(Section):
    """Root mean square misfit of I^p, relative to M^p."""

    weight: Weight = Field(1.0, description="share in the total loss")
    power: Power = Field(0.5, description="p; 0.5 compares amplitudes")
    eps: Floor = Field(1e-10, description="added to I, scaled intensity; bounds the slope at I = 0")
    form: Literal["rms", "ratio"] = Field(
        "rms", description="sqrt(<(I^p - M^p)^2>) / <M^p>, or sqrt(<(I^p - M^p)^2> / <M^p>)"
    )


class PoissonLossConfig(Section):
    """-mean(M^p log(I^p + eps) - I^p) / mean(M^p)."""

    weight: Weight = Field(1.0, description="share in the total loss")
    power: Power = Field(1.0, description="p; 1 is the likelihood of counts")
    eps: Floor = Field(1e-6, description="added to I^p in the logarithm")


class PacbedLossConfig(Section):
    """As gaussian, of the mean of the batch's patterns."""

    weight: Weight = Field(0.5, description="share in the total loss")
    power: Power = Field(1.0, description="p; less than 1 lets the dark field count for more")
    eps: Floor = Field(1e-10, description="added to I, scaled intensity; bounds the slope at I = 0")


class SparseLossConfig(Section):
    """(mean |phase|^n)^(1/n) over the voxels that the batch illuminates, as often as it does."""

    weight: Weight = Field(0.1, description="share in the total loss")
    power: Annotated[float, Field(ge=1)] = Field(
        1.0, description="n; 1 prefers few phases that are not zero, 2 many small ones"
    )


class SimilarityLossConfig(Section):
    """Mean standard deviation between the object modes of what a blur leaves of them."""

    weight: Weight = Field(0.1, description="share in the total loss")
    parts: Literal["amplitude", "phase", "both"] = Field("both", description="what is compared")
    blur: Annotated[float, Field(ge=0)] = Field(
        1.0, description="standard deviation of a blur of 5 x 5 px that comes first, px; 0: none"
    )
    blocks: tuple[Block, Block, Block] = Field(
        (1, 1, 1), description="slices and px (z, y, x) that are averaged after it"
    )


class LossConfig(Switchable):
    """The misfit that is minimised: a weighted sum. Each: a mapping, on, or off."""

    gaussian: GaussianLossConfig | None = Field(
        default_factory=GaussianLossConfig, description="misfit to the measured patterns"
    )
    poisson: PoissonLossConfig | None = Field(
        None, description="misfit to the measured patterns, for few counts"
    )
    pacbed: PacbedLossConfig | None = Field(
        None, description="misfit to the mean pattern of the batch"
    )
    sparse: SparseLossConfig | None = Field(None, description="pulls the phase towards zero")
    similarity: SimilarityLossConfig | None = Field(
        None, description="pulls the object modes towards each other"
    )

    @model_validator(mode="after")
    def _data_count(self) -> LossConfig:
        misfits = ("gaussian", "poisson", "pacbed")
        if all(getattr(self, name) is None for name in misfits):
            raise ValueError(
                f"{', '.join(misfits)} are all off, so nothing is fitted to the patterns; switch "
                "one of them on"
            )
        return self
