"""The configuration of a reconstruction, whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from fastpty.config.base import Positive, Section
from fastpty.config.convergence import ConvergenceConfig
from fastpty.config.data import BeamConfig, CalibrationConfig, DataConfig, ScanConfig
from fastpty.config.model import DetectorConfig, ObjectConfig, ProbeConfig, StartConfig
from fastpty.config.optimise import UNKNOWNS
from fastpty.config.plan import Stage, StageConfig, resolve_stages, with_ends
from fastpty.config.preprocess import StepConfig
from fastpty.config.solve import ConstraintsConfig, LossConfig, OptimiseConfig, OutputConfig

__all__ = ["ReconConfig"]


class ReconConfig(Section):
    """Everything that ``fastpty recon`` reads.

    With ``units: pixel`` lengths are pixels of the object, ``beam`` and ``calibration`` are left
    out, the object is a single slice, and the start probe comes from a file.
    """

    units: Literal["angstrom", "pixel"] = Field("angstrom", description="of lengths in this file")
    data: DataConfig = Field(description="the recorded patterns")
    preprocess: list[StepConfig] = Field(
        [], description="steps on the recorded data, in this order, each with its name: {step: ...}"
    )
    beam: BeamConfig | None = Field(None, description="the electron probe")
    calibration: CalibrationConfig | None = Field(None, description="the detector's scale")
    scan: ScanConfig = Field(description="the scan positions")
    object: ObjectConfig = Field(default_factory=ObjectConfig, description="the specimen")
    probe: ProbeConfig = Field(default_factory=ProbeConfig, description="the illumination")
    start: StartConfig | None = Field(None, description="an earlier reconstruction to begin with")
    detector: DetectorConfig = Field(
        default_factory=DetectorConfig, description="between the intensity and the counts"
    )
    loss: LossConfig = Field(default_factory=LossConfig, description="what is minimised")
    constraints: ConstraintsConfig = Field(
        default_factory=ConstraintsConfig, description="applied at the end of an iteration"
    )
    optimise: OptimiseConfig = Field(default_factory=OptimiseConfig, description="how")
    convergence: ConvergenceConfig = Field(
        default_factory=ConvergenceConfig, description="when a stage may end early"
    )
    plan: list[StageConfig] = Field(
        [],
        description="stages, one after the other: {name, iterations, scan, optimise, loss, "
        "constraints}; []: one",
    )
    output: OutputConfig = Field(default_factory=OutputConfig, description="what is written")
    truth: str | None = Field(
        None, description="simulated data file; phase and positions are compared with its truth"
    )
    seed: int = Field(0, description="of the shuffling; the same seed repeats the same run")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda if there is one")
    memory: Literal["auto"] | Positive = Field(
        "auto",
        description="of the device that a run may take, GiB (2^30 bytes); auto: what is free, less "
        "a reserve",
    )

    @property
    def stages(self) -> list[Stage]:
        """The stages of the run, whole: those of the plan, or the one that the sections are."""
        return resolve_stages(self.plan, self.optimise, self.loss, self.constraints)

    @property
    def iterations(self) -> int:
        """Of all stages, if none ends early."""
        return sum(stage.iterations for stage in self.stages)

    @model_validator(mode="after")
    def _decays_end(self) -> ReconConfig:
        """First of all, as it finds what is wrong with a stage."""
        stages = self.stages
        if self.plan:
            self.plan = [with_ends(*pair) for pair in zip(self.plan, stages, strict=True)]
            if "iterations" not in self.optimise.model_fields_set:  # so that a copy agrees
                self.optimise = self.optimise.model_copy(update={"iterations": self.iterations})
        else:
            self.optimise = self.optimise.ending(self.optimise.iterations)
        return self

    @model_validator(mode="after")
    def _units_agree(self) -> ReconConfig:
        if self.units == "angstrom":
            for name in ("beam", "calibration"):
                if getattr(self, name) is None:
                    raise ValueError(f"{name} is needed; without lengths use units: pixel")
            return self
        for name in ("beam", "calibration", "truth"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} has no meaning with units: pixel; remove it")
        if self.probe.vacuum is not None:
            raise ValueError(
                "probe.vacuum has no meaning with units: pixel (there is no beam section, whose "
                "aberrations are the phase); use probe.start"
            )
        taken = self.start is not None and "probe" in self.start.take
        if self.probe.start is None and not taken:
            raise ValueError(
                "probe.start is needed with units: pixel (there is no beam section), or a start "
                "that takes the probe"
            )
        if self.object.slices > 1:
            raise ValueError(f"object.slices = {self.object.slices} needs units: angstrom")
        for stage in self.stages:
            support = stage.constraints.probe_support
            if support is not None and support.z_range is not None:
                raise ValueError(
                    f"{stage.field}constraints.probe_support.z_range must be null with units: "
                    "pixel (there is no wavelength to seek the focus with)"
                )
        if self.probe.aberrations:
            raise ValueError(
                "probe.aberrations has no meaning with units: pixel (there is no aperture); "
                "remove it"
            )
        if self.scan.positions is not None and self.scan.positions.unit != "pixel":
            raise ValueError("scan.positions.unit must be pixel with units: pixel")
        return self

    def moves(self, unknown: str) -> bool:
        """Whether the run moves an unknown at any time."""
        return any(stage.optimise.moves(unknown) for stage in self.stages)

    @model_validator(mode="after")
    def _what_moves_exists(self) -> ReconConfig:
        for stage in self.stages:
            for unknown in UNKNOWNS:
                lr = stage.optimise.parameter(unknown).lr
                if lr > 0 and (reason := self._missing(unknown)):
                    raise ValueError(
                        f"{stage.field}optimise.{unknown}.lr = {lr:g} would do nothing: {reason}"
                    )
            if stage.constraints.smooth_tilt is not None and self.object.tilt_per != "position":
                raise ValueError(
                    f"{stage.field}constraints.smooth_tilt would do nothing: object.tilt_per is "
                    "scan; set it to position, or switch the constraint off"
                )
        return self

    @model_validator(mode="after")
    def _projections_fit(self) -> ReconConfig:
        """The PIEs' projection is on the moduli of what falls on the detector, and on nothing
        else."""
        for stage in self.stages:
            if not stage.optimise.projects:
                continue
            start = f"{stage.field}optimise.engine = {stage.optimise.engine}"
            if self.detector.blur > 0:
                raise ValueError(
                    f"{start} knows no detector.blur, behind which waves have no moduli; set it to "
                    "0, or use engine: gradient"
                )
            if stage.optimise.engine == "search" and self.object.modes > 1:
                raise ValueError(
                    f"{start} begins each object at vacuum, where the {self.object.modes} of "
                    "object.modes are one and the same; search with object.modes = 1, and begin "
                    "another run at the positions it found (start.take: [positions, probe])"
                )
            gaussian, poisson = stage.loss.gaussian, stage.loss.poisson
            fits = "amplitudes"
            if stage.optimise.engine == "lsqml" and gaussian is None and poisson is not None:
                fits = "counts"
                if poisson.power != 1:
                    raise ValueError(
                        f"{start} fits counts, whose misfit is {stage.field}loss.poisson with "
                        "power: 1; use that, or engine: gradient"
                    )
            elif gaussian is None or gaussian.power != 0.5:
                raise ValueError(
                    f"{start} fits amplitudes, whose misfit is {stage.field}loss.gaussian with "
                    "power: 0.5; switch that on, or use engine: gradient"
                )
            for name in type(stage.loss).model_fields:
                used = "poisson" if fits == "counts" else "gaussian"
                if name != used and getattr(stage.loss, name) is not None:
                    raise ValueError(
                        f"{stage.field}loss.{name} would do nothing: {start} fits {fits}; "
                        "switch it off, or use engine: gradient"
                    )
        return self

    def _missing(self, unknown: str) -> str:
        """Why the model has no such unknown; empty if it has."""
        if unknown in ("tilt", "thickness") and self.object.slices == 1:
            return f"a single slice (object.slices = 1) is never propagated, and has no {unknown}"
        if unknown == "occupancy" and self.object.modes == 1:
            return "a single object mode (object.modes = 1) has the whole weight"
        if unknown == "aberrations" and not self.probe.aberrations:
            return "probe.aberrations names none"
        return ""
