"""Batches of the PIEs and of LSQ-ML in parts: the moves of whole ones, all of them or none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastpty.engines import exit_waves, lsqml, pie
from fastpty.errors import MemoryShortageError
from fastpty.ops import WaveProducts, products_are_native
from fastpty.recon import Reconstruction
from tests.engines.test_parts import assert_same
from tests.recon_cases import Tiny, make_tiny, merged, tiny_run


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


PROJECTIONS: dict[str, dict[str, Any]] = {
    "pie": {"pie": {"position_step": 0.5}},
    "rpie": {"pie": {"probe_share": 0.3, "position_step": 0.5}},
    "mpie": {"pie": {"momentum_every": 10}},
    "lsqml": {"lsqml": {"position_step": 0.5, "object_momentum": 0.3, "momentum_every": 10}},
}


def projecting(tiny: Tiny, engine: str, **changes: Any) -> Reconstruction:
    optimise = {"engine": engine, "iterations": 2, **PROJECTIONS[engine]}
    return tiny_run(tiny, **merged({"object": {"modes": 2}, "optimise": optimise}, changes))


@pytest.mark.parametrize("part", [1, 3])
@pytest.mark.parametrize("engine", PROJECTIONS)
def test_projections_in_parts(tiny: Tiny, engine: str, part: int) -> None:
    """Numerators and denominators are those of the whole batch; positions have their own steps."""
    whole, parted = (projecting(tiny, engine) for _ in range(2))
    parted.parts.largest = part
    for run in (whole, parted):
        run.run()
    assert_same(parted, whole)


class ShortWaves(exit_waves.ExitWaves):
    """Without memory for the products of more than three patterns."""

    def products(self, ratio: torch.Tensor, **options: Any) -> WaveProducts:
        if len(ratio) > 3:
            raise MemoryError
        return super().products(ratio, **options)


@pytest.mark.parametrize("engine", PROJECTIONS)
def test_memory_runs_out_in_a_projection(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """The batch is done again, and goes through once."""
    whole, short = (projecting(tiny, engine) for _ in range(2))
    whole.run()
    monkeypatch.setattr(pie, "ExitWaves", ShortWaves)
    short.run()
    assert short.parts.largest == 2
    assert len(short.parts.shortages) == 2
    assert_same(short, whole)


def test_memory_runs_out_when_directions_are_known(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the third batch, before it has moved anything."""
    whole, short = (projecting(tiny, "lsqml") for _ in range(2))
    whole.run()
    solve, calls = lsqml.solve_steps, []

    def scarce(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 3:
            raise MemoryError
        return solve(*arguments)

    monkeypatch.setattr(lsqml, "solve_steps", scarce)
    short.run()
    assert short.parts.largest == 4
    assert "in batch 3 of 4 of iteration 1" in short.parts.shortages[0]
    assert_same(short, whole)


@pytest.mark.parametrize("engine", ["mpie", "lsqml"])
def test_moves_that_broke_off_are_not_made_again(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Object and probe have moved, but not along their velocity: back to where the iteration
    began."""
    run = projecting(tiny, engine)
    begin = {name: tensor.clone() for name, tensor in run.model.unknowns.items()}

    def broken(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(run.engine._passes, "_move_on", broken)
    with pytest.raises(MemoryShortageError, match=r"^optimise\.batch_size: .* iteration 1"):
        run.run()
    assert run.parts.largest is None
    for name, tensor in begin.items():
        assert torch.equal(run.model.unknowns[name], tensor)


@pytest.mark.parametrize("engine", ["rpie", "lsqml"])
def test_waves_of_a_projection_that_are_computed_anew(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    """Those for which there is no room; no bit changes."""
    kept, anew = (projecting(tiny, engine) for _ in range(2))
    if not products_are_native(kept.model.probe):
        pytest.skip("without the native core waves are always kept")
    kept.run()
    anew.parts.waves = 0
    make, saved = pie.ExitWaves, []

    def seen(*arguments: Any) -> exit_waves.ExitWaves:
        waves = make(*arguments)
        assert waves._native is not None
        saved.append(len(waves._native._saved))
        return waves

    monkeypatch.setattr(pie, "ExitWaves", seen)
    anew.run()
    assert set(saved) == {0}
    for name, tensor in kept.model.unknowns.items():
        assert torch.equal(anew.model.unknowns[name], tensor)
