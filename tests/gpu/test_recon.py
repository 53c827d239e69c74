"""The reconstruction on CUDA: the CPU's losses, no waits, graphs, resume, memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic", reason="the config needs pydantic")

from fastpty import recon
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.engines import graphs, optimisers, passes
from fastpty.measurements import patterns as patterns_module
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.tolerances import bound

pytestmark = pytest.mark.gpu

# Small ones: see "losses" in tests/tolerances.py.
RATES = {"amplitude": 2e-4, "phase": 2e-3, "probe": 1e-4, "positions": 1e-3}
UNKNOWNS = list(RATES)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """In windows that a fused kernel serves."""
    return make_tiny(tmp_path_factory.mktemp("tiny"), (64, 64))


def start(tiny: Tiny, device: torch.device, iterations: int = 6, **changes: Any) -> Reconstruction:
    optimise = {name: {"lr": lr} for name, lr in RATES.items()} | {"iterations": iterations}
    return tiny_run(
        tiny,
        device=device.type,
        loss={"sparse": {"weight": 0.1}},
        optimise=optimise | changes.pop("optimise", {}),
        **changes,
    )


def finish(run: Reconstruction) -> Reconstruction:
    run.run()
    return run


def assert_like(found: Reconstruction, expected: Reconstruction) -> None:
    assert found.history.loss == pytest.approx(expected.history.loss, rel=bound("losses"))
    for name, values in expected.history.terms.items():
        assert found.history.terms[name] == pytest.approx(values, rel=bound("losses")), name


def test_losses_are_those_of_the_cpu(tiny: Tiny, device: torch.device) -> None:
    found = finish(start(tiny, device))
    expected = finish(start(tiny, torch.device("cpu")))
    assert_like(found, expected)
    assert found.agreement()["fitted"].r_factor == pytest.approx(
        expected.agreement()["fitted"].r_factor, rel=bound("losses")
    )
    for name, tensor in found.model.unknowns.items():
        assert tensor.device.type == device.type, name
    assert found.snapshots[-1].r_factor == pytest.approx(
        expected.snapshots[-1].r_factor, rel=bound("losses")
    )


def test_unknowns_that_come_and_go(tiny: Tiny, device: torch.device) -> None:
    optimise = {"positions": {"lr": 1e-3, "start": 3, "stop": 4}, "probe": {"lr": 0}}
    pair = [
        finish(start(tiny, where, optimise=optimise)) for where in (device, torch.device("cpu"))
    ]
    assert_like(*pair)
    assert torch.equal(pair[0].model.probe.cpu(), pair[1].model.probe)


def test_all_unknowns_at_once(tiny: Tiny, device: torch.device) -> None:
    """Small numbers beside large arrays, weights that are made shares after every step, and a
    probe that takes up its aberrations between iterations: also while graphs are replayed."""
    names = ("tilt", "thickness", "occupancy", "aberrations")
    found, expected = (
        start(
            tiny,
            where,
            object={"modes": 2, "tilt_per": "position", "thickness_per": "gap"},
            probe={"aberrations": ["defocus", "C12"]},
            optimise={name: {"lr": 1e-3} for name in names},
        )
        for where in (device, torch.device("cpu"))
    )
    assert_like(finish(found), finish(expected))
    assert len(found.model.unknowns) == 8
    for name, values in expected.history.unknowns.items():
        np.testing.assert_allclose(
            found.history.unknowns[name], values, rtol=bound("losses"), atol=bound("losses")
        )
    graphed = found.engine._passes.graphed
    assert graphed is None or not graphed._failed


OPTIMISERS = {
    "Adadelta": 1e3,
    "Adafactor": 1.0,
    "Adagrad": 1.0,
    "Adam": 1.0,
    "AdamW": 1.0,
    "Adamax": 1.0,
    "ASGD": 1.0,
    "NAdam": 1.0,
    "RAdam": 1.0,
    "RMSprop": 0.1,
    "Rprop": 0.1,
    "SGD": 1.0,
}


@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser(tiny: Tiny, device: torch.device, name: str) -> None:
    """At rates that a schedule changes in every iteration, also while graphs are replayed."""
    rates = {key: {"lr": min(lr * OPTIMISERS[name], 1e3)} for key, lr in RATES.items()}
    optimise: dict[str, Any] = rates | {"optimiser": {"name": name}}
    if name == "Adafactor":
        optimise["probe"] = {"lr": 0}
    if name != "Rprop":
        optimise["schedule"] = {"warmup": 2, "hold": 1, "decay": "cosine"}
    found, expected = (
        start(tiny, where, optimise=optimise) for where in (device, torch.device("cpu"))
    )
    assert_like(finish(found), finish(expected))
    assert found.history.lr == expected.history.lr
    graphed = found.engine._passes.graphed
    if device.type == "cuda":
        assert (graphed is not None) is optimisers.can_be_recorded(name)
    assert graphed is None or not graphed._failed


def test_rates_stay_where_graphs_find_them(tiny: Tiny, cuda: torch.device) -> None:
    """A rate of zero, set after the recording, stops what is replayed."""
    schedule = {"hold": 5, "decay": "linear", "floor": 0.0, "until": 6}
    run = start(tiny, cuda, optimise={"schedule": schedule})
    for iteration in range(1, 6):
        run.engine.run_iteration(iteration)
    rates = [group["lr"] for group in run.engine._optimiser.param_groups]
    before = {name: tensor.detach().clone() for name, tensor in run.model.unknowns.items()}
    run.engine.run_iteration(6)
    assert all(g["lr"] is r for g, r in zip(run.engine._optimiser.param_groups, rates, strict=True))
    for name, tensor in run.model.unknowns.items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("together", [2, 3])
@pytest.mark.parametrize("grouping", ["compact", "sparse"])
def test_batches_that_are_added_up(
    tiny: Tiny, device: torch.device, together: int, grouping: str
) -> None:
    """First, middle and last of a group are graphs of their own, which share the sums."""
    optimise = {
        "accumulate": together,
        "grouping": grouping,
        "positions": {"lr": 1e-3, "start": 3, "stop": 8},
    }
    found, expected = (
        finish(start(tiny, where, iterations=10, optimise=optimise))
        for where in (device, torch.device("cpu"))
    )
    assert_like(found, expected)


def test_windows_without_a_kernel(device: torch.device, tmp_path: Path) -> None:
    odd = make_tiny(tmp_path, (24, 22))
    assert_like(finish(start(odd, device)), finish(start(odd, torch.device("cpu"))))


def test_small_batches_run_as_graphs(tiny: Tiny, cuda: torch.device) -> None:
    run = start(tiny, cuda)
    assert run.engine._passes.graphed is not None
    finish(run)
    assert not run.engine._passes.graphed._failed
    assert {shape[0] for _, shape in run.engine._passes.graphed._graphs} == {6, 8}
    eager = start(tiny, cuda)
    eager.engine.record_with(None)
    assert_like(run, finish(eager))


@pytest.mark.parametrize("graphed", [False, True], ids=["launched", "graphs"])
def test_nothing_waits_within_an_iteration(
    tiny: Tiny, cuda: torch.device, monkeypatch: pytest.MonkeyPatch, graphed: bool
) -> None:
    run = start(tiny, cuda, iterations=8)
    if not graphed:
        run.engine.record_with(None)
    for iteration in range(1, 6):  # until all graphs are recorded
        run.engine.run_iteration(iteration)
    waited: list[torch.device] = []
    at_the_end = passes.raise_device_errors

    def may_wait(device: torch.device) -> None:
        torch.cuda.set_sync_debug_mode("default")
        waited.append(device)
        at_the_end(device)

    monkeypatch.setattr(passes, "raise_device_errors", may_wait)
    torch.cuda.set_sync_debug_mode("error")
    run.engine.run_iteration(6)
    assert len(waited) == 1


def test_a_step_that_cannot_be_recorded(
    tiny: Tiny,
    cuda: torch.device,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It waits for the device, which no recording may; the run is right all the same."""
    simulate = passes.simulate_patterns

    def waiting(*arguments: Any) -> torch.Tensor:
        intensity = simulate(*arguments)
        intensity.detach().sum().item()
        return intensity

    expected = finish(start(tiny, cuda))
    monkeypatch.setattr(passes, "simulate_patterns", waiting)
    with caplog.at_level(logging.WARNING, logger="fastpty"):
        found = finish(start(tiny, cuda))
    assert len([r for r in caplog.records if "could not be recorded" in r.message]) == 1
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert_like(found, expected)


def resumed(
    tiny: Tiny, tmp_path: Path, first: torch.device, second: torch.device
) -> Reconstruction:
    """A run of six iterations that was stopped after three, perhaps on another device."""
    run = start(tiny, first)
    for _ in range(3):
        run._iterate()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    again = start(tiny, second)
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    return finish(again)


@pytest.mark.parametrize("moved", ["stays", "from the cpu", "to the cpu"])
def test_resume(tiny: Tiny, device: torch.device, tmp_path: Path, moved: str) -> None:
    cpu = torch.device("cpu")
    first = cpu if moved == "from the cpu" else device
    second = cpu if moved == "to the cpu" else device
    assert_like(resumed(tiny, tmp_path, first, second), finish(start(tiny, device)))


def test_resume_is_exact_where_the_order_of_sums_is(
    tiny: Tiny, device: torch.device, tmp_path: Path
) -> None:
    torch.use_deterministic_algorithms(True)
    found, expected = resumed(tiny, tmp_path, device, device), finish(start(tiny, device))
    assert found.history.loss == expected.history.loss
    for name, tensor in found.model.unknowns.items():
        assert torch.equal(tensor, expected.model.unknowns[name]), name


@pytest.mark.parametrize("graphed", [False, True], ids=["launched", "graphs"])
def test_memory_does_not_grow(tiny: Tiny, cuda: torch.device, graphed: bool) -> None:
    run = start(tiny, cuda, iterations=12)
    if not graphed:
        run.engine.record_with(None)
    for _ in range(5):
        run._iterate()
    held = torch.cuda.memory_allocated(cuda)
    for _ in range(5):
        run._iterate()
    assert torch.cuda.memory_allocated(cuda) == held


def as_counts(run: Reconstruction, kind: str) -> None:
    """Patterns of another recorded type, in place, before the first iteration."""
    patterns = run.measurements.patterns
    values = (patterns.counts(torch.arange(len(patterns))) / 8).round()
    if kind == "uint16":
        values, patterns._unsigned16 = values.to(torch.int32).to(torch.int16), True
    patterns._data = values.to(getattr(torch, "int16" if kind == "uint16" else kind))


@pytest.mark.parametrize("where", ["device", "host"])
@pytest.mark.parametrize("kind", ["uint8", "uint16", "float16", "float32"])
def test_patterns_of_every_kind_and_place(
    tiny: Tiny, device: torch.device, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    """Those in the host's memory are copied while the device works."""
    load = Reconstruction.from_config

    def run_on(target: torch.device, fits: bool) -> Reconstruction:
        measurements = start(tiny, torch.device("cpu")).measurements
        other = start(tiny, torch.device("cpu"))
        as_counts(other, kind)
        measurements.patterns._data = other.measurements.patterns._data
        measurements.patterns._unsigned16 = other.measurements.patterns._unsigned16
        monkeypatch.setattr(patterns_module, "_fits", lambda nbytes, device: fits)
        config = other.config.model_copy(update={"device": target.type})
        return finish(load(config, tiny.folder, measurements))

    found = run_on(device, where == "device")
    on_device = found.measurements.patterns.on_device
    assert on_device is (where == "device" or device.type == "cpu")
    assert_like(found, run_on(torch.device("cpu"), True))


def test_patterns_on_the_disk(
    tiny: Tiny, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read into the buffers that are copied while the device works."""
    expected = finish(start(tiny, torch.device("cpu")))
    monkeypatch.setattr(recon, "room_for_patterns", lambda *_: 1)
    found = start(tiny, device)
    assert found.measurements.patterns.on_disk is not None
    assert_like(finish(found), expected)


def test_memory_runs_out_beside_graphs(
    tiny: Tiny, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some are recorded; without them the run goes on in parts, and gives their memory
    back."""
    run = start(tiny, device, optimise={"positions": {"lr": 1e-3, "start": 5}})
    for _ in range(4):
        run._iterate()
    simulate = passes.simulate_patterns

    def short(model: Any, index: torch.Tensor) -> torch.Tensor:
        if len(index) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return simulate(model, index)

    monkeypatch.setattr(passes, "simulate_patterns", short)
    finish(run)
    assert run.parts.largest == 2
    assert run.engine._passes.recorder is None
    monkeypatch.undo()
    expected = start(tiny, torch.device("cpu"), optimise={"positions": {"lr": 1e-3, "start": 5}})
    assert_like(run, finish(expected))


def test_memory_that_the_device_refuses(tiny: Tiny, cuda: torch.device) -> None:
    """100 MiB for waves of some 250 MiB."""
    changes = {
        "probe": {"modes": 30, "mode_power": 0.01},
        "object": {"slices": 8},
        "optimise": {"batch_size": 30},
    }
    expected = finish(start(tiny, cuda, **changes))
    run = start(tiny, cuda, **changes)
    run.engine.record_with(None)
    torch.cuda.empty_cache()
    held = torch.cuda.memory_reserved(cuda) + 100 * 2**20
    total = torch.cuda.get_device_properties(cuda).total_memory
    torch.cuda.set_per_process_memory_fraction(held / total, cuda)
    try:
        finish(run)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, cuda)
    assert run.parts.shortages
    assert_like(run, expected)


def test_a_graph_does_not_outlive_its_moments(tiny: Tiny, cuda: torch.device) -> None:
    run = start(tiny, cuda, iterations=8)
    for iteration in range(1, 6):
        run.engine.run_iteration(iteration)
    graphed = run.engine._passes.graphed
    run.engine.load_state(run.engine.state())
    assert run.engine._passes.graphed is not graphed
    run.engine.run_iteration(6)


def test_many_graphs_share_memory(tiny: Tiny, cuda: torch.device) -> None:
    """Batches of 1 to 12 positions, forth and back: no graph spoils what another one leaves."""
    run = start(tiny, cuda)
    assert isinstance(run.engine._passes.recorder, graphs.CudaRecorder)
    step: Callable[..., torch.Tensor] = run.engine._passes.graphed
    turn = passes.Turn(run.engine._free(1))
    index = torch.arange(12, device=cuda)
    with torch.no_grad():  # a step that leaves the unknowns nearly where they are
        for group in run.engine._optimiser.param_groups:
            group["lr"].fill_(1e-9)
    expected = {}
    for turn in range(6):
        for count in range(1, 13) if turn % 2 == 0 else range(12, 0, -1):
            part = index[:count]
            values = step(turn, part, run.measurements.patterns.recorded(part)).tolist()
            assert values == pytest.approx(expected.setdefault(count, values), rel=bound("losses"))
