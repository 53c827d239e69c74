"""The section of the engine lsqml: iterative least squares of generalised maximum likelihood."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fastpty.config.base import Section
from fastpty.config.pie import Momentum, PieSettings, Step

__all__ = ["LsqmlConfig"]

Damping = Annotated[float, Field(ge=0, le=10)]


class LsqmlConfig(Section):
    """Steps of lsqml: factors of what the least squares find, and what keeps them small."""

    object_step: Step = Field(1.0, description="factor of the object's steps")
    probe_step: Step = Field(1.0, description="factor of the probe's steps")
    object_damping: Damping = Field(
        0.1, description="of the largest illumination, added to what the object's update is over"
    )
    probe_damping: Damping = Field(
        0.1, description="of the largest transmission, added to what the probe's update is over"
    )
    step_damping: Damping = Field(
        0.1, description="of the batch's mean diagonal, added to it in the solve for the steps"
    )
    object_momentum: Momentum = Field(0.0, description="share of the object's velocity that lasts")
    probe_momentum: Momentum = Field(0.0, description="share of the probe's velocity that lasts")
    momentum_every: Annotated[int, Field(ge=1)] = Field(
        50, description="patterns between two moves along the velocity"
    )
    position_step: Annotated[float, Field(ge=0, le=2)] = Field(
        0.0, description="factor of the positions' update; 0 keeps them fixed"
    )

    @property
    def settings(self) -> PieSettings:
        """What the engine has in common with the PIEs."""
        remembers = self.object_momentum > 0 or self.probe_momentum > 0
        return PieSettings(
            object_step=self.object_step,
            probe_step=self.probe_step,
            object_momentum=self.object_momentum,
            probe_momentum=self.probe_momentum,
            momentum_every=self.momentum_every if remembers else 0,
            position_step=self.position_step,
        )
