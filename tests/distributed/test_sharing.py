"""One process and two follow the same curve; each of two holds half of the patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.distributed import ALONE
from tests.distributed.cases import as_processes, tiny_shared
from tests.recon_cases import Tiny, make_tiny


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


ALL = {name: {"lr": 0.01} for name in ("tilt", "thickness", "occupancy", "aberrations")}
EVERYTHING: dict[str, Any] = {
    "object": {"modes": 2, "tilt_per": "position"},
    "probe": {"aberrations": ["defocus", "C12"]},
    "loss": {
        "poisson": {"weight": 0.1},
        "pacbed": {"weight": 0.1},
        "sparse": {"weight": 0.1, "power": 1.5},
        "similarity": {"weight": 0.1},
    },
    "optimise": {"iterations": 10, "accumulate": 2, "tiles": True, **ALL},
}
# Half pixels away from where windows are chosen anew, which a rounding could decide.
STEP = {"scan": {"step": [1.04, 1.12]}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {"optimise": {"iterations": 10}},
    "everything": EVERYTHING,
    "parts": {"optimise": {"iterations": 3}, "memory": 0.0001},
    "lbfgs": {"optimise": {"iterations": 5, "optimiser": {"name": "LBFGS"}}},
    **{
        engine: {"optimise": {"iterations": 5, "engine": engine}}
        for engine in ("pie", "epie", "rpie", "mpie")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_same_curve(tiny: Tiny, tmp_path: Path, case: str) -> None:
    alone = tiny_shared(ALONE, tiny, STEP | CASES[case])
    for found in as_processes(2, tiny_shared, tmp_path, tiny, STEP | CASES[case]):
        np.testing.assert_allclose(found["history"].loss, alone["history"].loss, rtol=1e-5)
        for name, tensor in alone["unknowns"].items():
            difference = (found["unknowns"][name] - tensor).norm() / tensor.norm()
            print(case, name, float(difference))
        print(found["agreement"], alone["agreement"], found["held"], alone["held"])
        a, b = np.array(found["history"].loss), np.array(alone["history"].loss)
        print(abs(a / b - 1).max())
