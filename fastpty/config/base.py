"""What every configuration section shares."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import InitErrorDetails

__all__ = [
    "Iteration",
    "NonNegative",
    "Positive",
    "Section",
    "Switchable",
    "item_sections_of",
    "refuse",
    "sections_of",
    "variants_of",
]

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Iteration = Annotated[int, Field(ge=1)]


def sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections that a field may hold: none for a plain field."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        return [m for part in typing.get_args(annotation) for m in sections_of(part)]
    return []


def item_sections_of(annotation: Any) -> list[type[BaseModel]]:
    """The sections that the items of a list field may hold: none for any other field."""
    if typing.get_origin(annotation) is list:
        return sections_of(typing.get_args(annotation)[0])
    return []


def variants_of(annotation: Any) -> dict[str, type[BaseModel]]:
    """The sections that the items of a list may hold, by the ``step`` that tells them apart; none
    where all items are of one kind."""
    sections = item_sections_of(annotation)
    if len(sections) < 2:
        return {}
    return {str(section.model_fields["step"].default): section for section in sections}


class Section(BaseModel):
    """A typed section: unknown keys are refused, defaults are checked too."""

    model_config = ConfigDict(
        extra="forbid", validate_default=True, allow_inf_nan=False, use_attribute_docstrings=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_switch_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        """``on`` counts as 1 in Python; in a config it is a slip."""
        annotation = cls.model_fields[str(info.field_name)].annotation
        switch = annotation is bool or any(v is True for v in typing.get_args(annotation))
        plain = not switch and not sections_of(annotation) and not _lists_anything(annotation)
        if plain and _holds_bool(value):
            raise ValueError(f"cannot be switched on or off; found {value!r}")
        return value


class Switchable(Section):
    """Base of sections whose entries are on, off, or given in part.

    A part that is given keeps its other defaults and is ON: only ``off`` (false, null) switches
    an entry off.
    """

    @field_validator("*", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        if value is True:
            return {}
        return None if value is False else value


def _lists_anything(annotation: Any) -> bool:
    """Whether a field takes a list of any values: those of other fields, switches among them."""
    return list[Any] in (annotation, *typing.get_args(annotation))


def _holds_bool(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_bool(item) for item in value)
    return isinstance(value, bool)


def refuse(faults: Mapping[tuple[str | int, ...], tuple[str, Any]]) -> None:
    """Findings in places that the schema does not know, as pydantic reports its own.

    Parameters
    ----------
    faults : place -> (what is wrong, the value found); none raises nothing.
    """
    if faults:
        details: list[InitErrorDetails] = [
            {"type": "value_error", "loc": place, "input": value, "ctx": {"error": text}}
            for place, (text, value) in faults.items()
        ]
        raise ValidationError.from_exception_data("config", details)
