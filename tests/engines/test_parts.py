"""Batches in parts take the steps of whole ones; where memory runs out, parts become smaller."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fastpty import agreement, recon
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.engines import Parts, is_out_of_memory, passes
from fastpty.errors import MemoryShortageError
from fastpty.forward import simulate_patterns
from fastpty.observers import Checkpoints
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.test_graphs import Recorder
from tests.tolerances import tolerance

SGD: dict[str, Any] = {"optimiser": {"name": "SGD"}, "thickness": {"lr": 0.1}}
LBFGS: dict[str, Any] = {"optimiser": {"name": "LBFGS"}}
# Of a root over the batch, of its mean pattern, and of the object where its windows lie.
LOSS: dict[str, Any] = {
    "gaussian": {},
    "poisson": {},
    "pacbed": {},
    "sparse": {"weight": 0.1},
    "similarity": {"weight": 0.1},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


class Short:
    """A forward that finds no memory for more than so many patterns, from some call on."""

    def __init__(
        self,
        most: int,
        error: BaseException | None = None,
        after: int = 0,
    ) -> None:
        self.most = most
        self.error = MemoryError() if error is None else error
        self.calls, self.after = 0, after
        self.simulate = passes.simulate_patterns

    def __call__(self, model: Any, index: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > self.after and len(index) > self.most:
            raise self.error
        return self.simulate(model, index)


class ShortBackward(torch.autograd.Function):
    """The same in the backward, when some gradients are there already."""

    most = 3

    @staticmethod
    def forward(ctx: Any, intensity: torch.Tensor) -> torch.Tensor:
        return intensity.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        if len(gradient) > ShortBackward.most:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes")
        return gradient


def with_contrast(run: Reconstruction) -> Reconstruction:
    """Without an object no pattern depends on the position."""
    generator = torch.Generator().manual_seed(0)
    run.model.phase += 0.1 * torch.randn(run.model.phase.shape, generator=generator)
    return run


def assert_same(found: Reconstruction, expected: Reconstruction) -> None:
    for name, tensor in expected.model.unknowns.items():
        scale = float(tensor.abs().max()) or 1.0
        torch.testing.assert_close(
            found.model.unknowns[name].detach(),
            tensor.detach(),
            **tolerance("chain", torch.float32, scale=scale),
            msg=lambda text, name=name: f"{name}: {text}",
        )
    rtol = tolerance("chain", torch.float32)["rtol"]
    assert found.history.loss == pytest.approx(expected.history.loss, rel=rtol)


@pytest.mark.parametrize("part", [1, 3, 4])
@pytest.mark.parametrize("together", [1, 3])
def test_every_loss_in_parts(tiny: Tiny, part: int, together: int) -> None:
    """Each is found for the whole batch, so none of them knows of parts."""
    changes = {
        "loss": LOSS,
        "object": {"modes": 2},
        "optimise": {**SGD, "accumulate": together, "occupancy": {"lr": 0.1}, "iterations": 2},
    }
    whole, parted = (with_contrast(tiny_run(tiny, **changes)) for _ in range(2))
    parted.parts.largest = part
    for run in (whole, parted):
        run.run()
    assert_same(parted, whole)


@pytest.mark.parametrize("optimise", [SGD, {"optimiser": {"name": "Adam"}, "tiles": True}, LBFGS])
def test_memory_runs_out(
    tiny: Tiny,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    optimise: dict[str, Any],
) -> None:
    """The group of batches is done again from its start; 8 patterns, then 4, then 2."""
    changes = {"optimise": {**optimise, "iterations": 2}}
    whole, short = (with_contrast(tiny_run(tiny, **changes)) for _ in range(2))
    whole.run()
    monkeypatch.setattr(passes, "simulate_patterns", Short(3, after=4 + 2))
    with caplog.at_level(logging.WARNING):
        short.run()
    assert_same(short, whole)
    assert short.parts.largest == 2
    said = [record.message for record in caplog.records]
    assert said == short.parts.shortages
    assert len(said) == 2
    iteration = 1 if optimise is LBFGS else 2  # its line search passes over the patterns again
    assert said[0].startswith(
        f"Out of memory in batch 3 of 4 of iteration {iteration}: patterns go through in parts of 4"
    )


@pytest.mark.parametrize("together", [1, 2])
def test_in_a_backward(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    """What had been added to the gradients of the group is no part of the step."""
    changes = {"optimise": {**SGD, "accumulate": together, "iterations": 1}}
    whole, short = (with_contrast(tiny_run(tiny, **changes)) for _ in range(2))
    whole.run()
    simulate = passes.simulate_patterns
    monkeypatch.setattr(
        passes, "simulate_patterns", lambda m, i: ShortBackward.apply(simulate(m, i))
    )
    short.run()
    assert short.parts.largest == 2
    assert_same(short, whole)


def test_while_patterns_are_fetched(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step of the batch before is not taken twice."""
    changes = {"optimise": {**SGD, "iterations": 2}, "output": {"snapshots": []}}
    whole, short = (with_contrast(tiny_run(tiny, **changes)) for _ in range(2))
    whole.run()
    patterns = short.measurements.patterns
    recorded, calls = patterns.recorded, []

    def scarce(index: torch.Tensor) -> torch.Tensor:
        calls.append(index)
        if len(calls) == 3:
            raise MemoryError
        return recorded(index)

    monkeypatch.setattr(patterns, "recorded", scarce)
    short.run()
    assert short.parts.largest == 4
    assert "in batch 3 of 4 of iteration 1" in short.parts.shortages[0]
    assert_same(short, whole)


def test_graphs_are_dropped(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """They hold memory, and were recorded of whole batches."""
    changes = {"optimise": {**SGD, "iterations": 4}}
    whole, short = (with_contrast(tiny_run(tiny, **changes)) for _ in range(2))
    whole.run()
    short.engine.record_with(Recorder())
    monkeypatch.setattr(passes, "simulate_patterns", Short(4, after=2))
    short.run()
    assert short.engine._passes.recorder is None
    assert_same(short, whole)


def test_single_patterns_are_the_end(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The state is that after the last whole iteration, and is on the disk."""
    run, expected = tiny_run(tiny), tiny_run(tiny, optimise={"iterations": 1})
    expected.run()
    monkeypatch.setattr(passes, "simulate_patterns", Short(0, after=4 + 3))
    message = (
        r"^optimise\.batch_size: memory ran out in iteration 2, and nothing is left to divide "
        r"\(MemoryError\)\. Lower it"
    )
    with pytest.raises(MemoryShortageError, match=message):
        run.run([Checkpoints(tmp_path, Console(quiet=True))])
    for name, tensor in expected.model.unknowns.items():
        assert torch.equal(run.model.unknowns[name], tensor)
    monkeypatch.undo()
    again = tiny_run(tiny, optimise={"batch_size": 4})
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    again.run()
    assert again.iteration == 3


def test_a_step_that_broke_off_is_not_taken_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of the unknowns may have moved."""
    run = tiny_run(tiny, optimise=SGD)
    begin = {name: tensor.clone() for name, tensor in run.model.unknowns.items()}
    move = run.engine._passes._move
    assert move is not None

    def broken(free: tuple[str, ...]) -> None:
        move(free)
        raise MemoryError

    monkeypatch.setattr(run.engine._passes, "_move", broken)
    with pytest.raises(MemoryShortageError, match="iteration 1"):
        run.run()
    assert run.parts.largest is None
    for name, tensor in begin.items():
        assert torch.equal(run.model.unknowns[name], tensor)


def test_a_resumed_run_has_the_same_parts(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Bit by bit the numbers of one that was not stopped."""
    run = tiny_run(tiny)
    monkeypatch.setattr(passes, "simulate_patterns", Short(4, after=2))
    run._iterate()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    monkeypatch.undo()
    run.run()
    again = tiny_run(tiny)
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    assert again.parts.largest == 4
    again.run()
    for name, tensor in run.model.unknowns.items():
        assert torch.equal(again.model.unknowns[name], tensor)
    assert again.history.loss == run.history.loss


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("the size of tensor a must match"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_an_error_says(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_native_core_without_memory() -> None:
    """torch's own allocator, asked for what no machine has."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_parts_of_an_odd_batch() -> None:
    parts = Parts()
    assert [parts.halve(7, 1, 2) for _ in range(4)] == [True, True, True, False]
    assert parts.largest == 1
    assert [len(part) for part in Parts(3).of(torch.arange(7))] == [3, 3, 1]


LIMITED = """
import json, resource, sys
from pathlib import Path
from tests.recon_cases import Tiny, tiny_run

tiny = Tiny(Path(sys.argv[1]), *[None] * 5)
tiny_run(tiny).run()
changes = {"probe": {"modes": 30, "mode_power": 0.01}, "object": {"slices": 8},
           "optimise": {"batch_size": 30, "iterations": 2}}
runs = [tiny_run(tiny, **changes) for _ in range(2)]
(size,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmSize"))
resource.setrlimit(resource.RLIMIT_AS, (1024 * int(size) + 30 * 2**20, -1))
runs[0].run()
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
runs[1].run()
print(json.dumps([len(run.parts.shortages) for run in runs]
                 + [run.history.loss for run in runs]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits as Linux has them")
def test_memory_that_the_system_refuses(tiny: Tiny) -> None:
    """In a process of its own, which may take 30 MiB for the 65 MiB of waves."""
    command = [sys.executable, "-c", LIMITED, str(tiny.folder)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=True)
    shortages, none, short, whole = json.loads(done.stdout.splitlines()[-1])
    assert shortages > 0
    assert none == 0
    assert short == pytest.approx(whole, rel=tolerance("chain", torch.float32)["rtol"])


def test_snapshots_and_agreement_go_in_parts(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at between the iterations needs no more memory than they do."""
    whole, parted = (with_contrast(tiny_run(tiny)) for _ in range(2))
    parted.parts.largest = 3
    expected = whole.snapshot(), whole.results().r_factor
    seen: list[int] = []

    def counted(model: Any, index: torch.Tensor) -> torch.Tensor:
        seen.append(len(index))
        return simulate_patterns(model, index)

    for module in (recon, agreement):
        monkeypatch.setattr(module, "simulate_patterns", counted)
    found = parted.snapshot(), parted.results().r_factor
    assert max(seen) == 3
    limits = tolerance("chain", torch.float32, scale=float(expected[0].simulated.max()))
    np.testing.assert_allclose(found[0].simulated, expected[0].simulated, **limits)
    assert found[1] == pytest.approx(expected[1], rel=limits["rtol"])
