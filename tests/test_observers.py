"""Progress on the terminal, checkpoints on the way, and the two kinds of Ctrl-C."""

from __future__ import annotations

import errno
import io
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import pytest
import torch
from rich.console import Console

from fastpty import observers
from fastpty.distributed import Processes
from fastpty.engines import IterationReport
from fastpty.observers import Checkpoints, Interrupt, ProgressDisplay
from fastpty.recon import Observer, Reconstruction
from fastpty.results import read_results
from tests.recon_cases import Tiny, make_tiny, tiny_run, write_config


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def _console(terminal: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=120, force_terminal=terminal), stream


def test_plain_lines_without_a_terminal(tiny: Tiny) -> None:
    run = tiny_run(tiny, loss={"sparse": {"weight": 0.1}})
    console, stream = _console()
    run.run([ProgressDisplay(console)])
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    number = r"[-+.e\d]+"
    for iteration, (line, loss) in enumerate(zip(lines, run.history.loss, strict=True), 1):
        assert line.startswith(f"iteration {iteration}/3  loss {loss:.6g}  gaussian ")
        tail = rf"  sparse {number}  {number} s  {number} patterns/s  left \d+ s$"
        assert re.search(tail, line), line
    assert lines[-1].endswith("left 0 s")


def test_the_stage_is_named(tiny: Tiny) -> None:
    """In every line, and when one ends before its last iteration."""
    frozen = {name: {"lr": 0} for name in ("amplitude", "phase", "probe", "positions")}
    plan = [{"name": "still", "iterations": 9, "optimise": frozen}, {"iterations": 1}]
    off = ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z")
    run = tiny_run(
        tiny, plan=plan, convergence={"patience": 1}, constraints=dict.fromkeys(off, False)
    )
    console, stream = _console()
    run.run([ProgressDisplay(console)])
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("iteration 1/10  still  loss ")
    assert lines[1].startswith("iteration 2/3  still  loss ")
    assert lines[2] == (
        "stage still, 2 iterations: the loss has not fallen by more than 0.001 of it in 1 iteration"
    )
    assert lines[3].startswith("iteration 3/3  stage 2  loss ")
    assert len(lines) == 4
    console, stream = _console(terminal=True)
    tiny_run(tiny, plan=[plan[1]]).run([ProgressDisplay(console)])
    assert "stage 1" in stream.getvalue()


def test_a_bar_on_a_terminal(tiny: Tiny) -> None:
    run = tiny_run(tiny)
    console, stream = _console(terminal=True)
    run.run([ProgressDisplay(console)])
    shown = stream.getvalue()
    assert "3/3" in shown
    assert f"loss {run.history.loss[-1]:.5g}" in shown
    assert "patterns/s" in shown
    assert shown.rstrip().endswith("\x1b[?25h")  # the cursor is back


def test_a_run_that_breaks_off_gives_the_terminal_back(tiny: Tiny) -> None:
    console, stream = _console(terminal=True)
    display = ProgressDisplay(console)
    display.started(tiny_run(tiny))
    assert not stream.getvalue().rstrip().endswith("\x1b[?25h")
    display.close()
    assert stream.getvalue().rstrip().endswith("\x1b[?25h")


def test_held_positions_are_told_once(tiny: Tiny) -> None:
    run = tiny_run(tiny, object={"margin": 0}, constraints={"recentre_positions": False})
    console, stream = _console()

    class Push(Observer):
        def iterated(self, run: Reconstruction, report: IterationReport) -> None:
            with torch.no_grad():
                run.model.shift[0] = torch.tensor([-2.0, 0.0])

    run.run([Push(), ProgressDisplay(console)])
    assert run.held_positions == 1
    text = " ".join(stream.getvalue().split())
    assert text.count("1 positions have reached the edge") == 1
    assert "object.margin" in text


def test_checkpoints_every_so_often_and_at_the_end(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = observers.write_checkpoint

    def counted(run: Reconstruction, path: Path) -> None:
        written.append(run.iteration)
        write(run, path)

    monkeypatch.setattr(observers, "write_checkpoint", counted)
    run = tiny_run(tiny, optimise={"iterations": 4}, output={"checkpoint_every": 2})
    run.run([Checkpoints(tmp_path, _console()[0])])
    assert written == [2, 4]  # the end is not written twice
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_full_disk_does_not_end_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first checkpoint is written, the later ones find no room."""
    run = tiny_run(tiny, output={"checkpoint_every": 1})
    console, stream = _console()

    class Fill(Observer):
        def iterated(self, run: Reconstruction, report: IterationReport) -> None:
            if run.iteration == 2:
                monkeypatch.setattr(os, "fsync", self._fail)

        def _fail(self, handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run.run([Fill(), Checkpoints(tmp_path, console)])
    assert run.finished
    text = " ".join(stream.getvalue().split())
    assert "checkpoint after iteration 2 could not be written" in text
    assert "No space left on device" in text
    assert text.count("the earlier one is kept") == 2
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["iteration"] == 1


class Signal(Observer):
    """The user presses Ctrl-C, so many times, during the first iteration."""

    def __init__(self, number: signal.Signals, times: int) -> None:
        self._number, self._times = number, times

    def iterated(self, run: Reconstruction, report: IterationReport) -> None:
        if run.iteration == 1:
            for _ in range(self._times):
                os.kill(os.getpid(), self._number)


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
def test_one_signal_stops_after_the_iteration(tiny: Tiny, number: signal.Signals) -> None:
    run = tiny_run(tiny)
    console, stream = _console()
    before = signal.getsignal(number)
    run.run([Interrupt(console), Signal(number, 1)])
    assert run.iteration == 1
    assert not run.finished
    assert "Stopping after this iteration; once more stops at once." in stream.getvalue()
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", Interrupt.SIGNALS)
def test_a_second_signal_stops_at_once(tiny: Tiny, number: signal.Signals) -> None:
    run = tiny_run(tiny)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as caught:
        run.run([Interrupt(_console()[0]), Signal(number, 2)])
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) is before


def test_the_echo_of_a_signal_is_no_second_one(tiny: Tiny) -> None:
    """torchrun passes on to its processes what the terminal has told them already."""
    interrupt = Interrupt(_console()[0])
    run = tiny_run(tiny, Processes(0, 2))
    interrupt.started(run)
    try:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        assert run.stop_requested
        interrupt.ECHO = 0.0
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        interrupt.restore()


def test_a_run_in_a_thread_leaves_the_signals_alone(tiny: Tiny) -> None:
    """Python gives signals to the main thread only; elsewhere there is nothing to take."""
    run = tiny_run(tiny)
    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=run.run, args=([Interrupt(_console()[0])],))
    thread.start()
    thread.join()
    assert run.finished
    assert signal.getsignal(signal.SIGINT) is before


def _recon(tiny: Tiny, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fastpty", "recon", str(write_config(tiny)), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[1],
    )


def test_ctrl_c_then_resume_is_the_unbroken_run(tiny: Tiny, tmp_path: Path) -> None:
    """A process of its own, stopped after its first iterations; the other goes through."""
    output = tmp_path / "output"
    run = _recon(tiny, "-o", str(output), "--set", "optimise.iterations=100000")
    assert run.stdout is not None
    for line in run.stdout:
        if line.startswith("iteration"):
            run.send_signal(signal.SIGINT)
            break
    said = run.stdout.read()
    assert run.wait() == 130, said
    assert "Stopping after this iteration" in said
    assert f"-o {output} --resume" in said
    assert "Traceback" not in said
    stopped = read_results(output / "reconstruction.h5")
    reached = len(stopped.history.loss)
    assert torch.load(output / "checkpoint.pt", weights_only=True)["iteration"] == reached

    total = reached + 2
    arguments = ["--set", f"optimise.iterations={total}"]
    again = _recon(tiny, "-o", str(output), "--resume", *arguments)
    said, _ = again.communicate()
    assert again.returncode == 0, said
    unbroken = tiny_run(tiny, optimise={"iterations": total})
    unbroken.run()
    resumed = read_results(output / "reconstruction.h5")
    assert resumed.history.loss == unbroken.history.loss
    with h5py.File(output / "reconstruction.h5") as file:
        assert (file["object/phase"][()] == unbroken.model.phase.detach().numpy()).all()
