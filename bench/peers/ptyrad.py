"""One optimisation step in PtyRAD 1.0.0 and in fastpty: ``python -m bench.peers.ptyrad``.

Run it, in the folder that holds ``bench/``, with the python of an environment in which PtyRAD is
installed. Where fastpty can be imported too, its step of the same sizes is timed in turn with
PtyRAD's; else ``python -m bench.report`` times it, on the same machine.

A step: a batch of measured patterns, forward, Gaussian and sparse loss, backward, Adam on
amplitude, phase, probe and positions. No constraints, no files, on the CPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
import yaml

from bench.machine import machine
from bench.timing import Side, Time, in_turn, ratio

SCAN = (4, 8)  # one batch
WINDOW = 128
STEP = 2.4  # Angstrom, as in bench/iteration/problem.py
PIXEL = 0.15  # Angstrom
TOTAL_THICKNESS = 160.0  # Angstrom


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.ptyrad", description=__doc__)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--modes", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    if importlib.util.find_spec("ptyrad") is None:
        sys.exit(
            f"bench.peers.ptyrad: {sys.executable} finds no package ptyrad. Run this with the "
            "python of an environment that has it: see bench/README.md."
        )
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sides = {"PtyRAD": Side(ptyrad_step(Path(folder), options.slices, options.modes))}
        ours = fastpty_step(Path(folder), options.slices, options.modes)
        if ours is None:
            print("fastpty cannot be imported here: python -m bench.report times its step.")
        else:
            sides["fastpty"] = Side(ours)
        for threads in sorted(set(options.threads)):
            torch.set_num_threads(threads)
            times = in_turn(sides, options.rounds)
            rows.append({"threads": threads, **{name: t.plain() for name, t in times.items()}})
            show(times, options.slices, options.modes, threads)
    if options.json is not None:
        sizes = {"window": WINDOW, "positions": SCAN[0] * SCAN[1]}
        sizes |= {"slices": options.slices, "modes": options.modes}
        result = {"machine": machine(), "rounds": options.rounds, **sizes, "times": rows}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def show(times: dict[str, Time], slices: int, modes: int, threads: int) -> None:
    """A line for each side, and the ratio."""
    positions = SCAN[0] * SCAN[1]
    print(
        f"one step: {WINDOW} px, {modes} modes, {slices} slices, {positions} positions, "
        f"{threads} thread(s), medians"
    )
    for name, measured in times.items():
        wall, cpu = measured.median
        each = 1e6 * cpu / (modes * slices * positions)
        print(f"  {name:8} {wall:8.3f} s wall {cpu:8.3f} s CPU {each:8.1f} µs CPU per wave-slice")
    if "fastpty" in times:
        wall, cpu = ratio(times["PtyRAD"], times["fastpty"])
        print(f"  PtyRAD / fastpty: wall {wall:.2f}, CPU {cpu:.2f}")


def ptyrad_step(folder: Path, slices: int, modes: int) -> Callable[[], Any]:
    """PtyRAD's own step on random counts under a disc."""
    from ptyrad.params import load_params
    from ptyrad.runtime.device import set_gpu_device
    from ptyrad.solver import PtyRADSolver
    from ptyrad.solver import reconstruction as ptyrad

    rng = np.random.default_rng(0)
    offset = np.arange(WINDOW) - WINDOW // 2
    disc = np.hypot(offset[:, None], offset[None, :]) < 28
    counts = rng.poisson(5.0 * disc + 0.01, (SCAN[0] * SCAN[1], WINDOW, WINDOW))
    with h5py.File(folder / "ptyrad.h5", "w") as file:
        file["data"] = counts.astype(np.float32)
    settings = folder / "ptyrad.yaml"
    settings.write_text(yaml.safe_dump(ptyrad_settings(folder / "ptyrad.h5", slices, modes)))
    params = load_params(str(settings), validate=True)
    device = set_gpu_device("cpu")
    solver = PtyRADSolver(params, device=device, seed=0)
    from ptyrad.core import PtychoModel

    model = PtychoModel(solver.init.init_variables, params["model_params"], device=device)
    optimiser = ptyrad.create_optimizer(model.optimizer_params, model.optimizable_params)
    ptyrad.toggle_grad_requires(model, 1)
    return partial(
        ptyrad.recon_step,
        batches=[torch.arange(len(counts))],
        grad_accumulation=1,
        model=model,
        optimizer=optimiser,
        scheduler=None,
        loss_fn=solver.loss_fn,
        constraint_fn=lambda model, iteration: None,
        niter=1,
        compute_loss_fn=ptyrad.compute_loss,
    )


def ptyrad_settings(data: Path, slices: int, modes: int) -> dict[str, Any]:
    """The sizes of bench/iteration/problem.py, in PtyRAD's words."""
    rates = {"obja": 5e-4, "objp": 5e-4, "probe": 1e-4, "probe_pos_shifts": 5e-4}
    fixed: dict[str, Any] = {"start_iter": None, "lr": 0.0}
    return {
        "init_params": {
            "random_seed": 0,
            "probe_kv": 300,
            "probe_conv_angle": 28.9,
            "probe_aberrations": {"C10": 100},
            "meas_Npix": WINDOW,
            "pos_N_scan_slow": SCAN[0],
            "pos_N_scan_fast": SCAN[1],
            "pos_scan_step_size": STEP,
            "meas_calibration": {"mode": "dx", "value": PIXEL},
            "probe_pmode_max": modes,
            "obj_Nlayer": slices,
            "obj_slice_thickness": TOTAL_THICKNESS / slices,
            "meas_params": {"path": str(data), "key": "data"},
        },
        "model_params": {
            "optimizer_params": {"name": "Adam", "configs": {}, "load_state": None},
            "update_params": {
                **{name: {"start_iter": 1, "lr": lr} for name, lr in rates.items()},
                "obj_tilts": fixed,
                "slice_thickness": fixed,
            },
        },
        "loss_params": {
            "loss_single": {"state": True, "weight": 1.0, "dp_pow": 0.5},
            "loss_sparse": {"state": True, "weight": 0.1, "ln_order": 1},
        },
        "constraint_params": {},
        "recon_params": {
            "NITER": 1,
            "BATCH_SIZE": {"size": SCAN[0] * SCAN[1], "grad_accumulation": 1},
            "GROUP_MODE": "random",
            "SAVE_ITERS": None,
            "output_dir": str(data.parent),
            "compiler_configs": {"enable": False},
        },
    }


def fastpty_step(folder: Path, slices: int, modes: int) -> Callable[[], Any] | None:
    """fastpty's step of the same sizes; None without fastpty."""
    try:
        from bench.iteration.problem import one_step
    except ImportError:
        return None
    return partial(one_step(folder, slices, modes), 1)


if __name__ == "__main__":
    main()
