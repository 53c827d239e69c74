"""Who runs the trials: this process, or several beside it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

import torch

from fastpty.errors import ConfigError
from fastpty.heap import keep_freed_memory
from fastpty.tune.base import Base
from fastpty.tune.ledger import Record
from fastpty.tune.stop import Stopper
from fastpty.tune.trial import Answer, Outcome, Told, TrialRunner, Wanted

__all__ = ["Job", "Schedule", "run_trials", "visible_device"]


class Schedule(Protocol):
    """Which trials there are, and what becomes of them. It lives in one process, whoever runs
    them."""

    def next(self) -> Record | None:
        """The next trial; None if there is none."""

    def prune(self, record: Record, step: int, loss: float) -> bool:
        """Whether to give a trial up that has come to this."""

    def ended(self, record: Record, outcome: Outcome) -> None:
        """A trial is over: complete, pruned or failed, not stopped."""


@dataclass(frozen=True)
class Job:
    """What every trial of a study has in common; it goes to the processes that run them."""

    base: Base
    wanted: Wanted

    def runner(self, beside: int = 1) -> TrialRunner:
        """Before its first trial; ``beside``: as in :class:`TrialRunner`."""
        return TrialRunner(self.base.folder, self.wanted, beside)

    def run(self, runner: TrialRunner, values: dict[str, Any], told: Told) -> Outcome:
        """One trial; values that the config refuses together have failed."""
        try:
            config = self.base.config(values)
        except ConfigError as error:
            return Outcome("failed", " ".join(str(error).split()))
        return runner.run(config, told)


def run_trials(
    job: Job, schedule: Schedule, stop: Stopper, workers: int = 1, gpus: Sequence[int] = ()
) -> None:
    """Run trials until the schedule has none left, or ``stop`` is requested.

    Parameters
    ----------
    workers : processes, which share the processor's cores evenly; 1: this one.
    gpus : by number, which the workers see in turn; none: all that there are.

    Raises
    ------
    ConfigError, DataError : what would make every trial fail.
    """
    runner = job.runner()
    runner.check(job.base.config({}))
    if workers == 1 and len(gpus) < 2:
        keep_freed_memory()
        _run_here(job, runner, schedule, stop)
    else:
        del runner  # and its data: each worker has its own
        _Pool(job, schedule, stop, workers, gpus).run()


def _run_here(job: Job, runner: TrialRunner, schedule: Schedule, stop: Stopper) -> None:
    while not stop.requested and (record := schedule.next()) is not None:
        outcome = job.run(runner, record.values, _answers(schedule, record, stop))
        if outcome.state == "stopped":
            return
        schedule.ended(record, outcome)


def _answers(schedule: Schedule, record: Record, stop: Stopper) -> Told:
    def told(step: int, loss: float) -> Answer:
        if stop.requested:
            return "stop"
        return "prune" if schedule.prune(record, step, loss) else "go on"

    return told


@dataclass
class _Worker:
    process: SpawnProcess
    line: Connection[Any, Any]
    record: Record | None = None


class _Pool:
    """Workers that run a trial each, and ask after each iteration how to go on."""

    def __init__(
        self, job: Job, schedule: Schedule, stop: Stopper, workers: int, gpus: Sequence[int]
    ) -> None:
        self._job = job
        self._schedule = schedule
        self._stop = stop
        self._gpus = gpus
        self._threads = max(1, torch.get_num_threads() // workers)
        self._workers: list[_Worker] = []
        self._wanted = workers

    def run(self) -> None:
        try:
            self._workers = [self._hired(number) for number in range(self._wanted)]
            for number in range(self._wanted):
                self._give(number)
            while busy := {w.line: n for n, w in enumerate(self._workers) if w.record is not None}:
                for line in wait(list(busy)):
                    self._hear(busy[line])  # type: ignore[index]
        finally:
            for worker in self._workers:
                worker.line.close()  # what an idle one takes for its end
                worker.process.join(1)
                if worker.process.is_alive():
                    worker.process.kill()
                    worker.process.join()

    def _hired(self, number: int) -> _Worker:
        context = multiprocessing.get_context("spawn")  # a CUDA context does not survive a fork
        here, there = context.Pipe()
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        process = context.Process(
            target=_work,
            args=(self._job, there, self._threads, gpu, self._wanted),
            daemon=True,
        )
        process.start()
        there.close()  # so that the end of the process is the end of the line
        return _Worker(process, here)

    def _give(self, number: int) -> None:
        """The next trial, if there is one."""
        worker = self._workers[number]
        worker.record = None if self._stop.requested else self._schedule.next()
        if worker.record is not None:
            with suppress(OSError):  # a process that has died is heard of as such
                worker.line.send(worker.record.values)

    def _hear(self, number: int) -> None:
        worker = self._workers[number]
        record = worker.record
        assert record is not None
        try:
            heard = worker.line.recv()
            if isinstance(heard, tuple):
                worker.line.send(_answers(self._schedule, record, self._stop)(*heard))
                return
        except (EOFError, OSError):
            worker.process.join()
            worker.line.close()
            self._workers[number] = self._hired(number)
            heard = Outcome("failed", f"its process ended by itself ({worker.process.exitcode})")
        if isinstance(heard, str):
            raise RuntimeError(f"a trial with {record.values} met a bug:\n{heard}")
        if heard.state != "stopped":
            self._schedule.ended(record, heard)
        self._give(number)


class _AloneError(Exception):
    """The process that hands out the trials is gone."""


def _work(
    job: Job, line: Connection[Any, Any], threads: int, gpu: int | None, workers: int
) -> None:
    """The life of a worker: values in, an outcome out, until the line is closed."""
    # Ctrl-C reaches every process of a terminal; the one that hands out the trials deals with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_device(gpu)
    torch.set_num_threads(threads)
    keep_freed_memory()
    runner = job.runner(workers)
    told = _asks(line)
    with suppress(EOFError, OSError):  # nobody is there any more
        while True:
            values = line.recv()
            try:
                outcome: Outcome | str = job.run(runner, values, told)
            except _AloneError:
                return
            except Exception:
                outcome = traceback.format_exc()
            line.send(outcome)


def _asks(line: Connection[Any, Any]) -> Callable[[int, float], Answer]:
    def told(step: int, loss: float) -> Answer:
        try:
            line.send((step, loss))
            answer: Answer = line.recv()
        except (EOFError, OSError) as error:
            raise _AloneError from error
        return answer

    return told


def visible_device(gpu: int) -> str:
    """What CUDA calls the GPU that is number ``gpu`` here, where some may be hidden already."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = shown.split(",") if shown else []
    return names[gpu].strip() if gpu < len(names) else str(gpu)
