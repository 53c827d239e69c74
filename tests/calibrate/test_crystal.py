"""Calibration on a lattice, where shifts by a period look alike: thin SrTiO3 from atoms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastpty.calibrate import gather, read_input, solve
from fastpty.calibrate.orientation import decompose, orientation, turned_by
from fastpty.simulate import SimulateConfig, simulate

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(8))
def test_a_thin_crystal(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    rotation, turned_over = float(rng.uniform(-180, 180)), bool(rng.integers(2))
    defocus = float(rng.choice([-1, 1]) * rng.uniform(60, 200))
    config = SimulateConfig.model_validate(
        {
            "specimen": {"structure": "SrTiO3", "thickness_A": None},
            "optics": {"energy_kv": 300.0, "semiangle_mrad": 20.0, "defocus_A": defocus},
            "scan": {"shape": [24, 24], "step_A": [0.5, 0.5], "rotation_deg": rotation},
            "detector": {"pixels": 48, "max_angle_mrad": 40.0, "dose_e_per_A2": 1e5},
            "seed": seed,
        }
    )
    path = simulate(config, tmp_path / "crystal.h5")
    overrides = ["beam.aberrations={}", "scan.rotation_deg=0"]
    if turned_over:
        overrides.append("preprocess=[{step: flip, of: pattern, flip_x: true}]")
    calibration, _ = read_input(path, overrides)
    found = solve(gather(calibration, Path()), calibration)
    true = orientation(0.0, turned_over) @ orientation(rotation, False)
    angle, mirrored = decompose(true)
    assert found.lens.mirrored == mirrored
    assert abs(turned_by(found.lens.rotation_deg, angle)) < 3
    assert found.lens.c10 == pytest.approx(-defocus, rel=0.06)
