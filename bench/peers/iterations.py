"""What the scripts that time whole iterations of a peer have in common: data, fastpty's side, and
the turns that both sides take.

The patterns are random counts under a disc, as in bench/iteration/problem.py: the time of an
iteration does not depend on them. All patterns once, in batches; object and probe move, positions
are fixed; no constraints, no files.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import torch

from bench.iteration.problem import PIXEL, STEP, WINDOW, write_patterns
from bench.machine import machine
from bench.timing import Time, ratio
from fastpty.config import ReconConfig, validate_config
from fastpty.heap import keep_freed_memory
from fastpty.recon import Reconstruction

__all__ = ["DEFOCUS", "ENERGY_KV", "SEMIANGLE", "THICKNESS", "Case", "Clock", "compare", "missing"]

ENERGY_KV = 300.0
SEMIANGLE = 28.9  # mrad
DEFOCUS = 100.0  # Angstrom
THICKNESS = 20.0  # Angstrom, from slice to slice
CASES = ((1, 1), (1, 4), (6, 4))  # slices, modes


@dataclass(frozen=True)
class Case:
    """One comparison: an engine, and the sizes."""

    engine: str
    slices: int
    modes: int
    side: int  # positions along each axis
    batch: int
    path: Path  # of the patterns, zero frequency at N//2

    def run(self) -> Reconstruction:
        """fastpty's side; its model is where a peer's start may come from."""
        return Reconstruction.from_config(self._config(), self.path.parent)

    def patterns(self) -> Any:
        """[N, Ny, Nx] float32 counts."""
        with h5py.File(self.path) as file:
            return file["data"][:].reshape(-1, WINDOW, WINDOW).astype("float32")

    def _config(self) -> ReconConfig:
        optimise: dict[str, Any] = {"engine": self.engine, "batch_size": self.batch}
        constraints = dict.fromkeys(
            ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
        )
        return validate_config(
            ReconConfig,
            {
                "data": {"path": str(self.path)},
                "beam": {
                    "energy_kv": ENERGY_KV,
                    "semiangle_mrad": SEMIANGLE,
                    "aberrations": {"defocus": DEFOCUS},
                },
                "calibration": {"pixel_size": PIXEL},
                "scan": {"step": STEP},
                "object": {"slices": self.slices, "thickness": THICKNESS},
                "probe": {"modes": self.modes},
                "constraints": constraints,
                "optimise": optimise,
                "output": {"snapshots": []},
                "device": "cpu",
            },
        )


class Clock:
    """The seconds of both sides, iteration by iteration; the first of each is not counted."""

    def __init__(self, case: Case, rounds: int) -> None:
        self.rounds = rounds
        self._run = case.run()
        self.times = {"fastpty": Time([], []), "peer": Time([], [])}
        self._turn = 0

    def measure(self, side: str, begun: tuple[float, float]) -> None:
        """Note what has gone by since ``begun``, of :meth:`now`."""
        wall, cpu = self.now()
        self.times[side].wall.append(wall - begun[0])
        self.times[side].cpu.append(cpu - begun[1])

    @staticmethod
    def now() -> tuple[float, float]:
        """(wall, CPU) seconds."""
        return time.perf_counter(), time.process_time()

    def our_turn(self) -> None:
        """One iteration of fastpty."""
        self._turn += 1
        begun = self.now()
        self._run.engine.run_iteration(self._turn)
        self.measure("fastpty", begun)

    def result(self) -> dict[str, Time]:
        """Without the first round."""
        return {name: Time(t.wall[1:], t.cpu[1:]) for name, t in self.times.items()}


def compare(peer: str, module: str, version: str, time_peer: Callable[[Case, Clock], None]) -> None:
    """Parse the command line, time every case in turn, print and write.

    Parameters
    ----------
    peer, module : its name, and that of the script.
    time_peer : runs ``clock.rounds`` + 1 iterations of the peer, an iteration of fastpty after
        each, and notes the peer's in the clock.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("--side", type=int, default=8, help="positions along each axis")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=2, help="more, and peers may break on noise")
    parser.add_argument("--engines", nargs="+", default=["epie", "lsqml"])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as `fastpty recon` does; the peer's arrays are allocated the same way
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "patterns.h5"
        write_patterns(path, (options.side, options.side))
        for slices, modes in CASES:
            for engine in options.engines:
                case = Case(engine, slices, modes, options.side, options.batch, path)
                clock = Clock(case, options.rounds)
                time_peer(case, clock)
                times = clock.result()
                wall, cpu = ratio(times["peer"], times["fastpty"])
                print(
                    f"{engine:6} {slices} slices {modes} modes: {peer} / fastpty wall {wall:.2f}, "
                    f"CPU {cpu:.2f}; fastpty {times['fastpty'].median[1]:.2f} s CPU",
                    flush=True,
                )
                sizes = {"engine": engine, "slices": slices, "modes": modes}
                plain = {name: t.plain() for name, t in times.items()}
                rows.append({**sizes, "wall_ratio": wall, "cpu_ratio": cpu, **plain})
    if options.json is not None:
        whole = {"machine": machine(), "peer": f"{peer} {version}", "window": WINDOW}
        whole |= {"patterns": options.side**2, "batch": options.batch, "threads": 1, "rows": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(whole, indent=1) + "\n")


def missing(peer: str, module: str) -> None:
    """Leave, with what is to be done."""
    sys.exit(
        f"{module}: {sys.executable} finds no package of {peer}. Run this with the python of an "
        "environment that has it: see bench/README.md."
    )
