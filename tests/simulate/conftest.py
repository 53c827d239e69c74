"""A small experiment that every test of the simulation starts from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fastpty.simulate import SimulateConfig

# A 32-pixel detector to 40 mrad: pixel 0.246 Angstrom, window 7.9, fine window 128 x 128.
SMALL: dict[str, dict[str, Any]] = {
    "specimen": {"thickness_A": None},
    "optics": {"energy_kv": 300.0, "semiangle_mrad": 20.0},
    "scan": {"shape": (3, 4), "step_A": (0.5, 0.7)},
    "detector": {"pixels": 32, "max_angle_mrad": 40.0},
    "grid": {},
}

MakeConfig = Callable[..., SimulateConfig]


@pytest.fixture
def make_config() -> MakeConfig:
    """``make_config(scan={"shape": (1, 1)}, seed=3)``: sections are merged into SMALL."""

    def make(**changes: Any) -> SimulateConfig:
        merged: dict[str, Any] = {name: dict(section) for name, section in SMALL.items()}
        for name, change in changes.items():
            if name in merged:
                merged[name].update(change)
            else:
                merged[name] = change
        return SimulateConfig(**merged)

    return make
