"""The study's configs as they are, but for sizes: what runs for days is tried in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from fastpty.cli import main
from fastpty.config import ReconConfig, load_config, read_yaml
from fastpty.results import read_results
from fastpty.simulate import SimulateConfig
from tests.test_configs import CONFIGS
from tests.tolerances import tolerance

# 12 x 12 positions, 32 px, 4 slices of 10 Angstrom; the probe is small enough for the window.
SMALL = {"scan.shape": [12, 12], "detector.pixels": 32, "specimen.thickness_A": 40}
SMALL_DEFOCUS = 20


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small study that has run from end to end, by the commands that a user types."""
    folder = tmp_path_factory.mktemp("study")
    data = folder / "data.h5"
    sizes = {**SMALL, "optics.defocus_A": SMALL_DEFOCUS}
    fastpty(
        "simulate", CONFIGS / "srtio3_study_simulate.yaml", "-o", data,
        *(f"--set={key}={value}" for key, value in sizes.items()),
    )  # fmt: skip
    config = read_yaml(CONFIGS / "srtio3_study.yaml")
    config["data"]["path"] = config["truth"] = str(data)
    config["beam"]["aberrations"]["defocus"] = SMALL_DEFOCUS
    config["calibration"]["mrad_per_pixel"] *= 128 / 32
    config["object"]["slices"] = 4
    for stage, iterations in zip(config["plan"], (2, 3, 1), strict=True):
        stage["iterations"] = iterations
    config["plan"][0]["scan"] = {"rows": [3, 9], "columns": [3, 9]}
    config["plan"][1]["optimise"]["schedule"] = {**config["plan"][1]["optimise"]["schedule"],
                                                 "warmup": 1, "hold": 0}  # fmt: skip
    config["output"].update(snapshots=[0, "final"], figures=False)
    (folder / "small.yaml").write_text(yaml.safe_dump(config))
    fastpty("recon", folder / "small.yaml", "-o", folder / "output")
    return folder / "output"


def fastpty(*arguments: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["fastpty", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
    assert not end.value.code


def test_the_study_runs(study: Path) -> None:
    results = read_results(study / "reconstruction.h5")
    assert results.phase.shape[:2] == (1, 4)
    assert len(results.probe) == 6
    loss = results.history.loss
    assert len(loss) == 6
    assert np.isfinite(loss).all()
    assert loss[4] < loss[2]
    assert loss[5] < loss[4]


def test_positions_are_frozen_in_the_centre_and_free_afterwards(study: Path) -> None:
    history = read_results(study / "reconstruction.h5").history
    rates = history.lr["positions"]
    assert rates[:2] == [0, 0]
    assert min(rates[2:]) > 0
    rounding = tolerance("sum", torch.float32)
    np.testing.assert_allclose(history.displacement[:2], 0, **rounding)
    assert history.displacement[2] > rounding["atol"]


def test_the_study_leaves_images(study: Path) -> None:
    assert {"phase.tif", "phase_sum.tif"} <= {path.name for path in (study / "tiff").iterdir()}


def test_data_and_reconstruction_agree() -> None:
    """What the one file says of the other."""
    simulation = load_config(SimulateConfig, CONFIGS / "srtio3_study_simulate.yaml")
    config = load_config(ReconConfig, CONFIGS / "srtio3_study.yaml")
    assert config.beam is not None and config.calibration is not None
    assert config.beam.energy_kv == simulation.optics.energy_kv
    assert config.beam.semiangle_mrad == simulation.optics.semiangle_mrad
    assert config.beam.aberrations == {"defocus": simulation.optics.defocus_A}
    width = config.calibration.mrad_per_pixel
    assert width == 2 * simulation.detector.max_angle_mrad / simulation.detector.pixels
    assert (config.scan.step,) * 2 == simulation.scan.step_A
    depth = config.object.slices * np.asarray(config.object.thickness)
    assert depth == simulation.specimen.thickness_A


def test_the_study_is_what_it_says() -> None:
    """200 x 200 positions, 32 slices of 10 Angstrom, 6 modes, 100 iterations in three stages."""
    simulation = load_config(SimulateConfig, CONFIGS / "srtio3_study_simulate.yaml")
    assert simulation.scan.shape == (200, 200)
    assert simulation.detector.pixels == 128
    config = load_config(ReconConfig, CONFIGS / "srtio3_study.yaml")
    assert (config.object.slices, config.object.thickness, config.probe.modes) == (32, 10.0, 6)
    assert config.iterations == 100
    centre, full, finish = config.stages
    assert (centre.scan.rows, centre.scan.columns) == ((50, 150), (50, 150))
    assert centre.optimise.positions.lr == 0 < full.optimise.positions.lr
    assert full.scan.full and finish.scan.full
    assert finish.optimise.optimiser.name == "LBFGS"
