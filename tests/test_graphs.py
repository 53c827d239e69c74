"""Steps as CUDA graphs, with a recorder that needs no GPU: the same run, step for step."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from fastpty.engines import graphs
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@dataclass
class Recorder:
    """As torch's: nothing is done while recording, and every result is left in one place."""

    recorded: int = 0
    replayed: int = 0

    def __call__(
        self, function: Callable[[], torch.Tensor]
    ) -> tuple[Callable[[], None], torch.Tensor]:
        self.recorded += 1
        result = torch.empty(0)

        def replay() -> None:
            self.replayed += 1
            found = function()
            result.resize_(found.shape).copy_(found)

        return replay, result


def fail(function: Callable[[], torch.Tensor]) -> Any:
    raise RuntimeError("operation not permitted\nwhen stream is capturing")


def assert_equal(a: Reconstruction, b: Reconstruction) -> None:
    assert a.history.loss == b.history.loss
    assert a.history.terms == b.history.terms
    for name, tensor in a.model.unknowns.items():
        assert torch.equal(tensor, b.model.unknowns[name]), name


def run_with(tiny: Tiny, recorder: graphs.Recorder | None, **changes: Any) -> Reconstruction:
    run = tiny_run(tiny, **changes)
    if recorder is not None:
        run.engine.record_with(recorder)
    run.run()
    return run


def test_a_recorded_run_is_the_same_run(tiny: Tiny) -> None:
    """Batches of 8, 8, 8 and 6: three of a kind run as they are, then one is recorded."""
    recorder = Recorder()
    iterations = {"optimise": {"iterations": 5}}
    assert_equal(run_with(tiny, recorder, **iterations), run_with(tiny, None, **iterations))
    assert recorder.recorded == 2
    assert recorder.replayed == 4 * 3 + 2


def test_a_recorded_run_with_everything_free(tiny: Tiny) -> None:
    names = ("tilt", "thickness", "occupancy", "aberrations")
    changes = {
        "object": {"modes": 2, "tilt_per": "position"},
        "probe": {"aberrations": ["defocus", "C12"]},
        "optimise": {"iterations": 6, **{name: {"lr": 0.01} for name in names}},
    }
    recorder = Recorder()
    assert_equal(run_with(tiny, recorder, **changes), run_with(tiny, None, **changes))
    assert recorder.replayed == 5 * 3 + 3


def test_another_set_of_free_unknowns_is_another_kind(tiny: Tiny) -> None:
    changes = {"optimise": {"iterations": 6, "positions": {"start": 3, "stop": 4}}}
    recorder = Recorder()
    assert_equal(run_with(tiny, recorder, **changes), run_with(tiny, None, **changes))
    # Without positions, 8 and 6 patterns; with them, 8 patterns.
    assert recorder.recorded == 3


def test_a_recording_that_fails_is_told_once(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fastpty"):
        assert_equal(run_with(tiny, fail), run_with(tiny, None))
    (record,) = caplog.records
    assert "could not be recorded" in record.message
    assert "(operation not permitted)" in record.message


def test_what_is_no_failure_to_record_is_raised(tiny: Tiny) -> None:
    def broken(function: Callable[[], torch.Tensor]) -> Any:
        raise ValueError("corner: outside")

    with pytest.raises(ValueError, match="corner"):
        run_with(tiny, broken)


def test_moments_that_are_loaded_want_new_graphs(tiny: Tiny) -> None:
    recorder = Recorder()
    run = tiny_run(tiny)
    run.engine.record_with(recorder)
    for iteration in (1, 2):
        run.engine.run_iteration(iteration)
    assert recorder.replayed == 3
    run.engine.load_state(run.engine.state())
    run.engine.run_iteration(3)
    assert recorder.replayed == 3
    run.engine.run_iteration(4)
    assert (recorder.recorded, recorder.replayed) == (2, 6)


def test_the_cpu_records_nothing(tiny: Tiny) -> None:
    assert tiny_run(tiny).engine._passes.graphed is None


class OnCuda:
    """All that is asked of a probe."""

    is_cuda = True

    def __init__(self, *shape: int) -> None:
        self._numel = torch.Size(shape).numel()

    def numel(self) -> int:
        return self._numel


@pytest.mark.parametrize(
    ("positions", "expected"), [(1, True), (32, True), (64, True), (128, False)]
)
def test_graphs_pay_for_small_batches(positions: int, expected: bool) -> None:
    assert graphs.pays(OnCuda(6, 128, 128), 1, 32, positions) is expected


def test_graphs_do_not_pay_on_the_cpu_or_where_order_is_fixed() -> None:
    assert not graphs.pays(torch.ones(1, 4, 4), 1, 1, 1)
    torch.use_deterministic_algorithms(True)
    try:
        assert not graphs.pays(OnCuda(1, 4, 4), 1, 1, 1)
    finally:
        torch.use_deterministic_algorithms(False)
