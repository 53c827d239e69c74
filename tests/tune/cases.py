"""Studies whose trials are a formula, and the short way to run them."""

from __future__ import annotations

import io
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from fastpty.config import ReconConfig, validate_config
from fastpty.errors import DivergenceError
from fastpty.tune import (
    AblateConfig,
    StudyReport,
    TuneConfig,
    ablation_output,
    run_ablation,
    run_search,
    search_output,
    workers,
)
from fastpty.tune.trial import Outcome, Told, Wanted
from tests.recon_cases import TINY, merged

__all__ = ["SEARCH", "Formula", "ablate", "search", "write_base"]

SEARCH: dict[str, Any] = {
    "base": "base.yaml",
    "set": {"optimise.iterations": 4, "data.leave_out": 0.1},
    "search": {
        "beam.aberrations.defocus": {"low": 0, "high": 200},
        "scan.rotation_deg": {"low": -10, "high": 10},
    },
    "sampler": {"name": "tpe", "startup": 3},
    "trials": 6,
}


class Formula:
    """Stands in for a :class:`fastpty.tune.trial.TrialRunner`: a bowl around 80 Angstrom and 3
    degrees, that the losses of four iterations come down to."""

    stop_in: int | None = None
    """Ctrl-C is pressed in the second iteration of this trial, counted from 0."""
    fails_above = float("inf")
    """Trials of a larger defocus diverge."""
    begun = 0

    def __init__(self, folder: Path, wanted: Wanted, beside: int = 1) -> None:
        pass

    def check(self, config: ReconConfig) -> None:
        pass

    def run(self, config: ReconConfig, told: Told) -> Outcome:
        cls = type(self)
        number, cls.begun = cls.begun, cls.begun + 1
        found = Outcome("complete")
        defocus, loss = config.beam.aberrations["defocus"], misfit(config)
        if defocus > self.fails_above:
            error = DivergenceError("optimise", "phase became infinite.", "Lower the rates.")
            return Outcome("failed", str(error))
        for step in range(1, config.iterations + 1):
            if number == self.stop_in and step == 2:
                signal.raise_signal(signal.SIGINT)
            found.losses.append(loss + 1 / step)
            answer = told(step, found.losses[-1])
            if answer != "go on" and step < config.iterations:
                found.state = "pruned" if answer == "prune" else "stopped"
                return found
        found.numbers = {"loss": loss, "r_factor": loss / 2, "contrast": -loss, "seconds": 1.0}
        found.numbers |= {"free_r_factor": loss / 2 + config.seed}
        return found


def misfit(config: ReconConfig) -> float:
    """The formula."""
    assert config.beam is not None
    defocus = config.beam.aberrations["defocus"]
    return ((defocus - 80) / 50) ** 2 + ((config.scan.rotation_deg - 3) / 5) ** 2


@pytest.fixture
def formula(monkeypatch: pytest.MonkeyPatch) -> type[Formula]:
    """Put in the place of the reconstruction."""

    class Mine(Formula):
        pass

    monkeypatch.setattr(workers, "TrialRunner", Mine)
    # What takes longest, and is looked at in tests of its own.
    for module in (search_output, ablation_output):
        monkeypatch.setattr(module, "write_figure", lambda path, draw: None)
    return Mine


def write_base(folder: Path, **changes: Any) -> None:
    """``base.yaml``: the tiny experiment, deliberately wrong."""
    wrong = {"beam": {"aberrations": {"defocus": 150}}, "scan": {"rotation_deg": -6.0}}
    content = merged(merged(TINY, wrong), changes)
    (folder / "base.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def search(
    folder: Path,
    output: str = "out",
    *,
    resume: bool = False,
    overwrite: bool = False,
    **study: Any,
) -> StudyReport:
    config = validate_config(TuneConfig, {**SEARCH, **study})
    console = Console(file=io.StringIO())
    return run_search(config, folder, folder / output, console, resume=resume, overwrite=overwrite)


def ablate(
    folder: Path,
    output: str = "out",
    *,
    resume: bool = False,
    overwrite: bool = False,
    **study: Any,
) -> StudyReport:
    config = validate_config(AblateConfig, {"base": "base.yaml", **study})
    console = Console(file=io.StringIO())
    return run_ablation(
        config, folder, folder / output, console, resume=resume, overwrite=overwrite
    )
