"""One process and two follow the same curve; each of two holds half of the patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.distributed import ALONE, Processes
from fastpty.engines.reduction import Reduction, touched_tiles
from fastpty.errors import ConfigError, FastptyError
from fastpty.ops.adam_step import TILE
from tests.distributed.cases import STEADY, as_processes, tiny_shared
from tests.recon_cases import Tiny, make_tiny, merged, tiny_run
from tests.tolerances import bound


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


UNKNOWNS = ("occupancy", "aberrations")
EVERYTHING: dict[str, Any] = {
    "object": {"modes": 2, "tilt_per": "position"},
    "probe": {"aberrations": ["defocus", "C12"]},
    "loss": {
        "poisson": {"weight": 0.1},
        "pacbed": {"weight": 0.1, "power": 0.5},
        "sparse": {"weight": 0.1, "power": 1.5},
        "similarity": {"weight": 0.1},
    },
    "optimise": {
        "iterations": 10,
        "accumulate": 2,
        "tiles": True,
        **{name: {"lr": 0.01, "start": 2} for name in UNKNOWNS},
    },
}
MPIE = {"position_step": 0.5, "probe_share": 0.5}
STAGES: dict[str, Any] = {
    "data": {"leave_out": 0.1},
    "optimise": {"tilt": {"lr": 0}, "thickness": {"lr": 0}},
    "plan": [
        {"iterations": 4},
        {"iterations": 3, "optimise": {"engine": "mpie", "pie": MPIE}},
        {"iterations": 3, "optimise": {"engine": "lsqml"}},
        {"iterations": 3, "optimise": {"optimiser": {"name": "LBFGS"}}},
    ],
}

LSQML: dict[str, Any] = {
    "scan": STEADY["scan"],
    "optimise": {
        "engine": "lsqml",
        "iterations": 10,
        "batch_size": 4,
        "lsqml": {"position_step": 0.2, "object_momentum": 0.3, "momentum_every": 10},
    },
}
ONE: dict[str, Any] = {
    "object": {"slices": 1, "modes": 2, "thickness": None},
    "loss": {"gaussian": False, "poisson": True},
}
TWO: dict[str, Any] = {"optimise": {"lsqml": {"step_damping": 0.5}}}


def assert_same(found: dict[str, Any], alone: dict[str, Any]) -> None:
    np.testing.assert_allclose(found["loss"], alone["loss"], rtol=bound("shared losses"))
    for name in ("r_factor", "chi_square", "poisson_nll"):
        expected = alone["agreement"][name]
        assert found["agreement"][name] == pytest.approx(expected, rel=bound("shared agreement"))


def test_same_curve(tiny: Tiny, tmp_path: Path) -> None:
    """Two slices, two modes, positions: what most runs are."""
    changes = merged(STEADY, {"optimise": {"iterations": 10, "thickness": None, "tilt": None}})
    alone = tiny_shared(ALONE, tiny, changes)
    first, second = as_processes(2, tiny_shared, tmp_path, tiny, changes)
    assert_same(first, alone)
    for name, tensor in first["unknowns"].items():
        assert torch.equal(tensor, second["unknowns"][name]), name
    assert first["bytes"] + second["bytes"] == alone["bytes"]
    assert abs(first["bytes"] - second["bytes"]) <= alone["bytes"] / 30
    for found in (first, second):
        np.testing.assert_array_equal(found["measured"], alone["measured"])
        for name, image in alone["virtual"].detectors.items():
            np.testing.assert_array_equal(found["virtual"].detectors[name], image)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [EVERYTHING, STAGES], ids=["all unknowns and losses", "plan"])
@pytest.mark.parametrize(("count", "largest"), [(2, None), (3, 2)])
def test_same_curve_with_all_there_is(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], count: int, largest: int | None
) -> None:
    """Of batches of eight three processes have two, three or four each, or of the last none."""
    changes = merged(STEADY, changes)
    alone = tiny_shared(ALONE, tiny, changes)
    for found in as_processes(count, tiny_shared, tmp_path, tiny, changes, largest):
        assert_same(found, alone)


def lsqml_shared(processes: Processes, tiny: Tiny) -> list[dict[str, Any]]:
    return [tiny_shared(processes, tiny, merged(LSQML, changes)) for changes in (ONE, TWO)]


@pytest.mark.slow
def test_same_curve_of_lsqml(tiny: Tiny, tmp_path: Path) -> None:
    """One slice for counts, and two for amplitudes; of some batches a process has nothing."""
    batches = np.array_split(tiny_run(tiny, **merged(LSQML, TWO)).engine._order(1), range(4, 30, 4))
    owners = Processes(0, 3).owners(30)
    assert min(len(set(owners[batch])) for batch in batches) < 3
    alone = lsqml_shared(ALONE, tiny)
    for found in as_processes(3, lsqml_shared, tmp_path, tiny):
        for pair in zip(found, alone, strict=True):
            assert_same(*pair)


def test_each_pattern_has_one_owner() -> None:
    ranks = Processes(0, 3).owners(100)
    for start in range(0, 99, 3):
        assert sorted(ranks[start : start + 3]) == [0, 1, 2]
    # No lattice of the scan is one process's own.
    for period in (2, 3, 6):
        assert all(len(set(ranks[first::period])) == 3 for first in range(period))


def test_touched_tiles() -> None:
    corner = np.array([[0, 40], [30, 0]])
    window, canvas = (TILE - 3, TILE + 1), (50, 70)
    expected = np.zeros(canvas, bool)
    for y, x in corner:
        expected[max(y - 2, 0) : y + window[0] + 2, max(x - 2, 0) : x + window[1] + 2] = True
    found = touched_tiles(corner, window, (2, 2), canvas)
    for y, x in np.ndindex(found.shape):
        here = slice(y * TILE, (y + 1) * TILE), slice(x * TILE, (x + 1) * TILE)
        assert found[y, x] == expected[here].any()


class Doubled(Processes):
    """Two processes that have the same; what is sent is counted."""

    def begin_adding(self, tensor: torch.Tensor) -> Any:
        sent.append(tensor.numel())
        tensor.mul_(2)
        return None

    def end_adding(self, pending: Any) -> None:
        pass


sent: list[int] = []


def test_only_what_is_touched_is_sent(tiny: Tiny) -> None:
    """As soon as it is there, and it comes back alone."""
    model = tiny_run(tiny, object={"margin": 60}).model
    reduction = Reduction(model, Doubled(0, 2), (0, 0))
    reduction.begin_pass()
    sent.clear()
    for tensor in model.unknowns.values():
        tensor.requires_grad_(True)
    index = np.array([3, 4])
    window = (slice(None), slice(None), *map(slice, model.corner[3], model.corner[3] + 20))
    with reduction.of(("phase", "probe", "positions"), index, at_once=True):
        loss = model.phase[window].sum() + model.probe.abs().sum() + model.shift[index].sum()
        loss.backward()
        assert len(sent) == 1  # the object's is on its way before the backward is over
    assert sent[0] < 0.2 * model.phase.numel()
    assert sent[1] == 2 * model.probe.numel() + model.shift[index].numel()
    for names in reduction.arrivals():
        having = {name for name, tensor in model.unknowns.items() if tensor.grad is not None}
        assert having == set(names)
    expected = torch.zeros_like(model.phase)
    expected[window] = 2
    assert torch.equal(model.phase.grad, expected)
    assert model.shift.grad.sum() == 2 * 2 * len(index)


def test_an_engine_that_cannot_is_refused(tiny: Tiny) -> None:
    """Before the run, whichever stage it is in."""
    plan = [{"iterations": 1}, {"iterations": 1, "optimise": {"engine": "search"}}]
    with pytest.raises(ConfigError, match=r"^plan\.1\.optimise\.engine: is search, whose batches"):
        tiny_run(tiny, Processes(0, 2), plan=plan)


def drift(processes: Processes, tiny: Tiny) -> str:
    run = tiny_run(tiny, processes)
    move = run.engine._passes._move

    def step(free: tuple[str, ...]) -> None:
        move(free)
        if processes.rank == 1:
            run.model.probe.data[0, 0, 0] += 1e-6

    run.engine._passes._move = step
    with pytest.raises(FastptyError) as caught:
        run.run()
    assert run.iteration == 0
    return str(caught.value)


def fail(processes: Processes) -> str:
    def read() -> None:
        if processes.rank == 1:
            raise ConfigError("data.path", "is not there.")

    with pytest.raises(FastptyError) as caught:
        processes.together(read)
    return str(caught.value)


@pytest.mark.slow
def test_unknowns_that_drift_apart_end_the_run(tiny: Tiny, tmp_path: Path) -> None:
    first, second = as_processes(2, drift, tmp_path, tiny)
    assert first.startswith("process 0 of 2: has other unknowns than the others")
    assert second.startswith("process 1 of 2: has other unknowns than the others")


def test_an_error_of_one_is_that_of_all(tmp_path: Path) -> None:
    first, second = as_processes(2, fail, tmp_path)
    assert first == "process 1 of 2: data.path: is not there."
    assert second == "data.path: is not there."
