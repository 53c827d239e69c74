"""How far unknowns move, and when a stage is done."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastpty.config.convergence import ConvergenceConfig
from fastpty.convergence import Kept, stalled
from tests.recon_cases import bare_model
from tests.tolerances import tolerance

TIGHT = tolerance("sum", torch.float32)["rtol"]


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([1.0, 0.5, 0.25], 2, False),
        ([1.0, 0.95, 0.92], 2, True),
        ([1.0, 0.95, 0.92], 3, False),
        ([1.0, 0.95, 0.89, 0.88], 2, False),  # two small falls are one that counts
        ([1.0, 0.5, 0.6, 0.49], 2, True),
        ([1.0, 1.1], 1, True),
        ([1.0], 1, False),
        ([], 1, False),
        ([-1.0, -1.05], 1, True),
        ([-1.0, -1.2], 1, False),
    ],
)
def test_no_lower_loss(losses: list[float], patience: int, expected: bool) -> None:
    config = ConvergenceConfig(patience=patience, threshold=0.1)
    assert stalled(config, losses, {}) is expected


@pytest.mark.parametrize(
    ("phase", "probe", "expected"),
    [
        ([1.0, 0.05, 0.05], [0.2, 0.01, 0.01], True),
        ([1.0, 0.05, 0.05], [0.2, 0.01, 0.2], False),
        ([0.05, 0.05, 0.2], [0.0, 0.0, 0.0], False),
        ([1.0, 0.2, 0.05], [0.0, 0.0, 0.0], False),
    ],
)
def test_no_unknown_moves(phase: list[float], probe: list[float], expected: bool) -> None:
    config = ConvergenceConfig(patience=2, threshold=0.1, of="unknowns")
    assert stalled(config, [1.0] * 3, {"phase": phase, "probe": probe}) is expected


def test_without_patience_nothing_ends() -> None:
    assert not stalled(ConvergenceConfig(), [1.0] * 1000, {})


def kept_model() -> tuple[Any, Kept]:
    model = bare_model([[3, 4], [7, 2]], [[0.4, 0.0], [0.0, 0.0]])
    return model, Kept(model)


def test_relative_changes() -> None:
    model, kept = kept_model()
    assert set(kept.changes().values()) == {0.0}
    model.phase.mul_(1.25)
    model.probe[0, 3, 4] += 3j
    changes = kept.changes()
    assert changes["phase"] == pytest.approx(0.2, rel=TIGHT)
    size = float(model.probe.abs().square().sum().sqrt())
    assert changes["probe"] == pytest.approx(3 / size, rel=TIGHT)
    assert changes["amplitude"] == changes["positions"] == 0


def test_what_was_zero_changes_wholly() -> None:
    model, _ = kept_model()
    model.phase.zero_()
    kept = Kept(model)
    assert kept.changes()["phase"] == 0
    model.phase[0, 0, 3, 3] = 0.5
    assert kept.changes()["phase"] == 1


def test_positions_in_pixels_whatever_their_window() -> None:
    model, kept = kept_model()
    model.shift[0] += torch.tensor([0.3, 0.4])
    model.rechoose_corners()
    assert model.corner[0].tolist() == [4, 4]
    assert kept.changes()["positions"] == pytest.approx(0.5 / 2**0.5, rel=TIGHT)


def test_tilt_and_aberrations_in_their_units_as_they_may_be_zero() -> None:
    model, _ = kept_model()
    model.tilt, model.aberrations = torch.zeros(2, 2), torch.zeros(2)
    kept = Kept(model)
    model.tilt[0] += torch.tensor([0.3, 0.4])
    model.aberrations[1] += 0.25
    changes = kept.changes()
    assert changes["tilt"] == pytest.approx(0.5 / 2**0.5, rel=TIGHT)
    assert changes["aberrations"] == pytest.approx(0.25 / 2**0.5, rel=TIGHT)


def test_the_way_back() -> None:
    model, kept = kept_model()
    before = {name: tensor.clone() for name, tensor in model.unknowns.items()}
    model.phase += torch.nan
    model.shift += 3
    model.rechoose_corners()
    kept.restore()
    assert model.corner.tolist() == [[3, 4], [7, 2]]
    for name, tensor in model.unknowns.items():
        assert torch.equal(tensor, before[name]), name


def test_keeping_anew() -> None:
    model, kept = kept_model()
    model.phase += 1
    kept.keep()
    assert kept.changes()["phase"] == 0
