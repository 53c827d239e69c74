"""Jobs of several processes that are stopped or lose one, and what goes on with them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import fastpty
from fastpty.config import ReconConfig, load_config
from fastpty.distributed import ALONE, LostProcessError, Processes
from fastpty.engines import IterationReport
from fastpty.job import run_job
from fastpty.recon import Observer, Reconstruction
from fastpty.results import read_results
from tests.distributed.cases import PATIENCE, STEADY, as_processes, started
from tests.recon_cases import Tiny, make_tiny, write_config
from tests.tolerances import bound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    tiny = make_tiny(tmp_path_factory.mktemp("tiny"))
    optimise = {**STEADY["optimise"], "iterations": 6, "tilt": {"lr": 0}, "thickness": {"lr": 0}}
    write_config(tiny, "config.yaml", scan=STEADY["scan"], optimise=optimise)
    return tiny


@pytest.fixture(scope="module")
def uninterrupted(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    folder = tmp_path_factory.mktemp("alone")
    job(ALONE, tiny, folder)
    return read_results(folder / "reconstruction.h5").history.loss


class Signal(Observer):
    """To its own process, after an iteration."""

    def __init__(self, number: int, iteration: int) -> None:
        self.number = number
        self.iteration = iteration

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        if run.iteration == self.iteration:
            os.kill(os.getpid(), self.number)


def job(
    processes: Processes,
    tiny: Tiny,
    output: Path,
    resume: bool = False,
    number: int | None = None,
) -> tuple[bool, dict[str, Any], str]:
    """(whether it finished, its summary, what was printed); the last process gets the signal."""
    config = load_config(ReconConfig, tiny.folder / "config.yaml")
    last = processes.rank == processes.count - 1
    observers = [] if number is None or not last else [Signal(number, 3)]
    console = Console(file=(said := io.StringIO()), width=1000)
    report = run_job(
        config,
        tiny.folder,
        output,
        console,
        resume=resume,
        observers=observers,
        processes=processes,
    )
    return report.finished, report.summary, said.getvalue()


def lose(processes: Processes, tiny: Tiny, output: Path) -> str:
    with pytest.raises(LostProcessError) as caught:
        job(processes, tiny, output, number=signal.SIGKILL)
    return str(caught.value)


@pytest.mark.parametrize("count", [1, 2])
def test_a_lost_process_ends_the_others_and_any_number_goes_on(
    tiny: Tiny, tmp_path: Path, uninterrupted: list[float], count: int
) -> None:
    """The checkpoint is that after iteration 2."""
    output = tmp_path / "out"
    first, second = started(2, lose, tmp_path, tiny, output)
    for process in (first, second):
        process.join(PATIENCE)
    assert second.exitcode == -signal.SIGKILL
    assert first.exitcode == 0
    assert sorted(path.name for path in output.iterdir()) == ["checkpoint.pt", "config.yaml"]
    if count == 1:
        job(ALONE, tiny, output, resume=True)
    else:
        as_processes(2, job, tmp_path, tiny, output, True)
    results = read_results(output / "reconstruction.h5")
    np.testing.assert_allclose(results.history.loss, uninterrupted, rtol=bound("shared losses"))
    assert len(results.history.loss) == 6


def test_a_signal_to_one_stops_all_after_the_iteration(tiny: Tiny, tmp_path: Path) -> None:
    """The first alone prints and writes."""
    output = tmp_path / "out"
    first, second = as_processes(2, job, tmp_path, tiny, output, False, signal.SIGTERM)
    assert not first[0]
    assert not second[0]
    assert first[1]["iterations"] == 3
    assert "shared by 2 processes" in first[2]
    assert second[1:] == ({}, "")
    first, _ = as_processes(2, job, tmp_path, tiny, output, True)
    assert first[0]
    assert first[1]["iterations"] == 6


def torchrun(tiny: Tiny, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "fastpty", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastpty.__file__).parents[1])}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=tiny.folder, env=environment, check=False
    )


def test_torchrun(tiny: Tiny, tmp_path: Path, uninterrupted: list[float]) -> None:
    done = torchrun(tiny, "recon", "config.yaml", "-o", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["iterations"] == 6
    assert done.stderr.count("iteration 6/6") == 1
    loss = read_results(tmp_path / "reconstruction.h5").history.loss
    np.testing.assert_allclose(loss, uninterrupted, rtol=bound("shared losses"))


def test_torchrun_says_what_is_wrong_once(tiny: Tiny, tmp_path: Path) -> None:
    done = torchrun(tiny, "recon", "config.yaml", "--set", "seeed=1", "-o", str(tmp_path))
    assert done.returncode != 0
    assert done.stderr.count("Error: seeed: unknown key") == 1
    done = torchrun(tiny, "validate", "config.yaml")
    assert done.stderr.count("torchrun: has started 2 processes of fastpty validate") == 1
