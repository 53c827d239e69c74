"""Constraints within a reconstruction."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.constraints import CONSTRAINTS, leakage
from tests.recon_cases import Tiny, make_tiny, tiny_run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def test_all_together(tiny: Tiny) -> None:
    tilts = {"tilt_mrad": [1, 2], "tilt_per": "position"}
    run = tiny_run(tiny, object=tilts, constraints=dict.fromkeys(CONSTRAINTS, True))
    run.run()
    assert run.finished
    assert np.isfinite(run.history.loss).all()
    assert all(tensor.isfinite().all() for tensor in run.model.unknowns.values())


def test_the_model_knows_its_raster(tiny: Tiny) -> None:
    """Which the notches, the number for the history and the tilts' neighbours need."""
    model = tiny_run(tiny).model
    assert model.scan_shape == (5, 6)
    assert set(leakage(model)) == {"amplitude", "phase", "ramp", "raster"}


def test_functions_of_ones_own_act(tiny: Tiny) -> None:
    entry = {"call": "tests.constraints.own_functions:add_phase", "options": {"amount": 7.0}}
    run = tiny_run(tiny, constraints={"custom": [entry]}, optimise={"iterations": 1})
    run.run()
    assert float(run.model.phase.detach().mean()) > 6
