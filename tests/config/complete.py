"""A smallest complete configuration, and the short way to change it."""

from __future__ import annotations

from typing import Any

from fastpty.config import ReconConfig, apply_overrides, validate_config

COMPLETE: dict[str, Any] = {
    "data": {"path": "data.h5"},
    "beam": {"energy_kv": 300, "semiangle_mrad": 20},
    "calibration": {"pixel_size": 0.2},
    "scan": {"step": 0.5},
}

IN_PIXELS: dict[str, Any] = {
    "units": "pixel",
    "data": {"path": "data.h5"},
    "scan": {"step": 2},
    "probe": {"start": {"path": "probe.npy"}},
}


def check(*overrides: str, base: dict[str, Any] | None = None) -> ReconConfig:
    """The base with overrides, checked."""
    return validate_config(ReconConfig, apply_overrides(base or COMPLETE, overrides))
