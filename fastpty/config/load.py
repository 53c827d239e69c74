"""YAML files, ``--set`` overrides, and the check against a schema."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fastpty.config.messages import describe
from fastpty.errors import ConfigError, DataError

__all__ = [
    "apply_overrides",
    "load_config",
    "parse_value",
    "read_yaml",
    "resolve_path",
    "validate_config",
]

Config = TypeVar("Config", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-4 as a number and refuses a key given twice."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise ConfigError(
                    f"line {line}", "has a list or a mapping where a key belongs.", "Quote the key."
                )
            if key.value in seen:
                raise ConfigError(key.value, f"is given twice (again in line {line}).", "Keep one.")
            seen.add(key.value)
        return node


# YAML 1.1 takes "1e-4" for text; every physicist takes it for a number.
_Loader.yaml_implicit_resolvers = {
    first: list(resolvers) for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = r"^[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)[eE][-+]?[0-9]+$"
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_FLOAT), list("-+0123456789."))


def parse_value(text: str) -> Any:
    """A YAML value, as the files are read.

    Raises
    ------
    yaml.YAMLError : it is not YAML.
    ConfigError : a key is given twice, or is no key.
    """
    return yaml.load(text, _Loader)


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
        content: object = parse_value(text)
    except yaml.YAMLError as error:
        raise ConfigError(
            str(path), f"is not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict):
        found = "empty" if content is None else f"a {type(content).__name__}"
        raise ConfigError(str(path), f"must hold 'key: value' lines; it is {found}.")
    return content


def apply_overrides(content: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Set fields by ``section.field=value``, items of lists by their number; values are YAML.

    Raises
    ------
    ConfigError : an override without ``=``, or one that steps into a plain value or beyond the end
        of a list.
    """
    result: dict[str, Any] = _copy(content)
    for item in overrides:
        key, separator, text = item.partition("=")
        if not separator or not key.strip():
            raise ConfigError("--set", f"must look like section.field=value, got {item!r}.")
        parts = [part.strip() for part in key.split(".")]
        if not all(parts):
            raise ConfigError("--set", f"{key.strip()!r} has an empty name between its dots.")
        target: Any = result
        for depth, part in enumerate(parts[:-1], 1):
            place = _place(target, part, parts[: depth - 1])
            inner = target[place] if isinstance(target, list) else target.get(place)
            if inner is None or isinstance(inner, bool):
                inner = target[place] = {}
            if not isinstance(inner, dict | list):
                raise ConfigError(
                    "--set", f"{'.'.join(parts[:depth])} is {inner!r}, which has no fields."
                )
            target = inner
        try:
            target[_place(target, parts[-1], parts[:-1])] = parse_value(text)
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
    (field, found), *others = describe(model, findings)
    more = [f"{other}: {text}" for other, text in others]
    raise ConfigError(field, "\n".join([found, *more]))


def load_config(model: type[Config], path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read, override and check a configuration file.

    Parameters
    ----------
    model : what it must hold, such as :class:`fastpty.config.ReconConfig`.
    overrides : as ``--set`` takes them, ``optimise.batch_size=64``; they go before the file.

    Raises
    ------
    DataError : the file cannot be read.
    ConfigError : every finding, one a line, with the field, the value and the rule.
    """
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


def _place(target: dict[str, Any] | list[Any], part: str, above: Sequence[str]) -> Any:
    """The key or, in a list, the index that ``part`` stands for."""
    if isinstance(target, dict):
        return part
    if not part.isdigit() or int(part) >= len(target):
        raise ConfigError(
            "--set",
            f"{'.'.join(above)} is a list of {len(target)}, whose items are named by their number "
            f"from 0; found {part!r}.",
        )
    return int(part)


def _copy(value: Any) -> Any:
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return {k: _copy(v) for k, v in value.items()} if isinstance(value, Mapping) else value
