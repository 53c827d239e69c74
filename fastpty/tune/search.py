"""``fastpty tune``: trials that look for the best values of some fields."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fastpty.errors import ConfigError
from fastpty.tune.base import Base, check_search, holds_whole_numbers, probes, read_base, value_of
from fastpty.tune.config import MAXIMISED, TuneConfig
from fastpty.tune.folder import StudyReport, open_ledger
from fastpty.tune.ledger import Ledger, Record
from fastpty.tune.sampling import Advisor, require_optuna
from fastpty.tune.search_output import best_of, write_search
from fastpty.tune.stop import Stopper
from fastpty.tune.trial import Outcome, Wanted
from fastpty.tune.workers import Job, run_trials

__all__ = ["run_search"]


def run_search(
    study: TuneConfig,
    folder: Path,
    output: Path,
    console: Console,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> StudyReport:
    """Run the trials of a study and write everything.

    Parameters
    ----------
    folder : of the study's file: its ``base`` is relative to it.
    output : folder for the results; made if need be.
    resume : go on with the study in ``output``.
    overwrite : replace an earlier study in ``output``.

    Raises
    ------
    FastptyError : naming the field, what was found and what to do.
    """
    require_optuna(study.sampler.name)
    base = read_base(study, folder)
    for name, given in study.search.items():
        check_search(base, f"search.{name}", name, probes(name, given))
    _check_objective(study, base)
    ledger = open_ledger(output, _meaning(study, base), resume=resume, overwrite=overwrite)
    schedule = _Search(study, base, ledger, console)
    console.print(
        f"[bold]{study.base}[/bold]: {study.trials} trials, {len(ledger.ended)} of them done; "
        f"{study.objective} is sought {_wanted(study)}",
        highlight=False,
        soft_wrap=True,
    )
    halves = study.objective == "frc"
    with Stopper(console) as stop:
        if schedule.left:
            job = Job(base, Wanted(frc=halves, only_halves=halves))
            run_trials(job, schedule, stop, study.workers, study.gpus)
    summary = write_search(study, base, ledger.ended, schedule.importances(), output, console)
    return StudyReport(output, not stop.requested, summary)


def _wanted(study: TuneConfig) -> str:
    return "large" if study.objective in MAXIMISED else "small"


def _check_objective(study: TuneConfig, base: Base) -> None:
    config = base.config({})
    if study.objective == "free_r_factor" and config.data.leave_out == 0:
        raise ConfigError(
            "objective",
            "is free_r_factor, and data.leave_out is 0: no pattern is left out.",
            "Give set: {data.leave_out: 0.05}.",
        )


def _meaning(study: TuneConfig, base: Base) -> dict[str, Any]:
    """What must not change between calls; how many trials, and who runs them, may."""
    free = {"base", "trials", "timeout", "workers", "gpus", "set"}
    return {
        "kind": "tune",
        **study.model_dump(mode="json", exclude=free),
        "set": study.set,
        "base": base.config({}, whole=True).model_dump(mode="json"),
    }


class _Search:
    """A :class:`fastpty.tune.workers.Schedule` whose trials depend on those before."""

    def __init__(self, study: TuneConfig, base: Base, ledger: Ledger, console: Console) -> None:
        self._study = study
        self._ledger = ledger
        self._console = console
        self._begun = time.monotonic()
        config = base.config({})
        whole = [n for n, given in study.search.items() if holds_whole_numbers(n, given)]
        self._advisor = Advisor(study, whole, config.iterations)
        for record in ledger.ended:
            self._advisor.recall(record)
        self._again = ledger.interrupted
        self._first = _values_of_base(study, base, whole) if study.try_base else None

    @property
    def left(self) -> int:
        """How many trials have not ended."""
        return max(0, self._study.trials - len(self._ledger.ended))

    def importances(self) -> dict[str, float]:
        return self._advisor.importances()

    def next(self) -> Record | None:
        timeout = self._study.timeout
        if timeout is not None and time.monotonic() - self._begun > timeout:
            return None
        if self._again:
            record = self._again.pop(0)
            self._advisor.ask(record.number, record.values)
            return record
        number = len(self._ledger.records)
        if number >= self._study.trials:
            return None
        values = self._advisor.ask(number, self._first if number == 0 else None)
        record = Record(number, values)
        self._ledger.put(record)
        return record

    def prune(self, record: Record, step: int, loss: float) -> bool:
        return self._advisor.prune(record.number, step, loss)

    def ended(self, record: Record, outcome: Outcome) -> None:
        objective = self._study.objective
        record.state, record.reason = outcome.state, outcome.reason
        record.losses, record.numbers = outcome.losses, outcome.numbers
        if record.state == "complete" and record.numbers.get(objective) is None:
            record.state, record.reason = "failed", f"it has no {objective}"
        self._advisor.tell(record)
        self._ledger.put(record)
        self._print(record)

    def _print(self, record: Record) -> None:
        values = ", ".join(f"{name} {_short(value)}" for name, value in record.values.items())
        found = record.numbers.get(self._study.objective)
        text = f"{self._study.objective} {found:.5g}" if found is not None else record.state
        best = best_of(self._study, self._ledger.ended)
        behind = "" if best is None else f" (best: trial {best.number})"
        reason = f": {record.reason}" if record.reason else ""
        self._console.print(
            f"trial {record.number}, {values}: {text}{reason}{behind}, "
            f"{record.numbers.get('seconds') or math.nan:.3g} s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _values_of_base(study: TuneConfig, base: Base, whole: Sequence[str]) -> dict[str, Any]:
    """Those of the base's values that lie where they are sought."""
    config = base.config({})
    found = {}
    for name, given in study.search.items():
        value = value_of(config, name)
        if given.choices is not None:
            if value in given.choices:
                found[name] = value
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        assert given.low is not None and given.high is not None
        step = given.step or (1.0 if name in whole else None)
        steps = 0.0 if step is None else (value - given.low) / step
        on_step = abs(steps - round(steps)) < 1e-8  # 0.3 is not quite 0.1 + 2 x 0.1
        if given.low <= value <= given.high and on_step:
            found[name] = int(value) if name in whole else float(value)
    return found
