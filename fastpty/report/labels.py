"""How names and numbers of a run are written for a reader."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["count", "label", "lengths", "value_text"]

# What the summary's names do not say by themselves.
_LABELS = {
    "r_factor": "R factor",
    "passes": "passes over the patterns",
    "displacement_px": "displacement of the positions from their start (px)",
    "rms": "root mean square",
    "aberrations_A": "fitted aberrations (Å)",
    "unknowns": "other unknowns, at the end",
    "tilt": "tilt (y, x) (mrad)",
    "tilt_spread": "tilt, standard deviation over the positions (y, x) (mrad)",
    "thickness": "thickness (Å)",
    "virtual": "correlation of virtual detectors with the phase",
    "truth": "agreement with the truth",
    "correlation": "correlation of the z-summed phase",
    "gain": "gain of the z-summed phase",
    "shift_px": "shift of the object (y, x) (px)",
    "position_rmse_px": "RMS error of the positions (px)",
    "position_rmse_start_px": "RMS error of the positions at the start (px)",
}
# Endings of other names, the longest first.
_UNITS = {
    "_e_per_A2": "e/Å²",
    "_percent": "%",
    "_seconds": "s",
    "_invA": "1/Å",
    "_mrad": "mrad",
    "_deg": "°",
    "_rad": "rad",
    "_px": "px",
    "_kv": "kV",
    "_A": "Å",
    "_s": "s",
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def label(name: str) -> str:
    """A name of a summary or a config in words, with its unit."""
    if name in _LABELS:
        return _LABELS[name]
    for ending, unit in _UNITS.items():
        if name.endswith(ending) and name != ending:
            return f"{name.removesuffix(ending).replace('_', ' ')} ({unit})"
    return name.replace("_", " ")


def value_text(value: object) -> str:
    """A number with four digits, a list with commas, yes or no; a dash for None."""
    if value is None or value in ([], ""):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(value_text(item) for item in value)
    return str(value)


def _number(value: float) -> str:
    if not math.isfinite(value):
        return "not finite"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        digits, exponent = f"{value:.3e}".split("e")
        digits = digits.rstrip("0").rstrip(".")
        return f"{digits} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", "−")
    shown = f"{value:.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return shown.replace("-", "−")


def lengths(pair: Sequence[float], unit: str) -> str:
    """``0.3 × 0.4 Å`` or, where both are the same, ``0.3 Å``."""
    shown = [value_text(float(part)) for part in pair]
    return f"{shown[0] if shown[0] == shown[1] else ' × '.join(shown)} {unit}"


def count(number: int, noun: str) -> str:
    """``1 slice``, ``2 slices``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
