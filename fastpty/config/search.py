"""The section of the engine that searches positions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fastpty.config.base import Section

__all__ = ["SearchConfig"]


class SearchConfig(Section):
    """Positions tried in a disc around each, in objects that their own patterns had no part in."""

    radius: Annotated[float, Field(ge=1, le=1e3)] | None = Field(
        None,
        description="px within which a position is first searched; null: RMS width of the probe",
    )
    folds: Annotated[int, Field(ge=2)] = Field(
        4, description="parts of the scan; each is searched in an object made of the others"
    )
    passes: Annotated[int, Field(ge=1)] = Field(
        3, description="over the patterns for each object, from vacuum"
    )
