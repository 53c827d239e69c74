"""What a run says while it lasts: when, how truly, and that it never hurts the run."""

from __future__ import annotations

import errno
import io
import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fastpty import observers
from fastpty.config import ReconConfig, validate_config
from fastpty.engines import IterationReport
from fastpty.errors import DataError
from fastpty.job import run_job
from fastpty.observers import ProgressFiles
from fastpty.progress import PROGRESS_NAME, STATE_NAME, RunProgress, read_progress, write_progress
from fastpty.recon import Observer, Reconstruction
from fastpty.results import History, read_results
from tests.recon_cases import TINY, Tiny, make_tiny, merged, tiny_run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """After every iteration, however long it takes to write."""
    monkeypatch.setattr(observers.time, "monotonic", lambda: 0.0)
    monkeypatch.setattr(ProgressFiles, "SECONDS", (0.0, 0.0))


class Reader(Observer):
    """Reads the files after every iteration, and keeps what the run itself knows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen: list[tuple[RunProgress, Any, Any]] = []

    def started(self, run: Reconstruction) -> None:
        self.look(run)

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        self.look(run)

    def look(self, run: Reconstruction) -> None:
        state = self.folder / STATE_NAME
        self.seen.append(
            (
                read_progress(self.folder / PROGRESS_NAME),
                read_results(state) if state.exists() else None,
                (run.model.phase.detach().numpy().copy(), run.history.loss.copy()),
            )
        )


@pytest.mark.usefixtures("eager")
def test_every_iteration_as_the_run_has_it(tiny: Tiny, tmp_path: Path) -> None:
    plan = [{"name": "first", "iterations": 1}, {"iterations": 2}]
    run, reader = tiny_run(tiny, plan=plan), Reader(tmp_path)
    (tmp_path / STATE_NAME).write_text("of a run that was killed")
    finding = {"subject": "a", "text": "b", "warning": ""}
    with ProgressFiles(tmp_path, [finding]) as files:
        run.run([files, reader])
        ended = read_progress(tmp_path / PROGRESS_NAME)
        assert not (tmp_path / STATE_NAME).exists()  # the results need the room
    assert not list(tmp_path.iterdir())
    assert (ended.state, ended.iteration) == ("ended", 3)
    assert [p.iteration for p, _, _ in reader.seen] == [0, 1, 2, 3]
    assert {p.iterations for p, _, _ in reader.seen} == {3}
    assert len({p.run for p, _, _ in reader.seen}) == 1
    assert [p.stage for p, _, _ in reader.seen] == [*["stage first"] * 2, *["stage 2"] * 2]
    assert [p.stages[-1]["text"].split(": ")[-1] for p, _, _ in reader.seen] == [
        *("under way", "all that were asked for", "under way", "all that were asked for"),
    ]
    for progress, results, (phase, loss) in reader.seen:
        assert (progress.state, progress.preflight) == ("running", [finding])
        assert progress.history.loss == loss
        assert results.history.loss == loss
        np.testing.assert_array_equal(results.phase, phase)
        assert (results.r_factor, results.agreement) == (None, {})
    assert reader.seen[-1][0].history == run.history


@pytest.mark.usefixtures("eager")
def test_not_before_its_time(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProgressFiles, "SECONDS", (1.0, 1.0))
    reader = Reader(tmp_path)
    with ProgressFiles(tmp_path) as files:
        tiny_run(tiny).run([files, reader])
    assert [p.iteration for p, _, _ in reader.seen] == [0] * 4
    assert [len(results.history.loss) for _, results, _ in reader.seen] == [0] * 4


def test_at_most_a_hundredth_of_the_time(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which writing takes 2 s, and an iteration 75 s."""
    now = 0.0
    written: list[float] = []

    def write(progress: RunProgress, path: Path) -> None:
        nonlocal now
        written.append(now)
        now += 2.0

    class Clock(Observer):
        def iterated(self, run: Reconstruction, report: IterationReport) -> None:
            nonlocal now
            now += 75.0

    monkeypatch.setattr(observers.time, "monotonic", lambda: now)
    monkeypatch.setattr(observers, "write_progress", write)
    monkeypatch.setattr(observers, "write_results", lambda *args, **options: None)
    run = tiny_run(tiny, optimise={"iterations": 7})
    run.run([Clock(), ProgressFiles(tmp_path)])
    running = written[:-1]  # the last is the end's
    assert running == [0.0, 227.0, 454.0]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", ["write_progress", "write_results"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), RuntimeError("out of memory")]
)
def test_a_failure_is_passed_over(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    plain = tiny_run(tiny)
    plain.run()

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(observers, name, fail)
    run = tiny_run(tiny)
    with ProgressFiles(tmp_path / "missing") as files:
        run.run([files])
    with ProgressFiles(tmp_path) as files:
        run = tiny_run(tiny)
        run.run([files])
    assert run.history.loss == plain.history.loss
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("eager")
def test_the_disk_is_not_filled(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers.shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    reader = Reader(tmp_path)
    with ProgressFiles(tmp_path) as files:
        tiny_run(tiny).run([files, reader])
    assert [(p.iteration, results) for p, results, _ in reader.seen] == [
        (i, None) for i in range(4)
    ]


@pytest.mark.parametrize("wanted", [True, False])
def test_output_progress(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    written: list[RunProgress] = []
    monkeypatch.setattr(observers, "write_progress", lambda p, path: written.append(p))
    config = validate_config(ReconConfig, merged(TINY, {"output": {"progress": wanted}}))
    run_job(config, tiny.folder, tmp_path, Console(file=io.StringIO()))
    assert bool(written) == wanted
    if wanted:
        assert written[0].preflight[0]["subject"] == "patterns"


def test_gone_when_the_run_breaks_off(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(run: Reconstruction) -> None:
        assert (tmp_path / PROGRESS_NAME).exists()
        raise ValueError("a bug")

    monkeypatch.setattr(Reconstruction, "_iterate", fail)
    config = validate_config(ReconConfig, TINY)
    with pytest.raises(ValueError, match="a bug"):
        run_job(config, tiny.folder, tmp_path, Console(file=io.StringIO()))
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_what_is_not_finite(tmp_path: Path) -> None:
    """Is null in the file, which other programs may read, and NaN again for us."""
    history = History(loss=[1.0, math.inf], lr={"phase": [math.nan, 0.5]}, stage=[0, 1])
    history.unknowns = {"tilt": [[math.nan, 2.0]]}
    path = tmp_path / PROGRESS_NAME
    write_progress(RunProgress("a", "running", 2, 3, "", history), path)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    content = json.loads(path.read_text(), parse_constant=refuse)
    assert content["history"]["loss"] == [1.0, None]
    found = read_progress(path).history
    np.testing.assert_equal(found.loss, [1.0, math.nan])
    np.testing.assert_equal(found.lr, history.lr)
    np.testing.assert_equal(found.unknowns, history.unknowns)
    assert found.stage == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"format_version": 1, "history": {"x": 1}}', "cannot be read"),
        ('{"format_version": 99}', "is of another version of fastpty"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / PROGRESS_NAME
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_progress(path)
