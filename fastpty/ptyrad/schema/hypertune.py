"""``hypertune_params``: a search over parameters, around the reconstruction."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from fastpty.ptyrad.schema.base import NonNegative, Params, Whole

__all__ = ["HypertuneParams"]


class SamplerParams(Params):
    """A sampler of Optuna."""

    name: Literal[
        "RandomSampler",
        "TPESampler",
        "GPSampler",
        "CmaEsSampler",
        "NSGAIISampler",
        "NSGAIIISampler",
        "GridSampler",
        "QMCSampler",
        "BruteForceSampler",
    ] = "TPESampler"
    configs: dict[str, Any] | None = None


class PrunerParams(Params):
    """A pruner of Optuna."""

    name: Literal[
        "MedianPruner",
        "PatientPruner",
        "PercentilePruner",
        "SuccessiveHalvingPruner",
        "HyperbandPruner",
        "ThresholdPruner",
    ] = "HyperbandPruner"
    configs: dict[str, Any] | None = None


class TuneParam(Params):
    """One tunable, with its range."""

    state: bool
    suggest: Literal["int", "float", "cat"]
    kwargs: dict[str, Any]


class TuneParams(Params):
    """What may be tuned; null here stands for PtyRAD's own range, which is switched off."""

    optimizer: TuneParam | None = None
    batch_size: TuneParam | None = None
    plr: TuneParam | None = None
    oalr: TuneParam | None = None
    oplr: TuneParam | None = None
    slr: TuneParam | None = None
    tlr: TuneParam | None = None
    dzlr: TuneParam | None = None
    dx: TuneParam | None = None
    pmode_max: TuneParam | None = None
    conv_angle: TuneParam | None = None
    C10: TuneParam | None = None
    C12: TuneParam | None = None
    C21: TuneParam | None = None
    C23: TuneParam | None = None
    C30: TuneParam | None = None
    C32: TuneParam | None = None
    C34: TuneParam | None = None
    C41: TuneParam | None = None
    C43: TuneParam | None = None
    C45: TuneParam | None = None
    C50: TuneParam | None = None
    C52: TuneParam | None = None
    C54: TuneParam | None = None
    C56: TuneParam | None = None
    z_shift: TuneParam | None = None
    Nlayer: TuneParam | None = None
    dz: TuneParam | None = None
    scale: TuneParam | None = None
    asymmetry: TuneParam | None = None
    rotation: TuneParam | None = None
    shear: TuneParam | None = None
    tilt_y: TuneParam | None = None
    tilt_x: TuneParam | None = None
    defocus: TuneParam | None = None
    c3: TuneParam | None = None
    c5: TuneParam | None = None


class HypertuneParams(Params):
    """A search."""

    if_hypertune: bool = False
    verbosity: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "WARNING"
    collate_results: bool = True
    append_params: bool = True
    n_trials: Whole = 5
    timeout: NonNegative | None = None
    sampler_params: SamplerParams = Field(default_factory=SamplerParams)
    pruner_params: PrunerParams | None = Field(default_factory=PrunerParams)
    storage_path: str = "sqlite:///hypertune.sqlite3"
    study_name: str = "study"
    error_metric: Literal["loss", "contrast"] = "loss"
    tune_params: TuneParams = Field(default_factory=TuneParams)
