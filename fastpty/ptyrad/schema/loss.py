"""``loss_params``: what is minimised."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fastpty.ptyrad.schema.base import NonNegative, Params, Positive, Whole

__all__ = ["LossParams"]


class LossSingle(Params):
    """Misfit of each pattern."""

    state: bool = True
    weight: NonNegative = 1.0
    dp_pow: float = 0.5


class LossPoissn(Params):
    """Likelihood of counts."""

    state: bool = False
    weight: NonNegative = 1.0
    dp_pow: float = 1.0
    eps: Positive = 1e-6


class LossPacbed(Params):
    """Misfit of the mean pattern."""

    state: bool = False
    weight: NonNegative = 0.5
    dp_pow: float = 0.2


class LossSparse(Params):
    """Norm of the phase."""

    state: bool = False
    weight: NonNegative = 0.1
    ln_order: Whole = 1


class LossSimlar(Params):
    """Likeness of the object modes."""

    state: bool = False
    weight: NonNegative = 0.1
    obj_type: Literal["amplitude", "phase", "both"] = "both"
    scale_factor: Annotated[list[float], Field(min_length=3, max_length=3)] = Field([1.0, 1.0, 1.0])
    blur_std: NonNegative = 1.0


class LossParams(Params):
    """The weighted sum."""

    loss_single: LossSingle = Field(default_factory=LossSingle)
    loss_poissn: LossPoissn = Field(default_factory=LossPoissn)
    loss_pacbed: LossPacbed = Field(default_factory=LossPacbed)
    loss_sparse: LossSparse = Field(default_factory=LossSparse)
    loss_simlar: LossSimlar = Field(default_factory=LossSimlar)
