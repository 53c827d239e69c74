"""The files that ``fastpty tune`` and ``fastpty ablate`` read."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations, product
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from fastpty.config.base import Section

__all__ = [
    "MAXIMISED",
    "AblateConfig",
    "Objective",
    "PrunerConfig",
    "RangeConfig",
    "SamplerConfig",
    "TrialsConfig",
    "TuneConfig",
]

Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Objective = Literal["loss", "r_factor", "free_r_factor", "frc", "contrast"]

MAXIMISED = frozenset({"frc", "contrast"})
"""Objectives of which more is better."""


class TrialsConfig(Section):
    """What all studies have: a config to begin with, and how its trials run."""

    base: str = Field(description="config of a reconstruction, relative to this file")
    set: dict[str, Any] = Field(
        {},
        description="fields that differ in all trials, such as {optimise.iterations: 10}; a search "
        "leaves them out of best.yaml",
    )
    workers: Count = Field(1, description="trials at once, each in a process with its own data")
    gpus: list[Index] = Field(
        [], description="GPUs by number, which the workers share in turn; []: all take the first"
    )


class RangeConfig(Section):
    """Where a field is sought: between two numbers, or among given values."""

    low: float | None = Field(None, description="least value")
    high: float | None = Field(None, description="largest value")
    step: Annotated[float, Field(gt=0)] | None = Field(
        None, description="values are low, low + step, ...; null: all between"
    )
    log: bool = Field(False, description="sought on a logarithmic scale, as for learning rates")
    choices: list[Any] | None = Field(None, description="values instead of a range, of any kind")

    @field_validator("choices")
    @classmethod
    def _some(cls, value: list[Any] | None) -> list[Any] | None:
        if value is not None and len(value) < 2:
            raise ValueError(f"must be two values or more; found {value}")
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> RangeConfig:
        if self.choices is not None:
            beside = [n for n in ("low", "high", "step") if getattr(self, n) is not None]
            beside += ["log"] * self.log
            if beside:
                raise ValueError(f"choices and {', '.join(beside)} exclude each other; keep one")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} must be less than high = {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0; found {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; keep one")
        return self


class _Named(Section):
    """A section that its name alone may stand for."""

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class SamplerConfig(_Named):
    """How the next trial is chosen."""

    name: Literal["gp", "tpe", "random"] = Field(
        "gp", description="Gaussian process, tree of Parzen estimators, or by chance"
    )
    startup: Count = Field(8, description="trials by chance before the first that is chosen")


class PrunerConfig(_Named):
    """When a trial is given up before its last iteration, by its losses so far."""

    name: Literal["none", "median", "percentile", "hyperband"] = Field(
        "none", description="none; worse than the median, or than all but keep, at the same step"
    )
    startup: Index = Field(5, description="whole trials before the first is given up; no hyperband")
    warmup: Index = Field(2, description="iterations that each trial has at least")
    keep: Annotated[float, Field(gt=0, lt=100)] = Field(
        25.0, description="percent of the trials that percentile lets go on"
    )


class TuneConfig(TrialsConfig):
    """Everything that ``fastpty tune`` reads."""

    search: dict[str, RangeConfig] = Field(
        description="field: {low, high, step, log} or {choices}; any that --set takes"
    )
    objective: Objective = Field(
        "loss", description="what is made small (loss, R factors) or large (frc, contrast)"
    )
    sampler: SamplerConfig = Field(
        default_factory=SamplerConfig, description="a name, or a section"
    )
    pruner: PrunerConfig = Field(default_factory=PrunerConfig, description="a name, or a section")
    trials: Count = Field(30, description="how many, of all calls together")
    timeout: Annotated[float, Field(gt=0)] | None = Field(
        None, description="seconds after which a call begins no further trial"
    )
    try_base: bool = Field(True, description="the first trial has the values of base")
    seed: Index = Field(0, description="of the sampler; the config's own is that of the trials")

    @field_validator("search")
    @classmethod
    def _something(cls, value: Mapping[str, RangeConfig]) -> Mapping[str, RangeConfig]:
        if not value:
            raise ValueError("names no field")
        return value

    @model_validator(mode="after")
    def _comparable(self) -> TuneConfig:
        """A loss with other terms, weights or data is another number."""
        if self.objective == "loss":
            use, fix = "objective is loss", "use r_factor or free_r_factor"
        elif self.pruner.name != "none":
            use, fix = f"pruner is {self.pruner.name}, which goes by losses", "use none"
        else:
            return self
        for name in self.search:
            parts = name.split(".")
            section = parts[2] if parts[0] == "plan" and len(parts) > 2 else parts[0]
            if section in ("loss", "preprocess", "data"):
                raise ValueError(
                    f"{use}, and search changes {name}: the losses of such trials cannot be "
                    f"compared; {fix}"
                )
        return self


class AblateConfig(TrialsConfig):
    """Everything that ``fastpty ablate`` reads."""

    vary: dict[str, Any] = Field(
        description="field: list of values, or any name: {variant: {field: value}}"
    )
    design: Literal["one_at_a_time", "product"] = Field(
        "one_at_a_time", description="each by itself from the base, or all combinations"
    )
    seeds: list[Index] = Field([0], description="each variant runs once with each seed")
    frc: bool = Field(False, description="two more runs of half the positions each, compared")

    @field_validator("vary")
    @classmethod
    def _levels(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        if not value:
            raise ValueError("names no field")
        return {name: _named(name, levels) for name, levels in value.items()}

    @model_validator(mode="after")
    def _one_seed(self) -> AblateConfig:
        """That of a run is one of ``seeds``, whatever else says so."""
        variants = [
            v for named in self.vary.values() if isinstance(named, dict) for v in named.values()
        ]
        if any("seed" in fields for fields in (self.vary, self.set, *variants)):
            raise ValueError("vary or set changes seed, which comes from seeds; give it there")
        return self

    @model_validator(mode="after")
    def _apart(self) -> AblateConfig:
        """Of a product one factor would undo what another has set, under the labels of both."""
        if self.design != "product":
            return self
        fields = {
            name: {name} if isinstance(levels, list) else {f for v in levels.values() for f in v}
            for name, levels in self.vary.items()
        }
        for (one, mine), (other, others) in combinations(fields.items(), 2):
            for a, b in product(sorted(mine), sorted(others)):
                if a == b or a.startswith(f"{b}.") or b.startswith(f"{a}."):
                    raise ValueError(
                        f"{one} and {other} both change {max(a, b, key=len)}; in a product each "
                        "field belongs to one of them"
                    )
        return self

    @field_validator("seeds")
    @classmethod
    def _seeds(cls, value: list[int]) -> list[int]:
        if not value or len(set(value)) < len(value):
            raise ValueError(f"must be one seed or more, each once; found {value}")
        return value


def _named(name: str, levels: Any) -> list[Any] | dict[str, dict[str, Any]]:
    """The values of something that is varied; names of variants may be numbers."""
    if not isinstance(levels, list | Mapping):
        raise ValueError(
            f"{name} must be a list of values, or a mapping of variants; found {levels!r}"
        )
    if len(levels) < 2:
        raise ValueError(f"{name} must have two values or more; found {len(levels)}")
    if isinstance(levels, list):
        return levels
    for label, fields in levels.items():
        if not isinstance(fields, Mapping):
            raise ValueError(
                f"{name}.{label} must be a mapping of fields to values, {{}} for those of the "
                f"base; found {fields!r}"
            )
    return {str(label): dict(fields) for label, fields in levels.items()}
