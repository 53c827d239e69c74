"""A reconstruction in PtyRAD 1.0.0 and in fastpty, to the same loss: ``python -m
bench.peers.ptyrad_loss``.

Run it, in the folder that holds ``bench/``, with the python of an environment that has PtyRAD and
what fastpty imports. Simulated SrTiO3; both begin with the same object, probe and positions, and
have the same losses, learning rates and constraints. Iterations are made in turn, in one process:
one of fastpty, one of PtyRAD with the batches that fastpty had, one of PtyRAD with its own, which
it keeps for the whole run. PtyRAD's loss of an iteration is the mean over the batches, fastpty's
that over the patterns: batches must be equally large for a comparison.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ptyrad.core import CombinedConstraint, CombinedLoss
from ptyrad.solver import reconstruction as ptyrad

from bench.machine import machine
from bench.peers.ptyrad_model import ptyrad_model
from fastpty.config import ReconConfig, validate_config
from fastpty.engines import IterationReport
from fastpty.engines.grouping import batch_order
from fastpty.recon import Observer, Reconstruction
from fastpty.simulate import SimulateConfig, simulate

SLICE = 10.0  # Angstrom
STEP = 0.4  # Angstrom
BATCH = 32
DEFOCUS = 100.0  # Angstrom
MAX_ANGLE = 57.8  # mrad
RATES = {"amplitude": 5e-4, "phase": 2e-3, "probe": 1e-3, "positions": 1e-3}
LOSSES = {
    "loss_single": {"state": True, "weight": 1.0, "dp_pow": 0.5},
    "loss_poissn": {"state": False},
    "loss_pacbed": {"state": False},
    "loss_sparse": {"state": True, "weight": 0.1, "ln_order": 1},
    "loss_simlar": {"state": False},
}
# PtyRAD's name and section, fastpty's name and section.
BLURRED = {"kernel_size": 5, "obj_type": "both"}
CONSTRAINTS: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("ortho_pmode", {}, "orthogonal_modes", {}),
    ("fix_probe_int", {}, "probe_power", {}),
    ("obj_rblur", {"std": 0.4, **BLURRED}, "blur_xy", {"std": 0.4}),
    ("obj_zblur", {"std": 1.0, **BLURRED}, "blur_z", {"std": 1.0}),
    (
        "obja_thresh",
        {"relax": 0.0, "thresh": [0.96, 1.04]},
        "amplitude_clamp",
        {"low": 0.96, "high": 1.04},
    ),
    ("objp_postiv", {"relax": 0.0}, "positive_phase", {}),
    ("pos_recenter", {"relax": 0.0}, "recentre_positions", {}),
]
UNUSED = ("probe_mask_k", "probe_mask_r", "kr_filter", "kz_filter", "kr_thresh", "complex_ratio")
UNUSED += ("mirrored_amp", "obj_z_recenter", "tilt_smooth")

Batches = Sequence[torch.Tensor]


def main() -> None:
    """Simulate, reconstruct, compare."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers.ptyrad_loss", description=__doc__)
    parser.add_argument("--positions", type=int, default=16, help="along each axis of the scan")
    parser.add_argument("--pixels", type=int, default=128)
    parser.add_argument("--slices", type=int, default=32)
    parser.add_argument("--modes", type=int, default=6)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--without",
        nargs="*",
        default=[],
        choices=[name for name, *_ in CONSTRAINTS],
        help="constraints to leave out, on both sides",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args()
    if options.positions**2 % BATCH:
        parser.error(f"--positions: its square must be a multiple of {BATCH}, the batch's size")
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = simulated(folder, options.positions, options.pixels, options.slices)
        config = config_for(data, options)
        run = Reconstruction.from_config(config, folder)
        peers = {
            "PtyRAD, same batches": Peer(run, partial(batches_of, run), options.without),
            "PtyRAD": Peer(run, partial(own_batches, run), options.without),
        }
        race = InTurn(peers)
        run.run([race])
    result = race.result()
    show(result, run)
    if options.json is not None:
        sizes = {k: v for k, v in vars(options).items() if k != "json"}
        whole = {"machine": machine(), **sizes, "rates": RATES, **result}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(whole, indent=1) + "\n")


def simulated(folder: Path, positions: int, pixels: int, slices: int) -> Path:
    """Counts of a crystal that is as thick as the object's slices."""
    config = SimulateConfig.model_validate(
        {
            "specimen": {"thickness_A": slices * SLICE, "slice_thickness_A": 4.0},
            "optics": {"defocus_A": DEFOCUS, "source_fwhm_A": 0.5, "source_order": 2},
            "scan": {"shape": [positions, positions], "step_A": [STEP, STEP], "jitter_A": 0.03},
            "detector": {
                "pixels": pixels,
                "max_angle_mrad": MAX_ANGLE,
                "dose_e_per_A2": 1e6,
            },
            "grid": {"oversample": 1},
        }
    )
    return simulate(config, folder / "data.h5")


def config_for(data: Path, options: argparse.Namespace) -> ReconConfig:
    """Everything free; losses and constraints as PtyRAD's above."""
    return validate_config(
        ReconConfig,
        {
            "data": {"path": str(data), "dataset": "data"},
            "beam": {
                "energy_kv": 300,
                "semiangle_mrad": 28.9,
                "aberrations": {"defocus": DEFOCUS},
            },
            "calibration": {"mrad_per_pixel": 2 * MAX_ANGLE / options.pixels},
            "scan": {"step": STEP},
            "object": {"slices": options.slices, "thickness": SLICE},
            "probe": {"modes": options.modes},
            "loss": {"gaussian": {"power": 0.5}, "sparse": {"weight": 0.1}},
            "constraints": {
                ours: section if name not in options.without else False
                for name, _, ours, section in CONSTRAINTS
            },
            "optimise": {
                "iterations": options.iterations,
                "batch_size": BATCH,
                **{name: {"lr": rate} for name, rate in RATES.items()},
            },
            "output": {"snapshots": []},
            "device": "cpu",
        },
    )


class Peer:
    """PtyRAD from the same start: its model, its optimiser, its step, its constraints."""

    def __init__(
        self, run: Reconstruction, batches: Callable[[int], Batches], without: Sequence[str]
    ) -> None:
        model, patterns = run.model, run.measurements.patterns
        assert model.pixel_size is not None and model.wavelength is not None
        assert run.measurements.scan_shape is not None
        unknowns = {k: t.detach().numpy() for k, t in model.unknowns.items()}
        unknowns |= {"shift": unknowns.pop("positions"), "corner": model.corner.numpy()}
        measured = torch.fft.fftshift(patterns.batch(torch.arange(len(patterns))), dim=(1, 2))
        self._model = ptyrad_model(
            unknowns,
            {"shift" if k == "positions" else k: rate for k, rate in RATES.items()},
            measured.numpy(),
            thickness=SLICE,
            wavelength=model.wavelength,
            pixel_size=model.pixel_size[0],
            scan_shape=run.measurements.scan_shape,
        )
        always = {"start_iter": 1, "step": 1, "end_iter": None}
        sections = {name: always | section for name, section, *_ in CONSTRAINTS}
        sections |= {name: always | {"start_iter": None} for name in (*UNUSED, *without)}
        self._settings = {
            "optimizer": ptyrad.create_optimizer({"name": "Adam"}, self._model.optimizable_params),
            "scheduler": None,
            "loss_fn": CombinedLoss(LOSSES, device="cpu"),
            "constraint_fn": CombinedConstraint(sections, device="cpu"),
            "compute_loss_fn": ptyrad.compute_loss,
        }
        self._batches = batches

    def iterate(self, iteration: int) -> float:
        """The mean loss over the batches, before the steps, as PtyRAD logs it."""
        ptyrad.toggle_grad_requires(self._model, iteration)
        batches = self._batches(iteration)
        ptyrad.recon_step(batches, 1, self._model, niter=iteration, **self._settings)
        return float(self._model.loss_iters[-1][1])

    @property
    def phase(self) -> Any:
        """[Y, X], summed over the slices."""
        return self._model.opt_objp.detach().sum(dim=(0, 1)).numpy()


def batches_of(run: Reconstruction, iteration: int) -> Batches:
    """Those that fastpty's engine makes in an iteration."""
    order = batch_order(
        run.config.optimise.grouping,
        run.model.positions_start,
        BATCH,
        np.random.default_rng([run.config.seed, iteration]),
        run.model.scan_shape,
    )
    return torch.from_numpy(order).split(BATCH)


def own_batches(run: Reconstruction, iteration: int) -> Batches:
    """Those of PtyRAD, the same in every iteration."""
    positions = run.model.positions_start
    groups = ptyrad.make_batches(np.arange(len(positions)), positions, BATCH, "random", seed=0)
    return [torch.from_numpy(group) for group in groups]


class InTurn(Observer):
    """After each of fastpty's iterations, one of each peer; the clocks of all of them."""

    def __init__(self, peers: dict[str, Peer]) -> None:
        self._peers = peers
        names = ["fastpty", *peers]
        self.loss: dict[str, list[float]] = {name: [] for name in names}
        self.wall: dict[str, list[float]] = {name: [] for name in names}
        self.cpu: dict[str, list[float]] = {name: [] for name in names}
        self.likeness: dict[str, float] = {}

    def started(self, run: Reconstruction) -> None:
        self._set_off()

    def _set_off(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def _arrived(self, name: str, loss: float) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.loss[name].append(loss)
        self.wall[name].append(wall - self._begun[0])
        self.cpu[name].append(cpu - self._begun[1])
        self._set_off()

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        self._arrived("fastpty", report.loss)
        for name, peer in self._peers.items():
            self._arrived(name, peer.iterate(run.iteration))
        losses = ", ".join(f"{name} {values[-1]:.5f}" for name, values in self.loss.items())
        sys.stderr.write(f"iteration {run.iteration}: {losses}\n")
        self._set_off()

    def ended(self, run: Reconstruction) -> None:
        # Where the probe's centre has been; elsewhere little is known of the object.
        centres = run.model.positions + np.array(run.model.probe.shape[-2:]) // 2
        first, last = centres.min(axis=0).astype(int), centres.max(axis=0).astype(int)
        y, x = (slice(a, b) for a, b in zip(first, last, strict=True))
        ours = run.model.phase.detach().sum(dim=(0, 1)).numpy()
        for name, peer in self._peers.items():
            both = np.corrcoef(ours[y, x].ravel(), peer.phase[y, x].ravel())
            self.likeness[name] = float(both[0, 1])

    def result(self) -> dict[str, Any]:
        """For JSON: losses and seconds of every iteration, and what follows from them.

        Ratios are medians over the iterations, PtyRAD / fastpty.
        """
        ours = self.loss["fastpty"]
        peers = {
            name: {
                "loss_difference": [a / b - 1 for a, b in zip(ours, self.loss[name], strict=True)],
                "wall_ratio": median_ratio(self.wall[name], self.wall["fastpty"]),
                "cpu_ratio": median_ratio(self.cpu[name], self.cpu["fastpty"]),
                "phase_correlation": self.likeness[name],
            }
            for name in self._peers
        }
        return {"loss": self.loss, "wall": self.wall, "cpu": self.cpu, "peers": peers}


def median_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def show(result: dict[str, Any], run: Reconstruction) -> None:
    """A line for each side, and one for each comparison."""
    shape = tuple(run.model.phase.shape)
    print(f"object {shape}, {len(run.model.shift)} patterns, {run.iteration} iterations")
    for name, losses in result["loss"].items():
        wall, cpu = (statistics.median(result[clock][name]) for clock in ("wall", "cpu"))
        print(
            f"  {name:20} loss {losses[0]:.4f} ... {losses[-1]:.5f}; "
            f"an iteration {wall:.2f} s wall, {cpu:.2f} s CPU"
        )
    for name, peer in result["peers"].items():
        percent = [100 * difference for difference in peer["loss_difference"]]
        print(
            f"  fastpty against {name}: loss {percent[-1]:+.3f} % at the end, at most "
            f"{max(map(abs, percent)):.3f} %; phases correlate to {peer['phase_correlation']:.6f}; "
            f"time of {name} / fastpty: wall {peer['wall_ratio']:.2f}, CPU {peer['cpu_ratio']:.2f}"
        )


if __name__ == "__main__":
    main()
