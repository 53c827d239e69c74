"""One trial: a short reconstruction, and the numbers that it is judged by."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fastpty.config import ReconConfig, resolve_path
from fastpty.config.data import HalfConfig
from fastpty.distributed import Processes, choose_device
from fastpty.engines import IterationReport, is_out_of_memory
from fastpty.errors import ConfigError, DataError, FastptyError
from fastpty.figures.crop import scanned_area
from fastpty.measurements import (
    Measurements,
    Recorded,
    load_recorded,
    measurements_of,
    recorded_fields,
)
from fastpty.memory import room_for_patterns
from fastpty.metrics import contrast
from fastpty.recon import Observer, Reconstruction
from fastpty.resolution import compare_results
from fastpty.results import Results
from fastpty.truth import compare_with_truth, read_truth

__all__ = ["Answer", "Outcome", "State", "Told", "TrialRunner", "Wanted"]

Answer = Literal["go on", "prune", "stop"]
State = Literal["complete", "pruned", "stopped", "failed"]
Told = Callable[[int, float], Answer]
"""Is told the number of an iteration, from 1, and its loss; says how the trial goes on."""


@dataclass(frozen=True)
class Wanted:
    """What a trial has to find beside the numbers that every run has.

    Parameters
    ----------
    frc : two runs of half the positions, and how far they agree.
    only_halves : no third run of all positions; the numbers are those of the first half.
    image : the z-summed phase.
    """

    frc: bool = False
    only_halves: bool = False
    image: bool = False


@dataclass
class Outcome:
    """What a trial came to.

    Parameters
    ----------
    state : ``pruned`` if it was given up, ``stopped`` if the user ended it, ``failed`` if its
        config or data were refused, or its numbers became infinite.
    reason : why it failed.
    losses : of each iteration.
    numbers : by name; None where the run does not have it.
    image : [Y, X] the z-summed phase over the scanned area, rad.
    pixel_size : its pixel (dy, dx), Angstrom; None in pixel units.
    """

    state: State
    reason: str = ""
    losses: list[float] = field(default_factory=list)
    numbers: dict[str, float | None] = field(default_factory=dict)
    image: NDArray[np.float32] | None = None
    pixel_size: tuple[float, float] | None = None


class _Listener(Observer):
    """Tells each iteration, and stops the run when the answer is to."""

    def __init__(self, told: Told, losses: list[float]) -> None:
        self._told = told
        self._losses = losses
        self.answer: Answer = "go on"

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        self._losses.append(report.loss)
        self.answer = self._told(len(self._losses), report.loss)
        run.stop_requested = self.answer != "go on"


class TrialRunner:
    """Runs one trial after the other, and keeps the data of the last one in memory.

    Parameters
    ----------
    folder : relative paths in the configs start here.
    beside : how many runners share this machine's memory, with this one.
    """

    def __init__(self, folder: Path, wanted: Wanted, beside: int = 1) -> None:
        self._folder = folder
        self._wanted = wanted
        self._processes = Processes(here=beside)
        self._key = ""
        self._recorded: Recorded | None = None

    def check(self, config: ReconConfig) -> None:
        """Find out before the first trial what would make every one of them fail.

        Raises
        ------
        ConfigError, DataError : naming the field, what was found and what to do.
        """
        choose_device(config.device)
        measurements = self._measurements(config)
        if config.truth is not None:
            read_truth(resolve_path("truth", config.truth, self._folder), measurements)

    def run(self, config: ReconConfig, told: Told) -> Outcome:
        """Reconstruct, and judge the result.

        What the user can mend is an outcome, not an error: the study goes on.
        """
        begun = time.perf_counter()
        found = Outcome("complete")
        try:
            if self._wanted.frc:
                self._halves(config, told, found)
            if found.state == "complete" and not self._wanted.only_halves:
                self._whole(config, told, found)
        except (FastptyError, MemoryError, RuntimeError) as error:
            if not isinstance(error, FastptyError) and not is_out_of_memory(error):
                raise
            found.state, found.reason = "failed", " ".join(str(error).split())
        found.numbers["seconds"] = time.perf_counter() - begun
        # NaN is neither better nor worse than anything, and no JSON.
        found.numbers = {name: _known(value) for name, value in found.numbers.items()}
        return found

    def _whole(self, config: ReconConfig, told: Told, found: Outcome) -> None:
        run = self._finished(config, told, found)
        if run is not None:
            self._judge(run, run.results(), found)

    def _halves(self, config: ReconConfig, told: Told, found: Outcome) -> None:
        """As ``fastpty frc`` does; the numbers of the first half stay where there is no whole."""
        results = []
        raster = self._measurements(config).scan_shape is not None
        split = "chessboard" if raster else "random"
        for part in (1, 2):
            half = config.model_copy(deep=True)
            half.data.half = HalfConfig.model_validate(
                {"split": split, "part": part, "seed": config.seed}
            )
            half.seed += part - 1
            run = self._finished(half, told, found)
            if run is None:
                return
            results.append(run.results())
            if part == 1 and self._wanted.only_halves:
                self._judge(run, results[0], found)
        compared = compare_results(*results)
        curve = compared.curves["phase"]
        crossing = curve.crossing(curve.half_bit)
        found.numbers["frc"] = curve.area
        found.numbers["resolution"] = None if crossing is None else crossing.resolution

    def _finished(self, config: ReconConfig, told: Told, found: Outcome) -> Reconstruction | None:
        """A run that has gone to its end; None, and the state, if it was stopped before."""
        run = Reconstruction.from_config(config, self._folder, self._measurements(config))
        listener = _Listener(told, found.losses)
        run.run([listener])
        # A run that is asked to stop after its last iteration has nothing left to be spared.
        if not run.finished or listener.answer == "stop":
            found.state = "stopped" if listener.answer == "stop" else "pruned"
            return None
        return run

    def _measurements(self, config: ReconConfig) -> Measurements:
        """Of the data in memory, if they are those of the config."""
        key = json.dumps(recorded_fields(config))
        if self._recorded is None or key != self._key:
            self._recorded = None  # so that there is never room for two
            room = room_for_patterns(config, choose_device(config.device))
            if room is not None:
                room //= self._processes.here
            self._recorded = load_recorded(
                config, self._folder, room=room, processes=self._processes
            )
            self._key = key
        return measurements_of(self._recorded, config, self._folder)

    def _judge(self, run: Reconstruction, results: Results, found: Outcome) -> None:
        phase = results.mean_over_modes(results.phase).sum(axis=0)[scanned_area(results)]
        free = results.agreement.get("left_out")
        found.numbers |= {
            "iterations": run.iteration,
            "loss": run.history.loss[-1],
            "r_factor": results.r_factor,
            "free_r_factor": None if free is None else free["r_factor"],
            "free_nll": None if free is None else free["poisson_nll"],
            "contrast": contrast(phase),
        }
        if run.config.truth is not None:
            found.numbers |= self._beside_truth(run, results)
        if self._wanted.image:
            found.image, found.pixel_size = phase.astype(np.float32), results.pixel_size

    def _beside_truth(self, run: Reconstruction, results: Results) -> dict[str, float | None]:
        """Nothing where the two cannot be compared, such as with a wrong pixel size."""
        path = resolve_path("truth", str(run.config.truth), self._folder)
        try:
            truth = read_truth(path, run.measurements)
            compared = compare_with_truth(results, truth, run.fitted)
        except (ConfigError, DataError, ValueError):
            return dict.fromkeys(("truth_correlation", "truth_ssim", "position_rmse"))
        return {
            "truth_correlation": compared.phase.correlation,
            "truth_ssim": compared.ssim,
            "position_rmse": compared.position_rmse_centred,
        }


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
