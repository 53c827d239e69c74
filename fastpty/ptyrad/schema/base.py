"""What the sections of a PtyRAD file share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Flip", "NonNegative", "Params", "Positive", "Share", "Whole"]

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Whole = Annotated[int, Field(ge=1)]
Flag = Annotated[int, Field(ge=0, le=1)]
#: [flip up-down, flip left-right, transpose]
Flip = Annotated[list[Flag], Field(min_length=3, max_length=3)]


class Params(BaseModel):
    """A section: unknown keys are refused, as PtyRAD does."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
