"""What a config leads to, as plain data by which two configs can be compared.

An observable is one of the properties of :class:`Observed` or :class:`Simulated`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from fastpty.checkpoint import CHECKPOINT_NAME, read_checkpoint, write_checkpoint
from fastpty.config import ReconConfig, validate_config
from fastpty.engines import IterationReport
from fastpty.errors import FastptyError
from fastpty.job import run_job, set_up
from fastpty.measurements import Measurements, load_measurements
from fastpty.model import Model
from fastpty.observers import Checkpoints
from fastpty.optics import aperture, electron_wavelength
from fastpty.recon import Observer, Reconstruction
from fastpty.results import write_results
from fastpty.simulate import SimulateConfig, simulate
from tests.recon_cases import SCAN, TINY, make_tiny, merged, tiny_run
from tests.tolerances import tolerance

__all__ = ["Observed", "Simulated", "alike", "make_material"]

WINDOW = (16, 14)
# One batch and two iterations: most of a field's effects show in the first.
BASE: dict[str, Any] = merged(
    TINY,
    {
        "data": {"path": "a.h5"},
        "optimise": {"iterations": 2, "batch_size": 30},
        "output": {"snapshots": []},
    },
)
# Sections that the measurements depend on.
READ = ("units", "data", "preprocess", "beam", "calibration", "scan", "seed")
# 16 pixels of 0.25 Angstrom; a single cell of the crystal.
SIMULATION: dict[str, Any] = {
    "specimen": {"thickness_A": None},
    "optics": {"energy_kv": 300.0, "semiangle_mrad": 15.0},
    "scan": {"shape": [2, 2], "step_A": [0.5, 0.7]},
    "detector": {"pixels": 16, "max_angle_mrad": 40.0},
    "grid": {"oversample": 1},
}


def make_material(folder: Path) -> None:
    """The files that the table names: ``a.h5`` and ``b.h5`` hold datasets of the same names and
    other values, ``b`` patterns and ``c`` patterns of other type; ``start.h5`` and ``other.h5`` are
    reconstructions."""
    tiny = make_tiny(folder, WINDOW)
    (folder / "tiny.h5").rename(folder / "a.h5")
    random = np.random.default_rng(0)
    count = SCAN[0] * SCAN[1]
    with h5py.File(folder / "a.h5", "a") as first, h5py.File(folder / "b.h5", "w") as second:
        first.attrs.modify("pixel_size_A", 0.4)
        second.attrs.update(first.attrs)
        _add_arrays(first, random)
        for name in ("data", "probe", "positions_A", "truth/phase", "truth/positions_px"):
            noise = 1 + 0.1 * random.random(first[name].shape)
            second[name] = (first[name][()] * noise).astype(first[name].dtype)
        first["data_2"] = second["data"][()]
        first["probe_2"] = second["probe"][()]
        first["positions_2"] = second["positions_A"][()]
        stack = first["data"][()].reshape(count, *WINDOW)
        first["stack"] = np.concatenate([stack, stack[:5]])
        negative = stack.copy()
        negative[:, :4] -= 40
        first["negative"] = negative.reshape(*SCAN, *WINDOW)
        spots = stack.copy()
        spots[:, 3, 4] *= 300
        spots[7, 10, 9] *= 1e4
        spots[:, 8, 6] = 0
        first["spots"] = spots.reshape(*SCAN, *WINDOW)
        _add_arrays(second, random)
    for name, tilt in (("vacuum.npy", 0.2), ("vacuum_2.npy", -0.3)):
        np.save(folder / name, _aperture(tilt))
    np.savez(folder / "vacuum.npz", one=_aperture(0.2), two=_aperture(-0.3))
    np.save(folder / "stack.npy", np.concatenate([stack, stack[::-1]]))
    (folder / "raw.raw").write_bytes(bytes(64) + np.tile(stack, (3, 1, 1)).tobytes())
    (folder / "cell.xyz").write_text(
        '2\nLattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"\n'
        "Sr 0 0 0\nTi 2 2 2\n"
    )
    for seed, name in enumerate(("start.h5", "other.h5")):
        write_results(_earlier(tiny, seed).results(), folder / name)


def _aperture(tilt: float) -> NDArray[np.float64]:
    """Counts without a specimen on a background, off the middle, lit unevenly."""
    disc = np.fft.fftshift(aperture(WINDOW, 0.4, 14, electron_wavelength(300)))
    light = 1 + tilt * np.linspace(-1, 1, WINDOW[0])[:, None]
    return np.asarray(np.roll(200 * light * disc, 1, axis=0) + 20)


def _add_arrays(file: h5py.File, random: np.random.Generator) -> None:
    count = SCAN[0] * SCAN[1]
    for name in ("one", "two"):
        file[f"mask_{name}"] = random.random(WINDOW) > 0.2
        file[f"dark_{name}"] = (100 * random.random(WINDOW)).astype(np.float32)
        file[f"tilts_{name}"] = random.normal(size=(count, 2)).astype(np.float32)
        file[f"exposure_{name}"] = (0.5 + random.random(count)).astype(np.float32)


def _earlier(tiny: Any, seed: int) -> Reconstruction:
    """A reconstruction of three slices and two object modes."""
    changes = merged(
        BASE,
        {
            "seed": seed,
            "object": {"slices": 3, "modes": 2, "tilt_mrad": [1.0, -2.0], "thickness": 15.0},
        },
    )
    run = tiny_run(tiny, **changes)
    run.run()
    return run


class Observed:
    """A reconstruction's config and, of what it leads to, what is asked for.

    Parameters
    ----------
    config : as it would be read from a file.
    folder : of the material.
    known : measurements that have been read already, for all who share it.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        known: dict[str, Measurements] | None = None,
    ) -> None:
        self._folder = folder
        self._known = {} if known is None else known
        self.content = config

    @cached_property
    def config(self) -> ReconConfig:
        """Checked."""
        return validate_config(ReconConfig, self.content)

    @cached_property
    def refusal(self) -> str:
        """Why it cannot run; nothing if it can."""
        try:
            set_up(self.config, self._folder)
        except FastptyError as error:
            return str(error)
        return ""

    @cached_property
    def _started(self) -> Reconstruction:
        return self._fresh()

    def _fresh(self) -> Reconstruction:
        read = repr([self.content.get(name) for name in READ])
        if read not in self._known:
            self._known[read] = load_measurements(self.config, self._folder)
        return Reconstruction.from_config(self.config, self._folder, self._known[read])

    @cached_property
    def patterns(self) -> Any:
        """What is fitted to, and where it counts."""
        patterns = self._started.measurements.patterns
        mask = patterns.centred_mask
        return plain((patterns.counts(torch.arange(len(patterns))), mask, patterns.scale))

    @cached_property
    def memory(self) -> int:
        """Bytes that the patterns hold."""
        return int(self._started.measurements.patterns.nbytes)

    @cached_property
    def positions(self) -> Any:
        """Where the windows stand at the start."""
        return plain(self._started.model.positions)

    @cached_property
    def start(self) -> Any:
        """The unknowns before the first iteration."""
        return plain(_unknowns(self._started.model))

    @cached_property
    def _finished(self) -> Reconstruction:
        run = self._fresh()
        run.run()
        return run

    @cached_property
    def loss(self) -> Any:
        """Of every iteration, and its terms."""
        history = self._finished.history
        return plain((history.loss, history.terms))

    @cached_property
    def unknowns(self) -> Any:
        """After the last iteration."""
        return plain(_unknowns(self._finished.model))

    @property
    def history(self) -> Any:
        """All that the iterations came to."""
        return _history(self._finished)

    @property
    def resumed(self) -> Any:
        """The same of a run that was stopped after its first iteration."""
        with TemporaryDirectory() as name:
            first, second = self._fresh(), self._fresh()
            first.run([_Stop()])
            write_checkpoint(first, Path(name) / CHECKPOINT_NAME)
            read_checkpoint(second, Path(name) / CHECKPOINT_NAME)
        second.run()
        return _history(second)

    @cached_property
    def rates(self) -> Any:
        """The learning rates of every iteration."""
        return plain(self._finished.history.lr)

    @cached_property
    def stages(self) -> Any:
        """The stage of every iteration, and why each stage ended."""
        run = self._finished
        return [run.history.stage, [(e.name, e.iterations, e.ended) for e in run.endings()]]

    @cached_property
    def snapshots(self) -> Any:
        """Which patterns were kept, and when."""
        return [(s.iteration, s.index.tolist()) for s in self._finished.snapshots]

    @cached_property
    def device(self) -> str:
        """Where the run is, or why it cannot be there."""
        return self.refusal or str(self._started.model.probe.device)

    @cached_property
    def checkpoints(self) -> Any:
        """The iterations after which there was a new checkpoint."""
        with TemporaryDirectory() as name:
            saved = _Saved(Path(name) / CHECKPOINT_NAME)
            self._fresh().run([Checkpoints(Path(name), _silent()), saved])
        return saved.iterations

    @cached_property
    def files(self) -> Any:
        """What a job leaves: the content of its summary and images, the names of all other."""
        with TemporaryDirectory() as name:
            output = Path(name)
            run_job(self.config, self._folder, output, _silent())
            return {
                str(path.relative_to(output)): _content(path)
                for path in sorted(output.rglob("*"))
                if path.is_file()
            }


class Simulated:
    """A simulation's config and, of what it leads to, what is asked for."""

    def __init__(self, config: Mapping[str, Any], folder: Path, known: object = None) -> None:
        self._folder = folder
        self.content = config

    @cached_property
    def config(self) -> SimulateConfig:
        """Checked."""
        return validate_config(SimulateConfig, self.content)

    @cached_property
    def refusal(self) -> str:
        """Why it cannot run; nothing if it can."""
        try:
            self._write()
        except FastptyError as error:
            return str(error)
        return ""

    def _write(self) -> Path:
        return simulate(self.config, self._folder / "simulated.h5")

    @cached_property
    def _file(self) -> dict[str, Any]:
        with h5py.File(self._write(), "r") as file:
            names = ("data", "positions_A", "truth/phase", "truth/positions_px", "truth/probe")
            return {name: file[name][()] for name in names}

    @cached_property
    def patterns(self) -> Any:
        """The data, and their type."""
        return [self._file["data"], str(self._file["data"].dtype)]

    @cached_property
    def positions(self) -> Any:
        """Nominal ones."""
        return self._file["positions_A"]

    @cached_property
    def true_positions(self) -> Any:
        """Those of the truth."""
        return self._file["truth/positions_px"]

    @cached_property
    def phase(self) -> Any:
        """Of the truth."""
        return self._file["truth/phase"]


class _Stop(Observer):
    """After the first iteration."""

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        run.stop_requested = True


class _Saved(Observer):
    """Comes after the observer that writes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.iterations: list[int] = []

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        if self._path.exists():
            self._path.unlink()
            self.iterations.append(run.iteration)


def plain(value: Any) -> Any:
    """Tensors as arrays that nothing changes any more."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def alike(one: Any, other: Any, kind: str) -> bool:
    """Whether two observations are the same.

    Parameters
    ----------
    kind : how far numbers may differ, in the table of tolerances, for single precision.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[k], other[k], kind) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(alike(*pair, kind) for pair in pairs)
    if isinstance(one, np.ndarray | float) and isinstance(other, np.ndarray | float):
        first, second = np.asarray(one), np.asarray(other)
        largest = float(np.nan_to_num(np.abs(first)).max(initial=0))
        allowed = tolerance(kind, torch.float32, scale=largest)
        return first.shape == second.shape and np.allclose(second, first, **allowed, equal_nan=True)
    return type(one) is type(other) and bool(one == other)


def _unknowns(model: Model) -> dict[str, Any]:
    """Positions as they are, wherever their windows stand."""
    return {**model.unknowns, "positions": model.positions}


def _history(run: Reconstruction) -> Any:
    """But for times."""
    kept = asdict(run.history)
    del kept["seconds"]
    return plain([kept, _unknowns(run.model)])


def _silent() -> Console:
    return Console(file=io.StringIO())


def _content(path: Path) -> Any:
    if path.name == "summary.json":
        # Times differ from run to run, and so does the folder.
        summary = json.loads(path.read_text())
        # What other programs leave at that moment, of which the preflight tells too.
        del summary["memory"]["available"]
        summary["preflight"] = [f for f in summary["preflight"] if f["subject"] != "memory"]
        return {k: v for k, v in summary.items() if not k.startswith("seconds") and k != "output"}
    return path.read_bytes() if path.suffix == ".tif" else ""
