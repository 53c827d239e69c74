"""Measured data: found through the environment, or the tests are skipped by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fastpty.config import ReconConfig, load_config
from fastpty.recon import Reconstruction
from fastpty.results import Results

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

Reconstruct = Callable[..., Results]


@pytest.fixture(scope="session")
def measured_file() -> Callable[[str], Path]:
    """``measured_file(name)``: its path; skips when the data file is not there."""

    def find(name: str) -> Path:
        folder = os.environ.get("FASTPTY_DATA")
        if folder is None:
            pytest.skip("FASTPTY_DATA, the folder of the measured data sets, is not set")
        file = Path(folder) / name
        if not file.is_file():
            pytest.skip(f"{name} is not in FASTPTY_DATA")
        return file

    return find


@pytest.fixture(scope="session")
def reconstruct(measured_file: Callable[[str], Path]) -> Reconstruct:
    """``reconstruct(config name, *overrides)``; skips when the data file is not there."""

    def run(name: str, *overrides: str) -> Results:
        config_file = CONFIGS / f"{name}.yaml"
        config = load_config(ReconConfig, config_file, overrides)
        if "$FASTPTY_DATA" in config.data.path:
            measured_file(Path(config.data.path).name)
        reconstruction = Reconstruction.from_config(config, config_file.parent)
        reconstruction.run()
        return reconstruction.results()

    return run
