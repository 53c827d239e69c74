"""Sections about the fit: optimiser, learning rates, batches."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from fastpty.config.base import Iteration, Section, refuse
from fastpty.config.lsqml import LsqmlConfig
from fastpty.config.optimisers import OptimiserName, option_faults, options_of
from fastpty.config.pie import PROJECTING, EngineName, PieConfig, PieSettings, fields_of
from fastpty.config.schedule import ScheduleConfig
from fastpty.config.search import SearchConfig

__all__ = [
    "FULL_BATCH",
    "UNKNOWNS",
    "FixedParameterConfig",
    "OptimiseConfig",
    "OptimiserConfig",
    "ParameterConfig",
    "ProbeParameterConfig",
]

# Adam moves a value by about this much per batch: nothing in radians or pixels needs more, and
# float32 overflows in the end.
LearningRate = Annotated[float, Field(ge=0, le=1e3)]

UNKNOWNS = (
    "amplitude",
    "phase",
    "probe",
    "positions",
    "tilt",
    "thickness",
    "occupancy",
    "aberrations",
)
"""All that a fit can move; a model may have only some of them."""

FULL_BATCH = "LBFGS"
"""The optimiser whose steps come from all patterns at once."""

# Up to this ratio of the two rates at which Adam forgets, a tile that was left alone catches up to
# within a thousandth of what it has missed (docs/derivations/adam_step.md).
_MOST_SPREAD = 0.06

# In torch, but of no use to a fit; the others that a config may name are in OptimiserName.
_USELESS = {
    "Muon": "takes matrices only, and the object has four axes, the probe three",
    "SparseAdam": "takes sparse gradients only, and those of a fit are dense",
}


class OptimiserConfig(Section):
    """How a gradient becomes a step: an optimiser of torch, and its options beside the name."""

    model_config = ConfigDict(extra="allow")

    name: OptimiserName = Field("Adam", description="in torch.optim; its options go beside it")

    @field_validator("name", mode="before")
    @classmethod
    def _of_use(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _USELESS:
            raise ValueError(f"{value} {_USELESS[value]}; use another, such as Adam")
        return value

    @property
    def options(self) -> dict[str, Any]:
        """What is given beside the name."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _options_are_torchs(self) -> OptimiserConfig:
        faults = option_faults(self.name, self.options, beside=["name"])
        refuse({(key,): (text, self.options[key]) for key, text in faults.items()})
        return self


class ParameterConfig(Section):
    """One unknown: how fast it moves, and when."""

    lr: LearningRate = Field(5e-4, description="learning rate; 0 keeps it fixed")
    start: Iteration = Field(1, description="first iteration in which it moves")
    stop: Iteration | None = Field(None, description="last iteration in which it moves")
    options: dict[str, Any] = Field({}, description="of the optimiser, for this one alone")
    schedule: ScheduleConfig | None = Field(
        None, description="of this one alone; null: optimise.schedule"
    )

    @model_validator(mode="after")
    def _start_before_stop(self) -> ParameterConfig:
        if self.stop is not None and self.stop < self.start:
            raise ValueError(f"stop = {self.stop} is before start = {self.start}")
        return self


class ProbeParameterConfig(ParameterConfig):
    """The probe modes: patterns are scaled so that the brightest mean pixel is 1."""

    lr: LearningRate = Field(1e-4, description="learning rate; 0 keeps it fixed")


class FixedParameterConfig(ParameterConfig):
    """An unknown that is fixed unless its learning rate is given."""

    lr: LearningRate = Field(0.0, description="learning rate; 0 keeps it fixed")


class OptimiseConfig(Section):
    """Gradient descent on every unknown, a PIE, or a search; patterns in shuffled batches."""

    engine: EngineName = Field(
        "gradient", description="gradient, a ptychographical iterative engine, lsqml or search"
    )
    iterations: Annotated[int, Field(ge=1)] = Field(100, description="passes over all patterns")
    batch_size: Annotated[int, Field(ge=1)] = Field(32, description="patterns per batch")
    accumulate: Annotated[int, Field(ge=1)] = Field(
        1, description="batches per update, their gradients averaged"
    )
    grouping: Literal["random", "compact", "sparse"] = Field(
        "random", description="batches of any positions, of neighbours, or of distant ones"
    )
    optimiser: OptimiserConfig = Field(
        default_factory=OptimiserConfig, description="what makes a step of a gradient"
    )
    tiles: Literal["auto", True, False] = Field(
        "auto", description="Adam steps the object only where its batch sees it; auto: if less work"
    )
    schedule: ScheduleConfig = Field(
        default_factory=ScheduleConfig, description="learning rates over the iterations"
    )
    pie: PieConfig = Field(
        default_factory=PieConfig, description="of the engines pie, epie, rpie and mpie"
    )
    search: SearchConfig = Field(
        default_factory=SearchConfig, description="of positions, by the engine search"
    )
    lsqml: LsqmlConfig = Field(default_factory=LsqmlConfig, description="of the engine lsqml")
    amplitude: ParameterConfig = Field(
        default_factory=ParameterConfig, description="object amplitude"
    )
    phase: ParameterConfig = Field(default_factory=ParameterConfig, description="object phase, rad")
    probe: ProbeParameterConfig = Field(
        default_factory=ProbeParameterConfig, description="probe modes"
    )
    positions: ParameterConfig = Field(
        default_factory=ParameterConfig, description="scan positions, px"
    )
    tilt: FixedParameterConfig = Field(
        default_factory=FixedParameterConfig, description="crystal tilt, mrad"
    )
    thickness: FixedParameterConfig = Field(
        default_factory=FixedParameterConfig, description="distance between slices, Angstrom"
    )
    occupancy: FixedParameterConfig = Field(
        default_factory=FixedParameterConfig, description="weights of the object modes"
    )
    aberrations: FixedParameterConfig = Field(
        default_factory=FixedParameterConfig,
        description="those of probe.aberrations, rad at the aperture's edge",
    )

    def parameter(self, name: str) -> ParameterConfig:
        """The section of an unknown, by its name."""
        section: ParameterConfig = getattr(self, name)
        return section

    @property
    def projects(self) -> bool:
        """Whether the engine projects on the measured moduli, as the PIEs do, or lsqml."""
        return self.engine in PROJECTING

    @property
    def method(self) -> str:
        """What makes the steps: the optimiser, or the engine where that has none."""
        return self.engine if self.projects else self.optimiser.name

    def moves(self, name: str) -> bool:
        """Whether an unknown moves at any time."""
        if self.engine == "pie" and name == "probe":
            return False
        steps = self.engine == "search" or not self.projects or self.steps.position_step > 0
        if name == "positions" and not steps:
            return False
        return self.parameter(name).lr > 0

    @property
    def steps(self) -> PieSettings:
        """Of an engine that projects, by its own section."""
        return self.lsqml.settings if self.engine == "lsqml" else self.pie.settings(self.engine)

    def options_for(self, name: str) -> dict[str, Any]:
        """The optimiser's options for an unknown: its own go before those for all."""
        return {**self.optimiser.options, **self.parameter(name).options}

    def schedule_for(self, name: str) -> ScheduleConfig:
        """The schedule of an unknown: its own, or that of all."""
        return self.parameter(name).schedule or self.schedule

    def why_not_by_tiles(self, name: str) -> str | None:
        """Why Adam cannot move an unknown where a batch sees it alone; None if it can."""
        if self.optimiser.name != "Adam":
            return f"optimiser.name must be Adam, found {self.optimiser.name}"
        options = {**options_of("Adam"), **self.options_for(name)}
        if options["weight_decay"]:
            return f"weight_decay moves all of the {name} in every step"
        if options["amsgrad"]:
            return f"amsgrad, of the {name}, is not known there"
        beta1, beta2 = options["betas"]
        if beta2 <= 0 or -math.log(beta2) > 2 * (1 - beta1) * _MOST_SPREAD:
            return f"betas = {[beta1, beta2]}, of the {name}, forget too fast in the second place"
        return None

    @model_validator(mode="after")
    def _options_are_torchs(self) -> OptimiseConfig:
        found: dict[tuple[str | int, ...], tuple[str, Any]] = {}
        for name in UNKNOWNS:
            own = self.parameter(name).options
            faults = option_faults(self.optimiser.name, own, common=self.optimiser.options)
            for key, text in faults.items():
                found[name, "options", key] = (text, own[key])
        refuse(found)
        return self

    @model_validator(mode="after")
    def _tiles_suit(self) -> OptimiseConfig:
        for name in ("amplitude", "phase"):
            if self.tiles is True and (reason := self.why_not_by_tiles(name)) is not None:
                raise ValueError(f"tiles = on cannot be: {reason}; use tiles = auto")
        return self

    @model_validator(mode="after")
    def _optimiser_suits(self) -> OptimiseConfig:
        chosen = self.optimiser.name
        if chosen == "Adafactor" and self.probe.lr > 0:
            raise ValueError(
                "optimiser.name = Adafactor takes real numbers only, and the probe is complex; "
                "use another, or keep the probe fixed by probe.lr = 0"
            )
        scheduled = [name for name in UNKNOWNS if not self.schedule_for(name).constant]
        if chosen == "Rprop" and scheduled:
            raise ValueError(
                "optimiser.name = Rprop finds the size of its steps itself, from lr at the first "
                f"on, so that a schedule (of {', '.join(scheduled)}) would do nothing; remove it"
            )
        return self

    @model_validator(mode="after")
    def _full_batch_suits(self) -> OptimiseConfig:
        if self.optimiser.name != FULL_BATCH:
            return self
        start = f"optimiser.name = {FULL_BATCH}"
        if self.accumulate > 1:
            raise ValueError(
                f"{start} adds the gradients of all batches up, so that accumulate = "
                f"{self.accumulate} would do nothing; remove it"
            )
        scheduled = [name for name in UNKNOWNS if not self.schedule_for(name).constant]
        if scheduled:
            raise ValueError(
                f"{start} finds the length of its steps itself, and lr is the scale of an unknown "
                f"beside the others, so that a schedule (of {', '.join(scheduled)}) has no "
                "meaning; remove it"
            )
        if self.occupancy.lr > 0:
            raise ValueError(
                f"{start} knows no bounds, and the weights of object modes must not fall below 0; "
                "keep them fixed by occupancy.lr = 0"
            )
        for name in UNKNOWNS:
            if self.parameter(name).options:
                raise ValueError(
                    f"{start} moves all unknowns together, so that {name}.options have no meaning; "
                    "put them beside optimiser.name"
                )
        return self

    @model_validator(mode="after")
    def _steps_are_the_engines(self) -> OptimiseConfig:
        known = fields_of(self.engine)
        faults: dict[tuple[str | int, ...], tuple[str, Any]] = {}
        for name in self.pie.given:
            if name not in known:
                text = f"has no meaning with engine: {self.engine}; remove it"
                faults["pie", name] = (text, getattr(self.pie, name))
        if self.engine != "search":
            for name in sorted(self.search.model_fields_set):
                value = getattr(self.search, name)
                if value != SearchConfig.model_fields[name].default:
                    text = f"has no meaning with engine: {self.engine}; remove it"
                    faults["search", name] = (text, value)
        elif self.positions.lr == 0:
            text = "keeps positions fixed, which engine = search is to move; give it another value"
            faults["positions", "lr"] = (text, 0.0)
        if self.engine != "lsqml":
            for name, field in LsqmlConfig.model_fields.items():
                if (value := getattr(self.lsqml, name)) != field.default:
                    text = f"has no meaning with engine: {self.engine}; remove it"
                    faults["lsqml", name] = (text, value)
        refuse(faults)
        return self

    @model_validator(mode="after")
    def _projections_suit(self) -> OptimiseConfig:
        if not self.projects:
            return self
        start = f"engine = {self.engine}"
        if self.optimiser != OptimiserConfig():
            raise ValueError(f"{start} has no optimiser; remove optimiser = {self.optimiser.name}")
        if self.tiles is True:
            raise ValueError(f"{start} has no optimiser to go by tiles; use tiles = auto")
        if self.accumulate > 1:
            raise ValueError(
                f"{start} moves after each batch, so that accumulate = {self.accumulate} would do "
                "nothing; use a larger batch_size"
            )
        for name in UNKNOWNS:
            section = self.parameter(name)
            if not self.schedule_for(name).constant:
                raise ValueError(
                    f"{start} takes its steps from a section of its own, so that a schedule (of "
                    f"{name}) has no meaning; remove it"
                )
            if section.options:
                raise ValueError(f"{start} has no optimiser; remove {name}.options")
            if isinstance(section, FixedParameterConfig) and section.lr > 0:
                raise ValueError(
                    f"{start} moves object, probe and positions alone; keep {name} fixed by "
                    f"{name}.lr = 0, or use engine: gradient"
                )
        return self

    def ending(self, iterations: int) -> OptimiseConfig:
        """A copy for so many iterations, whose schedules say themselves when their decay ends."""
        update: dict[str, Any] = {
            "iterations": iterations,
            "schedule": self.schedule.ending(iterations),
        }
        for name in UNKNOWNS:
            section = self.parameter(name)
            if section.schedule is not None:
                ending = section.schedule.ending(iterations)
                update[name] = section.model_copy(update={"schedule": ending})
        return self.model_copy(update=update)
