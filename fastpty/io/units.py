"""Scales of other programs' axes in the units of a :class:`RawScan`'s metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["calibration_of", "is_angular", "is_length", "number"]

_LENGTHS = {  # Angstrom
    "a": 1.0,
    "å": 1.0,
    "ang": 1.0,
    "angstrom": 1.0,
    "pm": 0.01,
    "nm": 10.0,
    "um": 1e4,
    "µm": 1e4,
    "μm": 1e4,
    "micron": 1e4,
    "mm": 1e7,
    "cm": 1e8,
    "m": 1e10,
}
_ANGLES = {"mrad": 1.0, "rad": 1e3, "urad": 1e-3, "µrad": 1e-3, "deg": 1e3 * math.pi / 180}
# Scales along both axes of a square detector pixel agree at least this well.
_SQUARE = 1e-3


def number(value: Any) -> float | None:
    """A finite number, from a number or from a text that begins with one; else None."""
    try:
        found = float(value.decode() if isinstance(value, bytes) else value)
    except (TypeError, ValueError, AttributeError):
        return None
    return found if math.isfinite(found) else None


def _plain(unit: Any) -> str:
    text = unit.decode(errors="replace") if isinstance(unit, bytes) else str(unit or "")
    text = text.strip().strip("[]").lower().replace("_", "").replace(" ", "")
    return text.replace("ångström", "angstrom").replace("ångstrom", "angstrom")


def is_length(unit: Any) -> bool:
    """Whether a unit is one of a scan."""
    return _length(1.0, _plain(unit)) is not None


def is_angular(unit: Any) -> bool:
    """Whether a unit is one of a pattern: an inverse length or an angle."""
    return _plain(unit) in _ANGLES or _inverse_length(1.0, _plain(unit)) is not None


def _length(scale: float, unit: str) -> float | None:
    return scale * _LENGTHS[unit] if unit in _LENGTHS else None


def _inverse_length(scale: float, unit: str) -> float | None:
    for name in (unit.removeprefix("1/"), unit.removesuffix("^-1"), unit.removesuffix("-1")):
        if name != unit and name in _LENGTHS:
            return scale / _LENGTHS[name]
    return None


def calibration_of(
    axes: Sequence[tuple[Any, Any]], shape: tuple[int, ...]
) -> dict[str, float | list[float]]:
    """``scan_step_A``, ``dk_invA``, ``mrad_per_pixel`` or ``pixel_size_A`` of calibrated axes.

    Parameters
    ----------
    axes : (scale, unit) of each axis of a scan, pattern rows and columns last.
    shape : (Ny, Nx) last.

    A scale that is not positive, or whose unit is none of a length, an inverse length or an
    angle, is left out: programs write 1 where they know nothing.
    """
    known: dict[str, float | list[float]] = {}
    clean = [(abs(number(scale) or 0.0), _plain(unit)) for scale, unit in axes]
    if len(clean) == 4:
        steps = [_length(*axis) for axis in clean[:2]]
        if all(steps):
            known["scan_step_A"] = _one_or_two([float(step or 0) for step in steps])
    detector = clean[-2:]
    if all(unit in _ANGLES and scale > 0 for scale, unit in detector):
        both = _one_or_two([scale * _ANGLES[unit] for scale, unit in detector])
        if isinstance(both, float):
            known["mrad_per_pixel"] = both
        return known
    dk = [_inverse_length(*axis) for axis in detector]
    if all(dk):
        both = _one_or_two([float(value or 0) for value in dk])
        if isinstance(both, float):
            known["dk_invA"] = both
        else:
            known["pixel_size_A"] = [
                1 / (n * value) for n, value in zip(shape[-2:], both, strict=True)
            ]
    return known


def _one_or_two(values: list[float]) -> float | list[float]:
    first, second = values
    return first if abs(first - second) <= _SQUARE * first else values
