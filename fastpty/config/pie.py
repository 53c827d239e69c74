"""The section of the ptychographical iterative engines: their steps, by the names of all four."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fastpty.config.base import Section

__all__ = [
    "PIE_ENGINES",
    "PROJECTING",
    "EngineName",
    "Momentum",
    "PieConfig",
    "PieSettings",
    "Step",
    "fields_of",
]

EngineName = Literal["gradient", "pie", "epie", "rpie", "mpie", "lsqml", "search"]
PIE_ENGINES = ("pie", "epie", "rpie", "mpie")
PROJECTING = (*PIE_ENGINES, "lsqml", "search")
"""Engines that say what exit waves should be, and share that out; ``gradient`` is the other."""

# 2 would reflect, beyond that every update makes the misfit larger.
Step = Annotated[float, Field(gt=0, le=2)]
Share = Annotated[float, Field(gt=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]

# Fields with a meaning, and what they are if they are not given.
_DEFAULTS: dict[str, dict[str, float]] = {
    "pie": {"object_step": 1.0, "object_share": 1e-3},
    "epie": {"object_step": 1.0, "probe_step": 1.0},
    "rpie": {"object_step": 1.0, "probe_step": 1.0, "object_share": 0.2, "probe_share": 1.0},
    "mpie": {
        "object_step": 0.5,
        "probe_step": 0.5,
        "object_share": 0.2,
        "probe_share": 1.0,
        "object_momentum": 0.5,
        "probe_momentum": 0.5,
        "momentum_every": 50,
    },
}
_DEFAULTS["search"] = _DEFAULTS["rpie"]


@dataclass(frozen=True)
class PieSettings:
    """What an engine does, whole. Without a share the denominators are the maxima, as in ePIE."""

    object_step: float
    probe_step: float = 1.0
    object_share: float = 1.0
    probe_share: float = 1.0
    object_momentum: float = 0.0
    probe_momentum: float = 0.0
    momentum_every: float = 0.0
    position_step: float = 0.0


class PieConfig(Section):
    """Steps of pie, epie, rpie, mpie and search; null: as the engine has it, search as rpie."""

    object_step: Step | None = Field(
        None, description="factor of the object's update; null: 1, mpie 0.5"
    )
    probe_step: Step | None = Field(
        None, description="factor of the probe's update, not with pie; null: 1, mpie 0.5"
    )
    object_share: Share | None = Field(
        None,
        description="of the maximum in the object's denominator; null: pie 1e-3, rpie, mpie 0.2",
    )
    probe_share: Share | None = Field(
        None, description="of the maximum in the probe's denominator; null: rpie, mpie 1"
    )
    object_momentum: Momentum | None = Field(
        None, description="share of the object's velocity that lasts; null: mpie 0.5"
    )
    probe_momentum: Momentum | None = Field(
        None, description="share of the probe's velocity that lasts; null: mpie 0.5"
    )
    momentum_every: Annotated[int, Field(ge=1)] | None = Field(
        None, description="patterns between two moves along the velocity; null: mpie 50"
    )
    position_step: Annotated[float, Field(ge=0, le=2)] = Field(
        0.0, description="factor of the positions' update; 0 keeps them fixed"
    )

    @property
    def given(self) -> tuple[str, ...]:
        """Fields that differ from their defaults."""
        return tuple(
            name
            for name, field in type(self).model_fields.items()
            if getattr(self, name) != field.default
        )

    def settings(self, engine: str) -> PieSettings:
        """Of one of the four, with its defaults for what is not given."""
        given = {name: getattr(self, name) for name in self.given}
        return PieSettings(**{**_DEFAULTS[engine], **given})


def fields_of(engine: str) -> tuple[str, ...]:
    """Names of the fields that have a meaning for an engine."""
    position_step = ("position_step",) if engine in PIE_ENGINES else ()
    return (*_DEFAULTS.get(engine, ()), *position_step)
