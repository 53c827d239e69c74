"""Which constraints there are, in which order and when they act."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.config.solve import ConstraintConfig, ConstraintsConfig
from fastpty.constraints import CONSTRAINTS, apply_constraints
from tests.constraints.small_model import small_model
from tests.constraints.test_object import OFF, apply


def test_the_config_names_every_constraint_in_order() -> None:
    assert list(CONSTRAINTS) == list(ConstraintsConfig.model_fields)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The constraints that are applied, in turn; none of them does anything."""
    made: list[str] = []
    for name in CONSTRAINTS:
        monkeypatch.setitem(CONSTRAINTS, name, lambda model, config, name=name: made.append(name))
    return made


def test_all_act_in_the_order_of_the_config(calls: list[str]) -> None:
    given_backwards = dict.fromkeys(reversed(CONSTRAINTS), True)
    apply_constraints(small_model(), ConstraintsConfig(**given_backwards), 1)
    assert calls == list(ConstraintsConfig.model_fields)


def test_what_is_off_does_not_act(calls: list[str]) -> None:
    apply_constraints(small_model(), ConstraintsConfig(**OFF), 1)
    assert calls == []
    apply_constraints(small_model(), ConstraintsConfig(**(OFF | {"positive_phase": True})), 1)
    assert calls == ["positive_phase"]


@settings(derandomize=True, max_examples=40)
@given(start=st.integers(1, 9), length=st.none() | st.integers(0, 9), every=st.integers(1, 5))
def test_schedule(start: int, length: int | None, every: int) -> None:
    """start, start + every, ... until stop."""
    stop = None if length is None else start + length
    section = ConstraintConfig(start=start, stop=stop, every=every)
    config = ConstraintsConfig(**(OFF | {"positive_phase": section}))
    acted = []
    for iteration in range(1, 25):
        model = small_model(slices=1)
        apply_constraints(model, config, iteration)
        if (model.phase >= 0).all():
            acted.append(iteration)
    assert acted == list(range(start, (stop or 24) + 1, every))


@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_unknowns_are_changed_in_place(name: str) -> None:
    """The optimiser holds these very tensors; and no gradient runs through a constraint."""
    model = small_model()
    before = dict(model.unknowns)
    values = {key: tensor.detach().clone() for key, tensor in before.items()}
    apply(model, name)
    assert all(model.unknowns[key] is tensor for key, tensor in before.items())
    assert all(tensor.is_leaf and tensor.requires_grad for tensor in before.values())
    assert any(not torch.equal(before[key], values[key]) for key in before)


def test_recentre_positions() -> None:
    model = small_model()
    before = model.displacement
    apply(model, "recentre_positions")
    after = model.displacement
    assert np.abs(before.mean(axis=0)).max() > 0.01
    np.testing.assert_allclose(after.mean(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(after, before - before.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(model.corner.numpy(), model.positions_start)
