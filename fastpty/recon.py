"""The reconstruction: set up, iterate, report. Observers log, save and draw."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.agreement import PatternAgreement, pattern_agreement
from fastpty.config import ReconConfig
from fastpty.config.plan import Stage
from fastpty.constraints import apply_constraints
from fastpty.convergence import Kept, stalled
from fastpty.distributed import ALONE, Processes, choose_device
from fastpty.engines import (
    Engine,
    IterationReport,
    NotFiniteError,
    Parts,
    check_sharing,
    is_out_of_memory,
    make_engine,
)
from fastpty.errors import BrokenOffError
from fastpty.forward import simulate_patterns
from fastpty.history import record
from fastpty.io import RawScan
from fastpty.measurements import (
    Measurements,
    Visited,
    load_measurements,
    visited_positions,
    withheld_positions,
)
from fastpty.memory import MemoryPlan, memory_limit, plan_memory, room_for_patterns
from fastpty.metrics import r_factor
from fastpty.model import Model
from fastpty.results import History, Results, Snapshot
from fastpty.start import start_model
from fastpty.wording import StageEnding, diverged, ending_of, out_of_memory

__all__ = ["Observer", "Reconstruction", "StageEnding"]


class Observer:
    """Watches a reconstruction. Every method may be left as it is."""

    def started(self, run: Reconstruction) -> None:
        """Everything is set up; nothing has been fitted yet."""

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        """One more iteration is finished, constraints applied, history written."""

    def ended(self, run: Reconstruction) -> None:
        """The last iteration is finished, or the run was asked to stop."""

    def broke_off(self, run: Reconstruction) -> None:
        """An iteration came to infinite numbers or NaN, or found no memory; the run is back where
        it began."""


@dataclass
class Reconstruction:
    """A reconstruction under way.

    Build one with :meth:`from_config`, then :meth:`run` it. ``iteration`` counts the finished
    ones; ``stage`` is that of the last of them, or the first; ``stop_requested`` makes :meth:`run`
    return after the present one. ``diverged`` is true after an iteration that broke off. ``parts``
    says in which parts batches go through.
    """

    config: ReconConfig
    measurements: Measurements
    model: Model
    iteration: int = 0
    history: History = field(default_factory=History)
    snapshots: list[Snapshot] = field(default_factory=list)
    stop_requested: bool = False
    diverged: bool = False
    held_positions: int = 0
    memory: MemoryPlan = field(init=False)
    parts: Parts = field(init=False)
    stages: list[Stage] = field(init=False)
    engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        self.stages = self.config.stages
        count = len(self.measurements.patterns)
        shape = self.measurements.scan_shape
        withheld = withheld_positions(self.config.data, count, shape, self.config.seed)
        self.all_visited = [
            visited_positions(stage.scan, count, shape, (name := f"{stage.field}scan")).without(
                withheld, name
            )
            for stage in self.stages
        ]
        if not self.processes.alone:
            for stage in self.stages:
                check_sharing(stage)
        self.memory = plan_memory(
            self.config, self.model, self.measurements.patterns, self.stages, self.all_visited
        )
        self.parts = Parts(self.memory.part, self.memory.limit)
        self._kept = Kept(self.model)
        self.begin_stage(0)

    @classmethod
    def from_config(
        cls,
        config: ReconConfig,
        folder: Path,
        measurements: Measurements | None = None,
        scan: RawScan | None = None,
        scratch: Path | None = None,
        processes: Processes = ALONE,
    ) -> Reconstruction:
        """Read the data and set the model up.

        Parameters
        ----------
        folder : relative paths in the config start here.
        measurements : already loaded from the same config, to save a second reading.
        scan, scratch : as in :func:`fastpty.measurements.load_measurements`.
        processes : which share the work; none waits for another before it runs.

        Raises
        ------
        ConfigError, DataError : naming the field, what was found and what to do.
        """
        device = choose_device(config.device, processes)
        if measurements is None:
            room = room_for_patterns(config, device)
            if room is not None:
                room //= processes.here
            measurements = load_measurements(config, folder, scan, room, scratch, processes)
        model = start_model(config, measurements, folder, device)
        measurements.patterns.to(device, memory_limit(config))
        return cls(config, measurements, model)

    def begin_stage(self, number: int) -> None:
        """Be in a stage, with those of its iterations that the history holds."""
        self.stage = self.stages[number]
        self._before = sum(n < number for n in self.history.stage)
        self.engine = make_engine(
            self.model,
            self.measurements.patterns,
            self.stage,
            self.visited,
            self.config.seed,
            self._before,
            self.history.loss[self._before :],
            self.parts,
        )

    @property
    def processes(self) -> Processes:
        """Which share the work."""
        return self.measurements.patterns.share.processes

    @property
    def visited(self) -> Visited:
        """The positions of the present stage."""
        return self.all_visited[self.stage.number]

    @property
    def fitted(self) -> NDArray[np.int64]:
        """The positions that any stage of the run visits, [K] in their order."""
        return np.unique(np.concatenate([visited.index for visited in self.all_visited]))

    @property
    def stage_iteration(self) -> int:
        """Finished iterations of the present stage."""
        return self.iteration - self._before

    @property
    def ending(self) -> str:
        """Why the present stage is over: ``iterations``, ``converged``, or nothing yet."""
        if self.stage_iteration >= self.stage.iterations:
            return "iterations"
        changes = {name: v[self._before :] for name, v in self.history.change.items()}
        losses = self.history.loss[self._before :]
        return "converged" if stalled(self.config.convergence, losses, changes) else ""

    def endings(self) -> list[StageEnding]:
        """Of the stages that have begun: how many iterations they took, and why they ended."""
        found = []
        for stage in self.stages[: self.stage.number + 1]:
            done = self.history.stage.count(stage.number)
            why = "iterations" if done >= stage.iterations else "converged"
            ended = self.ending if stage is self.stage else why
            found.append(ending_of(stage, done, ended, self.config.convergence))
        return found

    @property
    def finished(self) -> bool:
        """True when every stage is over."""
        return self.stage is self.stages[-1] and self.ending != ""

    @property
    def iterations(self) -> int:
        """Of the whole run, if none of the stages to come ends early."""
        here = self.stage_iteration if self.ending else self.stage.iterations
        later = self.stages[self.stage.number + 1 :]
        return self._before + here + sum(stage.iterations for stage in later)

    def run(self, observers: Sequence[Observer] = ()) -> None:
        """Iterate to the end of the config, or until ``stop_requested``.

        Raises
        ------
        DivergenceError : something has become infinite or NaN.
        MemoryShortageError : memory ran out. After both the run is back at the end of the last
            iteration that was sound.
        """
        for observer in observers:
            observer.started(self)
        self._hold_together()
        if self.iteration == 0:
            self._snapshot_if_due()
        while not (self.finished or self._asked_to_stop()):
            try:
                report = self._iterate()
            except BrokenOffError:
                for observer in observers:
                    observer.broke_off(self)
                raise
            for observer in observers:
                observer.iterated(self, report)
        if self.finished:
            self._snapshot_if_due()
        for observer in observers:
            observer.ended(self)

    def _asked_to_stop(self) -> bool:
        """Whether any process was."""
        self.stop_requested = self.processes.any(self.stop_requested)
        return self.stop_requested

    def _hold_together(self) -> None:
        """All processes have the same unknowns, or none goes on."""
        unknowns = [*self.model.unknowns.values(), self.model.corner]
        self.processes.check_same(unknowns, self.iteration)

    def _iterate(self) -> IterationReport:
        if self.ending:
            earlier = self.engine
            self.begin_stage(self.stage.number + 1)
            self.engine.inherit(earlier)
        begun = time.perf_counter()
        self._kept.keep()
        number = self.stage_iteration + 1
        self.parts.iteration = self.iteration + 1
        try:
            report = self.engine.run_iteration(number)
            self.model.fold_aberrations()
            constrained = apply_constraints(self.model, self.stage.constraints, number)
            self.held_positions = self.model.rechoose_corners(self.engine.reach)
            changes = self._sound_changes()
        except NotFiniteError as error:
            self._go_back()
            raise diverged(self.stage, self.iteration + 1, number, error) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            self._go_back()
            raise out_of_memory(self.stage, self.iteration + 1, error) from error
        # What looks at the model between iterations must see the same whether or not the run was
        # resumed there; gradients wanted mean another way through the forward model.
        for tensor in self.model.unknowns.values():
            tensor.requires_grad_(False)
        self._hold_together()
        self.iteration += 1
        self.diverged = False
        seconds = time.perf_counter() - begun
        record(self.history, self.model, self.stages, self.stage, report, changes, constrained)
        self.history.seconds.append(seconds)
        if not self.finished:
            self._snapshot_if_due()
        return report

    def _sound_changes(self) -> dict[str, float]:
        """Of the unknowns in the iteration, whose steps were sound: constraints may not be."""
        changes = self._kept.changes()
        broken = [name for name, change in changes.items() if not math.isfinite(change)]
        if broken:
            raise NotFiniteError(broken)
        return changes

    def _go_back(self) -> None:
        """To the end of the iteration before, without the optimiser's moments."""
        self._kept.restore()
        self.begin_stage(self.stage.number)
        self.diverged = True

    def _snapshot_if_due(self) -> None:
        wanted = self.config.output.snapshots
        due = self.iteration in wanted or ("final" in wanted and self.finished)
        if due and all(taken.iteration != self.iteration for taken in self.snapshots):
            self.snapshots.append(self.snapshot())

    def snapshot(self) -> Snapshot:
        """Some patterns of the stage, measured and simulated now."""
        count = min(self.config.output.snapshot_patterns, len(self.visited))
        index = self.visited.index[_spread(count, len(self.visited))]
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
        parts = [simulate_patterns(self.model, part) for part in self.parts.of(index)]
        simulated = torch.cat(parts) / patterns.scale
        pair = (patterns.counts(index), simulated)
        measured, simulated = (torch.fft.fftshift(p, dim=(1, 2)).cpu().numpy() for p in pair)
        return measured, simulated

    def agreement(self) -> dict[str, PatternAgreement]:
        """Of the stage's patterns with the model: ``fitted``, as what others show was not fitted
        to, and, where some are, those ``left_out``."""
        kinds = {"fitted": self.visited.index, "left_out": self.visited.left_out}
        size = self.stage.optimise.batch_size
        if self.parts.largest is not None:
            size = min(size, self.parts.largest)
        return {
            kind: pattern_agreement(self.model, self.measurements.patterns, index, size)
            for kind, index in kinds.items()
            if len(index)
        }

    def results(self, *, agreement: bool = True) -> Results:
        """The state as numpy arrays, the probe in sqrt(counts).

        Parameters
        ----------
        agreement : with the patterns, which a pass over all of them has to find.
        """
        model = self.model
        counts = self.measurements.patterns.scale**-0.5

        def array(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
            return None if tensor is None else tensor.detach().cpu().numpy()

        tilt = array(model.tilt)
        found = self.agreement() if agreement else {}
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
            r_factor=found["fitted"].r_factor if found else None,
            agreement={kind: asdict(numbers) for kind, numbers in found.items()},
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
