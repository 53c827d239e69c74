"""Trials in processes of their own: what goes to and fro, and what becomes of one that dies."""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from fastpty.config import ReconConfig
from fastpty.tune.base import Base
from fastpty.tune.ledger import Record
from fastpty.tune.stop import Stopper
from fastpty.tune.trial import Outcome, Told, TrialRunner, Wanted
from fastpty.tune.workers import Job, run_trials, visible_device
from tests.recon_cases import TINY


class Idle(TrialRunner):
    """Has no data to be read."""

    def check(self, config: ReconConfig) -> None:
        pass


@dataclass(frozen=True)
class Drill(Job):
    """Its trials do what their values say, in ten iterations."""

    def runner(self, beside: int = 1) -> TrialRunner:
        return Idle(Path(), Wanted(), beside)

    def run(self, runner: TrialRunner, values: dict[str, Any], told: Told) -> Outcome:
        found = Outcome("complete")
        for step in range(1, 11):
            if values.get("dies_in") == step:
                os._exit(7)
            if values.get("bug_in") == step:
                raise ZeroDivisionError("a slip")
            time.sleep(values.get("sleeps", 0))
            answer = told(step, float(step))
            if answer != "go on":
                found.state = "pruned" if answer == "prune" else "stopped"
                return found
        found.numbers = {"process": os.getpid(), "threads": torch.get_num_threads()}
        return found


@dataclass
class Listed:
    """A schedule of given trials; it prunes those that say so."""

    values: list[dict[str, Any]]
    found: dict[int, Outcome] = field(default_factory=dict)
    steps: int = 0
    stop_at: int | None = None
    begun: int = 0

    def next(self) -> Record | None:
        if self.begun == len(self.values):
            return None
        self.begun += 1
        return Record(self.begun - 1, self.values[self.begun - 1])

    def prune(self, record: Record, step: int, loss: float) -> bool:
        assert step == loss
        self.steps += 1
        if self.steps == self.stop_at:
            signal.raise_signal(signal.SIGINT)
        return bool(record.values.get("prune_in") == step)

    def ended(self, record: Record, outcome: Outcome) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.found[record.number] = outcome


def drill(schedule: Listed, workers: int = 2) -> Stopper:
    job = Drill(Base(TINY, {}, Path()), Wanted())
    with Stopper(Console(file=io.StringIO())) as stop:
        run_trials(job, schedule, stop, workers)
    return stop


@pytest.mark.slow
def test_trials_run_beside_each_other() -> None:
    """One is pruned, one dies, one is more than there are workers."""
    values: list[dict[str, Any]] = [
        {"sleeps": 0.05},
        {"prune_in": 3},
        {"dies_in": 2},
        {"sleeps": 0.05},
        {},
    ]
    schedule = Listed(values)
    drill(schedule)
    states = [schedule.found[number].state for number in range(5)]
    assert states == ["complete", "pruned", "failed", "complete", "complete"]
    assert schedule.found[2].reason == "its process ended by itself (7)"
    processes = {o.numbers["process"] for o in schedule.found.values() if o.state == "complete"}
    assert os.getpid() not in processes
    threads = {o.numbers["threads"] for o in schedule.found.values() if o.state == "complete"}
    assert threads == {max(1, torch.get_num_threads() // 2)}


@pytest.mark.slow
def test_ctrl_c_ends_every_trial_after_its_iteration() -> None:
    schedule = Listed([{"sleeps": 0.01}] * 5, stop_at=6)
    assert drill(schedule).requested
    assert not schedule.found
    assert schedule.begun == 2


@pytest.mark.slow
def test_a_bug_is_no_failed_trial() -> None:
    with pytest.raises(RuntimeError, match=r"bug_in[\s\S]*ZeroDivisionError: a slip"):
        drill(Listed([{"bug_in": 1}]))


def test_ctrl_c_in_this_process() -> None:
    """A second one ends it at once."""
    schedule = Listed([{}, {}], stop_at=4)
    assert drill(schedule, workers=1).requested
    assert (schedule.begun, schedule.found) == (1, {})
    before = signal.getsignal(signal.SIGINT)
    with Stopper(Console(file=io.StringIO())), pytest.raises(SystemExit) as end:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert end.value.code == 128 + signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("shown", "gpu", "name"), [(None, 1, "1"), ("4,6", 1, "6"), ("GPU-a, GPU-b", 1, "GPU-b")]
)
def test_a_worker_sees_its_gpu_among_those_that_are_visible(
    monkeypatch: pytest.MonkeyPatch, shown: str | None, gpu: int, name: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if shown is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    assert visible_device(gpu) == name
