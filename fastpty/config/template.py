"""A commented configuration file, written from the schema itself: it can never be out of date."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fastpty.config.base import sections_of, variants_of
from fastpty.config.load import parse_value

__all__ = ["MISSING", "inline", "write_template"]

#: Marks a value that only the user knows; it is written so that ``validate`` refuses it.
MISSING = object()

_COLUMN = 36


def write_template(model: type[BaseModel], values: Mapping[str, Any], title: str) -> str:
    """YAML with every field, its description and unit as a comment.

    Parameters
    ----------
    values : nested; goes before the defaults. ``MISSING`` asks the user to fill the field in.

    Fields that are null by default are commented out, a section with all of its fields. Below an
    empty list stands each kind of item that it may hold, commented out.
    """
    lines = [f"# {line}".rstrip() for line in title.splitlines()]
    for name, field in model.model_fields.items():
        lines.append("")
        lines += _field(name, field, values.get(name, PydanticUndefined), "")
    return "\n".join(lines) + "\n"


def _field(name: str, field: FieldInfo, value: Any, indent: str) -> list[str]:
    comment = field.description or ""
    section = next(iter(sections_of(field.annotation)), None)
    if value is PydanticUndefined:
        value = field.get_default(call_default_factory=True, validated_data={})
    if value is MISSING:
        return [_line(f"{indent}{name}:", f"FILL IN: {comment}")]
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if section is None:
        if value is None:
            return [_line(f"{indent}# {name}:", comment)]
        text = "" if value is PydanticUndefined else f" {inline(value)}"
        lines = [_line(f"{indent}{name}:{text}", comment)]
        for kind in variants_of(field.annotation).values() if value == [] else ():
            lines += _item(kind, indent)
        return lines
    given = isinstance(value, Mapping)
    lines = [_line(f"{indent}{'' if given else '# '}{name}:", comment)]
    for inner, inner_field in section.model_fields.items():
        inner_value = value.get(inner, PydanticUndefined) if given else PydanticUndefined
        lines += _field(inner, inner_field, inner_value, indent + ("  " if given else "#   "))
    return lines


def _item(kind: type[BaseModel], indent: str) -> list[str]:
    """An item of a list, as it would stand there."""
    (first, title), *others = kind.model_fields.items()
    lines = [_line(f"{indent}# - {first}: {title.default}", title.description or "")]
    for name, field in others:
        lines += _field(name, field, PydanticUndefined, f"{indent}#   ")
    return lines


def _line(text: str, comment: str) -> str:
    return f"{text:<{_COLUMN - 1}} # {comment}" if comment else text


def inline(value: Any) -> str:
    """Plain YAML; quoted where this package's reader would take a text for a number (1e-4)."""
    if isinstance(value, tuple):
        value = list(value)
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    text = text.removesuffix("...").strip()
    return text if parse_value(text) == value else json.dumps(value)
