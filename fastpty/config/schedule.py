"""Sections about learning rates over a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fastpty.config.base import Iteration, Section

__all__ = ["ScheduleConfig"]

Count = Annotated[int, Field(ge=0)]
Lowering = Annotated[float, Field(gt=0, lt=1)]


class ScheduleConfig(Section):
    """Learning rates are multiplied by a factor that is 1 but for what is switched on here.

    ``decay``, ``step`` and ``plateau`` exclude each other; each may follow a ``warmup``. Iterations
    are those of the run.
    """

    warmup: Count = Field(0, description="iterations in which the factor rises to 1")
    hold: Count = Field(0, description="iterations at 1 between warm-up and decay")
    decay: Literal["linear", "cosine", "exponential"] | None = Field(
        None, description="linear, cosine or exponential: falls to floor"
    )
    until: Iteration | None = Field(
        None, description="iteration in which decay arrives at floor; null: the run's last"
    )
    floor: Annotated[float, Field(ge=0, le=1)] = Field(
        0.01, description="lowest factor of decay, step and plateau"
    )
    step: Iteration | None = Field(None, description="multiply by gamma every so many iterations")
    gamma: Lowering = Field(0.5, description="with step")
    plateau: Iteration | None = Field(
        None, description="multiply by factor after so many iterations without a lower loss"
    )
    factor: Lowering = Field(0.5, description="with plateau")
    threshold: Annotated[float, Field(ge=0, lt=1)] = Field(
        1e-3, description="with plateau: lower means by this share of the lowest loss"
    )

    @property
    def constant(self) -> bool:
        """True if the factor is 1 throughout."""
        return not self.warmup and self.decay is None and self.step is None and self.plateau is None

    @model_validator(mode="after")
    def _one_way_down(self) -> ScheduleConfig:
        ways = [n for n in ("decay", "step", "plateau") if getattr(self, n) is not None]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} exclude each other; keep one")
        if self.decay == "exponential" and self.floor == 0:
            raise ValueError("floor must be greater than 0 with decay: exponential; found 0.0")
        if self.decay is None:
            for name in ("hold", "until"):
                if getattr(self, name):
                    raise ValueError(f"{name} has no meaning without decay; remove it")
        elif self.until is not None and self.until <= self.warmup + self.hold:
            raise ValueError(
                f"until = {self.until} must be after warmup + hold = {self.warmup + self.hold}"
            )
        return self

    def ending(self, iterations: int) -> ScheduleConfig:
        """A copy that says itself when its decay ends, for a run of so many iterations.

        Written into the config, so that a resumed run with more iterations cannot change the
        factors of those before.
        """
        if self.decay is None or self.until is not None:
            return self
        return self.model_copy(
            update={"until": max(iterations, self.warmup + self.hold + 1)}, deep=True
        )
