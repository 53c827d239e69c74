"""Section about when a stage may end early."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fastpty.config.base import Iteration, Section

__all__ = ["ConvergenceConfig"]


class ConvergenceConfig(Section):
    """A stage that gets no further ends before its last iteration; the next one begins."""

    patience: Iteration | None = Field(
        None, description="iterations without progress after which a stage ends; null: never"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        1e-3,
        description="progress is more than this: a share, or px, mrad, rad: docs/plan.md",
    )
    of: Literal["loss", "unknowns"] = Field(
        "loss", description="a fall of the lowest loss, or a change of any unknown"
    )
