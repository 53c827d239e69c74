"""pydantic's findings in the user's words: which field, what it must be, what was found."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fastpty.config.base import item_sections_of, sections_of, variants_of

__all__ = ["describe", "unknown_key"]

# What pydantic calls the kinds of value that a field can take.
_KINDS = {
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "dict_type": "a mapping of names to values",
    "float_parsing": "a number",
    "float_type": "a number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "list_type": "a list",
    "literal_error": "{expected}",
    "string_type": "text",
    "tuple_type": "a list",
}
# A value of the right kind that breaks a bound.
_BOUNDS = {
    "finite_number": "a finite number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_long": "a list of at most {max_length}",
    "too_short": "a list of at least {min_length}",
}
_FIXED = {
    "missing": "is required and missing.",
    "invalid_key": "a key must be text. Quote it: YAML takes on, off, yes and 1 for values.",
}


def describe(model: type[BaseModel], findings: Sequence[Any]) -> list[tuple[str, str]]:
    """(field, message) for each field at fault, in the order of the findings.

    pydantic reports every member of a union that it tried; a user wrote one value, so the
    findings of one field become one message.
    """
    by_field: dict[tuple[str, ...], list[Any]] = {}
    for finding in findings:
        by_field.setdefault(tuple(_walk(model, finding["loc"])), []).append(finding)
    inside = {field[: i + 1] for field in by_field for i in range(len(field) - 1)}
    result = []
    for field, group in by_field.items():
        # [1, x] fails as a number and, one level down, in its second item: the latter says more.
        if field in inside and all(finding["type"] in _KINDS for finding in group):
            continue
        shown = field
        if group[0]["type"] == "invalid_key":  # the location says 0 for the key False
            shown = (*field[:-1], str(group[0]["input"]))
        result.append((".".join(shown) or "config", _message(model, field, group)))
    return result


def _message(model: type[BaseModel], field: tuple[str, ...], group: list[Any]) -> str:
    bounds = [finding for finding in group if finding["type"] not in _KINDS]
    finding = (bounds or group)[0]
    kind, value = finding["type"], finding["input"]
    if kind in _KINDS:
        kinds = dict.fromkeys(_filled(_KINDS[f["type"]], f) for f in group)
        return _expectation(model, field, " or ".join(kinds), value)
    if kind in _BOUNDS:
        return _expectation(model, field, _filled(_BOUNDS[kind], finding), value)
    if kind.startswith(("model_", "union_tag_")):
        other = _no_mapping if kind.startswith("model_") else _no_variant
        return other(model, field, value)
    if kind == "extra_forbidden":
        return unknown_key(field[-1], _field_names(model, field[:-1]))
    if kind in _FIXED:
        return _FIXED[kind]
    message = finding["msg"].removeprefix("Value error, ")
    if field:
        message = message.removeprefix(f"{field[-1]}: ")
    shown = "" if kind == "value_error" else f"; found {value!r}"
    return f"{message}{shown}".rstrip(".?") + ("?" if message.endswith("?") else ".")


def _filled(template: str, finding: Any) -> str:
    numbers = {
        key: f"{value:g}" if isinstance(value, float) else value
        for key, value in finding.get("ctx", {}).items()
    }
    return template.format(**numbers)


def _expectation(
    model: type[BaseModel], field: tuple[str, ...], expected: str, value: object
) -> str:
    found = "nothing" if value is None else repr(value)
    info = _field_info(model, field)
    meaning = f" It means: {info.description.rstrip('.')}." if info and info.description else ""
    return f"must be {expected}; found {found}.{meaning}"


def _no_mapping(model: type[BaseModel], field: tuple[str, ...], value: object) -> str:
    fields = ", ".join(_field_names(model, field))
    if value is None or value is False:
        info = _field_info(model, field)
        required = info is None or info.is_required()
        fix = f"Give its fields: {fields}." if required else "Leave it out for its defaults."
        return f"is needed and cannot be off. {fix}"
    return f"must be a mapping with the fields {fields}; found {value!r}."


def _no_variant(model: type[BaseModel], field: tuple[str, ...], value: object) -> str:
    """Of an item of a list whose items differ by their ``step``."""
    info = _field_info(model, field)
    known = list(variants_of(info.annotation)) if info else []
    if isinstance(value, Mapping) and "step" in value:
        return f"step {value['step']!r} is unknown. {_hint(str(value['step']), known)}"
    return f"must be a mapping with the field step, a name; found {value!r}. {_hint('', known)}"


def unknown_key(key: str, known: Sequence[str]) -> str:
    """That a key is none of those that are known: the one that it resembles, or all."""
    return f"unknown key. {_hint(key, known)}"


def _hint(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."


def _walk(model: type[BaseModel], location: Sequence[int | str]) -> Iterator[str]:
    """The location without pydantic's own additions (the union members that it tried)."""
    current: type[BaseModel] | None = model
    item: type[BaseModel] | None = None  # the section that each item of a list holds
    variants: dict[str, type[BaseModel]] = {}  # those of a list whose items differ
    free = False  # inside a mapping whose keys the user chooses
    for part in location:
        name = str(part)
        if current is not None:
            # Before the fields of an optional section stands the name of its validator.
            if name.startswith("function-") and name not in current.model_fields:
                continue
            yield name
            field = current.model_fields.get(name)
            annotation = field.annotation if field else None
            current = next(iter(sections_of(annotation)), None)
            variants = variants_of(annotation)
            item = None if variants else next(iter(item_sections_of(annotation)), None)
            free = typing.get_origin(annotation) in (dict, Mapping)
        elif name in variants:
            yield name
            current, variants = variants[name], {}
        elif isinstance(part, int) or (free and name != "[key]"):
            yield name
            current, item = item, None


def _field_info(model: type[BaseModel], path: Sequence[str]) -> FieldInfo | None:
    """The field, or for a place inside a list or mapping the field that holds it."""
    info: FieldInfo | None = None
    for section, part in _sections_along(model, path):
        info = section.model_fields.get(part) if section is not None else info
    return info


def _field_names(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """The fields of the section at the end of the path."""
    *_, (section, _) = _sections_along(model, [*path, ""])
    return list(section.model_fields) if section is not None else []


def _sections_along(
    model: type[BaseModel], path: Sequence[str]
) -> Iterator[tuple[type[BaseModel] | None, str]]:
    """(section, field) for each part of the path; None below a plain field."""
    current: type[BaseModel] | None = model
    variants: dict[str, type[BaseModel]] = {}
    for part in path:
        if part in variants:  # the kind of the item, which pydantic puts behind its number
            current, variants = variants[part], {}
        elif not part.isdigit():  # an item of the list that was the last part
            yield current, part
            field = current.model_fields.get(part) if current is not None else None
            annotation = field.annotation if field else None
            variants = variants_of(annotation)
            inner = sections_of(annotation) or item_sections_of(annotation)
            current = None if variants else next(iter(inner), None)
