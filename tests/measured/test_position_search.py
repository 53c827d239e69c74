"""Stage errors of 10 px RMS are found on measured patterns: the middle of the set of
configs/cnm_position_search.yaml, its detector binned, as the probe fills half of the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty.config import ReconConfig, validate_config
from fastpty.metrics import position_rmse
from fastpty.recon import Reconstruction

pytestmark = pytest.mark.slow

NAME = "cnm_hxn_position_error_xray.h5"


def middle(source: Path, target: Path) -> NDArray[np.float64]:
    """Write the third of the scan in its middle; the positions that others refined, [N, 2] px."""
    with h5py.File(source) as file, h5py.File(target, "w") as part:
        start = file["positions_px_initial"][()].astype(float)
        chosen = np.hypot(*(start - start.mean(axis=0)).T) < 110
        part["data"] = file["data"][chosen]
        part["positions"] = start[chosen]
        part["probe"] = file["probe"][0, 32:96, 32:96]
        return np.asarray(file["positions_px_true"][()][chosen], float)


def test_errors_of_many_pixels_are_found(
    measured_file: Callable[[str], Path], tmp_path: Path
) -> None:
    refined = middle(measured_file(NAME), tmp_path / "middle.h5")
    config = {
        "units": "pixel",
        "data": {"path": "middle.h5", "dataset": "data"},
        "preprocess": [{"step": "hot_pixels"}, {"step": "bin", "factor": 2}],
        "scan": {"positions": {"path": "middle.h5", "dataset": "positions", "unit": "pixel"}},
        "object": {"margin": 24},
        "probe": {"modes": 1, "start": {"path": "middle.h5", "dataset": "probe"}},
        "constraints": {"blur_xy": False, "probe_power": False},
        "plan": [
            {"iterations": 12, "optimise": {"engine": "search", "batch_size": 16}},
            {
                "iterations": 10,
                "optimise": {"engine": "rpie", "batch_size": 8, "pie": {"position_step": 0.5}},
            },
        ],
        "output": {"figures": False, "snapshots": []},
    }
    run = Reconstruction.from_config(validate_config(ReconConfig, config), tmp_path)
    assert position_rmse(run.model.positions, refined) > 9
    run.run()
    found = run.results()
    assert position_rmse(found.positions, refined) < 2
    assert found.r_factor is not None
    assert found.r_factor <= 0.14
