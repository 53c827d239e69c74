"""YAML files, ``--set`` overrides and pydantic's findings, in the user's words."""

from __future__ import annotations

import difflib
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fastpty.errors import ConfigError, DataError

__all__ = ["apply_overrides", "load_config", "read_yaml", "resolve_path", "validate_config"]

Config = TypeVar("Config", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-4 as a number and refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise ConfigError(str(key), f"is given twice (again in line {line}).", "Keep one.")
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes "1e-4" for text; every physicist takes it for a number.
_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT), list("-+0123456789."))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises
    ------
    DataError : the file cannot be read.
    ConfigError : it is not YAML, or not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(str(path), "there is no such file.", "Check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(str(path), f"cannot be read as text ({error}).") from error
    try:
        content = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(
            str(path), f"is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {type(content).__name__}"
        raise ConfigError(str(path), f"must hold 'key: value' lines; it is {found}.")
    return content


def apply_overrides(content: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Set fields by ``section.field=value``; values are YAML.

    Raises
    ------
    ConfigError : an override without ``=``, or one that steps into a plain value.
    """
    result = _copy(content)
    for item in overrides:
        key, separator, text = item.partition("=")
        if not separator or not key.strip():
            raise ConfigError("--set", f"must look like section.field=value, got {item!r}.")
        target = result
        parts = key.strip().split(".")
        for depth, part in enumerate(parts[:-1], 1):
            inner = target.get(part)
            if inner is None or isinstance(inner, bool):
                inner = target[part] = {}
            if not isinstance(inner, dict):
                raise ConfigError(
                    "--set", f"{'.'.join(parts[:depth])} is {inner!r}, which has no fields."
                )
            target = inner
        try:
            target[parts[-1]] = yaml.load(text, _Loader)
        except yaml.YAMLError as error:
            raise ConfigError("--set", f"the value of {item!r} is not valid YAML.") from error
    return result


def validate_config(model: type[Config], content: Mapping[str, Any]) -> Config:
    """Check plain data against a schema.

    Raises
    ------
    ConfigError : every finding, one a line, with the field, the value and the rule.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        findings = error.errors()
    lines = [_finding(model, finding) for finding in findings]
    field, found = lines[0]
    more = [f"{other}: {text}" for other, text in lines[1:]]
    raise ConfigError(field, "\n".join([found, *more]))


def load_config(model: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read, override and check a configuration file."""
    return validate_config(model, apply_overrides(read_yaml(path), overrides))


def resolve_path(field: str, path: str, folder: Path) -> Path:
    """A path of the config: variables expanded, relative to the config file's folder.

    Raises
    ------
    ConfigError : an environment variable in it is not set.
    """
    expanded = os.path.expandvars(os.path.expanduser(path))
    if "$" in expanded:
        raise ConfigError(
            field, f"{path!r} uses an environment variable that is not set.", "Set it first."
        )
    return folder / expanded


def _copy(value: Any) -> Any:
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _finding(model: type[BaseModel], finding: Any) -> tuple[str, str]:
    location = [str(part) for part in finding["loc"] if not str(part).startswith("function-")]
    # pydantic names the member of a union that it tried; a user has not written that.
    fields = _walk(model, location)
    field = ".".join(fields) or "config"
    value = finding["input"]
    kind = finding["type"]
    if kind == "extra_forbidden":
        known = _field_names(model, fields[:-1])
        close = difflib.get_close_matches(fields[-1], known, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
        return field, f"unknown key. {hint}"
    if kind == "missing":
        return field, "is required and missing."
    message = finding["msg"].removeprefix("Value error, ")
    shown = "" if kind == "value_error" else f"; found {value!r}"
    return field, f"{message}{shown}".rstrip(".?") + ("?" if message.endswith("?") else ".")


def _submodels(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, typing.Annotated):
        return [m for part in typing.get_args(annotation) for m in _submodels(part)]
    return []


def _walk(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The location without pydantic's own additions (the union members it tried)."""
    fields: list[str] = []
    current: type[BaseModel] | None = model
    for part in location:
        if current is not None:
            fields.append(part)
            field = current.model_fields.get(part)
            models = _submodels(field.annotation) if field else []
            current = models[0] if models else None
        elif part.isdigit():
            fields.append(part)
    return fields


def _field_names(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    current = model
    for part in path:
        current = _submodels(current.model_fields[part].annotation)[0]
    return list(current.model_fields)
