"""What watches a run: progress on the terminal and on disk, checkpoints, Ctrl-C."""

from __future__ import annotations

import math
import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from fastpty.checkpoint import CHECKPOINT_NAME, write_checkpoint
from fastpty.engines import IterationReport
from fastpty.progress import PROGRESS_NAME, STATE_NAME, RunProgress, write_progress
from fastpty.recon import Observer, Reconstruction
from fastpty.results import write_results

__all__ = ["Checkpoints", "Interrupt", "ProgressDisplay", "ProgressFiles"]


def _speed(run: Reconstruction) -> str:
    seconds, passes = run.history.seconds[-1], run.history.passes[-1]
    return f"{len(run.visited) * passes / seconds:.4g} patterns/s"


def _stage(run: Reconstruction) -> str:
    return f"  {run.stage.name}" if run.stage.name else ""


class ProgressDisplay(Observer):
    """A live bar on a terminal; one plain line an iteration elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._task: Any = None
        self._warned_held = 0

    def started(self, run: Reconstruction) -> None:
        if not self._console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("iteration"),
            MofNCompleteColumn(),
            TextColumn("{task.fields[stage]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[speed]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task(
            "",
            total=run.iterations,
            completed=run.iteration,
            stage=run.stage.name,
            loss="-",
            speed="",
        )
        self._progress.start()

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        if self._progress is not None:
            self._progress.update(
                self._task,
                total=run.iterations,
                completed=run.iteration,
                stage=run.stage.name,
                loss=f"{report.loss:.5g}",
                speed=_speed(run),
            )
        else:
            self._line(run, report)
        if run.ending == "converged":
            self._console.print(run.endings()[-1].text, highlight=False, soft_wrap=True)
        if run.held_positions > self._warned_held:
            self._warned_held = run.held_positions
            self._console.print(
                f"{run.held_positions} positions have reached the edge of the object and are held "
                "there; a larger object.margin gives them room.",
                style="yellow",
            )

    def ended(self, run: Reconstruction) -> None:
        self.close()

    def close(self) -> None:
        """Give the terminal back, also when the run broke off."""
        if self._progress is not None:
            self._progress.stop()

    def _line(self, run: Reconstruction, report: IterationReport) -> None:
        total = run.iterations
        seconds = run.history.seconds
        recent = sorted(seconds[-5:])[len(seconds[-5:]) // 2]
        terms = "".join(f"  {name} {value:.5g}" for name, value in report.terms.items())
        self._console.print(
            f"iteration {run.iteration}/{total}{_stage(run)}  loss {report.loss:.6g}{terms}  "
            f"{seconds[-1]:.3g} s  {_speed(run)}  left {recent * (total - run.iteration):.0f} s",
            highlight=False,
            soft_wrap=True,
        )


class Checkpoints(Observer):
    """The state on disk every few iterations and at the end.

    A failure to write (a full disk) is told and the run goes on: the last whole checkpoint stays.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self._path = folder / CHECKPOINT_NAME
        self._console = console

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        due = run.iteration % run.config.output.checkpoint_every == 0
        if due and not run.finished:
            self._write(run)

    def ended(self, run: Reconstruction) -> None:
        self._write(run)

    def broke_off(self, run: Reconstruction) -> None:
        """The last good state; before the first iteration a new run is as good."""
        if run.iteration and self._write(run):
            self._console.print(
                f"The state after iteration {run.iteration}, the last that was sound, is saved. "
                f"Change {run.stage.field}optimise, loss or constraints and go on from there with "
                "--resume; without a change the same would happen again.",
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )

    def _write(self, run: Reconstruction) -> bool:
        """Whether it was written."""
        try:
            write_checkpoint(run, self._path)
        except OSError as error:
            kept = "; the earlier one is kept" if self._path.exists() else ""
            self._console.print(
                f"The checkpoint after iteration {run.iteration} could not be written "
                f"({error}){kept}.",
                style="yellow",
            )
            return False
        return True


class ProgressFiles(Observer):
    """``progress.json`` and ``progress.h5``, for ``fastpty watch``, as long as the context lasts.

    They are a courtesy: each takes at most a hundredth of the run's time and leaves most of the
    disk's free room free, and a failure to write one is passed over.

    Parameters
    ----------
    preflight : the findings of the checks before the start, as in ``summary.json``.
    """

    SECONDS = (1.0, 10.0)
    """At least between two of ``progress.json``, and between two of ``progress.h5``."""
    _PASSED_OVER = (OSError, RuntimeError)  # torch's word for a device that has no room

    def __init__(self, folder: Path, preflight: Sequence[dict[str, Any]] = ()) -> None:
        self._path, self._state = folder / PROGRESS_NAME, folder / STATE_NAME
        self._preflight = list(preflight)
        self._name = secrets.token_hex(8)
        self._due = [0.0, 0.0]

    def __enter__(self) -> ProgressFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for path in (self._path, self._state):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def started(self, run: Reconstruction) -> None:
        with suppress(OSError):
            self._state.unlink(missing_ok=True)  # of a run that was killed
        self.iterated(run)

    def iterated(self, run: Reconstruction, report: IterationReport | None = None) -> None:
        self._write(1, lambda: self._write_state(run))
        self._write(0, lambda: self._write_progress(run, "running"))

    def ended(self, run: Reconstruction) -> None:
        """The results, which need the room, follow at once."""
        with suppress(*self._PASSED_OVER):
            self._state.unlink(missing_ok=True)
            self._write_progress(run, "ended")

    def _write(self, which: int, write: Callable[[], None]) -> None:
        begun = time.monotonic()
        if begun < self._due[which]:
            return
        with suppress(*self._PASSED_OVER):
            write()
        now = time.monotonic()
        self._due[which] = now + max(self.SECONDS[which], 100 * (now - begun))

    def _write_progress(self, run: Reconstruction, state: str) -> None:
        stages = [asdict(ending) for ending in run.endings()]
        if state == "running" and not stages[-1]["ended"]:
            stages[-1]["text"] = "under way"
        progress = RunProgress(
            self._name,
            state,
            run.iteration,
            run.iterations,
            run.stage.title,
            run.history,
            stages,
            self._preflight,
        )
        write_progress(progress, self._path)

    def _write_state(self, run: Reconstruction) -> None:
        unknowns = run.model.unknowns.values()
        size = sum(tensor.numel() * tensor.element_size() for tensor in unknowns)
        if shutil.disk_usage(self._state.parent).free > 10 * size:
            write_results(run.results(agreement=False), self._state, compress=False)


class Interrupt(Observer):
    """Ctrl-C (or a termination signal) ends the run after the iteration; a second one at once.

    Of several processes any may get the signal, and all end after the same iteration. Where a
    terminal tells each of them, what has started them tells them again, and that is no second one.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)
    ECHO = 2.0
    """Seconds after a signal in which the same may come once more, to several processes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._run: Reconstruction | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._told = -math.inf

    def started(self, run: Reconstruction) -> None:
        self._run = run
        if threading.current_thread() is not threading.main_thread():
            return  # Python gives signals to the main thread alone
        for number in self.SIGNALS:
            self._before[number] = signal.signal(number, self._stop)

    def ended(self, run: Reconstruction) -> None:
        self.restore()

    def restore(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._run is None or self._run.stop_requested:
            told = self._run is not None and not self._run.processes.alone
            if told and now - self._told < self.ECHO:
                return
            self.restore()
            sys.exit(128 + number)
        self._run.stop_requested = True
        self._told = now
        self._console.print("Stopping after this iteration; once more stops at once.")
