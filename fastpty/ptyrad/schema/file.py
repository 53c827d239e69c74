"""A PtyRAD parameter file, whole."""

from __future__ import annotations

from pydantic import Field

from fastpty.ptyrad.schema.base import Params
from fastpty.ptyrad.schema.constraints import ConstraintParams
from fastpty.ptyrad.schema.hypertune import HypertuneParams
from fastpty.ptyrad.schema.init import InitParams
from fastpty.ptyrad.schema.loss import LossParams
from fastpty.ptyrad.schema.model import ModelParams
from fastpty.ptyrad.schema.recon import ReconParams

__all__ = ["PtyRADParams"]


class PtyRADParams(Params):
    """The six sections; all but the first may be left out."""

    init_params: InitParams
    hypertune_params: HypertuneParams = Field(default_factory=HypertuneParams)
    model_params: ModelParams = Field(default_factory=ModelParams)
    loss_params: LossParams = Field(default_factory=LossParams)
    constraint_params: ConstraintParams = Field(default_factory=ConstraintParams)
    recon_params: ReconParams = Field(default_factory=ReconParams)
