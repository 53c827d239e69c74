"""What the search is for: a simulated crystal with deliberately wrong defocus and rotation."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fastpty.config import ReconConfig, load_config, validate_config
from fastpty.simulate import SimulateConfig, simulate
from tests.tune.cases import search

DEFOCUS, ROTATION = 80.0, 3.0
THICKNESS = 15.62  # Angstrom; a single slice stands in its middle

SIMULATION = {
    "specimen": {"thickness_A": THICKNESS},
    "optics": {"semiangle_mrad": 24, "defocus_A": DEFOCUS},
    "scan": {"shape": [16, 16], "step_A": [0.7, 0.7], "rotation_deg": ROTATION},
    "detector": {"pixels": 32, "max_angle_mrad": 36, "dose_e_per_A2": 1e5},
}
WRONG = {
    "data": {"path": "sto.h5", "dataset": "data"},
    "beam": {"energy_kv": 300, "semiangle_mrad": 24, "aberrations": {"defocus": 130}},
    "calibration": {"mrad_per_pixel": 2.25},
    "scan": {"step": 0.7, "rotation_deg": -6},
    "optimise": {"iterations": 40, "batch_size": 16, "phase": {"lr": 1e-2}},
}


@pytest.mark.slow
def test_defocus_and_rotation_are_found_in_30_trials(tmp_path: Path) -> None:
    """Defocus to 8 Angstrom, a tenth of itself and less than the depth of focus lambda /
    alpha^2 = 34 Angstrom; rotation to a degree, 0.1 Angstrom at the edge of the scan. Both are
    found well within that: 1.5 Angstrom and 0.1 degrees."""
    simulate(validate_config(SimulateConfig, SIMULATION), tmp_path / "sto.h5")
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(WRONG), encoding="utf-8")
    ranges = {
        "beam.aberrations.defocus": {"low": 20, "high": 160},
        "scan.rotation_deg": {"low": -10, "high": 10},
    }
    short = {"optimise.iterations": 4}
    search(tmp_path, set=short, search=ranges, sampler="gp", trials=24)
    best = load_config(ReconConfig, tmp_path / "out" / "best.yaml")
    assert best.beam is not None
    assert abs(best.beam.aberrations["defocus"] - (DEFOCUS - THICKNESS / 2)) < 8
    assert abs(best.scan.rotation_deg - ROTATION) < 1
    assert best.optimise.iterations == 40
