"""One trial of the tiny experiment: its numbers, its data, its ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpty import memory
from fastpty.config import ReconConfig, validate_config
from fastpty.errors import DataError, DivergenceError
from fastpty.measurements import load_measurements
from fastpty.metrics import contrast
from fastpty.recon import Reconstruction
from fastpty.tune import trial
from fastpty.tune.trial import Outcome, TrialRunner, Wanted
from tests.recon_cases import TINY, Tiny, make_tiny, merged


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def config_of(**changes: Any) -> ReconConfig:
    return validate_config(ReconConfig, merged(TINY, changes))


def run(runner: TrialRunner, answers: tuple[str, ...] = (), **changes: Any) -> Outcome:
    """A trial that is answered so, then to go on."""
    return runner.run(config_of(**changes), lambda step, _: (*answers, *["go on"] * 9)[step - 1])


def test_the_numbers_are_those_of_the_run(tiny: Tiny) -> None:
    changes = {"truth": "tiny.h5", "data": {"leave_out": 0.1}}
    found = run(TrialRunner(tiny.folder, Wanted(image=True)), **changes)
    alone = Reconstruction.from_config(config_of(**changes), tiny.folder)
    alone.run()
    results = alone.results()
    numbers = found.numbers
    assert found.state == "complete"
    assert found.losses == results.history.loss
    assert numbers["loss"] == found.losses[-1]
    assert numbers["r_factor"] == results.r_factor
    assert numbers["free_r_factor"] == results.agreement["left_out"]["r_factor"]
    assert numbers["free_nll"] == results.agreement["left_out"]["poisson_nll"]
    assert found.image is not None
    assert numbers["contrast"] == pytest.approx(contrast(found.image))
    assert found.pixel_size == results.pixel_size
    assert 0 < numbers["truth_correlation"] <= 1
    assert numbers["position_rmse"] >= 0


def test_data_are_read_once(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever beam and scan are; and again when what is read changes."""
    read = []
    load = trial.load_recorded
    monkeypatch.setattr(
        trial, "load_recorded", lambda *args, **room: read.append(1) or load(*args, **room)
    )
    runner = TrialRunner(tiny.folder, Wanted())
    runner.check(config_of())
    first = run(runner)
    turned = run(runner, scan={"rotation_deg": 20.0})
    run(runner, beam={"aberrations": {"defocus": 60}}, data={"leave_out": 0.1})
    assert len(read) == 1
    assert first.numbers["loss"] != turned.numbers["loss"]
    run(runner, preprocess=[{"step": "poisson_noise", "electrons_per_pattern": 100}])
    assert len(read) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"scan": {"rotation_deg": 20.0, "jitter_px": 0.5}, "seed": 3},
        {"calibration": {"pixel_size": 0.42}},
        {"scan": {"step": 0.9}},
    ],
)
def test_data_in_memory_make_the_same_measurements(tiny: Tiny, changes: dict[str, Any]) -> None:
    runner = TrialRunner(tiny.folder, Wanted())
    runner.check(config_of())
    config = config_of(**changes)
    shared, fresh = runner._measurements(config), load_measurements(config, tiny.folder)
    np.testing.assert_array_equal(shared.positions, fresh.positions)
    assert shared.pixel_size == fresh.pixel_size
    assert (
        run(runner, **changes).losses == run(TrialRunner(tiny.folder, Wanted()), **changes).losses
    )


def test_runners_share_the_memory(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the patterns, and that of the plan."""
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**30)
    seen: list[tuple[str, int]] = []

    def plan(self: Reconstruction, observers: object) -> None:
        assert self.memory.available is not None
        seen.append((self.memory.place, self.memory.available))
        raise MemoryError

    monkeypatch.setattr(Reconstruction, "run", plan)
    for beside in (1, 2, 2**16):
        run(TrialRunner(tiny.folder, Wanted(), beside))
    assert [place for place, _ in seen[:2]] == ["device", "device"]
    assert seen[0][1] - seen[1][1] == (15 * 2**30 // 16) // 2
    assert seen[2][0] not in ("device", "host")


def test_halves(tiny: Tiny) -> None:
    """Alone, the numbers are those of the first; beside a whole run, of all positions."""
    halves = run(TrialRunner(tiny.folder, Wanted(frc=True, only_halves=True)))
    both = run(TrialRunner(tiny.folder, Wanted(frc=True)))
    whole = run(TrialRunner(tiny.folder, Wanted()))
    assert halves.numbers["frc"] == both.numbers["frc"] > 0
    assert len(halves.losses) == 6
    assert len(both.losses) == 9
    assert halves.numbers["loss"] == halves.losses[2]
    assert both.numbers["r_factor"] == whole.numbers["r_factor"]
    assert whole.numbers.get("frc") is None


def test_a_list_of_positions_has_halves(tiny: Tiny) -> None:
    np.save(tiny.folder / "stack.npy", tiny.patterns.astype(np.float32))
    positions = {"path": "tiny.h5", "dataset": "positions_A", "unit": "angstrom"}
    found = run(
        TrialRunner(tiny.folder, Wanted(frc=True, only_halves=True)),
        data={"path": "stack.npy", "dataset": None},
        scan={"step": None, "positions": positions},
    )
    assert found.state == "complete", found.reason


@pytest.mark.parametrize(("answer", "state"), [("prune", "pruned"), ("stop", "stopped")])
def test_a_trial_ends_after_its_iteration(tiny: Tiny, answer: str, state: str) -> None:
    found = run(TrialRunner(tiny.folder, Wanted()), ("go on", answer))
    assert found.state == state
    assert len(found.losses) == 2
    assert "loss" not in found.numbers


def test_a_trial_at_its_end_is_not_given_up(tiny: Tiny) -> None:
    found = run(TrialRunner(tiny.folder, Wanted()), ("go on", "go on", "prune"))
    assert found.state == "complete"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": {"path": "other.h5"}}, "does not exist"),
        ({"plan": [{"iterations": 1, "scan": {"center": [9, 9]}}]}, "asks for 9 rows"),
    ],
)
def test_what_the_user_can_mend_has_a_reason(
    tiny: Tiny, changes: dict[str, Any], reason: str
) -> None:
    """And the next trial runs."""
    runner = TrialRunner(tiny.folder, Wanted())
    found = run(runner, **changes)
    assert found.state == "failed"
    assert reason in found.reason
    assert run(runner).state == "complete"


@pytest.mark.parametrize(
    "error",
    [
        DivergenceError("optimise", "phase became infinite."),
        MemoryError("no room"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_a_run_that_breaks_off_has_a_reason(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(self: Reconstruction, observers: object) -> None:
        raise error

    monkeypatch.setattr(Reconstruction, "run", broken)
    found = run(TrialRunner(tiny.folder, Wanted()))
    assert (found.state, found.reason) == ("failed", str(error))


def test_a_number_that_is_none(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a correlation with nothing."""
    monkeypatch.setattr(trial, "contrast", lambda image: float("nan"))
    found = run(TrialRunner(tiny.folder, Wanted()))
    assert (found.state, found.numbers["contrast"]) == ("complete", None)


def test_a_truth_of_another_pixel_is_no_failure(tiny: Tiny) -> None:
    found = run(
        TrialRunner(tiny.folder, Wanted()), truth="tiny.h5", calibration={"pixel_size": 0.5}
    )
    assert found.state == "complete"
    assert found.numbers["truth_correlation"] is None


def test_what_would_fail_every_trial_is_found_first(tiny: Tiny) -> None:
    runner = TrialRunner(tiny.folder, Wanted())
    with pytest.raises(DataError, match="does not exist"):
        runner.check(config_of(data={"path": "other.h5"}))
    with pytest.raises(DataError, match="truth"):
        runner.check(config_of(truth="tiny.h5", calibration={"pixel_size": 0.5}))
