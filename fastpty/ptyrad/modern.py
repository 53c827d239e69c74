"""What older PtyRAD versions wrote, and what is given in part, in the terms of 1.0.0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastpty.ptyrad.native import Note

__all__ = ["modern"]

# Old name -> (name in probe_aberrations, names there that go before it).
_ABERRATIONS = {
    "probe_defocus": ("defocus", ("defocus", "C1", "C10")),
    "probe_c3": ("C30", ("C30", "C3", "Cs")),
    "probe_c5": ("C50", ("C50", "C5")),
}
_NO_START = (
    "is given without start_iter. PtyRAD 1.0.0 then leaves it off; here it is on from iteration 1. "
    "Write start_iter: null to leave it off."
)


def modern(content: Mapping[str, Any]) -> tuple[dict[str, Any], list[Note]]:
    """A copy in which every field has its name of 1.0.0, and notes on what was changed.

    What is no mapping where one belongs stays, for the check against the schema.
    """
    notes: list[Note] = []
    result = {key: _copied(value) for key, value in content.items()}
    result.pop("params_path", None)  # PtyRAD adds it to the copies that it saves
    for name, change in (
        ("init_params", _init),
        ("model_params", _model),
        ("constraint_params", _constraints),
        ("recon_params", _recon),
    ):
        if isinstance(section := result.get(name), dict):
            notes += [Note(f"{name}.{field}", text) for field, text in change(section)]
    return result, notes


def _copied(value: Any) -> Any:
    return {k: _copied(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _init(section: dict[str, Any]) -> list[tuple[str, str]]:
    notes = []
    if section.get("probe_aberrations") is None:
        section["probe_aberrations"] = {}
    aberrations = section["probe_aberrations"]
    for old, (name, before) in _ABERRATIONS.items():
        if old not in section or not isinstance(aberrations, dict):
            continue
        value = section.pop(old)
        if found := [other for other in before if other in aberrations]:
            notes.append((old, f"is ignored: probe_aberrations holds {found[0]}."))
        else:
            aberrations[name] = value
    return notes


def _model(section: dict[str, Any]) -> list[tuple[str, str]]:
    notes = []
    if section.pop("obj_preblur_std", None) is not None:
        notes.append(("obj_preblur_std", "is ignored, as PtyRAD does since 0.1.0b13."))
    updates = section.get("update_params")
    for name, update in updates.items() if isinstance(updates, dict) else ():
        if isinstance(update, dict) and update.get("lr") and "start_iter" not in update:
            update["start_iter"] = 1
            notes.append((f"update_params.{name}", _NO_START))
        elif isinstance(update, dict) and update.get("start_iter", 1) is None:
            update.setdefault("lr", 0.0)
    return notes


def _constraints(section: dict[str, Any]) -> list[tuple[str, str]]:
    notes = []
    for name, constraint in section.items():
        if constraint is None:
            section[name] = {"start_iter": None}
        elif isinstance(constraint, dict) and "freq" in constraint:
            every = constraint.pop("freq")
            constraint.setdefault("start_iter", None if every is None else 1)
            constraint.setdefault("step", every or 1)
        elif isinstance(constraint, dict) and "start_iter" not in constraint:
            constraint["start_iter"] = 1
            notes.append((name, _NO_START))
    return notes


def _recon(section: dict[str, Any]) -> list[tuple[str, str]]:
    section.pop("if_quiet", None)
    return []
