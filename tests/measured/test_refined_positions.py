"""Wrong scan positions are found again, on simulated SrTiO3 at the dose and overlap of a usual
experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpty.config import ReconConfig, validate_config
from fastpty.job import set_up
from fastpty.simulate import SimulateConfig, simulate
from fastpty.truth import compare_with_truth

pytestmark = pytest.mark.slow

ENERGY = {"energy_kv": 300.0}
SPECIMEN = {"structure": "SrTiO3", "thickness_A": 80.0, "slice_thickness_A": 2.0}
JITTER = 0.036  # Angstrom along each axis: 0.3 px in the plane


def simulated(folder: Path) -> Path:
    config = SimulateConfig.model_validate(
        {
            "specimen": SPECIMEN,
            "optics": {**ENERGY, "semiangle_mrad": 28.9, "defocus_A": 80.0},
            "scan": {"shape": [14, 14], "step_A": [0.4, 0.4], "jitter_A": JITTER},
            "detector": {"pixels": 64, "max_angle_mrad": 57.8, "dose_e_per_A2": 1e6},
        }
    )
    return simulate(config, folder / "scan.h5")


def reconstruction(data: Path) -> ReconConfig:
    """The blurs would soften the columns, by whose sharp flanks positions are told."""
    return validate_config(
        ReconConfig,
        {
            "data": {"path": str(data)},
            "beam": {**ENERGY, "semiangle_mrad": 28.9, "aberrations": {"defocus": 80.0}},
            "calibration": {"mrad_per_pixel": 1.80625},
            "scan": {"step": 0.4},
            "object": {"slices": 10, "thickness": 7.8},
            "loss": {"gaussian": {"power": 0.5}, "sparse": {"weight": 0.1}},
            "constraints": {
                "blur_xy": False,
                "amplitude_clamp": {"low": 0.96, "high": 1.04},
                "positive_phase": True,
            },
            "optimise": {
                "iterations": 40,
                "batch_size": 8,
                "schedule": {"decay": "cosine", "hold": 20, "floor": 0.05},
                "phase": {"lr": 5e-3},
                "probe": {"lr": 1e-3},
                "positions": {"lr": 5e-3, "start": 8},
            },
            "truth": str(data),
        },
    )


def test_errors_of_a_third_of_a_pixel_are_found(tmp_path: Path) -> None:
    run, truth = set_up(reconstruction(simulated(tmp_path)), tmp_path)
    assert truth is not None
    run.run()
    found = compare_with_truth(run.results(), truth)
    assert found.position_rmse_start > 0.25
    assert found.position_rmse < 0.05
