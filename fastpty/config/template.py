"""A commented configuration file, written from the schema itself: it can never be out of date."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

__all__ = ["MISSING", "write_template"]

#: Marks a value that only the user knows; it is written so that ``validate`` refuses it.
MISSING = object()

_COLUMN = 36


def write_template(model: type[BaseModel], values: Mapping[str, Any], title: str) -> str:
    """YAML with every field, its description and unit as a comment.

    Parameters
    ----------
    values : nested; goes before the defaults. ``MISSING`` asks the user to fill the field in.

    Fields that are null by default are commented out.
    """
    lines = [f"# {line}".rstrip() for line in title.splitlines()]
    for name, field in model.model_fields.items():
        lines.append("")
        lines += _field(name, field, values.get(name, PydanticUndefined), "")
    return "\n".join(lines) + "\n"


def _field(name: str, field: FieldInfo, value: Any, indent: str) -> list[str]:
    comment = field.description or ""
    section = _section_of(field.annotation)
    if value is PydanticUndefined:
        value = field.get_default(call_default_factory=True, validated_data={})
    if value is MISSING:
        return [_line(f"{indent}{name}:", f"FILL IN: {comment}")]
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if section is not None and isinstance(value, Mapping):
        lines = [_line(f"{indent}{name}:", comment)]
        for inner, inner_field in section.model_fields.items():
            inner_value = value.get(inner, PydanticUndefined)
            lines += _field(inner, inner_field, inner_value, indent + "  ")
        return lines
    if value is None or value is PydanticUndefined:
        return [_line(f"{indent}# {name}:", comment)]
    return [_line(f"{indent}{name}: {_inline(value)}", comment)]


def _line(text: str, comment: str) -> str:
    return f"{text:<{_COLUMN - 1}} # {comment}" if comment else text


def _inline(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type):
        return annotation if issubclass(annotation, BaseModel) else None
    sections = [_section_of(part) for part in typing.get_args(annotation)]
    return next((section for section in sections if section is not None), None)
