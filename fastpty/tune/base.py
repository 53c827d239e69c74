"""The config that the trials of a study begin with, and what a trial makes of it."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpty.config import (
    ReconConfig,
    apply_overrides,
    read_yaml,
    resolve_path,
    validate_config,
)
from fastpty.config.base import item_sections_of, sections_of
from fastpty.config.template import inline
from fastpty.errors import ConfigError
from fastpty.ptyrad import is_ptyrad
from fastpty.tune.config import RangeConfig, TrialsConfig

__all__ = ["Base", "check_search", "holds_whole_numbers", "probes", "read_base", "value_of"]


@dataclass(frozen=True)
class Base:
    """A config as plain data.

    Parameters
    ----------
    content : of the file.
    short : fields that differ in the trials, by their dotted names.
    folder : relative paths in the content start here.
    """

    content: dict[str, Any]
    short: dict[str, Any]
    folder: Path

    def config(self, values: Mapping[str, Any], *, whole: bool = False) -> ReconConfig:
        """The checked config of a trial.

        Parameters
        ----------
        values : dotted field -> value.
        whole : without ``short``: the run that the trials are for.

        Raises
        ------
        ConfigError : the config refuses the values, alone or together.
        """
        fields = {**({} if whole else self.short), **values}
        overrides = [f"{name}={inline(value)}" for name, value in fields.items()]
        return validate_config(ReconConfig, apply_overrides(self.content, overrides))


def read_base(study: TrialsConfig, folder: Path) -> Base:
    """The base of a study, with the study's ``set`` checked upon it.

    Parameters
    ----------
    folder : of the study's file.

    Raises
    ------
    ConfigError, DataError : the base cannot be read, or it or ``set`` is refused.
    """
    path = resolve_path("base", study.base, folder)
    content = read_yaml(path)
    if is_ptyrad(content):
        raise ConfigError(
            "base",
            f"{path.name} is a PtyRAD file.",
            "Write it as a config first: fastpty convert, which says what has no counterpart.",
        )
    base = Base(content, study.set, path.parent)
    base.config({}, whole=True)
    try:
        base.config({})
    except ConfigError as error:
        raise ConfigError("set", f"makes a config that is refused: {error}") from error
    return base


def check_search(base: Base, field: str, name: str, values: list[Any]) -> None:
    """Refuse, before the first trial, a field that does not exist or a value that it never takes.

    What is refused only beside the present values of other fields is left to the trials.

    Parameters
    ----------
    field : of the study that names it, for messages.
    values : to be tried.

    Raises
    ------
    ConfigError : naming the field and the rule.
    """
    for value in values:
        for whole in (False, True):
            try:
                base.config({name: value}, whole=whole)
            except ConfigError as error:
                own = error.field == name or error.field.startswith(f"{name}.")
                if own or error.field == "--set" or "unknown key" in error.found:
                    by = "base" if whole else "base with set"
                    raise ConfigError(
                        field, f"{name} = {value!r} is refused by {by}: {error}"
                    ) from error


def probes(name: str, given: RangeConfig) -> list[Any]:
    """Values of a range that stand for all: its ends and one between, or its choices."""
    if given.choices is not None:
        return given.choices
    assert given.low is not None and given.high is not None
    if holds_whole_numbers(name, given):
        return [round(given.low), round(given.high)]
    between = given.low + 0.382 * (given.high - given.low) if given.step is None else given.low
    return [given.low, between, given.high]


def holds_whole_numbers(name: str, given: RangeConfig) -> bool:
    """Whether the values of a range are integers: the field's type says so, or range and step."""
    numbers = [n for n in (given.low, given.high, given.step) if n is not None]
    if not all(float(n).is_integer() for n in numbers):
        return False
    kinds = set(_kinds(name))
    return given.step is not None or (int in kinds and float not in kinds)


def _kinds(name: str) -> Iterator[Any]:
    """The plain types that a field of a reconstruction's config may hold; none if unknown."""
    parts = name.split(".")
    if parts[0] == "plan" and len(parts) > 3:  # a stage's part goes over the section of its name
        parts = parts[2:]
    sections: list[Any] = [ReconConfig]
    annotation: Any = None
    for part in parts:
        if part.isdigit():
            sections = item_sections_of(annotation)
            continue
        fields = [s.model_fields[part] for s in sections if part in s.model_fields]
        if not fields:
            return
        annotation = fields[0].annotation
        sections = sections_of(annotation)
    yield from _members(annotation)


def _members(annotation: Any) -> Iterator[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        for member in typing.get_args(annotation):
            yield from _members(member)
    elif origin is typing.Annotated:
        yield from _members(typing.get_args(annotation)[0])
    else:
        yield annotation


def value_of(config: ReconConfig, name: str) -> Any:
    """The value of a dotted field; None where the config has none."""
    found: Any = config.model_dump(mode="json")
    for part in name.split("."):
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict):
            found = found.get(part)
        else:
            return None
    return found
