"""A plan: stages that follow each other, each the whole config but for what it says itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator

from fastpty.config.base import Iteration, Section, refuse
from fastpty.config.constraints import ConstraintsConfig
from fastpty.config.loss import LossConfig
from fastpty.config.messages import describe
from fastpty.config.optimise import FULL_BATCH, UNKNOWNS, OptimiseConfig
from fastpty.config.pie import PROJECTING

__all__ = ["Stage", "StageConfig", "SubsetConfig", "resolve_stages", "with_ends"]

Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Part = TypeVar("Part", bound=Section)


class SubsetConfig(Section):
    """Positions of a raster that a stage visits; without any field all of them."""

    center: tuple[Count, Count] | None = Field(
        None, description="so many rows and columns in the middle of the scan"
    )
    sub: tuple[Count, Count] | None = Field(
        None, description="so many rows and columns, evenly spaced"
    )
    rows: tuple[Index, Index] | None = Field(None, description="[a, b): from a up to b - 1")
    columns: tuple[Index, Index] | None = Field(None, description="[a, b): from a up to b - 1")

    @property
    def full(self) -> bool:
        """True if all positions are visited."""
        return not self.model_dump(exclude_none=True)

    @model_validator(mode="after")
    def _one_kind(self) -> SubsetConfig:
        kinds = [
            name
            for name, given in (
                ("center", self.center),
                ("sub", self.sub),
                ("rows and columns", self.rows or self.columns),
            )
            if given is not None
        ]
        if len(kinds) > 1:
            raise ValueError(f"{' and '.join(kinds)} exclude each other; keep one")
        for name in ("rows", "columns"):
            bounds = getattr(self, name)
            if bounds is not None and bounds[0] >= bounds[1]:
                raise ValueError(f"{name} = {list(bounds)} holds none; it must be [a, b], a < b")
        return self


class StageConfig(Section):
    """One stage of a plan. What its parts leave out is as in the sections of the same name."""

    name: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="for logs and figures; null: stage 1, 2, ..."
    )
    iterations: Iteration = Field(description="passes over its positions, unless it ends early")
    scan: SubsetConfig = Field(
        default_factory=SubsetConfig,
        description="positions visited: full, {center: [ny, nx]}, {sub: [ny, nx]} or "
        "{rows: [a, b], columns: [a, b]}",
    )
    optimise: dict[str, Any] = Field({}, description="what differs from the section optimise")
    loss: dict[str, Any] = Field({}, description="what differs from the section loss")
    constraints: dict[str, Any] = Field({}, description="what differs from the section constraints")

    @field_validator("scan", mode="before")
    @classmethod
    def _full(cls, value: Any) -> Any:
        if value == "full":
            return {}
        if isinstance(value, str):
            raise ValueError(
                "scan: must be full, or a mapping with center, sub, or rows and columns; found "
                f"{value!r}"
            )
        return value


@dataclass(frozen=True)
class Stage:
    """A stage with all that holds in it.

    ``field`` is how the names of its fields begin in the config: ``plan.1.``, or nothing for the
    one stage of a config without a plan. ``optimise.iterations`` are those of the stage.
    """

    number: int
    name: str
    scan: SubsetConfig
    optimise: OptimiseConfig
    loss: LossConfig
    constraints: ConstraintsConfig
    field: str = ""

    @property
    def title(self) -> str:
        """The name in a sentence: ``stage centre``, ``stage 2``; empty without a plan."""
        return self.name if self.name.startswith("stage") or not self.name else f"stage {self.name}"

    @property
    def iterations(self) -> int:
        """How many it has, unless it ends early."""
        return self.optimise.iterations

    @property
    def iterations_field(self) -> str:
        """Where the config says how many."""
        return f"{self.field}iterations" if self.field else "optimise.iterations"

    def settings(self) -> dict[str, Any]:
        """All that an iteration depends on, as plain data, by the names in the config."""
        optimise = self.optimise.model_dump(mode="json", exclude={"iterations", "tiles"})
        parts = {
            "scan": self.scan.model_dump(mode="json"),
            "optimise": optimise,
            "loss": self.loss.model_dump(mode="json"),
            "constraints": self.constraints.model_dump(mode="json"),
        }
        # Without a plan, scan is the section of the positions, which is not a stage's.
        return {name: part for name, part in parts.items() if self.field or name != "scan"}


def resolve_stages(
    plan: Sequence[StageConfig],
    optimise: OptimiseConfig,
    loss: LossConfig,
    constraints: ConstraintsConfig,
) -> list[Stage]:
    """The stages of a plan, each part laid over the section of its name and checked whole.

    Raises
    ------
    ValidationError : naming the field within the stage.
    """
    if not plan:
        return [Stage(0, "", SubsetConfig(), optimise, loss, constraints)]
    faults: dict[tuple[str | int, ...], tuple[str, Any]] = {}
    stages = []
    for number, given in enumerate(plan):
        here = ("plan", number)
        if "iterations" in given.optimise:
            text = f"belongs into plan.{number}.iterations"
            faults[(*here, "optimise", "iterations")] = (text, given.optimise["iterations"])
            continue
        wanted = {**_optimise_of(given, optimise), "iterations": given.iterations}
        parts = (
            _checked(OptimiseConfig, wanted, (*here, "optimise"), faults),
            _checked(LossConfig, overlay(loss.model_dump(), given.loss), (*here, "loss"), faults),
            _checked(
                ConstraintsConfig,
                overlay(constraints.model_dump(), given.constraints),
                (*here, "constraints"),
                faults,
            ),
        )
        if parts[0] is not None and parts[1] is not None and parts[2] is not None:
            name = given.name or f"stage {number + 1}"
            own = parts[0].ending(given.iterations)
            stages.append(
                Stage(number, name, given.scan, own, parts[1], parts[2], f"plan.{number}.")
            )
    refuse(faults)
    return stages


def overlay(base: Any, part: Any) -> Any:
    """``part`` over ``base``: mappings key by key; ``on`` leaves what is on as it is.

    A schedule goes as a whole, as the ways that it may go exclude each other.
    """
    if part is True and isinstance(base, Mapping):
        return base
    if not isinstance(part, Mapping):
        return part
    under = base if isinstance(base, Mapping) else {}
    over = {
        key: value if key == "schedule" else overlay(under.get(key), value)
        for key, value in part.items()
    }
    return {**under, **over}


def _optimise_of(given: StageConfig, base: OptimiseConfig) -> dict[str, Any]:
    """A stage's part over the section; what belongs to another engine or optimiser is left out."""
    under = base.model_dump()
    chosen = given.optimise.get("optimiser")
    name = chosen.get("name") if isinstance(chosen, Mapping) else None
    engine = given.optimise.get("engine")
    projects = engine in PROJECTING
    if engine not in (None, base.engine):
        under.update(pie={}, lsqml={}, search={})
    another = name not in (None, base.optimiser.name)
    if another or projects:
        under["optimiser"] = {}
        for unknown in UNKNOWNS:
            under[unknown]["options"] = {}
    if projects:
        under["tiles"] = "auto"
    if (another and name == FULL_BATCH) or projects:
        under.update(accumulate=1, schedule={})
        for unknown in UNKNOWNS:
            under[unknown]["schedule"] = None
    result: dict[str, Any] = overlay(under, given.optimise)
    return result


def _checked(
    section: type[Part],
    content: Mapping[str, Any],
    place: tuple[str | int, ...],
    faults: dict[tuple[str | int, ...], tuple[str, Any]],
) -> Part | None:
    """The section, or None and what is wrong with it among the faults."""
    try:
        return section.model_validate(content)
    except ValidationError as error:
        for field, text in describe(section, error.errors()):
            inner = () if field == "config" else tuple(field.split("."))
            faults[(*place, *inner)] = (text, None)
        return None


def with_ends(given: StageConfig, stage: Stage) -> StageConfig:
    """A copy that says itself when its decays end, as :meth:`OptimiseConfig.ending` does."""
    optimise = stage.optimise
    ends: dict[str, Any] = {}
    if optimise.schedule.decay is not None:
        ends["schedule"] = optimise.schedule.model_dump(mode="json")
    for unknown in UNKNOWNS:
        own = optimise.parameter(unknown).schedule
        if own is not None and own.decay is not None:
            ends[unknown] = {"schedule": own.model_dump(mode="json")}
    return given.model_copy(update={"optimise": overlay(given.optimise, ends)})
