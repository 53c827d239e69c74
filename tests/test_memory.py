"""The plan of what goes where: what costs least is given up first, and no step is another."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from fastpty import memory, ops
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config import load_config
from fastpty.config.recon import ReconConfig
from fastpty.distributed import Processes
from fastpty.forward import runs_fused
from fastpty.job import run_job
from fastpty.measurements import Patterns
from fastpty.preflight import preflight
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run, write_config
from tests.tolerances import tolerance

GIB = 2**30


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def planned(run: Reconstruction, available: int, **changes: Any) -> memory.MemoryPlan:
    """The plan of a run that may take so many bytes."""
    config = run.config.model_copy(update={"memory": available / GIB})
    parts = run.model, run.measurements.patterns, run.stages, run.all_visited
    return memory.plan_memory(config, *parts)


def said_of_memory(run: Reconstruction) -> str:
    (text,) = (finding.text for finding in preflight(run) if finding.subject == "memory")
    return text


def test_where_there_is_plenty(tiny: Tiny) -> None:
    plan = tiny_run(tiny).memory
    assert (plan.place, plan.limit, plan.part, plan.fits) == ("device", None, None, True)
    assert plan.patterns == 30 * 24 * 20 * 4


def test_a_reserve_is_left(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is free; patterns and unknowns are there already. A number is a bound."""
    run = tiny_run(tiny)
    values = sum(tensor.nbytes for tensor in run.model.unknowns.values())
    monkeypatch.setattr(memory, "free_memory", lambda device: 16 * GIB)
    assert tiny_run(tiny).memory.available == 15 * GIB + run.memory.patterns + values
    assert tiny_run(tiny, memory=2.5).memory.available == int(2.5 * GIB)
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    assert tiny_run(tiny).memory.available is None
    assert tiny_run(tiny).memory.fits


def test_processes_on_one_machine_share_its_memory(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is free, and what the config lets them take."""
    run = tiny_run(tiny)
    parts = run.model, run.measurements.patterns, run.stages, run.all_visited
    values = sum(tensor.nbytes for tensor in run.model.unknowns.values())
    monkeypatch.setattr(memory, "free_memory", lambda device: 16 * GIB)
    run.measurements.patterns.share.processes = Processes(0, 4, 0, 3)
    shared = memory.plan_memory(run.config, *parts)
    assert shared.available == 5 * GIB + run.memory.patterns + values
    assert planned(run, 3 * GIB).available == GIB


@pytest.mark.parametrize("engine", ["gradient", "rpie", "lsqml"])
def test_waves_are_the_first_to_go(tiny: Tiny, engine: str) -> None:
    """Then parts, ever smaller ones, for as long as that makes a difference."""
    run = tiny_run(tiny, optimise={"engine": engine})
    if not runs_fused(run.model):
        pytest.skip("without the native core waves are always kept")
    whole = run.memory
    seen = []
    for available in range(whole.total, 0, -1000):
        plan = planned(run, available)
        seen.append((plan.limit, plan.part))
        assert plan.total <= whole.total
        if plan.fits:
            assert plan.total <= available
    limits = [limit for limit, part in seen if part is None]
    assert limits[0] is None
    assert limits[1:] == sorted(limits[1:], reverse=True)
    assert len(limits) > 2
    parts = [part for _, part in seen[len(limits) :]]
    assert parts == sorted(parts, reverse=True)
    assert {limit for limit, _ in seen[len(limits) :]} == {0}
    assert set(parts) == {4, 2, 1}


def test_waves_that_are_computed_anew_change_no_bit(tiny: Tiny) -> None:
    one = tiny_run(tiny)
    if not runs_fused(one.model):
        pytest.skip("without the native core waves are always kept")
    other = tiny_run(tiny, memory=(one.memory.total - 1) / GIB)
    assert other.parts.waves is not None
    assert re.search(r"MiB of them kept, the others computed anew\)", said_of_memory(other))
    for run in (one, other):
        run.run()
    for name, tensor in one.model.unknowns.items():
        assert torch.equal(other.model.unknowns[name], tensor)


@pytest.mark.parametrize("engine", ["gradient", "epie"])
def test_batches_in_parts(tiny: Tiny, engine: str) -> None:
    """Where all waves are kept they are all that can be given up."""
    optimise = {"engine": engine}
    with ops.use_backend("reference"):
        one = tiny_run(tiny, optimise=optimise)
        limit = (one.memory.total - one.memory.waves / 2) / GIB
        other = tiny_run(tiny, optimise=optimise, memory=limit)
        assert other.memory.limit is None
        assert other.parts.largest == other.memory.part
        assert 1 <= other.memory.part < 8
        assert other.memory.fits
        text = f"in parts of {other.memory.part} pattern"
        assert text in said_of_memory(other)
        assert said_of_memory(other).endswith("a smaller optimise.batch_size is faster")
        for run in (one, other):
            run.run()
    rtol = tolerance("chain", torch.float32)["rtol"]
    assert other.history.loss == pytest.approx(one.history.loss, rel=rtol)


@pytest.mark.parametrize(("then", "now", "expected"), [(4, None, 4), (None, 2, 2), (4, 2, 2)])
def test_parts_of_a_resumed_run(
    tiny: Tiny, tmp_path: Path, then: int | None, now: int | None, expected: int
) -> None:
    """Those of the run that was stopped, or smaller ones where there is less memory now."""
    run = tiny_run(tiny)
    run.parts.largest = then
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    again = tiny_run(tiny, memory=100.0)
    again.parts.largest = now
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    assert again.parts.largest == expected


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_room_for_patterns(tiny: Tiny, device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number is of the device that computes: on CUDA the host has what is free."""
    monkeypatch.setattr(memory, "free_memory", lambda device: 16 * GIB)
    config = tiny_run(tiny, memory=8).config
    room = memory.room_for_patterns(config, torch.device(device))
    assert room == 0.75 * (8 if device == "cpu" else 15) * GIB


def test_patterns_stay_off_a_device_that_may_not_hold_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the config; what is free would do."""
    for limit, there in ((2 * 96, True), (2 * 96 - 1, False)):
        patterns = Patterns(np.ones((2, 4, 6), np.uint16))
        patterns.to(torch.device("meta"), limit)
        assert patterns.on_device is there


def test_what_a_job_tells(tiny: Tiny, tmp_path: Path) -> None:
    config = load_config(ReconConfig, write_config(tiny, optimise={"iterations": 1}))
    run_job(config, tiny.folder, tmp_path / "out", Console(quiet=True))
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["memory"]
    assert found["place"] == "device"
    assert found["part"] is None
    assert found["shortages"] == []
    assert found["total"] == found["patterns"] + found["waves"] + found["unknowns"]
