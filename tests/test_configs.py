"""The configs that are shipped: each loads, and full.yaml names every field."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastpty.config import ReconConfig, load_config
from fastpty.config.template import write_template
from fastpty.simulate import SimulateConfig
from fastpty.tune import AblateConfig, TuneConfig
from fastpty.tune.base import read_base

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SIMULATIONS = sorted(CONFIGS.glob("*simulate*.yaml"))
STUDIES: dict[Path, type[AblateConfig] | type[TuneConfig]] = {
    CONFIGS / "ablation_model.yaml": AblateConfig,
    CONFIGS / "ablation_dose.yaml": AblateConfig,
    CONFIGS / "tune_probe.yaml": TuneConfig,
}
RECONSTRUCTIONS = sorted(set(CONFIGS.glob("*.yaml")) - set(SIMULATIONS) - set(STUDIES))


@pytest.mark.parametrize("path", RECONSTRUCTIONS, ids=lambda path: path.stem)
def test_reconstruction_config_loads(path: Path) -> None:
    assert load_config(ReconConfig, path).optimise.iterations > 0


@pytest.mark.parametrize("path", SIMULATIONS, ids=lambda path: path.stem)
def test_simulation_config_loads(path: Path) -> None:
    assert load_config(SimulateConfig, path).output.endswith(".h5")


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_loads(path: Path) -> None:
    assert read_base(load_config(STUDIES[path], path), CONFIGS).config({}).iterations > 0


def test_full_config_is_what_the_schema_says() -> None:
    """To write it anew: put this text into the file."""
    values = {
        "data": {"path": "data.h5"},
        "beam": {"energy_kv": 300.0, "semiangle_mrad": 25.0, "aberrations": {"defocus": 100.0}},
        "calibration": {"disc_radius_px": "fit"},
        "scan": {"step": 0.5},
    }
    title = (
        "Every field of a reconstruction, with its unit and its default; what is commented out is "
        "null\nor off by default. `fastpty init data.h5` writes such a file for your data."
    )
    expected = write_template(ReconConfig, values, title)
    assert (CONFIGS / "full.yaml").read_text(encoding="utf-8") == expected
