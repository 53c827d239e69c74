"""The reconstruction: set up, iterate, report. Observers log, save and draw."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config import ReconConfig
from fastpty.constraints import apply_constraints, leakage
from fastpty.engines import GradientEngine, IterationReport
from fastpty.errors import ConfigError, FastptyError
from fastpty.forward import simulate_patterns
from fastpty.info import why_no_cuda
from fastpty.measurements import Measurements, PatternSource, load_measurements
from fastpty.metrics import r_factor
from fastpty.model import Model
from fastpty.results import History, Results, Snapshot
from fastpty.start import start_model

__all__ = ["Observer", "Reconstruction", "choose_device"]


class Observer:
    """Watches a reconstruction. Every method may be left as it is."""

    def started(self, run: Reconstruction) -> None:
        """Everything is set up; nothing has been fitted yet."""

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        """One more iteration is finished, constraints applied, history written."""

    def ended(self, run: Reconstruction) -> None:
        """The last iteration is finished, or the run was asked to stop."""


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda`` as a device.

    Raises
    ------
    ConfigError : CUDA is asked for and not to be had.
    """
    if name == "cpu":
        return torch.device("cpu")
    missing = why_no_cuda()
    if name == "cuda" and missing is not None:
        raise ConfigError(
            "device",
            f"is cuda, but {missing}.",
            "Use --device cpu, or install a CUDA build of torch beside an NVIDIA driver.",
        )
    return torch.device("cpu" if missing is not None else "cuda")


@dataclass
class Reconstruction:
    """A reconstruction under way.

    Build one with :meth:`from_config`, then :meth:`run` it. ``iteration`` counts the finished
    ones; ``stop_requested`` makes :meth:`run` return after the present one.
    """

    config: ReconConfig
    measurements: Measurements
    model: Model
    engine: GradientEngine
    iteration: int = 0
    history: History = field(default_factory=History)
    snapshots: list[Snapshot] = field(default_factory=list)
    stop_requested: bool = False
    held_positions: int = 0

    @classmethod
    def from_config(
        cls, config: ReconConfig, folder: Path, measurements: Measurements | None = None
    ) -> Reconstruction:
        """Read the data and set the model up.

        Parameters
        ----------
        folder : relative paths in the config start here.
        measurements : already loaded from the same config, to save a second reading.

        Raises
        ------
        ConfigError, DataError : naming the field, what was found and what to do.
        """
        device = choose_device(config.device)
        if measurements is None:
            measurements = load_measurements(config, folder)
        model = start_model(config, measurements, folder, device)
        patterns = measurements.patterns.to(device)
        engine = GradientEngine(model, patterns, config.optimise, config.loss, config.seed)
        return cls(config, measurements, model, engine)

    @property
    def finished(self) -> bool:
        """True when every iteration of the config is done."""
        return self.iteration >= self.config.optimise.iterations

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Iterate to the end of the config, or until ``stop_requested``.

        Raises
        ------
        FastptyError : the loss or an unknown is no longer finite.
        """
        for observer in observers:
            observer.started(self)
        if self.iteration == 0:
            self._snapshot_if_due()
        while not (self.finished or self.stop_requested):
            report = self._iterate()
            for observer in observers:
                observer.iterated(self, report)
        if self.finished:
            self._snapshot_if_due()
        for observer in observers:
            observer.ended(self)

    def _iterate(self) -> IterationReport:
        begun = time.perf_counter()
        report = self.engine.run_iteration(self.iteration + 1)
        self._refuse_divergence(report)
        self.iteration += 1
        self.model.fold_aberrations()
        changes = apply_constraints(self.model, self.config.constraints, self.iteration)
        self.held_positions = self.model.rechoose_corners()
        self.history.loss.append(report.loss)
        self.history.seconds.append(time.perf_counter() - begun)
        for name, value in report.terms.items():
            self.history.terms.setdefault(name, []).append(value)
        for name, value in report.lr.items():
            self.history.lr.setdefault(name, []).append(value)
        moved = np.linalg.norm(self.model.displacement, axis=1)
        self.history.displacement.append(float(moved.mean()))
        for name, value in leakage(self.model).items():
            self.history.leakage.setdefault(name, []).append(value)
        self._remember(changes)
        if not self.finished:
            self._snapshot_if_due()
        return report

    @torch.no_grad()
    def _remember(self, changes: dict[str, torch.Tensor]) -> None:
        """What constraints have changed, and the small unknowns that are free at any time."""
        small = self._small_unknowns()
        # One transfer for all, as each would make the host wait for the device.
        everything = [v.double().reshape(-1) for v in (*changes.values(), *small.values())]
        numbers = torch.cat(everything).tolist() if everything else []
        done = len(self.history.loss) - 1
        found = dict(zip(changes, numbers, strict=False))
        for name in {**self.history.constraints, **found}:
            values = self.history.constraints.setdefault(name, [math.nan] * done)
            values.append(found.get(name, math.nan))
        rest = iter(numbers[len(changes) :])
        for name, value in small.items():
            row = [next(rest) for _ in range(value.numel())]
            self.history.unknowns.setdefault(name, []).append(row)

    def _small_unknowns(self) -> dict[str, torch.Tensor]:
        """What sums up each that moves, as in ``History.unknowns``."""
        model = self.model
        found: dict[str, torch.Tensor] = {}
        if model.tilt is not None and self.config.moves("tilt"):
            found["tilt"] = model.tilt.mean(dim=0, dtype=torch.float64)
            if len(model.tilt) > 1:
                spread = (model.tilt - found["tilt"]).square().mean(dim=0).sqrt()
                found["tilt_spread"] = spread
        if model.thickness is not None and self.config.moves("thickness"):
            found["thickness"] = model.thickness
        if model.occupancy is not None and self.config.moves("occupancy"):
            found["occupancy"] = model.occupancy
        if (lens := model.lens) and self.config.moves("aberrations"):
            moved = lens.folded.double()  # all of it, at the end of an iteration
            unit = torch.from_numpy(lens.angstrom).to(moved.device)
            start = torch.from_numpy(lens.start).to(moved.device)
            found["aberrations"] = start + unit * moved
        return found

    def _refuse_divergence(self, report: IterationReport) -> None:
        """The loss is taken before a step: the last step may break what it does not show yet."""
        unknowns = self.model.unknowns
        # One answer for all, as each would make the host wait for the device.
        finite = torch.stack([torch.isfinite(tensor).all() for tensor in unknowns.values()])
        sound = {
            "loss": math.isfinite(report.loss),
            **dict(zip(unknowns, finite.tolist(), strict=True)),
        }
        broken = [name for name, is_sound in sound.items() if not is_sound]
        if broken:
            raise FastptyError(
                "optimise",
                f"{', '.join(broken)} became infinite or NaN in iteration {self.iteration + 1}.",
                "Lower the learning rates, and check the data for outliers.",
            )

    def _snapshot_if_due(self) -> None:
        wanted = self.config.output.snapshots
        due = self.iteration in wanted or ("final" in wanted and self.finished)
        if due and all(taken.iteration != self.iteration for taken in self.snapshots):
            self.snapshots.append(self.snapshot())

    def snapshot(self) -> Snapshot:
        """Some patterns, measured and simulated now."""
        count = min(self.config.output.snapshot_patterns, len(self.measurements.patterns))
        index = _spread(count, len(self.measurements.patterns))
        measured, simulated = self._patterns(torch.from_numpy(index))
        good = self.measurements.patterns.centred_mask
        return Snapshot(
            self.iteration, index, measured, simulated, r_factor(measured, simulated, good), good
        )

    @torch.no_grad()
    def _patterns(self, index: torch.Tensor) -> tuple[Any, Any]:
        """(measured, simulated) [B, Ny, Nx] in counts, zero frequency at N//2."""
        index = index.to(self.model.probe.device)
        patterns = self.measurements.patterns
        simulated = simulate_patterns(self.model, index) / patterns.scale
        pair = (patterns.counts(index), simulated)
        measured, simulated = (torch.fft.fftshift(p, dim=(1, 2)).cpu().numpy() for p in pair)
        return measured, simulated

    @torch.no_grad()
    def r_factor(self) -> float:
        """R factor over all patterns:
        ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)``."""
        patterns = self.measurements.patterns
        mask = 1.0 if patterns.mask is None else patterns.mask
        # Added up on the device: the host waits for it once.
        sums = torch.zeros(2, dtype=torch.float64, device=self.model.probe.device)
        batches = PatternSource(patterns).batches(
            np.arange(len(patterns)), self.config.optimise.batch_size
        )
        for batch in batches:
            measured = patterns.scaled(batch.recorded).sqrt() * mask
            simulated = simulate_patterns(self.model, batch.index).sqrt() * mask
            sums[0] += (measured - simulated).abs().sum(dtype=torch.float64)
            sums[1] += measured.sum(dtype=torch.float64)
        difference, total = sums.tolist()
        return float(difference / total)

    def results(self) -> Results:
        """The state as numpy arrays, the probe in sqrt(counts)."""
        model = self.model
        counts = self.measurements.patterns.scale**-0.5

        def array(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
            return None if tensor is None else tensor.detach().cpu().numpy()

        tilt = array(model.tilt)
        return Results(
            amplitude=model.amplitude.detach().cpu().numpy(),
            phase=model.phase.detach().cpu().numpy(),
            probe=(model.probe.detach() * counts).cpu().numpy(),
            positions=model.positions,
            positions_start=model.positions_start,
            scan_shape=self.measurements.scan_shape,
            pixel_size=model.pixel_size,
            wavelength=model.wavelength,
            thickness=array(model.thickness),
            tilt=np.zeros((1, 2), np.float32) if tilt is None else tilt,
            occupancy=array(model.occupancy),
            aberrations=self._aberrations(),
            history=self.history,
            snapshots=self.snapshots,
            config=self.config.model_dump(mode="json"),
            r_factor=self.r_factor(),
            seed=self.config.seed,
            device=str(model.probe.device),
        )

    def _aberrations(self) -> dict[str, float]:
        """Angstrom, by name."""
        lens, moved = self.model.lens, self.model.aberrations
        if lens is None or moved is None:
            return {}
        values = lens.start + lens.angstrom * moved.detach().cpu().numpy().astype(np.float64)
        return dict(zip(lens.names, values.tolist(), strict=True))


def _spread(count: int, total: int) -> NDArray[np.int64]:
    """One index in each of ``count`` equal parts of ``total``, at another place in each.

    Even steps through a raster would fall into the same column again and again.
    """
    borders = np.arange(count + 1) * total // count
    golden = (np.sqrt(5) - 1) / 2
    place = (0.5 + golden * np.arange(count)) % 1
    index: NDArray[np.int64] = borders[:-1] + (place * np.diff(borders)).astype(np.int64)
    return index
