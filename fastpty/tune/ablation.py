"""``fastpty ablate``: variants of a config beside each other."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fastpty.atomic import atomic_path
from fastpty.config.template import inline
from fastpty.errors import ConfigError, OutputError
from fastpty.tune.ablation_output import IMAGES, write_ablation
from fastpty.tune.base import Base, check_search, read_base
from fastpty.tune.config import AblateConfig
from fastpty.tune.folder import StudyReport, open_ledger
from fastpty.tune.ledger import Ledger, Record
from fastpty.tune.stop import Stopper
from fastpty.tune.trial import Outcome, Wanted
from fastpty.tune.workers import Job, run_trials

__all__ = ["Variant", "run_ablation", "variants_of"]


@dataclass(frozen=True)
class Variant:
    """A line of the table.

    Parameters
    ----------
    levels : what is varied -> which of its values this is, as text. One at a time, it is one.
    values : dotted field -> value, beside the base.
    """

    levels: dict[str, str]
    values: dict[str, Any]


def run_ablation(
    study: AblateConfig,
    folder: Path,
    output: Path,
    console: Console,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> StudyReport:
    """Run every variant with every seed and write everything.

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
    base = read_base(study, folder)
    _check(study, base)
    variants = variants_of(study)
    grid = _Grid(study, base, variants)
    meaning = {
        "kind": "ablate",
        **study.model_dump(mode="json", include={"vary", "design", "seeds", "frc"}),
        "set": study.set,
        "base": base.config({}, whole=True).model_dump(mode="json"),
    }
    ledger = open_ledger(output, meaning, resume=resume, overwrite=overwrite)
    schedule = _Runs(study, grid, ledger, output, console)
    console.print(
        f"[bold]{study.base}[/bold]: {len(variants)} variants, {len(grid.runs)} runs, "
        f"{len(ledger.ended)} of them done",
        highlight=False,
        soft_wrap=True,
    )
    with Stopper(console) as stop:
        if len(ledger.ended) < len(grid.runs):
            job = Job(base, Wanted(frc=study.frc, image=True))
            run_trials(job, schedule, stop, study.workers, study.gpus)
    done = {record.number: record for record in ledger.ended}
    rows = [
        (variant.levels, seed, done[number])
        for variant in variants
        for seed in study.seeds
        if (number := grid.number(variant, seed)) in done
    ]
    summary = write_ablation(study, rows, output, console)
    return StudyReport(output, not stop.requested, summary)


def _check(study: AblateConfig, base: Base) -> None:
    for name, levels in study.vary.items():
        if isinstance(levels, list):
            check_search(base, f"vary.{name}", name, levels)
            continue
        for label, values in levels.items():
            try:
                base.config(values)
            except ConfigError as error:
                raise ConfigError(f"vary.{name}.{label}", f"is refused: {error}") from error


def variants_of(study: AblateConfig) -> list[Variant]:
    """The lines of the table, in the order of the study."""
    factors = {name: _levels(name, given) for name, given in study.vary.items()}
    if study.design == "one_at_a_time":
        return [
            Variant({name: label}, values)
            for name, levels in factors.items()
            for label, values in levels.items()
        ]
    found = []
    for labels in itertools.product(*factors.values()):
        chosen = dict(zip(factors, labels, strict=True))
        values: dict[str, Any] = {}
        for name, label in chosen.items():
            values |= factors[name][label]
        found.append(Variant(chosen, values))
    return found


def _levels(name: str, given: list[Any] | dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Label -> fields, of one of the things that are varied."""
    if isinstance(given, list):
        return {inline(value): {name: value} for value in given}
    return given


class _Grid:
    """The runs of an ablation: variants that come to the same config share one."""

    def __init__(self, study: AblateConfig, base: Base, variants: list[Variant]) -> None:
        self._base = base
        self.runs: list[dict[str, Any]] = []
        self._numbers: dict[str, int] = {}
        for variant, seed in itertools.product(variants, study.seeds):
            key = self._key(variant, seed)
            if key not in self._numbers:
                self._numbers[key] = len(self.runs)
                self.runs.append(_seeded(variant, seed))

    def number(self, variant: Variant, seed: int) -> int:
        """Which run that is."""
        return self._numbers[self._key(variant, seed)]

    def _key(self, variant: Variant, seed: int) -> str:
        values = _seeded(variant, seed)
        try:
            content: Mapping[str, Any] = self._base.config(values).model_dump(mode="json")
        except ConfigError:  # a combination that will fail
            content = values
        return json.dumps(content, sort_keys=True)


def _seeded(variant: Variant, seed: int) -> dict[str, Any]:
    return {**variant.values, "seed": seed}


class _Runs:
    """A :class:`fastpty.tune.workers.Schedule` that is known from the beginning."""

    def __init__(
        self, study: AblateConfig, grid: _Grid, ledger: Ledger, output: Path, console: Console
    ) -> None:
        self._study = study
        self._runs = grid.runs
        self._ledger = ledger
        self._output = output
        self._console = console
        done = {record.number for record in ledger.ended}
        self._left = [number for number in range(len(grid.runs)) if number not in done]

    def next(self) -> Record | None:
        if not self._left:
            return None
        number = self._left.pop(0)
        return Record(number, self._runs[number])

    def prune(self, record: Record, step: int, loss: float) -> bool:
        return False

    def ended(self, record: Record, outcome: Outcome) -> None:
        record.state, record.reason = outcome.state, outcome.reason
        record.losses, record.numbers = outcome.losses, outcome.numbers
        if outcome.image is not None and record.values["seed"] == self._study.seeds[0]:
            self._keep(record, outcome)
        self._ledger.put(record)
        self._print(record)

    def _keep(self, record: Record, outcome: Outcome) -> None:
        """The image first: a run in the ledger has one."""
        assert outcome.image is not None
        folder = self._output / IMAGES
        pixel = outcome.pixel_size or (math.nan, math.nan)
        try:
            folder.mkdir(exist_ok=True)
            with atomic_path(folder / f"{record.number:04d}.npz") as path:
                np.savez(path, phase=outcome.image, pixel_size=np.array(pixel))
        except OSError as error:
            raise OutputError(
                str(folder), f"cannot be written ({error}).", "Make room, then --resume."
            ) from error

    def _print(self, record: Record) -> None:
        values = ", ".join(f"{name} {value}" for name, value in record.values.items())
        names = ("loss", "r_factor", "free_r_factor", "truth_correlation")
        found = [f"{n} {v:.5g}" for n in names if (v := record.numbers.get(n)) is not None]
        text = ", ".join(found) if record.state == "complete" else f"failed: {record.reason}"
        self._console.print(
            f"run {record.number + 1}/{len(self._runs)}, {values}: {text}, "
            f"{record.numbers.get('seconds') or math.nan:.3g} s",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
