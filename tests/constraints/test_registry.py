"""Which constraints there are, in which order and when they act."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.config.solve import ConstraintsConfig
from fastpty.constraints import CONSTRAINTS, apply_constraints
from fastpty.model import Model
from tests.constraints.lens import lens_model
from tests.constraints.small_model import OFF, apply, small_model, values
from tests.tolerances import tolerance

ROUNDING = tolerance("sum", torch.float32)["rtol"]


def test_the_config_names_every_constraint_in_order() -> None:
    assert [*CONSTRAINTS, "custom"] == list(ConstraintsConfig.model_fields)


def test_what_is_on_by_default() -> None:
    on = [name for name in CONSTRAINTS if getattr(ConstraintsConfig(), name) is not None]
    assert on == ["orthogonal_modes", "probe_power", "blur_xy", "blur_z", "recentre_positions"]


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
    assert calls == list(CONSTRAINTS)


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
    section = {"start": start, "stop": stop, "every": every}
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
    before = model.unknowns
    copies = values(model)
    apply(model, name)
    after = model.unknowns
    assert all(after[key] is tensor for key, tensor in before.items())
    assert all(tensor.is_leaf and tensor.requires_grad for tensor in before.values())
    assert any(not torch.equal(before[key], copies[key]) for key in before)


@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_the_same_bits_again_and_for_any_number_of_threads(name: str) -> None:
    results = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 1):
            torch.set_num_threads(count)
            model = small_model(slices=5, canvas=(64, 61))
            apply(model, name)
            results.append(values(model))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(other[key], tensor) for key, tensor in results[0].items())


@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_one_slice_one_mode(name: str) -> None:
    model = lens_model(slices=1)
    model.probe = model.probe[:1].clone()
    apply(model, name)
    assert all(tensor.isfinite().all() for tensor in values(model).values())


def on(model: Model, device: str) -> Model:
    """The same model elsewhere."""
    tensors = {
        name: tensor.detach().to(device)
        for name, tensor in vars(model).items()
        if isinstance(tensor, torch.Tensor)
    }
    return dataclasses.replace(model, **tensors)


# The eigenbasis of the modes' Gram matrix is one question to the device.
WITHOUT_A_WAIT = [name for name in CONSTRAINTS if name != "orthogonal_modes"]


@pytest.mark.parametrize("name", WITHOUT_A_WAIT)
def test_the_host_asks_the_device_nothing(name: str) -> None:
    """Tensors without values: to ask for one, or to mix devices, is an error."""
    apply(on(small_model(), "meta"), name)


# A table that is uploaded counts as a wait too: propagators are made on the host.
WITH_A_PROPAGATOR = {"probe_support", "recentre_depth"}


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_on_the_gpu(name: str) -> None:
    model, there = small_model(), on(small_model(), "cuda")
    apply(model, name)
    quiet = name in WITHOUT_A_WAIT and name not in WITH_A_PROPAGATOR
    torch.cuda.set_sync_debug_mode("error" if quiet else "default")
    try:
        apply(there, name)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for key, tensor in values(on(there, "cpu")).items():
        close = tolerance("chain", tensor.dtype, scale=float(tensor.abs().max()))
        torch.testing.assert_close(tensor, values(model)[key], **close)


@pytest.mark.parametrize("name", list(CONSTRAINTS))
def test_what_it_changes_is_told(name: str) -> None:
    """By how much, of everything that it does change."""
    model = small_model()
    before = values(model)
    config = ConstraintsConfig(**(OFF | {name: True}))
    changes = apply_constraints(model, config, 1)
    expected = {
        f"{name}/{unknown}": float((after - before[unknown]).norm() / before[unknown].norm())
        for unknown, after in values(model).items()
    }
    told = {key: float(change) for key, change in changes.items()}
    for key, size in expected.items():
        assert told.get(key, 0.0) == pytest.approx(size, rel=ROUNDING, abs=ROUNDING), key
    assert set(told) <= set(expected)


def test_what_functions_of_ones_own_change_is_told() -> None:
    entry = {"call": "tests.constraints.own_functions:add_phase", "options": {"amount": 7.0}}
    model = small_model()
    size = model.phase.detach().norm()
    changes = apply_constraints(model, ConstraintsConfig(**(OFF | {"custom": [entry]})), 1)
    assert {key.split("/")[0] for key in changes} == {"custom.0"}
    added = 7.0 * model.phase.numel() ** 0.5 / float(size)
    assert float(changes["custom.0/phase"]) == pytest.approx(added, rel=ROUNDING)
    assert float(changes["custom.0/probe"]) == 0


def test_only_one_part_is_told_of() -> None:
    config = ConstraintsConfig(**(OFF | {"blur_xy": {"of": "phase"}}))
    assert list(apply_constraints(small_model(), config, 1)) == ["blur_xy/phase"]
