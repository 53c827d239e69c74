"""The pages that list every field of a config, written from the schema itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from markdown_text import cell, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from fastpty.config.base import Switchable, item_sections_of, sections_of, variants_of
from fastpty.config.template import inline

__all__ = ["config_page"]

_PLAIN = {
    "boolean": "on or off",
    "integer": "whole number",
    "null": "null",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
_BOUNDS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def config_page(model: type[BaseModel], title: str, intro: str) -> str:
    """Markdown: for each section a heading and a table of its fields, sections within below it.

    Every field is an anchor of its dotted name, such as ``optimise.phase.lr``; items of a list are
    ``plan[].iterations``, and ``preprocess[crop].rows`` where they are of several kinds.
    """
    lines = [f"# {title}", "", intro, ""]
    lines += _section(model, "", None)
    return "\n".join(lines) + "\n"


def _section(model: type[BaseModel], path: str, value: Any) -> Iterator[str]:
    """Lines about a section; ``value``: what the section around it has by default."""
    schemas = model.model_json_schema().get("properties", {})
    rows = []
    below: list[tuple[str, type[BaseModel], Any]] = []
    for name, field in model.model_fields.items():
        place = f"{path}{name}"
        default = _default(field) if value is None else getattr(value, name)
        if default is None and issubclass(model, Switchable):
            default = False
        inner = list(_inner(place, field, default))
        below += inner
        links = ", ".join(f"[{_short(at)}](#{_heading_id(at)})" for at, *_ in inner)
        rows.append(
            [
                f'<a id="{place}" href="#{place}">`{name}`</a>',
                links or cell(_type(schemas[name])),
                "" if inner and default else cell(_shown(default)),
                _linked(cell(field.description or "")),
            ]
        )
    yield from table(["field", "value", "default", ""], rows)
    for place, section, default in below:
        depth = min(2 + place.count("."), 4)
        yield from ("", f"{'#' * depth} {place} {{ #{_heading_id(place)} }}", "")
        yield from _section(section, f"{place}.", default)


def _inner(
    place: str, field: FieldInfo, default: Any
) -> Iterator[tuple[str, type[BaseModel], Any]]:
    """The sections that a field, or the items of its list, may hold: (place, section, default)."""
    variants = variants_of(field.annotation)
    for name, section in variants.items():
        yield f"{place}[{name}]", section, None
    if not variants:
        for section in item_sections_of(field.annotation):
            yield f"{place}[]", section, None
        for section in sections_of(field.annotation):
            yield place, section, default if isinstance(default, section) else None


def _short(place: str) -> str:
    """What tells a section from its neighbours: ``crop`` of ``preprocess[crop]``."""
    return re.sub(r".*\[(\w+)\]", r"\1", place.rpartition(".")[2])


def _heading_id(place: str) -> str:
    return f"section-{place}"


def _linked(text: str) -> str:
    """A page that a description names, ``docs/plan.md`` or ``docs/plan``, as a link."""
    return re.sub(r"\bdocs/([\w-]+)(?:\.md)?", r"[\1](\1.md)", text)


def _default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    return f"`{_word(default)}`"


def _type(schema: Mapping[str, Any]) -> str:
    """What may stand there, in words, of a JSON schema. Sections are not asked for."""
    kind = schema.get("type", "")
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        return ", ".join(f"`{_word(value)}`" for value in values)
    if kind == "array" and "prefixItems" in schema:
        return f"[{', '.join(map(_type, schema['prefixItems']))}]"
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    bounds = ", ".join(f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema)
    return f"{_PLAIN[kind]} {bounds}".strip()


def _word(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else inline(value)
