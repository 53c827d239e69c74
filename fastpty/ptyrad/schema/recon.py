"""``recon_params``: iterations, batches, output."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from fastpty.ptyrad.schema.base import Params, Whole

__all__ = ["ConvergenceMonitor", "ReconParams"]

Affix = Literal[
    "minimal",
    "default",
    "all",
    "indices",
    "meas",
    "batch",
    "pmode",
    "omode",
    "nlayer",
    "lr",
    "optimizer",
    "scheduler",
    "start_iter",
    "model",
    "constraint",
    "loss",
    "conv_angle",
    "aberrations",
    "Ls",
    "z_shift",
    "dx",
    "affine",
    "tilt",
]
Figure = Literal[
    "loss",
    "learning_rates",
    "forward",
    "probe_r_amp",
    "probe_k_amp",
    "probe_k_phase",
    "pos",
    "tilt",
    "tilt_avg",
    "slice_thickness",
    "convergence",
    "convergence_full",
    "convergence_dynamic",
    "all",
]
Saved = Literal["model", "obja", "objp", "probe", "probe_prop", "optim_state", "scheduler_state"]
Tensor = Literal["obja", "objp", "probe", "probe_pos_shifts"]


class IndicesMode(Params):
    """Which positions take part."""

    mode: Literal["full", "sub", "center"] = "full"
    subscan_slow: Whole | None = None
    subscan_fast: Whole | None = None


class BatchSize(Params):
    """Patterns in a batch, batches in a step."""

    size: Whole = 32
    grad_accumulation: Whole = 1


class ResultModes(Params):
    """Forms of the images."""

    obj_dim: Annotated[list[Annotated[int, Field(ge=2, le=4)]], Field(min_length=1)] = Field(
        [2, 3, 4]
    )
    FOV: Annotated[list[Literal["full", "crop"]], Field(min_length=1)] = Field(["crop"])
    bit: Annotated[list[Literal["raw", "32", "16", "8"]], Field(min_length=1)] = Field(["8"])


class CompilerConfigs(Params):
    """For torch.compile."""

    enable: bool = False
    fullgraph: bool = False
    dynamic: bool | None = None
    backend: Literal["inductor", "cudagraphs", "ipex", "onnxrt"] = "inductor"
    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        "default"
    )
    options: dict[str, Any] | None = None


class ConvergenceMonitor(Params):
    """How the change of the unknowns is followed."""

    tensors: Annotated[list[Tensor], Field(min_length=1)] = Field(
        ["obja", "objp", "probe", "probe_pos_shifts"]
    )
    every_n_iters: Whole | None = None
    percentile_range: Annotated[
        list[Annotated[float, Field(ge=0, le=100)]], Field(min_length=2, max_length=2)
    ] = Field([15.0, 85.0])

    @field_validator("percentile_range")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        if value[0] >= value[1]:
            raise ValueError(f"must ascend; found {value}")
        return value


class ReconParams(Params):
    """Iterations and output."""

    NITER: Whole = 200
    INDICES_MODE: IndicesMode = Field(default_factory=IndicesMode)
    BATCH_SIZE: BatchSize = Field(default_factory=BatchSize)
    GROUP_MODE: Literal["random", "sparse", "compact", "hilbert", "fps"] = "random"
    SAVE_ITERS: Whole | None = 10
    output_dir: str = "output/"
    recon_dir_affixes: list[Affix] = Field(["default"])
    prefix_time: bool | str | None = "date"
    prefix: str = ""
    postfix: str = ""
    save_result: list[Saved] = Field(["model", "objp"])
    result_modes: ResultModes = Field(default_factory=ResultModes)
    selected_figs: list[Figure] = Field(["convergence", "forward", "probe_r_amp", "pos"])
    copy_params: bool = True
    compiler_configs: CompilerConfigs | None = Field(default_factory=CompilerConfigs)
    convergence_monitor: ConvergenceMonitor | None = Field(default_factory=ConvergenceMonitor)
