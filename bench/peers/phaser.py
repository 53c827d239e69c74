"""One iteration of ePIE and of LSQ-ML in phaser and in fastpty: ``python -m bench.peers.phaser``.

Run it, in the folder that holds ``bench/``, with the python of an environment in which both are
installed. The same patterns, positions, probe modes, slices, batches; one thread; in turn.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from bench.iteration.problem import PIXEL, STEP, WINDOW
from bench.peers.iterations import (
    DEFOCUS,
    ENERGY_KV,
    SEMIANGLE,
    THICKNESS,
    Case,
    Clock,
    compare,
    missing,
)
from fastpty.optics import electron_wavelength

PEER, MODULE = "phaser", "bench.peers.phaser"

# Where it can be imported, jax compiles phaser's steps: by far the fastest of its backends.
BACKEND = "jax" if importlib.util.find_spec("jax") else "numpy"


def main() -> None:
    """Measure and print."""
    if importlib.util.find_spec("phaser") is None:
        missing(PEER, MODULE)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    compare(f"{PEER} ({BACKEND})", MODULE, version("phaserem"), time_phaser)


def time_phaser(case: Case, clock: Clock) -> None:
    """phaser's own loop, in which fastpty's iteration follows on each of its own."""
    from phaser.execute import execute_plan
    from phaser.observer import Observer
    from phaser.plan import ReconsPlan

    class InTurn(Observer):  # type: ignore[misc]
        """Called at the start, and after each iteration, whose time it notes."""

        def start_engine(self, *_: Any) -> None:
            self.begun = clock.now()

        def update_iteration(self, *_: Any) -> None:
            clock.measure("peer", self.begun)
            clock.our_turn()
            self.begun = clock.now()

    execute: Callable[..., Any] = execute_plan
    execute(ReconsPlan.from_data(plan(case, clock.rounds + 1)), override_observers=InTurn(), seed=0)


def plan(case: Case, iterations: int) -> dict[str, Any]:
    """phaser's settings; the factors of ePIE's steps have no defaults."""
    wavelength = electron_wavelength(ENERGY_KV)
    solver: dict[str, Any] = {"type": case.engine}
    if case.engine == "epie":
        solver |= {"beta_object": 0.5, "beta_probe": 0.5}
    engine = {
        "type": "conventional",
        "solver": solver,
        "noise_model": {"type": "amplitude"},
        "probe_modes": case.modes,
        "niter": iterations,
        "grouping": case.batch,
        "update_probe": True,
        "buffer_n_groups": None,
        "group_constraints": [],
        "iter_constraints": [],
    }
    thickness = {"n": case.slices, "slice_thickness": THICKNESS}
    return {
        "name": "bench",
        "backend": BACKEND,
        "dtype": "float32",
        "raw_data": {
            "type": "manual",
            "path": str(case.path),
            "key": "data",
            "diff_step": 1e3 * wavelength / (WINDOW * PIXEL),
            "kv": ENERGY_KV,
            "adu": 1.0,
        },
        "init": {
            "probe": {"type": "focused", "conv_angle": SEMIANGLE, "defocus": DEFOCUS},
            "scan": {"type": "raster", "shape": (case.side, case.side), "step_size": STEP},
            "object": "random",
        },
        "slices": None if case.slices == 1 else thickness,
        "engines": [engine],
    }


if __name__ == "__main__":
    main()
