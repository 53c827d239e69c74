"""``model_params``: optimiser, learning rates, schedule."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from fastpty.ptyrad.schema.base import NonNegative, Params, Whole

__all__ = ["ModelParams", "SchedulerParams", "UpdateParam", "UpdateParams"]


class OptimizerParams(Params):
    """An optimiser of torch."""

    name: Literal[
        "Adadelta",
        "Adafactor",
        "Adagrad",
        "Adam",
        "AdamW",
        "SparseAdam",
        "Adamax",
        "ASGD",
        "LBFGS",
        "Muon",
        "Nadam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    ] = "Adam"
    # PtyRAD's own pages write null for none.
    configs: dict[str, Any] | None = Field({})
    load_state: str | None = None


class SchedulerParams(Params):
    """A scheduler of torch."""

    name: Literal[
        "LambdaLR",
        "MultiplicativeLR",
        "StepLR",
        "MultiStepLR",
        "ConstantLR",
        "LinearLR",
        "ExponentialLR",
        "PolynomialLR",
        "CosineAnnealingLR",
        "ReduceLROnPlateau",
        "CyclicLR",
        "OneCycleLR",
        "CosineAnnealingWarmRestarts",
    ]
    configs: dict[str, Any] = Field({})
    load_state: str | None = None
    step_unit: Literal["iter", "batch"] = "iter"


class UpdateParam(Params):
    """When an unknown moves, and how fast. ``end_iter`` is the first iteration without it."""

    start_iter: Whole | None = None
    end_iter: Whole | None = None
    lr: NonNegative

    @model_validator(mode="after")
    def _moves(self) -> UpdateParam:
        if self.start_iter is not None and self.lr == 0:
            raise ValueError(
                f"lr must be greater than 0 with start_iter = {self.start_iter}; "
                "start_iter: null keeps it fixed"
            )
        return self


def _moving(rate: float) -> UpdateParam:
    return UpdateParam(start_iter=1, lr=rate)


def _fixed() -> UpdateParam:
    return UpdateParam(start_iter=None, lr=0.0)


class UpdateParams(Params):
    """Every unknown."""

    obja: UpdateParam = Field(default_factory=lambda: _moving(5e-4))
    objp: UpdateParam = Field(default_factory=lambda: _moving(5e-4))
    obj_tilts: UpdateParam = Field(default_factory=_fixed)
    slice_thickness: UpdateParam = Field(default_factory=_fixed)
    probe: UpdateParam = Field(default_factory=lambda: _moving(1e-4))
    probe_pos_shifts: UpdateParam = Field(default_factory=lambda: _moving(5e-4))


class ModelParams(Params):
    """How the unknowns move."""

    detector_blur_std: NonNegative | None = None
    preload_data: bool | None = True
    optimizer_params: OptimizerParams = Field(default_factory=OptimizerParams)
    scheduler_params: SchedulerParams | None = None
    update_params: UpdateParams = Field(default_factory=UpdateParams)
