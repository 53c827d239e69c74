"""What an entry of the table says, and short ways to say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.recon_cases import merged

__all__ = ["Change", "Elsewhere", "Entry", "array_file", "below", "nested"]


@dataclass(frozen=True)
class Change:
    """Another value of one field, and what must then be another.

    Parameters
    ----------
    value : what the field is set to. Nothing else may differ but what is named in ``also``.
    sees : the observable that must change; see ``tests/config/observed.py``.
    base : laid over the smallest config first; None removes a field.
    also : laid over the changed config, where a rule ties other fields to this one.
    """

    value: Any
    sees: str
    base: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Elsewhere:
    """A test of its own, for what is too slow or too far from a run to be looked at here.

    Parameters
    ----------
    test : ``path/of/file.py::name_of_function``.
    """

    test: str


Entry = Change | Elsewhere


def below(place: str, changes: Mapping[str, Entry]) -> dict[str, Entry]:
    """The entries with a place before their names."""
    return {f"{place}.{name}": entry for name, entry in changes.items()}


def nested(place: str, value: Any) -> dict[str, Any]:
    """``nested("a.b", 1)`` is ``{"a": {"b": 1}}``."""
    for name in reversed(place.split(".")):
        value = {name: value}
    return dict(value)


def array_file(
    place: str, sees: str, one: str, other: str, base: Mapping[str, Any] | None = None
) -> dict[str, Entry]:
    """Of a section that names an array and may be left out; datasets of ``a.h5``."""
    base, file = base or {}, {"path": "a.h5", "dataset": one}
    on = merged(base, nested(place, file))
    return {
        place: Change(file, sees, base),
        f"{place}.path": Change("b.h5", sees, on),
        f"{place}.dataset": Change(other, sees, on),
    }
